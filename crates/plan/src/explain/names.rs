//! Expressions as text, with the names of the columns they read instead of positions.
//!
//! A name that two columns of one input have is followed by its position: `i#0`, `i#3`.

use crate::expr::{AggCall, Expr, ExprKind};
use crate::node::{Emit, Forget, Interval, LagCall, SortKey, Trigger};
use hydron_types::Schema;
use hydron_types::logical::identifier;

/// The names that expressions over one input read.
#[derive(Clone, Copy)]
pub struct Names<'a>(pub &'a Schema);

impl Names<'_> {
    pub fn column(&self, index: usize) -> String {
        let Some(field) = self.0.fields.get(index) else { return format!("#{index}") };
        let name = identifier(&field.name);
        match self.0.fields.iter().filter(|f| f.name == field.name).count() {
            1 => name.into_owned(),
            _ => format!("{name}#{index}"),
        }
    }

    pub fn expr(&self, expr: &Expr) -> String {
        text(expr, &|index| self.column(index))
    }

    /// `a, plus(b, 1)`
    pub fn list<'e>(&self, exprs: impl IntoIterator<Item = &'e Expr>) -> String {
        exprs.into_iter().map(|e| self.expr(e)).collect::<Vec<_>>().join(", ")
    }

    /// `sum(v) filter greater(v, 1)`
    pub fn aggregate(&self, call: &AggCall) -> String {
        let mut text = format!("{}({})", call.name, self.list(&call.args));
        if let Some(filter) = &call.filter {
            text += &format!(" filter {}", self.expr(filter));
        }
        text
    }

    pub fn aggregates(&self, calls: &[AggCall]) -> String {
        calls.iter().map(|c| self.aggregate(c)).collect::<Vec<_>>().join(", ")
    }

    /// `a desc, b nulls first`
    pub fn sort_keys(&self, keys: &[SortKey]) -> String {
        let key = |k: &SortKey| {
            let direction = if k.descending { " desc" } else { "" };
            let nulls = if k.nulls_first { " nulls first" } else { "" };
            format!("{}{direction}{nulls}", self.expr(&k.expr))
        };
        keys.iter().map(key).collect::<Vec<_>>().join(", ")
    }
}

/// A lambda's body sees captured columns first, then its parameters, which are `x1`, `x2`, … here.
fn text(expr: &Expr, name: &dyn Fn(usize) -> String) -> String {
    match &expr.kind {
        ExprKind::Column(index) => name(*index),
        ExprKind::Literal(value) => hydron_types::sql_literal(value, &expr.ty),
        ExprKind::Call { name: function, args, .. } => {
            let mut args: Vec<String> = args.iter().map(|a| text(a, name)).collect();
            if matches!(&**function, "in" | "not_in") && args.len() == 1 {
                // The set is in the kernel.
                args.push("…".to_string());
            }
            format!("{function}({})", args.join(", "))
        }
        ExprKind::Lambda { captures, params, body } => {
            let inside = |index: usize| match captures.get(index) {
                Some(outer) => name(*outer),
                None => format!("x{}", index - captures.len() + 1),
            };
            let params: Vec<String> = (1..=params.len()).map(|i| format!("x{i}")).collect();
            format!("({}) -> {}", params.join(", "), text(body, &inside))
        }
    }
}

/// `5 second`
pub fn interval_text(interval: &Interval) -> String {
    format!("{} {}", interval.count, interval.unit.name())
}

/// `after watermark delay 2 second`
pub fn emit_text(emit: &Emit) -> String {
    let mut text = match emit.trigger {
        Trigger::AfterWatermark => "after watermark".to_string(),
        Trigger::Periodic(ms) => format!("periodic {ms} ms"),
        Trigger::OnUpdate => "on update".to_string(),
        Trigger::PerEvent => "per event".to_string(),
        Trigger::PeriodicOnUpdate(ms) => format!("periodic {ms} ms on update"),
    };
    if emit.repeat {
        text += " repeat";
    }
    if emit.changelog {
        text += " changelog";
    }
    if let Some(delay) = &emit.delay {
        text += &format!(" delay {}", interval_text(delay));
    }
    if let Some(timeout) = emit.timeout_ms {
        text += &format!(" timeout {timeout} ms");
    }
    text
}

/// `Lags i 2..2 back, v 1..3 back by t`
pub fn lags_text(calls: &[LagCall], keys: &[Expr], schema: &Schema) -> String {
    let names = Names(schema);
    let call = |c: &LagCall| match c.number {
        true => "row_number()".to_string(),
        false => format!("{} {}..{} back", names.expr(&c.value), c.from, c.to),
    };
    let by = if keys.is_empty() { String::new() } else { format!(" by {}", names.list(keys)) };
    format!("Lags {}{by}", calls.iter().map(call).collect::<Vec<_>>().join(", "))
}

/// ` forgotten after 1000 ms, beyond 2 keys`
pub fn forget_text(forget: Forget) -> String {
    let after = forget.after_ms.map(|ms| format!("after {ms} ms"));
    let beyond = forget.keys_max.map(|n| format!("beyond {n} keys"));
    let parts: Vec<String> = after.into_iter().chain(beyond).collect();
    if parts.is_empty() { String::new() } else { format!(" forgotten {}", parts.join(", ")) }
}
