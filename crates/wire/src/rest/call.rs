//! One request: who asks, with which settings, for which names; and statements run for it.

use super::reply::{Failure, success};
use super::server::Rest;
use crate::custody::Seat;
use crate::http::request::QueryRequest;
use crate::http::route::{App, Body};
use crate::users::Admitted;
use ::http::Response;
use hydron_access::{Enabled, Object, Privilege};
use hydron_base::Result;
use hydron_engine::{Input, Item, QueryOptions, Session};
use hydron_sql::ast::StatementKind;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) struct Call<'a> {
    pub app: &'a App,
    pub rest: &'a Rest,
    pub request: QueryRequest,
    pub user: Admitted,
    /// URL parameters of the endpoint's own.
    pub params: Vec<(String, String)>,
    /// Names in the path.
    pub names: Vec<(&'static str, String)>,
    pub request_id: Arc<str>,
    pub from: SocketAddr,
    /// The connection's place on the board.
    pub seat: Option<Arc<Seat>>,
}

impl Call<'_> {
    /// A URL parameter of the endpoint's own; the last one counts.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Whether a URL parameter is there and does not say no.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.param(name).is_some_and(|v| !matches!(v, "0" | "false"))
    }

    /// A name of the path.
    pub(super) fn name(&self, name: &str) -> Option<&str> {
        self.names.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn session(&self) -> Session {
        self.user.session(&self.app.engine, &self.request.database)
    }

    /// What the user may do.
    pub(super) fn enabled(&self) -> Arc<Enabled> {
        self.app.engine.enabled(&self.session())
    }

    /// Whether the user may know of a stream.
    pub(super) fn sees(&self, database: &str, stream: &str) -> bool {
        self.enabled().rights.may_see(Privilege::SHOW_TABLES, &Object::stream(database, stream))
    }

    pub(super) fn options(&self) -> Result<QueryOptions> {
        let mut settings = self.request.settings.clone();
        if !settings.is_changed("query_mode") {
            settings.set("query_mode", self.app.options.query_mode)?;
        }
        Ok(QueryOptions {
            query_id: self.request_id.to_string(),
            settings,
            interface: "rest",
            client_address: self.from.ip().to_canonical().to_string(),
            quota_key: self.request.quota_key.clone(),
            connection: self.seat.as_ref().map(|s| s.index()),
            given: Arc::default(),
            scalars: Arc::default(),
        })
    }

    /// Runs a statement to its end; what it answers is dropped.
    pub(super) async fn run(&self, statement: StatementKind) -> Result<()> {
        let text = statement.to_string();
        let mut session = self.session();
        let mut running = self.app.engine.execute(&mut session, text, Input::None, self.options()?).await?;
        while running.next().await?.is_some() {}
        Ok(())
    }

    /// Runs a statement and returns the texts of its first two columns.
    pub(super) async fn pairs(&self, statement: StatementKind) -> Result<Vec<(String, String)>> {
        let mut session = self.session();
        let mut options = self.options()?;
        // One of several statements of this request: it may not have the same id.
        options.query_id = String::new();
        let mut running = self.app.engine.execute(&mut session, statement.to_string(), Input::None, options).await?;
        let mut out = Vec::new();
        while let Some(item) = running.next().await? {
            let Item::Rows(batch) = item else { continue };
            for row in 0..batch.rows() {
                let text = |column: usize| {
                    let ty = &batch.schema.fields[column].ty;
                    let value = hydron_types::column::value_at(batch.column(column), ty, row);
                    value.as_bytes().map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default()
                };
                out.push((text(0), text(1)));
            }
        }
        Ok(out)
    }

    pub(super) fn success(&self, body: Value) -> Result<Response<Body>, Failure> {
        Ok(success(body, &self.request_id))
    }
}
