//! A schema: what the bytes of a value mean. Named types are numbers into one list, so a record may contain itself.
//!
//! In: JSON text. Out: a [`Schema`]. Promise: every name is resolved, and no type contains itself without a choice in between.

use crate::format_schema::bounded;
use hydron_base::{Code, Error, Result};
use serde_json::Value as Json;
use std::collections::HashMap;

/// Types within each other.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Null,
    Bool,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    /// A record, enum or fixed: its place in [`Schema::named`].
    Named(usize),
    /// Days since 1970 in an int.
    Date,
    /// Ticks since 1970 in a long, 10 to the minus so many seconds each.
    Timestamp(u8),
    /// Digits without the point, in two's complement; `scale` of them after the point.
    Decimal {
        of: Box<Type>,
        scale: u8,
    },
    /// Text of a UUID.
    Uuid,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Named {
    /// Not yet read: a name inside its own definition.
    Open,
    Record {
        name: String,
        fields: Vec<(String, Type)>,
    },
    Enum {
        symbols: Vec<String>,
    },
    Fixed(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub root: Type,
    pub named: Vec<Named>,
}

impl Schema {
    /// Errors: BAD_ARGUMENTS with what is wrong.
    pub fn parse(text: &str) -> Result<Schema> {
        bounded(text)?;
        let json: Json = serde_json::from_str(text).map_err(|e| wrong(format!("it is no JSON: {e}")))?;
        let mut reader = Reader { named: Vec::new(), names: HashMap::new() };
        let root = reader.ty(&json, "", 0)?;
        let schema = Schema { root, named: reader.named };
        schema.check_ends()?;
        Ok(schema)
    }

    /// A record that holds itself directly would have no end.
    fn check_ends(&self) -> Result<()> {
        // 0: not seen, 1: being walked, 2: ends.
        let mut seen = vec![0_u8; self.named.len()];
        for at in 0..self.named.len() {
            self.ends(&Type::Named(at), &mut seen)?;
        }
        Ok(())
    }

    fn ends(&self, ty: &Type, seen: &mut [u8]) -> Result<()> {
        let Type::Named(at) = ty else { return Ok(()) };
        match seen[*at] {
            1 => return Err(wrong("a record contains itself without a union, array or map in between")),
            2 => return Ok(()),
            _ => {}
        }
        seen[*at] = 1;
        if let Named::Record { fields, .. } = &self.named[*at] {
            fields.iter().try_for_each(|(_, ty)| self.ends(ty, seen))?;
        }
        seen[*at] = 2;
        Ok(())
    }

    /// The fields of the root. Errors: BAD_ARGUMENTS when it is no record.
    pub fn fields(&self) -> Result<&[(String, Type)]> {
        match &self.root {
            Type::Named(at) => match &self.named[*at] {
                Named::Record { fields, .. } => Ok(fields),
                _ => Err(wrong("its root is no record, so it has no columns")),
            },
            _ => Err(wrong("its root is no record, so it has no columns")),
        }
    }
}

fn wrong(what: impl Into<String>) -> Error {
    Error::new(Code::BAD_ARGUMENTS, format!("the Avro schema is wrong: {}", what.into()))
}

struct Reader {
    named: Vec<Named>,
    names: HashMap<String, usize>,
}

impl Reader {
    fn ty(&mut self, json: &Json, space: &str, depth: usize) -> Result<Type> {
        if depth > DEPTH_MAX {
            return Err(wrong(format!("types are nested more than {DEPTH_MAX} levels deep")));
        }
        match json {
            Json::String(name) => self.by_name(name, space),
            Json::Array(branches) => {
                let branches = branches.iter().map(|b| self.ty(b, space, depth + 1)).collect::<Result<Vec<_>>>()?;
                if branches.is_empty() || branches.iter().any(|b| matches!(b, Type::Union(_))) {
                    return Err(wrong("a union needs branches that are no unions"));
                }
                Ok(Type::Union(branches))
            }
            Json::Object(members) => {
                let kind = members.get("type").ok_or_else(|| wrong("a type without 'type'"))?;
                let Json::String(kind) = kind else { return self.ty(kind, space, depth + 1) };
                match kind.as_str() {
                    "record" | "error" | "enum" | "fixed" => self.define(kind, json, space, depth),
                    "array" => {
                        let items = members.get("items").ok_or_else(|| wrong("an array without 'items'"))?;
                        Ok(Type::Array(Box::new(self.ty(items, space, depth + 1)?)))
                    }
                    "map" => {
                        let values = members.get("values").ok_or_else(|| wrong("a map without 'values'"))?;
                        Ok(Type::Map(Box::new(self.ty(values, space, depth + 1)?)))
                    }
                    name => {
                        let ty = self.by_name(name, space)?;
                        logical(ty, json)
                    }
                }
            }
            other => Err(wrong(format!("{other} is no type"))),
        }
    }

    fn by_name(&self, name: &str, space: &str) -> Result<Type> {
        Ok(match name {
            "null" => Type::Null,
            "boolean" => Type::Bool,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::Text,
            name => {
                let full = full_name(name, space);
                let found = self.names.get(&full).or_else(|| self.names.get(name));
                Type::Named(*found.ok_or_else(|| wrong(format!("type '{name}' is unknown")))?)
            }
        })
    }

    fn define(&mut self, kind: &str, json: &Json, space: &str, depth: usize) -> Result<Type> {
        let text = |key: &str| json.get(key).and_then(Json::as_str);
        let name = text("name").ok_or_else(|| wrong(format!("a {kind} without 'name'")))?;
        let given = text("namespace").unwrap_or(space);
        let full = full_name(name, given);
        let own_space = full.rsplit_once('.').map_or("", |(s, _)| s).to_string();
        let at = self.named.len();
        if self.names.insert(full.clone(), at).is_some() {
            return Err(wrong(format!("type '{full}' is defined twice")));
        }
        self.named.push(Named::Open);
        self.named[at] = match kind {
            "enum" => {
                let symbols = json.get("symbols").and_then(Json::as_array).into_iter().flatten();
                let symbols: Vec<String> = symbols.filter_map(|s| s.as_str().map(str::to_string)).collect();
                Named::Enum { symbols }
            }
            "fixed" => {
                let size = json.get("size").and_then(Json::as_u64).and_then(|s| usize::try_from(s).ok());
                let size = size.filter(|s| *s <= crate::rows::ROW_BYTES_MAX);
                Named::Fixed(size.ok_or_else(|| wrong(format!("fixed '{full}' without a 'size' that can be")))?)
            }
            _ => {
                let fields = json.get("fields").and_then(Json::as_array);
                let fields = fields.ok_or_else(|| wrong(format!("record '{full}' without 'fields'")))?;
                let mut read = Vec::with_capacity(fields.len());
                for field in fields {
                    let name = field.get("name").and_then(Json::as_str);
                    let name = name.ok_or_else(|| wrong(format!("a field of '{full}' without 'name'")))?;
                    let ty = field.get("type").ok_or_else(|| wrong(format!("field '{name}' without 'type'")))?;
                    let ty = self.ty(ty, &own_space, depth + 1)?;
                    // Older writers put the logical type beside the field.
                    let ty = if field.get("logicalType").is_some() { logical(ty, field)? } else { ty };
                    read.push((name.to_string(), ty));
                }
                Named::Record { name: full, fields: read }
            }
        };
        logical(Type::Named(at), json)
    }
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_string() } else { format!("{space}.{name}") }
}

/// A logical type that does not fit its bytes is ignored, as the specification says.
fn logical(ty: Type, json: &Json) -> Result<Type> {
    let Some(name) = json.get("logicalType").and_then(Json::as_str) else { return Ok(ty) };
    Ok(match (name, &ty) {
        ("date", Type::Int) => Type::Date,
        ("timestamp-millis" | "local-timestamp-millis", Type::Long) => Type::Timestamp(3),
        ("timestamp-micros" | "local-timestamp-micros", Type::Long) => Type::Timestamp(6),
        ("timestamp-nanos" | "local-timestamp-nanos", Type::Long) => Type::Timestamp(9),
        ("uuid", Type::Text) => Type::Uuid,
        ("decimal", Type::Bytes | Type::Named(_)) => {
            let scale = json.get("scale").and_then(Json::as_u64).unwrap_or(0);
            match u8::try_from(scale) {
                Ok(scale) if scale <= 76 => Type::Decimal { of: Box::new(ty), scale },
                _ => ty,
            }
        }
        _ => ty,
    })
}
