//! The board: memory that a worker shares with its supervisor, so that what it was doing can be read when it is dead.
//!
//! In: what each connection and query is at, written as it happens, a few stores each. Out: the same, to another process,
//! at any moment. Promise: a reader never trusts what it reads (lengths and numbers are checked, a dying writer may have
//! scribbled over them); nothing here allocates, locks or waits, so a signal handler may use all of it.
//!
//! In reading order: [`text`] (bounded texts), [`connection`] (who may write to a socket), [`outbox`] (the rest of a frame
//! that a socket did not take), [`query`] (running queries), [`mark`] (which query a thread works for), [`session`] (named
//! sessions), [`quarantine`] (queries that are refused), [`crash`] (the record of a fault), [`log_lines`] (the last lines of the
//! log), [`board`] (all of it, mapped); beside it [`callers`] (the clients of the door).

pub mod board;
pub mod callers;
pub mod connection;
pub mod crash;
pub mod log_lines;
pub mod mark;
pub mod outbox;
pub mod quarantine;
pub mod query;
pub mod session;
pub mod text;

pub use board::{Board, DiskTrap, Worker};
pub use callers::Callers;
pub use connection::{Connection, Protocol, State};
pub use crash::Crash;
pub use mark::{Mark, Marked};
pub use query::{Kind, Phase, Query};
pub use text::Text;
