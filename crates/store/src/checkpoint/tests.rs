//! Stories of checkpoints: epochs that last, epochs that were never whole, disks that fail.

use super::{CheckpointStore, EPOCHS_KEPT, Epoch, Manifest, Query, SourcePosition, Sweep};
use crate::StoreError;
use crate::log::{Faults, MemDisk};
use bytes::Bytes;
use hydron_base::world::WallTime;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const NOW: WallTime = WallTime(1_000_000_000);

fn disk() -> MemDisk {
    MemDisk::with_power_cuts(64 << 20)
}

fn open(disk: &MemDisk) -> CheckpointStore {
    CheckpointStore::on(Arc::new(disk.clone()), Path::new("/checkpoint"))
}

fn epoch(number: u64) -> Epoch {
    let source =
        SourcePosition { name: "default.s".to_owned(), positions: vec![(0, number as i64)], ..Default::default() };
    Epoch {
        number,
        manifest: Manifest { fingerprint: "f".to_owned(), step: number, sources: vec![source], ..Default::default() },
        state: Bytes::from(format!("state {number}")),
        steps: Bytes::from_static(b"steps"),
    }
}

fn newest(store: &CheckpointStore, id: &str) -> Option<u64> {
    store.newest(id).expect("readable").epoch.map(|e| e.number)
}

fn path(number: u64) -> std::path::PathBuf {
    Path::new("/checkpoint/q").join(super::name::epoch_file(number))
}

#[test]
fn an_epoch_survives_a_power_cut_and_older_ones_go() {
    let disk = disk();
    let store = open(&disk);
    store.create("q", b"select 1", NOW).expect("created");
    (1..=5).for_each(|n| store.commit("q", &epoch(n), NOW).expect("committed"));
    let reopened = open(&disk.power_cut());
    assert_eq!(reopened.query("q").expect("there"), Query::Known(Bytes::from_static(b"select 1")));
    assert_eq!(reopened.newest("q").expect("whole").epoch, Some(epoch(5)));
    assert_eq!(store.epoch_numbers("q").expect("there"), [4, 5]);
    assert_eq!(store.epoch_numbers("q").expect("there").len(), EPOCHS_KEPT);
    assert_eq!(reopened.ids().expect("there"), ["q"]);
}

#[test]
fn a_damaged_epoch_is_set_aside_and_the_one_before_counts() {
    let disk = disk();
    let store = open(&disk);
    store.create("q", b"", NOW).expect("created");
    (1..=2).for_each(|n| store.commit("q", &epoch(n), NOW).expect("committed"));
    disk.tamper(&path(2), |bytes| bytes[60] ^= 4).expect("there");
    let found = store.newest("q").expect("readable");
    assert_eq!((found.epoch, found.damaged.len()), (Some(epoch(1)), 1));
    // The next one goes past the damaged number; the good one before stays.
    store.commit("q", &epoch(3), NOW).expect("committed");
    assert_eq!(store.epoch_numbers("q").expect("there"), [1, 3]);
}

#[test]
fn a_failed_write_leaves_the_epoch_before() {
    let write = Faults { tear_write_in: Some((1, 20)), ..Faults::default() };
    let sync = Faults { fail_sync_in: Some(1), ..Faults::default() };
    for faults in [write, sync] {
        let disk = disk();
        let store = open(&disk);
        store.create("q", b"", NOW).expect("created");
        store.commit("q", &epoch(1), NOW).expect("committed");
        disk.arm(faults);
        assert!(matches!(store.commit("q", &epoch(2), NOW), Err(StoreError::Disk { .. })));
        assert_eq!(newest(&store, "q"), Some(1));
        assert_eq!(newest(&open(&disk.power_cut()), "q"), Some(1));
        // The disk is well again.
        store.commit("q", &epoch(3), NOW).expect("committed");
        assert_eq!(newest(&open(&disk.power_cut()), "q"), Some(3));
    }
}

#[test]
fn a_full_disk_is_told_as_such() {
    let disk = disk();
    let store = open(&disk);
    store.create("q", b"", NOW).expect("created");
    store.commit("q", &epoch(1), NOW).expect("committed");
    disk.set_capacity(2_000);
    let large = Epoch { state: vec![7; 100_000].into(), ..epoch(2) };
    let error = store.commit("q", &large, NOW).expect_err("no room");
    assert_eq!(error.code(), hydron_base::Code::NOT_ENOUGH_SPACE, "{error}");
    assert_eq!(newest(&store, "q"), Some(1));
}

#[test]
fn a_query_that_was_given_up_is_told_from_an_unknown_one_until_it_is_swept() {
    let disk = disk();
    let store = open(&disk);
    assert_eq!(store.query("q").expect("readable"), Query::Unknown);
    store.create("q", b"x", NOW).expect("created");
    store.commit("q", &epoch(1), NOW).expect("committed");
    store.delete("q", NOW).expect("marked");
    let store = open(&disk.power_cut());
    assert_eq!(store.query("q").expect("readable"), Query::Deleted);
    assert!(matches!(store.commit("q", &epoch(2), NOW), Err(StoreError::NotFound { .. })));
    let sweep = |after_s: i64| Sweep {
        now: WallTime(NOW.0 + after_s * 1_000_000),
        unused: Duration::from_secs(1_000),
        deleted: Duration::from_secs(60),
    };
    assert_eq!(store.sweep(sweep(59), &|_| false).expect("swept"), 0);
    assert_eq!(store.sweep(sweep(60), &|_| false).expect("swept"), 1);
    assert_eq!(store.query("q").expect("readable"), Query::Unknown);
    // The id is free again.
    store.create("q", b"y", NOW).expect("created");
    assert_eq!(newest(&store, "q"), None);
}

#[test]
fn what_nobody_goes_on_with_is_swept_and_what_is_in_use_stays() {
    let store = open(&disk());
    for id in ["old", "used", "new"] {
        store.create(id, b"", NOW).expect("created");
    }
    let later = WallTime(NOW.0 + 50_000_000);
    store.commit("new", &epoch(1), later).expect("committed");
    let sweep =
        Sweep { now: WallTime(NOW.0 + 100_000_000), unused: Duration::from_secs(100), deleted: Duration::from_secs(1) };
    assert_eq!(store.sweep(sweep, &|id| id == "used").expect("swept"), 1);
    assert_eq!(store.ids().expect("there"), ["new", "used"]);
}

#[test]
fn units_of_output_are_kept_until_they_are_forgotten() {
    let disk = disk();
    let store = open(&disk);
    store.create("q", b"", NOW).expect("created");
    for unit in 1..=3 {
        store.put_outbox("q", unit, &[b"a", b"bc"], NOW).expect("kept");
    }
    let store = open(&disk.power_cut());
    store.forget_outboxes("q", 2).expect("forgotten");
    let units = store.outboxes("q", 0).expect("readable");
    assert_eq!(units.iter().map(|(u, _)| *u).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(units[0].1, [Bytes::from_static(b"a"), Bytes::from_static(b"bc")]);
    assert_eq!(store.outboxes("q", 3).expect("readable").len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever write or sync fails, and power goes right after: the newest epoch is one that was answered, or the next.
    #[test]
    fn a_power_cut_anywhere_leaves_an_answered_epoch(fail in 1u32..20, torn in any::<bool>(), bytes in 0usize..200) {
        let disk = disk();
        let store = open(&disk);
        store.create("q", b"", NOW).expect("created");
        disk.arm(match torn {
            true => Faults { tear_write_in: Some((fail, bytes)), ..Faults::default() },
            false => Faults { fail_sync_in: Some(fail), ..Faults::default() },
        });
        let mut answered = None;
        for number in 1..=10 {
            match store.commit("q", &epoch(number), NOW) {
                Ok(()) => answered = Some(number),
                Err(_) => break,
            }
        }
        let found = newest(&open(&disk.power_cut()), "q");
        prop_assert!(found == answered || found == answered.map_or(Some(1), |n| Some(n + 1)), "{found:?} of {answered:?}");
    }
}
