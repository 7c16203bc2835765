//! Queries that outlive their connection: SUBSCRIBE TO, RECOVER FROM, UNSUBSCRIBE TO, and `exec_mode`.

use crate::kit::World;
use hydron_base::{Code, Settings};
use hydron_engine::{Item, QueryOptions, Running};
use hydron_types::Value;
use hydron_types::column::value_at;
use std::time::Duration;

async fn subscribe(world: &mut World, id: &str, text: &str) -> hydron_base::Result<Running> {
    let options = QueryOptions { query_id: id.to_string(), interface: "test", ..QueryOptions::default() };
    world.start_with(text, options).await
}

/// The next rows, their first column as numbers.
async fn next(running: &mut Running) -> Vec<i64> {
    let item = tokio::time::timeout(Duration::from_secs(20), running.next()).await.expect("rows in time");
    let Some(Item::Rows(batch)) = item.unwrap() else { panic!("the query ended") };
    let value = |row| match value_at(batch.column(0), &batch.schema.fields[0].ty, row) {
        Value::Int(n) => n,
        Value::UInt(n) => n as i64,
        other => panic!("{other:?}"),
    };
    (0..batch.rows()).map(value).collect()
}

/// Reads on until the state of a query is on disk in which it has read the record `sequence`; -1: any state.
async fn kept(world: &World, id: &str, sequence: i64, running: &mut Running) {
    let keeper = world.engine.inner().keepers.running().into_iter().find(|k| k.id() == id).expect("a kept query");
    let mut at = keeper.watch();
    let position = |at: &hydron_engine::checkpoint::KeptAt| {
        at.manifest.as_ref().map(|m| m.sources[0].positions[0].1).is_some_and(|last| last >= sequence)
    };
    let reached = async { at.wait_for(position).await.map(|_| ()) };
    tokio::select! {
        reached = tokio::time::timeout(Duration::from_secs(20), reached) => reached.expect("an epoch in time").unwrap(),
        item = running.next() => panic!("{item:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_goes_on_with_its_state_after_a_kill_and_after_a_restart() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    let text = "subscribe to select sum(i) as t from s emit on update settings checkpoint_interval = 1";
    let mut running = subscribe(&mut world, "q", text).await.unwrap();
    world.run("insert into s (i) values (1), (2)").await.unwrap();
    assert_eq!(next(&mut running).await, [3]);
    kept(&world, "q", 0, &mut running).await;
    drop(running);
    world.run("insert into s (i) values (10)").await.unwrap();
    let mut running = world.start("recover from 'q'").await.unwrap();
    assert_eq!(&*running.query_id, "q");
    assert_eq!(next(&mut running).await, [13]);
    let again = world.start("recover from 'q'").await.err().expect("it runs");
    assert_eq!(again.code, Code::QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING);
    drop(running);
    world.reopen().await;
    world.session = world.engine.session("me", "");
    world.run("insert into s (i) values (100)").await.unwrap();
    let mut running = world.start("recover from 'q'").await.unwrap();
    let mut last = next(&mut running).await;
    // The row behind the last checkpoint comes again, or it was in one.
    while last != [113] {
        assert_eq!(last, [13]);
        last = next(&mut running).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_read_from_the_log_so_that_it_can_be_gone_on_with() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    for i in 0..5 {
        world.run(&format!("insert into s (i) values ({i})")).await.unwrap();
    }
    world.run("optimize stream s").await.unwrap();
    world.run("insert into s (i) values (5)").await.unwrap();
    let text = "subscribe to select i from s settings seek_to = 'earliest', checkpoint_interval = 1";
    let mut running = subscribe(&mut world, "q", text).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 6 {
        seen.extend(next(&mut running).await);
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    kept(&world, "q", 5, &mut running).await;
    drop(running);
    world.run("insert into s (i) values (6)").await.unwrap();
    let mut running = world.start("recover from q").await.unwrap();
    assert_eq!(next(&mut running).await, [6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_go_on_says_why() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    let code = |r: hydron_base::Result<Running>| r.err().expect("an error").code;
    assert_eq!(code(world.start("recover from 'nobody'").await), Code::RESOURCE_NOT_FOUND);
    assert_eq!(code(world.start("unsubscribe to 'nobody'").await), Code::RESOURCE_NOT_FOUND);
    assert_eq!(code(world.start("subscribe to select 1").await), Code::NOT_IMPLEMENTED);
    assert_eq!(code(world.start("subscribe to select i from table(s)").await), Code::NOT_IMPLEMENTED);

    let mut running = subscribe(&mut world, "q", "subscribe to select i from s").await.unwrap();
    kept(&world, "q", -1, &mut running).await;
    world.session = world.engine.session("somebody else", "");
    assert_eq!(code(world.start("unsubscribe to 'q'").await), Code::ACCESS_DENIED);
    world.session = world.engine.session("me", "");
    world.run("unsubscribe to 'q'").await.unwrap();
    assert_eq!(running.next().await.unwrap_err().code, Code::QUERY_WAS_CANCELLED, "it is ended first");
    drop(running);
    assert_eq!(code(world.start("recover from 'q'").await), Code::QUERY_WAS_CANCELLED);

    let mut running = subscribe(&mut world, "q", "subscribe to select i from s").await.unwrap();
    kept(&world, "q", -1, &mut running).await;
    drop(running);
    world.run("drop stream s").await.unwrap();
    world.run("create stream s (i int64)").await.unwrap();
    assert_eq!(code(world.start("recover from 'q'").await), Code::RECOVER_CHECKPOINT_FAILED, "another stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_setting_exec_mode_says_the_same() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    let mode = |mode: &str| {
        let mut settings = Settings::default();
        settings.set("exec_mode", mode).unwrap();
        QueryOptions { query_id: "q".to_string(), settings, interface: "test", ..QueryOptions::default() }
    };
    let text = "select sum(i) from s emit on update";
    let mut running = world.start_with(text, mode("subscribe")).await.unwrap();
    world.run("insert into s (i) values (1)").await.unwrap();
    assert_eq!(next(&mut running).await, [1]);
    kept(&world, "q", -1, &mut running).await;
    drop(running);
    let other = world.start_with("select max(i) from s emit on update", mode("recover")).await;
    assert_eq!(other.err().expect("an error").code, Code::RECOVER_CHECKPOINT_FAILED);
    let mut running = world.start_with(text, mode("recover")).await.unwrap();
    world.run("insert into s (i) values (5)").await.unwrap();
    while next(&mut running).await != [6] {}
    drop(running);
    drop(world.start_with(text, mode("unsubscribe")).await.unwrap());
    let gone = world.start_with(text, mode("recover")).await;
    assert_eq!(gone.err().expect("an error").code, Code::QUERY_WAS_CANCELLED);
    let wrong = world.start_with(text, mode("sometimes")).await;
    assert_eq!(wrong.err().expect("an error").code, Code::INVALID_SETTING_VALUE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_on_several_tasks_is_cut_across_all_of_them() {
    let mut world = World::open();
    world.run("create stream s (i int64) settings shards = 2, sharding_expr = 'i'").await.unwrap();
    let text = "subscribe to select sum(i) from s group by i % 8 emit on update settings max_threads = 3, checkpoint_interval = 1";
    let mut running = subscribe(&mut world, "q", text).await.unwrap();
    world.run("insert into s (i) select number from numbers(16)").await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 8 || seen.iter().rev().take(8).sum::<i64>() != 120 {
        seen.extend(next(&mut running).await);
        assert!(seen.len() <= 16, "{seen:?}");
    }
    kept(&world, "q", 0, &mut running).await;
    drop(running);
    let mut running = world.start("recover from 'q'").await.unwrap();
    world.run("insert into s (i) values (80)").await.unwrap();
    let mut last = next(&mut running).await;
    // Answers to what was not in the last state yet may come first.
    while last != [8 + 80] {
        last = next(&mut running).await;
    }
}
