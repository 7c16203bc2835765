//! Writing to a topic.
//!
//! In: messages. Out: an answer when all of them are with the brokers. Promise: a message is acknowledged by all replicas that are in
//! sync, and a retry does not double it (the producer is idempotent unless `properties` say otherwise); a message that no broker takes
//! within `message.timeout.ms` is an error that names the broker.

use super::client::{Context, config, partitions_of, typed};
use super::settings::KafkaSettings;
use hydron_base::{Code, Error, Result};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What a writer of a topic needs of it.
pub trait Sink: Send + Sync {
    fn partitions(&self) -> u32;

    /// Hands one message over. [`Sent::Full`]: too many wait already, wait for some of them.
    fn send(&self, message: &Outgoing<'_>, tally: &Arc<Tally>) -> Result<Sent>;

    /// How long a message may take, at most.
    fn patience(&self) -> Duration;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Queued,
    Full,
}

/// A message to be written. Without a partition the topic's partitioner chooses one by the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing<'a> {
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub payload: &'a [u8],
    pub time_ms: Option<i64>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Messages of one statement on their way.
#[derive(Default)]
pub struct Tally {
    in_flight: AtomicUsize,
    failed: Mutex<Option<Error>>,
    moved: Notify,
}

impl Tally {
    /// One more is on its way.
    pub fn sent(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// One has arrived, or has not.
    pub fn settled(&self, outcome: Result<()>) {
        if let Err(e) = outcome {
            self.failed.lock().get_or_insert(e);
        }
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.moved.notify_waiters();
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Errors: of the first message that did not arrive.
    pub fn check(&self) -> Result<()> {
        self.failed.lock().clone().map_or(Ok(()), Err)
    }

    /// Waits until at most `left` messages are on their way.
    ///
    /// Errors: CANNOT_WRITE_TO_KAFKA, also when nothing is heard of them for `patience`.
    pub async fn wait(&self, left: usize, patience: Duration) -> Result<()> {
        let all = async {
            loop {
                let moved = self.moved.notified();
                let mut moved = std::pin::pin!(moved);
                moved.as_mut().enable();
                if self.in_flight.load(Ordering::Acquire) <= left {
                    return;
                }
                moved.await;
            }
        };
        let waited = tokio::time::timeout(patience, all).await;
        self.check()?;
        waited.map_err(|_| {
            let message = format!("nothing is heard of {} messages", self.in_flight.load(Ordering::Acquire));
            Error::new(Code::CANNOT_WRITE_TO_KAFKA, message)
        })
    }
}

struct Deliveries {
    context: Context,
    settings: KafkaSettings,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Tally>;

    fn delivery(&self, delivery: &DeliveryResult<'_>, tally: Arc<Tally>) {
        tally.settled(match delivery {
            Ok(_) => Ok(()),
            Err((e, _)) => Err(not_written(&self.settings, e, &self.context.reason())),
        });
    }
}

fn not_written(settings: &KafkaSettings, error: &KafkaError, reason: &str) -> Error {
    let typed = typed(settings, error, reason);
    let message = format!("cannot write to topic '{}': {}", settings.topic, typed.message);
    Error { code: Code::CANNOT_WRITE_TO_KAFKA, message, ..typed }
}

/// A writer for all statements that write to a topic.
pub struct KafkaWriter {
    settings: KafkaSettings,
    /// Taken when the writer goes.
    producer: Option<ThreadedProducer<Deliveries>>,
    partitions: u32,
    patience: Duration,
}

impl KafkaWriter {
    /// Blocks for at most the patience of the settings. Errors: CANNOT_WRITE_TO_KAFKA with the reason.
    pub fn open(settings: &KafkaSettings) -> Result<KafkaWriter> {
        let pairs = settings.producer();
        let context = Deliveries { context: Context::default(), settings: settings.clone() };
        let producer: ThreadedProducer<Deliveries> =
            config(&pairs).create_with_context(context).map_err(|e| typed(settings, &e, ""))?;
        let deadline = Instant::now() + settings.patience;
        let reason = || producer.context().context.reason();
        let ids = partitions_of(producer.client(), settings, &reason, deadline).map_err(|e| {
            let message = format!("cannot write to topic '{}': {}", settings.topic, e.message);
            Error { code: Code::CANNOT_WRITE_TO_KAFKA, message, ..e }
        })?;
        let timeout = pairs.iter().rev().find(|(n, _)| matches!(*n, "message.timeout.ms" | "delivery.timeout.ms"));
        let timeout = timeout.and_then(|(_, v)| v.parse().ok()).map_or(Duration::from_secs(30), Duration::from_millis);
        // Whoever waits hears of each message what librdkafka has to say, and a little later he does not believe it any more.
        let patience = timeout + Duration::from_secs(5);
        Ok(KafkaWriter { settings: settings.clone(), producer: Some(producer), partitions: ids.len() as u32, patience })
    }
}

impl Sink for KafkaWriter {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn send(&self, message: &Outgoing<'_>, tally: &Arc<Tally>) -> Result<Sent> {
        let mut record: BaseRecord<'_, [u8], [u8], Arc<Tally>> =
            BaseRecord::with_opaque_to(&self.settings.topic, Arc::clone(tally)).payload(message.payload);
        if let Some(key) = message.key {
            record = record.key(key);
        }
        if let Some(partition) = message.partition {
            record = record.partition(partition);
        }
        if let Some(ms) = message.time_ms {
            record = record.timestamp(ms);
        }
        if !message.headers.is_empty() {
            let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
            for (key, value) in &message.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            record = record.headers(headers);
        }
        let producer = self.producer.as_ref().ok_or_else(|| Error::bug("a writer without its producer"))?;
        // Counted first: the answer may come before `send` returns.
        tally.sent();
        match producer.send(record) {
            Ok(()) => Ok(Sent::Queued),
            Err((e, _)) => {
                let is_full = e.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                tally.settled(Ok(()));
                if is_full {
                    return Ok(Sent::Full);
                }
                Err(not_written(&self.settings, &e, &producer.context().context.reason()))
            }
        }
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}

impl Drop for KafkaWriter {
    fn drop(&mut self) {
        // It waits a moment for messages on their way, and this thread may have others to serve.
        let producer = self.producer.take();
        let dropped = std::thread::Builder::new().name("external".to_owned()).spawn(move || drop(producer));
        if let Err(e) = dropped {
            tracing::warn!("no thread for closing a connection to Kafka: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_of_the_first_failure_and_of_silence() {
        let tally = Arc::new(Tally::default());
        tally.wait(0, Duration::from_secs(1)).await.unwrap();
        tally.sent();
        tally.sent();
        let silent = tally.wait(0, Duration::from_secs(1)).await.unwrap_err();
        assert!(silent.message.contains("2 messages"), "{silent}");
        tally.settled(Ok(()));
        tally.settled(Err(Error::new(Code::CANNOT_WRITE_TO_KAFKA, "first")));
        tally.sent();
        tally.settled(Err(Error::new(Code::CANNOT_WRITE_TO_KAFKA, "second")));
        assert_eq!(tally.wait(0, Duration::from_secs(1)).await.unwrap_err().message, "first");
    }
}
