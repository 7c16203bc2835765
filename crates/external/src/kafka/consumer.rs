//! Reading a topic: one consumer for all partitions of a query, from offsets that are known when it begins.
//!
//! In: partitions, where to begin, perhaps where to end. Out: messages. Promise: nothing is committed and no group is joined;
//! brokers that are away for longer than the settings permit are an error that names them.

use super::client::{self, Context, PARTITIONS_MAX, is_final, is_outage, left, typed};
use super::outage::{Outage, Verdict};
use super::settings::KafkaSettings;
use crate::source::{Gathered, Place, Polled, Source, Start};
use hydron_base::{Code, Error, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long one question to the brokers may take while they seem to be away.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

pub struct KafkaRead {
    settings: KafkaSettings,
    consumer: BaseConsumer<Context>,
    partitions: Vec<Partition>,
    /// Ends with what was there when it began.
    bounded: bool,
    outage: Outage,
}

#[derive(Debug)]
struct Partition {
    id: i32,
    next: i64,
    head: i64,
    /// All that was there when the reading began has been read.
    reached: bool,
}

impl KafkaRead {
    /// Finds out where to begin; reads nothing yet. `start`: for each partition, `None` to leave it out. `heads`: where the past ends,
    /// if not with what is there now. Blocks for at most the patience of the settings.
    ///
    /// Errors: those of a connection; NO_AVAILABLE_KAFKA_CONSUMER for more than 50 partitions; SEQUENCE_OUT_OF_RANGE when messages
    /// behind [`Start::After`] are gone.
    pub fn open(
        settings: &KafkaSettings,
        start: impl Fn(&[i32], i32) -> Result<Option<Start>>,
        heads: &HashMap<u32, i64>,
        bounded: bool,
    ) -> Result<KafkaRead> {
        let deadline = Instant::now() + settings.patience;
        let consumer = client::consumer(settings)?;
        let all = client::partitions_of(consumer.client(), settings, &|| consumer.context().reason(), deadline)?;
        let mut partitions = Vec::new();
        for id in &all {
            let Some(start) = start(&all, *id)? else { continue };
            if partitions.len() >= PARTITIONS_MAX {
                let message = format!("topic '{}' has more than {PARTITIONS_MAX} partitions to read", settings.topic);
                let error = Error::new(Code::NO_AVAILABLE_KAFKA_CONSUMER, message);
                return Err(error.hint("SETTINGS shards = '0,1,2' for some of them"));
            }
            let failed = |e: KafkaError| typed(settings, &e, &consumer.context().reason());
            let marks = consumer.fetch_watermarks(&settings.topic, *id, left(deadline)).map_err(failed)?;
            let of_time = |ms: i64| -> Result<i64> {
                let mut ask = TopicPartitionList::new();
                ask.add_partition_offset(&settings.topic, *id, Offset::Offset(ms)).map_err(failed)?;
                let found = consumer.offsets_for_times(ask, left(deadline)).map_err(failed)?;
                let found = found.find_partition(&settings.topic, *id).map(|p| p.offset());
                Ok(match found {
                    Some(Offset::Offset(n)) => n,
                    _ => marks.1,
                })
            };
            let next = first_offset(&settings.topic, *id, start, marks, of_time)?;
            let head = heads.get(&(*id as u32)).copied().unwrap_or(marks.1);
            partitions.push(Partition { id: *id, next, head, reached: next >= head });
        }
        let mut assigned = TopicPartitionList::new();
        for p in partitions.iter().filter(|p| !bounded || !p.reached) {
            assigned
                .add_partition_offset(&settings.topic, p.id, Offset::Offset(p.next))
                .map_err(|e| typed(settings, &e, ""))?;
        }
        consumer.assign(&assigned).map_err(|e| typed(settings, &e, &consumer.context().reason()))?;
        let outage = Outage::new(settings.patience);
        Ok(KafkaRead { settings: settings.clone(), consumer, partitions, bounded, outage })
    }

    /// Where it begins in each partition.
    pub fn places(&self) -> Vec<Place> {
        self.partitions.iter().map(|p| Place { shard: p.id as u32, next: p.next, head: p.head }).collect()
    }

    /// Takes what one poll gave. False: nothing was there.
    fn take(&mut self, patience: Duration, into: &mut Gathered) -> Result<bool> {
        match self.consumer.poll(patience) {
            None => return Ok(false),
            Some(Ok(message)) => {
                self.outage.alive();
                let (id, offset) = (message.partition(), message.offset());
                let Some(partition) = self.partitions.iter_mut().find(|p| p.id == id) else { return Ok(true) };
                if self.bounded && offset >= partition.head {
                    partition.reached = true;
                    return Ok(true);
                }
                let headers = message.headers();
                let headers = headers.iter().flat_map(|h| h.iter());
                into.push(
                    id as u32,
                    offset,
                    message.timestamp().to_millis().unwrap_or_else(now_ms),
                    message.key(),
                    message.payload(),
                    headers.map(|h| (h.key.as_bytes(), h.value.unwrap_or_default())),
                );
                partition.reached |= offset + 1 >= partition.head;
            }
            // What is between the last message and the end are marks of transactions, or was compacted.
            Some(Err(KafkaError::PartitionEOF(id))) => {
                self.outage.alive();
                self.partitions.iter_mut().filter(|p| p.id == id).for_each(|p| p.reached = true);
            }
            Some(Err(e)) => self.failed(&e)?,
        }
        Ok(true)
    }

    fn failed(&mut self, error: &KafkaError) -> Result<()> {
        let reason = self.consumer.context().reason();
        let code = error.rdkafka_error_code();
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) || code.is_some_and(is_final) {
            return Err(typed(&self.settings, error, &reason));
        }
        if code.is_some_and(is_outage) {
            self.outage.failed(Instant::now(), reason);
        } else if code != Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            // The group is never joined, so that it does not matter whether it may be.
            tracing::warn!("reading {:?} goes on after: {error}", self.settings);
        }
        Ok(())
    }

    fn look_after(&mut self) -> Result<()> {
        match self.outage.verdict(Instant::now()) {
            Verdict::Wait => {}
            Verdict::Probe => match self.consumer.fetch_metadata(Some(&self.settings.topic), PROBE_PATIENCE) {
                Ok(_) => self.outage.alive(),
                Err(_) => self.outage.failed(Instant::now(), self.consumer.context().reason()),
            },
            Verdict::GiveUp => {
                let error = KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown);
                let patience = self.settings.patience;
                return Err(typed(&self.settings, &error, &self.outage.reason).context(format!("after {patience:?}")));
            }
        }
        Ok(())
    }
}

impl Source for KafkaRead {
    fn poll(&mut self, patience: Duration, into: &mut Gathered) -> Result<Polled> {
        if !(self.bounded && self.partitions.iter().all(|p| p.reached)) {
            let mut wait = patience;
            while self.take(wait, into)? && !into.is_full() {
                wait = Duration::ZERO;
            }
        }
        let all = self.partitions.iter().all(|p| p.reached);
        into.caught_up = all;
        if self.bounded && all {
            return Ok(Polled::End);
        }
        self.look_after()?;
        Ok(Polled::Open)
    }
}

/// The offset to begin with. `marks`: of the first message that is there, and of the next that will be.
fn first_offset(
    topic: &str,
    partition: i32,
    start: Start,
    (low, high): (i64, i64),
    of_time: impl Fn(i64) -> Result<i64>,
) -> Result<i64> {
    Ok(match start {
        Start::Earliest => low,
        Start::Latest => high,
        Start::Time(ms) => of_time(ms)?,
        Start::Offset(n) => n.clamp(low, high),
        Start::After(n) if (low..=high).contains(&(n + 1)) => n + 1,
        Start::After(n) => {
            let message = format!(
                "partition {partition} of topic '{topic}' has messages {low} to {}, the query goes on with {}",
                high - 1,
                n + 1
            );
            return Err(Error::new(Code::SEQUENCE_OUT_OF_RANGE, message));
        }
    })
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_become_offsets() {
        let at = |start| first_offset("t", 0, start, (10, 20), |ms| Ok(ms + 1));
        assert_eq!(at(Start::Earliest).unwrap(), 10);
        assert_eq!(at(Start::Latest).unwrap(), 20);
        assert_eq!(at(Start::Time(11)).unwrap(), 12);
        assert_eq!(
            [at(Start::Offset(0)).unwrap(), at(Start::Offset(15)).unwrap(), at(Start::Offset(99)).unwrap()],
            [10, 15, 20]
        );
        assert_eq!([at(Start::After(9)).unwrap(), at(Start::After(19)).unwrap()], [10, 20]);
        for gone in [8, 20] {
            assert_eq!(at(Start::After(gone)).unwrap_err().code, Code::SEQUENCE_OUT_OF_RANGE);
        }
    }
}
