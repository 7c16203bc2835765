//! One API for every front end: a session sends text, a query gives batches.
//!
//! In reading order: [`options`] (how an engine is opened), [`engine`] (the engine), [`session`] (who asks, with which
//! settings), [`query`] (a running query and the list of them), [`place`] (its place on the board), [`meter`] (what it uses of a quota), [`grounds`] (what it was permitted on), [`presence`] (whether its user is still there),
//! [`statement`] (one file
//! for each kind of statement),
//! [`catalog`] (databases, streams, views), [`stream`] (a stream's logs and history), [`ingest`] (rows on their way into a
//! stream), [`external`] (streams that others keep), [`checkpoint`] (queries that outlive their server), [`view`] (materialized views), [`outcome`] (what became of an INSERT
//! whose server died), [`system`] (the server's own state as tables), [`crash_report`] (what is kept of a crash), `stack` (the stacks
//! of computing threads).

pub mod catalog;
pub mod checkpoint;
pub mod crash_report;
pub mod engine;
pub mod external;
pub mod grounds;
mod ingest;
pub mod meter;
pub mod options;
pub mod outcome;
pub mod place;
pub mod presence;
pub mod query;
pub mod session;
mod stack;
pub mod statement;
pub mod stream;
pub mod system;
pub mod view;

pub use catalog::{GivenScalar, GivenTable};
pub use crash_report::CrashReport;
pub use engine::Engine;
pub use options::{CheckpointOptions, EngineOptions};
pub use outcome::InsertOutcome;
pub use presence::Presence;
pub use query::{ByteSource, Input, Item, Progress, QueryOptions, Resume, Running};
pub use session::Session;
