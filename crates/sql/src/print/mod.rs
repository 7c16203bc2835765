//! Trees to text.
//!
//! In reading order: this file (the printer and its two layouts), [`text`] (names and constants), `expr`, `query`,
//! `ddl`, `alter`, `access`, `statement`. `Display` gives one line; `pretty()` gives the layout of SHOW CREATE and
//! EXPLAIN SYNTAX: clauses on lines of their own, two spaces a level.
//!
//! Promise: both texts parse to the tree they came from, but for the paths of `FROM INFILE`, which `pretty()` shows bare.

mod access;
mod alter;
mod ddl;
mod expr;
mod query;
mod statement;
pub mod text;

use crate::ast::*;
use std::fmt;

pub(crate) struct Printer {
    out: String,
    pretty: bool,
    level: usize,
}

impl Printer {
    fn new(pretty: bool) -> Printer {
        Printer { out: String::new(), pretty, level: 0 }
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// `text` if `said`.
    fn put_if(&mut self, said: bool, text: &str) {
        if said {
            self.put(text);
        }
    }

    /// A new line at the current level, or a space.
    fn line(&mut self) {
        if !self.pretty {
            self.out.push(' ');
            return;
        }
        self.out.push('\n');
        for _ in 0..self.level {
            self.out.push_str("  ");
        }
    }

    fn deeper(&mut self, body: impl FnOnce(&mut Self)) {
        self.level += 1;
        body(self);
        self.level -= 1;
    }

    /// `keyword`, then the body one level deeper on its own line.
    fn block(&mut self, keyword: &str, body: impl FnOnce(&mut Self)) {
        self.put(keyword);
        self.deeper(|p| {
            p.line();
            body(p);
        });
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        for (i, it) in items.iter().enumerate() {
            self.put_if(i > 0, ", ");
            item(self, it);
        }
    }

    fn name(&mut self, name: &str) {
        text::put_name(&mut self.out, name);
    }

    fn quoted(&mut self, text: &str) {
        text::put_string(&mut self.out, text.as_bytes());
    }

    fn object(&mut self, name: &ObjectName) {
        if let Some(database) = &name.database {
            self.name(database);
            self.put(".");
        }
        self.name(&name.name);
    }

    /// ` keyword name`, if there is one.
    fn opt_name(&mut self, keyword: &str, name: &Option<String>) {
        if let Some(name) = name {
            self.put(keyword);
            self.name(name);
        }
    }

    /// ` keyword 'text'`, if there is one.
    fn opt_string(&mut self, keyword: &str, text: &Option<String>) {
        if let Some(text) = text {
            self.put(keyword);
            self.quoted(text);
        }
    }
}

fn printed(pretty: bool, body: impl FnOnce(&mut Printer)) -> String {
    let mut printer = Printer::new(pretty);
    body(&mut printer);
    printer.out
}

macro_rules! display {
    ($($ty:ty => $method:ident),* $(,)?) => {$(
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&printed(false, |p| p.$method(self)))
            }
        }

        impl $ty {
            /// The text in several lines.
            pub fn pretty(&self) -> String {
                printed(true, |p| p.$method(self))
            }
        }
    )*};
}

display! {
    Statement => statement,
    StatementKind => statement_kind,
    Query => query,
    Select => select,
    Expr => expr,
    TypeName => type_name,
    TableExpr => table_expr,
    ColumnDef => column_def,
    CreateStream => create_stream,
    CreateView => create_view,
    CreateMaterializedView => create_materialized_view,
    CreateDatabase => create_database,
    CreateDictionary => create_dictionary,
    CreateFunction => create_function,
    IndexDef => index_def,
    Function => function,
    Emit => emit,
    ObjectName => object,
    Identifier => identifier,
    Literal => literal,
    AccessEntity => access_entity,
    Grant => grant,
}
