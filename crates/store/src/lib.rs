//! Bytes on disk: the log, the history, the catalog and the checkpoints of one data directory.
//!
//! In: Arrow record batches, sequence positions, opaque properties. Out: the same after any crash. Promise: what was
//! acknowledged is read back or named as damaged, never silently changed. No SQL types and no query engine in here.
//!
//! In reading order: [`error`] (what can go wrong), [`log`] (newest rows, in order, shared by readers), [`part`]
//! (older rows as Parquet), [`catalog`] (the objects), [`checkpoint`] (where long queries are), [`lock`] (who owns the
//! directory).

pub mod catalog;
pub mod checkpoint;
pub mod error;
pub mod lock;
pub mod log;
pub mod part;

pub use error::{Result, StoreError};
