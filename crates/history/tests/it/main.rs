//! Plans made by hand, executed.

mod kit;

mod joins;
mod parts;
mod relational;
mod trouble;
