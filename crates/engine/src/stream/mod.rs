//! A stream: its logs, its history, and what joins them.
//!
//! In reading order: [`streams`] (all of them, and the files they own), [`stream`] (one), [`store`] (its logs and parts),
//! [`compact`] (log records become parts), [`keyed`] (the rows that count of keyed streams), [`source`] (a streaming read),
//! [`replay`] (at the old pace), [`table`] (a historical read), [`random`] and [`random_source`] (rows made up at a rate),
//! [`file`] (rows of files), [`storage`] (what all this takes on disk), `trapped_disk` (a disk that fails on purpose).

pub mod compact;
pub mod file;
pub mod keyed;
pub mod random;
pub mod random_source;
pub mod replay;
pub mod source;
pub mod storage;
pub mod store;
#[expect(clippy::module_inception, reason = "the room holds several streams' concerns; this file is the stream")]
pub mod stream;
pub mod streams;
pub mod table;
mod trapped_disk;

pub use store::StreamStore;
pub use stream::Stream;
pub use streams::Streams;
