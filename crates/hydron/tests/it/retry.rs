//! Inserts that are repeated with their `idempotent_id` until they are acknowledged, under SIGKILLs: every row is there once.

use crate::server::{Server, free_port};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WRITERS: u64 = 3;
const KILLS: usize = 12;
/// Rows of one insert: several batches, over several shards.
const ROWS: u64 = 500;

#[test]
fn a_repeated_insert_is_stored_once_over_kills() {
    let dir = tempfile::tempdir().unwrap();
    let server = Arc::new(Server::start_with(&dir.path().join("data"), free_port(), &[("crash.safe_mode", "0")]));
    server
        .ask("create stream k (id uint64) settings shards = 3, flush_threshold_ms = 200, flush_threshold_count = 2000");
    let (inserts, retries) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (server, inserts, retries, stop) = (server.clone(), inserts.clone(), retries.clone(), stop.clone());
            std::thread::spawn(move || write(&server, writer, &inserts, &retries, &stop))
        })
        .collect();
    for _ in 0..KILLS {
        let before = inserts.load(Ordering::SeqCst);
        let deadline = Instant::now() + Duration::from_secs(30);
        while inserts.load(Ordering::SeqCst) < before + 5 {
            assert!(Instant::now() < deadline, "the server did not come back");
            std::thread::yield_now();
        }
        server.kill_worker();
    }
    stop.store(true, Ordering::SeqCst);
    let sent: u64 = writers.into_iter().map(|w| w.join().unwrap()).sum();
    let counts: BTreeMap<String, u64> = server
        .ask("select n, count() from (select id, count() as n from table(k) group by id) group by n format TSV")
        .lines()
        .filter_map(|l| l.split_once('\t'))
        .map(|(n, ids)| (n.to_string(), ids.parse().unwrap()))
        .collect();
    assert_eq!(counts, BTreeMap::from([("1".to_string(), sent * ROWS)]), "how often each row is stored");
    assert!(retries.load(Ordering::SeqCst) > 0, "no insert was interrupted");
}

/// Returns how many inserts were acknowledged; none is given up.
fn write(server: &Server, writer: u64, inserts: &AtomicU64, retries: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !stop.load(Ordering::SeqCst) {
        let first = (writer << 32) + sent * ROWS;
        let rows: Vec<String> = (first..first + ROWS).map(|id| format!("({id})")).collect();
        let insert = format!("insert into k (id) values {}", rows.join(","));
        let token = format!("{writer}-{sent}");
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match server.try_ask(&insert, &[("idempotent_id", token.as_str()), ("max_insert_block_size", "120")]) {
                Ok((200, _)) => break,
                Ok((status, body)) => assert!(status >= 500, "{status}: {body}"),
                Err(_) => {}
            }
            assert!(Instant::now() < deadline, "insert {token} is not taken");
            retries.fetch_add(1, Ordering::SeqCst);
        }
        sent += 1;
        inserts.fetch_add(1, Ordering::SeqCst);
    }
    sent
}
