//! Streaming execution: plans become pipelines of pure operators, and a host drives them.
//!
//! In reading order: [`operator`] (messages, the operator trait, the operators without groups), [`group`] (keys, groups,
//! aggregation without windows), [`window`] (watermarks and aggregation by windows), [`join`] (with a table, with another
//! stream), [`substream`] (one set of operators for each key), [`shard`] (one aggregation on several operators), [`state`]
//! (operators to bytes and back), [`pipeline`] (operators that push to each other), [`build`] (plan to pipeline), [`host`]
//! (clock, tasks, queues: the only place that knows them).

pub mod build;
pub mod group;
pub mod host;
pub mod join;
pub mod operator;
pub mod pipeline;
pub mod shard;
pub mod state;
pub mod substream;
pub mod window;

#[cfg(test)]
mod tests;

pub use build::{BuildOptions, JoinLimits, build};
pub use host::{Answer, HostContext, Query, QueryHandle, QueryProgress, RunOptions, SourceItem, SourceReader};
pub use operator::{Epoch, EventTime, Msg, Operator, Output, Rows};
pub use pipeline::{Pipeline, PipelineSource, SourceKind};
