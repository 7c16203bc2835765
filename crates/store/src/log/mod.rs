//! The log: the newest rows of every stream, in order, on disk before they are acknowledged, shared by all readers.
//!
//! In reading order: [`record`] (what writers give and readers get), [`head`] and [`encode`] (a record as bytes),
//! [`recovery`] (what bytes mean after a stop), [`index`], [`keys`] and [`retention`] (pure bookkeeping), [`segment`] and
//! [`index_file`] (the files), [`writer`] and [`flusher`] (group commit), [`tail`] (newest records in memory),
//! [`shard`] (the log of one shard) with [`reach`], [`lookup`] and [`trim`], [`cursor`] (one reader), [`volume`] (what
//! logs share), [`disk`] and [`mem_disk`] (the outside).

mod cursor;
mod disk;
mod encode;
mod flusher;
mod head;
mod index;
mod index_file;
mod keys;
mod lookup;
mod mem_disk;
mod reach;
mod record;
mod recovery;
mod retention;
mod segment;
mod shard;
mod tail;
mod ticket;
mod trim;
mod volume;
mod writer;

#[cfg(test)]
mod tests;

pub use cursor::{Cursor, Isolation};
pub use disk::{Disk, DiskFile, OsDisk, is_full};
pub(crate) use disk::{create_dir, zeroed};
pub use keys::KEYS_MAX;
pub use mem_disk::{Faults, MemDisk};
pub use record::{
    Codec, Draft, EventSpan, KEY_BYTES_MAX, Record, RecordHead, STAMP_BYTES_MAX, SchemaHistory, Schemas, Sequence,
};
pub use retention::Retention;
pub use segment::Ident;
pub use shard::{Log, LogConfig, LogStats, Prepared, Recovery, ends, submit_together};
pub use ticket::{Appended, Ticket};
pub use trim::{Hold, Trimmed};
pub use volume::{FaultHook, LogVolume, VolumeConfig};
pub use writer::Ack;
