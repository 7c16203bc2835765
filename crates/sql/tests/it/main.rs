//! The parser against the conformance cases, against hostile text, and against its own printer.

mod conformance;
mod golden;
mod limits;
mod roundtrip;
