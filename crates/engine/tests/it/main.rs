//! The engine as one process has it, with a board as under a supervisor.

mod access;
mod alter;
mod board;
mod deep;
mod external;
mod facts;
mod functions;
mod kafka;
mod kit;
mod memory;
mod open;
mod panics;
mod stop;
mod subscriptions;
mod table_engines;
mod units;
mod views;
