//! Avro: files of blocks with their schema in front, or bare records of a schema that a user has given.
//!
//! In reading order: [`schema`] (what a value looks like), [`datum`] (values and their bytes), [`file`] (blocks and codecs),
//! [`rows`] (columns of a stream from and to records).

mod datum;
mod file;
mod rows;
mod schema;

pub use rows::{AvroReader, AvroWriter};
pub(crate) use rows::{columns_of_file, columns_of_schema};
pub(crate) use schema::Schema;

#[cfg(test)]
mod tests;
