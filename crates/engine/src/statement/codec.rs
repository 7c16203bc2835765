//! CODEC(…) of a column: whether ClickHouse has such a codec for the type, and how it writes it.
//!
//! In: the codecs as they were declared, and the type. Out: the same with the parameters that ClickHouse fills in: `ZSTD` is
//! `ZSTD(1)`. What parts make of it: `stream::packing`.

use hydron_base::{Code, Error, Result, Settings};
use hydron_plan::ColumnInfo;
use hydron_sql::ast::{Expr, Literal};
use hydron_types::LogicalType;

const ZSTD_LEVEL_MAX: u64 = 22;

/// Binary logarithm of the window of ZSTD, in bytes.
const ZSTD_WINDOW_LOG: std::ops::RangeInclusive<u64> = 10..=31;

/// One codec of a list.
struct Codec {
    text: String,
    name: String,
    /// It makes data smaller; `Delta` only prepares it.
    compresses: bool,
    /// It takes any bytes: what follows it finds nothing to do.
    generic: bool,
}

/// Checks and completes the codecs of `columns`; those that `known` says are left as they are.
///
/// Errors: BAD_ARGUMENTS (36), DATA_TYPE_CANNOT_HAVE_ARGUMENTS (378), ILLEGAL_SYNTAX_FOR_CODEC_TYPE (431), UNKNOWN_CODEC (432),
/// ILLEGAL_CODEC_PARAMETER (433), NOT_IMPLEMENTED (48) for encryption.
pub fn complete(columns: &mut [ColumnInfo], settings: &Settings, known: impl Fn(&ColumnInfo) -> bool) -> Result<()> {
    for column in columns.iter_mut().filter(|c| !c.codec.is_empty()) {
        if !known(column) {
            let full = completed(&column.codec, &column.ty, settings);
            column.codec = full.map_err(|e| e.context(format!("codec of column '{}'", column.name)))?;
        }
    }
    Ok(())
}

fn completed(codec: &str, ty: &LogicalType, settings: &Settings) -> Result<String> {
    let call = hydron_sql::parse_expression(&format!("codec({codec})"))?;
    let list = call.as_function().map(|f| f.args.as_slice()).unwrap_or_default();
    let mut leaves = Vec::new();
    leaves_of(ty, &mut leaves);
    let experimental = settings.bool("allow_experimental_codecs");
    let codecs = list.iter().map(|e| one(e, &leaves, experimental)).collect::<Result<Vec<_>>>()?;
    if !settings.bool("allow_suspicious_codecs") {
        check_together(&codecs, codec)?;
    }
    Ok(codecs.into_iter().map(|c| c.text).collect::<Vec<_>>().join(", "))
}

/// Whether a list of codecs makes sense.
fn check_together(codecs: &[Codec], list: &str) -> Result<()> {
    let refused = |why: String| Err(Error::bad_arguments(why).hint("SET allow_suspicious_codecs = 1"));
    if codecs.len() > 1 && codecs.iter().any(|c| c.name == "NONE") {
        return refused(format!("NONE beside other codecs does nothing: ({list})"));
    }
    let generic = codecs.iter().position(|c| c.generic);
    if generic.is_some_and(|at| at + 1 < codecs.len()) {
        return refused(format!("nothing is left to do for a codec after a general compression: ({list})"));
    }
    match codecs {
        [none] if none.name == "NONE" => Ok(()),
        _ if codecs.iter().any(|c| c.compresses) => Ok(()),
        _ => Err(Error::bad_arguments(format!("({list}) does not compress")).hint(format!("CODEC({list}, LZ4)"))),
    }
}

fn one(expr: &Expr, leaves: &[&LogicalType], experimental: bool) -> Result<Codec> {
    let (name, args) = match (expr.as_function(), expr.as_identifier()) {
        (Some(f), _) => (f.name.clone(), f.args.as_slice()),
        (None, Some(i)) => (i.full(), &[][..]),
        (None, None) => (expr.to_string(), &[][..]),
    };
    let codec =
        |text: String, compresses: bool, generic: bool| Ok(Codec { text, name: name.clone(), compresses, generic });
    let at_most = |count: usize| match args.len() <= count {
        true => Ok(()),
        false => {
            let message = format!("{name} codec takes at most {count} parameters, given {}", args.len());
            Err(Error::new(Code::ILLEGAL_SYNTAX_FOR_CODEC_TYPE, message))
        }
    };
    let wrong = |what: String| Error::new(Code::ILLEGAL_CODEC_PARAMETER, what);
    let number = |arg: &Expr| {
        let value = arg.as_literal().and_then(Literal::as_u64);
        value.ok_or_else(|| wrong(format!("the parameter {arg} of {name} codec must be a whole number")))
    };
    let fixed = |widths: &[u64]| -> Result<u64> {
        for leaf in leaves {
            match width_of(leaf) {
                Some(width) if widths.is_empty() || widths.contains(&width) => {}
                Some(_) => {
                    let message = format!("codec {name} is of types of {widths:?} bytes, not of {leaf}");
                    return Err(Error::bad_arguments(message));
                }
                None => {
                    let message = format!("codec {name} is of types of a fixed size, not of {leaf}");
                    return Err(Error::bad_arguments(message));
                }
            }
        }
        Ok(leaves.iter().find_map(|l| width_of(l)).unwrap_or(1))
    };
    match name.as_str() {
        "LZ4" | "NONE" | "Default" if !args.is_empty() => {
            let message = format!("compression codec {name} cannot have arguments");
            Err(Error::new(Code::DATA_TYPE_CANNOT_HAVE_ARGUMENTS, message))
        }
        "NONE" => codec(name.clone(), false, false),
        "LZ4" | "Default" => codec(name.clone(), true, true),
        "LZ4HC" => {
            at_most(1)?;
            let level = args.first().map_or(Ok(0), number)?;
            codec(format!("LZ4HC({level})"), true, true)
        }
        "ZSTD" => {
            at_most(2)?;
            let level = args.first().map_or(Ok(1), number)?;
            if level > ZSTD_LEVEL_MAX {
                return Err(wrong(format!("ZSTD codec can't have level more than {ZSTD_LEVEL_MAX}, given {level}")));
            }
            let Some(window) = args.get(1).map(number).transpose()? else {
                return codec(format!("ZSTD({level})"), true, true);
            };
            if window != 0 && !ZSTD_WINDOW_LOG.contains(&window) {
                let (least, most) = ZSTD_WINDOW_LOG.into_inner();
                return Err(wrong(format!("the window log of ZSTD codec is {least} to {most}, given {window}")));
            }
            codec(format!("ZSTD({level}, {window})"), true, true)
        }
        "Delta" => {
            at_most(1)?;
            let width = fixed(&[1, 2, 4, 8])?;
            let width = args.first().map_or(Ok(width), number)?;
            if !matches!(width, 1 | 2 | 4 | 8) {
                return Err(wrong(format!("delta value for delta codec can be 1, 2, 4 or 8, given {width}")));
            }
            codec(format!("Delta({width})"), false, false)
        }
        "DoubleDelta" | "Gorilla" => {
            at_most(1)?;
            fixed(&[1, 2, 4, 8])?;
            codec(expr.to_string(), true, false)
        }
        "T64" => {
            at_most(1)?;
            if let Some(leaf) = leaves.iter().find(|l| !fits_t64(l)) {
                let message = format!("T64 codec is not supported for type {leaf}");
                return Err(Error::new(Code::ILLEGAL_SYNTAX_FOR_CODEC_TYPE, message));
            }
            match args.first().map(ToString::to_string).as_deref() {
                None | Some("'byte'") => codec("T64".to_string(), true, false),
                Some("'bit'") => codec("T64('bit')".to_string(), true, false),
                Some(other) => Err(wrong(format!("T64 codec is 'byte' or 'bit', not {other}"))),
            }
        }
        "FPC" => {
            at_most(2)?;
            if leaves.iter().any(|l| !matches!(l, LogicalType::Float32 | LogicalType::Float64)) {
                return Err(Error::bad_arguments("codec FPC is of floating point numbers"));
            }
            if !experimental {
                let error = Error::bad_arguments("codec FPC is experimental and not meant to be used in production");
                return Err(error.hint("SET allow_experimental_codecs = 1"));
            }
            codec(expr.to_string(), true, false)
        }
        "AES_128_GCM_SIV" | "AES_256_GCM_SIV" => Err(Error::not_implemented(format!("encryption by codec {name}"))),
        "Multiple" => Err(Error::new(Code::UNKNOWN_CODEC, "codec Multiple cannot be specified directly")),
        _ => Err(Error::new(Code::UNKNOWN_CODEC, format!("unknown codec family: {name}"))
            .hint("NONE, LZ4, LZ4HC, ZSTD, Delta, DoubleDelta, Gorilla, T64")),
    }
}

/// The types of the values that a column stores one after another.
fn leaves_of<'a>(ty: &'a LogicalType, leaves: &mut Vec<&'a LogicalType>) {
    match ty {
        LogicalType::Array(inner) | LogicalType::Nullable(inner) | LogicalType::LowCardinality(inner) => {
            leaves_of(inner, leaves);
        }
        LogicalType::SimpleAggregateFunction { arg, .. } => leaves_of(arg, leaves),
        LogicalType::Tuple(elements) => elements.iter().for_each(|(_, ty)| leaves_of(ty, leaves)),
        LogicalType::Nested(elements) => elements.iter().for_each(|(_, ty)| leaves_of(ty, leaves)),
        LogicalType::Map(key, value) => {
            leaves_of(key, leaves);
            leaves_of(value, leaves);
        }
        ty => leaves.push(ty),
    }
}

/// Bytes of a value in ClickHouse's memory; `None`: they differ.
fn width_of(ty: &LogicalType) -> Option<u64> {
    use LogicalType as L;
    Some(match ty {
        L::Bool | L::Int8 | L::UInt8 | L::Enum8(_) | L::Nothing => 1,
        L::Int16 | L::UInt16 | L::Date | L::Enum16(_) => 2,
        L::Int32 | L::UInt32 | L::Float32 | L::Date32 | L::DateTime(_) | L::Ipv4 => 4,
        L::Int64 | L::UInt64 | L::Float64 | L::DateTime64(..) | L::Interval(_) => 8,
        L::Int128 | L::UInt128 | L::Uuid | L::Ipv6 => 16,
        L::Int256 | L::UInt256 => 32,
        L::Decimal { precision, .. } => match precision {
            0..=9 => 4,
            10..=18 => 8,
            19..=38 => 16,
            _ => 32,
        },
        L::FixedString(length) => u64::from(*length),
        _ => return None,
    })
}

fn fits_t64(ty: &LogicalType) -> bool {
    let is_float = matches!(ty, LogicalType::Float32 | LogicalType::Float64);
    !is_float && !matches!(ty, LogicalType::FixedString(_)) && width_of(ty).is_some_and(|width| width <= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(codec: &str, ty: &str) -> std::result::Result<String, Code> {
        let ty = hydron_types::parse_type(ty).unwrap();
        completed(codec, &ty, &Settings::default()).map_err(|e| e.code)
    }

    #[test]
    fn parameters_are_filled_in() {
        for (given, ty, full) in [
            ("ZSTD", "string", "ZSTD(1)"),
            ("ZSTD(9, 20)", "string", "ZSTD(9, 20)"),
            ("LZ4HC", "string", "LZ4HC(0)"),
            ("Delta, LZ4", "int64", "Delta(8), LZ4"),
            ("Delta, Default", "array(nullable(int16))", "Delta(2), Default"),
            ("DoubleDelta, LZ4", "datetime64(3)", "DoubleDelta, LZ4"),
            ("T64('byte')", "int32", "T64"),
            ("T64('bit'), LZ4", "int32", "T64('bit'), LZ4"),
            ("Gorilla", "float64", "Gorilla"),
            ("NONE", "string", "NONE"),
        ] {
            assert_eq!(of(given, ty).as_deref(), Ok(full), "{given}");
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (given, ty, code) in [
            ("Foo", "int8", Code::UNKNOWN_CODEC),
            ("zstd", "int8", Code::UNKNOWN_CODEC),
            ("ZSTD(50)", "int8", Code::ILLEGAL_CODEC_PARAMETER),
            ("ZSTD('a')", "int8", Code::ILLEGAL_CODEC_PARAMETER),
            ("ZSTD(1, 2, 3)", "int8", Code::ILLEGAL_SYNTAX_FOR_CODEC_TYPE),
            ("LZ4(1)", "int8", Code::DATA_TYPE_CANNOT_HAVE_ARGUMENTS),
            ("Delta, LZ4", "string", Code::BAD_ARGUMENTS),
            ("Delta, LZ4", "int128", Code::BAD_ARGUMENTS),
            ("Delta(3), LZ4", "int8", Code::ILLEGAL_CODEC_PARAMETER),
            ("Delta", "int8", Code::BAD_ARGUMENTS),
            ("NONE, LZ4", "int8", Code::BAD_ARGUMENTS),
            ("ZSTD, LZ4", "int8", Code::BAD_ARGUMENTS),
            ("LZ4, Delta", "int8", Code::BAD_ARGUMENTS),
            ("T64", "float32", Code::ILLEGAL_SYNTAX_FOR_CODEC_TYPE),
            ("FPC", "float32", Code::BAD_ARGUMENTS),
        ] {
            assert_eq!(of(given, ty), Err(code), "{given}");
        }
    }
}
