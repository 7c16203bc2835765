//! A stream: its logs, its history, and what joins them.
//!
//! In reading order: [`streams`] (all of them, and the files they own), [`stream`] (one), [`store`] (its logs and parts), [`packing`] (how parts pack columns),
//! [`layout`] (how rows lie in them, version by version), [`adapter`] (from one version to another), [`completion`] (columns that
//! rows lack), [`nested`] (arrays that belong together), [`compact`] (log records become parts), [`mutate`] (parts are changed), [`merging`] (rows of one key become one) and [`merged`] (in the store and for a query), [`partition`] (rows by the value of a key), [`transfer`] (they become another table's), [`ttl`] (rows whose time is up go), [`keyed`]
//! (the rows that count of keyed streams), [`json_types`] (what the documents of json columns have shown), [`source`] (a streaming read), [`replay`] (at the old pace), [`table`] (a historical read)
//! and [`old_parts`] (of parts from before an ALTER), [`random`] and [`random_source`] (rows made up at a rate), [`file`] (rows of
//! files), [`storage`] (what all this takes on disk), `trapped_disk` (a disk that fails on purpose).

pub mod adapter;
pub mod compact;
pub mod completion;
pub mod file;
pub mod json_types;
pub mod keyed;
pub mod layout;
pub mod merged;
pub mod merging;
pub mod mutate;
pub mod nested;
pub mod old_parts;
pub mod packing;
pub mod partition;
pub mod random;
pub mod random_source;
pub mod remote;
pub mod replay;
pub mod source;
pub mod storage;
pub mod store;
#[expect(clippy::module_inception, reason = "the room holds several streams' concerns; this file is the stream")]
pub mod stream;
pub mod streams;
pub mod table;
pub mod transfer;
mod trapped_disk;
pub mod ttl;

pub use store::StreamStore;
pub use stream::Stream;
pub use streams::Streams;
