//! The bytes of a catalog file and the objects they stand for.
//!
//! In: bytes. Out: objects in the order they were made, and where the good lines end. Promise: a line counts as a whole
//! or not at all; a bad line that is not the last is damage, never skipped. Layout: docs/formats/catalog.md.

use super::entry::{Change, Entry};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The first line of every file: what follows it is read by these rules.
pub const HEADER: &str = "hydron catalog 1\n";

/// One line: changes that happen together.
#[derive(Serialize, Deserialize)]
struct Line {
    changes: Vec<Change>,
}

/// The objects, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    by_age: BTreeMap<u64, Entry>,
    age_of: HashMap<Uuid, u64>,
    next_age: u64,
}

impl Objects {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Put(entry) => {
                let age = *self.age_of.entry(entry.uuid).or_insert_with(|| {
                    self.next_age += 1;
                    self.next_age
                });
                self.by_age.insert(age, entry);
            }
            Change::Remove(uuid) => {
                if let Some(age) = self.age_of.remove(&uuid) {
                    self.by_age.remove(&age);
                }
            }
        }
    }

    pub fn get(&self, uuid: Uuid) -> Option<&Entry> {
        self.by_age.get(self.age_of.get(&uuid)?)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.by_age.values()
    }
}

/// Checksum over the JSON in eight hexadecimal digits, a space, the JSON, a line feed.
pub fn line_of(changes: &[Change]) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(&Line { changes: changes.to_vec() })?;
    Ok(format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())))
}

/// What a file holds. `good_bytes` is where an unfinished last line is to be cut.
#[derive(Debug, PartialEq)]
pub struct Replayed {
    pub objects: Objects,
    pub good_bytes: usize,
}

/// A line that is not the last and does not check.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLine {
    pub offset: usize,
}

pub fn replay(bytes: &[u8]) -> Result<Replayed, BadLine> {
    if !bytes.starts_with(HEADER.as_bytes()) {
        return Err(BadLine { offset: 0 });
    }
    let mut objects = Objects::default();
    let mut at = HEADER.len();
    while at < bytes.len() {
        let rest = &bytes[at..];
        let len = rest.iter().position(|b| *b == b'\n').map(|p| p + 1);
        match len.and_then(|len| parse(&rest[..len]).map(|changes| (len, changes))) {
            Some((len, changes)) => {
                changes.into_iter().for_each(|c| objects.apply(c));
                at += len;
            }
            // Each line is synced before the next one is written: only the last can be unfinished.
            None if has_good_line(&rest[len.unwrap_or(rest.len())..]) => {
                return Err(BadLine { offset: at });
            }
            None => break,
        }
    }
    Ok(Replayed { objects, good_bytes: at })
}

fn has_good_line(bytes: &[u8]) -> bool {
    bytes.split_inclusive(|b| *b == b'\n').any(|line| parse(line).is_some())
}

fn parse(line: &[u8]) -> Option<Vec<Change>> {
    let line = line.strip_suffix(b"\n")?;
    let (crc, rest) = line.split_at_checked(8)?;
    let json = rest.strip_prefix(b" ")?;
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    if crc != crc32c::crc32c(json) {
        return None;
    }
    serde_json::from_slice::<Line>(json).ok().map(|l| l.changes)
}
