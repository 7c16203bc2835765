//! A dictionary as the binder sees it: a view whose rows are asked by key.

use crate::catalog::ViewInfo;
use hydron_types::LogicalType;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub struct DictionaryInfo {
    /// Gives all columns: the keys, then those of the range, then the attributes.
    pub view: Arc<ViewInfo>,
    /// `hashed`, `complex_key_hashed`, …
    pub layout: Arc<str>,
    pub keys: Vec<(Arc<str>, LogicalType)>,
    /// The columns of the lowest and the highest value.
    pub range: Option<[(Arc<str>, LogicalType); 2]>,
    pub attributes: Vec<Attribute>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    pub name: Arc<str>,
    pub ty: LogicalType,
    /// As SQL; `None`: the default of the type.
    pub default: Option<String>,
    /// Holds the key of the parent.
    pub hierarchical: bool,
}

impl DictionaryInfo {
    /// Keys are tuples.
    pub fn is_complex(&self) -> bool {
        self.layout.starts_with("complex_key_")
    }

    /// Keys are prefixes of addresses.
    pub fn is_trie(&self) -> bool {
        &*self.layout == "ip_trie"
    }

    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|a| &*a.name == name)
    }
}
