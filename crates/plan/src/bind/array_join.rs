//! ARRAY JOIN: a row for each element.

use super::Binder;
use super::alias::Aliases;
use super::env::Env;
use super::expr::{ARRAY_JOINS, Exprs, Place};
use super::scope::{Scope, Show};
use super::source::From;
use crate::expr::Expr;
use crate::node::{Node, Plan};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast;
use hydron_types::{Field, LogicalType, Schema};
use std::sync::Arc;

/// One array to unfold: a column of the source in place, or a new column.
struct Item {
    /// `None`: the column at `column` becomes its element.
    new: Option<(Arc<str>, Expr)>,
    column: usize,
    element: LogicalType,
}

impl<'a> Binder<'a> {
    pub(super) fn array_join(
        &self,
        from: From,
        join: &ast::ArrayJoin,
        env: &Env<'_>,
        aliases: &Aliases<'_>,
    ) -> Result<From> {
        if join.items.is_empty() {
            return Err(Error::new(
                Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH,
                "ARRAY JOIN takes at least 1 argument, given 0",
            ));
        }
        let From { plan, scope, flat, unnamed, window } = from;
        let mut x = Exprs::new(self, env, scope, aliases, plan.streaming);
        let mut items = Vec::with_capacity(join.items.len());
        for item in &join.items {
            self.array_items(&mut x, item, &mut items)?;
        }
        let mut plan = plan;
        if items.len() > 1 && env.settings.bool("enable_unaligned_array_join") {
            plan = same_lengths(&mut x, plan, &mut items)?;
        }
        let mut scope = x.scope;
        plan = plan.extend(items.iter().filter_map(|i| i.new.clone()).collect());
        let mut columns = Vec::with_capacity(items.len());
        for item in items {
            match item.new {
                Some((name, _)) => columns.push(scope.push(&name, item.element, Show::ByName)),
                None => {
                    scope.columns[item.column].ty = item.element;
                    columns.push(item.column);
                }
            }
        }
        plan = unfold(plan, columns, join.left, &scope);
        Ok(From { plan, scope, flat, unnamed, window })
    }

    /// One item is one array, or, for the name of a nested column, each array of it.
    fn array_items(&self, x: &mut Exprs<'_>, item: &ast::Expr, items: &mut Vec<Item>) -> Result<()> {
        if let Some(name) = item.as_identifier()
            && x.scope.find(&name.parts, false)?.is_none()
        {
            let prefix = format!("{}.", name.short());
            let nested: Vec<usize> =
                (0..x.scope.columns.len()).filter(|i| x.scope.columns[*i].name.starts_with(&prefix)).collect();
            for column in &nested {
                let found = x.scope.columns[*column].clone();
                let (array, element) = x.array_of_rows(Expr::column(*column, found.ty))?;
                let other = item.alias.as_ref().filter(|a| a.as_ref() != name.short());
                let alias = other.map(|a| Arc::from(format!("{a}.{}", &found.name[prefix.len()..])));
                items.push(Item { new: alias.map(|a| (a, array)), column: *column, element });
            }
            if !nested.is_empty() {
                return Ok(());
            }
        }
        // The alias names the element; the expression itself means the array.
        let bare = ast::Expr { alias: None, ..item.clone() };
        let bound =
            x.bind_in(&bare, Place { name: "ARRAY JOIN", array_join: Some(Code::ILLEGAL_COLUMN), ..Place::ROW })?;
        let (array, element) = x.array_of_rows(bound)?;
        let item = match (&item.alias, array.as_column()) {
            (None, Some(column)) => Item { new: None, column, element },
            // Under its own name the element takes the place of the array.
            (Some(alias), Some(column)) if *x.scope.columns[column].name == **alias => {
                Item { new: None, column, element }
            }
            (alias, _) => {
                let name = alias.as_ref().map_or_else(|| bare.canonical_name(), |a| a.to_string());
                Item { new: Some((Arc::from(name), array)), column: 0, element }
            }
        };
        items.push(item);
        Ok(())
    }
}

/// Arrays of one row made as long as the longest of them, by defaults.
fn same_lengths(x: &mut Exprs<'_>, plan: Plan, items: &mut [Item]) -> Result<Plan> {
    let mut columns = plan.columns();
    let mut longest: Option<Expr> = None;
    let array = |item: &Item, columns: &[(Arc<str>, Expr)]| match &item.new {
        Some((_, array)) => array.clone(),
        None => columns[item.column].1.clone(),
    };
    for item in items.iter() {
        let length = x.call("length", vec![array(item, &columns)])?;
        longest = Some(match longest {
            Some(other) => x.call("greatest", vec![other, length])?,
            None => length,
        });
    }
    let Some(longest) = longest else { return Ok(plan) };
    for item in items {
        let resized = x.call("array_resize", vec![array(item, &columns), longest.clone()])?;
        match &mut item.new {
            Some((_, array)) => *array = resized,
            None => columns[item.column].1 = resized,
        }
    }
    // Items that are expressions read the columns as they were, so they are worked out below the others.
    Ok(plan.project(columns))
}

/// The node; its schema is that of the scope.
fn unfold(input: Plan, columns: Vec<usize>, left: bool, scope: &Scope) -> Plan {
    let fields = input
        .schema
        .fields
        .iter()
        .zip(&scope.columns)
        .map(|(f, c)| Field::new(Arc::clone(&f.name), c.ty.clone()))
        .collect();
    let (streaming, change) = (input.streaming, input.change);
    let node = Node::ArrayJoin { input: Box::new(input), columns, left };
    Plan { node, schema: Arc::new(Schema::new(fields)), streaming, change }
}

/// Carries out the `array_join()` calls `from..` of `x`: `plan` gets a column for each, at the position that `place` is told.
/// Different arrays multiply, so each has a node of its own.
pub(super) fn unfold_calls(
    mut plan: Plan,
    arrays: &[(usize, Expr)],
    mut place: impl FnMut(usize, usize),
) -> Result<Plan> {
    for (call, array) in arrays {
        let LogicalType::Array(element) = array.ty.bare().clone() else {
            return Err(Error::bug("array_join of something else than an array"));
        };
        let position = plan.schema.len();
        let input = plan.extend(vec![(Arc::from("array_join"), array.clone())]);
        let mut fields = input.schema.fields.clone();
        fields[position].ty = *element;
        let (streaming, change) = (input.streaming, input.change);
        let node = Node::ArrayJoin { input: Box::new(input), columns: vec![position], left: false };
        plan = Plan { node, schema: Arc::new(Schema::new(fields)), streaming, change };
        place(ARRAY_JOINS + call, position);
    }
    Ok(plan)
}
