//! The HTTP interface of ClickHouse: a query in the URL or the body, its answer as it is made.
//!
//! In reading order: [`options`] (limits and deadlines), [`server`] (sockets), [`route`] (paths), [`request`] (what a
//! request says), [`session`] (sessions by id), [`source`] (the request's body), [`answer`] (a result on its way out),
//! [`status`] (codes to statuses), [`farewell`] (the last word of a server that dies).

mod answer;
mod farewell;
mod options;
mod request;
mod route;
mod server;
mod session;
mod source;
mod status;

pub use farewell::HttpFarewell;
pub use options::HttpOptions;
pub use server::serve;

#[cfg(test)]
mod tests;
