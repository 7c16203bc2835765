//! The server as processes: one that supervises and never touches data, one that does the work.
//!
//! In reading order: [`config`] (file, flags, environment), [`listeners`] (ports, bound once and handed on), [`signals`],
//! [`children`] and [`packet`] (processes and what is said between them), [`supervisor`]; what it decides, pure: [`life`],
//! [`restart`], [`verdict`], [`intensity`], [`pulse`] (is it stuck or busy); what it keeps: [`custodian`] (client sockets),
//! [`incident`] (crash records, of which [`build`]); [`doorman`] (connections while no worker answers); [`door`] (TLS, in a process
//! of its own) and [`doorkeeper`];
//! [`service`] (the system's service manager), [`detach`] (the background), [`logging`]. Then [`worker`] with [`handler`] (faults) and [`shutdown`] (the ladder of
//! deadlines, pure); at last [`dump`] and [`stack`] (a worker looked at from outside).

pub mod build;
pub mod children;
pub mod config;
pub mod custodian;
pub mod detach;
pub mod door;
pub mod doorkeeper;
pub mod doorman;
pub mod dump;
pub mod handler;
pub mod incident;
pub mod intensity;
pub mod life;
pub mod listeners;
pub mod logging;
pub mod packet;
pub mod pulse;
pub mod restart;
pub mod service;
pub mod shutdown;
pub mod signals;
pub mod stack;
pub mod supervisor;
pub mod verdict;
pub mod worker;

pub use config::Config;
