//! SIGKILL of the worker, 50 times, under four writers: no acknowledged row is missing, none is doubled.

use crate::server::{Server, free_port};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const WRITERS: u64 = 4;
const KILLS: usize = 50;

/// What became of each insert.
#[derive(Default)]
struct Outcomes {
    acknowledged: Mutex<Vec<u64>>,
    /// Sent, and neither acknowledged nor refused: the row may be there or not.
    unknown: Mutex<Vec<u64>>,
    count: AtomicU64,
}

#[test]
fn no_acknowledged_row_is_lost_or_doubled_over_fifty_kills() {
    let dir = tempfile::tempdir().unwrap();
    // Fifty in a row would be answered with safe mode, in which nothing is written.
    let settings = [("crash.safe_mode", "0")];
    let server = Arc::new(Server::start_with(&dir.path().join("data"), free_port(), &settings));
    server.ask(
        "create stream k (id uint64, writer uint64) settings flush_threshold_ms = 200, flush_threshold_count = 500",
    );
    let outcomes = Arc::new(Outcomes::default());
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (server, outcomes, stop) = (Arc::clone(&server), Arc::clone(&outcomes), Arc::clone(&stop));
            std::thread::spawn(move || write(&server, writer, &outcomes, &stop))
        })
        .collect();
    for _ in 0..KILLS {
        let before = outcomes.count.load(Ordering::SeqCst);
        let deadline = Instant::now() + Duration::from_secs(30);
        // The next kill comes when the server has answered again.
        while outcomes.count.load(Ordering::SeqCst) < before + 20 {
            assert!(Instant::now() < deadline, "the server did not come back");
            std::thread::yield_now();
        }
        server.kill_worker();
    }
    stop.store(true, Ordering::SeqCst);
    writers.into_iter().for_each(|w| w.join().unwrap());

    let stored = server.ask("select id, count() from table(k) group by id format TSV");
    let stored: HashMap<u64, u64> = stored
        .lines()
        .map(|l| l.split_once('\t').expect("two columns"))
        .map(|(id, n)| (id.parse().unwrap(), n.parse().unwrap()))
        .collect();
    let acknowledged = outcomes.acknowledged.lock().unwrap();
    let unknown = outcomes.unknown.lock().unwrap();
    let missing: Vec<_> = acknowledged.iter().filter(|id| !stored.contains_key(id)).collect();
    let doubled: Vec<_> = stored.iter().filter(|(_, n)| **n > 1).collect();
    assert!(
        missing.is_empty(),
        "{} of {} acknowledged rows are missing: {missing:?}",
        missing.len(),
        acknowledged.len()
    );
    assert!(doubled.is_empty(), "rows are doubled: {doubled:?}");
    let explained = acknowledged.len() + unknown.len();
    assert!(stored.len() <= explained, "{} rows are stored, {explained} were sent", stored.len());
    assert!(acknowledged.len() >= KILLS * 20, "only {} rows were acknowledged", acknowledged.len());
}

fn write(server: &Server, writer: u64, outcomes: &Outcomes, stop: &AtomicBool) {
    let mut id = writer << 32;
    while !stop.load(Ordering::SeqCst) {
        id += 1;
        match server.try_ask(&format!("insert into k (id, writer) values ({id}, {writer})"), &[]) {
            Ok((200, _)) => {
                outcomes.acknowledged.lock().unwrap().push(id);
                outcomes.count.fetch_add(1, Ordering::SeqCst);
            }
            Ok((status, body)) => {
                assert!(status >= 500, "{status}: {body}");
                outcomes.unknown.lock().unwrap().push(id);
            }
            Err(_) => outcomes.unknown.lock().unwrap().push(id),
        }
    }
}
