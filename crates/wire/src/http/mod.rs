//! The HTTP interface of ClickHouse: a query in the URL or the body, its answer as it is made.
//!
//! In reading order: [`options`] (limits and deadlines), [`server`] (sockets), [`route`] (paths), [`request`] (what a
//! request says), [`session`] (sessions by id), [`source`] (the request's body), [`answer`] (a result on its way out),
//! [`status`] (codes to statuses), [`farewell`] (the last word of a server that dies).

pub(crate) mod answer;
mod farewell;
mod options;
pub(crate) mod request;
pub(crate) mod route;
mod server;
pub(crate) mod session;
pub(crate) mod source;
pub(crate) mod status;

pub use farewell::HttpFarewell;
pub use options::{HttpOptions, Surface};
pub use server::serve;

#[cfg(test)]
pub(crate) mod tests;
