//! Materialized views: queries that always run and write what they find to a stream, each row once whatever happens.
//!
//! The output and the point in the input that it belongs to are one record of the target's log. After a stop the state of the
//! newest checkpoint takes the steps again that the records behind it name, tells nobody their answers, and goes on from
//! there. See ARCHITECTURE.md, "A view".
//!
//! In reading order: [`status`] (what a view is at, when it is tried again), [`stamp`] (what a record says of its view), [`unit`]
//! (answers that are written together), [`target`] (answers as rows of a stream), [`writer`] (units into the log), [`recover`]
//! (what the log has already), [`run`] (one run), [`outward`] (one INTO an external stream), [`views`] (all of them).

pub mod outward;
pub mod recover;
pub mod run;
pub mod stamp;
pub mod status;
pub mod target;
pub mod unit;
pub mod views;
pub mod writer;

pub use status::{State, Status};
pub use views::{ViewRun, Views};

use crate::engine::Inner;
use uuid::Uuid;

/// The id of a view's query, also that of its state.
pub fn query_id(view: Uuid) -> String {
    format!("{QUERY_ID_PREFIX}{view}")
}

const QUERY_ID_PREFIX: &str = ".inner.query-id.from-";

/// The stream of a view that was made without INTO.
pub fn inner_name(view: Uuid) -> String {
    format!(".inner.target-id.{view}")
}

/// Whether a stream of this name is behind a view.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(".inner.")
}

/// Whether the state under `id` is that of a view.
pub fn is_view_id(engine: &Inner, id: &str) -> bool {
    let Some(uuid) = id.strip_prefix(QUERY_ID_PREFIX).and_then(|u| Uuid::parse_str(u).ok()) else { return false };
    engine.catalog.snapshot().views().any(|v| v.info.uuid == uuid)
}
