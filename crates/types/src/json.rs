//! What the JSON documents of a column have in common: for each path the type that holds all of its values.
//!
//! In: documents, one after the other. Out: a shape, which grows and never shrinks, and the type it gives to a path. Promise:
//! every document that was taken in can be read in the types of the shape; values that agree on nothing else are strings.
//! A shape is also kept on disk (`to_json`, `from_json`).

use crate::{LogicalType as T, Value};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What the values at one path have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum JsonShape {
    /// Nothing seen but null.
    #[default]
    Unknown,
    Bool,
    /// The least and the greatest value.
    Int(i128, i128),
    Float,
    Text,
    List(Box<JsonShape>),
    Object(BTreeMap<String, JsonShape>),
}

impl JsonShape {
    pub fn of(value: &Json) -> JsonShape {
        match value {
            Json::Null => JsonShape::Unknown,
            Json::Bool(_) => JsonShape::Bool,
            Json::Number(n) => match n.as_i64().map(i128::from).or(n.as_u64().map(i128::from)) {
                Some(n) => JsonShape::Int(n, n),
                None => JsonShape::Float,
            },
            Json::String(_) => JsonShape::Text,
            Json::Array(items) => {
                let item = items.iter().map(JsonShape::of).fold(JsonShape::Unknown, JsonShape::with);
                JsonShape::List(Box::new(item))
            }
            Json::Object(members) => {
                JsonShape::Object(members.iter().map(|(name, value)| (name.clone(), JsonShape::of(value))).collect())
            }
        }
    }

    /// The shape that holds both.
    #[must_use]
    pub fn with(self, other: JsonShape) -> JsonShape {
        match (self, other) {
            (JsonShape::Unknown, shape) | (shape, JsonShape::Unknown) => shape,
            (JsonShape::Int(a, b), JsonShape::Int(c, d)) => JsonShape::Int(a.min(c), b.max(d)),
            (JsonShape::Int(..) | JsonShape::Float, JsonShape::Int(..) | JsonShape::Float) => JsonShape::Float,
            (JsonShape::List(a), JsonShape::List(b)) => JsonShape::List(Box::new(a.with(*b))),
            (JsonShape::Object(mut a), JsonShape::Object(b)) => {
                for (name, shape) in b {
                    let before = a.remove(&name).unwrap_or(JsonShape::Unknown);
                    a.insert(name, before.with(shape));
                }
                JsonShape::Object(a)
            }
            (a, b) if a == b => a,
            _ => JsonShape::Text,
        }
    }

    /// The same types, with every whole number of a type allowed: a shape that grows a few times and not with each value.
    #[must_use]
    pub fn rounded(self) -> JsonShape {
        match self {
            JsonShape::Int(least, greatest) => match integer(least, greatest) {
                T::UInt64 => JsonShape::Int(0, u64::MAX.into()),
                T::Float64 => JsonShape::Float,
                ty => {
                    let bound = 1_i128 << (ty.bits().unwrap_or(64) - 1);
                    JsonShape::Int(-bound, bound - 1)
                }
            },
            JsonShape::List(item) => JsonShape::List(Box::new(item.rounded())),
            JsonShape::Object(members) => {
                JsonShape::Object(members.into_iter().map(|(name, shape)| (name, shape.rounded())).collect())
            }
            other => other,
        }
    }

    /// The same paths, with the widest type of each kind of number: what a query without end reads for good.
    #[must_use]
    pub fn widest(&self) -> JsonShape {
        match self {
            JsonShape::Int(_, greatest) if *greatest > i64::MAX.into() => JsonShape::Int(0, u64::MAX.into()),
            JsonShape::Int(..) => JsonShape::Int(i64::MIN.into(), i64::MAX.into()),
            JsonShape::List(item) => JsonShape::List(Box::new(item.widest())),
            JsonShape::Object(members) => {
                JsonShape::Object(members.iter().map(|(name, shape)| (name.clone(), shape.widest())).collect())
            }
            other => other.clone(),
        }
    }

    /// How many paths lead to a value that is no object.
    pub fn paths(&self) -> usize {
        match self {
            JsonShape::Object(members) => members.values().map(JsonShape::paths).sum::<usize>().max(1),
            JsonShape::List(item) => item.paths(),
            _ => 1,
        }
    }

    /// Only the members that `known` has too.
    #[must_use]
    pub fn within(self, known: &JsonShape) -> JsonShape {
        match (self, known) {
            (JsonShape::Object(members), JsonShape::Object(of)) => {
                let kept = members.into_iter().filter_map(|(name, shape)| {
                    let inner = of.get(&name)?;
                    Some((name, shape.within(inner)))
                });
                JsonShape::Object(kept.collect())
            }
            (JsonShape::List(item), JsonShape::List(of)) => JsonShape::List(Box::new(item.within(of))),
            (JsonShape::Object(_) | JsonShape::List(_), JsonShape::Unknown) => JsonShape::Text,
            (shape, _) => shape,
        }
    }

    pub fn ty(&self) -> T {
        match self {
            JsonShape::Bool => T::Bool,
            JsonShape::Int(least, greatest) => integer(*least, *greatest),
            JsonShape::Float => T::Float64,
            JsonShape::Unknown | JsonShape::Text => T::String,
            JsonShape::List(items) => T::array(items.ty()),
            // A tuple needs an element; this is the one ClickHouse gives to `{}`.
            JsonShape::Object(members) if members.is_empty() => {
                T::Tuple([(Some(Arc::from("_dummy")), T::UInt8)].into())
            }
            JsonShape::Object(members) => {
                T::Tuple(members.iter().map(|(name, shape)| (Some(Arc::from(name.as_str())), shape.ty())).collect())
            }
        }
    }

    /// The type of what lies on `path`; inside arrays it is the array of what lies in their elements. `None`: no document
    /// had the path.
    pub fn type_at(&self, path: &[String]) -> Option<T> {
        match (self, path) {
            (JsonShape::Unknown, []) => None,
            (shape, []) => Some(shape.ty()),
            (JsonShape::List(item), path) => item.type_at(path).map(T::array),
            (JsonShape::Object(members), path) => {
                // A name with a dot in it comes before one inside another.
                (1..=path.len()).rev().find_map(|taken| members.get(&path[..taken].join("."))?.type_at(&path[taken..]))
            }
            _ => None,
        }
    }

    /// Every path that leads to a value, with its type, in order of the names.
    pub fn leaves(&self) -> Vec<(String, T)> {
        let mut leaves = Vec::new();
        self.gather_leaves("", 0, &mut leaves);
        leaves
    }

    fn gather_leaves(&self, path: &str, lists: usize, leaves: &mut Vec<(String, T)>) {
        match self {
            JsonShape::Object(members) => {
                for (name, shape) in members {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    shape.gather_leaves(&path, lists, leaves);
                }
            }
            JsonShape::List(item) if matches!(**item, JsonShape::Object(_)) => {
                item.gather_leaves(path, lists + 1, leaves);
            }
            shape if !path.is_empty() => {
                leaves.push((path.to_string(), (0..lists).fold(shape.ty(), |ty, _| T::array(ty))));
            }
            _ => {}
        }
    }

    /// `value` in the type of this shape.
    pub fn value(&self, value: &Json) -> Value {
        match (self, value) {
            (_, Json::Null) => Value::default_of(&self.ty()),
            (JsonShape::Bool, Json::Bool(b)) => Value::Bool(*b),
            (JsonShape::Int(..), Json::Number(n)) => match n.as_i64() {
                Some(n) => Value::Int(n),
                None => Value::UInt(n.as_u64().unwrap_or(0)),
            },
            (JsonShape::Float, Json::Number(n)) => Value::Float64(n.as_f64().unwrap_or(f64::NAN)),
            (JsonShape::Text | JsonShape::Unknown, Json::String(text)) => Value::string(text),
            (JsonShape::Text | JsonShape::Unknown, other) => Value::string(other.to_string()),
            (JsonShape::List(shape), Json::Array(items)) => {
                Value::Array(items.iter().map(|item| shape.value(item)).collect())
            }
            (JsonShape::Object(members), Json::Object(_)) if members.is_empty() => Value::Tuple(vec![Value::UInt(0)]),
            (JsonShape::Object(members), Json::Object(given)) => {
                let member = |(name, shape): (&String, &JsonShape)| shape.value(given.get(name).unwrap_or(&Json::Null));
                Value::Tuple(members.iter().map(member).collect())
            }
            _ => Value::default_of(&self.ty()),
        }
    }

    /// Whether the document in `text` brings nothing new. Errors: what is wrong with a text that is no JSON.
    ///
    /// Builds nothing: this is asked of each row of an INSERT.
    pub fn holds(&self, text: &[u8], closed: bool) -> Result<bool, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let held = Holds { shape: Some(self), closed }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(held)
    }

    /// As it is kept on disk.
    pub fn to_json(&self) -> Json {
        match self {
            JsonShape::Unknown => json!("unknown"),
            JsonShape::Bool => json!("bool"),
            JsonShape::Int(least, greatest) => json!({ "int": [least.to_string(), greatest.to_string()] }),
            JsonShape::Float => json!("float"),
            JsonShape::Text => json!("text"),
            JsonShape::List(item) => json!({ "list": item.to_json() }),
            JsonShape::Object(members) => {
                let members: serde_json::Map<_, _> = members.iter().map(|(n, s)| (n.clone(), s.to_json())).collect();
                json!({ "object": members })
            }
        }
    }

    /// `None` for what `to_json` did not write.
    pub fn from_json(json: &Json) -> Option<JsonShape> {
        if let Some(word) = json.as_str() {
            return Some(match word {
                "unknown" => JsonShape::Unknown,
                "bool" => JsonShape::Bool,
                "float" => JsonShape::Float,
                "text" => JsonShape::Text,
                _ => return None,
            });
        }
        if let Some(item) = json.get("list") {
            return Some(JsonShape::List(Box::new(JsonShape::from_json(item)?)));
        }
        if let Some([least, greatest]) = json.get("int").and_then(Json::as_array).map(Vec::as_slice) {
            return Some(JsonShape::Int(least.as_str()?.parse().ok()?, greatest.as_str()?.parse().ok()?));
        }
        let members = json.get("object")?.as_object()?;
        let members = members.iter().map(|(n, s)| Some((n.clone(), JsonShape::from_json(s)?)));
        Some(JsonShape::Object(members.collect::<Option<_>>()?))
    }
}

/// The smallest type that holds both.
fn integer(least: i128, greatest: i128) -> T {
    let fits = |bits: u32| least >= -(1_i128 << (bits - 1)) && greatest < 1_i128 << (bits - 1);
    match [8, 16, 32, 64].into_iter().find(|bits| fits(*bits)) {
        Some(bits) => T::integer(true, bits),
        None if least >= 0 => T::UInt64,
        None => T::Float64,
    }
}

/// Walks a document beside a shape. `shape: None`: what is read is new, or does not matter.
struct Holds<'a> {
    shape: Option<&'a JsonShape>,
    /// A member that the shape does not have counts as held.
    closed: bool,
}

impl Holds<'_> {
    fn is(self, fits: impl FnOnce(&JsonShape) -> bool) -> bool {
        self.shape.is_none_or(|shape| matches!(shape, JsonShape::Text) || fits(shape))
    }
}

impl<'de> DeserializeSeed<'de> for Holds<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Holds<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(self.is(|s| matches!(s, JsonShape::Bool)))
    }

    fn visit_i64<E>(self, v: i64) -> Result<bool, E> {
        let v = i128::from(v);
        Ok(self.is(|s| matches!(s, JsonShape::Float) || matches!(s, JsonShape::Int(a, b) if *a <= v && v <= *b)))
    }

    fn visit_u64<E>(self, v: u64) -> Result<bool, E> {
        let v = i128::from(v);
        Ok(self.is(|s| matches!(s, JsonShape::Float) || matches!(s, JsonShape::Int(a, b) if *a <= v && v <= *b)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(self.is(|s| matches!(s, JsonShape::Float)))
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(self.is(|_| false))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let closed = self.closed;
        let item = match self.shape {
            Some(JsonShape::List(item)) => Some(&**item),
            _ => None,
        };
        let mut held = self.is(|_| item.is_some());
        while let Some(one) = items.next_element_seed(Holds { shape: item, closed })? {
            held &= one;
        }
        Ok(held)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let closed = self.closed;
        let known = match self.shape {
            Some(JsonShape::Object(known)) => Some(known),
            _ => None,
        };
        let mut held = self.is(|_| known.is_some());
        while let Some(name) = members.next_key_seed(Name { known, closed })? {
            let (shape, is_known) = name;
            held &= is_known;
            held &= members.next_value_seed(Holds { shape, closed })?;
        }
        Ok(held)
    }
}

/// Looks a name up without copying it.
struct Name<'a> {
    known: Option<&'a BTreeMap<String, JsonShape>>,
    closed: bool,
}

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = (Option<&'a JsonShape>, bool);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = (Option<&'a JsonShape>, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let Some(known) = self.known else { return Ok((None, true)) };
        let found = known.get(name);
        Ok((found, found.is_some() || self.closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(documents: &[&str]) -> JsonShape {
        let documents = documents.iter().map(|d| serde_json::from_str(d).unwrap());
        documents.map(|d: Json| JsonShape::of(&d)).fold(JsonShape::Unknown, JsonShape::with)
    }

    fn ty(documents: &[&str]) -> String {
        shape(documents).ty().to_string()
    }

    fn at(shape: &JsonShape, path: &str) -> String {
        let path: Vec<String> = path.split('.').map(str::to_string).collect();
        shape.type_at(&path).map_or("none".to_string(), |t| t.to_string())
    }

    #[test]
    fn documents_agree_on_a_type() {
        assert_eq!(ty(&[r#"{"a":1,"b":"x"}"#, r#"{"a":300}"#]), "tuple(a int16, b string)");
        assert_eq!(ty(&[r#"{"a":1}"#, r#"{"a":0.5}"#]), "tuple(a float64)");
        assert_eq!(ty(&[r#"{"a":1}"#, r#"{"a":"x"}"#]), "tuple(a string)");
        assert_eq!(ty(&[r#"{"a":{"b":[1,null]}}"#, r#"{"a":{"c":true}}"#]), "tuple(a tuple(b array(int8), c bool))");
        assert_eq!(ty(&["{}"]), "tuple(_dummy uint8)");
        assert_eq!(ty(&[r#"{"a":18446744073709551615}"#]), "tuple(a uint64)");
    }

    #[test]
    fn a_path_leads_through_objects_and_arrays() {
        let s = shape(&[r#"{"a":{"b":1,"c.d":"x"},"l":[{"x":1},{"x":2,"y":[true]}],"n":null}"#]);
        assert_eq!(at(&s, "a.b"), "int8");
        assert_eq!(at(&s, "a.c.d"), "string");
        assert_eq!(at(&s, "a"), "tuple(b int8, `c.d` string)");
        assert_eq!(at(&s, "l.x"), "array(int8)");
        assert_eq!(at(&s, "l.y"), "array(array(bool))");
        assert_eq!(at(&s, "n"), "none");
        assert_eq!(at(&s, "a.z"), "none");
        let leaves: Vec<_> = s.leaves().into_iter().map(|(p, t)| format!("{p} {t}")).collect();
        assert_eq!(leaves, ["a.b int8", "a.c.d string", "l.x array(int8)", "l.y array(array(bool))", "n string"]);
    }

    #[test]
    fn what_was_taken_in_is_held_and_comes_back_from_disk() {
        let documents = [r#"{"a":1,"b":[{"c":"x"}],"f":1.5}"#, r#"{"a":-3,"d":{"e":true}}"#];
        let s = shape(&documents).rounded();
        for document in documents {
            assert!(s.holds(document.as_bytes(), false).unwrap());
        }
        for new in [r#"{"a":1000}"#, r#"{"z":1}"#, r#"{"b":[{"c":"x","k":1}]}"#, r#"{"d":{"e":1}}"#, r#"[1]"#] {
            assert!(!s.holds(new.as_bytes(), false).unwrap(), "{new}");
        }
        assert!(s.holds(br#"{"z":1,"a":100}"#, true).unwrap());
        assert!(s.holds(br#"{"a":"#, false).is_err());
        assert!(s.holds(br#"{} x"#, false).is_err());
        assert_eq!(JsonShape::from_json(&s.to_json()), Some(s));
    }

    #[test]
    fn a_query_without_end_reads_wide_numbers() {
        assert_eq!(at(&shape(&[r#"{"a":1}"#]).widest(), "a"), "int64");
        assert_eq!(at(&shape(&[r#"{"a":18446744073709551615}"#]).widest(), "a"), "uint64");
    }
}
