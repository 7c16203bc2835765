//! The columns that a file itself tells: Parquet and Arrow files carry a schema.

use arrow::datatypes::{DataType, Field as ArrowField, TimeUnit};
use hydron_base::{Code, Error, Result};
use hydron_types::{Field, LogicalType, Schema, Zone};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The columns of a file of `format`; `None` for a format that has none in itself.
///
/// Errors: CANNOT_OPEN_FILE; CANNOT_EXTRACT_STREAM_STRUCTURE for a file that is damaged or has a type we do not have.
pub fn file_schema(format: &str, path: &Path) -> Result<Option<Schema>> {
    let damaged = |e: String| {
        Error::new(Code::CANNOT_EXTRACT_STREAM_STRUCTURE, format!("'{}' is no {format} file: {e}", path.display()))
    };
    if !matches!(format, "Parquet" | "Arrow" | "ArrowStream") {
        return Ok(None);
    }
    let file = File::open(path)
        .map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot open '{}': {e}", path.display())))?;
    let schema = crate::guard::guarded(format, || {
        Ok(match format {
            "Parquet" => {
                let metadata = ArrowReaderMetadata::load(&file, Default::default());
                Arc::clone(metadata.map_err(|e| damaged(e.to_string()))?.schema())
            }
            "Arrow" => {
                arrow::ipc::reader::FileReader::try_new(file, None).map_err(|e| damaged(e.to_string()))?.schema()
            }
            _ => arrow::ipc::reader::StreamReader::try_new(file, None).map_err(|e| damaged(e.to_string()))?.schema(),
        })
    })?;
    let fields = schema.fields().iter().map(|f| Ok(Field::new(f.name().as_str(), logical(f)?)));
    Ok(Some(Schema::new(fields.collect::<Result<_>>()?)))
}

/// The logical type that holds an Arrow field's values.
fn logical(field: &ArrowField) -> Result<LogicalType> {
    let bare = match field.data_type() {
        DataType::Boolean => LogicalType::Bool,
        DataType::Int8 => LogicalType::Int8,
        DataType::Int16 => LogicalType::Int16,
        DataType::Int32 => LogicalType::Int32,
        DataType::Int64 => LogicalType::Int64,
        DataType::UInt8 => LogicalType::UInt8,
        DataType::UInt16 => LogicalType::UInt16,
        DataType::UInt32 => LogicalType::UInt32,
        DataType::UInt64 => LogicalType::UInt64,
        DataType::Float16 | DataType::Float32 => LogicalType::Float32,
        DataType::Float64 => LogicalType::Float64,
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s)
            if *s >= 0 =>
        {
            LogicalType::Decimal { precision: *p, scale: *s as u8 }
        }
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => LogicalType::String,
        DataType::FixedSizeBinary(n) => LogicalType::FixedString(*n as u32),
        DataType::Date32 | DataType::Date64 => LogicalType::Date32,
        DataType::Timestamp(unit, zone) => {
            let zone = zone.as_deref().map(|z| Zone::parse(z).or(Ok::<_, Error>(Zone::UTC))).transpose()?;
            let scale = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            LogicalType::DateTime64(scale, zone)
        }
        DataType::Dictionary(_, value) => logical(&ArrowField::new(field.name(), (**value).clone(), false))?,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            return Ok(LogicalType::array(logical(item)?));
        }
        DataType::Struct(fields) => {
            let elements = fields.iter().map(|f| Ok((Some(Arc::from(f.name().as_str())), logical(f)?)));
            return Ok(LogicalType::Tuple(elements.collect::<Result<_>>()?));
        }
        DataType::Map(entries, _) => {
            if let DataType::Struct(pair) = entries.data_type()
                && let [key, value] = pair.as_ref()
            {
                return Ok(LogicalType::Map(Box::new(logical(key)?), Box::new(logical(value)?)));
            }
            return Err(unknown(field));
        }
        DataType::Null => return Ok(LogicalType::nullable(LogicalType::String)),
        _ => return Err(unknown(field)),
    };
    Ok(if field.is_nullable() { LogicalType::nullable(bare) } else { bare })
}

fn unknown(field: &ArrowField) -> Error {
    let message = format!("column '{}' has type {}, which has no counterpart here", field.name(), field.data_type());
    Error::new(Code::CANNOT_EXTRACT_STREAM_STRUCTURE, message)
}
