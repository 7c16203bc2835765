//! The server as processes: one that supervises and never touches data, one that does the work.
//!
//! In reading order: [`config`] (file, flags, environment), [`listeners`] (ports, bound once and handed on), [`restart`]
//! (when to start again, pure), [`signals`] (signals as events), [`supervisor`], [`shutdown`] (the ladder of deadlines,
//! pure), [`worker`].

pub mod config;
pub mod listeners;
pub mod restart;
pub mod shutdown;
pub mod signals;
pub mod supervisor;
pub mod worker;

pub use config::Config;
