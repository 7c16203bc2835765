//! Access control where it meets streams: policies on tails, on views and over a restart.

use crate::kit::{World, row_of, rows};
use hydron_access::{Access, Entity, Object, Privilege};
use hydron_base::Code;
use hydron_engine::{Input, Item, QueryOptions, Running, Session};
use hydron_types::Value;
use std::sync::Arc;
use std::time::Duration;

async fn next_row(running: &mut Running) -> Vec<Value> {
    let wait = async {
        loop {
            match running.next().await.unwrap() {
                Some(Item::Rows(batch)) if batch.rows() > 0 => return row_of(&batch, 0),
                Some(_) => {}
                None => panic!("the stream has ended"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("a row")
}

async fn start(world: &World, session: &mut Session, text: &str) -> hydron_base::Result<Running> {
    world.engine.execute(session, text.to_string(), Input::None, QueryOptions::default()).await
}

async fn code(world: &World, session: &mut Session, text: &str) -> Option<Code> {
    match start(world, session, text).await {
        Ok(running) => rows(running).await.err().map(|e| e.code),
        Err(e) => Some(e.code),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_hides_rows_of_a_tail_of_a_view_and_of_a_materialized_view() {
    let mut world = World::open();
    for text in [
        "create stream s (i int64, k string)",
        "create user alice, bob",
        "grant select on default.* to alice, bob",
        "grant create view on default.* to bob",
        "create row policy p on s using k = 'open' to alice",
        "create row policy q on s using k != 'open' to bob",
    ] {
        world.run(text).await.unwrap();
    }
    let mut alice = world.engine.session("alice", "");
    let mut bob = world.engine.session("bob", "");
    assert_eq!(code(&world, &mut bob, "create view v as select i from s").await, None);
    assert_eq!(code(&world, &mut bob, "create materialized view mv as select i from s").await, None);
    let mut tail = start(&world, &mut alice, "select i from s").await.unwrap();
    let mut early =
        start(&world, &mut alice, "select i from s where k = 'open' and throw_if(i = 1) = 0").await.unwrap();
    let mut of_view = start(&world, &mut alice, "select i from v").await.unwrap();
    let mut of_mv = start(&world, &mut alice, "select i from mv").await.unwrap();
    world.run("insert into s (i, k) values (1, 'closed'), (2, 'open'), (3, 'closed')").await.unwrap();
    assert_eq!(next_row(&mut tail).await, [Value::Int(2)]);
    assert_eq!(next_row(&mut early).await, [Value::Int(2)], "what is hidden is never looked at");
    assert_eq!(next_row(&mut of_view).await, [Value::Int(1)], "a view is its owner's");
    assert_eq!(next_row(&mut of_mv).await, [Value::Int(1)], "and so is one that stores its rows");
    assert_eq!(code(&world, &mut alice, "create view w as select i from s").await, Some(Code::ACCESS_DENIED));
    drop((tail, early, of_view, of_mv));
    // The view runs on the board that other tests look at.
    world.engine.close(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_survive_a_restart_and_changes_hold_for_sessions_that_are_there() {
    let mut world = World::open();
    for text in [
        "create stream s (i int64)",
        "create role r",
        "create user alice identified by 'secret' default role none",
        "grant select(i) on s to r",
        "grant r to alice",
        "create quota q for interval 1 hour max queries = 100 to alice",
        "create row policy p on s using i > 1 to alice",
        "insert into s (i) values (1), (2)",
    ] {
        world.run(text).await.unwrap();
    }
    let mut alice = world.engine.session("alice", "");
    assert_eq!(code(&world, &mut alice, "select i from table(s)").await, Some(Code::ACCESS_DENIED));
    world.run("set default role r to alice").await.unwrap();
    assert_eq!(code(&world, &mut alice, "select i from table(s)").await, None, "at once");
    world.reopen().await;
    let mut alice = world.engine.session("alice", "");
    let running = start(&world, &mut alice, "select i from table(s)").await.unwrap();
    assert_eq!(rows(running).await.unwrap(), [[Value::Int(2)]]);
    let told = world.run("show create user alice").await.unwrap();
    let text = String::from_utf8_lossy(told[0][0].as_bytes().unwrap()).into_owned();
    assert_eq!(text, "CREATE USER alice IDENTIFIED WITH sha256_password DEFAULT ROLE r");
    for file in std::fs::read_dir(world.data_dir().join("catalog")).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(6).any(|w| w == b"secret"), "no password on disk");
    }
    world.run("drop user alice").await.unwrap();
    world.engine.access().govern(Vec::new());
    assert_eq!(code(&world, &mut alice, "select i from table(s)").await, Some(Code::ACCESS_DENIED));
}

/// Whoever is not told of is nobody once there are users.
#[test]
fn a_user_who_is_gone_may_do_nothing() {
    let access = Arc::new(Access::default());
    assert!(access.enabled("x", None).check(Privilege::SELECT, &Object::ANY).is_ok());
    access.govern(Vec::new());
    assert_eq!(access.enabled("x", None).check(Privilege::SELECT, &Object::ANY).unwrap_err().code, Code::ACCESS_DENIED);
}

/// What a running query ends with.
async fn end_of(running: &mut Running) -> hydron_base::Error {
    let wait = async {
        loop {
            match running.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the query has ended without an error"),
                Err(e) => return e,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("an end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_runs_ends_with_the_rights_it_began_with() {
    let mut world = World::open();
    world.engine.access().govern(vec![Entity::owner("me")]);
    for text in [
        "create stream s (i int64, k string)",
        "create stream other (i int64)",
        "create view v as select i from s",
        "create role r",
        "create user alice, bob, carol",
        "grant select(i) on s to r",
        "grant select on other to alice",
        "grant r to alice, carol",
        "grant insert, select on s to bob",
        "grant select on v to carol",
    ] {
        world.run(text).await.unwrap();
    }
    let session = |user: &str| world.engine.session(user, "");
    let (mut alice, mut bob, mut carol, mut me) = (session("alice"), session("bob"), session("carol"), session("me"));
    let mut of_role = start(&world, &mut alice, "select i from s").await.unwrap();
    let mut of_other = start(&world, &mut alice, "select i from other").await.unwrap();
    let mut of_bob = start(&world, &mut bob, "select k from s").await.unwrap();
    let mut writes = start(&world, &mut bob, "insert into s (i, k) select i, k from s where i < 0").await.unwrap();
    let mut of_view = start(&world, &mut carol, "select i from v").await.unwrap();
    let mut mine = start(&world, &mut me, "select i from s").await.unwrap();
    // What concerns nobody ends nothing.
    world.run("grant select on other to bob").await.unwrap();
    world.run("create row policy unrelated on other as restrictive using i > 0 to bob").await.unwrap();
    world.run("revoke insert on s from bob").await.unwrap();
    let e = end_of(&mut writes).await;
    assert_eq!(e.code, Code::ACCESS_DENIED, "{e}");
    world.run("revoke select(i) on s from r").await.unwrap();
    let e = end_of(&mut of_role).await;
    assert!(e.code == Code::ACCESS_DENIED && e.message.contains("SELECT(i) ON default.s"), "{e}");
    world.run("insert into s (i, k) values (1, 'a')").await.unwrap();
    assert_eq!(next_row(&mut of_view).await, [Value::Int(1)], "a view is its owner's");
    assert_eq!(next_row(&mut of_bob).await, [Value::string("a")]);
    world.run("create row policy p on s using i > 5 to bob").await.unwrap();
    let e = end_of(&mut of_bob).await;
    assert!(e.code == Code::ACCESS_DENIED && e.message.contains("row policies of default.s"), "{e}");
    let e = end_of(&mut mine).await;
    assert_eq!(e.code, Code::ACCESS_DENIED, "a permissive policy for others hides all rows: {e}");
    let e = end_of(&mut of_view).await;
    assert_eq!(e.code, Code::ACCESS_DENIED, "the view's owner sees other rows now: {e}");
    let mut again = start(&world, &mut bob, "select i from s").await.unwrap();
    world.run("alter row policy p on s using i > 6").await.unwrap();
    assert_eq!(end_of(&mut again).await.code, Code::ACCESS_DENIED);
    world.run("insert into other (i) values (4)").await.unwrap();
    assert_eq!(next_row(&mut of_other).await, [Value::Int(4)]);
    world.run("drop user alice").await.unwrap();
    assert_eq!(end_of(&mut of_other).await.code, Code::ACCESS_DENIED);
    // One who is made again under the name is another.
    let mut carols = start(&world, &mut carol, "select 1 from other where 0").await;
    assert!(carols.is_err());
    world.run("grant select on other to carol").await.unwrap();
    carols = start(&world, &mut carol, "select i from other").await;
    world.run("create or replace user carol").await.unwrap();
    assert_eq!(end_of(&mut carols.unwrap()).await.code, Code::ACCESS_DENIED);
    let mut dave = world.engine.session("carol", "");
    let mut of_nothing =
        start(&world, &mut dave, "select number, sleep(0.01) from numbers(1000000) settings max_block_size = 1").await;
    world.run("drop user carol").await.unwrap();
    let e = end_of(of_nothing.as_mut().unwrap()).await;
    assert!(e.code == Code::ACCESS_DENIED && e.message.contains("carol was dropped"), "{e}");
}
