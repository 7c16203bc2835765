//! Records of several logs that belong together.

use crate::StoreError;
use crate::log::tests::{Options, STREAM, World, draft, read_all, schema};
use crate::log::{Ack, Log, LogConfig, SchemaHistory, ends, submit_together};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn logs(world: &World) -> Vec<Arc<Log>> {
    let other = |shard| {
        let config = LogConfig { segment_bytes: 4096 };
        world.volume.open_log(STREAM, shard, SchemaHistory::new(1, schema()), config).expect("a new log")
    };
    vec![Arc::clone(&world.log), other(1), other(2)]
}

#[test]
fn whoever_reads_several_logs_sees_all_of_a_unit_or_nothing() {
    let world = World::new(Options::default());
    let logs = logs(&world);
    let stop = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (logs, stop) = (logs.clone(), Arc::clone(&stop));
        move || {
            let mut looks = 0;
            while !stop.load(Ordering::Relaxed) {
                let ends = ends(&logs);
                assert!(ends.iter().all(|e| *e == ends[0]), "{ends:?}");
                looks += 1;
            }
            looks
        }
    });
    // Segments are small: many of these units roll one.
    for n in 0..1_000 {
        let (records, tickets): (Vec<_>, Vec<_>) =
            logs.iter().map(|log| log.prepare(draft(n), Ack::Synced).expect("encoded")).unzip();
        submit_together(records).expect("room");
        for ticket in tickets {
            assert_eq!(ticket.wait().expect("stored").sequence.0, n as u64);
        }
        assert!(ends(&logs).iter().all(|e| e.0 == n as u64 + 1), "what was answered is seen");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reader.join().expect("no unit was seen in part") > 0);
    for log in &logs {
        assert_eq!(read_all(log, 0), (0..1_000).collect::<Vec<_>>());
    }
}

#[test]
fn a_unit_is_queued_whole_or_not_at_all() {
    let world = World::new(Options::default());
    let logs = logs(&world);
    submit_together(Vec::new()).expect("nothing");
    drop(logs[0].prepare(draft(1), Ack::Synced).expect("encoded"));
    assert_eq!(ends(&logs).iter().map(|e| e.0).sum::<u64>(), 0, "what was not queued is not stored");
    world.volume.close();
    let mut prepared = Vec::new();
    for log in &logs {
        match log.prepare(draft(2), Ack::Synced) {
            Ok((record, _)) => prepared.push(record),
            Err(e) => assert!(matches!(e, StoreError::Closed { .. }), "{e}"),
        }
    }
    assert!(prepared.is_empty() || submit_together(prepared).is_err());
}
