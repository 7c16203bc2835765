//! Event time: what window a row is in, how far time has come, and aggregation that ends with its window.
//!
//! In reading order: [`span`] (the arithmetic of windows), [`stamper`] (watermarks, ticks and timeouts), [`assign`] (window
//! columns on rows), [`layout`] (the columns of an answer), [`aggregate`] (tumble and hop), [`session`].

pub mod aggregate;
pub mod assign;
pub mod layout;
pub mod session;
pub mod span;
pub mod stamper;
