//! Names: of columns (dotted) and of objects (`db.name`).

use super::Span;

/// A possibly dotted name as written: `a`, `t.a`, `db.t.a.b`. Never empty; quotes are removed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identifier {
    pub parts: Vec<String>,
}

impl Identifier {
    pub fn new(name: impl Into<String>) -> Identifier {
        Identifier { parts: vec![name.into()] }
    }

    /// The parts joined by dots, without quotes: the name by which columns are looked up.
    pub fn full(&self) -> String {
        self.parts.join(".")
    }

    /// The last part.
    pub fn short(&self) -> &str {
        self.parts.last().map_or("", |p| p.as_str())
    }

    /// The only part, when there is one part.
    pub fn single(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// A stream, view, dictionary or function source: `[database.]name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ObjectName {
    pub database: Option<String>,
    pub name: String,
    pub span: Span,
}

impl ObjectName {
    pub fn new(name: impl Into<String>) -> ObjectName {
        ObjectName { database: None, name: name.into(), span: Span::default() }
    }

    /// The parameter that a part of a name stands for: `{t:Identifier}` where a name was expected.
    pub fn parameter(part: &str) -> Option<&str> {
        part.strip_prefix('{')?.strip_suffix(":Identifier}")
    }

    pub fn qualified(database: impl Into<String>, name: impl Into<String>) -> ObjectName {
        ObjectName { database: Some(database.into()), name: name.into(), span: Span::default() }
    }
}
