//! Plans from parts: each keeps the schema, the streaming flag and the change semantics that follow from its input.

use crate::expr::Expr;
use crate::node::{Change, Node, Plan, SortKey};
use hydron_types::{Batch, Field, LogicalType, Schema};
use std::sync::Arc;

impl Plan {
    /// A plan over `input` that keeps its streaming flag and change semantics.
    pub fn over(input: &Plan, schema: Arc<Schema>, node: Node) -> Plan {
        Plan { node, schema, streaming: input.streaming, change: input.change }
    }

    /// One row without columns.
    pub fn one_row() -> Plan {
        let schema = Arc::new(Schema::default());
        let batch = Batch::new(Arc::clone(&schema), Vec::new(), 1);
        Plan { node: Node::Values { batches: vec![batch] }, schema, streaming: false, change: Change::Append }
    }

    /// Rows known now.
    pub fn values(schema: Arc<Schema>, batches: Vec<Batch>) -> Plan {
        Plan { node: Node::Values { batches }, schema, streaming: false, change: Change::Append }
    }

    pub fn filter(self, predicate: Expr) -> Plan {
        let schema = Arc::clone(&self.schema);
        Plan {
            streaming: self.streaming,
            change: self.change,
            schema,
            node: Node::Filter { input: Box::new(self), predicate },
        }
    }

    /// One column for each named expression.
    pub fn project(self, columns: Vec<(Arc<str>, Expr)>) -> Plan {
        let fields = columns.iter().map(|(n, e)| Field::new(Arc::clone(n), e.ty.clone())).collect();
        let exprs = columns.into_iter().map(|(_, e)| e).collect();
        let schema = Arc::new(Schema::new(fields));
        Plan {
            streaming: self.streaming,
            change: self.change,
            schema,
            node: Node::Project { input: Box::new(self), exprs },
        }
    }

    /// The input's columns, then `more`. The input itself when there is nothing to add.
    pub fn extend(self, more: Vec<(Arc<str>, Expr)>) -> Plan {
        if more.is_empty() {
            return self;
        }
        let mut columns = self.columns();
        columns.extend(more);
        self.project(columns)
    }

    /// Only the columns at `indices`, in that order.
    pub fn select(self, indices: &[usize]) -> Plan {
        if indices.len() == self.schema.len() && indices.iter().enumerate().all(|(i, c)| i == *c) {
            return self;
        }
        let all = self.columns();
        let columns = indices.iter().map(|i| all[*i].clone()).collect();
        self.project(columns)
    }

    /// Each column as an expression over this plan, with its name.
    pub fn columns(&self) -> Vec<(Arc<str>, Expr)> {
        let fields = self.schema.fields.iter().enumerate();
        fields.map(|(i, f)| (Arc::clone(&f.name), Expr::column(i, f.ty.clone()))).collect()
    }

    pub fn sort(self, keys: Vec<SortKey>, limit: Option<u64>) -> Plan {
        let schema = Arc::clone(&self.schema);
        Plan {
            streaming: self.streaming,
            change: self.change,
            schema,
            node: Node::Sort { input: Box::new(self), keys, limit },
        }
    }

    pub fn limit(self, offset: u64, limit: Option<u64>, ties: Vec<SortKey>) -> Plan {
        let schema = Arc::clone(&self.schema);
        let (streaming, change) = (self.streaming, self.change);
        Plan { streaming, change, schema, node: Node::Limit { input: Box::new(self), offset, limit, ties } }
    }

    pub fn distinct(self, on: Vec<Expr>) -> Plan {
        let schema = Arc::clone(&self.schema);
        Plan {
            streaming: self.streaming,
            change: self.change,
            schema,
            node: Node::Distinct { input: Box::new(self), on, forget: crate::node::Forget::default() },
        }
    }

    /// The type of column `index`.
    pub fn ty(&self, index: usize) -> &LogicalType {
        &self.schema.fields[index].ty
    }
}
