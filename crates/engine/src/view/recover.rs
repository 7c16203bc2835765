//! What a view has written since a checkpoint, as the log of its target tells.
//!
//! In: where the checkpoint was, the stamps behind it, the outbox. Out: the steps to be taken again, the number of the next
//! unit. Promise: a unit of which some records are in the log is made whole; a unit of which nothing was kept is not missed.

use super::stamp::Stamp;
use super::writer::{read_kept_record, submit};
use crate::checkpoint::steps;
use crate::stream::StreamStore;
use bytes::Bytes;
use hydron_base::{Code, Error, Result};
use hydron_flow::host::Steps;
use hydron_store::checkpoint::{CheckpointStore, OutputPosition};
use hydron_store::log::Sequence;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use uuid::Uuid;

/// What was found of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    parts: BTreeSet<u16>,
    /// `None`: in the outbox.
    steps: Option<Bytes>,
}

pub struct Recovered {
    /// Steps after the checkpoint whose answers are in the log.
    pub steps: Steps,
    pub next_unit: u64,
}

/// The units of a view in its target's logs, from a position on. Blocks on the disk.
pub fn units_in_log(store: &StreamStore, view: Uuid, output: &OutputPosition) -> Result<BTreeMap<u64, Found>> {
    let mut units: BTreeMap<u64, Found> = BTreeMap::new();
    for (shard, log) in store.logs.iter().enumerate() {
        let from = output.from.iter().find(|(s, _)| *s as usize == shard).map_or(0, |(_, from)| *from);
        let first = log.first_sequence();
        if Sequence(from) < first && from > 0 {
            let message = format!(
                "{}: what the view has written from record {from} on is gone, retention keeps {first} and later ones",
                log.name()
            );
            return Err(Error::new(Code::SEQUENCE_OUT_OF_RANGE, message));
        }
        log.visit_heads(Sequence(from).max(first), |head| {
            let stamp = head.stamp.as_deref().and_then(Stamp::from_bytes);
            if let Some(stamp) = stamp.filter(|s| s.view == view && s.unit >= output.next_unit) {
                let unit = units.entry(stamp.unit).or_default();
                unit.parts.insert(stamp.part);
                unit.steps = unit.steps.take().or(stamp.steps);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(units)
}

/// Makes the last units whole, and joins the steps of all of them. `after`: the step of the checkpoint.
///
/// Errors: RECOVER_CHECKPOINT_FAILED when something of what was written is not known any more.
pub async fn recover(
    store: &StreamStore,
    checkpoints: &CheckpointStore,
    id: &str,
    view: Uuid,
    output: &OutputPosition,
    after: u64,
) -> Result<Recovered> {
    let mut units = tokio::task::block_in_place(|| units_in_log(store, view, output))?;
    let kept = tokio::task::block_in_place(|| checkpoints.outboxes(id, output.next_unit))?;
    let mut outbox: BTreeMap<u64, Bytes> = BTreeMap::new();
    for (unit, sections) in kept {
        let Some((steps, records)) = sections.split_first() else { continue };
        let found = units.entry(unit).or_default();
        for (part, record) in records.iter().enumerate().filter(|(part, _)| !found.parts.contains(&(*part as u16))) {
            let (shard, batch) = read_kept_record(record, store)?;
            let stamp = Stamp { view, unit, part: part as u16, parts: records.len() as u16, steps: None };
            crate::ingest::wait_if_crashed().await;
            let appended = submit(store, shard, &batch, stamp.to_bytes()).await?.await?;
            store.note_append(appended.append_time_ms);
        }
        outbox.insert(unit, steps.clone());
    }
    join(&units, &outbox, output.next_unit, after)
}

fn join(units: &BTreeMap<u64, Found>, outbox: &BTreeMap<u64, Bytes>, next_unit: u64, after: u64) -> Result<Recovered> {
    let lost = |unit: u64, what: &str| {
        let message = format!("unit {unit} of the view's output {what}: what was written cannot be told for sure");
        Error::new(Code::RECOVER_CHECKPOINT_FAILED, message).hint("DROP VIEW and CREATE it again")
    };
    let mut recovered = Recovered { steps: Steps::starting_at(after + 1), next_unit };
    for (unit, found) in units {
        if *unit != recovered.next_unit {
            return Err(lost(recovered.next_unit, "is missing"));
        }
        let steps = found.steps.as_ref().or(outbox.get(unit)).ok_or_else(|| lost(*unit, "has no steps"))?;
        recovered.steps.append(&steps::decode(steps)?)?;
        recovered.next_unit += 1;
    }
    Ok(recovered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_base::world::WallTime;
    use hydron_flow::host::{Stamped, Step};

    fn steps(first: u64, count: i64) -> Bytes {
        let rows = |sequence| Stamped { step: Step::Rows { source: 0, shard: 0, sequence }, now: WallTime(0) };
        let mut bytes = Vec::new();
        steps::encode(&Steps { first, steps: (0..count).map(rows).collect() }, &mut bytes);
        bytes.into()
    }

    fn found(steps: Option<Bytes>) -> Found {
        Found { parts: BTreeSet::from([0]), steps }
    }

    #[test]
    fn units_behind_the_checkpoint_tell_what_is_to_be_done_again() {
        let units = BTreeMap::from([(4, found(Some(steps(9, 3)))), (5, found(None))]);
        let outbox = BTreeMap::from([(5, steps(12, 2))]);
        let recovered = join(&units, &outbox, 4, 10).unwrap();
        assert_eq!((recovered.next_unit, recovered.steps.first, recovered.steps.next()), (6, 11, 14));
        let nothing = join(&BTreeMap::new(), &outbox, 4, 10).unwrap();
        assert_eq!((nothing.next_unit, nothing.steps.steps.len()), (4, 0));
    }

    #[test]
    fn what_is_missing_is_not_guessed() {
        let failed = |units: BTreeMap<u64, Found>| join(&units, &BTreeMap::new(), 4, 10).map(|_| ()).unwrap_err().code;
        assert_eq!(failed(BTreeMap::from([(5, found(Some(steps(11, 1))))])), Code::RECOVER_CHECKPOINT_FAILED);
        assert_eq!(failed(BTreeMap::from([(4, found(None))])), Code::RECOVER_CHECKPOINT_FAILED);
        assert_eq!(failed(BTreeMap::from([(4, found(Some(steps(13, 1))))])), Code::RECOVER_CHECKPOINT_FAILED);
    }
}
