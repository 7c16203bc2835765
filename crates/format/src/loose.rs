//! Values of formats that bring types of their own (Protobuf, Avro, MsgPack, BSON): loosely typed on their way in.
//!
//! In: what the format has read. Out: a value of the column's type. Promise: a number that does not fit and a kind that cannot
//! become the type are errors that name both; text becomes what it reads as.

use hydron_base::{Code, Error, Result};
use hydron_types::{ColumnBuilder, LogicalType, Style, TextOptions, Value, read_text, value_at};

#[derive(Clone, Debug, PartialEq)]
pub enum Loose {
    Null,
    Bool(bool),
    Int(i128),
    /// 64 bits that a uint64 column takes as they are.
    Long(i64),
    Float(f64),
    /// Ticks of 10 to the minus so many seconds since 1970.
    Time(i64, u8),
    Bytes(Vec<u8>),
    List(Vec<Loose>),
    /// Names and values.
    Record(Vec<(String, Loose)>),
    Map(Vec<(Loose, Loose)>),
}

impl Loose {
    pub fn text(text: impl Into<String>) -> Loose {
        Loose::Bytes(text.into().into_bytes())
    }

    fn kind(&self) -> &'static str {
        match self {
            Loose::Null => "null",
            Loose::Bool(_) => "a bool",
            Loose::Int(_) | Loose::Long(_) => "a whole number",
            Loose::Float(_) => "a number",
            Loose::Time(..) => "a time",
            Loose::Bytes(_) => "a string",
            Loose::List(_) => "a list",
            Loose::Record(_) => "a record",
            Loose::Map(_) => "a map",
        }
    }

    /// Errors: TYPE_MISMATCH (53), VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE (321), and what is wrong with a text.
    pub fn into_value(self, ty: &LogicalType, text: &TextOptions) -> Result<Value> {
        use LogicalType as T;
        if let Loose::Null = self {
            return Ok(if ty.is_nullable() { Value::Null } else { Value::default_of(ty) });
        }
        let bare = ty.bare();
        Ok(match (bare, self) {
            (T::UInt64, Loose::Long(n)) => Value::UInt(n as u64),
            (_, Loose::Long(n)) => return Loose::Int(n.into()).into_value(ty, text),
            (T::String | T::AggregateFunction { .. }, Loose::Bytes(bytes)) => Value::Bytes(bytes),
            (T::FixedString(width), Loose::Bytes(mut bytes)) if bytes.len() <= *width as usize => {
                bytes.resize(*width as usize, 0);
                Value::Bytes(bytes)
            }
            (T::Uuid, Loose::Bytes(bytes)) if bytes.len() == 16 => Value::Uuid(sixteen(&bytes)),
            (T::Ipv6, Loose::Bytes(bytes)) if bytes.len() == 16 => Value::Ipv6(sixteen(&bytes)),
            (T::Bool, Loose::Bool(b)) => Value::Bool(b),
            (T::Bool, Loose::Int(n)) => Value::Bool(n != 0),
            (T::Float32, Loose::Float(v)) => Value::Float32(v as f32),
            (T::Float64, Loose::Float(v)) => Value::Float64(v),
            (T::Float32, Loose::Int(n)) => Value::Float32(n as f32),
            (T::Float64, Loose::Int(n)) => Value::Float64(n as f64),
            (T::DateTime64(scale, _), Loose::Time(ticks, digits)) => {
                Value::Time(fit(rescaled(ticks, digits, scale.div_ceil(3) * 3), bare)?)
            }
            (T::DateTime(_), Loose::Time(ticks, digits)) => Value::Time(fit(rescaled(ticks, digits, 0), bare)?),
            (T::Date | T::Date32, Loose::Time(ticks, digits)) => {
                Value::Date(fit(rescaled(ticks, digits, 0).div_euclid(86_400), bare)?)
            }
            (ty, Loose::Time(ticks, _)) if *ty != T::Json => return Loose::Int(ticks.into()).into_value(ty, text),
            (T::Date | T::Date32, Loose::Int(n)) => Value::Date(fit(n, bare)?),
            (T::DateTime(_), Loose::Int(n)) => Value::Time(fit(n, bare)?),
            (T::DateTime64(..), Loose::Int(n)) => Value::Time(ticks(n, bare)?),
            (T::Enum8(_) | T::Enum16(_) | T::Interval(_), Loose::Int(n)) => Value::Int(fit(n, bare)?),
            (T::Ipv4, Loose::Int(n)) => Value::UInt(fit::<u32>(n, bare)?.into()),
            (ty, Loose::Int(n)) if ty.is_integer() => integer(n, ty)?,
            (ty, Loose::Bool(b)) if ty.is_integer() => integer(i128::from(b), ty)?,
            (T::Array(item), Loose::List(items)) => {
                Value::Array(items.into_iter().map(|i| i.into_value(item, text)).collect::<Result<_>>()?)
            }
            (T::Map(key, value), Loose::Map(pairs)) => {
                let pair = |(k, v): (Loose, Loose)| Ok((k.into_value(key, text)?, v.into_value(value, text)?));
                Value::Map(pairs.into_iter().map(pair).collect::<Result<_>>()?)
            }
            (T::Map(key, value), Loose::Record(members)) => {
                let pair =
                    |(k, v): (String, Loose)| Ok((Loose::text(k).into_value(key, text)?, v.into_value(value, text)?));
                Value::Map(members.into_iter().map(pair).collect::<Result<_>>()?)
            }
            (T::Tuple(elements), Loose::List(items)) if items.len() == elements.len() => {
                let items = items.into_iter().zip(elements.iter());
                Value::Tuple(items.map(|(i, (_, ty))| i.into_value(ty, text)).collect::<Result<_>>()?)
            }
            (T::Tuple(elements), Loose::Record(mut members)) => {
                let mut values = Vec::with_capacity(elements.len());
                for (at, (name, ty)) in elements.iter().enumerate() {
                    let found = match name {
                        Some(name) => members.iter().position(|(n, _)| is_same_name(n, name)),
                        None => (at < members.len()).then_some(at),
                    };
                    values.push(match found {
                        Some(found) => std::mem::replace(&mut members[found].1, Loose::Null).into_value(ty, text)?,
                        None => Value::default_of(ty),
                    });
                }
                Value::Tuple(values)
            }
            (T::Nested(elements), Loose::List(items)) => {
                let tuple = T::Tuple(elements.iter().map(|(n, t)| (Some(n.clone()), t.clone())).collect());
                Value::Array(items.into_iter().map(|i| i.into_value(&tuple, text)).collect::<Result<_>>()?)
            }
            (T::Json, other) => {
                let mut json = Vec::new();
                other.write_json(&mut json);
                Value::Bytes(json)
            }
            (T::String, other) if !matches!(other, Loose::List(_) | Loose::Record(_) | Loose::Map(_)) => {
                Value::Bytes(other.plain())
            }
            (T::SimpleAggregateFunction { arg, .. }, other) => other.into_value(arg, text)?,
            (ty, other @ (Loose::Bytes(_) | Loose::Int(_) | Loose::Float(_) | Loose::Bool(_))) => {
                let mut builder = ColumnBuilder::new(ty);
                read_text(&other.plain(), Style::Plain, text, &mut builder)
                    .map_err(|e| e.context(format!("{} is no {ty}", other.kind())))?;
                value_at(&builder.finish()?, ty, 0)
            }
            (ty, other) => {
                let message = format!("the input has {}, which cannot become {ty}", other.kind());
                return Err(Error::new(Code::TYPE_MISMATCH, message));
            }
        })
    }

    fn plain(&self) -> Vec<u8> {
        match self {
            Loose::Bytes(bytes) => bytes.clone(),
            Loose::Int(n) => n.to_string().into_bytes(),
            Loose::Long(n) => n.to_string().into_bytes(),
            Loose::Time(ticks, _) => ticks.to_string().into_bytes(),
            Loose::Float(v) => v.to_string().into_bytes(),
            Loose::Bool(b) => b.to_string().into_bytes(),
            _ => Vec::new(),
        }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        let string = |bytes: &[u8], out: &mut Vec<u8>| {
            let text = String::from_utf8_lossy(bytes);
            crate::json::push_string(text.as_bytes(), false, out);
        };
        match self {
            Loose::Null => out.extend_from_slice(b"null"),
            Loose::Float(v) if !v.is_finite() => out.extend_from_slice(b"null"),
            Loose::Bool(_) | Loose::Int(_) | Loose::Long(_) | Loose::Float(_) | Loose::Time(..) => {
                out.extend_from_slice(&self.plain())
            }
            Loose::Bytes(bytes) => string(bytes, out),
            Loose::List(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write_json(out);
                }
                out.push(b']');
            }
            Loose::Record(members) => {
                let members = members.iter().map(|(k, v)| (k.as_bytes().to_vec(), v));
                write_members(members, out);
            }
            Loose::Map(pairs) => write_members(pairs.iter().map(|(k, v)| (k.plain(), v)), out),
        }
    }
}

fn write_members<'a>(members: impl Iterator<Item = (Vec<u8>, &'a Loose)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (key, value)) in members.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        crate::json::push_string(String::from_utf8_lossy(&key).as_bytes(), false, out);
        out.push(b':');
        value.write_json(out);
    }
    out.push(b'}');
}

/// Fields of messages and records are found in any case, and `a_b` for `a.b`.
pub fn is_same_name(a: &str, b: &str) -> bool {
    let plain = |c: u8| if c == b'.' { b'_' } else { c.to_ascii_lowercase() };
    a.len() == b.len() && a.bytes().map(plain).eq(b.bytes().map(plain))
}

fn sixteen(bytes: &[u8]) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(bytes);
    out
}

fn integer(n: i128, ty: &LogicalType) -> Result<Value> {
    let bits = ty.bits().unwrap_or(64);
    if bits > 64 {
        return match n < 0 && ty.is_unsigned_integer() {
            true => Err(out_of_range(n, ty)),
            false => Ok(Value::Wide(arrow::datatypes::i256::from_i128(n))),
        };
    }
    let (least, greatest) = match ty.is_signed_integer() {
        true => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1),
        false => (0, (1_i128 << bits) - 1),
    };
    if n < least || n > greatest {
        return Err(out_of_range(n, ty));
    }
    Ok(if ty.is_signed_integer() { Value::Int(n as i64) } else { Value::UInt(n as u64) })
}

fn fit<N: TryFrom<i128>>(n: i128, ty: &LogicalType) -> Result<N> {
    N::try_from(n).map_err(|_| out_of_range(n, ty))
}

/// Ticks of the type's scale as the layout has them: scales 0, 3, 6 and 9.
fn ticks(n: i128, ty: &LogicalType) -> Result<i64> {
    let LogicalType::DateTime64(scale, _) = ty else { return fit(n, ty) };
    let kept = scale.div_ceil(3) * 3;
    fit(n.saturating_mul(10_i128.pow(u32::from(kept - scale))), ty)
}

fn rescaled(ticks: i64, from: u8, to: u8) -> i128 {
    let ticks = i128::from(ticks);
    match from <= to {
        true => ticks * 10_i128.pow(u32::from(to - from)),
        false => ticks.div_euclid(10_i128.pow(u32::from(from - to))),
    }
}

fn out_of_range(n: i128, ty: &LogicalType) -> Error {
    Error::new(Code::VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, format!("{n} does not fit into {ty}"))
}
