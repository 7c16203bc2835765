//! A point in the life of a query, and how another query goes on from there.

use super::progress::RecordId;
use super::source::SourceReader;
use super::trace::Steps;
use crate::pipeline::{Pipeline, PipelineSource, SourceKind};
use hydron_base::world::WallTime;
use std::collections::{BTreeMap, BTreeSet};

/// Where a source begins to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// By shard: the last record before those it delivers, -1 for none.
    pub positions: Vec<(u32, i64)>,
    /// By shard: the record with which the past ends, and is complete before it.
    pub past_until: Vec<(u32, i64)>,
    /// Rows with an earlier event time are left out, in microseconds.
    pub not_before_us: Option<i64>,
    /// Records can be read again by their numbers.
    pub rereads: bool,
    /// Also those of the past.
    pub rereads_past: bool,
}

/// How far a source has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCut {
    /// What it read from here on, so that `positions` are those at the cut.
    pub origin: Origin,
    /// Rows of the past still come in.
    pub in_past: bool,
    pub ended: bool,
}

/// Where a query was, beside the state of its operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Number of the last step before it.
    pub step: u64,
    pub now: WallTime,
    /// Source of `rand()` and its like.
    pub seed: u64,
    pub sources: Vec<SourceCut>,
    /// Steps before it that no answer tells of.
    pub pending: Steps,
}

/// How a query goes on that was stopped; its operators are restored already and its readers read from the cut.
#[derive(Clone, Debug)]
pub struct Resume {
    pub cut: Cut,
    /// Steps that were taken after the cut. Their answers are known and not given again.
    pub replay: Steps,
}

/// How a query is run.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Answers tell the steps that led to them.
    pub traced: bool,
    /// Nothing is read before the first cut that is asked for, where the query can be cut then.
    pub cut_first: bool,
    pub resume: Option<Resume>,
    /// Records of sources that are passed over.
    pub skip: BTreeSet<RecordId>,
}

/// How far each source has come when the query begins, or goes on.
pub(super) fn sources_of(
    pipeline: &Pipeline,
    readers: &[Box<dyn SourceReader>],
    resume: Option<&Resume>,
) -> Vec<SourceState> {
    let begin = |(at, (source, reader)): (usize, (&PipelineSource, &dyn SourceReader))| {
        let origin = reader.origin();
        let saved = resume.and_then(|r| r.cut.sources.get(at));
        SourceState {
            positions: origin.positions.iter().copied().collect(),
            origin,
            is_bounded: matches!(source.kind, SourceKind::Bounded(_)),
            in_past: saved.map_or_else(|| reader.backfills(), |s| s.in_past),
            ended: saved.is_some_and(|s| s.ended),
            in_record: false,
            lanes: reader.lanes(),
        }
    };
    let readers = readers.iter().map(|r| &**r);
    pipeline.sources.iter().zip(readers).enumerate().map(begin).collect()
}

/// How far a source has come.
pub(super) struct SourceState {
    pub(super) origin: Origin,
    /// Last record of each shard.
    pub(super) positions: BTreeMap<u32, i64>,
    is_bounded: bool,
    /// Rows of the past come in.
    pub(super) in_past: bool,
    pub(super) ended: bool,
    /// More of the last record follows.
    pub(super) in_record: bool,
    /// Shards in the order of their lanes.
    lanes: Option<Vec<u32>>,
}

impl SourceState {
    /// Whether something of it will be complete at some time: its past, or all of it.
    pub(super) fn has_past(&self) -> bool {
        (self.is_bounded && !self.ended) || self.in_past
    }

    /// The lane of a shard's rows.
    pub(super) fn lane(&self, shard: u32) -> u32 {
        match &self.lanes {
            None => shard,
            Some(lanes) => lanes.iter().position(|s| *s == shard).unwrap_or(0) as u32,
        }
    }

    /// Whether a query can go on from here.
    pub(super) fn can_be_cut(&self) -> bool {
        if self.is_bounded {
            return self.ended;
        }
        !self.in_record && (!self.in_past || self.origin.rereads_past)
    }

    pub(super) fn cut(&self) -> SourceCut {
        let positions = self.positions.iter().map(|(shard, sn)| (*shard, *sn)).collect();
        SourceCut { origin: Origin { positions, ..self.origin.clone() }, in_past: self.in_past, ended: self.ended }
    }
}
