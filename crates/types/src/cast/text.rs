//! From strings.

use super::{CastMode, Job};
use crate::column::ColumnBuilder;
use crate::logical::LogicalType;
use crate::text::number::parse_whole;
use crate::text::{Style, read_text};
use crate::value::Value;
use arrow::array::*;
use hydron_base::{Code, Error, Result};

pub(super) fn from_text(job: &Job, array: &ArrayRef) -> Result<ArrayRef> {
    let mut builder = job.builder(array.len());
    match array.as_binary_opt::<i32>() {
        Some(strings) => read_all(job, array.len(), |row| strings.value(row), &mut builder)?,
        None => {
            let fixed = array.as_fixed_size_binary();
            let keeps_zeros = matches!(job.to, LogicalType::FixedString(_));
            let is_address = matches!(job.to, LogicalType::Ipv6 | LogicalType::Uuid) && fixed.value_length() == 16;
            if is_address {
                // Sixteen bytes are the address itself when they are no text of one.
                return Ok(std::sync::Arc::clone(array));
            }
            let value = |row| {
                let bytes = fixed.value(row);
                let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
                if keeps_zeros { bytes } else { &bytes[..end] }
            };
            read_all(job, array.len(), value, &mut builder)?;
        }
    }
    builder.finish()
}

fn read_all<'a>(job: &Job, rows: usize, value: impl Fn(usize) -> &'a [u8], builder: &mut ColumnBuilder) -> Result<()> {
    let text = job.options.text();
    let range = if job.options.mode == CastMode::Wrap && !job.lenient { None } else { integer_range(job.to) };
    for row in 0..rows {
        if job.is_null(row) {
            builder.append_null();
            continue;
        }
        let value = value(row);
        let fits = range.is_none_or(|(min, max)| parse_whole(value).is_none_or(|w| w.within(min, max).is_some()));
        let read = if fits { read_text(value, Style::Plain, &text, builder) } else { Err(out_of_range(value, job.to)) };
        match read {
            Ok(()) => {}
            // An empty text is the epoch for this type, not a failure.
            Err(_) if job.lenient && value.is_empty() && matches!(job.to, LogicalType::DateTime64(..)) => {
                builder.append(&Value::Time(0))?
            }
            Err(_) if job.lenient => builder.append_null(),
            Err(_) if job.options.mode.fails_silently() => builder.append_default(),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn out_of_range(value: &[u8], ty: &LogicalType) -> Error {
    Error::new(Code::CANNOT_PARSE_NUMBER, format!("'{}' is out of the range of {ty}", String::from_utf8_lossy(value)))
}

/// The least and greatest value of an integer type up to 64 bits.
pub(super) fn integer_range(ty: &LogicalType) -> Option<(i128, i128)> {
    let bits = ty.bits().filter(|b| *b <= 64 && ty.is_integer())?;
    Some(if ty.is_signed_integer() {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else {
        (0, (1i128 << bits) - 1)
    })
}
