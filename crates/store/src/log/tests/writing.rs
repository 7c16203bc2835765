//! Appending: order, grouping, keys, segments, retention.

use crate::StoreError;
use crate::log::tests::{Options, STREAM, World, draft, schema, segment_files};
use crate::log::{Ack, Draft, LogConfig, Retention, SchemaHistory, Sequence};
use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use bytes::Bytes;
use hydron_base::Code;
use std::collections::BTreeSet;
use std::sync::Arc;

#[test]
fn many_writers_share_syncs_and_get_dense_sequences() {
    let world = World::new(Options { segment_bytes: 1 << 20, ..Options::default() });
    let before = world.disk.syncs();
    let threads: Vec<_> = (0..8)
        .map(|writer| {
            let log = world.log.clone();
            std::thread::spawn(move || {
                let tickets: Vec<_> =
                    (0..100).map(|n| log.submit(draft(writer * 1000 + n), Ack::Synced).expect("room")).collect();
                tickets.into_iter().map(|t| t.wait().expect("stored").sequence.0).collect::<Vec<u64>>()
            })
        })
        .collect();
    let answers: Vec<Vec<u64>> = threads.into_iter().map(|t| t.join().expect("writer")).collect();
    assert!(answers.iter().all(|a| a.is_sorted()), "one writer's records keep their order");
    let all: BTreeSet<u64> = answers.iter().flatten().copied().collect();
    assert_eq!(all, (0..800).collect(), "each answered once, no gap");
    assert!(world.disk.syncs() - before < 800, "writers share syncs");
    let numbers = world.read_from(0);
    for (writer, sequences) in answers.iter().enumerate() {
        for (n, sequence) in sequences.iter().enumerate() {
            assert_eq!(numbers[*sequence as usize], (writer * 1000 + n) as i64);
        }
    }
}

#[test]
fn tasks_and_threads_append_alike() {
    let world = World::new(Options::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    let first = runtime.block_on(world.log.append(draft(1), Ack::Synced)).expect("stored");
    let second = world.log.append_blocking(draft(2), Ack::Written).expect("stored");
    assert_eq!((first.sequence, second.sequence), (Sequence(0), Sequence(1)));
    world.volume.close();
    assert_eq!(world.read_from(0), [1, 2]);
    let refused = world.log.append_blocking(draft(3), Ack::Synced).expect_err("closed");
    assert!(matches!(refused, StoreError::Closed { .. }));
}

#[test]
fn full_queue_says_so_or_waits() {
    let world = World::new(Options::default());
    let huge = |n: i64| {
        let numbers = (0..200_000).map(|i| i * 7919 + n);
        Draft { codec: crate::log::Codec::None, ..Draft::new(crate::log::tests::batch(numbers), 1) }
    };
    // 64 MiB may wait; without pause the queue fills long before the disk has taken as much.
    let mut tickets = Vec::new();
    let refused = (0..400).find_map(|n| match world.log.submit(huge(n), Ack::Synced) {
        Ok(ticket) => {
            tickets.push(ticket);
            None
        }
        Err(e) => Some(e),
    });
    if let Some(refused) = refused {
        assert_eq!(refused.code(), Code::INTERNAL_INGEST_BUFFER_FULL);
        assert!(world.log.append_blocking(huge(0), Ack::Synced).is_ok(), "waiting writers get through");
    }
    tickets.into_iter().for_each(|t| drop(t.wait()));
}

#[test]
fn key_is_stored_once_also_after_a_restart_and_a_roll() {
    let world = World::new(Options { segment_bytes: 2048, ..Options::default() });
    let keyed = |number: i64, key: &'static str| Draft { key: Some(Bytes::from(key)), ..draft(number) };
    let first = world.log.append_blocking(keyed(1, "a"), Ack::Synced).expect("stored");
    let again = world.log.append_blocking(keyed(2, "a"), Ack::Synced).expect("known");
    assert!(!first.duplicate && again.duplicate);
    assert_eq!(first.sequence, again.sequence);
    // Both in one group, the second before the first is synced.
    let pair = [keyed(3, "b"), keyed(4, "b")].map(|d| world.log.submit(d, Ack::Written).expect("room"));
    let pair = pair.map(|t| t.wait().expect("stored"));
    assert_eq!((pair[0].sequence, pair[0].duplicate), (pair[1].sequence, false));
    assert!(pair[1].duplicate);
    while segment_files(&world.disk).len() < 3 {
        world.append(0);
    }
    let reopened = World::on(world.disk.power_cut(), Options::default()).expect("whole");
    let third = reopened.log.append_blocking(keyed(5, "a"), Ack::Synced).expect("known");
    assert_eq!((third.sequence, third.duplicate), (Sequence(0), true));
    assert_eq!(third.append_time_ms, first.append_time_ms);
}

#[test]
fn window_of_keys_forgets_the_oldest() {
    let world = World::new(Options { segment_bytes: 1 << 20, ..Options::default() });
    let keyed = |n: usize| Draft { key: Some(Bytes::from(n.to_string())), ..draft(n as i64) };
    let tickets: Vec<_> =
        (0..=crate::log::KEYS_MAX).map(|n| world.log.submit(keyed(n), Ack::Written).expect("room")).collect();
    tickets.into_iter().for_each(|t| _ = t.wait().expect("stored"));
    assert!(world.log.append_blocking(keyed(1), Ack::Synced).expect("known").duplicate);
    assert!(!world.log.append_blocking(keyed(0), Ack::Synced).expect("stored").duplicate);
}

#[test]
fn segments_roll_and_everything_is_there_after_a_restart() {
    let world = World::new(Options::default());
    (0..100).for_each(|n| _ = world.append(n));
    assert!(segment_files(&world.disk).len() > 3);
    world.volume.close();
    let reopened = World::on(world.disk.power_cut(), Options::default()).expect("whole");
    assert_eq!(reopened.read_from(0), (0..100).collect::<Vec<_>>());
    assert_eq!(reopened.append(100).sequence, Sequence(100));
    let stats = reopened.log.stats();
    assert_eq!((stats.records, stats.rows, stats.first, stats.next), (101, 101, Sequence(0), Sequence(101)));
}

#[test]
fn lost_index_file_is_rebuilt_by_reading() {
    let world = World::new(Options::default());
    (0..60).for_each(|n| _ = world.append(n));
    let disk = world.disk.power_cut();
    for file in segment_files(&disk) {
        let index = file.with_extension("index");
        // Written but never synced: a power cut has left it empty, which reads as "no index".
        let _ = disk.tamper(&index, |bytes| bytes.truncate(10));
    }
    let reopened = World::on(disk, Options::default()).expect("whole");
    assert_eq!(reopened.read_from(0), (0..60).collect::<Vec<_>>());
}

#[test]
fn append_time_never_falls() {
    let world = World::new(Options::default());
    world.clock.advance_ms(500);
    let first = world.append(1).append_time_ms;
    world.clock.advance_ms(-400);
    assert_eq!(world.append(2).append_time_ms, first);
}

#[test]
fn retention_removes_whole_segments_below_the_floor_only() {
    let world = World::new(Options::default());
    (0..100).for_each(|n| _ = world.append(n));
    let files = segment_files(&world.disk).len();
    let kept = world.log.retain(Retention::NOTHING, Sequence(0)).expect("disk");
    assert_eq!(kept.segments, 0, "all of it is still needed");
    let some = world.log.retain(Retention::NOTHING, Sequence(50)).expect("disk");
    assert!(some.segments > 0 && world.log.first_sequence() <= Sequence(50));
    assert_eq!(segment_files(&world.disk).len(), files - some.segments);
    let first = world.log.first_sequence();
    assert_eq!(world.read_from(first.0).first(), Some(&(first.0 as i64)));
    let gone = world.log.subscribe(Sequence(0)).try_next().expect_err("removed");
    assert_eq!(gone.code(), Code::SEQUENCE_OUT_OF_RANGE);
    let reopened = World::on(world.disk.power_cut(), Options::default()).expect("whole");
    assert_eq!(reopened.log.first_sequence(), first);
}

#[test]
fn reader_that_holds_the_log_is_not_overtaken() {
    let world = World::new(Options::default());
    (0..100).for_each(|n| _ = world.append(n));
    let (hold, second) = (world.log.hold(), world.log.hold());
    drop(second);
    assert_eq!(world.log.retain(Retention::NOTHING, Sequence(100)).expect("disk").segments, 0);
    assert_eq!(world.read_from(0).len(), 100);
    drop(hold);
    assert!(world.log.retain(Retention::NOTHING, Sequence(100)).expect("disk").segments > 0);
}

#[test]
fn batch_of_other_types_is_refused_before_it_is_stored() {
    let world = World::new(Options::default());
    let refused = |draft: Draft| world.log.append_blocking(draft, Ack::Synced).expect_err("does not fit").code();
    assert_eq!(refused(Draft { schema_version: 2, ..draft(1) }), Code::INVALID_RECORD);
    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let other = RecordBatch::try_from_iter([("n", column)]).expect("one column");
    assert_eq!(refused(Draft::new(Arc::new(other), 1)), Code::BAD_ARGUMENTS);
    assert_eq!(refused(Draft { columns: Some(Arc::from([1u16])), ..draft(1) }), Code::BAD_ARGUMENTS);
    assert_eq!(refused(Draft { columns: Some(Arc::from([0u16, 0])), ..draft(1) }), Code::BAD_ARGUMENTS);
    assert_eq!(world.append(1).sequence, Sequence(0));
}

#[test]
fn retention_by_age_also_closes_an_old_active_segment() {
    let world = World::new(Options::default());
    world.append(1);
    world.clock.advance_ms(10_000);
    let policy = Retention { bytes_max: None, age_ms_max: Some(1_000) };
    // The first call asks for a new segment, which may be there in time for it. The next record is behind the roll.
    let first = world.log.retain(policy, Sequence(1)).expect("disk").segments;
    world.append(2);
    let second = world.log.retain(policy, Sequence(1)).expect("disk").segments;
    assert_eq!(first + second, 1);
    assert_eq!(world.log.first_sequence(), Sequence(1));
    assert_eq!(world.read_from(1), [2]);
}

#[test]
fn cleared_log_is_empty_and_goes_on_counting() {
    let world = World::new(Options::default());
    (0..50).for_each(|n| _ = world.append(n));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    assert_eq!(runtime.block_on(world.log.clear()).expect("cleared"), Sequence(50));
    assert_eq!((world.log.first_sequence(), world.log.next_sequence()), (Sequence(50), Sequence(50)));
    assert!(world.log.subscribe(Sequence(49)).try_next().is_err(), "also gone from memory");
    let reopened = World::on(world.disk.power_cut(), Options::default()).expect("whole");
    assert_eq!(reopened.append(7).sequence, Sequence(50));
    assert_eq!(reopened.read_from(50), [7]);
}

#[test]
fn log_is_open_once_and_dropped_with_its_files() {
    let world = World::new(Options::default());
    world.append(1);
    let twice = world.volume.open_log(STREAM, 0, SchemaHistory::new(1, schema()), LogConfig::default());
    assert!(matches!(twice, Err(StoreError::AlreadyOpen { .. })));
    assert_eq!(world.volume.list().expect("memory").len(), 1);
    let mut cursor = world.log.subscribe(Sequence(1));
    world.volume.drop_log(STREAM, 0).expect("dropped");
    assert!(segment_files(&world.disk).is_empty());
    assert!(world.log.append_blocking(draft(2), Ack::Synced).is_err());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    assert!(runtime.block_on(cursor.next()).expect("no error").is_none(), "readers finish");
    let fresh = world.volume.open_log(STREAM, 0, SchemaHistory::new(1, schema()), LogConfig::default());
    assert_eq!(Arc::clone(&fresh.expect("a new log")).next_sequence(), Sequence(0));
}
