//! The server's own state as tables of the database `system`.
//!
//! In: a table's name. Out: its columns (for the binder), its rows as of now (for a scan). Promise: rows are made from
//! snapshots; reading them never waits for a query or a stream.
//!
//! In reading order: [`columns`] (what each table has), [`rows`] (what it holds), [`views`] (materialized
//! views), [`crashes`] (what is known of crashes), [`access`] (users, roles and their like), [`state`] (what the server is made of
//! and how it is), [`information_schema`] (views of these tables under names of the SQL standard).

mod access;
mod columns;
mod crashes;
pub mod information_schema;
mod rows;
mod state;
mod views;

pub use columns::{table, table_names};
pub use rows::{processes, rows};

/// The database of these tables.
pub const DATABASE: &str = "system";
