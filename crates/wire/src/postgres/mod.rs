//! PostgreSQL's protocol, version 3: its clients and drivers ask Hydron's SQL through it.
//!
//! docs/reference/postgres.md says what is spoken. In reading order: [`message`] (what a client says), [`reply`] (what it hears)
//! with [`state`] (SQLSTATEs) and [`types`] (values), [`parameter`] (`$1`), [`dialect`] (spellings that differ), [`phrase`] (what clients say beside the dialect),
//! [`copy`] (rows in bulk), [`prepared`] (statements and portals), [`cancel`] (keys that stop a query), [`login`] (what is known
//! of a client), [`connection`] (one client), [`answer`] (one message) with [`act`] (phrases) and [`bulk`] (COPY), [`server`] (the port), [`farewell`] (the last word of a
//! server that dies).

mod act;
mod answer;
mod bulk;
mod cancel;
mod connection;
mod copy;
mod dialect;
mod farewell;
mod login;
pub mod message;
mod parameter;
mod phrase;
mod prepared;
mod reply;
mod server;
mod state;
mod types;

pub use farewell::PostgresFarewell;
pub use server::{refusal, serve};
