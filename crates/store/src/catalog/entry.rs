//! One object of the catalog as it is stored, and one change to the catalog.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An object. `uuid` is its identity; everything else may change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is: `database`, `stream`, `view`, `function`, …
    pub kind: String,
    pub uuid: Uuid,
    /// The full name, such as `default.trips`.
    pub name: String,
    /// The normalized CREATE statement.
    pub text: String,
    /// What the engine keeps with it.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub properties: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Adds the object, or replaces the one with the same UUID in its place.
    Put(Entry),
    Remove(Uuid),
}
