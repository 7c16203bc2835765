//! What a supervisor sees of the engine's work, and what it can forbid.

use crate::kit::{World, rows};
use hydron_base::Code;
use hydron_board::{Kind, Protocol, Query};
use hydron_engine::place::text_hash;
use hydron_engine::{CrashReport, InsertOutcome, QueryOptions};
use hydron_types::Value;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

fn running(world: &World, id: &str) -> &'static Query {
    world.board.queries().iter().find(|q| q.is_running() && q.id.get() == id).expect("the query has a place")
}

fn options(id: &str) -> QueryOptions {
    QueryOptions { query_id: id.to_string(), interface: "test", connection: Some(3), ..QueryOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_query_stands_on_the_board() {
    let mut world = World::open();
    world.board.connections()[3].open(Protocol::Http);
    world.run("create stream s (a int)").await.unwrap();
    let text = "select a from s settings max_threads = 2";
    let stream = world.start_with(text, options("stream")).await.unwrap();
    let query = running(&world, "stream");
    assert_eq!((query.kind(), query.phase()), (Kind::Stream, "run"));
    assert_eq!(query.hash.load(Ordering::Relaxed), text_hash(text));
    assert_eq!([query.text.get(), query.user.get(), query.interface.get()], [text, "me", "test"]);
    assert!(query.settings.get().contains("max_threads = '2'"), "{}", query.settings.get());
    let index = world.board.connections()[3].query().unwrap();
    assert_eq!(world.board.queries()[index].id.get(), "stream");
    drop(stream);
    assert_eq!(world.board.connections()[3].query(), None);
    assert!(query.is_free());
    let read = world.start_with("select 1", options("read")).await.unwrap();
    assert_eq!(running(&world, "read").kind(), Kind::Read);
    rows(read).await.unwrap();
    world.board.connections()[3].close();
}

/// `access context` is an error on a thread that works for no query.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_thread_wears_the_mark_of_its_query() {
    let mut world = World::open();
    world.run("create stream s (a int)").await.unwrap();
    world.run("insert into s (a) values (1), (2), (3)").await.unwrap();
    for text in [
        "select trap('access context'), a from s limit 3 settings seek_to = 'earliest'",
        "select a, sum(trap('access context')) from s group by a limit 1 emit periodic 1s \
            settings seek_to = 'earliest', max_threads = 2",
        "insert into s (a) values (trap('access context'))",
        "insert into s (a) select trap('access context') from numbers(10)",
        "select a.number from numbers(1000000) as a join numbers(1000) as b on a.number = b.number \
            where trap('access context') = 0 order by a.number",
        "select trap('access context')",
        "select count() from numbers(1000000) where trap('access context') = 0",
        "select number % 10 as k, sum(trap('access context')) from numbers(500000) group by k",
        "select (select trap('access context'))",
    ] {
        world.run(text).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantined_query_is_refused_until_it_is_lifted() {
    let mut world = World::open();
    let refused = &world.board.quarantine()[0];
    refused.incident.set("i1");
    refused.text.set("select 7");
    refused.set(text_hash("select 7"));
    assert_eq!(world.run("select 7").await.unwrap_err().code, Code::QUERY_QUARANTINED);
    world.run("select 8").await.unwrap();
    let listed = world.run("select query_hash, incident_id, query from system.quarantine").await.unwrap();
    let hash = format!("{:016x}", text_hash("select 7"));
    assert_eq!(listed, [[hash.as_str(), "i1", "select 7"].map(Value::string)]);
    let unknown = world.run("SYSTEM LIFT QUARANTINE 'i2'").await.unwrap_err();
    assert_eq!(unknown.code, Code::BAD_ARGUMENTS);
    world.run("SYSTEM LIFT QUARANTINE 'i1'").await.unwrap();
    world.run("select 7").await.unwrap();
    assert!(world.run("select * from system.quarantine").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn safe_mode_reads_and_changes_the_catalog() {
    let mut world = World::open();
    world.run("create stream s (a int)").await.unwrap();
    world.board.worker().set_safe_mode(true);
    let refused = world.run("insert into s (a) values (1)").await.unwrap_err();
    let reads = world.run("select count() from table(s)").await;
    let changes = world.run("create stream t (a int)").await;
    world.run("SYSTEM LEAVE SAFE MODE").await.unwrap();
    assert_eq!(refused.code, Code::SERVER_IN_SAFE_MODE);
    assert_eq!(reads.unwrap(), [[Value::UInt(0)]]);
    changes.unwrap();
    world.run("insert into s (a) values (1)").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_reports_are_a_table() {
    let mut world = World::open();
    assert!(world.run("select * from system.crash_log").await.unwrap().is_empty());
    let report = CrashReport {
        incident_id: "i1".into(),
        signal: 11,
        query_id: "q1".into(),
        trace: vec![1, 2],
        trace_full: vec!["main".into()],
        wall_us: 1_700_000_000_000_000,
        ..CrashReport::default()
    };
    let path = CrashReport::path(world.data_dir(), "i1");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, serde_json::to_vec(&report).unwrap()).unwrap();
    let text = "select incident_id, signal, query_id, length(trace), trace_full[1], event_time = '2023-11-14 22:13:20'
        from system.crash_log";
    let row = [
        Value::string("i1"),
        Value::Int(11),
        Value::string("q1"),
        Value::UInt(2),
        Value::string("main"),
        Value::Bool(true),
    ];
    assert_eq!(world.run(text).await.unwrap(), [row]);
}

/// The board's place of an INSERT as it was at some moment, kept as a crash keeps it.
fn orphan_of(world: &World, query: &Query) -> &'static Query {
    let orphan = world.board.queries().last().unwrap();
    orphan.open(None, query.started_us());
    orphan.set_kind(Kind::Insert);
    orphan.stream.set_bytes(&query.stream.bytes());
    orphan.insert.set_bytes(&query.insert.bytes());
    orphan.token.set(&query.token.get());
    orphan.records.store(query.records.load(Ordering::Relaxed), Ordering::Relaxed);
    orphan.all_submitted.store(query.all_submitted.load(Ordering::Relaxed), Ordering::Relaxed);
    orphan.orphan();
    orphan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_the_log_tells_what_became_of_an_insert() {
    let mut world = World::open();
    world.run("create stream s (a int)").await.unwrap();
    world.run("insert into s (a) values (0)").await.unwrap();
    let insert = "insert into s (a) settings idempotent_id = 'k' select number from numbers(200000)";
    let mut insert = world.start_with(insert, options("insert")).await.unwrap();
    let query = running(&world, "insert");
    assert!(insert.next().await.unwrap().is_none());
    let orphan = orphan_of(&world, query);
    drop(insert);
    assert!(orphan.records.load(Ordering::Relaxed) > 1, "the test wants several records");
    world.reopen().await;
    world.run("insert into s (a) values (1)").await.unwrap();
    assert_eq!(world.engine.insert_outcome(orphan), InsertOutcome::Committed);

    orphan.all_submitted.store(0, Ordering::Relaxed);
    assert_eq!(world.engine.insert_outcome(orphan), InsertOutcome::Unknown { token: "k".into() });
    orphan.all_submitted.store(1, Ordering::Relaxed);
    orphan.records.fetch_add(1, Ordering::Relaxed);
    assert_eq!(world.engine.insert_outcome(orphan), InsertOutcome::Unknown { token: "k".into() });
    orphan.insert.set_bytes(&[9; 16]);
    assert_eq!(world.engine.insert_outcome(orphan), InsertOutcome::NotCommitted);
    orphan.insert.clear();
    assert_eq!(world.engine.insert_outcome(orphan), InsertOutcome::NotCommitted);
    orphan.insert.set_bytes(&[9; 16]);
    orphan.stream.set_bytes(&[9; 16]);
    assert_eq!(world.engine.insert_outcome(orphan), InsertOutcome::Unknown { token: "k".into() });
    orphan.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_queries_of_a_dead_server_have_spilled_is_removed() {
    let mut world = World::open();
    let spilled = world.data_dir().join("tmp").join("of a query");
    std::fs::create_dir_all(&spilled).unwrap();
    std::fs::write(spilled.join("rows"), "rows").unwrap();
    world.reopen().await;
    assert!(!spilled.exists(), "it is set aside before the first query");
    let names = || std::fs::read_dir(world.data_dir()).unwrap().flatten().map(|e| e.file_name()).collect::<Vec<_>>();
    let is_left = || names().iter().any(|n| n.to_string_lossy().starts_with("tmp."));
    let since = Instant::now();
    while is_left() && since.elapsed() < Duration::from_secs(10) {
        tokio::task::yield_now().await;
    }
    assert!(!is_left(), "{:?}", names());
    assert!(world.data_dir().join("tmp").is_dir(), "queries find their directory");
}
