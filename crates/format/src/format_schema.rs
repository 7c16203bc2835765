//! Schemas that a user gives in text: `CREATE FORMAT SCHEMA`, and the setting `format_schema` that names one.

use hydron_base::{Code, Error, Result, Settings};

/// What a schema is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchemaKind {
    Protobuf,
    Avro,
}

/// A schema longer than this is refused: its parser works on the stack.
const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Messages, records and lists within each other.
const NESTING_MAX: usize = 64;

impl SchemaKind {
    /// Errors: UNKNOWN_FORMAT_SCHEMA_TYPE (2613); NOT_IMPLEMENTED for CapnProto.
    pub fn parse(name: &str) -> Result<SchemaKind> {
        match name.to_ascii_lowercase().as_str() {
            "protobuf" => Ok(SchemaKind::Protobuf),
            "avro" => Ok(SchemaKind::Avro),
            "capnproto" => Err(Error::not_implemented("a format schema of type CapnProto")),
            _ => {
                let message = format!("'{name}' is no type of format schemas");
                Err(Error::new(Code::UNKNOWN_FORMAT_SCHEMA_TYPE, message).hint("Protobuf, Avro"))
            }
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            SchemaKind::Protobuf => "Protobuf",
            SchemaKind::Avro => "Avro",
        }
    }

    /// The kind that a format reads; `None`: it needs no schema.
    pub fn of_format(format: &str) -> Option<SchemaKind> {
        match format {
            "Protobuf" | "ProtobufSingle" | "ProtobufList" => Some(SchemaKind::Protobuf),
            "Avro" | "AvroConfluent" => Some(SchemaKind::Avro),
            _ => None,
        }
    }
}

/// Whether `source` is a schema. Errors: CANNOT_PARSE_PROTOBUF_SCHEMA (434), BAD_ARGUMENTS for Avro, both with the reason.
pub fn check(kind: SchemaKind, source: &str) -> Result<()> {
    bounded(source)?;
    match kind {
        #[cfg(feature = "protobuf")]
        SchemaKind::Protobuf => crate::protobuf::messages(source).map(drop),
        #[cfg(not(feature = "protobuf"))]
        SchemaKind::Protobuf => Err(Error::not_implemented("Protobuf in this program")),
        SchemaKind::Avro => crate::avro::Schema::parse(source).map(drop),
    }
}

/// Errors: BAD_ARGUMENTS for a text that is too long or too deep for a parser.
pub(crate) fn bounded(source: &str) -> Result<()> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(Error::bad_arguments(format!("a format schema has more than {SOURCE_BYTES_MAX} bytes")));
    }
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in source.bytes() {
        match byte {
            b'{' | b'[' | b'(' | b'<' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if deepest > NESTING_MAX {
        return Err(Error::bad_arguments(format!("a format schema is nested more than {NESTING_MAX} levels deep")));
    }
    Ok(())
}

/// The schema that a query names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedSchema {
    /// `format_schema` as written: `name:Message` or `name`.
    pub named: String,
    /// Its text, put there by whoever knows the catalog.
    pub source: String,
}

/// The setting by which the text of a stored schema comes to the formats; nobody else sets it.
pub const SOURCE_SETTING: &str = "format_schema_source";

impl NamedSchema {
    pub fn from_settings(settings: &Settings) -> NamedSchema {
        let text = |name: &str| settings.text(name).to_string();
        NamedSchema { named: text("format_schema"), source: text(SOURCE_SETTING) }
    }

    pub fn is_given(&self) -> bool {
        !self.named.is_empty()
    }

    /// Name of the schema and, if there is one, of the message.
    pub fn parts(&self) -> (&str, Option<&str>) {
        match self.named.rsplit_once(':') {
            Some((schema, message)) => (schema, Some(message).filter(|m| !m.is_empty())),
            None => (&self.named, None),
        }
    }

    /// Errors: BAD_ARGUMENTS when the format needs a schema and none is named; UNKNOWN_FORMAT_SCHEMA when it is not known.
    pub fn needed(&self, format: &str) -> Result<&str> {
        if !self.is_given() {
            let message = format!("format {format} needs a schema");
            return Err(Error::bad_arguments(message).hint("SETTINGS format_schema = 'name:Message'"));
        }
        if self.source.is_empty() {
            let message = format!("format schema {} does not exist", self.parts().0);
            return Err(Error::new(Code::UNKNOWN_FORMAT_SCHEMA, message).hint("CREATE FORMAT SCHEMA"));
        }
        Ok(&self.source)
    }
}
