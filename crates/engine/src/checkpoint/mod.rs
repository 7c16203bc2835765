//! Queries that outlive their server: what is kept of them, when, and how they go on.
//!
//! In reading order: [`coordinator`] (when the next checkpoint is due, pure), [`steps`] (steps as bytes), [`epoch`] (a cut of a
//! query as it is stored, and back), [`definition`] (the statement), [`keepable`] (what
//! cannot be kept), [`keeper`] (one kept query: asks, writes, tells), [`sweeper`]
//! (what nobody goes on with).

pub mod coordinator;
pub mod definition;
pub mod epoch;
pub mod keepable;
pub mod keeper;
pub mod steps;
pub mod sweeper;

pub use coordinator::{Coordinator, Interval};
pub use definition::Definition;
pub use keeper::{Keeper, Keepers, KeptAt};
