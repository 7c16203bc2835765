//! Closing an engine under load: everyone is told why, in time.

use crate::kit::{World, rows};
use hydron_base::Code;
use hydron_engine::{Input, QueryOptions};
use hydron_types::Value;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_engine_closes_at_once() {
    let mut world = World::open();
    for n in 0..20 {
        world.run(&format!("create stream s{n} (a int)")).await.unwrap();
        world.run(&format!("insert into s{n} (a) values (1)")).await.unwrap();
    }
    let since = Instant::now();
    assert_eq!(world.engine.close(Duration::from_secs(10)).await, 0);
    // The gate is 0.2 s for a build that is optimized on a machine that is idle.
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    let refused = world.run("select 1").await.unwrap_err();
    assert_eq!(refused.code, Code::SERVER_STOPPING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_server_stopping_and_acknowledged_rows_stay() {
    let mut world = World::open();
    world.run("create stream s (a int)").await.unwrap();
    let mut streams = Vec::new();
    for n in 0..50 {
        let text = format!("select count() from s where a % 50 != {n} group by a");
        streams.push(tokio::spawn(rows(world.start(&text).await.unwrap())));
    }
    let killed = world.start("select a from s").await.unwrap();
    killed.cancel_token().cancel();
    let engine = world.engine.clone();
    let writer = tokio::spawn(async move {
        let mut session = engine.session("me", "");
        let mut acknowledged = 0_u64;
        loop {
            let text = format!("insert into s (a) values ({acknowledged})");
            let ran =
                async { rows(engine.execute(&mut session, text, Input::None, QueryOptions::default()).await?).await };
            match ran.await {
                Ok(_) => acknowledged += 1,
                Err(e) => return (acknowledged, e.code),
            }
        }
    });
    while world.engine.queries().total.load(std::sync::atomic::Ordering::Relaxed) < 80 {
        tokio::task::yield_now().await;
    }
    let since = Instant::now();
    assert_eq!(world.engine.close(Duration::from_secs(3)).await, 1, "the killed one is still held by its reader");
    assert!(since.elapsed() < Duration::from_secs(6), "{:?}", since.elapsed());
    for stream in streams {
        assert_eq!(stream.await.unwrap().unwrap_err().code, Code::SERVER_STOPPING);
    }
    assert_eq!(rows(killed).await.unwrap_err().code, Code::QUERY_WAS_CANCELLED);
    let (acknowledged, code) = writer.await.unwrap();
    assert_eq!(code, Code::SERVER_STOPPING);
    world.reopen().await;
    let stored = world.run("select count() from table(s)").await.unwrap();
    assert!(matches!(stored[0][0], Value::UInt(n) if n >= acknowledged && n <= acknowledged + 1), "{stored:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_is_still_a_kill() {
    let mut world = World::open();
    world.run("create stream s (a int)").await.unwrap();
    let options = QueryOptions { query_id: "k".into(), ..QueryOptions::default() };
    let stream = tokio::spawn(rows(world.start_with("select a from s", options).await.unwrap()));
    world.run("kill query where query_id = 'k' sync").await.unwrap();
    assert_eq!(stream.await.unwrap().unwrap_err().code, Code::QUERY_WAS_CANCELLED);
}

/// A fault shuts the gate of the log as well as that of the answer: the supervisor has told the client that nothing was
/// stored, and the threads of a dying worker run on for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_that_comes_after_a_fault_stores_nothing() {
    let mut world = World::open();
    world.run("create stream s (a int)").await.unwrap();
    world.board.worker().set_crashed();
    let waits = tokio::time::timeout(Duration::from_millis(200), world.run("insert into s (a) values (1)")).await;
    assert!(waits.is_err(), "it neither fails nor succeeds: {waits:?}");
    world.board.worker().reset();
    world.reopen().await;
    assert_eq!(world.run("select count() from table(s)").await.unwrap(), vec![vec![Value::UInt(0)]]);
}
