//! The names that result columns carry when no alias says otherwise.
//!
//! In: an expression. Out: its canonical text, by ClickHouse's rules: every operator as a call (`plus(a, 1)`), constants
//! as in SQL, `[1, 2]` and `(1, 2)` when all parts are constants, else `array(…)`, `tuple(…)`. Names are never quoted.

use crate::ast::*;
use crate::print::text::put_literal;

impl Expr {
    /// The alias, or the canonical name.
    pub fn column_name(&self) -> String {
        match &self.alias {
            Some(alias) => alias.to_string(),
            None => self.canonical_name(),
        }
    }

    /// The name without regard to aliases, here or below.
    pub fn canonical_name(&self) -> String {
        let mut out = String::new();
        put_expr(&mut out, self);
        out
    }

    /// Whether this is a constant, with a sign or not, or an array or tuple of such, however it is written.
    pub fn is_list_of_constants(&self) -> bool {
        match &self.kind {
            ExprKind::Literal(_) => true,
            ExprKind::Function(f) => match f.style {
                Style::Brackets | Style::Parens => f.args.iter().all(Expr::is_list_of_constants),
                _ => f.name == "negate" && f.args.iter().all(|a| a.as_literal().is_some()),
            },
            _ => false,
        }
    }

    /// Whether this is a constant, or an array or tuple in brackets of nothing but constants.
    pub fn is_constant_text(&self) -> bool {
        match &self.kind {
            ExprKind::Literal(_) => true,
            ExprKind::Function(f) => {
                matches!(f.style, Style::Brackets | Style::Parens) && f.args.iter().all(Expr::is_constant_text)
            }
            _ => false,
        }
    }
}

fn put_expr(out: &mut String, e: &Expr) {
    match &e.kind {
        ExprKind::Literal(literal) => put_literal(out, literal),
        ExprKind::Identifier(identifier) => out.push_str(&identifier.full()),
        ExprKind::Asterisk(a) => {
            if let Some(qualifier) = &a.qualifier {
                out.push_str(&qualifier.full());
                out.push('.');
            }
            out.push('*');
        }
        ExprKind::Function(f) => put_function(out, e, f),
        ExprKind::Chain(chain) => put_chain(out, chain),
        ExprKind::Lambda(lambda) => {
            out.push_str("lambda(tuple(");
            out.push_str(&lambda.params.join(", "));
            out.push_str("), ");
            put_expr(out, &lambda.body);
            out.push(')');
        }
        ExprKind::Subquery(_) => out.push_str("_subquery"),
        ExprKind::Exists(_) => out.push_str("exists(_subquery)"),
        ExprKind::JsonPath(path) => {
            out.push_str(&format!("json_value({}, ", path.column.full()));
            put_literal(out, &Literal::string(&path.path));
            out.push(')');
        }
        ExprKind::Parameter(parameter) => out.push_str(&format!("{{{}:{}}}", parameter.name, parameter.ty)),
        ExprKind::Columns(_) | ExprKind::SessionRange(_) => out.push_str(&e.to_string()),
    }
}

fn put_function(out: &mut String, e: &Expr, f: &Function) {
    match f.style {
        Style::Brackets if e.is_constant_text() => return put_args(out, "[", &f.args, "]"),
        Style::Parens if f.args.len() > 1 && e.is_constant_text() => return put_args(out, "(", &f.args, ")"),
        _ => {}
    }
    out.push_str(&f.name);
    if f.distinct {
        out.push_str("_distinct");
    }
    put_args(out, "(", &f.args, ")");
    match f.nulls {
        Some(NullsAction::Respect) => out.push_str(" RESPECT NULLS"),
        Some(NullsAction::Ignore) => out.push_str(" IGNORE NULLS"),
        None => {}
    }
    if let Some(filter) = &f.filter {
        out.push_str(" FILTER(WHERE ");
        put_expr(out, filter);
        out.push(')');
    }
    match &f.over {
        Some(Over::Name(name)) => {
            out.push_str(" OVER ");
            out.push_str(name);
        }
        Some(Over::Spec(_)) => {
            // The clause as written: the text after the call itself.
            let text = Expr::from(Function { over: f.over.clone(), ..Function::new("w", Vec::new()) }).to_string();
            out.push_str(text.strip_prefix("w()").unwrap_or(&text));
        }
        None => {}
    }
}

fn put_args(out: &mut String, open: &str, args: &[Expr], close: &str) {
    out.push_str(open);
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        put_expr(out, arg);
    }
    out.push_str(close);
}

/// `a + b - c` is `minus(plus(a, b), c)`.
fn put_chain(out: &mut String, chain: &Chain) {
    for (op, _) in chain.rest.iter().rev() {
        out.push_str(op.function());
        out.push('(');
    }
    put_expr(out, &chain.first);
    for (_, operand) in &chain.rest {
        out.push_str(", ");
        put_expr(out, operand);
        out.push(')');
    }
}
