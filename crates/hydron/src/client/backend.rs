//! What runs a statement: a server over HTTP, or an engine in this process.

use hydron_base::Result;
use std::io::{Read, Write};
use std::time::Duration;

/// How far a running statement is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Status {
    pub elapsed: Duration,
    pub read_rows: u64,
    pub read_bytes: u64,
    pub total_rows: u64,
}

/// What a finished statement did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub elapsed: Duration,
    /// Rows of the answer, where the backend can count them.
    pub rows: Option<u64>,
    pub read_rows: u64,
}

/// One statement to run.
pub struct Request<'a> {
    pub text: &'a str,
    /// Rows of an INSERT that do not stand in the text.
    pub data: Option<Box<dyn Read + Send>>,
    pub default_format: &'a str,
    /// Called a few times a second while the statement runs.
    pub on_status: Option<&'a (dyn Fn(Status) + Sync)>,
}

pub trait Backend {
    /// Runs one statement and writes its answer to `out` as it arrives. Ctrl-C ends the statement with its error.
    fn run(&mut self, request: Request<'_>, out: &mut dyn Write) -> Result<Summary>;

    /// A setting for all statements from here on.
    fn set(&mut self, name: &str, value: &str) -> Result<()>;

    /// What it is connected to, for the greeting.
    fn greeting(&mut self) -> Result<String>;
}
