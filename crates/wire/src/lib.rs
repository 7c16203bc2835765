//! Protocols: bytes on a socket to statements of the engine, and its answers back.
//!
//! In reading order: [`users`] (who may come in), [`http`] (the HTTP interface), [`rest`] (the REST interface, beside it on a
//! port of its own), [`tcp`] (ports without HTTP) with [`clickhouse`] (the native protocol) and [`postgres`] (PostgreSQL's), and
//! what makes connections outlive a fault: [`custody`] (sockets that a supervisor holds too), [`guarded`] (writes only while it may), [`farewell`] (the last word), [`adopt`]
//! (connections of a worker that is dead).

pub mod adopt;
pub mod clickhouse;
pub mod custody;
pub mod farewell;
pub mod guarded;
pub mod http;
pub mod postgres;
pub mod rest;
pub mod tcp;
pub mod users;
