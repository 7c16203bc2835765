//! The catalog on disk: which databases, streams, views and functions there are. What they mean, the engine knows.
//!
//! In reading order: [`entry`] (one object, one change), [`replay`] (bytes to objects, pure), [`store`] (the files).

mod entry;
mod replay;
mod store;

pub use entry::{Change, Entry};
pub use store::{CatalogOptions, CatalogStore};

#[cfg(test)]
mod tests;
