//! SIGKILL of the worker under writers and materialized views of many shapes: each view has what a historical query over the
//! same rows has, no row lost, none doubled.

use crate::server::{Server, free_port};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const KILLS: u64 = 30;

/// One stream of two shards that four writers fill, and one of a single shard in the order of its event time.
const SETUP: &[&str] = &[
    "create stream k (id uint64, v int64) settings shards = 2, sharding_expr = 'id', flush_threshold_ms = 200, flush_threshold_count = 500",
    "create stream e (n uint64, t datetime64(3, 'UTC')) settings flush_threshold_ms = 200, flush_threshold_count = 500",
    "create stream spread (id uint64, w int64, tag string default 'x') settings shards = 3, sharding_expr = 'id', flush_threshold_ms = 200",
    "create stream names (id uint64, name string) primary key id settings mode = 'versioned_kv'",
    "insert into names (id, name) values (0, 'zero'), (1, 'one'), (2, 'two')",
    // No state: only the position matters.
    "create materialized view plain as select id, v * 2 as w from k where id % 3 != 0 settings checkpoint_interval = 1",
    // Several records a unit: the outbox.
    "create materialized view spreading into spread as select id, v as w from k settings checkpoint_interval = 1",
    // State, an answer to each batch.
    "create materialized view counted as select count() as c, sum(v) as s from k emit on update",
    "create materialized view grouped as select id % 10 as g, count() as c from k group by g emit on update settings checkpoint_interval = 1",
    // State that waits, an answer now and then.
    "create materialized view windows as select window_start as w, count() as c, sum(n) as s from tumble(e, t, 1s) group by window_start",
    // Values of the row before.
    "create materialized view chain as select n, lag(n) as p from e settings checkpoint_interval = 1",
    "create materialized view once as select distinct id % 1000 as r from k",
    // State in JavaScript, which goes through its own text.
    "create aggregate function total(v int64) returns int64 language javascript as $$ { initialize: function() { this.n = 0; this.s = 0; }, process: function(v) { this.n += v.length; for (let x of v) this.s += x; }, finalize: function() { return this.s * 100000 + this.n; }, serialize: function() { return this.n + ' ' + this.s; }, deserialize: function(t) { [this.n, this.s] = t.split(' ').map(Number); } } $$",
    "create materialized view scripted as select id % 10 as g, total(v) as c, count() as n from k group by g emit on update settings checkpoint_interval = 1",
    "create materialized view named as select k.id as id, names.name as name from k join names on k.id % 3 = names.id",
];

#[test]
fn views_have_every_row_once_over_thirty_kills() {
    let dir = tempfile::tempdir().unwrap();
    // So many in a row would be answered with safe mode, in which nothing is written.
    let settings = [("crash.safe_mode", "0")];
    let server = Arc::new(Server::start_with(&dir.path().join("data"), free_port(), &settings));
    let mut views = 0;
    for statement in SETUP {
        match server.try_ask(statement, &[]) {
            Ok((200, _)) => views += usize::from(statement.contains("materialized")),
            Ok((status, body)) => panic!("{statement}: {status} {body}"),
            Err(e) => panic!("{statement}: {e}"),
        }
    }
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..3u64)
        .map(|writer| {
            let (server, stop, answered) = (Arc::clone(&server), Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                if writer == 0 { events(&server, &stop, &answered) } else { rows(&server, writer, &stop, &answered) }
            })
        })
        .collect();
    let mut epoch = 1;
    for kill in 0..KILLS {
        let (before, deadline) = (answered.load(Ordering::SeqCst), Instant::now() + Duration::from_secs(30));
        // Now soon after the server is back, now when views have gone on for a while.
        while answered.load(Ordering::SeqCst) < before + 3 + kill * 7 % 60 {
            assert!(Instant::now() < deadline, "the server did not come back after {kill} kills");
            std::thread::yield_now();
        }
        if kill % 6 == 5 {
            // Until all states are newer than they were.
            let epochs = "select min(checkpoint_epoch) from system.materialized_views";
            epoch += 1;
            wait_for(&server, epochs, epoch);
            epoch = one(&server, epochs);
        }
        server.kill_worker();
    }
    assert!(epoch > 3, "the views were cut {epoch} times");
    stop.store(true, Ordering::SeqCst);
    writers.into_iter().for_each(|w| w.join().unwrap());
    // One more event a second later, so that all windows before are closed.
    server.ask("insert into e (n, t) select 0, max(t) + interval 5 second from table(e)");
    let total: u64 = one(&server, "select count() from table(k)");
    assert!(total > 500, "only {total} rows were written");
    let events = one(&server, "select count() from table(e)");
    let some = one(&server, "select count() from table(k) where id % 3 != 0");
    let closed = one(&server, "select count_distinct(to_start_of_second(t)) - 1 from table(e)");
    for (query, rows) in [
        ("select count() from table(plain)", some),
        ("select count() from table(spread)", total),
        ("select count() from table(named)", total),
        ("select max(c) from table(counted)", total),
        ("select sum(c) from (select max(c) as c from table(grouped) group by g)", total),
        ("select count() from table(windows)", closed),
        ("select count() from table(chain)", events),
    ] {
        wait_for(&server, query, rows);
    }

    let same = |view: &str, history: &str| {
        let (found, wanted) = (server.ask(view), server.ask(history));
        assert!(found == wanted, "{view}\n{}", difference(&found, &wanted));
    };
    same(
        "select id, w, count() from table(plain) group by id, w order by id format TSV",
        "select id, v * 2 as w, count() from table(k) where id % 3 != 0 group by id, w order by id format TSV",
    );
    same(
        "select id, w, tag, count() from table(spread) group by id, w, tag order by id format TSV",
        "select id, v, 'x' as tag, count() from table(k) group by id, v, tag order by id format TSV",
    );
    same(
        "select id, name, count() from table(named) group by id, name order by id format TSV",
        "select id, multi_if(id % 3 = 0, 'zero', id % 3 = 1, 'one', 'two') as name, count() from table(k) group by id, name order by id format TSV",
    );
    same(
        "select r, count() from table(once) group by r order by r format TSV",
        "select r, 1 from (select distinct id % 1000 as r from table(k)) order by r format TSV",
    );
    same(
        "select w, c, s, count() from table(windows) group by w, c, s order by w format TSV",
        "select w, c, s, 1 from (select window_start as w, count() as c, sum(n) as s from tumble(table(e), t, 1s) group by window_start) where w < (select max(t) - interval 1 second from table(e)) order by w format TSV",
    );
    // Each event stands once, behind the one that came before it.
    same(
        "select count(), count_distinct(n), count_distinct(p), count_if(p >= n and n > 0), count_if(n not in (select n from table(e))) from table(chain)",
        "select count(), count(), count(), 0, 0 from table(e)",
    );
    // Each answer counts more than the one before: none came twice, and the last one counts every row.
    same(
        "select count() = count_distinct(c), max(c), max(s) from table(counted)",
        "select true, count(), sum(v) from table(k)",
    );
    same(
        "select g, max(c), count() = count_distinct(c) from table(grouped) group by g order by g format TSV",
        "select id % 10 as g, count(), true from table(k) group by g order by g format TSV",
    );
    same(
        "select g, arg_max(c, n), count() = count_distinct(c) from table(scripted) group by g order by g format TSV",
        "select id % 10 as g, total(v), true from table(k) group by g order by g format TSV",
    );
    let failed: String =
        server.ask("select name, last_error from system.materialized_views where failures > 0 format TSV");
    assert_eq!(failed, "", "{views} views ran");
}

#[test]
fn a_view_that_crashes_the_server_is_refused_and_all_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(&dir.path().join("data"), free_port(), &[("crash.allow_trap", "true")]);
    server.ask("create stream s (i int64)");
    server.ask("create materialized view good as select i from s");
    server.ask("create materialized view bad as select trap('read nullptr c++') as t, i from s where i = 7");
    server.ask("insert into s (i) values (1)");
    // Its row is stored, and the server dies of it before it can say so; the next one dies of it too, at its start.
    let answered = server.try_ask("insert into s (i) values (7)", &[]);
    match &answered {
        Ok((200, _)) => {}
        Ok((_, body)) => assert!(!body.contains("retry=safe"), "the row is stored: {body}"),
        Err(e) => panic!("{e}"),
    }
    wait_for(&server, "select count() from system.quarantine", 1);
    server.ask("insert into s (i) values (8)");
    wait_for(&server, "select count() from table(good)", 3);
    let refused = "select count() from system.materialized_views where name = 'bad' and last_error_code = 2904";
    wait_for(&server, refused, 1);
    assert_eq!(server.ask("select i from table(good) order by i"), "1\n7\n8\n");
    server.ask("drop view bad");
}

/// Rows with ids of their own, a few at a time.
fn rows(server: &Server, writer: u64, stop: &AtomicBool, answered: &AtomicU64) {
    let mut id = writer << 32;
    while !stop.load(Ordering::SeqCst) {
        let values: Vec<String> = (0..1 + id % 4).map(|i| format!("({}, {})", id + i, (id + i) % 97)).collect();
        id += values.len() as u64;
        if let Ok((200, _)) = server.try_ask(&format!("insert into k (id, v) values {}", values.join(", ")), &[]) {
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Events in the order of their time, each a quarter of a second after the one before.
fn events(server: &Server, stop: &AtomicBool, answered: &AtomicU64) {
    let mut n = 0u64;
    while !stop.load(Ordering::SeqCst) {
        n += 1;
        let time = 1_700_000_000_000 + n * 250;
        let insert = format!("insert into e (n, t) values ({n}, from_unix_timestamp64_milli(to_int64({time})))");
        if let Ok((200, _)) = server.try_ask(&insert, &[]) {
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn one(server: &Server, query: &str) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        // The server may just have been killed.
        match server.try_ask(query, &[]) {
            Ok((200, answer)) => return answer.trim().parse().unwrap_or_else(|_| panic!("{query}: {answer}")),
            other => assert!(Instant::now() < deadline, "{query}: {other:?}"),
        }
    }
}

fn wait_for(server: &Server, query: &str, wanted: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = one(server, query);
        if found >= wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{query}: {found} of {wanted}\n{}",
            server.ask("select name, state, last_error, checkpoint_epoch, lag_records from system.materialized_views")
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The first lines that differ.
fn difference(found: &str, wanted: &str) -> String {
    let lines = |a: &str, b: &str| {
        let there: std::collections::HashSet<&str> = b.lines().collect();
        a.lines().filter(|l| !there.contains(l)).take(10).collect::<Vec<_>>().join("\n")
    };
    format!("only in the view:\n{}\nonly in history:\n{}", lines(found, wanted), lines(wanted, found))
}
