//! Protobuf, ProtobufSingle and ProtobufList: messages of a schema in text, a field for each column.
//!
//! A column takes the field of its name, in any case, `a.b` the field `b` of the message in field `a`. Protobuf puts the length of
//! each message before it, ProtobufSingle is one message, ProtobufList a message whose first field repeats the row. A field that a
//! message does not have takes the column's default.

use crate::format_schema::bounded;
use crate::loose::{Loose, is_same_name};
use crate::output::OutputFormat;
use crate::rows::{Frame, Framed, RowReader, Rows};
use crate::{FormatOptions, InputFormat};
use hydron_base::{Code, Error, Result};
use hydron_types::column::value_at;
use hydron_types::{Batch, Field, LogicalType, Schema, Style, TextOptions, Value, array_of, write_text};
use prost_reflect::prost::Message;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage,
    Value as Proto,
};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use std::sync::Arc;

/// The name under which the text of the schema is compiled.
const FILE: &str = "schema.proto";

struct Given(String);

impl FileResolver for Given {
    fn open_file(&self, name: &str) -> std::result::Result<File, protox::Error> {
        match name == FILE {
            true => File::from_source(name, &self.0),
            false => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// The messages of a schema. Imports of `google/protobuf/*` are known.
///
/// Errors: CANNOT_PARSE_PROTOBUF_SCHEMA (434).
pub(crate) fn messages(source: &str) -> Result<DescriptorPool> {
    bounded(source)?;
    let wrong = |e: protox::Error| Error::new(Code::CANNOT_PARSE_PROTOBUF_SCHEMA, format!("the schema is wrong: {e}"));
    let mut resolver = ChainFileResolver::new();
    resolver.add(Given(source.to_string()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file(FILE).map_err(wrong)?;
    Ok(compiler.descriptor_pool())
}

/// The message that `format_schema` names; the only one of the schema where it names none.
fn message_of(options: &FormatOptions, format: &str) -> Result<MessageDescriptor> {
    let pool = messages(options.schema.needed(format)?)?;
    let (_, name) = options.schema.parts();
    let own: Vec<MessageDescriptor> =
        pool.all_messages().filter(|m| m.parent_file().name() == FILE && !m.is_map_entry()).collect();
    let found = match name {
        Some(name) => own.iter().find(|m| m.full_name() == name).or_else(|| own.iter().find(|m| m.name() == name)),
        None => {
            let mut outer = own.iter().filter(|m| m.parent_message().is_none());
            outer.next().filter(|_| outer.next().is_none())
        }
    };
    found.cloned().ok_or_else(|| {
        let message = match name {
            Some(name) => format!("the schema has no message {name}"),
            None => {
                let outer = own.iter().filter(|m| m.parent_message().is_none()).count();
                format!("the schema has {outer} messages, and none is named")
            }
        };
        let names: Vec<&str> = own.iter().map(|m| m.full_name()).collect();
        Error::bad_arguments(message).hint(format!("format_schema = 'name:Message' with {}", names.join(", ")))
    })
}

/// How messages follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Lengths,
    Single,
    List,
}

/// The field of each column: through these fields, the last of which has the value.
type Path = Vec<FieldDescriptor>;

fn path_of(message: &MessageDescriptor, name: &str) -> Option<Path> {
    if let Some(field) = message.fields().find(|f| is_same_name(f.name(), name)) {
        return Some(vec![field]);
    }
    message.fields().find_map(|field| {
        let rest = name.get(field.name().len()..)?.strip_prefix(['.', '_'])?;
        if !is_same_name(field.name(), &name[..field.name().len()]) {
            return None;
        }
        let Kind::Message(inner) = field.kind() else { return None };
        let mut path = vec![field];
        path.extend(path_of(&inner, rest)?);
        Some(path)
    })
}

pub struct ProtobufReader {
    message: MessageDescriptor,
    paths: Vec<Option<Path>>,
    framing: Framing,
}

impl ProtobufReader {
    /// Errors: as `message_of`; BAD_ARGUMENTS when no column has a field.
    pub fn open(
        schema: &Arc<Schema>,
        options: &FormatOptions,
        format: &str,
        framing: Framing,
    ) -> Result<Box<dyn InputFormat>> {
        let message = message_of(options, format)?;
        let paths = paths_of(&message, schema)?;
        Ok(Box::new(Framed::new(ProtobufReader { message, paths, framing }, Arc::clone(schema), options)))
    }
}

fn paths_of(message: &MessageDescriptor, schema: &Schema) -> Result<Vec<Option<Path>>> {
    let paths: Vec<_> = schema.fields.iter().map(|f| path_of(message, &f.name)).collect();
    if !schema.is_empty() && paths.iter().all(Option::is_none) {
        let message = format!("no column has the name of a field of message {}", message.full_name());
        return Err(Error::bad_arguments(message));
    }
    Ok(paths)
}

/// A number of seven bits a byte at the start of `bytes`, and how many bytes it takes; `None`: it goes on.
fn varint(bytes: &[u8]) -> Result<Option<(u64, usize)>> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().enumerate() {
        if at == 10 {
            return Err(Error::new(Code::INCORRECT_DATA, "a length of more than ten bytes"));
        }
        value |= u64::from(byte & 0x7F).checked_shl(7 * at as u32).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    Ok(None)
}

impl RowReader for ProtobufReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        if bytes.is_empty() {
            return Ok(Frame::More);
        }
        if self.framing == Framing::Single {
            return Ok(if last { Frame::Row { start: 0, end: bytes.len(), next: bytes.len() } } else { Frame::More });
        }
        let cut = || Error::new(Code::CANNOT_READ_ALL_DATA, "the last message is cut off");
        let more = || if last { Err(cut()) } else { Ok(Frame::More) };
        let mut at = 0;
        if self.framing == Framing::List {
            let Some((tag, taken)) = varint(bytes)? else { return more() };
            if tag != 0x0A {
                let text = format!("a list of rows has only field 1 with messages, here is tag {tag}");
                return Err(Error::new(Code::INCORRECT_DATA, text));
            }
            at = taken;
        }
        let Some((length, taken)) = varint(&bytes[at..])? else { return more() };
        let start = at + taken;
        let end = usize::try_from(length).ok().and_then(|l| start.checked_add(l));
        match end {
            Some(end) if end <= bytes.len() => Ok(Frame::Row { start, end, next: end }),
            Some(end) if end <= crate::rows::ROW_BYTES_MAX => more(),
            _ => Err(Error::new(Code::INCORRECT_DATA, format!("a message of {length} bytes is too long"))),
        }
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        let message = DynamicMessage::decode(self.message.clone(), row)
            .map_err(|e| Error::new(Code::INCORRECT_DATA, format!("no message {}: {e}", self.message.full_name())))?;
        for (column, path) in self.paths.iter().enumerate() {
            match path.as_deref().and_then(|path| at_path(&message, path)) {
                Some(loose) => {
                    let ty = rows.field(column).ty.clone();
                    let value = loose.into_value(&ty, &rows.text);
                    let value = value.map_err(|e| e.context(format!("column '{}'", rows.field(column).name)))?;
                    rows.append(column, &value)?;
                }
                None => rows.default(column),
            }
        }
        Ok(())
    }
}

/// What lies on a path; `None`: the message does not have it.
fn at_path(message: &DynamicMessage, path: &[FieldDescriptor]) -> Option<Loose> {
    let (field, rest) = path.split_first()?;
    if !message.has_field(field) {
        // An empty list is a value; a field with its default cannot be told from one that is not there.
        return (field.is_list() && rest.is_empty()).then(|| Loose::List(Vec::new()));
    }
    let value = message.get_field(field);
    if rest.is_empty() {
        return Some(loose(&value, &field.kind()));
    }
    match &*value {
        Proto::Message(inner) => at_path(inner, rest),
        Proto::List(items) => {
            let item = |item: &Proto| match item {
                Proto::Message(inner) => at_path(inner, rest).unwrap_or(Loose::Null),
                _ => Loose::Null,
            };
            Some(Loose::List(items.iter().map(item).collect()))
        }
        _ => None,
    }
}

fn loose(value: &Proto, kind: &Kind) -> Loose {
    match value {
        Proto::Bool(b) => Loose::Bool(*b),
        Proto::I32(v) => Loose::Int((*v).into()),
        Proto::I64(v) => Loose::Int((*v).into()),
        Proto::U32(v) => Loose::Int((*v).into()),
        Proto::U64(v) => Loose::Int((*v).into()),
        Proto::F32(v) => Loose::Float((*v).into()),
        Proto::F64(v) => Loose::Float(*v),
        Proto::String(text) => Loose::text(text.as_str()),
        Proto::Bytes(bytes) => Loose::Bytes(bytes.to_vec()),
        Proto::EnumNumber(number) => match kind {
            Kind::Enum(names) => match names.get_value(*number) {
                Some(value) => Loose::text(value.name()),
                None => Loose::Int((*number).into()),
            },
            _ => Loose::Int((*number).into()),
        },
        Proto::List(items) => Loose::List(items.iter().map(|item| loose(item, kind)).collect()),
        Proto::Map(pairs) => {
            let value_kind = match kind {
                Kind::Message(entry) => entry.map_entry_value_field().kind(),
                other => other.clone(),
            };
            let mut pairs: Vec<_> = pairs.iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(b.0));
            Loose::Map(pairs.into_iter().map(|(k, v)| (loose_key(k), loose(v, &value_kind))).collect())
        }
        Proto::Message(message) => of_message(message),
    }
}

fn of_message(message: &DynamicMessage) -> Loose {
    let descriptor = message.descriptor();
    let number = |field: u32| message.get_field_by_number(field).map(|v| v.into_owned());
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            let seconds = number(1).and_then(|v| v.as_i64()).unwrap_or(0);
            let nanos = number(2).and_then(|v| v.as_i32()).unwrap_or(0);
            Loose::Time(seconds.saturating_mul(1_000_000_000).saturating_add(nanos.into()), 9)
        }
        name if name.starts_with("google.protobuf.") && name.ends_with("Value") && descriptor.fields().len() == 1 => {
            match descriptor.fields().next() {
                Some(field) => loose(&message.get_field(&field), &field.kind()),
                None => Loose::Null,
            }
        }
        _ => Loose::Record(
            descriptor
                .fields()
                .map(|f| {
                    let has = message.has_field(&f) || !f.supports_presence();
                    let value = if has { loose(&message.get_field(&f), &f.kind()) } else { Loose::Null };
                    (f.name().to_string(), value)
                })
                .collect(),
        ),
    }
}

fn loose_key(key: &MapKey) -> Loose {
    match key {
        MapKey::Bool(b) => Loose::Bool(*b),
        MapKey::I32(v) => Loose::Int((*v).into()),
        MapKey::I64(v) => Loose::Int((*v).into()),
        MapKey::U32(v) => Loose::Int((*v).into()),
        MapKey::U64(v) => Loose::Int((*v).into()),
        MapKey::String(text) => Loose::text(text.as_str()),
    }
}

/// The columns that the message of `format_schema` tells. Errors: as for a reader; a message that contains itself has none.
pub(crate) fn columns(options: &FormatOptions, format: &str) -> Result<Vec<Field>> {
    let message = message_of(options, format)?;
    message.fields().map(|f| Ok(Field::new(f.name(), logical(&f, 0)?))).collect()
}

fn logical(field: &FieldDescriptor, depth: usize) -> Result<LogicalType> {
    use LogicalType as T;
    if depth > 16 {
        let message = format!("message of field {} contains itself", field.name());
        return Err(Error::new(Code::CANNOT_EXTRACT_STREAM_STRUCTURE, message));
    }
    if field.is_map()
        && let Kind::Message(entry) = field.kind()
    {
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        return Ok(T::Map(Box::new(logical(&key, depth + 1)?), Box::new(logical(&value, depth + 1)?)));
    }
    let one = match field.kind() {
        Kind::Bool => T::Bool,
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => T::Int32,
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => T::Int64,
        Kind::Uint32 | Kind::Fixed32 => T::UInt32,
        Kind::Uint64 | Kind::Fixed64 => T::UInt64,
        Kind::Float => T::Float32,
        Kind::Double => T::Float64,
        Kind::String | Kind::Bytes | Kind::Enum(_) => T::String,
        Kind::Message(message) => match (message.full_name(), message.fields().next()) {
            ("google.protobuf.Timestamp", _) => T::DateTime64(9, None),
            (name, Some(value)) if name.starts_with("google.protobuf.") && name.ends_with("Value") => {
                T::nullable(logical(&value, depth + 1)?)
            }
            _ => {
                let element = |f: FieldDescriptor| Ok((Some(Arc::from(f.name())), logical(&f, depth + 1)?));
                T::Tuple(message.fields().map(element).collect::<Result<_>>()?)
            }
        },
    };
    Ok(match field.is_list() {
        true => T::array(one),
        // `optional` of proto3: the message tells whether the field is there.
        false if field.containing_oneof().is_some() && !matches!(one, T::Tuple(_)) => T::nullable(one),
        false => one,
    })
}

pub struct ProtobufWriter {
    message: MessageDescriptor,
    paths: Vec<Option<Path>>,
    framing: Framing,
    rows: u64,
    text: TextOptions,
}

impl ProtobufWriter {
    pub fn new(schema: &Schema, options: &FormatOptions, format: &str, framing: Framing) -> Result<ProtobufWriter> {
        let message = message_of(options, format)?;
        let paths = paths_of(&message, schema)?;
        Ok(ProtobufWriter { message, paths, framing, rows: 0, text: options.text.clone() })
    }

    fn row(&self, batch: &Batch, row: usize) -> Result<DynamicMessage> {
        let mut message = DynamicMessage::new(self.message.clone());
        for (column, (field, path)) in batch.schema.fields.iter().zip(&self.paths).enumerate() {
            let Some(path) = path else { continue };
            let value = value_at(&batch.columns[column], &field.ty, row);
            put(&mut message, path, &value, &field.ty, &self.text)
                .map_err(|e| e.context(format!("column '{}'", field.name)))?;
        }
        Ok(message)
    }
}

impl OutputFormat for ProtobufWriter {
    fn content_type(&self) -> &'static str {
        "application/octet-stream"
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        for row in 0..batch.rows() {
            let bytes = self.row(batch, row)?.encode_to_vec();
            match self.framing {
                Framing::Single if self.rows > 0 => {
                    let message = "ProtobufSingle writes one row: its messages have no ends";
                    return Err(Error::new(Code::UNSUPPORTED, message).hint("format Protobuf"));
                }
                Framing::Single => {}
                Framing::Lengths => push_varint(bytes.len() as u64, out),
                Framing::List => {
                    out.push(0x0A);
                    push_varint(bytes.len() as u64, out);
                }
            }
            out.extend_from_slice(&bytes);
            self.rows += 1;
        }
        Ok(())
    }

    fn exception(&mut self, _: &Error, _: &mut Vec<u8>) {}
}

pub(crate) fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Sets the field at the end of `path`; of an array of parallel columns each element goes to its message.
fn put(
    message: &mut DynamicMessage,
    path: &[FieldDescriptor],
    value: &Value,
    ty: &LogicalType,
    text: &TextOptions,
) -> Result<()> {
    let Some((field, rest)) = path.split_first() else { return Ok(()) };
    if rest.is_empty() {
        if let Some(proto) = field_value(field, value, ty, text)? {
            message.try_set_field(field, proto).map_err(|e| Error::bug(format!("field {}: {e}", field.name())))?;
        }
        return Ok(());
    }
    let Kind::Message(inner) = field.kind() else { return Ok(()) };
    match (message.get_field_mut(field), value, ty.bare()) {
        (Proto::Message(inner), value, ty) => put(inner, rest, value, ty, text),
        (Proto::List(items), Value::Array(values), LogicalType::Array(item)) => {
            for (at, value) in values.iter().enumerate() {
                if at == items.len() {
                    items.push(Proto::Message(DynamicMessage::new(inner.clone())));
                }
                if let Proto::Message(inner) = &mut items[at] {
                    put(inner, rest, value, item, text)?;
                }
            }
            Ok(())
        }
        _ => Err(unfit(ty, field)),
    }
}

fn unfit(ty: &LogicalType, field: &FieldDescriptor) -> Error {
    let message = format!("{ty} cannot be written as field {} of type {:?}", field.name(), field.kind());
    Error::new(Code::TYPE_MISMATCH, message)
}

/// `None`: the field stays unset, for NULL.
fn field_value(field: &FieldDescriptor, value: &Value, ty: &LogicalType, text: &TextOptions) -> Result<Option<Proto>> {
    if value.is_null() {
        return Ok(None);
    }
    let kind = field.kind();
    let unfit = || unfit(ty, field);
    Ok(Some(match (value, ty.bare()) {
        (Value::Map(pairs), LogicalType::Map(key_ty, value_ty)) if field.is_map() => {
            let Kind::Message(entry) = &kind else { return Err(unfit()) };
            let (key_kind, value_kind) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
            let mut map = std::collections::HashMap::with_capacity(pairs.len());
            for (k, v) in pairs {
                let key = map_key(scalar(k, key_ty, &key_kind, text)?.ok_or_else(unfit)?).ok_or_else(unfit)?;
                if let Some(v) = scalar(v, value_ty, &value_kind, text)? {
                    map.insert(key, v);
                }
            }
            Proto::Map(map)
        }
        (Value::Array(items), LogicalType::Array(item)) if field.cardinality() == Cardinality::Repeated => {
            let items = items.iter().filter_map(|v| scalar(v, item, &kind, text).transpose());
            Proto::List(items.collect::<Result<_>>()?)
        }
        (Value::Array(items), LogicalType::Nested(elements)) if field.cardinality() == Cardinality::Repeated => {
            let tuple = LogicalType::Tuple(elements.iter().map(|(n, t)| (Some(n.clone()), t.clone())).collect());
            let items = items.iter().filter_map(|v| scalar(v, &tuple, &kind, text).transpose());
            Proto::List(items.collect::<Result<_>>()?)
        }
        (value, ty) if field.cardinality() == Cardinality::Repeated => {
            Proto::List(scalar(value, ty, &kind, text)?.into_iter().collect())
        }
        (value, ty) => return scalar(value, ty, &kind, text),
    }))
}

fn map_key(value: Proto) -> Option<MapKey> {
    Some(match value {
        Proto::Bool(b) => MapKey::Bool(b),
        Proto::I32(v) => MapKey::I32(v),
        Proto::I64(v) => MapKey::I64(v),
        Proto::U32(v) => MapKey::U32(v),
        Proto::U64(v) => MapKey::U64(v),
        Proto::String(text) => MapKey::String(text),
        _ => return None,
    })
}

/// One value as `kind`.
fn scalar(value: &Value, ty: &LogicalType, kind: &Kind, text: &TextOptions) -> Result<Option<Proto>> {
    if value.is_null() {
        return Ok(None);
    }
    let plain = || -> Result<Vec<u8>> {
        let mut out = Vec::new();
        write_text(&array_of(value, ty, 1)?, ty, 0, Style::Plain, text, &mut out)?;
        Ok(out)
    };
    let mismatch = || Error::new(Code::TYPE_MISMATCH, format!("{ty} cannot be written as {kind:?}"));
    let whole = || -> Result<i128> {
        match value {
            Value::Date(v) => Ok((*v).into()),
            Value::Time(v) => Ok((*v).into()),
            Value::Float32(v) => Ok(*v as i128),
            Value::Float64(v) => Ok(*v as i128),
            Value::UInt(v) => Ok((*v).into()),
            value => match value.as_i64() {
                Some(v) => Ok(v.into()),
                None => String::from_utf8_lossy(&plain()?).trim().parse().map_err(|_| mismatch()),
            },
        }
    };
    let float = || -> Result<f64> {
        match value.as_f64() {
            Some(v) => Ok(v),
            None => String::from_utf8_lossy(&plain()?).trim().parse().map_err(|_| mismatch()),
        }
    };
    let small = |n: i128| i32::try_from(n).map_err(|_| out_of_range(n, kind));
    Ok(Some(match kind {
        Kind::Bool => Proto::Bool(whole()? != 0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Proto::I32(small(whole()?)?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            let n = whole()?;
            Proto::I64(i64::try_from(n).map_err(|_| out_of_range(n, kind))?)
        }
        Kind::Uint32 | Kind::Fixed32 => {
            let n = whole()?;
            Proto::U32(u32::try_from(n).map_err(|_| out_of_range(n, kind))?)
        }
        Kind::Uint64 | Kind::Fixed64 => {
            let n = whole()?;
            Proto::U64(u64::try_from(n).map_err(|_| out_of_range(n, kind))?)
        }
        Kind::Float => Proto::F32(float()? as f32),
        Kind::Double => Proto::F64(float()?),
        Kind::String => Proto::String(String::from_utf8_lossy(&plain()?).into_owned()),
        Kind::Bytes => Proto::Bytes(match value {
            Value::Bytes(bytes) => bytes.clone().into(),
            _ => plain()?.into(),
        }),
        Kind::Enum(names) => {
            let name = plain()?;
            let found = names.values().find(|v| v.name().as_bytes().eq_ignore_ascii_case(&name));
            match found {
                Some(value) => Proto::EnumNumber(value.number()),
                None => Proto::EnumNumber(small(whole()?)?),
            }
        }
        Kind::Message(message) => Proto::Message(message_value(message, value, ty, text)?),
    }))
}

fn out_of_range(n: i128, kind: &Kind) -> Error {
    Error::new(Code::VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, format!("{n} does not fit into {kind:?}"))
}

fn message_value(
    descriptor: &MessageDescriptor,
    value: &Value,
    ty: &LogicalType,
    text: &TextOptions,
) -> Result<DynamicMessage> {
    let mut message = DynamicMessage::new(descriptor.clone());
    let name = descriptor.full_name();
    if let (Value::Tuple(values), LogicalType::Tuple(elements)) = (value, ty.bare()) {
        for (at, (value, (element, ty))) in values.iter().zip(elements.iter()).enumerate() {
            let field = match element {
                Some(name) => descriptor.fields().find(|f| is_same_name(f.name(), name)),
                None => descriptor.fields().nth(at),
            };
            if let Some(field) = field {
                put(&mut message, &[field], value, ty, text)?;
            }
        }
        return Ok(message);
    }
    if let (Value::Time(ticks), "google.protobuf.Timestamp") = (value, name) {
        let scale = match ty.bare() {
            LogicalType::DateTime64(scale, _) => scale.div_ceil(3) * 3,
            _ => 0,
        };
        let unit = 10_i64.pow(scale.into());
        let nanos = ticks.rem_euclid(unit) * (1_000_000_000 / unit);
        message.set_field_by_number(1, Proto::I64(ticks.div_euclid(unit)));
        message.set_field_by_number(2, Proto::I32(nanos as i32));
        return Ok(message);
    }
    if name.starts_with("google.protobuf.")
        && name.ends_with("Value")
        && let Some(field) = descriptor.fields().next()
    {
        put(&mut message, &[field], value, ty, text)?;
        return Ok(message);
    }
    Err(Error::new(Code::TYPE_MISMATCH, format!("{ty} cannot be written as message {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ResultStats;
    use crate::format_schema::NamedSchema;
    use hydron_types::{ColumnBuilder, parse_type, read_text};

    const SOURCE: &str = r#"
        syntax = "proto3";
        import "google/protobuf/timestamp.proto";
        enum Color { RED = 0; BLUE = 1; }
        message Row {
          message Part { int32 x = 1; string y = 2; }
          int64 id = 1;
          string name = 2;
          repeated double values = 3;
          Part part = 4;
          repeated Part parts = 5;
          map<string, int32> counts = 6;
          optional int32 maybe = 7;
          Color color = 8;
          google.protobuf.Timestamp at = 9;
          bytes raw = 10;
        }
        message Other { int32 a = 1; }"#;

    const COLUMNS: &[(&str, &str, [&str; 2])] = &[
        ("id", "int64", ["-3", "5"]),
        ("Name", "string", ["one", "two"]),
        ("values", "array(float64)", ["[1.5,2]", "[]"]),
        ("part", "tuple(x int32, y string)", ["(1,'a')", "(2,'b')"]),
        ("parts.x", "array(int32)", ["[1,2]", "[]"]),
        ("counts", "map(string, int32)", ["{'k':7}", "{}"]),
        ("maybe", "nullable(int32)", ["\\N", "9"]),
        ("color", "enum8('RED' = 0, 'BLUE' = 1)", ["BLUE", "BLUE"]),
        ("at", "datetime64(3, 'UTC')", ["2020-01-02 03:04:05.678", "1970-01-01 00:00:01.000"]),
        ("raw", "string", ["\\0x", "y"]),
    ];

    fn options(message: &str) -> FormatOptions {
        let schema = NamedSchema { named: format!("s{message}"), source: SOURCE.to_string() };
        FormatOptions { schema, ..FormatOptions::default() }
    }

    fn batch() -> Batch {
        let fields = COLUMNS.iter().map(|(n, t, _)| Field::new(*n, parse_type(t).unwrap())).collect();
        let schema = Arc::new(Schema::new(fields));
        let arrays = COLUMNS.iter().zip(&schema.fields).map(|((_, _, texts), field)| {
            let mut builder = ColumnBuilder::new(&field.ty);
            for text in texts {
                read_text(text.as_bytes(), Style::Escaped, &TextOptions::default(), &mut builder).unwrap();
            }
            builder.finish().unwrap()
        });
        Batch::new(Arc::clone(&schema), arrays.collect(), 2)
    }

    fn rows_of(batch: &Batch) -> Vec<Vec<Value>> {
        let row = |r| batch.columns.iter().zip(&batch.schema.fields).map(|(c, f)| value_at(c, &f.ty, r)).collect();
        (0..batch.rows()).map(row).collect()
    }

    fn written(batch: &Batch, format: &str, framing: Framing) -> Vec<u8> {
        let mut writer = ProtobufWriter::new(&batch.schema, &options(":Row"), format, framing).unwrap();
        let mut out = Vec::new();
        writer.batch(batch, &mut out).unwrap();
        writer.suffix(&ResultStats::default(), &mut out).unwrap();
        out
    }

    fn read(schema: &Arc<Schema>, bytes: &[u8], framing: Framing, step: usize) -> Result<Vec<Vec<Value>>> {
        let mut reader = ProtobufReader::open(schema, &options(":Row"), "Protobuf", framing)?;
        let mut batches = Vec::new();
        for piece in bytes.chunks(step) {
            batches.extend(reader.feed(piece, false)?);
        }
        batches.extend(reader.feed(b"", true)?);
        Ok(batches.iter().flat_map(|b| rows_of(&b.batch)).collect())
    }

    #[test]
    fn what_was_written_is_read_at_any_cut() {
        let batch = batch();
        for (format, framing) in [("Protobuf", Framing::Lengths), ("ProtobufList", Framing::List)] {
            let bytes = written(&batch, format, framing);
            for step in [1, 5, bytes.len()] {
                assert_eq!(read(&batch.schema, &bytes, framing, step).unwrap(), rows_of(&batch), "{format} {step}");
            }
            assert!(read(&batch.schema, &bytes[..bytes.len() - 1], framing, 100).is_err());
        }
        let one = batch.slice(0, 1);
        let bytes = written(&one, "ProtobufSingle", Framing::Single);
        assert_eq!(read(&one.schema, &bytes, Framing::Single, 1).unwrap(), rows_of(&one));
    }

    #[test]
    fn bytes_are_those_of_other_writers() {
        let schema =
            Arc::new(Schema::new(vec![Field::new("id", LogicalType::Int64), Field::new("name", LogicalType::String)]));
        // Field 2 before field 1, and a field that the schema does not have.
        let bytes = [10, 0x12, 2, b'h', b'i', 0x08, 0x96, 0x01, 0x78, 0x01, 0x78, 0x01];
        let bytes = [&[11_u8][..], &bytes[1..]].concat();
        assert_eq!(read(&schema, &bytes, Framing::Lengths, 3).unwrap(), [[Value::Int(150), Value::string("hi")]]);
    }

    #[test]
    fn the_message_must_be_known() {
        let schema = Arc::new(Schema::new(vec![Field::new("id", LogicalType::Int64)]));
        for (message, why) in [("", "2 messages"), (":None", "no message None"), (":Other", "no column has the name")] {
            let error = ProtobufReader::open(&schema, &options(message), "Protobuf", Framing::Lengths).err().unwrap();
            assert!(error.message.contains(why), "{}", error.message);
        }
        let none =
            ProtobufReader::open(&schema, &FormatOptions::default(), "Protobuf", Framing::Lengths).err().unwrap();
        assert_eq!(none.code, Code::BAD_ARGUMENTS);
        assert_eq!(messages("message {").err().unwrap().code, Code::CANNOT_PARSE_PROTOBUF_SCHEMA);
    }
}
