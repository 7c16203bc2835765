//! The paths inside a stream's json columns and their types, as its rows have shown them so far.
//!
//! In: the documents of each INSERT. Out: for each column the shape of all of them. Promise: what a row brings new is on disk
//! before the row is; a shape only grows, so a type that was told once holds every later value, or is wider then. Rows are stored
//! as texts: a shape decides types of queries and no bytes.

use super::adapter::EngineCell;
use crate::catalog::record;
use crate::engine::Inner;
use arrow::array::BinaryArray;
use hydron_base::{Code, Error, Result};
use hydron_types::JsonShape;
use parking_lot::{Mutex, RwLock};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use uuid::Uuid;

/// Paths that are kept of one column; what lies on others is read as a string. A document whose names are values (ids, dates)
/// would grow the shape without end.
const PATHS_MAX: usize = 1_000;

#[derive(Clone, Debug, Default)]
struct Known {
    shape: Arc<JsonShape>,
    /// There were too many paths: new ones are not taken in any more.
    closed: bool,
}

/// Of one stream, by the number of the column.
pub struct JsonTypes {
    stream: Uuid,
    engine: EngineCell,
    known: OnceLock<RwLock<BTreeMap<u32, Known>>>,
    writing: Mutex<()>,
}

impl JsonTypes {
    pub fn new(stream: Uuid, engine: EngineCell) -> JsonTypes {
        JsonTypes { stream, engine, known: OnceLock::new(), writing: Mutex::new(()) }
    }

    /// `None`: no document was seen.
    pub fn shape(&self, column: u32) -> Option<Arc<JsonShape>> {
        self.known().read().get(&column).map(|k| Arc::clone(&k.shape))
    }

    /// Takes in the documents of a column before they are stored. Blocks on the disk when they bring something new.
    ///
    /// Errors: INCORRECT_DATA (117) for a text that is no JSON.
    pub fn note(&self, column: u32, name: &str, texts: &BinaryArray) -> Result<()> {
        let known = self.known().read().get(&column).cloned().unwrap_or_default();
        if self.holds(&known, name, texts)? {
            return Ok(());
        }
        let _alone = self.writing.lock();
        let before = self.known().read().get(&column).cloned().unwrap_or_default();
        let mut shape = (*before.shape).clone();
        let mut closed = before.closed;
        for text in documents(texts).filter(|(_, text)| is_object(text)) {
            // Checked above.
            let Ok(document) = serde_json::from_slice::<Json>(text.1) else { continue };
            let next = shape.clone().with(JsonShape::of(&document));
            closed |= next.paths() > PATHS_MAX;
            shape = if closed { next.within(&shape) } else { next };
        }
        let now = Known { shape: Arc::new(shape.rounded()), closed };
        let mut all = self.known().read().clone();
        all.insert(column, now.clone());
        self.store(&all)?;
        self.known().write().insert(column, now);
        Ok(())
    }

    fn holds(&self, known: &Known, name: &str, texts: &BinaryArray) -> Result<bool> {
        let mut holds = true;
        for (row, text) in documents(texts) {
            holds &= known.shape.holds(text, known.closed).map_err(|e| {
                let message = format!("column '{name}', row {}: the text is no JSON: {e}", row + 1);
                Error::new(Code::INCORRECT_DATA, message)
            })? || !is_object(text);
        }
        Ok(holds)
    }

    fn known(&self) -> &RwLock<BTreeMap<u32, Known>> {
        self.known.get_or_init(|| RwLock::new(self.load()))
    }

    fn engine(&self) -> Option<Arc<Inner>> {
        self.engine.get().and_then(Weak::upgrade)
    }

    fn load(&self) -> BTreeMap<u32, Known> {
        let entry = self.engine().and_then(|e| e.catalog_store.get(id_of(self.stream)));
        let Some(Json::Object(columns)) = entry.as_ref().and_then(|e| e.properties.get("columns")) else {
            return BTreeMap::new();
        };
        let column = |(id, kept): (&String, &Json)| {
            let shape = Arc::new(JsonShape::from_json(kept.get("shape")?)?);
            let closed = kept.get("closed").and_then(Json::as_bool).unwrap_or_default();
            Some((id.parse().ok()?, Known { shape, closed }))
        };
        columns.iter().filter_map(column).collect()
    }

    fn store(&self, all: &BTreeMap<u32, Known>) -> Result<()> {
        let Some(engine) = self.engine() else { return Ok(()) };
        let column =
            |(id, k): (&u32, &Known)| (id.to_string(), json!({ "shape": k.shape.to_json(), "closed": k.closed }));
        let columns: serde_json::Map<String, Json> = all.iter().map(column).collect();
        let entry = hydron_store::catalog::Entry {
            kind: record::JSON_TYPES.to_string(),
            uuid: id_of(self.stream),
            name: self.stream.to_string(),
            text: String::new(),
            properties: json!({ "columns": columns }),
        };
        Ok(engine.catalog_store.put(entry)?)
    }

    /// Removes what is kept of a stream that was dropped. What cannot be removed now goes at the next start.
    pub fn forget(engine: &EngineCell, stream: Uuid) {
        let Some(engine) = engine.get().and_then(Weak::upgrade) else { return };
        if engine.catalog_store.get(id_of(stream)).is_some() {
            drop(engine.catalog_store.remove(id_of(stream)));
        }
    }
}

/// Under which the catalog keeps the types of a stream: not the stream's own id, but made of it.
pub fn id_of(stream: Uuid) -> Uuid {
    Uuid::from_u128(stream.as_u128() ^ 0x6a73_6f6e_2074_7970_6573_206f_6620_6974)
}

fn documents(texts: &BinaryArray) -> impl Iterator<Item = (usize, &[u8])> {
    texts.iter().enumerate().filter_map(|(row, text)| text.map(|t| (row, t))).filter(|(_, t)| !t.is_empty())
}

/// A document that is none (a number, a list) has no paths, and must not take those of the others away.
fn is_object(text: &[u8]) -> bool {
    text.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> JsonTypes {
        JsonTypes::new(Uuid::nil(), EngineCell::default())
    }

    fn note(types: &JsonTypes, texts: &[&str]) -> Result<()> {
        types.note(1, "j", &BinaryArray::from_iter_values(texts.iter().map(|t| t.as_bytes())))
    }

    fn at(types: &JsonTypes, path: &str) -> String {
        let path: Vec<String> = path.split('.').map(str::to_string).collect();
        types.shape(1).and_then(|s| s.type_at(&path)).map_or("none".to_string(), |t| t.to_string())
    }

    #[test]
    fn types_grow_with_the_rows() {
        let types = types();
        note(&types, &[r#"{"a": 1}"#, ""]).unwrap();
        assert_eq!(at(&types, "a"), "int8");
        note(&types, &[r#"{"a": 1000}"#, r#"{"b": {"c": "x"}}"#]).unwrap();
        assert_eq!([at(&types, "a"), at(&types, "b.c")], ["int16", "string"]);
        note(&types, &[r#"[7]"#, "null"]).unwrap();
        assert_eq!(at(&types, "a"), "int16");
        note(&types, &[r#"{"a": "x"}"#]).unwrap();
        assert_eq!(at(&types, "a"), "string");
    }

    #[test]
    fn a_text_that_is_no_json_is_refused_with_its_row() {
        let refused = note(&types(), &[r#"{"a": 1}"#, r#"{"a": "#]).unwrap_err();
        assert_eq!(refused.code, Code::INCORRECT_DATA);
        assert!(refused.message.contains("row 2"), "{}", refused.message);
    }

    #[test]
    fn names_that_are_values_do_not_grow_it_without_end() {
        let types = types();
        for n in 0..2_000 {
            note(&types, &[&format!(r#"{{"k{n}": 1}}"#)]).unwrap();
        }
        let shape = types.shape(1).unwrap();
        assert!(shape.paths() <= PATHS_MAX, "{}", shape.paths());
        assert_eq!([at(&types, "k0"), at(&types, "k1999")], ["int8", "none"]);
    }
}
