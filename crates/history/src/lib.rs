//! History: a bounded plan, executed by DataFusion over stored parts and rows in memory.
//!
//! In reading order: [`source`] (where rows come from), [`run`] (a plan becomes a stream of batches), [`grouping`] (grouping
//! sets as plans), [`lower`] (plan to DataFusion plan) with [`join`] and [`window`] over [`over`] and [`frames`], [`expr`] and
//! [`aggregate`] (our functions as DataFusion's), [`table`], [`feed`], [`numbers`], [`concat`], [`limits`], [`step`] with
//! [`steps`], [`fill`], [`group_order`] and
//! [`assign`] (our own plan nodes), [`error`], [`mark`] (which query a task of DataFusion works for), [`memory`] (what its
//! operators may take).

mod aggregate;
mod assign;
mod concat;
mod error;
mod expr;
mod feed;
mod fill;
mod frames;
mod group_order;
mod grouping;
mod join;
mod lags;
mod limits;
mod lower;
mod mark;
mod memory;
mod numbers;
mod over;
mod run;
mod source;
mod step;
mod steps;
mod table;
mod window;

pub use feed::{FeedBatches, RowFeed};
pub use grouping::totals_of;
pub use limits::{GroupLimit, NodeLimits, Overflow, ReadLimit, RowLimit};
pub use run::{ExecOptions, HistoryMetrics, HistoryRun, execute, explain};
pub use source::{HistorySource, PartFile, Parts, ScanData};
