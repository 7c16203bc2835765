//! Values and their bytes.
//!
//! Promise: a damaged datum is an error; what it claims to hold is never allocated before its bytes are there.

use super::schema::{Named, Schema, Type};
use crate::loose::Loose;
use arrow::datatypes::i256;
use hydron_base::{Code, Error, Result};

/// Values within each other: a record that contains itself.
const DEPTH_MAX: usize = 64;

/// Items of lists that take no bytes (nulls), which a few bytes could claim without end.
const EMPTY_ITEMS_MAX: usize = 1 << 16;

/// Bytes that are read from the front. `Short`: they end inside a value.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    pub at: usize,
    empty_items: usize,
}

#[derive(Debug)]
pub enum Fault {
    Short,
    Wrong(Error),
}

impl From<Error> for Fault {
    fn from(e: Error) -> Fault {
        Fault::Wrong(e)
    }
}

pub fn damaged(what: impl Into<String>) -> Error {
    Error::new(Code::INCORRECT_DATA, format!("the Avro data is damaged: {}", what.into()))
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0, empty_items: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count).ok_or(Fault::Short)?;
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Short)?;
        self.at = end;
        Ok(taken)
    }

    pub fn long(&mut self) -> Result<i64, Fault> {
        let mut value = 0_u64;
        for at in 0..10 {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7F).checked_shl(7 * at).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(damaged("a number of more than ten bytes").into())
    }

    pub fn length(&mut self) -> Result<usize, Fault> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) if length <= crate::rows::ROW_BYTES_MAX => Ok(length),
            _ => Err(damaged(format!("a length of {length} bytes")).into()),
        }
    }

    pub fn sized(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, Fault> {
        Ok(String::from_utf8_lossy(self.sized()?).into_owned())
    }

    /// Calls `item` for each item of an array or map.
    fn items(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        loop {
            let count = self.long()?;
            let count = match count {
                0 => return Ok(()),
                negative if negative < 0 => {
                    self.long()?;
                    negative.unsigned_abs()
                }
                count => count.unsigned_abs(),
            };
            for _ in 0..count {
                let before = self.at;
                item(self)?;
                if self.at == before {
                    self.empty_items += 1;
                    if self.empty_items > EMPTY_ITEMS_MAX {
                        return Err(damaged(format!("more than {EMPTY_ITEMS_MAX} items without bytes")).into());
                    }
                }
            }
        }
    }

    pub fn value(&mut self, schema: &Schema, ty: &Type, depth: usize) -> Result<Loose, Fault> {
        if depth > DEPTH_MAX {
            return Err(damaged(format!("values are nested more than {DEPTH_MAX} levels deep")).into());
        }
        Ok(match ty {
            Type::Null => Loose::Null,
            Type::Bool => Loose::Bool(self.take(1)?[0] != 0),
            Type::Int | Type::Date => Loose::Int(self.long()?.into()),
            Type::Long => Loose::Long(self.long()?),
            Type::Timestamp(digits) => Loose::Time(self.long()?, *digits),
            Type::Float => {
                let bytes = self.take(4)?;
                Loose::Float(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into())
            }
            Type::Double => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(self.take(8)?);
                Loose::Float(f64::from_le_bytes(bytes))
            }
            Type::Bytes => Loose::Bytes(self.sized()?.to_vec()),
            Type::Text | Type::Uuid => Loose::Bytes(self.sized()?.to_vec()),
            Type::Decimal { of, scale } => {
                let Loose::Bytes(digits) = self.value(schema, of, depth + 1)? else {
                    return Err(damaged("a decimal that is no bytes").into());
                };
                Loose::text(decimal_text(&digits, *scale)?)
            }
            Type::Array(item) => {
                let mut items = Vec::new();
                self.items(|c| {
                    items.push(c.value(schema, item, depth + 1)?);
                    Ok(())
                })?;
                Loose::List(items)
            }
            Type::Map(value) => {
                let mut pairs = Vec::new();
                self.items(|c| {
                    let key = c.text()?;
                    pairs.push((Loose::text(key), c.value(schema, value, depth + 1)?));
                    Ok(())
                })?;
                Loose::Map(pairs)
            }
            Type::Union(branches) => {
                let branch = self.long()?;
                let chosen = usize::try_from(branch).ok().and_then(|b| branches.get(b));
                let chosen =
                    chosen.ok_or_else(|| damaged(format!("branch {branch} of a union of {}", branches.len())))?;
                self.value(schema, chosen, depth + 1)?
            }
            Type::Named(at) => match &schema.named[*at] {
                Named::Record { fields, .. } => {
                    let mut members = Vec::with_capacity(fields.len());
                    for (name, ty) in fields {
                        members.push((name.clone(), self.value(schema, ty, depth + 1)?));
                    }
                    Loose::Record(members)
                }
                Named::Enum { symbols } => {
                    let at = self.long()?;
                    let symbol = usize::try_from(at).ok().and_then(|a| symbols.get(a));
                    Loose::text(symbol.ok_or_else(|| damaged(format!("symbol {at} of {}", symbols.len())))?.as_str())
                }
                Named::Fixed(size) => Loose::Bytes(self.take(*size)?.to_vec()),
                Named::Open => return Err(Error::bug("an Avro type that was never read").into()),
            },
        })
    }
}

/// Two's complement, most significant byte first, as digits with a point.
fn decimal_text(digits: &[u8], scale: u8) -> Result<String> {
    if digits.len() > 32 {
        return Err(damaged(format!("a decimal of {} bytes", digits.len())));
    }
    let negative = digits.first().is_some_and(|b| b & 0x80 != 0);
    let mut wide = [if negative { 0xFF } else { 0 }; 32];
    wide[32 - digits.len()..].copy_from_slice(digits);
    let number = i256::from_be_bytes(wide).to_string();
    let (sign, number) = number.strip_prefix('-').map_or(("", number.as_str()), |n| ("-", n));
    let scale = usize::from(scale);
    if scale == 0 {
        return Ok(format!("{sign}{number}"));
    }
    let filled = format!("{number:0>width$}", width = scale + 1);
    let (whole, part) = filled.split_at(filled.len() - scale);
    Ok(format!("{sign}{whole}.{part}"))
}

pub fn push_long(value: i64, out: &mut Vec<u8>) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn push_sized(bytes: &[u8], out: &mut Vec<u8>) {
    push_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}
