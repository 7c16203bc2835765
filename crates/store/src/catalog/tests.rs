//! Stories of the catalog: changes that last, changes that never were.

use super::{CatalogOptions, CatalogStore, Change, Entry};
use crate::StoreError;
use crate::log::{Disk, Faults, MemDisk};
use proptest::prelude::*;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

fn entry(id: u128, name: &str) -> Entry {
    Entry {
        kind: "stream".to_owned(),
        uuid: Uuid::from_u128(id),
        name: name.to_owned(),
        text: format!("CREATE STREAM {name} (n int)"),
        properties: json!({"shards": 2}),
    }
}

fn disk() -> MemDisk {
    MemDisk::with_power_cuts(64 << 20)
}

fn open(disk: &MemDisk) -> crate::Result<CatalogStore> {
    CatalogStore::open_on(Arc::new(disk.clone()), Path::new("/catalog"), CatalogOptions::default())
}

fn names(catalog: &CatalogStore) -> Vec<String> {
    catalog.list().into_iter().map(|e| e.name).collect()
}

fn file(disk: &MemDisk) -> PathBuf {
    let names = disk.list(Path::new("/catalog")).expect("memory");
    assert_eq!(names.len(), 1, "{names:?}");
    Path::new("/catalog").join(&names[0])
}

#[test]
fn objects_survive_a_power_cut_in_the_order_they_were_made() {
    let disk = disk();
    let catalog = open(&disk).expect("new");
    catalog.put(entry(1, "a")).expect("stored");
    catalog.put(entry(2, "b")).expect("stored");
    catalog.put(entry(1, "renamed")).expect("stored");
    let reopened = open(&disk.power_cut()).expect("whole");
    assert_eq!(names(&reopened), ["renamed", "b"]);
    assert_eq!(reopened.get(Uuid::from_u128(2)), Some(entry(2, "b")));
    reopened.remove(Uuid::from_u128(1)).expect("there");
    assert!(matches!(reopened.remove(Uuid::from_u128(1)), Err(StoreError::NotFound { .. })));
}

#[test]
fn changes_given_together_happen_together() {
    let disk = disk();
    let catalog = open(&disk).expect("new");
    catalog.put(entry(1, "a")).expect("stored");
    let refused = catalog.apply(vec![Change::Put(entry(2, "b")), Change::Remove(Uuid::from_u128(9))]);
    assert!(refused.is_err());
    assert_eq!(names(&catalog), ["a"]);
    catalog.apply(vec![Change::Put(entry(2, "b")), Change::Remove(Uuid::from_u128(1))]).expect("stored");
    // The line is torn: neither of the two has happened.
    let path = file(&disk);
    disk.tamper(&path, |bytes| bytes.truncate(bytes.len() - 5)).expect("there");
    assert_eq!(names(&open(&disk).expect("whole")), ["a"]);
}

#[test]
fn bad_line_in_the_middle_is_damage() {
    let disk = disk();
    let catalog = open(&disk).expect("new");
    (0..3).for_each(|n| catalog.put(entry(n, "x")).expect("stored"));
    disk.tamper(&file(&disk), |bytes| bytes[40] ^= 1).expect("there");
    assert!(matches!(open(&disk), Err(StoreError::Damaged { offset: 17, .. })));
}

#[test]
fn failed_sync_stops_the_catalog_until_restart() {
    let disk = disk();
    let catalog = open(&disk).expect("new");
    disk.arm(Faults { fail_sync_in: Some(1), ..Faults::default() });
    assert!(matches!(catalog.put(entry(1, "a")), Err(StoreError::OutcomeUnknown { .. })));
    assert!(matches!(catalog.put(entry(2, "b")), Err(StoreError::Poisoned { .. })));
    let reopened = open(&disk.power_cut()).expect("whole");
    assert!(names(&reopened).is_empty());
    reopened.put(entry(2, "b")).expect("stored");
}

#[test]
fn outdated_changes_are_left_behind() {
    let disk = disk();
    let catalog = open(&disk).expect("new");
    let long = Entry { text: "x".repeat(10_000), ..entry(1, "a") };
    (0..300).for_each(|_| catalog.put(long.clone()).expect("stored"));
    let len = disk.open(&file(&disk)).expect("there").len().expect("memory");
    assert!(len < 2 << 20, "{len} bytes for one object");
    let reopened = open(&disk.power_cut()).expect("whole");
    assert_eq!(reopened.list(), [long]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any cut leaves a prefix of the changes.
    #[test]
    fn cut_anywhere_leaves_a_prefix(count in 1u128..10, at in any::<prop::sample::Index>()) {
        let disk = disk();
        let catalog = open(&disk).expect("new");
        (0..count).for_each(|n| catalog.put(entry(n, &n.to_string())).expect("stored"));
        let path = file(&disk);
        disk.tamper(&path, |bytes| { let keep = 17 + at.index(bytes.len() - 17); bytes.truncate(keep) }).expect("there");
        let left = names(&open(&disk).expect("whole"));
        prop_assert_eq!(left.clone(), (0..left.len()).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}
