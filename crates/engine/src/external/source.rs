//! An external stream as the source of a streaming query.
//!
//! In: a scan with its seek, or where a query was when it stopped. Out: batches, one for each lot of messages of a shard. Promise: the
//! last offset of a batch is its number; a query that goes on gets the batches of before with the same numbers, then new ones.

use super::decode::Decoder;
use super::definition::{Definition, Kind};
use crate::query::Progress;
use async_trait::async_trait;
use hydron_base::{Error, Result};
use hydron_external::kafka::KafkaRead;
use hydron_external::tail::TailRead;
use hydron_external::{Cuts, Event, Incoming, Place, Start};
use hydron_flow::host::{Origin, SourceCut};
use hydron_flow::{SourceItem, SourceReader};
use hydron_plan::Seek;
use std::collections::HashMap;
use std::sync::Arc;

/// Where a read begins and what of the stream it reads.
pub struct Opening<'a> {
    pub seek: &'a Seek,
    /// The setting `shards`: numbers of partitions; empty: all.
    pub shards: &'a str,
    /// Where a query was that goes on.
    pub saved: Option<&'a SourceCut>,
    /// The pieces that it gets again.
    pub cuts: Cuts,
    /// Ends with what is there now.
    pub bounded: bool,
}

/// Messages on their way.
pub struct Reading {
    pub incoming: Incoming,
    pub places: Vec<Place>,
    /// The shards in the order of their lanes.
    pub lanes: Vec<u32>,
}

/// Begins to read. Blocks until a broker has answered.
pub fn begin(definition: &Definition, opening: Opening<'_>) -> Result<Reading> {
    match &definition.kind {
        Kind::Kafka(settings) => {
            let selected = numbers(opening.shards)?;
            let (known, heads) = saved(opening.saved);
            let start = |all: &[i32], id: i32| {
                if let Some(missing) = selected.iter().find(|s| !all.contains(s)) {
                    let message =
                        format!("topic '{}' has no partition {missing}, it has {}", settings.topic, all.len());
                    return Err(Error::bad_arguments(message));
                }
                let read: Vec<i32> =
                    all.iter().copied().filter(|p| selected.is_empty() || selected.contains(p)).collect();
                let Some(at) = read.iter().position(|p| *p == id) else { return Ok(None) };
                Ok(Some(match (opening.saved, known.get(&(id as u32))) {
                    (Some(_), Some(last)) => Start::After(*last),
                    // It was added while the query did not run.
                    (Some(_), None) => Start::Earliest,
                    (None, _) => start_of(opening.seek, at, read.len())?,
                }))
            };
            let read = KafkaRead::open(settings, start, &heads, opening.bounded)?;
            let places = read.places();
            let lanes = places.iter().map(|p| p.shard).collect();
            Ok(Reading { incoming: Incoming::spawn(read, opening.cuts)?, places, lanes })
        }
        Kind::Log(settings) => {
            let (known, heads) = saved(opening.saved);
            let start = match (opening.saved, opening.seek) {
                // A file that is not known yet is new.
                (Some(_), _) => Start::Earliest,
                (None, seek) => start_of(seek, 0, 1)?,
            };
            let read = TailRead::open(settings, start, &known, &heads, opening.bounded, opening.cuts.clone())?;
            let places = read.places();
            Ok(Reading { incoming: Incoming::spawn(read, opening.cuts)?, places, lanes: Vec::new() })
        }
    }
}

/// The last offsets that were read, and those at which the past ends where it was not complete.
fn saved(cut: Option<&SourceCut>) -> (HashMap<u32, i64>, HashMap<u32, i64>) {
    let Some(cut) = cut else { return Default::default() };
    let heads = if cut.in_past { cut.origin.past_until.iter().copied().collect() } else { HashMap::new() };
    (cut.origin.positions.iter().copied().collect(), heads)
}

/// `'0,2'`. Errors: BAD_ARGUMENTS.
pub fn numbers(text: &str) -> Result<Vec<i32>> {
    let pieces = text.split(',').map(str::trim).filter(|p| !p.is_empty());
    let number = |p: &str| p.parse::<i32>().ok().filter(|n| *n >= 0);
    let parse = |p| {
        number(p).ok_or_else(|| Error::bad_arguments(format!("setting shards: '{p}' is no partition")).hint("'0,2'"))
    };
    pieces.map(parse).collect()
}

/// Where to begin in the shard that is number `at` of `count`.
fn start_of(seek: &Seek, at: usize, count: usize) -> Result<Start> {
    let list = |positions: &[i64]| match positions {
        [one] => Ok(*one),
        many if many.len() == count => Ok(many[at]),
        many => Err(Error::bad_arguments(format!("seek_to has {} positions, {count} partitions are read", many.len()))),
    };
    Ok(match seek {
        Seek::Latest => Start::Latest,
        Seek::Earliest => Start::Earliest,
        Seek::EventTime(us) => Start::Time(us.div_euclid(1_000)),
        Seek::Sequence(positions) => Start::Offset(list(positions)?),
        Seek::Shards(positions) => match list(positions)? {
            i64::MIN => Start::Earliest,
            i64::MAX => Start::Latest,
            offset => Start::Offset(offset),
        },
    })
}

pub struct ExternalSource {
    reading: Reading,
    decoder: Decoder,
    progress: Arc<Progress>,
    in_past: bool,
}

impl ExternalSource {
    /// `saved_in_past`: of a query that goes on, whether its past was not complete.
    pub fn new(
        reading: Reading,
        decoder: Decoder,
        progress: Arc<Progress>,
        saved_in_past: Option<bool>,
    ) -> ExternalSource {
        let in_past = saved_in_past.unwrap_or_else(|| reading.places.iter().any(|p| p.next < p.head));
        ExternalSource { reading, decoder, progress, in_past }
    }
}

#[async_trait]
impl SourceReader for ExternalSource {
    async fn next(&mut self) -> Result<Option<SourceItem>> {
        loop {
            match self.reading.incoming.next().await? {
                None => return Ok(None),
                Some(Event::CaughtUp) if std::mem::take(&mut self.in_past) => return Ok(Some(SourceItem::BackfillEnd)),
                Some(Event::CaughtUp) => {}
                Some(Event::Messages(chunk)) => {
                    let batch = self.decoder.decode(&chunk)?;
                    Progress::add(&self.progress.read_rows, batch.rows());
                    Progress::add(&self.progress.read_bytes, chunk.bytes());
                    // Without rows too: the position has moved.
                    return Ok(Some(SourceItem::Rows { batch, shard: chunk.shard, sequence: chunk.last_offset() }));
                }
            }
        }
    }

    fn backfills(&self) -> bool {
        self.in_past
    }

    fn origin(&self) -> Origin {
        Origin {
            positions: self.reading.places.iter().map(|p| (p.shard, p.next - 1)).collect(),
            past_until: self.reading.places.iter().map(|p| (p.shard, p.head)).collect(),
            not_before_us: None,
            rereads: true,
            rereads_past: true,
        }
    }

    fn lanes(&self) -> Option<Vec<u32>> {
        Some(self.reading.lanes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_of_all_partitions_or_of_each() {
        assert_eq!(start_of(&Seek::EventTime(1_500), 0, 3).unwrap(), Start::Time(1));
        assert_eq!(start_of(&Seek::Sequence(vec![7]), 2, 3).unwrap(), Start::Offset(7));
        let each = Seek::Shards(vec![i64::MIN, 5, i64::MAX]);
        let starts: Vec<_> = (0..3).map(|at| start_of(&each, at, 3).unwrap()).collect();
        assert_eq!(starts, [Start::Earliest, Start::Offset(5), Start::Latest]);
        assert!(start_of(&each, 0, 2).is_err());
    }

    #[test]
    fn partitions_are_numbers() {
        assert_eq!(numbers("0, 2").unwrap(), [0, 2]);
        assert_eq!(numbers("").unwrap(), [] as [i32; 0]);
        assert!(numbers("0,x").is_err() && numbers("-1").is_err());
    }
}
