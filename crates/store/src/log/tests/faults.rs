//! A disk that fails, fills up, tears writes and loses power.

use crate::StoreError;
use crate::log::tests::{Options, STREAM, World, draft, read_all, schema, segment_files};
use crate::log::{Ack, Disk, Faults, LogConfig, SchemaHistory, Sequence};
use hydron_base::Code;
use parking_lot::Mutex;
use proptest::prelude::*;
use std::sync::Arc;

#[test]
fn failed_sync_is_told_once_and_never_tried_again() {
    let faults: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = faults.clone();
    let hook: crate::log::FaultHook = Arc::new(move |e| told.lock().push(e.to_string()));
    let world = World::new(Options { on_fault: Some(hook), ..Options::default() });
    world.append(1);
    world.disk.arm(Faults { fail_sync_in: Some(1), ..Faults::default() });
    let unknown = world.log.append_blocking(draft(2), Ack::Synced).expect_err("not synced");
    assert_eq!(unknown.code(), Code::CANNOT_FLUSH_FILE);
    let syncs = world.disk.syncs();
    let refused = world.log.append_blocking(draft(3), Ack::Written).expect_err("stopped");
    assert_eq!(refused.code(), Code::DWAL_FATAL_ERROR);
    assert_eq!(world.disk.syncs(), syncs, "no second sync is believed");
    assert_eq!(faults.lock().len(), 1);
    assert_eq!(world.read_from(0), [1], "a record that was not synced is not shown");
    assert!(world.log.stats().poisoned);
    let reopened = World::on(world.disk.power_cut(), Options::default()).expect("whole");
    assert_eq!(reopened.read_from(0), [1]);
    assert_eq!(reopened.append(4).sequence, Sequence(1));
}

#[test]
fn logs_fail_one_by_one() {
    let world = World::new(Options::default());
    let open = |shard| world.volume.open_log(STREAM, shard, SchemaHistory::new(1, schema()), LogConfig::default());
    let logs: Vec<_> = (1..20).map(|shard| open(shard).expect("new")).collect();
    world.disk.arm(Faults { fail_sync_in: Some(10), ..Faults::default() });
    let tickets: Vec<_> = logs.iter().map(|log| log.submit(draft(1), Ack::Synced).expect("room")).collect();
    let failed: Vec<bool> = tickets.into_iter().map(|t| t.wait().is_err()).collect();
    assert_eq!(failed.iter().filter(|f| **f).count(), 1);
    for (log, failed) in logs.iter().zip(failed) {
        assert_eq!(log.append_blocking(draft(2), Ack::Synced).is_err(), failed);
        assert_eq!(log.stats().poisoned, failed);
    }
}

#[test]
fn duplicate_of_a_record_that_failed_does_not_claim_success() {
    let world = World::new(Options::default());
    world.append(0);
    world.disk.arm(Faults { tear_write_in: Some((1, 10)), ..Faults::default() });
    let keyed = || crate::log::Draft { key: Some("k".into()), ..draft(1) };
    let pair = [world.log.submit(keyed(), Ack::Written), world.log.submit(keyed(), Ack::Written)];
    for ticket in pair {
        assert!(ticket.expect("room").wait().is_err());
    }
}

#[test]
fn torn_write_is_cut_away_at_the_next_start() {
    let world = World::new(Options::default());
    world.append(1);
    world.disk.arm(Faults { tear_write_in: Some((1, 50)), ..Faults::default() });
    assert!(world.log.append_blocking(draft(2), Ack::Synced).is_err());
    // Not a power cut but a kill: the torn bytes are in the file.
    world.volume.close();
    let reopened = World::on(world.disk.clone(), Options::default()).expect("whole");
    assert!((1..=50).contains(&reopened.log.recovery().cut_bytes), "up to the last byte that is not zero");
    assert_eq!(reopened.read_from(0), [1]);
    assert_eq!(reopened.append(3).sequence, Sequence(1));
    assert_eq!(reopened.read_from(0), [1, 3]);
}

#[test]
fn full_disk_refuses_records_and_takes_them_again_later() {
    let world = World::new(Options { segment_bytes: 8 << 20, capacity: 1 << 20, ..Options::default() });
    // Past the small room that the log has, one more MiB would not fit the disk.
    let refused = (0..).find_map(|n| world.log.append_blocking(draft(n), Ack::Synced).err()).expect("full at last");
    assert_eq!(refused.code(), Code::NOT_ENOUGH_SPACE);
    let before = world.read_from(0);
    assert_eq!(
        world.log.append_blocking(draft(0), Ack::Synced).expect_err("still full").code(),
        Code::NOT_ENOUGH_SPACE
    );
    world.disk.set_capacity(64 << 20);
    assert_eq!(world.append(-1).sequence.0, before.len() as u64, "a refused record has taken no sequence");
    let reopened = World::on(world.disk.power_cut(), Options::default()).expect("whole");
    assert_eq!(reopened.read_from(0).len(), before.len() + 1);
}

#[test]
fn full_disk_at_a_roll_keeps_the_old_segment() {
    let world = World::new(Options::default());
    (0..5).for_each(|n| _ = world.append(n));
    let used: u64 = {
        let files = segment_files(&world.disk);
        files.iter().map(|f| world.disk.open(f).expect("there").len().expect("memory")).sum()
    };
    world.disk.set_capacity(used);
    let full = (5..100).find_map(|n| world.log.append_blocking(draft(n), Ack::Synced).err());
    assert_eq!(full.expect("no room for a second segment").code(), Code::NOT_ENOUGH_SPACE);
    assert_eq!(segment_files(&world.disk).len(), 1);
    world.disk.set_capacity(1 << 20);
    let next = world.log.next_sequence();
    assert_eq!(world.append(-1).sequence, next);
    assert_eq!(segment_files(&world.disk).len(), 2);
}

#[test]
fn changed_byte_in_a_closed_segment_is_damage_with_its_place() {
    let world = World::new(Options { tail_records: 0, ..Options::default() });
    (0..60).for_each(|n| _ = world.append(n));
    let first = segment_files(&world.disk)[0].clone();
    world.disk.tamper(&first, |bytes| bytes[200] ^= 1).expect("there");
    // While running: the reader is told.
    let found = world.log.subscribe(Sequence(0)).try_next().expect_err("damaged");
    assert!(matches!(&found, StoreError::Damaged { file, offset: 64, .. } if file.ends_with(".log")), "{found}");
    assert!(world.log.subscribe(Sequence(59)).try_next().is_ok(), "others are not affected");
    // With its index file the log opens, and the reader is told; without, opening tells.
    let disk = world.disk.power_cut();
    let _ = disk.remove(&first.with_extension("index"));
    assert!(matches!(World::on(disk, Options::default()), Err(StoreError::Damaged { offset: 64, .. })));
}

#[test]
fn changed_byte_below_what_was_synced_is_never_cut_away() {
    let world = World::new(Options::default());
    (0..5).for_each(|n| _ = world.append(n));
    world.volume.close();
    let file = segment_files(&world.disk)[0].clone();
    world.disk.tamper(&file, |bytes| bytes[100] ^= 1).expect("there");
    let len = || world.disk.open(&file).expect("there").len().expect("memory");
    let before = len();
    let found = World::on(world.disk.clone(), Options::default()).err().expect("acknowledged records follow");
    assert!(matches!(found, StoreError::Damaged { offset: 64, .. }), "{found}");
    assert_eq!(len(), before, "evidence stays");
}

#[test]
fn log_of_another_stream_is_not_taken_for_ours() {
    let world = World::new(Options::default());
    world.append(1);
    let file = segment_files(&world.disk)[0].clone();
    world.disk.tamper(&file, |bytes| bytes[9] ^= 1).expect("there");
    assert!(matches!(World::on(world.disk.clone(), Options::default()), Err(StoreError::Damaged { offset: 0, .. })));
}

#[test]
fn missing_segment_is_damage() {
    let world = World::new(Options::default());
    (0..100).for_each(|n| _ = world.append(n));
    let disk = world.disk.power_cut();
    disk.remove(&segment_files(&disk)[1]).expect("there");
    assert!(matches!(World::on(disk, Options::default()), Err(StoreError::Damaged { .. })));
}

#[derive(Clone, Debug)]
enum Blow {
    Truncate(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Zero(prop::sample::Index, usize),
}

/// A record is whole when its padding is not: the file is made as long as the reader expects.
#[test]
fn a_file_that_ends_within_the_padding_of_its_last_record_opens() {
    for cut in 1..64 {
        let world = World::new(Options { segment_bytes: 1 << 20, ..Options::default() });
        (0..3).for_each(|n| _ = world.append(n));
        world.volume.close();
        let bytes = world.log.stats().bytes as usize;
        let file = segment_files(&world.disk)[0].clone();
        world.disk.tamper(&file, |file| file.truncate(bytes - cut)).expect("there");
        let reopened = World::on(world.disk.clone(), Options::default()).expect("opens");
        let there = reopened.read_from(0).len();
        assert!(there >= 2, "{cut} bytes were cut, {there} records are left");
        assert_eq!(reopened.append(there as i64).sequence.0, there as u64);
        assert_eq!(reopened.read_from(0), (0..=there as i64).collect::<Vec<_>>(), "{cut} bytes were cut");
    }
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Blow::Truncate),
        (any::<prop::sample::Index>(), 0u8..8).prop_map(|(at, bit)| Blow::Flip(at, bit)),
        (any::<prop::sample::Index>(), 1usize..600).prop_map(|(at, len)| Blow::Zero(at, len)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever hits the last segment: records before the blow are there, nothing is invented, and acknowledged records
    /// are not dropped without a word.
    #[test]
    fn blow_to_the_last_segment_loses_nothing_before_it(groups in proptest::collection::vec(1usize..5, 1..8), blow in blow()) {
        let world = World::new(Options { segment_bytes: 1 << 20, ..Options::default() });
        let mut count = 0;
        for group in &groups {
            let tickets: Vec<_> = (0..*group).map(|_| {
                count += 1;
                world.log.submit(draft(count - 1), Ack::Synced).expect("room")
            }).collect();
            tickets.into_iter().for_each(|t| _ = t.wait().expect("stored"));
        }
        world.volume.close();
        let bytes = world.log.stats().bytes as usize;
        let stride = (bytes - 64) / count as usize;
        let file = segment_files(&world.disk)[0].clone();
        let mut hit = 0;
        world.disk.tamper(&file, |file| match &blow {
            Blow::Truncate(at) => {
                hit = 64 + at.index(bytes - 64);
                file.truncate(hit);
            }
            Blow::Flip(at, bit) => {
                hit = 64 + at.index(bytes - 64);
                file[hit] ^= 1 << bit;
            }
            Blow::Zero(at, len) => {
                hit = 64 + at.index(bytes - 64);
                let end = (hit + len).min(bytes);
                file[hit..end].fill(0);
            }
        }).expect("there");
        let before = (hit - 64) / stride;
        match World::on(world.disk.clone(), Options::default()) {
            Ok(reopened) => {
                let numbers = reopened.read_from(0);
                prop_assert!(numbers.len() >= before, "{} of {before} records before the blow", numbers.len());
                prop_assert_eq!(&numbers, &(0..numbers.len() as i64).collect::<Vec<_>>());
                prop_assert!(numbers.len() <= count as usize);
                // The log goes on, and what was cut does not come back.
                prop_assert_eq!(reopened.append(-1).sequence.0, numbers.len() as u64);
                reopened.volume.close();
                let again = World::on(reopened.disk.clone(), Options::default()).expect("whole");
                prop_assert_eq!(read_all(&again.log, 0).len(), numbers.len() + 1);
            }
            Err(e) => prop_assert!(matches!(e, StoreError::Damaged { .. }), "{}", e),
        }
    }

    /// Power goes at any moment: what was acknowledged is there, in order.
    #[test]
    fn power_cut_loses_nothing_acknowledged(appends in 1usize..40, fail_at in 1u32..40, tear in any::<bool>(), segment_bytes in 1000u64..4000) {
        let world = World::new(Options { segment_bytes, ..Options::default() });
        let faults = match tear {
            true => Faults { tear_write_in: Some((fail_at, 100)), ..Faults::default() },
            false => Faults { fail_sync_in: Some(fail_at), ..Faults::default() },
        };
        world.disk.arm(faults);
        let acked = (0..appends).take_while(|n| world.log.append_blocking(draft(*n as i64), Ack::Synced).is_ok()).count();
        let reopened = World::on(world.disk.power_cut(), Options::default()).expect("whole");
        let numbers = reopened.read_from(0);
        prop_assert!(numbers.len() >= acked && numbers.len() <= acked + 1);
        prop_assert_eq!(numbers.clone(), (0..numbers.len() as i64).collect::<Vec<_>>());
    }
}
