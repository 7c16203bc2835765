//! The whole product: the binary as a user starts it, over its real ports.

mod answers;
mod benchmark;
mod client;
mod crash;
mod errors;
mod kafka;
mod protocols;
mod remote;
mod retry;
mod server;
mod slt;
mod stop;
mod streaming;
mod terminal;
mod tls;
mod views;
