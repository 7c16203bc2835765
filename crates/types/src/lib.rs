//! What a value can be: logical types, single values, batches of rows, and how each is laid out in Arrow.
//!
//! In reading order: [`logical`] (the types a user names), [`parse`] (text to type), [`names`] (type to text, in two
//! dialects), [`physical`] (type to Arrow), [`value`] (one value), [`wide`] (integers of 128 and 256 bits), [`column`]
//! (values to arrays and back), [`gather`] (rows picked and repeated), [`json`] (what documents have in common), [`batch`] (columns of values), [`supertype`] (the type that holds several), [`time`]
//! (calendar and zones), [`datetext`] (text to times), [`text`] (columns to text and back), [`cast`] (one type to another).

pub mod batch;
pub mod cast;
pub mod column;
pub mod datetext;
pub mod gather;
pub mod json;
pub mod logical;
pub mod names;
pub mod parse;
pub mod physical;
pub mod supertype;
pub mod text;
pub mod time;
pub mod value;
pub mod wide;

pub use batch::{Batch, Delta, Field, Schema};
pub use cast::{CastMode, CastOptions, can_cast, cast};
pub use column::{ColumnBuilder, array_of, value_at};
pub use json::JsonShape;
pub use logical::{EnumNames, IntervalUnit, LogicalType};
pub use names::TypeNames;
pub use parse::{parse_type, parse_type_lenient};
pub use supertype::{Arithmetic, arithmetic_type, least_supertype};
pub use text::{ColumnWriter, Style, TextOptions, read_text, read_text_prefix, sql_literal, write_text};
pub use time::Zone;
pub use value::Value;
