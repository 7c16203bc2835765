//! External streams of log files, and what CREATE says of external streams of any kind.

use crate::kit::{World, becomes, told};
use hydron_base::Code;
use std::io::Write;
use std::path::Path;

async fn code(world: &mut World, text: &str) -> Code {
    world.run(text).await.expect_err(text).code
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn create(name: &str, dir: &Path, more: &str) -> String {
    format!(
        "create external stream {name} (raw string) settings type = 'log', log_dir = '{}', log_files = 'app.*\\\\.log'{more}",
        dir.display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_says_what_is_wrong() {
    let mut world = World::open();
    let kafka = "create external stream k (a int) settings type = 'kafka'";
    assert_eq!(code(&mut world, "create external stream k (a int)").await, Code::INVALID_SETTING_VALUE);
    assert_eq!(code(&mut world, kafka).await, Code::INVALID_SETTING_VALUE);
    assert_eq!(code(&mut world, &format!("{kafka}, brokers = '127.0.0.1:1'")).await, Code::INVALID_SETTING_VALUE);
    let at = format!("{kafka}, brokers = '127.0.0.1:1', topic = 't', reconnect_timeout_ms = 500");
    let unreachable = world.run(&at).await.unwrap_err();
    assert_eq!(unreachable.code, Code::NETWORK_ERROR, "{unreachable}");
    assert!(unreachable.message.contains("127.0.0.1:1"), "{unreachable}");
    for (more, wanted) in [
        ("security_protocol = 'tls'", Code::INVALID_SETTING_VALUE),
        ("properties = 'group.id=x'", Code::INVALID_SETTING_VALUE),
        ("properties = 'no.such.property=x'", Code::INVALID_SETTING_VALUE),
        ("kafka_schema_registry_url = 'http://r'", Code::NOT_IMPLEMENTED),
        ("data_format = 'Avro'", Code::NOT_IMPLEMENTED),
        ("data_format = 'Nothing'", Code::UNKNOWN_FORMAT),
        ("message_key = 'b'", Code::UNKNOWN_IDENTIFIER),
        ("message_key = 'to_string(a)', one_message_per_row = false", Code::INVALID_SETTING_VALUE),
        ("no_such_setting = 1", Code::UNKNOWN_SETTING),
    ] {
        assert_eq!(code(&mut world, &format!("{at}, {more}")).await, wanted, "{more}");
    }
    let pulsar = "create external stream p (a int) settings type = 'pulsar', service_url = 'x'";
    assert_eq!(code(&mut world, pulsar).await, Code::NOT_IMPLEMENTED);
    let nowhere = create("l", &world.data_dir().join("nowhere"), "");
    assert_eq!(code(&mut world, &nowhere).await, Code::FILE_DOESNT_EXIST);
    assert_eq!(told(&mut world, "select count() from system.streams where database = 'default'").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_files_are_read_as_stream_and_table_and_are_there_after_a_restart() {
    let mut world = World::open();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("app.log");
    append(&log, "2024-01-02 03:04:05.678 one\n2024-01-02 03:04:06.000 two\n");
    append(&dir.path().join("other.txt"), "not mine\n");
    let times = ", timestamp_regex = '^(\\\\d{4}-\\\\d\\\\d-\\\\d\\\\d \\\\d\\\\d:\\\\d\\\\d:\\\\d\\\\d\\\\.\\\\d+)'";
    world.run(&create("l", dir.path(), times)).await.unwrap();
    world.run(&create("l", dir.path(), times).replace("stream l", "stream if not exists l")).await.unwrap();
    assert_eq!(code(&mut world, &create("l", dir.path(), times)).await, Code::STREAM_ALREADY_EXISTS);
    let all = "select substring(raw, 25), to_string(_tp_time), _tp_sn from table(l)";
    let both = "one 2024-01-02 03:04:05.678 27; two 2024-01-02 03:04:06.000 55";
    assert_eq!(told(&mut world, all).await, both);
    assert_eq!(told(&mut world, "select count() from table(l)").await, "2");
    let described = told(&mut world, "select engine, create_table_query from system.streams where name = 'l'").await;
    assert!(described.starts_with("ExternalStream CREATE EXTERNAL STREAM default.l"), "{described}");
    assert!(told(&mut world, "show create l").await.contains("type = 'log'"));
    assert!(told(&mut world, "describe l").await.contains("raw string"));

    world.reopen().await;
    assert_eq!(told(&mut world, all).await, both);
    let mut tail = world.start("select raw from l where raw like '%three%' limit 1").await.unwrap();
    let mut past = world.start("select raw from l limit 3 settings seek_to = 'earliest'").await.unwrap();
    append(&log, "2024-01-02 03:04:07.000 three\n");
    assert!(tail.next().await.unwrap().is_some());
    let mut rows = 0;
    while let Some(hydron_engine::Item::Rows(batch)) = past.next().await.unwrap() {
        rows += batch.rows();
    }
    assert_eq!(rows, 3);
    drop((tail, past));

    assert_eq!(code(&mut world, "insert into l (raw) values ('x')").await, Code::NOT_IMPLEMENTED);
    assert_eq!(code(&mut world, "alter stream l add column b int").await, Code::NOT_IMPLEMENTED);
    assert_eq!(code(&mut world, "truncate stream l").await, Code::NOT_IMPLEMENTED);
    world.run("rename stream l to m").await.unwrap();
    assert_eq!(told(&mut world, "select count() from table(m)").await, "3");
    world.run("drop stream m").await.unwrap();
    assert_eq!(code(&mut world, "select * from table(m)").await, Code::UNKNOWN_STREAM);
    assert!(log.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_of_log_files_has_each_line_once_over_restart_and_rotation() {
    let mut world = World::open();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("app.log");
    append(&log, "1\n2\n");
    world.run(&create("l", dir.path(), "")).await.unwrap();
    let view = "create materialized view v as select to_int(raw) as n from l settings seek_to = 'earliest', checkpoint_interval = 1";
    world.run(view).await.unwrap();
    let rows = "select n from table(v) order by n";
    becomes(&mut world, rows, "1; 2").await;
    append(&log, "3\n");
    becomes(&mut world, rows, "1; 2; 3").await;
    world.reopen().await;
    append(&log, "4\n");
    std::fs::rename(&log, dir.path().join("app.1.log")).unwrap();
    append(&log, "5\n");
    becomes(&mut world, rows, "1; 2; 3; 4; 5").await;
    assert_eq!(code(&mut world, "drop stream l").await, Code::HAVE_DEPENDENT_OBJECTS);
}
