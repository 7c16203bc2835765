//! What was counted of statements that have ended.

use super::times::Times;
use hydron_base::Code;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Statements that were answered to their end.
    pub queries: u64,
    pub times: Times,
    pub read_rows: u64,
    pub read_bytes: u64,
    pub result_rows: u64,
    pub result_bytes: u64,
    /// Failed statements and connections by code.
    pub errors: BTreeMap<Code, u64>,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.queries += other.queries;
        self.times.add(other.times);
        self.read_rows += other.read_rows;
        self.read_bytes += other.read_bytes;
        self.result_rows += other.result_rows;
        self.result_bytes += other.result_bytes;
        for (code, count) in other.errors {
            *self.errors.entry(code).or_default() += count;
        }
    }

    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}
