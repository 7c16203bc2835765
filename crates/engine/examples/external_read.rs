//! How fast external streams are read: a topic of the mock cluster of librdkafka, and a file.
//!
//!     cargo run --release -p hydron-engine --example external_read [MESSAGES]
//!
//! Prints rows a second of librdkafka alone, of a count, of a sum over JSON, of a streaming filter, of an INSERT, and of a file.

use hydron_engine::{Engine, EngineOptions, Input, Item, QueryOptions};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// The cluster keeps some five megabytes of each.
const PARTITIONS: i32 = 16;

#[tokio::main]
async fn main() {
    let messages: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(500_000);
    let cluster = MockCluster::new(1).expect("a mock cluster");
    for topic in ["in", "out"] {
        cluster.create_topic(topic, PARTITIONS, 1).expect("a topic");
    }
    fill(&cluster.bootstrap_servers(), messages);
    let kept = report("librdkafka alone", || alone(&cluster.bootstrap_servers(), messages));

    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(EngineOptions::at(dir.path().join("data"))).expect("an engine");
    let of = |topic: &str| format!("type = 'kafka', brokers = '{}', topic = '{topic}'", cluster.bootstrap_servers());
    run(&engine, &format!("create external stream raw (m string) settings {}", of("in"))).await;
    run(&engine, &format!("create external stream json (id int64, name string, v float64) settings {}", of("in")))
        .await;
    run(&engine, &format!("create external stream sink (id int64, name string, v float64) settings {}", of("out")))
        .await;
    timed(&engine, "raw, max(length)", "select max(length(m)) from table(raw)", kept).await;
    timed(&engine, "JSONEachRow, one column", "select sum(id) from table(json)", kept).await;
    timed(&engine, "JSONEachRow, three columns", "select sum(id), max(name), avg(v) from table(json)", kept).await;
    let tail = format!("select id from json where id >= 0 limit {kept} settings seek_to = 'earliest'");
    timed(&engine, "streaming filter", &tail, kept).await;
    let insert = format!("insert into sink (id, name, v) select number, 'name', number / 2 from numbers({kept})");
    timed(&engine, "INSERT", &insert, kept).await;

    let mut text = String::new();
    for n in 0..messages {
        let _ = writeln!(
            text,
            "2024-01-02 03:04:05.678 [{n}] INFO something happened to somebody, and somebody wrote it down"
        );
    }
    std::fs::write(dir.path().join("a.log"), text).expect("a file");
    let log = format!(
        "create external stream log (raw string) settings type = 'log', log_dir = '{}', log_files = 'a.log'",
        dir.path().display()
    );
    run(&engine, &log).await;
    timed(&engine, "lines of a file", "select max(length(raw)) from table(log)", messages).await;
    engine.close(Duration::from_secs(5)).await;
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

/// Reads all of the topic; how many messages it has.
fn alone(brokers: &str, _: u64) -> u64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "alone")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
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

fn report(what: &str, work: impl FnOnce() -> u64) -> u64 {
    let begun = Instant::now();
    let rows = work();
    tell(what, rows, begun.elapsed());
    rows
}

fn tell(what: &str, rows: u64, took: Duration) {
    println!(
        "{what:30} {rows:>9} rows {:>9.3} s {:>12.0} rows/s",
        took.as_secs_f64(),
        rows as f64 / took.as_secs_f64()
    );
}

async fn run(engine: &Engine, text: &str) {
    let mut session = engine.session("default", "");
    let running = engine.execute(&mut session, text.to_string(), Input::None, QueryOptions::default()).await;
    let mut running = running.unwrap_or_else(|e| panic!("{text}: {e}"));
    while let Some(item) = running.next().await.unwrap_or_else(|e| panic!("{text}: {e}")) {
        drop::<Item>(item);
    }
}

async fn timed(engine: &Engine, what: &str, text: &str, rows: u64) {
    let begun = Instant::now();
    run(engine, text).await;
    tell(what, rows, begun.elapsed());
}
