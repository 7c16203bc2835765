//! ALTER while rows are on their way and queries run.

use crate::kit::{World, row_of};
use hydron_engine::{Item, Running};
use hydron_types::Value;

/// The next rows of a streaming query.
async fn next(running: &mut Running, count: usize) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    while rows.len() < count {
        match running.next().await.unwrap() {
            Some(Item::Rows(batch)) => rows.extend((0..batch.rows()).map(|row| row_of(&batch, row))),
            Some(_) => {}
            None => break,
        }
    }
    rows
}

fn text(s: &str) -> Value {
    Value::string(s)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn altered_streams_are_the_same_after_a_restart() {
    let mut world = World::open();
    for sql in [
        "create stream s (k int32, a string) settings shards = 2",
        "insert into s (k, a) values (1, 'x')",
        "optimize stream s",
        "alter stream s rename column a to b, add column n int32 default k + 100",
        "insert into s (k, b, n) values (2, 'y', 7)",
        "alter stream s modify column k int64",
        "insert into s (k, b) values (3, 'z')",
    ] {
        world.run(sql).await.unwrap();
    }
    let expected = vec![
        vec![Value::Int(1), text("x"), Value::Int(101)],
        vec![Value::Int(2), text("y"), Value::Int(7)],
        vec![Value::Int(3), text("z"), Value::Int(103)],
    ];
    let sql = "select k, b, n from table(s) order by k";
    for time in 0..3 {
        assert_eq!(world.run(sql).await.unwrap(), expected, "opened {time} times");
        world.reopen().await;
    }
    let columns = "select name, type from system.columns where table = 's' and name = 'k'";
    assert_eq!(world.run(columns).await.unwrap(), vec![vec![text("k"), text("int64")]]);
    world.run("optimize stream s").await.unwrap();
    assert_eq!(world.run(sql).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_runs_goes_on_with_its_columns() {
    let mut world = World::open();
    world.run("create stream s (k int32, a string default 'none', d int32)").await.unwrap();
    let mut old = world.start("select k, a, d from s").await.unwrap();
    world.run("insert into s (k, a, d) values (1, 'x', 5)").await.unwrap();
    assert_eq!(next(&mut old, 1).await, vec![vec![Value::Int(1), text("x"), Value::Int(5)]]);
    world.run("alter stream s drop column d, rename column a to b, add column c int32").await.unwrap();
    let mut new = world.start("select k, b, c from s").await.unwrap();
    world.run("insert into s (k, b, c) values (2, 'y', 9)").await.unwrap();
    assert_eq!(next(&mut old, 1).await, vec![vec![Value::Int(2), text("y"), Value::Int(0)]]);
    assert_eq!(next(&mut new, 1).await, vec![vec![Value::Int(2), text("y"), Value::Int(9)]]);
    // From the beginning: records and parts of both versions, once from history and once from the log.
    world.run("optimize stream s").await.unwrap();
    for from in [
        "select k, b, c from s where _tp_time > earliest_ts()",
        "select k, b, c from s where _tp_time > earliest_ts() settings enable_backfill_from_historical_store = 0",
    ] {
        let mut all = world.start(from).await.unwrap();
        let rows = next(&mut all, 2).await;
        assert_eq!(rows[0], vec![Value::Int(1), text("x"), Value::Int(0)], "{from}");
        assert_eq!(rows[1], vec![Value::Int(2), text("y"), Value::Int(9)], "{from}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_inserted_meanwhile_are_all_there() {
    let mut world = World::open();
    world.run("create stream s (k int32)").await.unwrap();
    let engine = world.engine.clone();
    let writer = tokio::spawn(async move {
        let mut session = engine.session("me", "");
        for k in 0..60 {
            let sql = format!("insert into s (k) values ({k})");
            let options = hydron_engine::QueryOptions { interface: "test", ..Default::default() };
            let running = engine.execute(&mut session, sql, hydron_engine::Input::None, options).await.unwrap();
            crate::kit::rows(running).await.unwrap();
        }
    });
    for round in 0..6 {
        world.run(&format!("alter stream s add column c{round} int32 default k + {round}")).await.unwrap();
        world.run("optimize stream s").await.unwrap();
    }
    writer.await.unwrap();
    let sums = world.run("select count(), sum(k), sum(c0 - k), sum(c5 - k) from table(s)").await.unwrap();
    assert_eq!(sums, vec![vec![Value::UInt(60), Value::Int(59 * 30), Value::Int(0), Value::Int(300)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_works_with_the_columns_of_before_writes_no_newer_rows_back() {
    let mut world = World::open();
    world.run("create stream s (k int32)").await.unwrap();
    world.run("insert into s (k) values (1)").await.unwrap();
    let state = world.engine.inner().catalog.snapshot();
    // As the compactor may hold it when the ALTER comes.
    let before = std::sync::Arc::clone(state.existing("default", "s").unwrap().as_stream().unwrap().store().unwrap());
    world.run("alter stream s add column c string default 'none'").await.unwrap();
    world.run("insert into s (k, c) values (2, 'given')").await.unwrap();
    before.compact_all().await.unwrap();
    let sql = "select k, c from table(s) order by k";
    let expected = vec![vec![Value::Int(1), text("none")], vec![Value::Int(2), text("given")]];
    assert_eq!(world.run(sql).await.unwrap(), expected);
    world.run("optimize stream s").await.unwrap();
    before.upgrade_all().await.unwrap();
    assert!(before.mutate(std::sync::Arc::new(|rows| Ok(Some(rows.clone())))).await.is_err());
    assert_eq!(world.run(sql).await.unwrap(), expected);
}
