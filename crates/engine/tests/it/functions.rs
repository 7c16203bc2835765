//! Functions of users in a running engine: who ends them, what survives a restart, and that streams say what history says.

use crate::kit::{World, rows};
use hydron_base::Code;
use hydron_types::Value;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

const ENDLESS: &str = "create function spin(a int32) returns int32 language javascript as \
    $$ function spin(a) { while (true) { try { for (;;) {} } catch (e) {} } } $$";

/// A sum that also knows the order in which it came.
const CHAIN: &str = "create aggregate function chain(v int64) returns string language javascript as $$ {
    initialize: function() { this.h = 7; this.n = 0; },
    process: function(values, deltas) {
        for (let i = 0; i < values.length; i++) {
            this.h = (this.h * 31 + values[i] * (deltas === undefined ? 1 : deltas[i])) % 1000003;
            this.n += deltas === undefined ? 1 : deltas[i];
        }
    },
    finalize: function() { return this.n + ':' + this.h; },
    serialize: function() { return this.n + ':' + this.h; },
    deserialize: function(s) { [this.n, this.h] = s.split(':').map(Number); },
    merge: function(s) { const [n, h] = s.split(':').map(Number); this.n += n; this.h = (this.h + h) % 1000003; }
} $$";

async fn told(world: &mut World, query: &str) -> String {
    let text = |v: &Value| match v {
        Value::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
        Value::Int(n) => n.to_string(),
        Value::UInt(n) => n.to_string(),
        other => format!("{other:?}"),
    };
    match world.run(query).await {
        Ok(rows) => {
            rows.iter().map(|r| r.iter().map(text).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("; ")
        }
        Err(e) => e.to_string(),
    }
}

async fn becomes(world: &mut World, query: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = told(world, query).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{query}: {found}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_without_end_ends_with_its_query() {
    let mut world = World::open();
    world.run(ENDLESS).await.unwrap();
    world.run("create stream s (i int32)").await.unwrap();
    world.run("insert into s (i) values (1)").await.unwrap();
    let settings = "settings javascript_max_execution_ms = 0";
    // More of them than there are threads that compute: history, and a stream that gets a row.
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(world.start(&format!("select spin(i) from table(s) {settings}")).await.unwrap());
    }
    let stream = format!("select spin(i) from s {settings}");
    world.session.settings.set("query_mode", "streaming").unwrap();
    running.push(world.start(&stream).await.unwrap());
    world.session.settings.reset("query_mode");
    let started = Instant::now();
    let tokens: Vec<_> = running.iter().map(|r| r.cancel_token()).collect();
    let ends: Vec<_> = running.into_iter().map(|r| tokio::spawn(rows(r))).collect();
    world.run("insert into s (i) values (2)").await.unwrap();
    // They have begun to turn, and would turn for ever.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(ends.iter().all(|e| !e.is_finished()));
    tokens.iter().for_each(|t| t.cancel());
    for end in ends {
        assert_eq!(end.await.unwrap().unwrap_err().code, Code::QUERY_WAS_CANCELLED);
    }
    // The threads are free again.
    let answer = tokio::time::timeout(Duration::from_secs(10), world.run("select sum(i) from table(s)")).await;
    assert_eq!(answer.unwrap().unwrap(), vec![vec![Value::Int(3)]]);
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_and_views_over_them_survive_a_restart() {
    let mut world = World::open();
    world.run(CHAIN).await.unwrap();
    world.run("create function double(a int64) returns int64 language javascript as $$ const double = a => a.map(v => 2 * v); $$").await.unwrap();
    world.run("create remote function far(a string) returns string url 'http://127.0.0.1:1/' auth_method 'auth_header' auth_header 'k' auth_key 'v1'").await.unwrap();
    world.run("create stream s (k string, v int64)").await.unwrap();
    let view = "create materialized view mv as select k, chain(v) as c from s group by k emit on update settings checkpoint_interval = 1";
    world.run(view).await.unwrap();
    world.run("insert into s (k, v) values ('a', 1), ('b', 2), ('a', 3)").await.unwrap();
    let history = "select k, chain(v) from table(s) group by k order by k";
    let last = "select k, arg_max(c, to_int32(split_by_char(':', c)[1])) from table(mv) group by k order by k";
    let wanted = told(&mut world, history).await;
    assert!(wanted.starts_with("a 2:"), "{wanted}");
    becomes(&mut world, last, &wanted).await;
    for round in 0..3 {
        world.reopen().await;
        let create = told(&mut world, "show create function far").await;
        assert!(create.contains("AUTH_KEY '[HIDDEN]'"), "{create}");
        world.run(&format!("insert into s (k, v) values ('b', {round}), ('c', 5)")).await.unwrap();
        let wanted = told(&mut world, history).await;
        becomes(&mut world, last, &wanted).await;
        assert_eq!(told(&mut world, "select double(21)").await, "42");
    }
    world.run("drop function chain").await.unwrap();
    world.reopen().await;
    let state = "select state, position(last_error, 'chain') > 0 from system.materialized_views";
    becomes(&mut world, state, "FATAL Bool(true)").await;
    world.run(CHAIN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_kept_is_refused_at_once() {
    let mut world = World::open();
    world.run("create aggregate function plain(v int64) returns int64 language javascript as $$ { initialize: function() { this.n = 0; }, process: function(v) { this.n += v.length; }, finalize: function() { return this.n; } } $$").await.unwrap();
    world.run("create stream s (v int64)").await.unwrap();
    for text in [
        "create materialized view mv as select plain(v) as c from s",
        "subscribe to select plain(v) from s settings query_mode = 'streaming'",
    ] {
        let error = match world.start(text).await {
            Ok(running) => rows(running).await.unwrap_err(),
            Err(e) => e,
        };
        assert_eq!(error.code, Code::NOT_IMPLEMENTED, "{text}: {error}");
        assert!(error.message.contains("plain") && error.message.contains("serialize"), "{error}");
    }
    assert_eq!(told(&mut world, "select count() from system.materialized_views").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_says_what_history_says() {
    let mut world = World::open();
    world.run(CHAIN).await.unwrap();
    world.run("create stream s (k int64, v int64, t datetime64(3, 'UTC')) settings shards = 1").await.unwrap();
    let views = [
        ("global", "select chain(v) as c from s emit on update", "select chain(v) from table(s)"),
        (
            "hops",
            "select window_start as ws, chain(v) as c from hop(s, t, 1s, 3s) group by window_start",
            // Each row in its three windows.
            "select ws, chain(v) as c from (select v, array_join([b, b - interval 1 second, b - interval 2 second]) as ws from (select v, to_start_of_second(t) as b from table(s))) group by ws",
        ),
        (
            "sums",
            "select window_start as ws, k, chain(v) as c from tumble(s, t, 2s) group by window_start, k",
            "select window_start as ws, k, chain(v) as c from tumble(table(s), t, 2s) group by window_start, k",
        ),
    ];
    for (name, streaming, _) in views {
        world.run(&format!("create materialized view {name} as {streaming}")).await.unwrap();
    }
    for batch in 0..4 {
        let rows = format!(
            "insert into s (k, v, t) select number % 3, number * 7 % 11, to_datetime64('2024-01-01 00:00:0{batch}', 3, 'UTC') + interval 30 * number millisecond from numbers(33)"
        );
        world.run(&rows).await.unwrap();
    }
    world.run("insert into s (k, v, t) values (0, 0, '2024-01-01 00:01:00')").await.unwrap();
    let wanted = told(&mut world, views[0].2).await;
    assert!(wanted.starts_with("133:"), "{wanted}");
    becomes(&mut world, "select c from table(global) where c like '133:%'", &wanted).await;
    for (name, _, history) in &views[1..] {
        let columns = if *name == "sums" { "ws, k, c" } else { "ws, c" };
        let closed = format!(
            "select {columns} from ({history}) where ws < to_datetime64('2024-01-01 00:00:30', 3, 'UTC') order by {columns}"
        );
        let wanted = told(&mut world, &closed).await;
        assert!(wanted.contains(':'), "{wanted}");
        becomes(&mut world, &format!("select {columns} from table({name}) order by {columns}"), &wanted).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_of_the_directory_are_functions() {
    let mut world = World::open_with_scripts();
    let scripts = world.data_dir().join("user_scripts");
    std::fs::create_dir_all(&scripts).unwrap();
    let file = scripts.join("twice.sh");
    std::fs::write(&file, "#!/bin/sh\nwhile read -r n; do echo $((n * $1)); done\n").unwrap();
    let missing = "create executable function f(n int64) returns int64 command 'nothing.sh'";
    assert_eq!(world.run(missing).await.unwrap_err().code, Code::UDF_COMPILE_ERROR);
    let create = "create executable function f(n int64) returns int64 command 'twice.sh 3' format TabSeparated execution_timeout 5000";
    assert_eq!(world.run(create).await.unwrap_err().code, Code::UDF_COMPILE_ERROR);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    world.run(create).await.unwrap();
    assert_eq!(told(&mut world, "select sum(f(number)) from numbers(100)").await, "14850");
    world.reopen().await;
    assert_eq!(told(&mut world, "select f(14)").await, "42");
    std::fs::write(&file, "#!/bin/sh\nsleep 100\n").unwrap();
    let started = Instant::now();
    let late = world.run("select f(1) settings max_execution_time = 0.3").await.unwrap_err();
    assert_eq!(late.code, Code::TIMEOUT_EXCEEDED, "{late}");
    assert!(started.elapsed() < Duration::from_secs(4));
}
