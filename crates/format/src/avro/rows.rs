//! Columns of a stream from and to Avro records.
//!
//! A column takes the field of its name, `a.b` the field `b` of the record in field `a`. With a schema of the user's
//! (`format_schema`) records come bare, one after another; otherwise they come in a file that has its schema in front. AvroConfluent
//! puts a zero and the number of a schema before each record: the number is not looked at, the schema is the user's.

use super::datum::{Cursor, Fault, damaged, push_long, push_sized};
use super::file::{Codec, FileHeader, push_block, push_header, read_block, read_header};
use super::schema::{Named, Schema as AvroSchema, Type};
use crate::loose::{Loose, is_same_name};
use crate::output::{OutputFormat, ResultStats};
use crate::rows::Rows;
use crate::{FormatOptions, InputBatch, InputFormat};
use arrow::datatypes::i256;
use hydron_base::{Code, Error, Result};
use hydron_types::column::value_at;
use hydron_types::{Batch, Field, LogicalType, Schema, Style, TextOptions, Value, array_of, write_text};
use serde_json::{Value as Json, json};
use std::sync::Arc;

enum Source {
    /// Its header is not read yet.
    Start,
    File(Box<FileHeader>),
    /// Records of this schema, with what stands before each when `true`.
    Bare(AvroSchema, bool),
}

pub struct AvroReader {
    source: Source,
    rows: Rows,
    tail: Vec<u8>,
}

impl AvroReader {
    /// Errors: NOT_IMPLEMENTED for AvroConfluent with a schema registry; BAD_ARGUMENTS and UNKNOWN_FORMAT_SCHEMA for schemas.
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, confluent: bool) -> Result<Box<dyn InputFormat>> {
        let source = match (options.schema.is_given(), confluent) {
            (true, _) => Source::Bare(AvroSchema::parse(options.schema.needed("Avro")?)?, confluent),
            (false, false) => Source::Start,
            (false, true) => {
                let error = Error::not_implemented("AvroConfluent with a schema registry");
                return Err(error.hint("SETTINGS format_schema = 'name'"));
            }
        };
        Ok(Box::new(AvroReader { source, rows: Rows::new(Arc::clone(schema), options), tail: Vec::new() }))
    }

    /// Reads what is whole in `bytes`; returns how much that is.
    fn read(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if rest.is_empty() {
                return Ok(at);
            }
            match &self.source {
                Source::Start => {
                    let Some((header, length)) = read_header(rest)? else { return Ok(at) };
                    header.schema.fields()?;
                    self.source = Source::File(Box::new(header));
                    at += length;
                }
                Source::File(header) => {
                    let Some((count, records, length)) = read_block(rest, header)? else { return Ok(at) };
                    let mut cursor = Cursor::new(&records);
                    for _ in 0..count {
                        let before = cursor.at;
                        let record = cursor.value(&header.schema, &header.schema.root, 0).map_err(short_block)?;
                        if cursor.at == before && count > EMPTY_RECORDS_MAX {
                            return Err(damaged(format!("a block of {count} records without bytes")));
                        }
                        append(&mut self.rows, record)?;
                    }
                    if !cursor.is_empty() {
                        return Err(damaged("a block has more bytes than its records"));
                    }
                    at += length;
                }
                Source::Bare(schema, prefixed) => {
                    let mut cursor = Cursor::new(rest);
                    let read = one(&mut cursor, schema, *prefixed);
                    match read {
                        Ok(record) => append(&mut self.rows, record)?,
                        Err(Fault::Short) => return Ok(at),
                        Err(Fault::Wrong(e)) => return Err(e),
                    }
                    if cursor.at == 0 {
                        return Err(damaged("records of the schema have no bytes"));
                    }
                    at += cursor.at;
                }
            }
        }
    }
}

/// Records of a schema without fields that have bytes.
const EMPTY_RECORDS_MAX: u64 = 1 << 16;

fn short_block(fault: Fault) -> Error {
    match fault {
        Fault::Short => damaged("a block ends inside a record"),
        Fault::Wrong(e) => e,
    }
}

fn one(cursor: &mut Cursor<'_>, schema: &AvroSchema, prefixed: bool) -> Result<Loose, Fault> {
    if prefixed {
        let magic = cursor.take(5)?[0];
        if magic != 0 {
            return Err(damaged(format!("a message begins with {magic}, not with 0 and the number of a schema")).into());
        }
    }
    cursor.value(schema, &schema.root, 0)
}

fn append(rows: &mut Rows, record: Loose) -> Result<()> {
    rows.row(|rows| {
        let Loose::Record(mut members) = record else { return Err(damaged("a row that is no record")) };
        for column in 0..rows.schema().len() {
            let name = Arc::clone(&rows.field(column).name);
            match taken(&mut members, &name) {
                Some(loose) => {
                    let value = loose.into_value(&rows.field(column).ty.clone(), &rows.text);
                    rows.append(column, &value.map_err(|e| e.context(format!("column '{name}'")))?)?;
                }
                None => rows.default(column),
            }
        }
        Ok(())
    })
}

/// The member that a column means. A list of records gives the list of their members.
fn taken(members: &mut [(String, Loose)], name: &str) -> Option<Loose> {
    let found = members.iter().position(|(n, _)| n == name);
    if let Some(found) = found.or_else(|| members.iter().position(|(n, _)| is_same_name(n, name))) {
        return Some(std::mem::replace(&mut members[found].1, Loose::Null));
    }
    let (first, rest) = name.split_once('.')?;
    let (_, inner) = members.iter_mut().find(|(n, _)| n == first)?;
    match inner {
        Loose::Record(members) => taken(members, rest),
        Loose::List(items) => {
            let item = |item: &mut Loose| match item {
                Loose::Record(members) => taken(members, rest).unwrap_or(Loose::Null),
                _ => Loose::Null,
            };
            Some(Loose::List(items.iter_mut().map(item).collect()))
        }
        _ => None,
    }
}

impl InputFormat for AvroReader {
    fn feed(&mut self, bytes: &[u8], last: bool) -> Result<Vec<InputBatch>> {
        let mut tail = std::mem::take(&mut self.tail);
        tail.extend_from_slice(bytes);
        let used = self.read(&tail)?;
        tail.drain(..used);
        if tail.len() > crate::rows::ROW_BYTES_MAX {
            return Err(damaged(format!("a block or record of more than {} bytes", crate::rows::ROW_BYTES_MAX)));
        }
        if last && !tail.is_empty() {
            return Err(Error::new(Code::CANNOT_READ_ALL_DATA, "the Avro data is cut off"));
        }
        self.tail = tail;
        let mut batches = self.rows.take_full();
        if last {
            batches.extend(self.rows.take()?);
        }
        Ok(batches)
    }

    fn flush(&mut self) -> Result<Option<InputBatch>> {
        self.rows.take()
    }

    fn rows_skipped(&self) -> u64 {
        self.rows.rows_skipped()
    }
}

pub struct AvroWriter {
    schema: AvroSchema,
    text: String,
    codec: Codec,
    /// The mark between blocks. It need only be the same within a file.
    sync: [u8; 16],
    bare: bool,
    options: TextOptions,
    /// The column of each field of the root.
    columns: Vec<Option<usize>>,
    started: bool,
}

impl AvroWriter {
    /// Errors: NOT_IMPLEMENTED for a codec that is not built; BAD_ARGUMENTS for a field of the user's schema that no column fills.
    pub fn new(schema: &Schema, options: &FormatOptions) -> Result<AvroWriter> {
        let bare = options.schema.is_given();
        let text = match bare {
            true => options.schema.needed("Avro")?.to_string(),
            false => schema_of(schema).to_string(),
        };
        let own = AvroSchema::parse(&text)?;
        let mut columns = Vec::new();
        for (at, (name, ty)) in own.fields()?.iter().enumerate() {
            let found = if bare { schema.index_of(name) } else { Some(at) };
            if found.is_none() && !takes_null(ty) {
                return Err(Error::bad_arguments(format!("no column fills field '{name}' of the schema")));
            }
            columns.push(found);
        }
        Ok(AvroWriter {
            schema: own,
            text,
            codec: Codec::parse(&options.avro_codec)?,
            sync: *b"hydron.block.end",
            bare,
            options: options.text.clone(),
            columns,
            started: false,
        })
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) && !self.bare {
            push_header(&self.text, self.codec, &self.sync, out);
        }
    }
}

fn takes_null(ty: &Type) -> bool {
    match ty {
        Type::Null => true,
        Type::Union(branches) => branches.contains(&Type::Null),
        _ => false,
    }
}

impl OutputFormat for AvroWriter {
    fn content_type(&self) -> &'static str {
        "application/octet-stream"
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        self.start(out);
        if batch.rows() == 0 {
            return Ok(());
        }
        let mut records = Vec::new();
        for row in 0..batch.rows() {
            for ((name, ty), column) in self.schema.fields()?.iter().zip(&self.columns) {
                let (value, of) = match column {
                    Some(column) => {
                        let of = &batch.schema.fields[*column].ty;
                        (value_at(&batch.columns[*column], of, row), of.clone())
                    }
                    None => (Value::Null, LogicalType::Nothing),
                };
                push(&value, &of, ty, &self.schema, &self.options, &mut records)
                    .map_err(|e| e.context(format!("column '{name}'")))?;
            }
        }
        match self.bare {
            true => out.extend_from_slice(&records),
            false => push_block(batch.rows(), &records, self.codec, &self.sync, out)?,
        }
        Ok(())
    }

    fn suffix(&mut self, _: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        self.start(out);
        Ok(())
    }

    fn exception(&mut self, _: &Error, _: &mut Vec<u8>) {}
}

/// A record with a field for each column.
fn schema_of(schema: &Schema) -> Json {
    let mut names = Names { next: 0 };
    let fields = schema.fields.iter().map(|f| json!({ "name": &*f.name, "type": names.type_of(&f.ty) }));
    json!({ "type": "record", "name": "row", "fields": fields.collect::<Vec<_>>() })
}

/// Names for records and fixed types within columns.
struct Names {
    next: usize,
}

impl Names {
    fn name(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}_{}", self.next)
    }

    fn type_of(&mut self, ty: &LogicalType) -> Json {
        use LogicalType as T;
        match ty {
            T::Nullable(inner) => json!(["null", self.type_of(inner)]),
            T::LowCardinality(inner) => self.type_of(inner),
            T::SimpleAggregateFunction { arg, .. } => self.type_of(arg),
            T::Nothing => json!("null"),
            T::Bool => json!("boolean"),
            T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 => json!("int"),
            T::UInt32 | T::Int64 | T::UInt64 | T::DateTime(_) | T::Interval(_) => json!("long"),
            T::Float32 => json!("float"),
            T::Float64 => json!("double"),
            T::Date | T::Date32 => json!({ "type": "int", "logicalType": "date" }),
            T::DateTime64(scale, _) => {
                let unit = match scale.div_ceil(3) {
                    0 | 1 => "timestamp-millis",
                    2 => "timestamp-micros",
                    _ => "timestamp-nanos",
                };
                json!({ "type": "long", "logicalType": unit })
            }
            T::Decimal { precision, scale } => {
                json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale })
            }
            T::Uuid => json!({ "type": "string", "logicalType": "uuid" }),
            T::FixedString(width) => json!({ "type": "fixed", "size": width, "name": self.name("fixed") }),
            T::String | T::AggregateFunction { .. } => json!("bytes"),
            T::Array(item) => json!({ "type": "array", "items": self.type_of(item) }),
            T::Map(_, value) => json!({ "type": "map", "values": self.type_of(value) }),
            T::Tuple(elements) => {
                let name = self.name("tuple");
                let fields = elements.iter().enumerate().map(|(at, (n, ty))| {
                    let name = n.as_deref().map_or_else(|| format!("_{}", at + 1), str::to_string);
                    json!({ "name": name, "type": self.type_of(ty) })
                });
                let fields: Vec<Json> = fields.collect();
                json!({ "type": "record", "name": name, "fields": fields })
            }
            T::Nested(elements) => {
                let tuple = T::Tuple(elements.iter().map(|(n, t)| (Some(n.clone()), t.clone())).collect());
                json!({ "type": "array", "items": self.type_of(&tuple) })
            }
            _ => json!("string"),
        }
    }
}

fn push(
    value: &Value,
    of: &LogicalType,
    ty: &Type,
    schema: &AvroSchema,
    options: &TextOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    let of = of.bare();
    let mismatch = || Error::new(Code::TYPE_MISMATCH, format!("{of} cannot be written as Avro {ty:?}"));
    let plain = || -> Result<Vec<u8>> {
        let mut text = Vec::new();
        write_text(&array_of(value, of, 1)?, of, 0, Style::Plain, options, &mut text)?;
        Ok(text)
    };
    let whole = || -> Result<i64> {
        match value {
            Value::Date(v) => Ok((*v).into()),
            Value::Time(v) => Ok(*v),
            Value::UInt(v) => Ok(*v as i64),
            value => value.as_i64().ok_or_else(mismatch),
        }
    };
    match ty {
        Type::Union(branches) => {
            let wanted = |b: &Type| if value.is_null() { *b == Type::Null } else { fits(value, b, schema) };
            let any = |b: &Type| value.is_null() == (*b == Type::Null);
            let at = branches.iter().position(wanted).or_else(|| branches.iter().position(any));
            let at = at.ok_or_else(mismatch)?;
            push_long(at as i64, out);
            push(value, of, &branches[at], schema, options, out)?;
        }
        Type::Null => {}
        _ if value.is_null() => return push(&Value::default_of(of), of, ty, schema, options, out),
        Type::Bool => out.push(u8::from(whole()? != 0)),
        Type::Int | Type::Date => push_long(i64::from(i32::try_from(whole()?).map_err(|_| mismatch())?), out),
        Type::Long => push_long(whole()?, out),
        Type::Timestamp(digits) => {
            let ticks = whole()?;
            let have = match of {
                LogicalType::DateTime64(scale, _) => scale.div_ceil(3) * 3,
                _ => 0,
            };
            let ticks = match have <= *digits {
                true => ticks.saturating_mul(10_i64.pow(u32::from(digits - have))),
                false => ticks.div_euclid(10_i64.pow(u32::from(have - digits))),
            };
            push_long(ticks, out);
        }
        Type::Float => out.extend_from_slice(&(value.as_f64().ok_or_else(mismatch)? as f32).to_le_bytes()),
        Type::Double => out.extend_from_slice(&value.as_f64().ok_or_else(mismatch)?.to_le_bytes()),
        Type::Bytes | Type::Text | Type::Uuid => match value {
            Value::Bytes(bytes) => push_sized(bytes, out),
            _ => push_sized(&plain()?, out),
        },
        Type::Decimal { of: storage, scale } => {
            let (Value::Decimal(digits), LogicalType::Decimal { scale: have, .. }) = (value, of) else {
                return Err(mismatch());
            };
            if have != scale {
                return Err(mismatch());
            }
            push_decimal(*digits, storage, schema, out).ok_or_else(mismatch)?;
        }
        Type::Array(item) => {
            let (Value::Array(items), LogicalType::Array(item_of)) = (value, of) else {
                return nested(value, of, ty, schema, options, out);
            };
            if !items.is_empty() {
                push_long(items.len() as i64, out);
                items.iter().try_for_each(|v| push(v, item_of, item, schema, options, out))?;
            }
            push_long(0, out);
        }
        Type::Map(item) => {
            let (Value::Map(pairs), LogicalType::Map(key_of, item_of)) = (value, of) else { return Err(mismatch()) };
            if !pairs.is_empty() {
                push_long(pairs.len() as i64, out);
                for (key, value) in pairs {
                    push(key, key_of, &Type::Text, schema, options, out)?;
                    push(value, item_of, item, schema, options, out)?;
                }
            }
            push_long(0, out);
        }
        Type::Named(at) => match &schema.named[*at] {
            Named::Fixed(size) => {
                let bytes = match value {
                    Value::Bytes(bytes) => bytes.clone(),
                    Value::Uuid(bytes) | Value::Ipv6(bytes) => bytes.to_vec(),
                    _ => plain()?,
                };
                if bytes.len() != *size {
                    return Err(mismatch());
                }
                out.extend_from_slice(&bytes);
            }
            Named::Enum { symbols } => {
                let name = plain()?;
                let at = symbols.iter().position(|s| s.as_bytes() == name).ok_or_else(mismatch)?;
                push_long(at as i64, out);
            }
            Named::Record { fields, .. } => {
                let (Value::Tuple(values), LogicalType::Tuple(elements)) = (value, of) else { return Err(mismatch()) };
                for (place, (name, ty)) in fields.iter().enumerate() {
                    let named = elements.iter().position(|(n, _)| n.as_deref() == Some(name));
                    match named.or_else(|| elements.get(place).filter(|(n, _)| n.is_none()).map(|_| place)) {
                        Some(at) => push(&values[at], &elements[at].1, ty, schema, options, out)?,
                        None if takes_null(ty) => push(&Value::Null, &LogicalType::Nothing, ty, schema, options, out)?,
                        None => return Err(mismatch()),
                    }
                }
            }
            Named::Open => return Err(mismatch()),
        },
    }
    Ok(())
}

fn nested(
    value: &Value,
    of: &LogicalType,
    ty: &Type,
    schema: &AvroSchema,
    options: &TextOptions,
    out: &mut Vec<u8>,
) -> Result<()> {
    let LogicalType::Nested(elements) = of else {
        return Err(Error::new(Code::TYPE_MISMATCH, format!("{of} cannot be written as an Avro array")));
    };
    let tuple = LogicalType::Tuple(elements.iter().map(|(n, t)| (Some(n.clone()), t.clone())).collect());
    push(value, &LogicalType::array(tuple), ty, schema, options, out)
}

/// Whether a branch of a union is the natural one for a value.
fn fits(value: &Value, branch: &Type, schema: &AvroSchema) -> bool {
    match branch {
        Type::Null => false,
        Type::Bool => matches!(value, Value::Bool(_)),
        Type::Int => {
            matches!(value, Value::Int(n) if i32::try_from(*n).is_ok())
                || matches!(value, Value::UInt(n) if i32::try_from(*n).is_ok())
        }
        Type::Long => matches!(value, Value::Int(_) | Value::UInt(_) | Value::Time(_) | Value::Bool(_)),
        Type::Date => matches!(value, Value::Date(_)),
        Type::Timestamp(_) => matches!(value, Value::Time(_)),
        Type::Float | Type::Double => matches!(value, Value::Float32(_) | Value::Float64(_)),
        Type::Decimal { .. } => matches!(value, Value::Decimal(_)),
        Type::Bytes | Type::Text | Type::Uuid => {
            !matches!(value, Value::Array(_) | Value::Map(_) | Value::Tuple(_) | Value::Int(_) | Value::UInt(_))
        }
        Type::Array(_) => matches!(value, Value::Array(_)),
        Type::Map(_) => matches!(value, Value::Map(_)),
        Type::Union(_) => false,
        Type::Named(at) => match &schema.named[*at] {
            Named::Record { .. } => matches!(value, Value::Tuple(_)),
            Named::Fixed(size) => matches!(value, Value::Bytes(b) if b.len() == *size),
            Named::Enum { .. } => matches!(value, Value::Bytes(_) | Value::Int(_)),
            Named::Open => false,
        },
    }
}

/// The shortest two's complement, or that of the fixed width.
fn push_decimal(digits: i256, storage: &Type, schema: &AvroSchema, out: &mut Vec<u8>) -> Option<()> {
    let bytes = digits.to_be_bytes();
    let sign = if digits < i256::ZERO { 0xFF } else { 0 };
    let same_sign = |b: u8| b & 0x80 == sign & 0x80;
    let mut start = 0;
    while start < 31 && bytes[start] == sign && same_sign(bytes[start + 1]) {
        start += 1;
    }
    let short = &bytes[start..];
    match storage {
        Type::Named(at) => {
            let Named::Fixed(size) = &schema.named[*at] else { return None };
            let fill = size.checked_sub(short.len())?;
            out.extend(std::iter::repeat_n(sign, fill));
            out.extend_from_slice(short);
        }
        _ => push_sized(short, out),
    }
    Some(())
}

/// The columns that a schema tells.
pub(crate) fn columns_of_schema(source: &str) -> Result<Vec<Field>> {
    columns(&AvroSchema::parse(source)?)
}

/// The columns of a file that begins with `head`.
pub(crate) fn columns_of_file(head: &[u8]) -> Result<Vec<Field>> {
    match read_header(head)? {
        Some((header, _)) => columns(&header.schema),
        None => Err(damaged("its header is cut off")),
    }
}

fn columns(schema: &AvroSchema) -> Result<Vec<Field>> {
    schema.fields()?.iter().map(|(n, ty)| Ok(Field::new(n.as_str(), logical(ty, schema, 0)?))).collect()
}

fn logical(ty: &Type, schema: &AvroSchema, depth: usize) -> Result<LogicalType> {
    use LogicalType as T;
    let unknown = || {
        let message = format!("an Avro {ty:?} has no counterpart here");
        Error::new(Code::CANNOT_EXTRACT_STREAM_STRUCTURE, message)
    };
    if depth > 16 {
        return Err(unknown());
    }
    let inner = |ty: &Type| logical(ty, schema, depth + 1);
    Ok(match ty {
        Type::Null => T::nullable(T::String),
        Type::Bool => T::Bool,
        Type::Int => T::Int32,
        Type::Long => T::Int64,
        Type::Float => T::Float32,
        Type::Double => T::Float64,
        Type::Bytes | Type::Text => T::String,
        Type::Date => T::Date32,
        Type::Timestamp(digits) => T::DateTime64(*digits, None),
        Type::Decimal { scale, .. } => T::Decimal { precision: 76, scale: *scale },
        Type::Uuid => T::Uuid,
        Type::Array(item) => T::array(inner(item)?),
        Type::Map(value) => T::Map(Box::new(T::String), Box::new(inner(value)?)),
        Type::Union(branches) => {
            let mut others = branches.iter().filter(|b| **b != Type::Null);
            match (others.next(), others.next()) {
                (Some(one), None) => {
                    let of = inner(one)?;
                    let holds_null = !matches!(of, T::Array(_) | T::Map(..) | T::Tuple(_));
                    if holds_null && takes_null(ty) { T::nullable(of) } else { of }
                }
                _ => return Err(unknown()),
            }
        }
        Type::Named(at) => match &schema.named[*at] {
            Named::Enum { .. } => T::String,
            Named::Fixed(size) => T::FixedString(u32::try_from(*size).map_err(|_| unknown())?),
            Named::Record { fields, .. } => {
                let element = |(n, ty): &(String, Type)| Ok((Some(Arc::from(n.as_str())), inner(ty)?));
                T::Tuple(fields.iter().map(element).collect::<Result<_>>()?)
            }
            Named::Open => return Err(unknown()),
        },
    })
}
