//! Aggregate functions by subject, and the combinators that wrap them.
//!
//! In reading order: [`fold`] (one aggregate as a fold over rows), [`item`] (values as aggregates keep them), [`bytes`]
//! (saved groups), [`define`] (how a function is declared); then the functions: [`count`], [`sum`], [`pick`], [`distinct`],
//! [`gather`], [`quantile`], [`moment`], [`rank`] with
//! [`frequent`], [`bits`]; then what wraps them: [`nulls`], [`combine`] with [`elements`],
//! [`distinct_rows`] and [`states`].

mod bits;
mod bytes;
mod combine;
mod count;
mod define;
mod distinct;
mod distinct_rows;
mod elements;
mod fold;
mod frequent;
mod gather;
mod item;
mod moment;
mod nulls;
mod pick;
mod quantile;
mod rank;
mod states;
mod sum;
#[cfg(test)]
mod tests;

use crate::registry::Registry;

pub use combine::{combinator_names, combined};
pub use nulls::bind_with_nulls;
pub use states::{finalize, finalized_type};

pub fn register(registry: &mut Registry) {
    count::register(registry);
    sum::register(registry);
    pick::register(registry);
    distinct::register(registry);
    gather::register(registry);
    quantile::register(registry);
    moment::register(registry);
    rank::register(registry);
    bits::register(registry);
}
