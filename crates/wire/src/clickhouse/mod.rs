//! The native protocol of ClickHouse and Proton over TCP: packets of fields, rows as blocks of columns.
//!
//! docs/reference/native.md says what is spoken. In reading order: [`options`] (limits and deadlines), [`server`] (sockets
//! that are accepted), [`connection`] (one client), [`login`] (what is known of it), [`answer`] (one query), [`insert`] (rows
//! that a client sends) with [`profile`] (what they added), [`socket`] (bytes of one client); below them, without I/O:
//! [`revision`], [`cursor`], [`packet`], [`query`], [`data`], [`frame`] (compression), [`decoder`] (a client's bytes to
//! packets), [`client`] (a server's), [`farewell`] (the last word of a server that dies).

mod answer;
pub mod client;
mod connection;
pub mod cursor;
pub mod data;
pub mod decoder;
mod farewell;
pub mod frame;
mod insert;
mod login;
mod options;
pub mod packet;
mod profile;
pub mod query;
pub mod revision;
mod server;
pub mod socket;

pub use farewell::NativeFarewell;
pub use options::TcpOptions;
pub use server::serve;

#[cfg(test)]
mod tests;
