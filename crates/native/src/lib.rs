//! Packets of the native protocol of ClickHouse and Proton, without sockets: bytes cut anywhere to packets, and back.
//!
//! docs/reference/native.md says what is spoken. In reading order: [`revision`], [`cursor`] (fields of a packet), [`packet`],
//! [`query`], [`data`] (blocks), [`frame`] (compression), [`decoder`] (a client's bytes to packets), [`client`] (a server's).
//! It knows no engine, so that fuzzers and load generators link little.

pub mod client;
pub mod cursor;
pub mod data;
pub mod decoder;
pub mod frame;
pub mod packet;
pub mod query;
pub mod revision;
