//! Native: columns as blocks of bytes, the form in which ClickHouse's protocol and its format `Native` carry rows.
//!
//! A block is its numbers of columns and rows, then each column whole: name, type, values. docs/formats/native.md has the
//! bytes. In reading order: [`input`] (bytes as they come), [`block`] (one block), [`encode`] (columns to bytes),
//! [`low_cardinality`] (columns with a dictionary), [`decode`] (bytes to columns), [`json`] (columns of json),
//! [`format`](mod@format) (the format of HTTP and files).

mod block;
mod decode;
mod encode;
mod format;
mod input;
mod json;
mod low_cardinality;

pub use block::{BLOCK_BYTES_MAX, BlockDecoder, COLUMNS_MAX, NativeOptions, write_block, write_end, write_header};
pub(crate) use format::{NativeReader, NativeWriter};
pub use input::{push_bytes, push_varint};

#[cfg(test)]
mod tests;
