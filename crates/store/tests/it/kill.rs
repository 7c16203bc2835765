//! A writer is killed at random moments, again and again. Each start finds all that was acknowledged, once.
//!
//! The test starts this very test program as the writer, with the directory in an environment variable.

use crate::os_disk::{draft, number_of, schema, volume};
use hydron_store::log::{Ack, LogConfig, SchemaHistory, Sequence};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use uuid::Uuid;

const DIR: &str = "HYDRON_KILL_TEST_DIR";
const ROUNDS: u64 = 20;
const WRITERS: i64 = 4;
const CONFIG: LogConfig = LogConfig { segment_bytes: 32 << 10 };

/// Not a test by itself: what the killed process does. Prints `sequence number` for each acknowledged record.
#[test]
fn writer_process() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let volume = volume(Path::new(&dir));
    let log = volume.open_log(Uuid::nil(), 0, SchemaHistory::new(1, schema()), CONFIG).expect("opens after a kill");
    let start = log.next_sequence().0 as i64;
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let log = &log;
            scope.spawn(move || {
                for n in 0.. {
                    // Unique over all writers and rounds: no two rounds start at the same sequence twice without
                    // having lost every record in between.
                    let number = (start * 1_000_000 + n) * WRITERS + writer;
                    let ack = if n % 3 == 0 { Ack::Written } else { Ack::Synced };
                    let at = log.append_blocking(draft(number), ack).expect("stored");
                    println!("acked {} {number}", at.sequence);
                    // The line must be out before the next append: only what the outside knows counts.
                    std::io::stdout().flush().expect("pipe");
                }
            });
        }
    });
}

#[test]
fn killed_writer_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut acked: Vec<(u64, i64)> = Vec::new();
    // A fixed seed walks through many moments; the machine's load does the rest.
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..ROUNDS {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let kill_after = 1 + (seed >> 33) % 400;
        acked.extend(write_and_kill(dir.path(), kill_after));
        check(dir.path(), &acked, round);
    }
    assert!(acked.len() > 500, "{} acknowledged records prove little", acked.len());
}

/// Lets the writer acknowledge `kill_after` records, kills it, and returns all that it has said.
fn write_and_kill(dir: &Path, kill_after: u64) -> Vec<(u64, i64)> {
    let program = std::env::current_exe().expect("test program");
    let mut child = Command::new(program)
        .args(["--exact", "kill::writer_process", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut acked = Vec::new();
    for line in lines.map_while(Result::ok) {
        // The test harness may print before and after the word on the same line.
        let Some((_, rest)) = line.split_once("acked ") else {
            continue;
        };
        let Some((sequence, number)) = rest.split_once(' ') else {
            continue;
        };
        let (Ok(sequence), Ok(number)) = (sequence.parse(), number.parse()) else {
            continue;
        };
        acked.push((sequence, number));
        if acked.len() as u64 == kill_after {
            child.kill().expect("running");
        }
    }
    child.wait().expect("ended");
    assert!(acked.len() as u64 >= kill_after, "the writer stopped by itself after {} records", acked.len());
    acked
}

fn check(dir: &Path, acked: &[(u64, i64)], round: u64) {
    let volume = volume(dir);
    let log = volume.open_log(Uuid::nil(), 0, SchemaHistory::new(1, schema()), CONFIG).expect("opens after a kill");
    let mut cursor = log.subscribe(Sequence(0));
    let mut place: HashMap<i64, u64> = HashMap::new();
    while let Some(record) = cursor.try_next().expect("readable") {
        let before = place.insert(number_of(&record.batch), record.sequence.0);
        assert_eq!(before, None, "round {round}: record {} is there twice", record.sequence);
    }
    for (sequence, number) in acked {
        assert_eq!(place.get(number), Some(sequence), "round {round}: acknowledged record {sequence} is missing");
    }
}
