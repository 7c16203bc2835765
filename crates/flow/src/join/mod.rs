//! Joins of a stream: with a table that is read once, or with another stream.
//!
//! In: rows of the left input (0) and the right one (1). Out: left rows beside their matches, with the signs that follow from
//! both. Promise: a key that is NULL matches nothing; a left row of a LEFT join that matches nothing leaves beside default
//! values (NULLs where the columns can hold them); what is kept is counted in `bytes`.
//!
//! In reading order: [`spec`] (what a join compares and what leaves), [`table`] (the right side is read once), [`rows`] (the
//! kept rows of a stream, added and withdrawn), [`stream`] (both sides are streams), [`nearest`] (ASOF and LATEST),
//! [`range`] (matches close in time), [`held`] (left rows that wait for the right side's past),
//! [`align`] (left rows that wait for the right side's time).

pub mod align;
pub mod held;
pub mod nearest;
pub mod range;
pub mod rows;
pub mod spec;
pub mod stream;
pub mod table;

pub use spec::JoinSpec;
