//! A panic is the error of one query, however often it comes.

use crate::kit::{World, rows};
use hydron_base::{Code, Result};
use hydron_engine::{Engine, Input, QueryOptions};
use std::sync::Once;
use std::time::{Duration, Instant};

/// Panics that are made on purpose are not told.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().downcast_ref::<String>().is_some_and(|m| m.starts_with("trap: ")) {
                usual(info);
            }
        }));
    });
}

async fn panics(engine: &Engine, text: &str) -> Duration {
    let mut session = engine.session("me", "");
    session.settings.set("log_queries", "0").unwrap();
    let since = Instant::now();
    let answer: Result<_> = async {
        let options = QueryOptions::default();
        rows(engine.execute(&mut session, text.to_string(), Input::None, options).await?).await
    }
    .await;
    let error = answer.expect_err(text);
    assert_eq!(error.code, Code::LOGICAL_ERROR, "{text}: {error}");
    assert!(error.message.contains("the query panicked: trap: "), "{text}: {error}");
    since.elapsed()
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_anywhere_is_the_querys_error() {
    quiet();
    let mut world = World::open();
    world.run("create stream s (a int)").await.unwrap();
    world.run("insert into s (a) values (1), (2)").await.unwrap();
    for text in [
        "select trap('panic')",
        "select trap('panic in drop alone')",
        "select sum(trap('panic')) from numbers(10)",
        "select (select trap('panic'))",
        "select a from table(s) where trap('panic') = 0 order by a",
        "insert into s (a) select trap('panic')",
        "insert into s (a) values (trap('panic'))",
        "select trap('panic'), a from s settings seek_to = 'earliest'",
        "select trap('panic in drop alone'), count() from s group by a settings seek_to = 'earliest'",
    ] {
        panics(&world.engine, text).await;
    }
    assert_eq!(world.run("select count() from table(s)").await.unwrap(), [[hydron_types::Value::UInt(2)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_panics_leave_nothing_behind() {
    const WARM: usize = 2_000;
    const ALL: usize = 10_000;
    // Pages that allocators keep; without a limit 8,000 leaks of one query would be tens of megabytes.
    const GROWTH_MAX: usize = 4 << 20;
    quiet();
    let world = World::open();
    let tasks = || world.engine.inner().cpu.handle().metrics().num_alive_tasks();
    let before = tasks();
    let (mut resident, mut times) = (0, Vec::with_capacity(ALL));
    for n in 0..ALL {
        if n == WARM {
            resident = resident_bytes();
        }
        times.push(panics(&world.engine, "select trap('panic')").await);
    }
    times.sort();
    let grown = resident_bytes().saturating_sub(resident);
    println!("grown {grown} bytes; p50 {:?}, p99 {:?}", times[ALL / 2], times[ALL / 100 * 99]);
    assert!(times[ALL / 2] <= Duration::from_millis(50), "{:?}", times[ALL / 2]);
    assert!(grown <= GROWTH_MAX, "{grown} bytes more are resident");
    assert!(world.engine.queries().running().is_empty());
    let places = || world.board.queries().iter().filter(|q| q.is_running()).count();
    // The last tasks see a moment later that nobody waits for them.
    let since = Instant::now();
    while (tasks() > before || places() > 0) && since.elapsed() < Duration::from_secs(5) {
        tokio::task::yield_now().await;
    }
    assert_eq!((tasks().saturating_sub(before), places()), (0, 0), "tasks, places on the board");
}
