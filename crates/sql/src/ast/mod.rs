//! The syntax tree: what the text said, nothing more.
//!
//! In reading order: [`span`] (where it stood), [`name`], [`literal`], [`types`], [`expr`], [`query`], [`ddl`],
//! [`alter`], [`access`], [`statement`].
//!
//! Promise: nodes are plain values. Spans never take part in `==`, so a tree equals its printed and re-parsed self.
//! Promise: the height of a tree is bounded by the parser's depth limit, so derived `Drop`, `Clone` and `==` are safe.

pub mod access;
pub mod alter;
pub mod ddl;
pub mod expr;
pub mod literal;
pub mod name;
pub mod query;
pub mod span;
pub mod statement;
pub mod types;

pub use access::*;
pub use alter::*;
pub use ddl::*;
pub use expr::*;
pub use literal::*;
pub use name::*;
pub use query::*;
pub use span::Span;
pub use statement::*;
pub use types::*;
