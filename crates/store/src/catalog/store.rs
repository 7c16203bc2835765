//! The files of the catalog: one generation at a time, changes appended and synced, rewritten when mostly outdated.
//!
//! In: changes. Out: the objects. Promise: a change that was answered survives a power cut; changes given together happen
//! together; after a failed sync nothing is taken any more.

use super::entry::{Change, Entry};
use super::replay::{HEADER, Objects, line_of, replay};
use crate::error::{Result, StoreError};
use crate::log::{Disk, DiskFile, FaultHook, OsDisk, create_dir, is_full, zeroed};
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

// A file of less is read in a millisecond; above it, it is rewritten once three quarters of it are outdated.
const COMPACT_BYTES_MIN: u64 = 1 << 20;
const COMPACT_FACTOR: u64 = 4;

#[derive(Clone, Default)]
pub struct CatalogOptions {
    /// Reads what the device holds, and not what the page cache shows: a sync may have failed before.
    pub reads_device: bool,
    /// Told when a write or a sync fails; nothing is taken any more then.
    pub on_fault: Option<FaultHook>,
}

pub struct CatalogStore {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    on_fault: Option<FaultHook>,
    state: Mutex<State>,
}

struct State {
    objects: Objects,
    generation: u64,
    file: Arc<dyn DiskFile>,
    len: u64,
    /// Length right after the last rewrite: what the live objects take.
    live_len: u64,
    poison: Option<String>,
}

fn path_of(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("catalog-{generation:08}.jsonl"))
}

fn generation_of(name: &str) -> Option<u64> {
    name.strip_prefix("catalog-")?.strip_suffix(".jsonl")?.parse().ok()
}

impl CatalogStore {
    /// Opens or creates the catalog in `dir`. Errors: `Damaged` if an answered change cannot be read.
    pub fn open(dir: &Path, options: CatalogOptions) -> Result<CatalogStore> {
        CatalogStore::open_on(Arc::new(OsDisk), dir, options)
    }

    pub fn open_on(disk: Arc<dyn Disk>, dir: &Path, options: CatalogOptions) -> Result<CatalogStore> {
        create_dir(&*disk, dir)?;
        let names = disk.list(dir).map_err(|e| StoreError::disk("list", dir, e))?;
        let mut generations: Vec<u64> = names.iter().filter_map(|n| generation_of(n)).collect();
        generations.sort_unstable();
        let state = match generations.pop() {
            Some(newest) => open_generation(&*disk, dir, newest, options.reads_device)?,
            None => write_generation(&*disk, dir, 1, Objects::default())?,
        };
        // A generation gets its name only when it is whole, so older ones have nothing to add.
        for old in generations {
            let path = path_of(dir, old);
            disk.remove(&path).map_err(|e| StoreError::disk("remove", &path, e))?;
        }
        Ok(CatalogStore { dir: dir.to_owned(), disk, on_fault: options.on_fault, state: Mutex::new(state) })
    }

    /// Adds or replaces one object; it is on disk when this returns.
    pub fn put(&self, entry: Entry) -> Result<()> {
        self.apply(vec![Change::Put(entry)])
    }

    /// Removes one object. Errors: `NotFound`.
    pub fn remove(&self, uuid: Uuid) -> Result<()> {
        self.apply(vec![Change::Remove(uuid)])
    }

    /// Makes all changes or none: a rename, an exchange, a drop with all that hangs on it.
    ///
    /// Errors: `NotFound` for the removal of an unknown object; `NotEnoughSpace`: nothing has changed.
    /// `OutcomeUnknown`: shows after a restart.
    pub fn apply(&self, changes: Vec<Change>) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(cause) = &state.poison {
            return Err(StoreError::Poisoned { log: "catalog".to_owned(), cause: cause.clone() });
        }
        for change in &changes {
            if let Change::Remove(uuid) = change
                && state.objects.get(*uuid).is_none()
            {
                return Err(StoreError::NotFound { object: format!("catalog object {uuid}") });
            }
        }
        let line = line_of(&changes).map_err(|e| StoreError::rows("catalog", e))?;
        self.append(&mut state, line.as_bytes())?;
        changes.into_iter().for_each(|c| state.objects.apply(c));
        if state.len >= COMPACT_BYTES_MIN && state.len >= state.live_len * COMPACT_FACTOR {
            self.compact(&mut state)?;
        }
        Ok(())
    }

    fn append(&self, state: &mut State, line: &[u8]) -> Result<()> {
        if let Err(e) = state.file.write_at(&[line], state.len) {
            if is_full(&e) && state.file.truncate(state.len).is_ok() {
                return Err(StoreError::NotEnoughSpace {
                    object: "catalog".to_owned(),
                    wanted_bytes: line.len() as u64,
                    free_bytes: 0,
                    reserve_bytes: 0,
                });
            }
            return Err(self.poison(state, "write", e));
        }
        if let Err(e) = state.file.sync() {
            return Err(self.poison(state, "sync", e));
        }
        state.len += line.len() as u64;
        Ok(())
    }

    /// Rewrites the file with the live objects only. A full disk postpones it.
    fn compact(&self, state: &mut State) -> Result<()> {
        let old = path_of(&self.dir, state.generation);
        match write_generation(&*self.disk, &self.dir, state.generation + 1, state.objects.clone()) {
            Ok(next) => {
                *state = next;
                self.disk.remove(&old).map_err(|e| StoreError::disk("remove", &old, e))
            }
            // The change itself is safe in the old generation.
            Err(_) => Ok(()),
        }
    }

    fn poison(&self, state: &mut State, action: &str, e: io::Error) -> StoreError {
        let cause = format!("cannot {action} the catalog: {e}");
        state.poison = Some(cause.clone());
        if let Some(hook) = &self.on_fault {
            hook(&StoreError::Poisoned { log: "catalog".to_owned(), cause: cause.clone() });
        }
        StoreError::OutcomeUnknown { log: "catalog".to_owned(), cause }
    }

    pub fn get(&self, uuid: Uuid) -> Option<Entry> {
        self.state.lock().objects.get(uuid).cloned()
    }

    /// All objects, oldest first.
    pub fn list(&self) -> Vec<Entry> {
        self.state.lock().objects.iter().cloned().collect()
    }
}

fn open_generation(disk: &dyn Disk, dir: &Path, generation: u64, reads_device: bool) -> Result<State> {
    let path = path_of(dir, generation);
    let file = disk.open(&path).map_err(|e| StoreError::disk("open", &path, e))?;
    if reads_device {
        file.forget_cache().map_err(|e| StoreError::disk("read", &path, e))?;
    }
    let len = file.len().map_err(|e| StoreError::disk("read", &path, e))?;
    let mut bytes = zeroed(len).map_err(|e| StoreError::disk("read", &path, e))?;
    let got = file.read_at(&mut bytes, 0).map_err(|e| StoreError::disk("read", &path, e))?;
    bytes.truncate(got);
    let replayed = replay(&bytes)
        .map_err(|bad| StoreError::damaged(&path, bad.offset as u64, "a line of the catalog does not check"))?;
    let good = replayed.good_bytes as u64;
    if good < len {
        file.truncate(good).map_err(|e| StoreError::disk("truncate", &path, e))?;
    }
    file.sync().map_err(|e| StoreError::disk("sync", &path, e))?;
    Ok(State { objects: replayed.objects, generation, file, len: good, live_len: good, poison: None })
}

/// Writes all objects under a temporary name, syncs, and only then gives the file its name.
fn write_generation(disk: &dyn Disk, dir: &Path, generation: u64, objects: Objects) -> Result<State> {
    let path = path_of(dir, generation);
    let staged = dir.join("catalog.new");
    let mut text = HEADER.to_owned();
    for entry in objects.iter() {
        text += &line_of(&[Change::Put(entry.clone())]).map_err(|e| StoreError::rows("catalog", e))?;
    }
    let write = || -> io::Result<Arc<dyn DiskFile>> {
        if disk.exists(&staged) {
            disk.remove(&staged)?;
        }
        let file = disk.create(&staged)?;
        file.write_at(&[text.as_bytes()], 0)?;
        file.sync()?;
        disk.rename(&staged, &path)?;
        disk.sync_dir(dir)?;
        Ok(file)
    };
    let file = write().map_err(|e| StoreError::disk("write", &path, e))?;
    let len = text.len() as u64;
    Ok(State { objects, generation, file, len, live_len: len, poison: None })
}
