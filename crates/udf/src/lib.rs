//! Functions that users bring: JavaScript, remote services, programs.
//!
//! In: a name, the types of its arguments and its result, and where its code is. Out: scalar and aggregate functions as the
//! binder knows them. Promise: code that is not ours never holds a query longer than its named limit and ends when the query
//! does, never takes more memory than it may, and what goes wrong in it is an error of its query alone.
//!
//! In reading order: [`signature`] (names and types), [`definition`] (a whole function), [`javascript`] (QuickJS), [`outside`]
//! (what [`remote`] services and [`executable`] programs have in common).

pub mod definition;
pub mod executable;
pub mod javascript;
pub mod outside;
pub mod remote;
pub mod signature;

pub use definition::{Code, Definition, UserFunction};
pub use signature::Signature;
