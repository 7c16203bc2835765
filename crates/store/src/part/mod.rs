//! History: immutable sorted Parquet parts and the manifest that says which of them count.
//!
//! In reading order: [`manifest`] (what counts, pure), [`text`] (byte columns that are text), [`encode`] (rows to a
//! Parquet file), [`read`] (and back), [`merge`] (which small parts to join, pure), [`store`] (commits, snapshots, files).

mod encode;
mod manifest;
mod merge;
mod read;
mod store;
mod text;

pub use encode::{ColumnPacking, EncodedPart, PartCodec, PartEncoding, PartOptions, encode_part, sort_rows};
pub use manifest::{Manifest, PartMeta, SequenceRange};
pub use merge::{MergePolicy, choose_merge};
pub use read::PartReader;
pub use store::{Commit, PartStore, Snapshot};

#[cfg(test)]
mod tests;
