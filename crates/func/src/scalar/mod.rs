//! Scalar functions by subject. Each room has a `register` that adds its functions to the registry.
//!
//! In reading order: how functions are declared and columns read ([`define`], [`column`], [`number`], [`rows`]), then the
//! rooms: [`arithmetic`], [`compare`], [`logic`], [`in_set`], [`lookup`], [`dictionary`], [`conditional`], [`strings`], [`math`], [`statistics`], [`rounding`], [`arrays`],
//! [`maps`], [`tuples`], [`hashing`], [`cipher`], [`random`], [`json`], [`url`], [`address`], [`geo`], [`transform`], [`states`], [`bitmaps`], [`running`], [`partition`], [`server`], [`host`], [`shape`], [`exact`], [`unbuilt`], [`blocks`], [`trap`], and [`convert`] and
//! [`datetime`].

pub mod address;
pub mod arithmetic;
pub mod arrays;
pub mod bitmaps;
pub mod blocks;
pub mod cipher;
pub mod column;
pub mod compare;
pub mod conditional;
pub mod convert;
pub mod datetime;
pub mod define;
pub mod dictionary;
pub mod exact;
pub mod geo;
pub mod hashing;
pub mod host;
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
pub mod running;
pub mod server;
pub mod shape;
pub mod states;
pub mod statistics;
pub mod strings;
pub mod transform;
pub mod trap;
pub mod tuples;
pub mod unbuilt;
pub mod url;

#[cfg(test)]
mod answers;
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
    cipher::register(registry);
    random::register(registry);
    json::register(registry);
    url::register(registry);
    address::register(registry);
    server::register(registry);
    host::register(registry);
    shape::register(registry);
    exact::register(registry);
    unbuilt::register(registry);
    statistics::register(registry);
    states::register(registry);
    bitmaps::register(registry);
    running::register(registry);
    blocks::register(registry);
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
    for name in SYNTAX {
        registry.add_syntax(name);
    }
    registry.add_alias("case_with_expr", "case_with_expression");
    registry.add_alias("case_without_expr", "case_without_expression");
}

/// Calls that the binder turns into something else than a function of one row.
const SYNTAX: [&str; 11] = [
    "array_join",
    "case_with_expression",
    "case_without_expression",
    "columns",
    "date_diff_within",
    "emit_version",
    "exists",
    "lag",
    "lags",
    "neighbor",
    "untuple",
];
