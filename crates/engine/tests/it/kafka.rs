//! External streams of Kafka against the mock cluster of librdkafka, which speaks the protocol over sockets.

use crate::kit::{World, becomes, row_of, told};
use hydron_base::Code;
use hydron_engine::{Item, Running};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use std::time::Duration;

struct Kafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

impl Kafka {
    fn start() -> Kafka {
        let cluster = MockCluster::new(1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        Kafka { producer: config.create().unwrap(), cluster }
    }

    fn topic(&self, name: &str, partitions: i32) {
        self.cluster.create_topic(name, partitions, 1).unwrap();
    }

    /// One message, when the cluster has it.
    fn send(&self, topic: &str, partition: i32, key: Option<&str>, value: &str, time_ms: Option<i64>) {
        let mut record = BaseRecord::<str, str>::to(topic).partition(partition).payload(value);
        if let Some(key) = key {
            let header = Header { key: "from", value: Some("test") };
            record = record.key(key).headers(OwnedHeaders::new().insert(header));
        }
        if let Some(ms) = time_ms {
            record = record.timestamp(ms);
        }
        self.producer.send(record).map_err(|(e, _)| e).unwrap();
        self.producer.flush(Duration::from_secs(10)).unwrap();
    }

    fn settings(&self, topic: &str) -> String {
        format!("type = 'kafka', brokers = '{}', topic = '{topic}'", self.cluster.bootstrap_servers())
    }
}

async fn code(world: &mut World, text: &str) -> Code {
    world.run(text).await.expect_err(text).code
}

/// The next rows of a query, as text, at least `count`.
async fn next(running: &mut Running, count: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let read = async {
        while rows.len() < count {
            if let Some(Item::Rows(batch)) = running.next().await.unwrap() {
                rows.extend((0..batch.rows()).map(|row| {
                    let cells = row_of(&batch, row);
                    cells.iter().map(text).collect::<Vec<_>>().join(" ")
                }));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("rows in time");
    rows
}

fn text(value: &hydron_types::Value) -> String {
    use hydron_types::Value as V;
    match value {
        V::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
        V::Int(n) => n.to_string(),
        V::UInt(n) => n.to_string(),
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_read_as_stream_and_table_with_what_belongs_to_them() {
    let mut world = World::open();
    let kafka = Kafka::start();
    kafka.topic("t", 2);
    kafka.send("t", 0, Some("k1"), r#"{"a": 1, "b": "one"}"#, Some(1_700_000_000_000));
    kafka.send("t", 1, None, "{\"a\": 2}\n{\"a\": 3, \"c\": [1]}", Some(1_700_000_001_000));
    kafka.send("t", 0, None, "not json", None);
    kafka.send("t", 0, None, r#"{"a": 4, "b": "four"}"#, Some(1_700_000_002_000));
    let create = format!("create external stream e (a int, b string default 'none') settings {}", kafka.settings("t"));
    world.run(&create).await.unwrap();
    assert_eq!(told(&mut world, "select shards from system.streams where name = 'e'").await, "2");
    let all = "select a, b, to_string(_tp_time), _tp_shard, _tp_sn, _tp_message_key, to_string(_tp_message_headers) from table(e) order by a";
    let wanted = "1 one 2023-11-14 22:13:20.000 0 0 k1 {'from':'test'}; 2 none 2023-11-14 22:13:21.000 1 0  {}; \
                  3 none 2023-11-14 22:13:21.000 1 0  {}; 4 four 2023-11-14 22:13:22.000 0 2  {}";
    assert_eq!(told(&mut world, all).await, wanted);
    assert_eq!(told(&mut world, "select count(), sum(a) from table(e)").await, "4 10");
    assert_eq!(told(&mut world, "select count() from table(e) settings shards = '1'").await, "2");
    assert_eq!(code(&mut world, "select count() from table(e) settings shards = '7'").await, Code::BAD_ARGUMENTS);

    let mut latest = world.start("select a from e").await.unwrap();
    let mut earliest =
        world.start("select a, _tp_shard from e settings seek_to = 'earliest', shards = '0'").await.unwrap();
    let mut listed = world.start("select a, _tp_sn from e settings seek_to = '2,latest'").await.unwrap();
    let mut timed = world.start("select a from e settings seek_to = '2023-11-14 22:13:22'").await.unwrap();
    assert_eq!(next(&mut earliest, 2).await, ["1 0", "4 0"]);
    assert_eq!(next(&mut listed, 1).await, ["4 2"]);
    kafka.send("t", 0, None, r#"{"a": 5}"#, None);
    assert_eq!(next(&mut latest, 1).await, ["5"]);
    assert_eq!(next(&mut earliest, 1).await, ["5 0"]);
    assert!(next(&mut timed, 1).await.contains(&"5".to_owned()));
    let of_three = world.start("select a from e settings seek_to = '0,0,0'").await;
    assert_eq!(of_three.map(|_| ()).unwrap_err().code, Code::BAD_ARGUMENTS);
    drop((latest, earliest, listed, timed));
    let counters = world.engine.inner().external.list();
    let failed = counters.iter().find(|(name, ..)| name.contains("failed")).unwrap();
    assert!(failed.2 > 0, "{counters:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_messages_and_separated_values_are_read_too() {
    let mut world = World::open();
    let kafka = Kafka::start();
    for topic in ["raw", "csv", "tsv"] {
        kafka.topic(topic, 1);
    }
    kafka.send("raw", 0, None, "any\nthing", None);
    kafka.send("raw", 0, None, "", None);
    kafka.send("csv", 0, None, "1,\"a,b\"\n2,c\n", None);
    kafka.send("csv", 0, None, "x,y", None);
    kafka.send("csv", 0, None, "3,\"open", None);
    kafka.send("csv", 0, None, "4,d", None);
    kafka.send("tsv", 0, None, "1\ta", None);
    let raw = format!("create external stream raw (m string) settings {}", kafka.settings("raw"));
    world.run(&raw).await.unwrap();
    assert_eq!(told(&mut world, "select m, length(m) from table(raw) order by _tp_sn").await, "any\nthing 9;  0");
    assert_eq!(told(&mut world, "select count() from table(raw)").await, "2");
    for format in ["csv", "tsv"] {
        let create = format!(
            "create external stream {format} (n int, s string) settings {}, data_format = '{}'",
            kafka.settings(format),
            format.to_uppercase()
        );
        world.run(&create).await.unwrap();
    }
    assert_eq!(told(&mut world, "select n, s from table(csv) where n != 3 order by n").await, "1 a,b; 2 c; 4 d");
    assert_eq!(told(&mut world, "select n, s from table(tsv)").await, "1 a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_written_as_messages() {
    let mut world = World::open();
    let kafka = Kafka::start();
    for topic in ["j", "k", "m"] {
        kafka.topic(topic, 3);
    }
    let create = |name: &str, columns: &str, more: &str| {
        format!("create external stream {name} ({columns}) settings {}{more}", kafka.settings(name))
    };
    // Rows of one INSERT in as few messages as hold them.
    world.run(&create("j", "a int, b string", "")).await.unwrap();
    world.run("insert into j (a, b) values (1, 'x'), (2, 'y')").await.unwrap();
    world
        .run("create external stream jr (m string) settings type = 'kafka', brokers = '', topic = 'j'")
        .await
        .unwrap_err();
    let raw = format!("create external stream jraw (m string) settings {}", kafka.settings("j"));
    world.run(&raw).await.unwrap();
    assert_eq!(told(&mut world, "select m from table(jraw)").await, "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n");
    world.run("insert into j (a, b) select number, 'many' from numbers(100000)").await.unwrap();
    assert_eq!(told(&mut world, "select count(), sum(a) from table(j)").await, "100002 4999950003");
    assert_eq!(
        told(&mut world, "select max(length(m)) <= 1048576, count() > 2 from table(jraw)").await,
        "Bool(true) Bool(true)"
    );
    // A message for each row, with its key, in the partition that the expression says.
    let keyed = ", message_key = 'b', sharding_expr = 'a'";
    world.run(&create("k", "a int, b string", keyed)).await.unwrap();
    world.run("insert into k (a, b) values (0, 'zero'), (1, 'one'), (5, 'five')").await.unwrap();
    let rows = "select a, _tp_shard, _tp_message_key from table(k) order by a";
    assert_eq!(told(&mut world, rows).await, "0 0 zero; 1 1 one; 5 2 five");
    // Key, headers and time as columns.
    let own = "a int, _tp_message_key nullable(string), _tp_message_headers map(string, string)";
    world.run(&create("m", own, "")).await.unwrap();
    let insert = "insert into m (a, _tp_message_key, _tp_message_headers, _tp_time) values (7, 'seven', {'h': 'v'}, '2024-01-02 03:04:05.678')";
    world.run(insert).await.unwrap();
    let rows = "select a, _tp_message_key, to_string(_tp_message_headers), to_string(_tp_time) from table(m)";
    assert_eq!(told(&mut world, rows).await, "7 seven {'h':'v'} 2024-01-02 03:04:05.678");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_close_by_the_time_of_messages() {
    let mut world = World::open();
    let kafka = Kafka::start();
    kafka.topic("w", 1);
    world.run(&format!("create external stream w (a int) settings {}", kafka.settings("w"))).await.unwrap();
    let windows = "select to_string(window_start), count(), sum(a) from tumble(w, 5s) group by window_start";
    let mut running = world.start(windows).await.unwrap();
    for (n, second) in [1, 2, 4, 6, 11].into_iter().enumerate() {
        kafka.send("w", 0, None, &format!("{{\"a\": {n}}}"), Some(1_700_000_000_000 + second * 1_000));
    }
    assert_eq!(next(&mut running, 2).await, ["2023-11-14 22:13:20.000 3 3", "2023-11-14 22:13:25.000 1 3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_read_topics_once_and_write_to_them_over_a_restart() {
    let mut world = World::open();
    let kafka = Kafka::start();
    kafka.topic("in", 2);
    kafka.topic("out", 1);
    let source = format!("create external stream i (a int) settings {}", kafka.settings("in"));
    let sink = format!("create external stream o (a int, twice int) settings {}", kafka.settings("out"));
    world.run(&source).await.unwrap();
    world.run(&sink).await.unwrap();
    world
        .run("create materialized view v as select a, _tp_sn as sn from i settings checkpoint_interval = 1")
        .await
        .unwrap();
    world.run("create materialized view s as select count() as c, sum(a) as t from i emit on update").await.unwrap();
    world
        .run("create materialized view w into o as select a, a * 2 as twice from i settings checkpoint_interval = 1")
        .await
        .unwrap();
    for n in 0..10 {
        kafka.send("in", n % 2, None, &format!("{{\"a\": {n}}}"), None);
    }
    becomes(&mut world, "select count(), sum(a) from table(v)", "10 45").await;
    becomes(&mut world, "select max(c), max(t) from table(s)", "10 45").await;
    becomes(
        &mut world,
        "select count() >= 10, sum_distinct(twice) from (select distinct twice from table(o))",
        "Bool(true) 90",
    )
    .await;
    world.reopen().await;
    for n in 10..20 {
        kafka.send("in", n % 2, None, &format!("{{\"a\": {n}}}"), None);
    }
    becomes(&mut world, "select count(), sum(a), max(sn) from table(v)", "20 190 9").await;
    becomes(&mut world, "select max(c), max(t) from table(s)", "20 190").await;
    // At least once: no row is missing.
    becomes(&mut world, "select count(), sum(twice) from (select distinct twice from table(o))", "20 380").await;
    assert_eq!(code(&mut world, "drop stream o").await, Code::HAVE_DEPENDENT_OBJECTS);
    for view in ["v", "s", "w"] {
        world.run(&format!("drop view {view}")).await.unwrap();
    }
    world.run("drop stream o").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_gone_is_an_error_that_names_it() {
    let mut world = World::open();
    let kafka = Kafka::start();
    kafka.topic("t", 1);
    let create = format!("create external stream e (a int) settings {}", kafka.settings("t"));
    world.run(&format!("{create}, reconnect_timeout_ms = 1500, properties = 'message.timeout.ms=1000'")).await.unwrap();
    let mut running = world.start("select a from e").await.unwrap();
    kafka.send("t", 0, None, r#"{"a": 1}"#, None);
    assert_eq!(next(&mut running, 1).await, ["1"]);
    world.run("insert into e (a) values (2)").await.unwrap();
    assert_eq!(next(&mut running, 1).await, ["2"]);
    kafka.cluster.broker_down(1).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(30), running.next()).await.expect("no query hangs");
    let error = ended.map(|_| ()).unwrap_err();
    assert_eq!(error.code, Code::NETWORK_ERROR, "{error}");
    assert!(error.message.contains(&kafka.cluster.bootstrap_servers()), "{error}");
    let error = world.run("select count() from table(e)").await.unwrap_err();
    assert_eq!(error.code, Code::NETWORK_ERROR, "{error}");
    let error = world.run("insert into e (a) values (3)").await.unwrap_err();
    assert_eq!(error.code, Code::CANNOT_WRITE_TO_KAFKA, "{error}");
    drop(running);
    // The stream is there, and works again when the broker does.
    world.reopen().await;
    kafka.cluster.broker_up(1).unwrap();
    becomes(&mut world, "select count() > 1 from table(e)", "Bool(true)").await;
    world.run("insert into e (a) values (4)").await.unwrap();
    assert_eq!(told(&mut world, "select max(a) from table(e)").await, "4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_not_there_is_told_and_a_secret_is_not() {
    let mut world = World::open();
    let kafka = Kafka::start();
    kafka.topic("t", 1);
    let nothing = format!("create external stream n (a int) settings {}", kafka.settings("nothing"));
    let error = world.run(&nothing).await.unwrap_err();
    assert!(error.code == Code::RESOURCE_NOT_FOUND && error.message.contains("nothing"), "{error}");
    let secret = "username = 'u', password = 'canary-of-kafka', security_protocol = 'plaintext'";
    let create = format!("create external stream e (a int) settings {}, {secret}", kafka.settings("t"));
    world.run(&create).await.unwrap();
    let shown = told(&mut world, "show create e").await;
    assert!(shown.contains("[HIDDEN]") && !shown.contains("canary"), "{shown}");
    assert!(!told(&mut world, "select * from system.streams").await.contains("canary"));
    world.reopen().await;
    assert_eq!(told(&mut world, "select count() from table(e)").await, "0");
}
