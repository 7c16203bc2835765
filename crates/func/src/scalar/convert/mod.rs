//! Conversions between types, as functions: `to_int32`, `cast`, `parse_datetime_best_effort`, `reinterpret_as_string`, …
//!
//! In reading order: [`function`] (closures as functions, checks of arguments), [`to`] (the `to_…` family), [`casts`]
//! (`cast` and its kin, `to_type_name`), [`best_effort`] (times from loose text), [`reinterpret`] (the same bytes as another
//! type).

pub mod best_effort;
pub mod casts;
pub mod function;
pub mod reinterpret;
pub mod to;

#[cfg(test)]
pub mod tests;

use crate::registry::Registry;

pub fn register(registry: &mut Registry) {
    to::register(registry);
    casts::register(registry);
    best_effort::register(registry);
    reinterpret::register(registry);
}
