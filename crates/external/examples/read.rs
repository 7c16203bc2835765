//! How fast messages come in: of a topic of the mock cluster of librdkafka, and of a file.
//!
//!     cargo run --release -p hydron-external --example read [MESSAGES]

use hydron_base::Result;
use hydron_external::kafka::{KafkaRead, KafkaSettings};
use hydron_external::tail::{TailRead, TailSettings};
use hydron_external::{Cuts, Event, Incoming, Start};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// The cluster keeps some five megabytes of each.
const PARTITIONS: i32 = 16;

fn main() -> Result<()> {
    let messages: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(500_000);
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("in", PARTITIONS, 1).expect("a topic");
    fill(&cluster.bootstrap_servers(), messages);
    // The first reading of all finds nothing in any cache.
    for _ in 0..2 {
        timed("librdkafka alone", || Ok(alone(&cluster.bootstrap_servers())))?;
        timed("messages of a topic", || {
            let brokers = cluster.bootstrap_servers();
            let get = |name: &str| match name {
                "brokers" => Some(brokers.clone()),
                "topic" => Some("in".to_owned()),
                _ => None,
            };
            let settings = KafkaSettings::parse(&get)?;
            let read = KafkaRead::open(&settings, |_, _| Ok(Some(Start::Earliest)), &HashMap::new(), true)?;
            all(Incoming::spawn(read, Cuts::default())?)
        })?;
    }

    let dir = std::env::temp_dir().join(format!("external-read-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let mut text = String::new();
    for n in 0..messages {
        let _ = writeln!(
            text,
            "2024-01-02 03:04:05.678 [{n}] INFO something happened to somebody, and somebody wrote it down"
        );
    }
    std::fs::write(dir.join("a.log"), text).expect("a file");
    for (what, timestamp) in [("lines of a file", ""), ("lines with their time", "^(\\S+ \\S+)")] {
        timed(what, || {
            let get = |name: &str| match name {
                "log_dir" => Some(dir.display().to_string()),
                "log_files" => Some("a.log".to_owned()),
                "timestamp_regex" => Some(timestamp.to_owned()),
                _ => None,
            };
            let settings = TailSettings::parse(&get)?;
            let none = HashMap::new();
            let read = TailRead::open(&settings, Start::Earliest, &none, &none, true, Cuts::default())?;
            all(Incoming::spawn(read, Cuts::default())?)
        })?;
    }
    std::fs::remove_dir_all(&dir).expect("our own directory");
    Ok(())
}

fn fill(brokers: &str, messages: u64) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("linger.ms", "50").create().expect("a producer");
    for n in 0..messages {
        let value = format!("{{\"id\": {n}, \"name\": \"somebody {}\", \"v\": {}.5}}", n % 1_000, n % 77);
        let record = BaseRecord::<str, str>::to("in").partition((n % PARTITIONS as u64) as i32).payload(&value);
        let mut next = Some(record);
        while let Some(record) = next.take() {
            if let Err((_, back)) = producer.send(record) {
                producer.poll(Duration::from_millis(10));
                next = Some(back);
            }
        }
    }
    producer.flush(Duration::from_secs(60)).expect("all messages sent");
}

/// Reads all of the topic as its client library does by itself.
fn alone(brokers: &str) -> u64 {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "alone").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut all = TopicPartitionList::new();
    for p in 0..PARTITIONS {
        all.add_partition_offset("in", p, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&all).expect("an assignment");
    let (mut read, mut ended) = (0, 0);
    while ended < PARTITIONS {
        match consumer.poll(Duration::from_secs(5)) {
            Some(Ok(_)) => read += 1,
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(e)) => panic!("{e}"),
            None => panic!("no message in time"),
        }
    }
    read
}

fn all(mut incoming: Incoming) -> Result<u64> {
    let mut read = 0;
    while let Some(event) = incoming.next_blocking()? {
        if let Event::Messages(chunk) = event {
            read += chunk.len() as u64;
        }
    }
    Ok(read)
}

fn timed(what: &str, work: impl FnOnce() -> Result<u64>) -> Result<()> {
    let begun = Instant::now();
    let rows = work()?;
    let took = begun.elapsed().as_secs_f64();
    println!("{what:24} {rows:>9} in {took:>7.3} s {:>12.0} a second", rows as f64 / took);
    Ok(())
}
