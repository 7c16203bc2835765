//! Files that are written to, read as they grow.
//!
//! In reading order: [`settings`] (which files, and where rows end in them), [`records`] (bytes become rows), [`time`] (the time that
//! stands in a row), [`files`] (the files themselves: new ones, rotated ones, cut ones).

pub mod files;
pub mod records;
pub mod settings;
pub mod time;

pub use files::TailRead;
pub use settings::TailSettings;
