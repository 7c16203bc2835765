//! Databases, streams, views and functions: one consistent state that readers take as a whole.
//!
//! In reading order: [`object`] (what a name stands for), [`record`] (an object as it is stored), [`state`] (all objects at
//! one moment, and their changes), [`functions`] (those of CREATE FUNCTION for the binder), [`given`] (tables that come with a query), [`temporary`] (streams of one session), [`lookup`] (the state as the binder sees it).

pub mod functions;
pub mod given;
pub mod lookup;
pub mod object;
pub mod record;
pub mod state;
pub mod temporary;

pub use given::{GivenScalar, GivenTable};
pub use object::{FormatSchema, Function, FunctionBody, MaterializedView, Object, View};
pub use state::{Catalog, CatalogState, Database};
pub use temporary::Temporary;
