//! Type names as written in column definitions, casts and parameters.

use super::Literal;

/// `name` or `name(args)`. The text of it, canonical, is its `Display`; the types room gives it meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeName {
    pub name: String,
    /// `None` without parentheses, `Some([])` with empty ones.
    pub args: Option<Vec<TypeArg>>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TypeArg {
    Type(TypeName),
    /// A number or a string: `decimal(9, 2)`, `datetime('UTC')`.
    Literal(Literal),
    /// `'name' = 1` of an enum.
    EnumValue {
        name: Box<[u8]>,
        value: i64,
    },
    /// `name type` of a tuple or nested.
    Named {
        name: String,
        ty: TypeName,
    },
}

impl TypeName {
    pub fn plain(name: impl Into<String>) -> TypeName {
        TypeName { name: name.into(), args: None }
    }
}
