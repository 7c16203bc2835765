//! The native protocol of ClickHouse and Proton over TCP: packets of fields, rows as blocks of columns.
//!
//! docs/reference/native.md says what is spoken. In reading order: [`server`] (the port), [`connection`] (one client), [`login`]
//! (what is known of it), [`answer`] (one query), [`insert`] (rows that a client sends) with [`profile`] (what they added),
//! [`farewell`] (the last word of a server that dies). Packets and their bytes are in [`hydron_native`].

mod answer;
mod connection;
mod farewell;
mod insert;
mod login;
mod profile;
mod server;

pub use crate::tcp::TcpOptions;
pub(crate) use answer::KILLED_PATIENCE;
pub use farewell::NativeFarewell;
pub use hydron_native::{client, cursor, data, decoder, frame, packet, query, revision};
pub use server::serve;

#[cfg(test)]
mod tests;
