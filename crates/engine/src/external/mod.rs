//! External streams: rows that others keep.
//!
//! In: the settings of CREATE EXTERNAL STREAM. Out: a stream that is read and written as any other, where that makes sense. Promise:
//! a message that does not parse is counted, logged and skipped, and stops nobody; a query that goes on after a stop sees the same
//! messages in the same pieces.
//!
//! In reading order: [`definition`] (what the settings say), [`decode`] (messages become rows), [`encode`] (rows become messages),
//! [`external`] (a stream of these), [`source`] (a streaming read), [`feed`] (a bounded one), [`create`] (what CREATE checks),
//! [`counters`].

pub mod counters;
pub mod create;
pub mod decode;
pub mod definition;
pub mod encode;
#[expect(
    clippy::module_inception,
    reason = "the room holds several concerns of external streams; this file is the stream"
)]
pub mod external;
pub mod feed;
pub mod source;

pub use counters::Counters;
pub use definition::Definition;
pub use external::External;
