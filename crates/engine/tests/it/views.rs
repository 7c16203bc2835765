//! Materialized views: what they write, what they refuse, how they go on, and whom they do not hold up.

use crate::kit::{World, becomes, told};
use hydron_base::Code;
use std::time::{Duration, Instant};

/// Directories of kept queries.
fn states(world: &World) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(world.data_dir().join("checkpoint"));
    all.into_iter().flatten().flatten().map(|e| e.path()).collect()
}

async fn code(world: &mut World, text: &str) -> Code {
    world.run(text).await.expect_err("an error").code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_writes_what_comes_and_is_read_as_stream_and_table() {
    let mut world = World::open();
    world.run("create stream s (i int64, k string)").await.unwrap();
    world.run("create materialized view mv as select i + 1 as ii, k from s").await.unwrap();
    world.run("create materialized view if not exists mv as select 1").await.unwrap();
    let mut tail = world.start("select ii from mv").await.unwrap();
    world.run("insert into s (i, k) values (1, 'a'), (2, 'b')").await.unwrap();
    becomes(&mut world, "select ii, k from table(mv) order by ii", "2 a; 3 b").await;
    assert!(tail.next().await.unwrap().is_some());
    drop(tail);
    assert_eq!(told(&mut world, "select engine from system.streams where name = 'mv'").await, "MaterializedView");
    assert_eq!(told(&mut world, "select name from system.columns where table = 'mv'").await, "ii; k; _tp_time");
    assert_eq!(
        told(&mut world, "select state, last_error, failures from system.materialized_views").await,
        "EXECUTING_PIPELINE  0"
    );
    let create = told(&mut world, "show create mv").await;
    assert!(create.starts_with("CREATE MATERIALIZED VIEW default.mv AS"), "{create}");
    assert_eq!(told(&mut world, "show streams").await, "mv; s");
    assert_eq!(code(&mut world, "insert into mv (ii) values (1)").await, Code::NOT_IMPLEMENTED);
    world.run("drop view mv").await.unwrap();
    assert_eq!(told(&mut world, "select count() from system.streams where database = 'default'").await, "1");
    assert_eq!(told(&mut world, "select count() from system.materialized_views").await, "0");
    assert!(states(&world).is_empty(), "its state goes too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_into_a_stream_by_the_names_of_columns() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    world.run("create stream t (ii int32, tag string default 'none', x int64) settings shards = 2").await.unwrap();
    world.run("create materialized view a into t as select i as ii, 'unknown' as other from s").await.unwrap();
    world.run("create materialized view b into t as select i * 10 as ii, to_string(i) as tag from s").await.unwrap();
    world.run("insert into s (i) values (1), (2)").await.unwrap();
    becomes(&mut world, "select ii, tag, x from table(t) order by ii", "1 none 0; 2 none 0; 10 1 0; 20 2 0").await;
    becomes(&mut world, "select count() from table(a)", "4").await;
    for text in ["drop stream s", "drop stream t", "rename stream s to s2", "rename stream t to t2"] {
        assert_eq!(code(&mut world, text).await, Code::HAVE_DEPENDENT_OBJECTS, "{text}");
    }
    world.run("drop view a").await.unwrap();
    world.run("drop view b").await.unwrap();
    assert_eq!(told(&mut world, "select count() from table(t)").await, "4", "the target is not the view's");
    world.run("drop stream t").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_view_is_refused_and_leaves_nothing() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    world.run("create stream t (y int64, z array(int64))").await.unwrap();
    world.run("create random stream r (i int64)").await.unwrap();
    for (text, wanted) in [
        ("create materialized view v as select 1", Code::INCORRECT_QUERY),
        ("create materialized view v as select i from table(s)", Code::INCORRECT_QUERY),
        ("create materialized view v into nowhere as select i from s", Code::UNKNOWN_STREAM),
        ("create materialized view v into s as select i from s", Code::BAD_ARGUMENTS),
        ("create materialized view v into r as select i from s", Code::NOT_IMPLEMENTED),
        ("create materialized view v into t as select i from s", Code::NO_SUCH_COLUMN_IN_STREAM),
        ("create materialized view s as select i from s", Code::STREAM_ALREADY_EXISTS),
        ("create materialized view v as select j from s", Code::UNKNOWN_IDENTIFIER),
    ] {
        assert_eq!(code(&mut world, text).await, wanted, "{text}");
    }
    let cast = world.run("create materialized view v into t as select i as z from s").await.unwrap_err();
    assert!(cast.message.contains("'z'"), "{cast}");
    assert_eq!(told(&mut world, "select name from system.streams where database = 'default'").await, "r; s; t");
    assert!(states(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_goes_on_with_its_state_when_the_engine_opens_again() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    world.run("create stream t (n uint64, total int64)").await.unwrap();
    let select = "select count() as n, sum(i) as total from s emit on update";
    world.run(&format!("create materialized view mv as {select}")).await.unwrap();
    world.run(&format!("create materialized view into_t into t as {select}")).await.unwrap();
    for i in 1..=3 {
        world.run(&format!("insert into s (i) values ({i})")).await.unwrap();
    }
    becomes(&mut world, "select max(total) from table(mv)", "6").await;
    world.reopen().await;
    world.session = world.engine.session("me", "");
    world.run("insert into s (i) values (4)").await.unwrap();
    for table in ["mv", "t"] {
        let query = format!("select max(n), max(total), count() = count_distinct(n) from table({table})");
        becomes(&mut world, &query, "4 10 Bool(true)").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_view_says_so_and_holds_up_nobody() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    world.run("create materialized view bad as select 10 / throw_if(i = 7, 'seven') as x, i from s").await.unwrap();
    world.run("create materialized view good as select i from s").await.unwrap();
    for i in 6..=9 {
        world.run(&format!("insert into s (i) values ({i})")).await.unwrap();
    }
    becomes(&mut world, "select count() from table(good)", "4").await;
    becomes(&mut world, "select state from system.materialized_views where name = 'bad'", "FATAL").await;
    let status = "select last_error_code, failures > 0, retry_time is not null from system.materialized_views where name = 'bad'";
    let told_code = told(&mut world, status).await;
    assert!(told_code.starts_with(&Code::FUNCTION_THROW_IF_VALUE_IS_NON_ZERO.number().to_string()), "{told_code}");
    let reading = world.start("select i from bad").await.err().expect("its error is told");
    assert_eq!(reading.code, Code::FUNCTION_THROW_IF_VALUE_IS_NON_ZERO);
    assert_eq!(told(&mut world, "select count() from table(bad)").await, "1", "what it wrote can be read");
    world.run("drop view bad").await.unwrap();
    world.run("insert into s (i) values (10)").await.unwrap();
    becomes(&mut world, "select count() from table(good)", "5").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_view_goes_on_where_it_was() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    world.run("create materialized view mv as select i from s").await.unwrap();
    world.run("insert into s (i) values (1)").await.unwrap();
    becomes(&mut world, "select count() from table(mv)", "1").await;
    world.run("system pause materialized view mv").await.unwrap();
    becomes(&mut world, "select state from system.materialized_views", "PAUSED").await;
    world.run("insert into s (i) values (2)").await.unwrap();
    world.reopen().await;
    world.session = world.engine.session("me", "");
    becomes(&mut world, "select state from system.materialized_views", "PAUSED").await;
    world.run("insert into s (i) values (3)").await.unwrap();
    assert_eq!(told(&mut world, "select count() from table(mv)").await, "1");
    world.run("system resume materialized view mv").await.unwrap();
    becomes(&mut world, "select i from table(mv) order by i", "1; 2; 3").await;
    world.run("system checkpoint materialized view mv").await.unwrap();
    becomes(&mut world, "select lag_records from system.materialized_views", "0").await;
    world.run("system recover materialized view mv").await.unwrap();
    assert_eq!(code(&mut world, "system pause materialized view s").await, Code::INCORRECT_QUERY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_query_takes_over_where_the_old_one_was() {
    let mut world = World::open();
    world.run("create stream s (i int64, k string)").await.unwrap();
    world
        .run("create materialized view mv as select k, sum(i) as total from s group by k emit on update")
        .await
        .unwrap();
    world.run("insert into s (i, k) values (1, 'a'), (2, 'b')").await.unwrap();
    becomes(&mut world, "select k, total from table(mv) order by k", "a 1; b 2").await;
    // Sums stay; only what is taken in, or shown, changes.
    world
        .run("alter view mv modify query select k, sum(i) as total from s where i < 100 group by k emit on update")
        .await
        .unwrap();
    world.run("insert into s (i, k) values (10, 'a'), (500, 'b')").await.unwrap();
    becomes(&mut world, "select max(total) from table(mv) where k = 'a'", "11").await;
    assert_eq!(told(&mut world, "select max(total), count() from table(mv) where k = 'b'").await, "2 1");
    assert!(told(&mut world, "show create mv").await.contains("i < 100"));
    world.reopen().await;
    world.session = world.engine.session("me", "");
    world.run("insert into s (i, k) values (1, 'a')").await.unwrap();
    becomes(&mut world, "select max(total) from table(mv) where k = 'a'", "12").await;
    // What was kept means nothing to these.
    for query in [
        "select k, max(i) as total from s group by k emit on update",
        "select k, i as total from s",
        "select k, sum(i) as total from s group by k, i emit on update",
        "select k, sum(i) as total from table(s) group by k",
    ] {
        assert_eq!(
            code(&mut world, &format!("alter view mv modify query {query}")).await,
            Code::INCORRECT_QUERY,
            "{query}"
        );
    }
    let other = "alter view mv modify query select k, sum(i) as other from s group by k emit on update";
    assert_eq!(code(&mut world, other).await, Code::NO_SUCH_COLUMN_IN_STREAM);
    world.run("insert into s (i, k) values (1, 'a')").await.unwrap();
    becomes(&mut world, "select max(total) from table(mv) where k = 'a'", "13").await;
    world.run("alter view mv modify query setting checkpoint_interval = 1").await.unwrap();
    world.run("insert into s (i, k) values (1, 'a')").await.unwrap();
    becomes(&mut world, "select max(total) from table(mv) where k = 'a'", "14").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_may_take_the_place_of_another_one() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    world.run("create stream t (i int64, j int64)").await.unwrap();
    world.run("create or replace materialized view mv as select i from s").await.unwrap();
    world.run("insert into s (i) values (1)").await.unwrap();
    becomes(&mut world, "select i from table(mv)", "1").await;
    world.run("create or replace materialized view mv into t as select i + 1 as j from s").await.unwrap();
    world.run("insert into s (i) values (2)").await.unwrap();
    becomes(&mut world, "select j from table(mv)", "3").await;
    assert_eq!(states(&world).len(), 1);
    assert_eq!(
        code(&mut world, "create or replace materialized view s as select i from t").await,
        Code::STREAM_ALREADY_EXISTS
    );
    let broken = "create or replace materialized view mv as select nothing from s";
    assert_eq!(code(&mut world, broken).await, Code::UNKNOWN_IDENTIFIER);
    world.run("insert into s (i) values (3)").await.unwrap();
    becomes(&mut world, "select j from table(mv) order by j", "3; 4").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_view_says_so_and_recovers() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    world.run("create materialized view mv as select i from s").await.unwrap();
    world.run("system abort materialized view mv").await.unwrap();
    becomes(&mut world, "select state, last_error_code from system.materialized_views", "PAUSED 236").await;
    world.run("insert into s (i) values (1)").await.unwrap();
    becomes(&mut world, "select lag_records, lag_ms > 0 from system.materialized_views", "1 Bool(true)").await;
    world.run("system recover materialized view mv").await.unwrap();
    becomes(&mut world, "select i from table(mv)", "1").await;
    becomes(&mut world, "select lag_records, lag_ms from system.materialized_views", "0 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_always_fails_is_passed_over_where_the_view_says_so() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    let view = |name: &str, policy: &str| {
        format!(
            "create materialized view {name} as select i, sum(int_div(100, i)) as n from s group by i emit on update settings recovery_policy = '{policy}'"
        )
    };
    world.run(&view("best", "best_effort")).await.unwrap();
    world.run(&view("strict", "strict")).await.unwrap();
    assert_eq!(code(&mut world, &view("other", "never")).await, Code::INVALID_SETTING_VALUE);
    for i in [50, 0, 20] {
        world.run(&format!("insert into s (i) values ({i})")).await.unwrap();
    }
    becomes(&mut world, "select i, n from table(best) order by i", "20 5; 50 2").await;
    let states = "select name, skipped_records, last_error_code from system.materialized_views order by name";
    becomes(&mut world, states, "best 1 153; strict 0 153").await;
    world.reopen().await;
    world.session = world.engine.session("me", "");
    world.run("insert into s (i) values (20)").await.unwrap();
    becomes(&mut world, "select max(n) from table(best) where i = 20", "10").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_of_a_replay_writes_at_its_pace() {
    let mut world = World::open();
    world.run("create stream s (i int64, at datetime64(3))").await.unwrap();
    world.run("insert into s (i, at) values (1, '2020-01-01 00:00:00'), (2, '2020-01-01 00:01:00'), (3, '2021-01-01 00:00:00')").await.unwrap();
    world
        .run("create materialized view mv as select i from s where _tp_time > earliest_ts() settings replay_speed = 60, replay_time_column = 'at'")
        .await
        .unwrap();
    // The third row comes in six days; those before it do not wait for it.
    becomes(&mut world, "select i from table(mv) order by i", "1; 2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_past_is_written_as_a_whole() {
    let mut world = World::open();
    world.run("create stream s (i int64) settings shards = 2").await.unwrap();
    world.run("create stream kv (i int64, v string) primary key i settings mode = 'versioned_kv'").await.unwrap();
    for i in 0..5 {
        world.run(&format!("insert into s (i) values ({i})")).await.unwrap();
        world.run(&format!("insert into kv (i, v) values (0, 'v{i}')")).await.unwrap();
    }
    world.run("create materialized view past as select i from s settings seek_to = 'earliest'").await.unwrap();
    becomes(&mut world, "select count(), sum(i) from table(past)", "5 10").await;
    // The rows that count of a keyed stream are no records: they are held back until they are all there.
    world.run("create materialized view keyed as select i, v from kv").await.unwrap();
    becomes(&mut world, "select v from table(keyed)", "v4").await;
    world.run("insert into kv (i, v) values (1, 'w')").await.unwrap();
    becomes(&mut world, "select v from table(keyed) order by v", "v4; w").await;
    world.reopen().await;
    world.session = world.engine.session("me", "");
    world.run("insert into s (i) values (5)").await.unwrap();
    becomes(&mut world, "select count(), sum(i) from table(past)", "6 15").await;
    assert_eq!(told(&mut world, "select count() from table(keyed)").await, "2");
    world.run("create database d").await.unwrap();
    world.run("create stream d.s (i int64)").await.unwrap();
    world.run("create materialized view d.mv as select i from d.s").await.unwrap();
    world.run("drop database d").await.unwrap();
    assert_eq!(told(&mut world, "select count() from system.materialized_views").await, "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_keep_what_a_view_has_not_read() {
    let mut world = World::open();
    for name in ["s", "free"] {
        world.run(&format!("create stream {name} (i uint64) settings logstore_retention_bytes = 1")).await.unwrap();
    }
    world.run("create materialized view mv as select i from s").await.unwrap();
    world.run("system pause materialized view mv").await.unwrap();
    for _ in 0..3 {
        for name in ["s", "free"] {
            // Each more than a segment.
            world.run(&format!("insert into {name} (i) select rand64() from numbers(200000)")).await.unwrap();
        }
    }
    let first = "select log_first_sn from system.streams where name in ('s', 'free') order by name";
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        for name in ["s", "free"] {
            world.run(&format!("optimize stream {name}")).await.unwrap();
        }
        let found = told(&mut world, first).await;
        assert!(found.ends_with("; 0"), "{found}");
        if found != "0; 0" {
            break;
        }
        assert!(Instant::now() < deadline, "retention does nothing");
    }
    world.run("system resume materialized view mv").await.unwrap();
    becomes(&mut world, "select count() from table(mv)", "600000").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_goes_on_when_its_source_is_altered() {
    let mut world = World::open();
    world.run("create stream s (i int64, k string, unused int32)").await.unwrap();
    let view = "create materialized view mv as select k, count() as c, sum(i) as t from s group by k emit on update settings checkpoint_interval = 1";
    world.run(view).await.unwrap();
    world.run("create materialized view plain as select i * 2 as w from s").await.unwrap();
    world.run("insert into s (i, k) values (1, 'a'), (2, 'b')").await.unwrap();
    becomes(&mut world, "select count() from table(plain)", "2").await;
    world
        .run("alter stream s add column before int32 first, drop column unused, rename column i to j")
        .await
        .unwrap_err();
    world.run("alter stream s add column before int32 first, drop column unused").await.unwrap();
    assert_eq!(code(&mut world, "alter stream s modify column i int32").await, Code::ALTER_OF_COLUMN_IS_FORBIDDEN);
    world.run("insert into s (before, i, k) values (9, 3, 'a')").await.unwrap();
    becomes(&mut world, "select sum(w) from table(plain)", "12").await;
    for round in 1..3 {
        world.reopen().await;
        world.run("insert into s (before, i, k) values (9, 10, 'a')").await.unwrap();
        let wanted = format!("a {} {}; b 1 2", 2 + round, 4 + 10 * round);
        becomes(&mut world, "select k, max(c), max(t) from table(mv) group by k order by k", &wanted).await;
        becomes(&mut world, "select sum(w) from table(plain)", &(12 + 20 * round).to_string()).await;
        world.run(&format!("alter stream s add column c{round} string default 'x'")).await.unwrap();
    }
    assert_eq!(code(&mut world, "alter stream s drop column k").await, Code::ALTER_OF_COLUMN_IS_FORBIDDEN);
    assert_eq!(code(&mut world, "alter stream mv add column x int").await, Code::NOT_IMPLEMENTED);
    world.run("alter stream mv modify setting logstore_retention_bytes = 1000000").await.unwrap();
    world.run("alter stream mv modify ttl to_datetime(_tp_time) + interval 1 day").await.unwrap();
    world.run("alter stream mv remove ttl").await.unwrap();
    world.run("create stream target (w int64)").await.unwrap();
    world.run("create materialized view into_it into target as select i as w from s").await.unwrap();
    assert_eq!(
        code(&mut world, "alter stream into_it modify setting logstore_retention_bytes = 1").await,
        Code::NOT_IMPLEMENTED
    );
    assert_eq!(code(&mut world, "alter stream into_it remove ttl").await, Code::BAD_ARGUMENTS);
    assert_eq!(
        code(&mut world, "alter stream target drop column w, add column v int64").await,
        Code::ALTER_OF_COLUMN_IS_FORBIDDEN
    );
    world.run("alter stream target add column v int64").await.unwrap();
    world.run("insert into s (before, i, k) values (9, 7, 'z')").await.unwrap();
    becomes(&mut world, "select w, v from table(target)", "7 0").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_cannot_be_read_is_made_up_for_by_the_one_before() {
    let mut world = World::open();
    world.run("create stream s (i int64) settings shards = 2, sharding_expr = 'i'").await.unwrap();
    world
        .run("create stream t (c uint64, total int64, i int64) settings shards = 2, sharding_expr = 'c'")
        .await
        .unwrap();
    world
        .run("create materialized view counted into t as select count() as c, sum(i) as total from s emit on update")
        .await
        .unwrap();
    world.run("create materialized view spread into t as select i, 1000 + i as c from s").await.unwrap();
    let mut total = 0;
    for round in 0..3i64 {
        for i in 0..4 {
            let (a, b) = (round * 10 + i * 2, round * 10 + i * 2 + 1);
            world.run(&format!("insert into s (i) values ({a}), ({b})")).await.unwrap();
            total += a + b;
        }
        becomes(&mut world, "select max(total) from table(t)", &total.to_string()).await;
        let rows = 8 * (round + 1);
        becomes(&mut world, "select count() from table(t) where c >= 1000", &rows.to_string()).await;
        if round < 2 {
            world.run("system checkpoint materialized view counted").await.unwrap();
            world.run("system checkpoint materialized view spread").await.unwrap();
        }
    }
    // The stop writes a last one; it is the one that is damaged.
    world.engine.close(Duration::from_secs(10)).await;
    for dir in states(&world) {
        let mut epochs: Vec<_> = std::fs::read_dir(dir).unwrap().flatten().map(|e| e.path()).collect();
        epochs.retain(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("epoch-")));
        let newest = epochs.iter().max().expect("a state");
        let mut bytes = std::fs::read(newest).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(newest, bytes).unwrap();
    }
    world.reopen().await;
    world.session = world.engine.session("me", "");
    world.run("insert into s (i) values (100), (101)").await.unwrap();
    total += 201;
    becomes(&mut world, "select max(total) from table(t)", &total.to_string()).await;
    becomes(
        &mut world,
        "select count(), count_distinct(i), sum(i) from table(t) where c >= 1000",
        &format!("26 26 {total}"),
    )
    .await;
    let once = "select count() = count_distinct(c), max(c) from table(t) where c < 1000";
    assert_eq!(told(&mut world, once).await, "Bool(true) 26");
    assert_eq!(told(&mut world, "select sum(failures) from system.materialized_views").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_over_paths_of_json_keeps_its_types() {
    let mut world = World::open();
    world.run("create stream s (k string, d json)").await.unwrap();
    world.run(r#"insert into s (k, d) values ('x', '{"n": 1, "of": {"v": 2.5}}')"#).await.unwrap();
    world.run("create materialized view mv as select k, d.n as n, d.of.v as v from s").await.unwrap();
    world.run(r#"insert into s (k, d) values ('a', '{"n": 300, "of": {"v": 1}}')"#).await.unwrap();
    becomes(&mut world, "select k, n, to_type_name(n), to_type_name(v) from table(mv)", "a 300 int64 float64").await;
    // The path is text by now; the view has begun with numbers.
    world.run(r#"insert into s (k, d) values ('b', '{"n": "7"}'), ('c', '{"n": "no number"}')"#).await.unwrap();
    world.reopen().await;
    world.run(r#"insert into s (k, d) values ('d', '{"n": 4}')"#).await.unwrap();
    becomes(&mut world, "select k, n from table(mv) order by k", "a 300; b 7; c 0; d 4").await;
    assert_eq!(told(&mut world, "select k, d.n from table(s) order by k").await, "a 300; b 7; c no number; d 4; x 1");
    world.run("drop view mv").await.unwrap();
    world.run("drop stream s").await.unwrap();
    world.reopen().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_json_has_its_types_from_the_start_of_the_query() {
    let mut world = World::open();
    world.run("create stream s (id int32, d json)").await.unwrap();
    world.run(r#"insert into s (id, d) values (1, '{"a": 1, "b": "b"}')"#).await.unwrap();
    world.run(r#"insert into s (id, d) values (2, '{"a": "2", "b": 3}')"#).await.unwrap();
    let found = told(&mut world, "select id, d.a, d.b from s limit 2 settings seek_to = 'earliest'").await;
    assert_eq!(found, "1 1 b; 2 2 3");
}
