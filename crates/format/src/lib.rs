//! Batches to bytes and bytes to batches, as the formats of ClickHouse 22.8 write and read them.
//!
//! In reading order: [`options`] (settings that shape a format), [`output`] (the contract of writers), [`input`] (the
//! contract of readers), [`rows`] (how text becomes rows), [`registry`] (names), then the formats, one family a file;
//! [`native`] is the form of ClickHouse's protocol too; [`file`](mod@file) and [`file_schema`](mod@file_schema) read columnar
//! files from disk; [`compression`] is the layer below them all.

pub mod compression;
pub mod file;
#[cfg(feature = "parquet")]
pub mod file_schema;
pub mod format_schema;
pub mod infer;
pub mod input;
pub mod native;
pub mod options;
pub mod output;
pub mod registry;
pub mod rows;

mod arrow_check;
mod arrow_ipc;
mod avro;
mod csv;
mod custom;
mod escaping;
mod foreign;
mod guard;
mod json;
mod json_columns;
mod json_document;
mod json_in;
mod json_objects;
mod json_rows;
mod loose;
mod markdown;
mod msgpack;
#[cfg(feature = "parquet")]
mod parquet_file;
mod pretty;
#[cfg(feature = "protobuf")]
mod protobuf;
mod raw;
mod regexp;
mod row_binary;
mod sql_insert;
mod template;
mod tsv;
mod values;
mod vertical;
mod xml;

pub use compression::{Compression, Compressor, Decompressor};
pub use file::file_batches;
#[cfg(feature = "parquet")]
pub use file_schema::file_schema;
pub use input::{Evaluator, InputBatch, InputFormat};
pub use options::FormatOptions;
pub use output::{OutputFormat, ResultStats};
pub use registry::{input, output};

#[cfg(test)]
mod tests;
