//! `*`, `t.*`, COLUMNS, `untuple()`: one expression that stands for many.

use super::expr::{Exprs, POSITION_MARK};
use super::scope::Show;
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::{self, ColumnTransformer};
use hydron_types::LogicalType;
use regex::Regex;

/// Aliases that are put into one name: beyond it a name says them as they were written.
const NAME_ALIASES_MAX: usize = 500;

/// A member of an expanded list: what to bind and what to call it.
pub(super) struct Member {
    pub expr: ast::Expr,
    pub name: String,
}

impl Exprs<'_> {
    /// The select list with everything expanded, each with its output name.
    pub(super) fn expand_list(&mut self, list: &[ast::Expr]) -> Result<Vec<Member>> {
        let mut members = Vec::with_capacity(list.len());
        for expr in list {
            self.b.count(1)?;
            if !self.expand(expr, &mut members)? && !self.untuple(expr, &mut members)? {
                members.push(Member { expr: expr.clone(), name: self.output_name(expr)? });
            }
        }
        Ok(members)
    }

    /// The alias, or the canonical name in which `t.a` is `a` unless an earlier source has an `a` too.
    fn output_name(&self, expr: &ast::Expr) -> Result<String> {
        if expr.alias.is_none() && expr.as_identifier().is_none() {
            let mut room = NAME_ALIASES_MAX;
            if let Some(full) = self.with_aliases(expr, &mut Vec::new(), &mut room).filter(|_| room < NAME_ALIASES_MAX)
            {
                return self.output_name_of(&full);
            }
        }
        self.output_name_of(expr)
    }

    /// The expression with what its aliases stand for in their place; `None` where that grows too large. A scalar subquery
    /// and a lambda keep the name they were given.
    fn with_aliases(&self, expr: &ast::Expr, inside: &mut Vec<String>, room: &mut usize) -> Option<ast::Expr> {
        let mut params = Vec::new();
        expr.walk(&mut |e| {
            if let ast::ExprKind::Lambda(lambda) = &e.kind {
                params.extend(lambda.params.iter().cloned());
            }
        });
        let mut whole = true;
        let full = expr.clone().map(&mut |e| {
            let Some(name) = e.as_identifier().and_then(|i| i.single()) else { return e };
            let is_column = self.prefers_columns() && matches!(self.scope.find(&[name.to_owned()], false), Ok(Some(_)));
            if is_column || params.iter().any(|p| p == name) || inside.iter().any(|n| n == name) {
                return e;
            }
            let Some(target) = self.aliases.get(name) else { return e };
            use ast::ExprKind::*;
            if matches!(target.kind, Asterisk(_) | Columns(_) | Lambda(_) | Subquery(_) | Exists(_)) {
                return e;
            }
            let Some(left) = room.checked_sub(1).filter(|_| inside.len() < 32) else {
                whole = false;
                return e;
            };
            *room = left;
            inside.push(name.to_owned());
            let target = self.with_aliases(target, inside, room);
            inside.pop();
            match target {
                Some(target) => ast::Expr { alias: None, ..target },
                None => {
                    whole = false;
                    e
                }
            }
        });
        whole.then_some(full)
    }

    /// The name in which `t.a` is `a` unless an earlier source has an `a` too.
    fn output_name_of(&self, expr: &ast::Expr) -> Result<String> {
        let qualified = |e: &ast::Expr| e.as_identifier().is_some_and(|i| i.parts.len() > 1);
        if expr.alias.is_some() || !expr.any(&mut |e| qualified(e)) {
            return Ok(expr.column_name());
        }
        let short = expr.clone().map(&mut |e| match e.as_identifier() {
            Some(name) if name.parts.len() > 1 => match self.scope.find(&name.parts, false) {
                Ok(Some(found)) if found.path.is_empty() => {
                    ast::Expr { alias: e.alias.clone(), ..ast::Expr::column(self.shown_name(found.index)) }
                }
                _ => e,
            },
            _ => e,
        });
        Ok(short.column_name())
    }

    /// Arguments with asterisks expanded; `None` when there are none.
    pub(super) fn expand_asterisks(&mut self, args: &[ast::Expr]) -> Result<Option<Vec<ast::Expr>>> {
        let many = |e: &ast::Expr| matches!(e.kind, ast::ExprKind::Asterisk(_) | ast::ExprKind::Columns(_));
        if !args.iter().any(many) {
            return Ok(None);
        }
        let mut members = Vec::new();
        for arg in args {
            if !self.expand(arg, &mut members)? {
                members.push(Member { expr: arg.clone(), name: String::new() });
            }
        }
        Ok(Some(members.into_iter().map(|m| m.expr).collect()))
    }

    fn expand(&mut self, expr: &ast::Expr, out: &mut Vec<Member>) -> Result<bool> {
        let (mut members, transformers) = match &expr.kind {
            ast::ExprKind::Asterisk(a) => {
                let columns = self.shown(a.qualifier.as_ref())?;
                (self.members(&columns), &a.transformers)
            }
            ast::ExprKind::Columns(c) => (self.columns_of(c)?, &c.transformers),
            _ => return Ok(false),
        };
        for transformer in transformers {
            members = self.transform(members, transformer)?;
        }
        out.append(&mut members);
        Ok(true)
    }

    /// Positions of the columns that an asterisk means. Errors: UNKNOWN_STREAM (60) for a qualifier without a source.
    pub(super) fn shown(&self, qualifier: Option<&ast::Identifier>) -> Result<Vec<usize>> {
        let reserved = self.env.settings.bool("asterisk_include_reserved_columns");
        let tables = match qualifier {
            None => (0..self.scope.tables.len()).collect(),
            Some(q) => {
                let tables = self.scope.tables_named(&q.parts);
                if tables.is_empty() {
                    return Err(Error::new(
                        Code::UNKNOWN_IDENTIFIER,
                        format!("\"{}\" names no source of this query", q.full()),
                    ));
                }
                tables
            }
        };
        if qualifier.is_none() {
            self.same_sources()?;
        }
        let qualified = qualifier.is_some();
        let shown = |show: Show| match show {
            Show::Yes => true,
            Show::Reserved => reserved,
            Show::ByTable => qualified,
            Show::ByName | Show::Hidden => false,
        };
        let columns = &self.scope.columns;
        let all = (0..columns.len()).filter(|i| shown(columns[*i].show) && tables.contains(&columns[*i].table));
        Ok(all.map(|i| columns[i].own.filter(|_| qualified).unwrap_or(i)).collect())
    }

    /// Errors: AMBIGUOUS_COLUMN_NAME (352) when two sources have one name, so that no column of either can be named.
    fn same_sources(&self) -> Result<()> {
        let tables = &self.scope.tables;
        for (i, a) in tables.iter().enumerate() {
            let same =
                |b: usize| a.shown().is_some() && a.shown() == tables[b].shown() && a.database == tables[b].database;
            if (i + 1..tables.len()).any(|b| same(b) && self.have_a_column_in_common(i, b)) {
                let text = format!("two sources are named \"{}\"", a.shown().map_or("", |n| n));
                return Err(Error::new(Code::AMBIGUOUS_COLUMN_NAME, text).hint("give one of them an alias"));
            }
        }
        Ok(())
    }

    fn have_a_column_in_common(&self, a: usize, b: usize) -> bool {
        let shown = |table: usize| {
            let of =
                move |c: &&super::scope::ScopeColumn| c.table == table && matches!(c.show, Show::Yes | Show::Reserved);
            self.scope.columns.iter().filter(of)
        };
        shown(a).any(|x| shown(b).any(|y| x.name == y.name))
    }

    fn members(&self, columns: &[usize]) -> Vec<Member> {
        columns.iter().map(|i| Member { expr: at(*i), name: self.shown_name(*i) }).collect()
    }

    /// The plain name, or `source.name` for a column whose plain name an earlier source has, and where three sources or more
    /// are joined.
    fn shown_name(&self, index: usize) -> String {
        let column = &self.scope.columns[index];
        let earlier = self.scope.columns[..index].iter();
        let hidden = |show: Show| matches!(show, Show::Hidden | Show::ByName | Show::ByTable);
        let taken = earlier.into_iter().any(|c| c.table != column.table && !hidden(c.show) && c.name == column.name);
        match self.scope.tables.get(column.table).and_then(|t| t.shown()) {
            Some(table) if taken || self.scope.tables.len() > 2 => format!("{table}.{}", column.name),
            _ => column.name.to_string(),
        }
    }

    fn columns_of(&mut self, columns: &ast::Columns) -> Result<Vec<Member>> {
        let shown = self.shown(columns.qualifier.as_ref())?;
        match &columns.matcher {
            ast::ColumnsMatcher::Regexp(pattern) => {
                let regex = regex(pattern)?;
                let matching: Vec<usize> =
                    shown.into_iter().filter(|i| regex.is_match(&self.scope.columns[*i].name)).collect();
                Ok(self.members(&matching))
            }
            ast::ColumnsMatcher::List(names) => names
                .iter()
                .map(|name| match self.scope.find(&name.parts, false)? {
                    Some(found) if found.path.is_empty() => {
                        Ok(Member { expr: at(found.index), name: self.shown_name(found.index) })
                    }
                    _ => Err(Error::new(
                        Code::UNKNOWN_IDENTIFIER,
                        format!("column \"{}\" of COLUMNS is unknown", name.full()),
                    )),
                })
                .collect(),
        }
    }

    fn transform(&mut self, mut members: Vec<Member>, transformer: &ColumnTransformer) -> Result<Vec<Member>> {
        match transformer {
            ColumnTransformer::Except { strict, columns } => {
                if let Some(missing) = columns.iter().find(|c| *strict && !members.iter().any(|m| m.name == **c)) {
                    return Err(Error::new(
                        Code::NO_SUCH_COLUMN_IN_STREAM,
                        format!("EXCEPT STRICT names \"{missing}\", which is not there"),
                    ));
                }
                members.retain(|m| !columns.contains(&m.name));
            }
            ColumnTransformer::ExceptRegexp(pattern) => {
                let regex = regex(pattern)?;
                members.retain(|m| !regex.is_match(&m.name));
            }
            ColumnTransformer::Replace { strict, items } => {
                for item in items {
                    let name = item.column_name();
                    match members.iter_mut().find(|m| m.name == name) {
                        // The alias is only the name of the column it replaces.
                        Some(member) => member.expr = ast::Expr { alias: None, ..item.clone() },
                        None if *strict => {
                            let text = format!("REPLACE STRICT names \"{name}\", which is not there");
                            return Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, text));
                        }
                        None => {}
                    }
                }
            }
            ColumnTransformer::Apply(apply) => {
                for member in &mut members {
                    apply_to(member, apply)?;
                }
            }
        }
        Ok(members)
    }

    /// `untuple(t)`: one member for each element.
    fn untuple(&mut self, expr: &ast::Expr, out: &mut Vec<Member>) -> Result<bool> {
        let Some(f) = expr.as_function().filter(|f| f.name == "untuple") else { return Ok(false) };
        let [arg] = f.args.as_slice() else {
            let text = format!("\"untuple\" takes 1 argument, given {}", f.args.len());
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        };
        let bound = self.bind_in(arg, super::expr::Place::SELECT)?;
        let LogicalType::Tuple(elements) = bound.ty.bare() else {
            let text = format!("\"untuple\" needs a tuple, not {}", bound.ty);
            return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text));
        };
        let base =
            expr.alias.as_ref().map_or_else(|| format!("tuple_element({}", arg.column_name()), |a| a.to_string());
        for (i, (name, _)) in elements.iter().enumerate() {
            let step = name.as_ref().map_or_else(|| (i + 1).to_string(), |n| n.to_string());
            let shown = match &expr.alias {
                Some(_) => format!("{base}.{step}"),
                None if name.is_some() => format!("{base}, '{step}')"),
                None => format!("{base}, {step})"),
            };
            let position = ast::Literal::UInt(i as u64 + 1).into();
            out.push(Member { expr: ast::Expr::call("tuple_element", vec![arg.clone(), position]), name: shown });
        }
        Ok(true)
    }
}

/// The column at a position, whatever names say.
pub(super) fn at(index: usize) -> ast::Expr {
    let parts = vec![POSITION_MARK.to_string(), index.to_string()];
    ast::ExprKind::Identifier(ast::Identifier { parts }).into()
}

fn apply_to(member: &mut Member, apply: &ast::Apply) -> Result<()> {
    match apply {
        ast::Apply::Function { name, params, prefix } => {
            let old = std::mem::replace(&mut member.expr, ast::Literal::Null.into());
            let mut args = vec![old];
            args.extend(params.iter().cloned());
            member.expr = ast::Expr::call(name.clone(), args);
            member.name = match prefix {
                Some(prefix) => format!("{prefix}{}", member.name),
                None => {
                    let mut shown = vec![ast::Expr::column(&*member.name)];
                    shown.extend(params.iter().cloned());
                    ast::Expr::call(name.clone(), shown).canonical_name()
                }
            };
        }
        ast::Apply::Lambda(lambda) => {
            let [param] = lambda.params.as_slice() else {
                return Err(Error::bad_arguments("APPLY takes a lambda of one parameter"));
            };
            let put = |value: &ast::Expr| {
                lambda.body.clone().map(&mut |e| match e.as_identifier().and_then(|i| i.single()) {
                    Some(name) if name == param => value.clone(),
                    _ => e,
                })
            };
            member.name = put(&ast::Expr::column(&*member.name)).canonical_name();
            member.expr = put(&member.expr);
        }
    }
    Ok(())
}

fn regex(pattern: &str) -> Result<Regex> {
    Regex::new(pattern)
        .map_err(|e| Error::new(Code::CANNOT_COMPILE_REGEXP, format!("'{pattern}' is not a regular expression: {e}")))
}
