//! The local host: drives a pipeline with tasks, queues, a clock and limits. The only place that knows any of them.
//!
//! In: a pipeline, readers for its sources. Out: a handle with a bounded queue of answers. Promise: a slow client holds back
//! only its own query; a panic, an exceeded limit or a KILL ends one query with one error and frees all it had.
//!
//! In reading order: [`source`] (what the engine gives), [`progress`] (what a user may watch), [`query`] (start and handle),
//! `feed` (the loop that takes rows and timers), `parallel` (an aggregation on several tasks), `guard` (panics and memory).

mod feed;
mod guard;
mod parallel;
pub mod progress;
pub mod query;
pub mod source;

pub use progress::QueryProgress;
pub use query::{Answer, Checkpoint, HostContext, Query, QueryHandle};
pub use source::{SourceItem, SourceReader, ValuesReader};
