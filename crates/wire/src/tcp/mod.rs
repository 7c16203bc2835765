//! Ports whose protocol is spoken straight over TCP: the native one of ClickHouse, and PostgreSQL's.
//!
//! In reading order: [`options`] (limits and deadlines), [`accept`] (sockets that are accepted, or taken over), [`socket`] (bytes
//! of one client).

pub mod accept;
pub mod options;
pub mod socket;

pub use accept::{Service, serve};
pub use options::TcpOptions;
pub use socket::ClientSocket;
