//! The files of all queries: a directory each, an epoch a file, written beside the old ones and named when it is whole.
//!
//! In: ids, epochs. Out: the newest epoch that checks. Promise: an epoch that was answered survives a power cut; an epoch that
//! does not check is set aside and the one before counts; nothing is removed before what replaces it is on disk.

use super::frame::{self, HEAD_BYTES, Kind, Refused};
use super::manifest::Manifest;
use super::name;
use crate::error::{Result, StoreError};
use crate::log::{Disk, OsDisk, create_dir, zeroed};
use bytes::Bytes;
use hydron_base::world::WallTime;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Epochs of one query on disk: the newest, and the one that counts when it does not check.
pub const EPOCHS_KEPT: usize = 2;

/// Files that did not check, kept for each query.
const DAMAGED_KEPT: usize = 2;

/// State of one query. All of it is in memory while it is written; queries with more need a store of their own.
pub const STATE_BYTES_MAX: usize = 4 << 30;

/// One epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Epoch {
    pub number: u64,
    pub manifest: Manifest,
    /// Of the operators.
    pub state: Bytes,
    /// Steps that no output tells of.
    pub steps: Bytes,
}

/// What is known of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    Unknown,
    /// Given up a short while ago.
    Deleted,
    /// Its definition, as `create` got it.
    Known(Bytes),
}

/// The newest epoch that checks, and what was wrong with newer ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    pub epoch: Option<Epoch>,
    pub damaged: Vec<String>,
}

/// How long directories stay that nobody uses.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    pub now: WallTime,
    /// Since the last epoch.
    pub unused: Duration,
    /// Since it was given up.
    pub deleted: Duration,
}

pub struct CheckpointStore {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// Held while a directory is made or looked through: a sweep must not find one without its definition.
    making: Mutex<()>,
}

impl CheckpointStore {
    /// Nothing is read or made before it is needed: a start does not wait for it.
    pub fn new(dir: &Path) -> CheckpointStore {
        CheckpointStore::on(Arc::new(OsDisk), dir)
    }

    pub fn on(disk: Arc<dyn Disk>, dir: &Path) -> CheckpointStore {
        CheckpointStore { dir: dir.to_owned(), disk, making: Mutex::new(()) }
    }

    fn dir_of(&self, id: &str) -> PathBuf {
        self.dir.join(name::dir_of(id))
    }

    /// Begins anew under `id`; what was there before goes.
    pub fn create(&self, id: &str, definition: &[u8], now: WallTime) -> Result<()> {
        let _making = self.making.lock();
        create_dir(&*self.disk, &self.dir)?;
        self.remove(id)?;
        let dir = self.dir_of(id);
        create_dir(&*self.disk, &dir)?;
        self.write(&dir, name::QUERY, Kind::Query, now, &[id.as_bytes(), definition])
    }

    /// Errors: `Damaged`.
    pub fn query(&self, id: &str) -> Result<Query> {
        let dir = self.dir_of(id);
        if self.disk.exists(&dir.join(name::DELETED)) {
            return Ok(Query::Deleted);
        }
        let path = dir.join(name::QUERY);
        if !self.disk.exists(&path) {
            return Ok(Query::Unknown);
        }
        let bytes = self.read(&path)?;
        let (_, sections) = frame::read(Kind::Query, &bytes).map_err(|r| refused(&path, r))?;
        match sections[..] {
            [of, definition] if of == id.as_bytes() => Ok(Query::Known(bytes.slice_ref(definition))),
            // Two long ids of one name: whoever came later has it.
            [_, _] => Ok(Query::Unknown),
            _ => Err(StoreError::damaged(&path, HEAD_BYTES as u64, "sections are missing")),
        }
    }

    /// Ids of all queries that are not given up. A directory without a whole definition has none.
    pub fn ids(&self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for dir in self.dirs()? {
            let path = dir.join(name::QUERY);
            if !self.disk.exists(&path) || self.disk.exists(&dir.join(name::DELETED)) {
                continue;
            }
            let bytes = self.read(&path)?;
            if let Ok((_, sections)) = frame::read(Kind::Query, &bytes)
                && let Some(id) = sections.first()
            {
                ids.push(String::from_utf8_lossy(id).into_owned());
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Makes an epoch the newest one; older ones but one go.
    ///
    /// Errors: `NotFound` when the query was given up, `TooLarge`; `Disk`: the one before still counts.
    pub fn commit(&self, id: &str, epoch: &Epoch, now: WallTime) -> Result<()> {
        if epoch.state.len() > STATE_BYTES_MAX {
            let (bytes, limit_bytes) = (epoch.state.len() as u64, STATE_BYTES_MAX as u64);
            return Err(StoreError::TooLarge { bytes, limit_bytes });
        }
        let dir = self.dir_of(id);
        if !self.disk.exists(&dir.join(name::QUERY)) || self.disk.exists(&dir.join(name::DELETED)) {
            return Err(StoreError::NotFound { object: format!("checkpoint of query '{id}'") });
        }
        let manifest = serde_json::to_vec(&epoch.manifest).map_err(|e| StoreError::rows("checkpoint", e))?;
        let sections: [&[u8]; 3] = [&manifest, &epoch.state, &epoch.steps];
        self.write(&dir, &name::epoch_file(epoch.number), Kind::Epoch, now, &sections)?;
        for old in self.epochs(&dir)?.into_iter().filter(|n| *n <= epoch.number).rev().skip(EPOCHS_KEPT) {
            self.remove_file(&dir.join(name::epoch_file(old)))?;
        }
        Ok(())
    }

    /// The newest epoch that checks; newer ones that do not are set aside.
    ///
    /// Errors: `Damaged` for an epoch of a later format; `Disk`.
    pub fn newest(&self, id: &str) -> Result<Found> {
        let dir = self.dir_of(id);
        let mut found = Found::default();
        for number in self.epochs(&dir)?.into_iter().rev() {
            let path = dir.join(name::epoch_file(number));
            let bytes = self.read(&path)?;
            match epoch_from(number, &bytes) {
                Ok(epoch) => {
                    found.epoch = Some(epoch);
                    break;
                }
                Err(Refused::Damaged(why)) => {
                    found.damaged.push(format!("epoch {number}: {why}"));
                    self.set_aside(&dir, &path)?;
                }
                Err(newer) => return Err(refused(&path, newer)),
            }
        }
        Ok(found)
    }

    /// Numbers of the epochs there are, oldest first.
    pub fn epoch_numbers(&self, id: &str) -> Result<Vec<u64>> {
        self.epochs(&self.dir_of(id))
    }

    fn epochs(&self, dir: &Path) -> Result<Vec<u64>> {
        let mut numbers: Vec<u64> = self.names(dir)?.iter().filter_map(|n| name::epoch_of(n)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn set_aside(&self, dir: &Path, path: &Path) -> Result<()> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(name::DAMAGED_SUFFIX);
        self.disk.rename(path, Path::new(&aside)).map_err(|e| StoreError::disk("rename", path, e))?;
        let mut damaged: Vec<String> =
            self.names(dir)?.into_iter().filter(|n| n.ends_with(name::DAMAGED_SUFFIX)).collect();
        damaged.sort_unstable();
        damaged.iter().rev().skip(DAMAGED_KEPT).try_for_each(|n| self.remove_file(&dir.join(n)))
    }

    /// Keeps a unit of output that is to be written in several pieces, before the first of them is. Errors: `BadArgument` for
    /// too many.
    pub fn put_outbox(&self, id: &str, unit: u64, sections: &[&[u8]], now: WallTime) -> Result<()> {
        if sections.len() > frame::SECTIONS_MAX as usize {
            let message = format!("a unit of {} records, the limit is {}", sections.len(), frame::SECTIONS_MAX);
            return Err(StoreError::BadArgument(message));
        }
        self.write(&self.dir_of(id), &name::outbox_file(unit), Kind::Outbox, now, sections)
    }

    /// Units that were kept, from `from` on, in order. One that does not check was never whole: none of it is written.
    pub fn outboxes(&self, id: &str, from: u64) -> Result<Vec<(u64, Vec<Bytes>)>> {
        let dir = self.dir_of(id);
        let mut units: Vec<u64> = self.names(&dir)?.iter().filter_map(|n| name::outbox_of(n)).collect();
        units.retain(|u| *u >= from);
        units.sort_unstable();
        let mut found = Vec::with_capacity(units.len());
        for unit in units {
            let path = dir.join(name::outbox_file(unit));
            let bytes = self.read(&path)?;
            match frame::read(Kind::Outbox, &bytes) {
                Ok((_, sections)) => found.push((unit, sections.iter().map(|s| bytes.slice_ref(s)).collect())),
                Err(Refused::Damaged(_)) => self.set_aside(&dir, &path)?,
                Err(newer) => return Err(refused(&path, newer)),
            }
        }
        Ok(found)
    }

    /// Forgets the units before `unit`: all kept epochs are later.
    pub fn forget_outboxes(&self, id: &str, before: u64) -> Result<()> {
        let dir = self.dir_of(id);
        let old = self.names(&dir)?.into_iter().filter(|n| name::outbox_of(n).is_some_and(|u| u < before));
        old.into_iter().try_for_each(|n| self.remove_file(&dir.join(n)))
    }

    /// Gives a query up: it cannot go on any more, and its files go with a later [`CheckpointStore::sweep`].
    pub fn delete(&self, id: &str, now: WallTime) -> Result<()> {
        self.write(&self.dir_of(id), name::DELETED, Kind::Deleted, now, &[])
    }

    /// Removes all that is there of a query, now.
    pub fn remove(&self, id: &str) -> Result<()> {
        self.remove_all(&self.dir_of(id))
    }

    fn remove_all(&self, dir: &Path) -> Result<()> {
        if !self.disk.exists(dir) && self.names(dir)?.is_empty() {
            return Ok(());
        }
        // The definition goes first: what is left without it is nobody's, and goes with the next sweep.
        let mut names = self.names(dir)?;
        names.sort_by_key(|n| n != name::QUERY);
        names.iter().try_for_each(|n| self.remove_file(&dir.join(n)))?;
        self.disk.remove_dir(dir).map_err(|e| StoreError::disk("remove", dir, e))?;
        self.disk.sync_dir(&self.dir).map_err(|e| StoreError::disk("sync", &self.dir, e))
    }

    /// Removes the directories of queries that were given up long ago or that nobody has gone on with. `keep`: ids that
    /// are in use. Returns how many went.
    pub fn sweep(&self, sweep: Sweep, keep: &dyn Fn(&str) -> bool) -> Result<usize> {
        let _making = self.making.lock();
        let kept: Vec<PathBuf> = self.ids()?.iter().filter(|id| keep(id)).map(|id| self.dir_of(id)).collect();
        let mut removed = 0;
        for dir in self.dirs()?.into_iter().filter(|d| !kept.contains(d)) {
            let age = |us: i64| Duration::from_micros(sweep.now.0.saturating_sub(us).max(0) as u64);
            let is_old = match (self.written_us(&dir, name::DELETED, Kind::Deleted), self.last_use_us(&dir)?) {
                (Some(deleted), _) => age(deleted) >= sweep.deleted,
                (None, Some(used)) => age(used) >= sweep.unused,
                // Without a definition nobody can go on with it.
                (None, None) => true,
            };
            if is_old {
                self.remove_all(&dir)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// When the definition or the newest epoch was written.
    fn last_use_us(&self, dir: &Path) -> Result<Option<i64>> {
        let Some(created) = self.written_us(dir, name::QUERY, Kind::Query) else { return Ok(None) };
        let epochs = self.epochs(dir)?;
        let newest = epochs.iter().rev().find_map(|n| self.written_us(dir, &name::epoch_file(*n), Kind::Epoch));
        Ok(Some(newest.unwrap_or(created).max(created)))
    }

    /// Of a file whose head checks.
    fn written_us(&self, dir: &Path, file: &str, kind: Kind) -> Option<i64> {
        let file = self.disk.open(&dir.join(file)).ok()?;
        let mut head = [0; HEAD_BYTES];
        file.read_at(&mut head, 0).ok()?;
        frame::read_head(kind, &head).ok().map(|h| h.written_us)
    }

    fn dirs(&self) -> Result<Vec<PathBuf>> {
        Ok(self.names(&self.dir)?.into_iter().map(|n| self.dir.join(n)).collect())
    }

    /// Names in a directory; none where it is not there.
    fn names(&self, dir: &Path) -> Result<Vec<String>> {
        match self.disk.list(dir) {
            Ok(names) => Ok(names),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(StoreError::disk("list", dir, e)),
        }
    }

    fn read(&self, path: &Path) -> Result<Bytes> {
        let failed = |e| StoreError::disk("read", path, e);
        let file = self.disk.open(path).map_err(|e| StoreError::disk("open", path, e))?;
        let mut bytes = zeroed(file.len().map_err(failed)?).map_err(failed)?;
        let got = file.read_at(&mut bytes, 0).map_err(failed)?;
        bytes.truncate(got);
        Ok(bytes.into())
    }

    /// Writes under a staged name, syncs, and only then gives the file its name.
    fn write(&self, dir: &Path, file: &str, kind: Kind, now: WallTime, sections: &[&[u8]]) -> Result<()> {
        let path = dir.join(file);
        let staged = dir.join(format!("{file}{}", name::STAGED_SUFFIX));
        let head = frame::head_of(kind, now.0, sections);
        let mut parts: Vec<&[u8]> = vec![&head];
        parts.extend(sections.iter().filter(|s| !s.is_empty()));
        let write = || -> std::io::Result<()> {
            if self.disk.exists(&staged) {
                self.disk.remove(&staged)?;
            }
            let out = self.disk.create(&staged)?;
            // A disk that is full says so here, before anything is written.
            out.reserve(0, parts.iter().map(|p| p.len() as u64).sum())?;
            out.write_at(&parts, 0)?;
            out.sync()?;
            self.disk.rename(&staged, &path)?;
            self.disk.sync_dir(dir)
        };
        write().map_err(|e| {
            // It only takes room; the next write of the same name removes it too.
            let _ = self.disk.remove(&staged);
            StoreError::disk("write", &path, e)
        })
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        match self.disk.remove(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::disk("remove", path, e)),
            _ => Ok(()),
        }
    }
}

fn epoch_from(number: u64, bytes: &Bytes) -> std::result::Result<Epoch, Refused> {
    let (_, sections) = frame::read(Kind::Epoch, bytes)?;
    let [manifest, state, steps] = sections[..] else {
        return Err(Refused::Damaged(format!("{} sections", sections.len())));
    };
    let manifest = serde_json::from_slice(manifest).map_err(|e| Refused::Damaged(format!("manifest: {e}")))?;
    Ok(Epoch { number, manifest, state: bytes.slice_ref(state), steps: bytes.slice_ref(steps) })
}

fn refused(path: &Path, refused: Refused) -> StoreError {
    match refused {
        Refused::Damaged(why) => StoreError::damaged(path, 0, why),
        Refused::Newer(format) => StoreError::damaged(path, 4, format!("format {format} is of a later program")),
    }
}
