//! A cut of a running query as it is stored, and a stored one as a query goes on from it.

use super::steps;
use bytes::Bytes;
use hydron_base::world::WallTime;
use hydron_base::{Code, Error, Result};
use hydron_flow::host::{Checkpoint, Cut, Origin, SourceCut};
use hydron_flow::{Pipeline, SourceKind};
use hydron_store::checkpoint::{Epoch, Manifest, OutputPosition, SourcePosition};
use hydron_types::Schema;
use std::fmt::Write;
use twox_hash::XxHash3_128;
use uuid::Uuid;

/// Of the operators' states. Another one cannot be read: what was kept begins anew.
const STATE_FORMAT: u32 = 2;

/// What a query must have in common with the one whose state it goes on with: its text, its sources, its operators.
///
/// Constants are not part of it: those of a subquery are worked out anew, as at a first start.
pub fn fingerprint(text: &str, pipeline: &Pipeline) -> String {
    let mut all = format!("{STATE_FORMAT}\n{text}\n");
    let columns = |all: &mut String, schema: &Schema| {
        for field in &schema.fields {
            let _ = writeln!(all, "  {} {}", field.name, field.ty);
        }
    };
    for source in &pipeline.sources {
        match &source.kind {
            SourceKind::Stream(scan) => {
                let stream = &scan.stream;
                let _ = writeln!(all, "stream {} {} {}", stream.uuid, stream.mode.name(), stream.shards);
            }
            SourceKind::Bounded(_) => all.push_str("bounded\n"),
        }
        columns(&mut all, &source.schema);
    }
    let _ = writeln!(all, "{} {}", pipeline.head.stages.len(), pipeline.tail.stages.len());
    columns(&mut all, &pipeline.schema);
    format!("{:032x}", XxHash3_128::oneshot(all.as_bytes()))
}

/// Names and ids of a pipeline's sources, in order.
pub fn sources(pipeline: &Pipeline) -> Vec<(String, Uuid)> {
    let named = pipeline.sources.iter().map(|s| match &s.kind {
        SourceKind::Stream(scan) => (format!("{}.{}", scan.stream.database, scan.stream.name), scan.stream.uuid),
        SourceKind::Bounded(_) => (String::new(), Uuid::nil()),
    });
    named.collect()
}

pub fn to_stored(
    number: u64,
    fingerprint: &str,
    sources: &[(String, Uuid)],
    checkpoint: Checkpoint,
    output: Option<OutputPosition>,
) -> Epoch {
    let cut = checkpoint.cut;
    let position = |(source, (name, stream)): (&SourceCut, &(String, Uuid))| SourcePosition {
        name: name.clone(),
        stream: *stream,
        positions: source.origin.positions.clone(),
        past_until: source.origin.past_until.clone(),
        not_before_us: source.origin.not_before_us,
        rereads: source.origin.rereads,
        rereads_past: source.origin.rereads_past,
        in_past: source.in_past,
        ended: source.ended,
    };
    let manifest = Manifest {
        fingerprint: fingerprint.to_string(),
        step: cut.step,
        now_us: cut.now.0,
        seed: cut.seed,
        sources: cut.sources.iter().zip(sources).map(position).collect(),
        output,
    };
    let mut pending = Vec::new();
    steps::encode(&cut.pending, &mut pending);
    Epoch { number, manifest, state: checkpoint.state.into(), steps: Bytes::from(pending) }
}

/// Errors: RECOVER_CHECKPOINT_FAILED for the epoch of another query; CANNOT_READ_ALL_DATA.
pub fn from_stored(epoch: &Epoch, fingerprint: &str) -> Result<Cut> {
    let manifest = &epoch.manifest;
    if manifest.fingerprint != fingerprint {
        let message = format!("epoch {} is of another query, or of other sources", epoch.number);
        return Err(Error::new(Code::RECOVER_CHECKPOINT_FAILED, message)
            .hint("UNSUBSCRIBE TO it and SUBSCRIBE anew; of a view, DROP VIEW and CREATE it again"));
    }
    let source = |p: &SourcePosition| SourceCut {
        origin: Origin {
            positions: p.positions.clone(),
            past_until: p.past_until.clone(),
            not_before_us: p.not_before_us,
            rereads: p.rereads,
            rereads_past: p.rereads_past,
        },
        in_past: p.in_past,
        ended: p.ended,
    };
    Ok(Cut {
        step: manifest.step,
        now: WallTime(manifest.now_us),
        seed: manifest.seed,
        sources: manifest.sources.iter().map(source).collect(),
        pending: steps::decode(&epoch.steps)?,
    })
}
