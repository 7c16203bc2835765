//! Formats by name. Names are case sensitive, as in ClickHouse; some have a second one.

use crate::FormatOptions;
use crate::arrow_ipc::{self, ArrowWriter, StreamReader};
use crate::avro::{AvroReader, AvroWriter};
use crate::csv::{CsvReader, CsvWriter};
use crate::custom::{CustomReader, CustomWriter};
use crate::input::{Evaluator, InputFormat};
use crate::json_columns::{self, ColumnsReader, ColumnsWriter, DocumentReader};
use crate::json_document::DocumentWriter;
use crate::json_in::{AsStringReader, CompactReader, ObjectReader};
use crate::json_objects::ObjectsWriter;
use crate::json_rows::{CompactWriter, ObjectWriter};
use crate::markdown::MarkdownWriter;
use crate::msgpack::{MsgPackReader, MsgPackWriter};
use crate::native::{NativeReader, NativeWriter};
use crate::output::{Null, OutputFormat};
#[cfg(feature = "parquet")]
use crate::parquet_file::{self, ParquetWriter};
use crate::pretty::{Layout, PrettyWriter};
#[cfg(feature = "protobuf")]
use crate::protobuf::{Framing, ProtobufReader, ProtobufWriter};
use crate::raw::{BlobReader, LineReader, RawWriter};
use crate::regexp::RegexpReader;
use crate::row_binary::{RowBinaryReader, RowBinaryWriter};
use crate::sql_insert::SqlInsertWriter;
use crate::template::{TemplateReader, TemplateWriter};
use crate::tsv::{Header, TskvReader, TskvWriter, TsvReader, TsvWriter};
use crate::values::{ValuesReader, ValuesWriter};
use crate::vertical::VerticalWriter;
use crate::xml::XmlWriter;
use hydron_base::{Code, Error, Result};
use hydron_types::Schema;
use std::sync::Arc;

/// A known format: its name, and what can be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatInfo {
    pub name: &'static str,
    pub is_input: bool,
    pub is_output: bool,
}

const fn both(name: &'static str) -> FormatInfo {
    FormatInfo { name, is_input: true, is_output: true }
}

const fn out_only(name: &'static str) -> FormatInfo {
    FormatInfo { name, is_input: false, is_output: true }
}

const fn in_only(name: &'static str) -> FormatInfo {
    FormatInfo { name, is_input: true, is_output: false }
}

/// Formats that are read and written here, for `system.formats`.
pub const FORMATS: &[FormatInfo] = &[
    both("Arrow"),
    both("ArrowStream"),
    both("Avro"),
    in_only("AvroConfluent"),
    both("CSV"),
    both("CSVWithNames"),
    both("CSVWithNamesAndTypes"),
    both("CustomSeparated"),
    in_only("CustomSeparatedIgnoreSpaces"),
    in_only("CustomSeparatedIgnoreSpacesWithNames"),
    in_only("CustomSeparatedIgnoreSpacesWithNamesAndTypes"),
    both("CustomSeparatedWithNames"),
    both("CustomSeparatedWithNamesAndTypes"),
    both("JSON"),
    in_only("JSONAsObject"),
    in_only("JSONAsString"),
    both("JSONColumns"),
    both("JSONColumnsWithMetadata"),
    both("JSONCompact"),
    both("JSONCompactColumns"),
    both("JSONCompactEachRow"),
    both("JSONCompactEachRowWithNames"),
    both("JSONCompactEachRowWithNamesAndTypes"),
    out_only("JSONCompactStrings"),
    both("JSONCompactStringsEachRow"),
    both("JSONCompactStringsEachRowWithNames"),
    both("JSONCompactStringsEachRowWithNamesAndTypes"),
    both("JSONEachRow"),
    out_only("JSONEachRowWithProgress"),
    both("JSONLines"),
    both("JSONObjectEachRow"),
    out_only("JSONStrings"),
    both("JSONStringsEachRow"),
    out_only("JSONStringsEachRowWithProgress"),
    both("LineAsString"),
    out_only("Markdown"),
    both("MsgPack"),
    both("NDJSON"),
    both("Native"),
    out_only("Null"),
    both("Parquet"),
    out_only("Pretty"),
    out_only("PrettyCompact"),
    out_only("PrettyCompactMonoBlock"),
    out_only("PrettyCompactNoEscapes"),
    out_only("PrettyCompactNoEscapesMonoBlock"),
    out_only("PrettyMonoBlock"),
    out_only("PrettyNoEscapes"),
    out_only("PrettyNoEscapesMonoBlock"),
    out_only("PrettySpace"),
    out_only("PrettySpaceMonoBlock"),
    out_only("PrettySpaceNoEscapes"),
    out_only("PrettySpaceNoEscapesMonoBlock"),
    both("Protobuf"),
    both("ProtobufList"),
    both("ProtobufSingle"),
    both("RawBLOB"),
    in_only("Regexp"),
    both("RowBinary"),
    both("RowBinaryWithNames"),
    both("RowBinaryWithNamesAndTypes"),
    out_only("SQLInsert"),
    both("TSKV"),
    both("TSV"),
    both("TSVRaw"),
    both("TSVRawWithNames"),
    both("TSVRawWithNamesAndTypes"),
    both("TSVWithNames"),
    both("TSVWithNamesAndTypes"),
    both("TabSeparated"),
    both("TabSeparatedRaw"),
    both("TabSeparatedRawWithNames"),
    both("TabSeparatedRawWithNamesAndTypes"),
    both("TabSeparatedWithNames"),
    both("TabSeparatedWithNamesAndTypes"),
    both("Template"),
    in_only("TemplateIgnoreSpaces"),
    both("Values"),
    out_only("Vertical"),
    out_only("XML"),
];

/// Names of the dialect that are not built.
const NOT_BUILT: &[&str] =
    &["CapnProto", "HiveText", "MySQLWire", "ODBCDriver2", "ORC", "PostgreSQLWire", "RawStoreEachRow"];

/// Whether `name` is a format of the dialect, built or not.
pub fn is_known(name: &str) -> bool {
    FORMATS.iter().any(|f| f.name == name) || NOT_BUILT.contains(&name)
}

/// A writer of results of `schema`.
///
/// Errors: UNKNOWN_FORMAT (73); NOT_IMPLEMENTED (48) for a format of the dialect that is not built;
/// UNKNOWN_FORMAT too where it is only read.
pub fn output(name: &str, schema: Arc<Schema>, options: &FormatOptions) -> Result<Box<dyn OutputFormat>> {
    let schema = &schema;
    if let Some((layout, escapes, mono_block)) = pretty(name) {
        return Ok(Box::new(PrettyWriter::new(schema, options, layout, escapes, mono_block)));
    }
    let (family, header) = headed(name);
    Ok(match (family, header) {
        ("TabSeparated" | "TSV", header) => Box::new(TsvWriter::new(schema, options, false, header)),
        ("TabSeparatedRaw" | "TSVRaw", header) => Box::new(TsvWriter::new(schema, options, true, header)),
        ("CSV", header) => Box::new(CsvWriter::new(schema, options, header)),
        ("JSONCompactEachRow", header) => Box::new(CompactWriter::new(schema, options, header, false)),
        ("JSONCompactStringsEachRow", header) => Box::new(CompactWriter::new(schema, options, header, true)),
        ("RowBinary", header) => Box::new(RowBinaryWriter::new(schema, header, options.native.names)?),
        ("TSKV", Header::None) => Box::new(TskvWriter::new(schema, options)),
        ("JSONEachRow" | "JSONLines" | "NDJSON", Header::None) => {
            Box::new(ObjectWriter::new(schema, options, false, false))
        }
        ("JSONStringsEachRow", Header::None) => Box::new(ObjectWriter::new(schema, options, true, false)),
        ("JSONEachRowWithProgress", Header::None) => Box::new(ObjectWriter::new(schema, options, false, true)),
        ("JSONStringsEachRowWithProgress", Header::None) => Box::new(ObjectWriter::new(schema, options, true, true)),
        ("JSON", Header::None) => Box::new(DocumentWriter::new(schema, options, false, false)),
        ("JSONStrings", Header::None) => Box::new(DocumentWriter::new(schema, options, false, true)),
        ("JSONCompact", Header::None) => Box::new(DocumentWriter::new(schema, options, true, false)),
        ("JSONCompactStrings", Header::None) => Box::new(DocumentWriter::new(schema, options, true, true)),
        ("Values", Header::None) => Box::new(ValuesWriter::new(options)),
        ("Vertical", Header::None) => Box::new(VerticalWriter::new(schema, options)),
        ("Markdown", Header::None) => Box::new(MarkdownWriter::new(schema, options)),
        ("XML", Header::None) => Box::new(XmlWriter::new(schema, options)),
        ("Null", Header::None) => Box::new(Null),
        ("RawBLOB", Header::None) => Box::new(RawWriter::new(schema, options, false)?),
        ("LineAsString", Header::None) => Box::new(RawWriter::new(schema, options, true)?),
        ("Native", Header::None) => Box::new(NativeWriter::new(options)),
        ("Arrow", Header::None) => Box::new(ArrowWriter::new(schema, false)?),
        ("ArrowStream", Header::None) => Box::new(ArrowWriter::new(schema, true)?),
        ("CustomSeparated", header) => Box::new(CustomWriter::new(schema, options, header)?),
        ("Template", Header::None) => Box::new(TemplateWriter::new(schema, options)?),
        ("SQLInsert", Header::None) => Box::new(SqlInsertWriter::new(schema, options)),
        ("JSONColumns", Header::None) => Box::new(ColumnsWriter::new(schema, options, json_columns::Kind::Named)),
        ("JSONCompactColumns", Header::None) => {
            Box::new(ColumnsWriter::new(schema, options, json_columns::Kind::Compact))
        }
        ("JSONColumnsWithMetadata", Header::None) => {
            Box::new(ColumnsWriter::new(schema, options, json_columns::Kind::Metadata))
        }
        ("JSONObjectEachRow", Header::None) => Box::new(ObjectsWriter::new(schema, options)),
        ("MsgPack", Header::None) => Box::new(MsgPackWriter::new(options)),
        ("Avro", Header::None) => Box::new(AvroWriter::new(schema, options)?),
        #[cfg(feature = "protobuf")]
        ("Protobuf" | "ProtobufSingle" | "ProtobufList", Header::None) => {
            Box::new(ProtobufWriter::new(schema, options, name, framing(name))?)
        }
        #[cfg(feature = "parquet")]
        ("Parquet", Header::None) => Box::new(ParquetWriter::new(schema)?),
        _ => return Err(no_format(name, "output")),
    })
}

/// A reader of rows of `schema`, the columns that an INSERT fills, in their order. `evaluator` serves Values only.
///
/// Errors: as [`output`]; BAD_ARGUMENTS for a format that does not fit the columns.
pub fn input(
    name: &str,
    schema: Arc<Schema>,
    options: &FormatOptions,
    evaluator: Option<Evaluator>,
) -> Result<Box<dyn InputFormat>> {
    let schema = &schema;
    let (family, header) = headed(name);
    Ok(match (family, header) {
        ("TabSeparated" | "TSV", header) => TsvReader::open(schema, options, false, header),
        ("TabSeparatedRaw" | "TSVRaw", header) => TsvReader::open(schema, options, true, header),
        ("CSV", header) => CsvReader::open(schema, options, header),
        ("JSONCompactEachRow", header) => CompactReader::open(schema, options, header, false),
        ("JSONCompactStringsEachRow", header) => CompactReader::open(schema, options, header, true),
        ("RowBinary", header) => RowBinaryReader::open(schema, options, header)?,
        ("TSKV", Header::None) => TskvReader::open(schema, options),
        ("JSONEachRow" | "JSONLines" | "NDJSON", Header::None) => ObjectReader::open(schema, options, false),
        ("JSONStringsEachRow", Header::None) => ObjectReader::open(schema, options, true),
        ("JSON", Header::None) => DocumentReader::open(schema, options, false),
        ("JSONCompact", Header::None) => DocumentReader::open(schema, options, true),
        ("JSONObjectEachRow", Header::None) => ObjectReader::open_with(schema, options, false, true),
        ("JSONColumns", Header::None) => ColumnsReader::open(schema, options, json_columns::Kind::Named),
        ("JSONCompactColumns", Header::None) => ColumnsReader::open(schema, options, json_columns::Kind::Compact),
        ("JSONColumnsWithMetadata", Header::None) => ColumnsReader::open(schema, options, json_columns::Kind::Metadata),
        ("CustomSeparated", header) => CustomReader::open(schema, options, header, false)?,
        ("CustomSeparatedIgnoreSpaces", header) => CustomReader::open(schema, options, header, true)?,
        ("Template", Header::None) => TemplateReader::open(schema, options, false)?,
        ("TemplateIgnoreSpaces", Header::None) => TemplateReader::open(schema, options, true)?,
        ("Regexp", Header::None) => RegexpReader::open(schema, options)?,
        ("MsgPack", Header::None) => MsgPackReader::open(schema, options),
        ("JSONAsString" | "JSONAsObject", Header::None) => AsStringReader::open(schema, options, name)?,
        ("Values", Header::None) => ValuesReader::open(schema, options, evaluator),
        ("RawBLOB", Header::None) => BlobReader::open(schema, options)?,
        ("LineAsString", Header::None) => LineReader::open(schema, options)?,
        ("Native", Header::None) => NativeReader::open(schema, options),
        ("Arrow", Header::None) => arrow_ipc::open_file(schema, options),
        ("ArrowStream", Header::None) => StreamReader::open(schema, options),
        ("Avro" | "AvroConfluent", Header::None) => AvroReader::open(schema, options, name == "AvroConfluent")?,
        #[cfg(feature = "protobuf")]
        ("Protobuf" | "ProtobufSingle" | "ProtobufList", Header::None) => {
            ProtobufReader::open(schema, options, name, framing(name))?
        }
        #[cfg(feature = "parquet")]
        ("Parquet", Header::None) => parquet_file::open_file(schema, options),
        _ => return Err(no_format(name, "input")),
    })
}

#[cfg(feature = "protobuf")]
fn framing(name: &str) -> Framing {
    match name {
        "ProtobufSingle" => Framing::Single,
        "ProtobufList" => Framing::List,
        _ => Framing::Lengths,
    }
}

fn no_format(name: &str, direction: &str) -> Error {
    // What is in FORMATS for one direction is built; the others need a feature that this program does not have.
    if NOT_BUILT.contains(&name) || (name.starts_with("Protobuf") && cfg!(not(feature = "protobuf"))) {
        return Error::not_implemented(format!("format {name}"));
    }
    match FORMATS.iter().any(|f| f.name == name) {
        true => Error::new(Code::UNKNOWN_FORMAT, format!("format {name} is not suitable for {direction}")),
        false => {
            let error = Error::new(Code::UNKNOWN_FORMAT, format!("format '{name}' is unknown"));
            match FORMATS.iter().find(|f| f.name.eq_ignore_ascii_case(name)) {
                Some(near) => error.hint(near.name),
                None => error,
            }
        }
    }
}

/// A name without its `WithNames` or `WithNamesAndTypes`.
fn headed(name: &str) -> (&str, Header) {
    if let Some(family) = name.strip_suffix("WithNamesAndTypes") {
        (family, Header::NamesAndTypes)
    } else if let Some(family) = name.strip_suffix("WithNames") {
        (family, Header::Names)
    } else {
        (name, Header::None)
    }
}

/// Layout, escapes, one table for all batches.
fn pretty(name: &str) -> Option<(Layout, bool, bool)> {
    let (rest, mono_block) = name.strip_suffix("MonoBlock").map_or((name, false), |r| (r, true));
    let (rest, escapes) = rest.strip_suffix("NoEscapes").map_or((rest, true), |r| (r, false));
    let layout = match rest {
        "Pretty" => Layout::Full,
        "PrettyCompact" => Layout::Compact,
        "PrettySpace" => Layout::Space,
        _ => return None,
    };
    Some((layout, escapes, mono_block))
}
