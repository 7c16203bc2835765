//! Scalar functions by subject. Each room has a `register` that adds its functions to the registry.
//!
//! In reading order: how functions are declared and columns read ([`define`], [`column`], [`number`], [`rows`]), then the
//! rooms: [`arithmetic`], [`compare`], [`logic`], [`in_set`], [`lookup`], [`dictionary`], [`conditional`], [`strings`], [`math`], [`rounding`], [`arrays`],
//! [`maps`], [`tuples`], [`hashing`], [`random`], [`json`], [`url`], [`address`], [`geo`], [`transform`], [`partition`], [`server`], [`trap`], and [`convert`] and
//! [`datetime`].

pub mod address;
pub mod arithmetic;
pub mod arrays;
pub mod column;
pub mod compare;
pub mod conditional;
pub mod convert;
pub mod datetime;
pub mod define;
pub mod dictionary;
pub mod geo;
pub mod hashing;
pub mod in_set;
pub mod json;
pub mod logic;
pub mod lookup;
pub mod maps;
pub mod math;
pub mod number;
pub mod partition;
pub mod random;
pub mod rounding;
pub mod rows;
pub mod server;
pub mod strings;
pub mod transform;
pub mod trap;
pub mod tuples;
pub mod url;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use crate::registry::Registry;

pub fn register(registry: &mut Registry) {
    arithmetic::register(registry);
    compare::register(registry);
    logic::register(registry);
    in_set::register(registry);
    conditional::register(registry);
    strings::register(registry);
    math::register(registry);
    hashing::register(registry);
    random::register(registry);
    json::register(registry);
    url::register(registry);
    address::register(registry);
    server::register(registry);
    transform::register(registry);
    partition::register(registry);
    trap::register(registry);
    geo::register(registry);
    rounding::register(registry);
    arrays::register(registry);
    maps::register(registry);
    tuples::register(registry);
    convert::register(registry);
    datetime::register(registry);
}
