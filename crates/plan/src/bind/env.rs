//! What a query sees from the queries around it: CTEs, WITH expressions, settings, whether streams are read as history.

use super::settings::apply_settings;
use crate::node::Plan;
use hydron_base::{Result, Settings};
use hydron_sql::ast;
use std::sync::Arc;

/// One level of nesting; lives on the stack of the binder.
pub(super) struct Env<'e> {
    pub parent: Option<&'e Env<'e>>,
    pub ctes: Vec<Named<'e>>,
    /// The rows of a recursive CTE that its own query reads.
    pub given: Option<(&'e str, &'e Plan)>,
    /// Expressions of WITH, seen by this query and those inside it.
    pub exprs: Vec<&'e ast::Expr>,
    pub settings: Arc<Settings>,
    /// Every stream is read as a table.
    pub history: bool,
    /// Whoever reads the answer does not look at the sign of rows, so that naming it in a select list alone changes no row.
    pub sign_unread: bool,
}

/// `name (column, …) AS (SELECT …)`.
#[derive(Clone, Copy)]
pub(super) struct Named<'e> {
    pub name: &'e str,
    /// New names of its columns; empty: those that its query gives.
    pub columns: &'e [String],
    pub recursive: bool,
    pub query: &'e ast::Query,
}

impl<'e> Named<'e> {
    pub fn of(item: &'e ast::WithItem) -> Option<Named<'e>> {
        match item {
            ast::WithItem::Query { name, columns, recursive, query } => {
                Some(Named { name, columns, recursive: *recursive, query })
            }
            ast::WithItem::Expr(_) => None,
        }
    }
}

/// A CTE and where its own names are looked up.
pub(super) struct Cte<'e> {
    pub named: Named<'e>,
    pub env: &'e Env<'e>,
    /// Only the CTEs before this one are visible inside.
    pub before: usize,
}

impl<'e> Env<'e> {
    pub fn root(settings: Arc<Settings>) -> Env<'static> {
        let history = settings.text("query_mode") == "table";
        Env { parent: None, ctes: Vec::new(), given: None, exprs: Vec::new(), settings, history, sign_unread: false }
    }

    /// The level of `select`, inside this one.
    pub fn enter<'n>(&'n self, select: &'n ast::Select) -> Result<Env<'n>>
    where
        'e: 'n,
    {
        let mut env = self.inner();
        for item in &select.with {
            match item {
                ast::WithItem::Query { .. } => env.ctes.extend(Named::of(item)),
                ast::WithItem::Expr(expr) => env.exprs.push(expr),
            }
        }
        if !select.settings.is_empty() {
            let mut settings = (*env.settings).clone();
            apply_settings(&mut settings, &select.settings, None)?;
            env.history |= settings.text("query_mode") == "table";
            env.settings = Arc::new(settings);
        }
        Ok(env)
    }

    /// An empty level inside this one.
    pub fn inner<'n>(&'n self) -> Env<'n>
    where
        'e: 'n,
    {
        Env {
            parent: Some(self),
            ctes: Vec::new(),
            given: None,
            exprs: Vec::new(),
            settings: Arc::clone(&self.settings),
            history: self.history,
            sign_unread: self.sign_unread,
        }
    }

    /// As `inner`, with only the first `ctes` of this level's CTEs visible, and streams read as tables if `history`.
    pub fn before<'n>(&'n self, ctes: usize, history: bool, settings: &Arc<Settings>) -> Env<'n>
    where
        'e: 'n,
    {
        Env {
            parent: self.parent,
            ctes: self.ctes[..ctes].to_vec(),
            given: self.given,
            exprs: self.exprs.clone(),
            settings: Arc::clone(settings),
            history: self.history || history,
            sign_unread: self.sign_unread,
        }
    }

    pub fn cte(&self, name: &str) -> Option<Cte<'_>> {
        let mut level = Some(self);
        while let Some(env) = level {
            if let Some(at) = env.ctes.iter().rposition(|c| c.name == name) {
                return Some(Cte { named: env.ctes[at], env, before: at });
            }
            level = env.parent;
        }
        None
    }

    /// The rows that a recursive CTE reads by its own name.
    pub fn given(&self, name: &str) -> Option<&Plan> {
        let mut level = Some(self);
        while let Some(env) = level {
            if let Some((given, rows)) = env.given
                && given == name
            {
                return Some(rows);
            }
            if env.ctes.iter().any(|c| c.name == name) {
                return None;
            }
            level = env.parent;
        }
        None
    }

    /// WITH expressions, innermost first.
    pub fn with_exprs(&self) -> Vec<&ast::Expr> {
        let mut all = Vec::new();
        let mut level = Some(self);
        while let Some(env) = level {
            all.extend(env.exprs.iter().copied());
            level = env.parent;
        }
        all
    }
}
