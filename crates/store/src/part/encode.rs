//! Rows to the bytes of a Parquet file.
//!
//! In: batches of one schema, in the order they are to be stored. Out: the file, with statistics for each page, an index
//! of pages, and bloom filters where asked. Promise: reading it with the same schema gives the same rows.

use super::text::annotate;
use crate::error::{Result, StoreError};
use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type, SchemaRef};
use bytes::Bytes;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, Type as PhysicalType, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Rows of one row group: a scan hands them out in parallel, and a filter skips them by their statistics.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// Rows of one page at most: the unit that a filter on a sorted column skips.
const PAGE_ROWS: usize = 16_384;

/// How pages are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartCodec {
    /// Smaller files, more work to read. The level, 1 to 22.
    Zstd(u8),
    /// Up to half again as many bytes, and much less work to read.
    #[default]
    Lz4,
    None,
}

/// How values stand in a page before it is packed; a column whose values it does not fit has them as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartEncoding {
    /// Integers and times as differences.
    Delta,
    /// Numbers of a fixed width with their bytes apart.
    Split,
}

/// What a column has otherwise than the others. `None`: as they have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnPacking {
    /// Name of a top-level column; all that is nested in it is packed alike.
    pub name: String,
    pub codec: Option<PartCodec>,
    pub encoding: Option<PartEncoding>,
}

#[derive(Clone, Debug, Default)]
pub struct PartOptions {
    pub codec: PartCodec,
    pub columns: Vec<ColumnPacking>,
    /// Names of top-level columns that the rows are sorted by, ascending, nulls first.
    pub sort_columns: Vec<String>,
    /// Names of top-level columns that are looked up by equality.
    pub bloom_columns: Vec<String>,
}

/// A part that has no name yet.
pub struct EncodedPart {
    pub bytes: Bytes,
    pub rows: u64,
    pub text_columns: Vec<String>,
    pub sort_columns: Vec<String>,
    /// Top-level columns of floating-point numbers without a NaN.
    pub nan_free: Vec<String>,
}

/// Encodes `batches`, which all have `schema`.
///
/// Errors: `BadArgument` for an unknown column name; `Rows` for a type that Parquet does not have.
pub fn encode_part(schema: &SchemaRef, batches: &[RecordBatch], options: &PartOptions) -> Result<EncodedPart> {
    let refused = |e: &dyn std::fmt::Display| StoreError::rows("part", e);
    let (stored, batches, text_columns) = annotate(schema, batches).map_err(|e| refused(&e))?;
    let rows = batches.iter().map(|b| b.num_rows()).sum::<usize>();
    let nan_free = nan_free(schema, &batches);
    let properties = properties(schema, &stored, rows, options)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), stored, Some(properties)).map_err(|e| refused(&e))?;
    for batch in &batches {
        writer.write(batch).map_err(|e| refused(&e))?;
    }
    let bytes = writer.into_inner().map_err(|e| refused(&e))?.into();
    Ok(EncodedPart { bytes, rows: rows as u64, text_columns, sort_columns: options.sort_columns.clone(), nan_free })
}

fn nan_free(schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<String> {
    let columns = schema.fields().iter().enumerate();
    let free = columns.filter(|(at, field)| match field.data_type() {
        DataType::Float32 => !batches.iter().any(|b| has_nan::<Float32Type>(b.column(*at))),
        DataType::Float64 => !batches.iter().any(|b| has_nan::<Float64Type>(b.column(*at))),
        _ => false,
    });
    free.map(|(_, field)| field.name().clone()).collect()
}

/// Whether a NaN is among the values, those under a NULL included.
fn has_nan<T: ArrowPrimitiveType>(array: &ArrayRef) -> bool
where
    T::Native: PartialOrd,
{
    // Only a NaN is not equal to itself.
    #[expect(clippy::eq_op)]
    array.as_primitive_opt::<T>().is_none_or(|a| a.values().iter().any(|v| *v != *v))
}

fn compression(codec: PartCodec) -> Result<Compression> {
    Ok(match codec {
        PartCodec::Zstd(level) => {
            Compression::ZSTD(ZstdLevel::try_new(i32::from(level)).map_err(|e| StoreError::rows("part", e))?)
        }
        PartCodec::Lz4 => Compression::LZ4_RAW,
        PartCodec::None => Compression::UNCOMPRESSED,
    })
}

/// `schema` of the rows, `stored` of the file.
fn properties(schema: &SchemaRef, stored: &SchemaRef, rows: usize, options: &PartOptions) -> Result<WriterProperties> {
    let mut out = WriterProperties::builder()
        .set_compression(compression(options.codec)?)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_created_by("hydron".to_owned())
        .set_sorting_columns(sorting_columns(schema, &options.sort_columns)?);
    for name in &options.bloom_columns {
        column_of(schema, name)?;
        let path = ColumnPath::from(name.as_str());
        out = out.set_column_bloom_filter_enabled(path.clone(), true);
        out = out.set_column_bloom_filter_max_ndv(path, rows.clamp(1, ROW_GROUP_ROWS) as u64);
    }
    if options.columns.is_empty() {
        return Ok(out.build());
    }
    let leaves = ArrowSchemaConverter::new().convert(stored).map_err(|e| StoreError::rows("part", e))?;
    for column in &options.columns {
        column_of(schema, &column.name)?;
        for leaf in leaves.columns().iter().filter(|l| l.path().parts().first() == Some(&column.name)) {
            if let Some(codec) = column.codec {
                out = out.set_column_compression(leaf.path().clone(), compression(codec)?);
            }
            if let Some(encoding) = column.encoding.and_then(|e| encoding_of(e, leaf.physical_type())) {
                out = out.set_column_dictionary_enabled(leaf.path().clone(), false);
                out = out.set_column_encoding(leaf.path().clone(), encoding);
            }
        }
    }
    Ok(out.build())
}

fn encoding_of(encoding: PartEncoding, physical: PhysicalType) -> Option<Encoding> {
    use PhysicalType::{DOUBLE, FLOAT, INT32, INT64};
    match (encoding, physical) {
        (PartEncoding::Delta, INT32 | INT64) => Some(Encoding::DELTA_BINARY_PACKED),
        (_, FLOAT | DOUBLE) => Some(Encoding::BYTE_STREAM_SPLIT),
        (PartEncoding::Split, INT32 | INT64) => Some(Encoding::BYTE_STREAM_SPLIT),
        _ => None,
    }
}

fn column_of(schema: &SchemaRef, name: &str) -> Result<usize> {
    schema.index_of(name).map_err(|_| StoreError::BadArgument(format!("part has no column \"{name}\"")))
}

/// The order as the file declares it: up to the first column that is not a single Parquet column.
fn sorting_columns(schema: &SchemaRef, names: &[String]) -> Result<Option<Vec<SortingColumn>>> {
    let mut out = Vec::new();
    for name in names {
        let at = column_of(schema, name)?;
        if leaves(schema.field(at).data_type()) != 1 || schema.field(at).data_type().is_nested() {
            break;
        }
        let column_idx = schema.fields()[..at].iter().map(|f| leaves(f.data_type())).sum::<usize>() as i32;
        out.push(SortingColumn { column_idx, descending: false, nulls_first: true });
    }
    Ok((!out.is_empty()).then_some(out))
}

/// Parquet columns that a type becomes.
fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
            leaves(f.data_type())
        }
        DataType::Struct(fields) => fields.iter().map(|f| leaves(f.data_type())).sum(),
        _ => 1,
    }
}

/// All rows of `batches` in one batch, sorted by `columns` ascending, nulls first; rows that are equal keep their order.
pub fn sort_rows(schema: &SchemaRef, batches: &[RecordBatch], columns: &[String]) -> Result<RecordBatch> {
    let refused = |e: arrow::error::ArrowError| StoreError::rows("rows to sort", e);
    let all = concat_batches(schema, batches).map_err(refused)?;
    if columns.is_empty() || all.num_rows() < 2 {
        return Ok(all);
    }
    let mut keys = Vec::with_capacity(columns.len() + 1);
    for name in columns {
        let values = all.column(column_of(schema, name)?).clone();
        keys.push(SortColumn { values, options: Some(SortOptions { descending: false, nulls_first: true }) });
    }
    // The sort itself is not stable; the row number as the last key makes it so.
    let numbers = arrow::array::UInt64Array::from_iter_values(0..all.num_rows() as u64);
    keys.push(SortColumn { values: std::sync::Arc::new(numbers), options: None });
    let order = lexsort_to_indices(&keys, None).map_err(refused)?;
    take_record_batch(&all, &order).map_err(refused)
}
