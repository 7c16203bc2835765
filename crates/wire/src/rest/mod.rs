//! The REST interface of Proton: streams, rows, queries and the server's state as JSON resources under `/proton` and
//! `/timeplusd`.
//!
//! In: HTTP requests on a port that also speaks SQL over HTTP. Out: JSON with a `request_id`, or an error body with a
//! code. Promise: names and values of a request become parts of a syntax tree, never text of a statement; every write
//! goes through the engine as a statement and is in its query log.
//!
//! In reading order: [`server`] (the port), [`route`] (paths), [`call`] (one request), [`reply`] (answers), [`fields`]
//! (bodies), then one file for each noun: [`ingest`] with [`document`] and [`poll`], [`search`], [`stream`] with
//! [`definition`] and [`description`], [`raw_store`], [`database`], [`function`], [`statement`], [`storage`], [`server_state`].
//! Reference: docs/reference/rest.md.

mod call;
mod database;
mod definition;
mod description;
mod document;
mod fields;
mod function;
mod ingest;
mod poll;
mod raw_store;
mod reply;
mod route;
mod search;
mod server;
mod server_state;
mod statement;
mod storage;
mod stream;

pub use server::{Rest, serve};

#[cfg(test)]
mod tests;
