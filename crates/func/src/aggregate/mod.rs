//! Aggregate functions by subject, and the combinators that wrap them.
//!
//! In reading order: [`fold`] (one aggregate as a fold over rows), [`item`] (values as aggregates keep them), [`bytes`]
//! (saved groups), [`define`] (how a function is declared); then the functions: [`count`], [`sum`], [`pick`], [`distinct`],
//! [`gather`], [`quantile`] with [`quantile_weights`], [`moment`], [`rank`] with
//! [`frequent`], [`bits`], [`bitmaps`]; over [`kept`] rows, [`number`]s and [`distribution`]s those of
//! statistics: [`hypothesis`], [`contingency`], [`spans`], [`picture`], [`sequence`] with [`pattern`], [`mapped`], [`regression`], [`thinned`], [`matrix`], [`odd`]; then what wraps
//! them: [`nulls`], [`combine`] with [`elements`], [`nested`], [`distinct_rows`],
//! [`extreme_rows`], [`resample`] and [`states`].

mod bitmaps;
mod bits;
pub(crate) mod bytes;
mod combine;
mod contingency;
mod count;
mod define;
mod distinct;
mod distinct_rows;
mod distribution;
mod elements;
mod extreme_rows;
mod fold;
mod frequent;
mod gather;
mod hypothesis;
mod item;
mod kept;
mod mapped;
mod matrix;
mod moment;
mod nested;
mod nulls;
mod number;
mod odd;
mod pattern;
mod pick;
mod picture;
mod quantile;
mod quantile_weights;
mod rank;
mod regression;
mod resample;
mod sequence;
mod spans;
mod states;
#[cfg(test)]
mod statistics_tests;
mod sum;
#[cfg(test)]
mod tests;
mod thinned;

use crate::registry::Registry;

pub use combine::{combinator_names, combined};
pub use nulls::bind_with_nulls;
pub use odd::name_and_params;
pub use regression::{model_of, predicted};
pub use states::{finalize, finalized_type, state_halves};
pub(crate) use sum::floats as aggregate_floats;

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
    bitmaps::register(registry);
    hypothesis::register(registry);
    contingency::register(registry);
    spans::register(registry);
    picture::register(registry);
    sequence::register(registry);
    mapped::register(registry);
    odd::register(registry);
    regression::register(registry);
    thinned::register(registry);
    matrix::register(registry);
}
