//! The local host: drives a pipeline with tasks, queues, a clock and limits. The only place that knows any of them.
//!
//! In: a pipeline, readers for its sources. Out: a handle with a bounded queue of answers. Promise: a slow client holds back
//! only its own query; a panic, an exceeded limit or a KILL ends one query with one error and frees all it had.
//!
//! In reading order: [`source`] (what the engine gives), [`cut`] and [`trace`] (where a query was and what it did, to go on from
//! there), [`progress`] (what a user may watch), [`query`] (start and handle), `feed` (the loop that takes rows and timers),
//! `replay` (steps taken again), `parallel` (an aggregation on several tasks), `guard` (panics and memory).

pub mod cut;
mod feed;
mod guard;
mod parallel;
pub mod progress;
pub mod query;
mod replay;
pub mod source;
pub mod trace;

pub use cut::{Cut, Origin, Resume, RunOptions, SourceCut};
pub use progress::{QueryProgress, RecordId};
pub use query::{Answer, Checkpoint, CutAnswer, CutAsker, Event, HostContext, Query, QueryHandle};
pub use source::{EndedReader, SourceItem, SourceReader, ValuesReader};
pub use trace::{Stamped, Step, Steps};
