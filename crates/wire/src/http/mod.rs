//! The HTTP interface of ClickHouse: a query in the URL or the body, its answer as it is made.
//!
//! In reading order: [`options`] (limits and deadlines), [`server`] (sockets), [`route`] (paths), [`request`] (what a
//! request says), [`session`] (sessions by id), [`coding`] (compression around bodies), [`source`] (the request's body), [`form`] with
//! [`multipart`] (a body of several parts), [`answer`] (a result on its way out),
//! [`status`] (codes to statuses), [`farewell`] (the last word of a server that dies).

pub(crate) mod answer;
pub(crate) mod coding;
mod farewell;
mod form;
mod multipart;
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
mod driver_tests;
#[cfg(test)]
mod surface_tests;
#[cfg(test)]
pub(crate) mod tests;
