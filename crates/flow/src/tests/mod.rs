//! Stories of whole pipelines.
//!
//! In reading order: [`plans`] (plans of one small stream), [`script`] (a story as text), then what is told with them.

mod backfill;
mod closing;
mod global;
mod hosted;
mod joins;
mod others;
mod plans;
mod property;
mod script;
mod sessions;
mod sql;
mod users;
mod windows;
