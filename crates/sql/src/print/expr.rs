//! Expressions, as ClickHouse prints them: an operator inside an operator stands in parentheses.

use super::{Printer, text};
use crate::ast::*;

/// Longer chains are printed flat: nested parentheses would be deeper than the parser goes.
const NESTED_CHAIN_MAX: usize = 16;

impl Printer {
    pub(super) fn expr(&mut self, e: &Expr) {
        self.operand(e, false, false);
    }

    /// Where the grammar takes no alias, one goes into parentheses.
    pub(super) fn bare(&mut self, e: &Expr) {
        self.put_if(e.alias.is_some(), "(");
        self.expr(e);
        self.put_if(e.alias.is_some(), ")");
    }

    pub(super) fn exprs(&mut self, items: &[Expr]) {
        self.list(items, |p, e| p.expr(e));
    }

    pub(super) fn identifier(&mut self, identifier: &Identifier) {
        for (i, part) in identifier.parts.iter().enumerate() {
            self.put_if(i > 0, ".");
            self.name(part);
        }
    }

    pub(super) fn literal(&mut self, literal: &Literal) {
        text::put_literal(&mut self.out, literal);
    }

    /// `inside` an operator, operators and aliases need parentheses; the `last` operand may be a bare `NOT 1`.
    fn operand(&mut self, e: &Expr, inside: bool, last: bool) {
        let parens = inside && (e.alias.is_some() || needs_parens(e, last));
        self.put_if(parens, "(");
        self.kind(e);
        if let Some(alias) = &e.alias {
            self.put(" AS ");
            self.name(alias);
        }
        self.put_if(parens, ")");
    }

    fn kind(&mut self, e: &Expr) {
        match &e.kind {
            ExprKind::Literal(literal) => self.literal(literal),
            ExprKind::Identifier(identifier) => self.identifier(identifier),
            ExprKind::Asterisk(a) => self.asterisk(a),
            ExprKind::Columns(c) => self.columns(c),
            ExprKind::Function(f) => self.function(f),
            ExprKind::Chain(chain) => self.chain(chain),
            ExprKind::Lambda(lambda) => self.lambda(lambda),
            ExprKind::Subquery(query) => self.subquery(query),
            ExprKind::Exists(query) => {
                self.put("EXISTS ");
                self.subquery(query);
            }
            ExprKind::JsonPath(path) => self.json_path(path),
            ExprKind::Parameter(parameter) => {
                self.put("{");
                self.name(&parameter.name);
                self.put(&format!(":{}}}", parameter.ty));
            }
            ExprKind::SessionRange(range) => {
                self.put(if range.start_inclusive { "[" } else { "(" });
                self.expr(&range.start);
                self.put(", ");
                self.expr(&range.end);
                self.put(if range.end_inclusive { "]" } else { ")" });
            }
        }
    }

    pub(super) fn subquery(&mut self, query: &Query) {
        self.put("(");
        self.deeper(|p| {
            if p.pretty {
                p.line();
            }
            p.query(query);
        });
        if self.pretty {
            self.line();
        }
        self.put(")");
    }

    pub(super) fn function(&mut self, f: &Function) {
        match (f.style, f.args.as_slice()) {
            (Style::Infix, [left, right]) if f.name.ends_with("in") && infix(&f.name).is_some() => {
                self.in_list(f, left, right)
            }
            (Style::Infix, args) if args.len() > 1 && infix(&f.name).is_some() => {
                let symbol = infix(&f.name).unwrap_or("");
                for (i, arg) in args.iter().enumerate() {
                    if i > 0 {
                        self.put(&format!(" {symbol} "));
                    }
                    self.operand(arg, true, i + 1 == args.len());
                }
            }
            (Style::Prefix, [operand]) => self.prefix(f, operand),
            (Style::Postfix, [operand]) => {
                self.operand(operand, true, false);
                self.put(if f.name == "is_null" { " IS NULL" } else { " IS NOT NULL" });
            }
            (Style::Subscript, [base, index]) => {
                self.access_base(base, false);
                self.put("[");
                self.expr(index);
                self.put("]");
            }
            (Style::Dot, [base, element]) => self.dot(base, element),
            (Style::Brackets, args) => {
                self.put("[");
                self.exprs(args);
                self.put("]");
            }
            (Style::Parens, args) => {
                self.put("(");
                self.exprs(args);
                self.put_if(args.len() == 1, ",");
                self.put(")");
            }
            (Style::Interval, [amount]) => {
                self.put("INTERVAL ");
                let again =
                    amount.as_function().is_some_and(|f| matches!(f.style, Style::Interval | Style::IntervalToken));
                self.put_if(again, "(");
                self.operand(amount, !again, false);
                self.put_if(again, ")");
                let unit = f.name.strip_prefix("to_interval_").unwrap_or("second");
                self.put(&format!(" {}", unit.to_ascii_uppercase()));
            }
            (Style::IntervalToken, [amount]) => {
                self.bare(amount);
                self.put(interval_suffix(&f.name));
            }
            _ => self.call(f),
        }
    }

    pub(super) fn call(&mut self, f: &Function) {
        self.name(&f.name);
        self.put("(");
        self.put_if(f.distinct, "DISTINCT ");
        self.exprs(&f.args);
        self.put(")");
        match f.nulls {
            Some(NullsAction::Respect) => self.put(" RESPECT NULLS"),
            Some(NullsAction::Ignore) => self.put(" IGNORE NULLS"),
            None => {}
        }
        if let Some(filter) = &f.filter {
            self.put(" FILTER(WHERE ");
            self.bare(filter);
            self.put(")");
        }
        match &f.over {
            Some(Over::Name(name)) => {
                self.put(" OVER ");
                self.name(name);
            }
            Some(Over::Spec(spec)) => {
                self.put(" OVER ");
                self.window_spec(spec);
            }
            None => {}
        }
    }

    pub(super) fn window_spec(&mut self, spec: &WindowSpec) {
        let mut parts = 0;
        let mut next = |p: &mut Self| {
            p.put_if(parts > 0, " ");
            parts += 1;
        };
        self.put("(");
        if let Some(base) = &spec.base {
            next(self);
            self.name(base);
        }
        if !spec.partition_by.is_empty() {
            next(self);
            self.put("PARTITION BY ");
            self.exprs(&spec.partition_by);
        }
        if !spec.order_by.is_empty() {
            next(self);
            self.put("ORDER BY ");
            self.order_items(&spec.order_by);
        }
        if let Some(frame) = &spec.frame {
            next(self);
            self.frame(frame);
        }
        self.put(")");
    }

    fn frame(&mut self, frame: &WindowFrame) {
        self.put(match frame.unit {
            FrameUnit::Rows => "ROWS ",
            FrameUnit::Range => "RANGE ",
            FrameUnit::Groups => "GROUPS ",
        });
        self.put_if(frame.end.is_some(), "BETWEEN ");
        self.frame_bound(&frame.start);
        if let Some(end) = &frame.end {
            self.put(" AND ");
            self.frame_bound(end);
        }
    }

    fn frame_bound(&mut self, bound: &FrameBound) {
        match bound {
            FrameBound::CurrentRow => self.put("CURRENT ROW"),
            FrameBound::UnboundedPreceding => self.put("UNBOUNDED PRECEDING"),
            FrameBound::UnboundedFollowing => self.put("UNBOUNDED FOLLOWING"),
            FrameBound::Preceding(e) => {
                self.operand(e, true, false);
                self.put(" PRECEDING");
            }
            FrameBound::Following(e) => {
                self.operand(e, true, false);
                self.put(" FOLLOWING");
            }
        }
    }

    /// `x IN (1)`: what is neither a list nor a set of its own gets parentheses.
    fn in_list(&mut self, f: &Function, left: &Expr, right: &Expr) {
        self.operand(left, true, false);
        self.put(&format!(" {} ", infix(&f.name).unwrap_or("IN")));
        let own = match &right.kind {
            ExprKind::Subquery(_) | ExprKind::Identifier(_) | ExprKind::Parameter(_) => true,
            ExprKind::Function(f) => matches!(f.style, Style::Call | Style::Parens | Style::Brackets),
            _ => false,
        };
        if own {
            return self.operand(right, true, true);
        }
        self.put("(");
        self.expr(right);
        self.put(")");
    }

    fn prefix(&mut self, f: &Function, operand: &Expr) {
        if f.name == "not" {
            self.put("NOT ");
            return self.operand(operand, true, true);
        }
        self.put("-");
        let again = match &operand.kind {
            ExprKind::Literal(_) => true,
            ExprKind::Function(inner) => {
                inner.style == Style::Prefix || inner.style == Style::IntervalToken || starts_with_number(operand)
            }
            _ => false,
        };
        if again {
            self.put("(");
            self.expr(operand);
            return self.put(")");
        }
        self.operand(operand, true, false);
    }

    fn access_base(&mut self, base: &Expr, dot: bool) {
        let bare = base.alias.is_none()
            && match &base.kind {
                ExprKind::Identifier(_) | ExprKind::Subquery(_) | ExprKind::Parameter(_) => true,
                ExprKind::Literal(literal) => matches!(literal, Literal::String(_)) && !dot,
                ExprKind::Function(f) => {
                    let plain = f.over.is_none() && f.filter.is_none() && f.nulls.is_none();
                    let style = matches!(
                        f.style,
                        Style::Call | Style::Subscript | Style::Dot | Style::Brackets | Style::Parens
                    );
                    // `t.-1.2` would be the element -1.2: after a minus digits are a number like any other.
                    let negative = matches!(
                        f.args.last().map(|e| &e.kind),
                        Some(ExprKind::Literal(Literal::Int(n))) if f.style == Style::Dot && *n < 0
                    );
                    plain && style && !negative
                }
                _ => false,
            };
        self.put_if(!bare, "(");
        self.expr(base);
        self.put_if(!bare, ")");
    }

    fn dot(&mut self, base: &Expr, element: &Expr) {
        let name = element.as_literal().and_then(Literal::as_str);
        // `t.name` alone would read as a dotted name.
        let ambiguous = name.is_some() && base.alias.is_none() && base.as_identifier().is_some();
        self.put_if(ambiguous, "(");
        self.access_base(base, true);
        self.put_if(ambiguous, ")");
        self.put(".");
        match name {
            Some(name) => self.name(name),
            None => self.expr(element),
        }
    }

    fn chain(&mut self, chain: &Chain) {
        let nested = chain.rest.len() <= NESTED_CHAIN_MAX;
        for _ in 1..chain.rest.len() {
            self.put_if(nested, "(");
        }
        self.operand(&chain.first, true, false);
        for (i, (op, operand)) in chain.rest.iter().enumerate() {
            let last = i + 1 == chain.rest.len();
            self.put(&format!(" {} ", op.symbol()));
            self.operand(operand, true, last);
            self.put_if(nested && !last, ")");
        }
    }

    pub(super) fn lambda(&mut self, lambda: &Lambda) {
        match lambda.params.as_slice() {
            [one] => self.name(one),
            many => {
                self.put("(");
                self.list(many, |p, name| p.name(name));
                self.put(")");
            }
        }
        self.put(" -> ");
        self.bare(&lambda.body);
    }

    /// `$.a.b[0]` to `col:a.b[0]`
    fn json_path(&mut self, path: &JsonPath) {
        self.identifier(&path.column);
        self.put(":");
        self.put(path.path.strip_prefix("$.").unwrap_or(&path.path));
    }

    fn asterisk(&mut self, a: &Asterisk) {
        if let Some(qualifier) = &a.qualifier {
            self.identifier(qualifier);
            self.put(".");
        }
        self.put("*");
        self.transformers(&a.transformers);
    }

    fn columns(&mut self, c: &Columns) {
        if let Some(qualifier) = &c.qualifier {
            self.identifier(qualifier);
            self.put(".");
        }
        self.put("COLUMNS(");
        match &c.matcher {
            ColumnsMatcher::Regexp(regexp) => self.quoted(regexp),
            ColumnsMatcher::List(names) => self.list(names, |p, name| p.identifier(name)),
        }
        self.put(")");
        self.transformers(&c.transformers);
    }

    fn transformers(&mut self, transformers: &[ColumnTransformer]) {
        for transformer in transformers {
            match transformer {
                ColumnTransformer::Except { strict, columns } => {
                    self.put(if *strict { " EXCEPT STRICT (" } else { " EXCEPT (" });
                    self.list(columns, |p, name| p.name(name));
                    self.put(")");
                }
                ColumnTransformer::ExceptRegexp(regexp) => {
                    self.put(" EXCEPT(");
                    self.quoted(regexp);
                    self.put(")");
                }
                ColumnTransformer::Replace { strict, items } => {
                    self.put(if *strict { " REPLACE STRICT (" } else { " REPLACE (" });
                    self.exprs(items);
                    self.put(")");
                }
                ColumnTransformer::Apply(apply) => self.apply(apply),
            }
        }
    }

    fn apply(&mut self, apply: &Apply) {
        self.put(" APPLY(");
        match apply {
            Apply::Lambda(lambda) => self.lambda(lambda),
            Apply::Function { name, params, prefix } => {
                self.name(name);
                if !params.is_empty() {
                    self.put("(");
                    self.exprs(params);
                    self.put(")");
                }
                self.opt_string(", ", prefix);
            }
        }
        self.put(")");
    }
}

fn needs_parens(e: &Expr, last: bool) -> bool {
    match &e.kind {
        ExprKind::Chain(_) | ExprKind::Lambda(_) => true,
        ExprKind::Asterisk(a) => !a.transformers.is_empty(),
        ExprKind::Columns(c) => !c.transformers.is_empty(),
        ExprKind::Function(f) => match f.style {
            Style::Infix => f.args.len() > 1 && infix(&f.name).is_some(),
            // `(a[1]) = 2`, as ClickHouse prints it.
            Style::Postfix | Style::Subscript | Style::Dot => true,
            Style::Prefix if f.name == "not" => {
                let bare = f.args.first().is_some_and(|a| a.alias.is_none() && a.as_literal().is_some());
                !(bare && last)
            }
            Style::Prefix => true,
            _ => false,
        },
        _ => false,
    }
}

/// Whether the text starts with digits, which a minus before it would take: `-(1.5)[1]`.
fn starts_with_number(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Literal(literal) => !matches!(literal, Literal::String(_)),
        ExprKind::Function(f) if matches!(f.style, Style::Subscript | Style::Dot) => {
            f.args.first().is_some_and(starts_with_number)
        }
        _ => false,
    }
}

/// The operator of a canonical function name.
fn infix(name: &str) -> Option<&'static str> {
    Some(match name {
        "and" => "AND",
        "or" => "OR",
        "plus" => "+",
        "minus" => "-",
        "multiply" => "*",
        "divide" => "/",
        "modulo" => "%",
        "int_div" => "DIV",
        "equals" => "=",
        "not_equals" => "!=",
        "less" => "<",
        "less_or_equals" => "<=",
        "greater" => ">",
        "greater_or_equals" => ">=",
        "is_not_distinct_from" => "<=>",
        "like" => "LIKE",
        "not_like" => "NOT LIKE",
        "ilike" => "ILIKE",
        "not_ilike" => "NOT ILIKE",
        "match" => "REGEXP",
        "in" => "IN",
        "not_in" => "NOT IN",
        "global_in" => "GLOBAL IN",
        "global_not_in" => "GLOBAL NOT IN",
        _ => return None,
    })
}

fn interval_suffix(function: &str) -> &'static str {
    match function {
        "to_interval_nanosecond" => "ns",
        "to_interval_microsecond" => "us",
        "to_interval_millisecond" => "ms",
        "to_interval_minute" => "m",
        "to_interval_hour" => "h",
        "to_interval_day" => "d",
        "to_interval_week" => "w",
        "to_interval_month" => "M",
        "to_interval_quarter" => "q",
        "to_interval_year" => "y",
        _ => "s",
    }
}
