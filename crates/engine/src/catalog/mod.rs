//! Databases, streams, views and functions: one consistent state that readers take as a whole.
//!
//! In reading order: [`object`] (what a name stands for), [`record`] (an object as it is stored), [`state`] (all objects at
//! one moment, and their changes), [`lookup`] (the state as the binder sees it).

pub mod lookup;
pub mod object;
pub mod record;
pub mod state;

pub use object::{MaterializedView, Object, SqlFunction, View};
pub use state::{Catalog, CatalogState, Database};
