//! The ground floor: what every room may know. Errors, settings, limits, identifiers and the outside world.
//!
//! In reading order: [`error`] (one error type that carries Proton's code), [`code`] (the table of codes), [`setting`],
//! [`limit`], [`memory`] (what queries hold), [`world`] (clock and randomness as traits).

pub mod code;
pub mod error;
pub mod limit;
pub mod memory;
pub mod setting;
pub mod world;

pub use code::Code;
pub use error::{Blame, Error, Position, Result};
pub use memory::Budget;
pub use setting::Settings;
