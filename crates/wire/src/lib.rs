//! Protocols: bytes on a socket to statements of the engine, and its answers back.
//!
//! In reading order: [`users`] (who may come in), [`http`] (the HTTP interface).

pub mod http;
pub mod users;
