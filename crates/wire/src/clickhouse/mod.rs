//! The native protocol of ClickHouse and Proton over TCP: packets of fields, rows as blocks of columns.
//!
//! docs/reference/native.md says what is spoken. In reading order: [`options`] (limits and deadlines), [`server`] (sockets
//! that are accepted), [`connection`] (one client), [`login`] (what is known of it), [`answer`] (one query), [`insert`] (rows
//! that a client sends) with [`profile`] (what they added), [`socket`] (bytes of one client), [`farewell`] (the last word of a
//! server that dies). Packets and their bytes are in [`hydron_native`].

mod answer;
mod connection;
mod farewell;
mod insert;
mod login;
mod options;
mod profile;
mod server;
pub mod socket;

pub use farewell::NativeFarewell;
pub use hydron_native::{client, cursor, data, decoder, frame, packet, query, revision};
pub use options::TcpOptions;
pub use server::serve;

#[cfg(test)]
mod tests;
