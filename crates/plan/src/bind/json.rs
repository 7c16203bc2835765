//! Paths of json columns: which column a path belongs to, and the type of what lies on it.
//!
//! In: `column.a.b` over a source. Out: a call that reads the path of each document as one type. Promise: the type is decided
//! here, from what the stream's rows have shown so far, and holds for the whole query: a value that comes later and does not fit
//! is converted or read as the default. A kept query goes on with the types it began with (`json_path_types`).

use super::Binder;
use super::expr::Exprs;
use super::source::From;
use crate::catalog::StreamInfo;
use crate::expr::{Expr, ExprKind};
use crate::node::{Aggregate, Join, Node, Plan, ScanColumn};
use hydron_base::Result;
use hydron_types::{JsonShape, LogicalType, Value, parse_type};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of a json column.
#[derive(Debug)]
pub(super) struct JsonPaths {
    /// `database.stream.column`
    name: String,
    shape: Arc<JsonShape>,
}

impl Binder<'_> {
    /// Finds the streams that the json columns of a source come from.
    pub(super) fn find_json(&self, from: &mut From) {
        for (at, column) in from.scope.columns.iter_mut().enumerate() {
            if !holds_json(&column.ty) || column.json.is_some() {
                continue;
            }
            let Some((stream, at)) = origin(&from.plan, at) else { continue };
            let Some(stored) = stream.columns.get(at) else { continue };
            let name = format!("{}.{}.{}", stream.database, stream.name, stored.name);
            let shape = self.catalog.json_shape(&stream, &stored.name).unwrap_or_default();
            column.json = Some(Arc::new(JsonPaths { name, shape }));
        }
    }

    /// The types that paths were read in, for the setting of this name.
    pub(super) fn json_path_types(&self) -> String {
        let types = self.json_types.borrow();
        match types.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&*types).unwrap_or_default(),
        }
    }
}

impl Exprs<'_> {
    /// What is known of a value that is a json column as it is.
    pub(super) fn json_of(&self, value: &Expr) -> Option<Arc<JsonPaths>> {
        match &value.kind {
            ExprKind::Column(at) if self.lambdas.is_empty() => self.scope.columns.get(*at)?.json.clone(),
            // An element of an array of documents.
            ExprKind::Call { name, args, .. } if &**name == "array_element" => self.json_of(args.first()?),
            _ => None,
        }
    }

    /// What lies on `path` of the documents of `value`.
    pub(super) fn json_subcolumn(&mut self, value: Expr, path: &[String], json: Option<&JsonPaths>) -> Result<Expr> {
        let ty = match json {
            Some(json) => self.path_type(json, path)?,
            // A document that is known now shows its own paths.
            None => {
                let document = value.as_literal().and_then(Value::as_bytes);
                let document = document.and_then(|text| serde_json::from_slice(text).ok());
                document.and_then(|d| JsonShape::of(&d).type_at(path)).unwrap_or(LogicalType::String)
            }
        };
        let ty = if *value.ty.bare() == LogicalType::Json { ty } else { LogicalType::array(ty) };
        let text = |text: &str| Expr::literal(Value::string(text), LogicalType::String);
        let mut args = vec![value];
        args.extend(path.iter().map(|step| text(step)));
        args.push(text(&ty.to_string()));
        self.call("json_subcolumn", args)
    }

    fn path_type(&self, json: &JsonPaths, path: &[String]) -> Result<LogicalType> {
        // The history beside a stream is read in types of its own.
        let kind = if self.cx.streaming { "" } else { " of history" };
        let key = format!("{}:{}{kind}", json.name, path.join("."));
        let kept = self.cx.settings.text("json_path_types");
        let kept: BTreeMap<String, String> = match kept.is_empty() {
            true => BTreeMap::new(),
            false => serde_json::from_str(kept).unwrap_or_default(),
        };
        let ty = match kept.get(&key) {
            Some(ty) => parse_type(ty)?,
            None if self.cx.streaming => json.shape.widest().type_at(path).unwrap_or(LogicalType::String),
            None => json.shape.type_at(path).unwrap_or(LogicalType::String),
        };
        self.b.json_types.borrow_mut().insert(key, ty.to_string());
        Ok(ty)
    }
}

/// Whether paths lead into a value of the type: a document, or an array of them.
pub(super) fn holds_json(ty: &LogicalType) -> bool {
    match ty.bare() {
        LogicalType::Json => true,
        LogicalType::Array(item) => *item.bare() == LogicalType::Json,
        _ => false,
    }
}

/// The stream and its column that column `at` of a plan is, unchanged.
fn origin(plan: &Plan, at: usize) -> Option<(Arc<StreamInfo>, usize)> {
    match &plan.node {
        Node::Scan(scan) => match scan.columns.get(at)? {
            ScanColumn::Stored(column) => Some((Arc::clone(&scan.stream), *column)),
            _ => None,
        },
        Node::Project { input, exprs } => origin(input, column_of(exprs.get(at)?)?),
        Node::Aggregate(Aggregate { input, keys, .. }) => origin(input, column_of(keys.get(at)?)?),
        Node::Join(Join { left, right, .. }) => match at.checked_sub(left.schema.len()) {
            None => origin(left, at),
            Some(at) => origin(right, at),
        },
        Node::Union { inputs } => origin(inputs.first()?, at),
        Node::SetOperation { left, .. } => origin(left, at),
        Node::Values { .. } | Node::Numbers { .. } => None,
        _ => {
            let input = *plan.inputs().first()?;
            if at < input.schema.len() { origin(input, at) } else { None }
        }
    }
}

fn column_of(expr: &Expr) -> Option<usize> {
    match expr.kind {
        ExprKind::Column(at) => Some(at),
        _ => None,
    }
}
