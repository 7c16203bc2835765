//! Where queries are that outlive their server: epochs, each a whole state, on disk before anybody counts on it.
//!
//! In reading order: [`name`] (ids and files), [`frame`] (bytes of a file), [`manifest`] (what an epoch says of itself), [`store`]
//! (the files of all queries).

mod frame;
mod manifest;
mod name;
mod store;

#[cfg(test)]
mod tests;

pub use manifest::{Manifest, OutputPosition, SourcePosition};
pub use store::{CheckpointStore, EPOCHS_KEPT, Epoch, Found, Query, STATE_BYTES_MAX, Sweep};
