//! Cursors: order, sharing, falling back to files, waiting, looking up times.

use crate::log::tests::{Options, World, draft, number_of};
use crate::log::{Ack, Draft, EventSpan, Isolation, Sequence};
use bytes::Bytes;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn readers_near_the_head_share_the_batch_that_was_given() {
    let world = World::new(Options::default());
    let given = draft(1);
    world.log.append_blocking(given.clone(), Ack::Synced).expect("stored");
    let mut readers = [world.log.subscribe(Sequence(0)), world.log.subscribe(Sequence(0))];
    for reader in &mut readers {
        let record = reader.try_next().expect("readable").expect("there");
        assert!(Arc::ptr_eq(&record.batch, &given.batch));
    }
}

#[test]
fn reader_goes_from_memory_to_files_and_back() {
    let world = World::new(Options { tail_records: 5, ..Options::default() });
    let mut reader = world.log.subscribe(Sequence(0));
    let mut seen = Vec::new();
    let mut behind = Vec::new();
    let mut read = |count: usize| {
        for _ in 0..count {
            behind.push(reader.is_behind());
            seen.push(number_of(&reader.try_next().expect("readable").expect("there")));
        }
    };
    (0..3).for_each(|n| _ = world.append(n));
    read(3);
    (3..90).for_each(|n| _ = world.append(n));
    read(80);
    (90..93).for_each(|n| _ = world.append(n));
    read(10);
    assert_eq!(seen, (0..93).collect::<Vec<_>>());
    assert!(!behind[0] && behind[3] && !behind[92], "memory, then files, then memory");
    assert!(world.log.stats().ring_records <= 5);
}

#[test]
fn waiting_readers_get_every_record_once() {
    let world = World::new(Options { tail_records: 3, ..Options::default() });
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let mut cursor = world.log.subscribe(Sequence(0));
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                while seen.len() < 200 {
                    if let Some(record) = cursor.next_blocking(Duration::from_secs(10)).expect("readable") {
                        seen.push(number_of(&record));
                    }
                }
                seen
            })
        })
        .collect();
    (0..200).for_each(|n| _ = world.append(n));
    for thread in threads {
        assert_eq!(thread.join().expect("reader"), (0..200).collect::<Vec<_>>());
    }
}

#[test]
fn waiting_task_wakes_up_and_ends_with_the_log() {
    let world = World::new(Options::default());
    let mut cursor = world.log.subscribe(Sequence(0));
    let reader = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        runtime.block_on(async move {
            let mut seen = Vec::new();
            while let Some(record) = cursor.next().await.expect("readable") {
                seen.push(number_of(&record));
            }
            seen
        })
    });
    (0..20).for_each(|n| _ = world.append(n));
    world.log.close();
    assert_eq!(reader.join().expect("reader"), (0..20).collect::<Vec<_>>());
}

#[test]
fn reader_beyond_the_end_waits_for_its_record() {
    let world = World::new(Options::default());
    let mut cursor = world.log.subscribe_with(Sequence(2), Isolation::Written);
    world.append(0);
    assert!(cursor.try_next().expect("readable").is_none());
    (1..4).for_each(|n| _ = world.append(n));
    assert_eq!(number_of(&cursor.try_next().expect("readable").expect("there")), 2);
    assert_eq!(cursor.lag(), 1);
}

#[test]
fn time_is_found_never_too_late() {
    let world = World::new(Options { tail_records: 2, segment_bytes: 3000, ..Options::default() });
    let times = [10, 30, 20, 25, 5, 40, 35, 50, 45, 60, 1, 70];
    for (at, time) in times.iter().enumerate() {
        world.clock.advance_ms(100);
        let event_span = EventSpan::new(*time, *time);
        world.log.append_blocking(Draft { event_span, ..draft(at as i64) }, Ack::Synced).expect("stored");
    }
    for wanted in 0..80 {
        let expected = times.iter().position(|t| *t >= wanted).unwrap_or(times.len());
        assert_eq!(world.log.sequence_at_event_time(wanted).expect("readable").0, expected as u64, "at {wanted}");
    }
    // Records were appended at 1100 ms, 1200 ms, …
    for (wanted, expected) in [(0, 0), (1100, 0), (1101, 1), (1250, 2), (2200, 11), (2201, 12)] {
        assert_eq!(world.log.sequence_at_append_time(wanted).expect("readable").0, expected, "at {wanted}");
    }
    // A record of unknown time may be of any.
    world.append(12);
    assert_eq!(world.log.sequence_at_event_time(1000).expect("readable").0, 12);
}

#[test]
fn stamps_are_found_without_decoding_rows() {
    let world = World::new(Options::default());
    for n in 0..60i64 {
        let stamp = (n % 10 == 0).then(|| Bytes::from(n.to_string()));
        world.log.append_blocking(Draft { stamp, ..draft(n) }, Ack::Written).expect("stored");
    }
    let mut stamps = Vec::new();
    let visit = |head: crate::log::RecordHead| {
        stamps.extend(head.stamp.map(|s| (head.sequence.0, s)));
        if stamps.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    world.append(60);
    world.log.visit_heads(Sequence(15), visit).expect("readable");
    assert_eq!(stamps, [(20, Bytes::from("20")), (30, Bytes::from("30")), (40, Bytes::from("40"))]);
}

#[test]
fn rows_are_counted_from_any_record_on() {
    // Many segments of one block, one segment of several.
    for (segment_bytes, segments_min) in [(4096, 3), (1 << 20, 1)] {
        let options = || Options { segment_bytes, ..Options::default() };
        let world = World::new(options());
        (0..1_000).for_each(|n| _ = world.append(n));
        let check = |world: &World| {
            assert!(world.log.stats().segments >= segments_min);
            for from in 0..=1_000_u64 {
                let (rows, since) = world.log.rows_from(Sequence(from)).expect("readable");
                assert_eq!((rows, since.is_some()), (1_000 - from, from < 1_000), "from {from}");
            }
        };
        check(&world);
        let disk = world.disk.clone();
        drop(world);
        check(&World::on(disk, options()).expect("opens"));
    }
}
