//! What an epoch says of itself: of which query it is, where its sources and its output were.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The head of one epoch, stored as JSON so that a person can read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of the query's text, its sources and its operators: another one cannot go on from here.
    pub fingerprint: String,
    /// Steps that the query had made.
    pub step: u64,
    /// Time of the last of them, in microseconds since 1970-01-01 UTC.
    pub now_us: i64,
    pub seed: u64,
    pub sources: Vec<SourcePosition>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputPosition>,
}

/// Where one source was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourcePosition {
    /// `database.name`; empty for a part of the query that ends by itself.
    pub name: String,
    pub stream: Uuid,
    /// By shard: the last record that was read, -1 for none.
    pub positions: Vec<(u32, i64)>,
    /// By shard: the record with which the past ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_until: Vec<(u32, i64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_us: Option<i64>,
    #[serde(default)]
    pub rereads: bool,
    #[serde(default)]
    pub rereads_past: bool,
    #[serde(default)]
    pub in_past: bool,
    #[serde(default)]
    pub ended: bool,
}

/// Where the output of a view was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputPosition {
    pub stream: Uuid,
    /// Units that were written before: the next one has this number.
    pub next_unit: u64,
    /// By shard: the first record that may hold a unit after the cut.
    pub from: Vec<(u32, u64)>,
}
