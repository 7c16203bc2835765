//! Streams whose rows are kept by others: topics of Kafka, files that are written to.
//!
//! In: settings as text, positions. Out: messages as bytes, with their place and time; and the other way. Promise: no wait is
//! without a deadline, and whoever does not take what was read holds back the reading.
//!
//! Kafka is spoken by librdkafka, through `rdkafka`. The alternative, `rskafka`, is plain Rust and builds in a fraction of the time,
//! but the setting `properties` of an external stream takes librdkafka's names, which makes them part of what users write; and it
//! has no idempotent producer, sees the records of aborted transactions, and reads no message older than format 2. librdkafka costs
//! about two minutes of processor time to compile, OpenSSL beside it (for TLS and SCRAM) two more; they need gcc, make and perl, not
//! cmake. OpenSSL is linked in, so that a machine without it can build and run the server.
//!
//! In reading order: [`message`] (what is read), [`source`] (who reads, and the thread he does it on), [`cut`] (pieces as they were
//! before a stop), [`kafka`], [`tail`] (files).

pub mod cut;
pub mod kafka;
pub mod message;
pub mod source;
pub mod tail;

pub use cut::Cuts;
pub use message::{Chunk, Message};
pub use source::{Event, Gathered, Incoming, Place, Polled, Source, Start};
