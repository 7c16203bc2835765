//! Constants.

/// A constant as written. Arrays, tuples and intervals are functions over constants, see [`super::Style`].
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    /// A non-negative integer of at most 64 bits.
    UInt(u64),
    /// A negative integer of at most 64 bits.
    Int(i64),
    /// An integer beyond 64 bits: decimal digits with an optional `-`. Its type is float64 (§1.3), its text stays for casts.
    BigInt(Box<str>),
    Float(Float),
    /// Bytes, escapes resolved; not always UTF-8.
    String(Box<[u8]>),
}

impl Literal {
    pub fn string(text: impl AsRef<[u8]>) -> Literal {
        Literal::String(text.as_ref().into())
    }

    /// The text of a string constant that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Literal::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The value of a non-negative integer constant.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Literal::UInt(n) => Some(*n),
            _ => None,
        }
    }
}

/// A float64 constant. Equal when the bits are, so that `nan` equals itself.
#[derive(Clone, Copy, Debug)]
pub struct Float(pub f64);

impl PartialEq for Float {
    fn eq(&self, other: &Float) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}
