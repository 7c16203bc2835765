//! Functions of dates and times, by subject.
//!
//! In reading order: [`times`] (columns of times as wall clocks), [`arith`] (times plus spans, also for `plus` and `minus`),
//! [`part`] (year, week, hour, …), [`start`] (rounding down), [`diff`] (spans between times), [`now`] (the clock of the query),
//! [`unix`] (numbers of seconds), [`make`] (times from parts), [`format`](mod@format) (patterns), [`slot`] (half hours),
//! [`snowflake`] (ids with a time in them).

pub mod arith;
pub mod diff;
pub mod format;
pub mod make;
pub mod now;
pub mod part;
pub mod slot;
pub mod snowflake;
pub mod start;
pub mod times;
pub mod unix;

#[cfg(test)]
mod tests;

use crate::registry::Registry;

pub use arith::{plus_interval, plus_interval_type};

pub fn register(registry: &mut Registry) {
    arith::register(registry);
    part::register(registry);
    start::register(registry);
    diff::register(registry);
    now::register(registry);
    unix::register(registry);
    make::register(registry);
    format::register(registry);
    slot::register(registry);
    snowflake::register(registry);
}
