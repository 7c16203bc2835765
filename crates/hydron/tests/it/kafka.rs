//! SIGKILL of the worker under a topic that is written to and views that read it: each view has every message once.

use crate::server::{Server, free_port};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::time::{Duration, Instant};

const KILLS: usize = 12;

/// Messages between two kills.
const ROUND: i64 = 200;

#[test]
fn views_of_a_topic_have_every_message_once_over_kills() {
    let cluster = MockCluster::new(1).unwrap();
    for (topic, partitions) in [("in", 3), ("out", 1)] {
        cluster.create_topic(topic, partitions, 1).unwrap();
    }
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    let producer: BaseProducer = config.create().unwrap();
    let mut sent = 0;
    let mut send = |count: i64| {
        for _ in 0..count {
            let value = format!("{{\"n\": {sent}}}");
            let record = BaseRecord::<str, str>::to("in").partition(sent % 3).payload(&value);
            producer.send(record).map_err(|(e, _)| e).unwrap();
            sent += 1;
        }
        producer.flush(Duration::from_secs(10)).unwrap();
        sent
    };

    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(&dir.path().join("data"), free_port(), &[("crash.safe_mode", "0")]);
    let of = |topic: &str| format!("type = 'kafka', brokers = '{}', topic = '{topic}'", cluster.bootstrap_servers());
    for statement in [
        format!("create external stream i (n int64) settings {}", of("in")),
        format!("create external stream o (n int64) settings {}", of("out")),
        "create materialized view each as select n, _tp_shard as p, _tp_sn as sn from i settings checkpoint_interval = 1".into(),
        "create materialized view counted as select count() as c, sum(n) as s from i emit on update settings checkpoint_interval = 1".into(),
        "create materialized view outward into o as select n from i settings checkpoint_interval = 1".into(),
    ] {
        server.ask(&statement);
    }
    for kill in 0..KILLS {
        let total = send(ROUND);
        // Now before the views have seen them, now when they have.
        if kill % 2 == 1 {
            wait_for(&server, "select count() from table(each)", &total.to_string());
        }
        server.kill_worker();
    }
    let total = send(ROUND);
    let sum = total * (total - 1) / 2;
    wait_for(&server, "select count(), sum(n), uniq_exact(n) from table(each)", &format!("{total}\t{sum}\t{total}"));
    wait_for(&server, "select max(c), max(s) from table(counted)", &format!("{total}\t{sum}"));
    // At least once: nothing is missing, and what is double is of the time since the last epoch.
    wait_for(&server, "select uniq_exact(n) from table(o)", &total.to_string());
}

fn wait_for(server: &Server, query: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = match server.try_ask(query, &[]) {
            Ok((_, body)) => body,
            Err(e) => e.to_string(),
        };
        if found.trim_end() == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{query}: {found}, not {wanted}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
