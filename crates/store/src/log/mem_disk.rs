//! A disk in memory: for streams that live in memory only, and for tests, where it can lose power and fail on demand.
//!
//! Promise: what was synced survives [`MemDisk::power_cut`], the rest may go. Names survive only after `sync_dir`.

use super::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Faults that a test arms; each fires once it is due.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The n-th sync from now on fails (1 = the next), and from then on what it covered is lost at a power cut.
    pub fail_sync_in: Option<u32>,
    /// The n-th write from now on stores only this many bytes and fails.
    pub tear_write_in: Option<(u32, usize)>,
}

struct State {
    files: BTreeMap<PathBuf, Arc<MemFile>>,
    /// Names as a power cut would leave them.
    durable: BTreeMap<PathBuf, Arc<MemFile>>,
}

struct Shared {
    capacity_bytes: Mutex<u64>,
    faults: Mutex<Faults>,
    syncs: Mutex<u64>,
    writes: Mutex<u64>,
    /// Whether each sync keeps a copy, so that power can be cut.
    keeps_synced: bool,
}

/// Files in memory, up to a capacity. Clones share the files.
#[derive(Clone)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
    shared: Arc<Shared>,
}

struct MemFile {
    bytes: Mutex<Vec<u8>>,
    synced: Mutex<Vec<u8>>,
    shared: Arc<Shared>,
    disk: std::sync::Weak<Mutex<State>>,
}

impl MemDisk {
    /// A disk that forgets everything when it goes.
    pub fn new(capacity_bytes: u64) -> MemDisk {
        MemDisk::make(capacity_bytes, false)
    }

    /// A disk that remembers what was synced, for [`MemDisk::power_cut`]. Each sync copies the file.
    pub fn with_power_cuts(capacity_bytes: u64) -> MemDisk {
        MemDisk::make(capacity_bytes, true)
    }

    fn make(capacity_bytes: u64, keeps_synced: bool) -> MemDisk {
        MemDisk {
            state: Arc::new(Mutex::new(State { files: BTreeMap::new(), durable: BTreeMap::new() })),
            shared: Arc::new(Shared {
                capacity_bytes: Mutex::new(capacity_bytes),
                faults: Mutex::new(Faults::default()),
                syncs: Mutex::new(0),
                writes: Mutex::new(0),
                keeps_synced,
            }),
        }
    }

    pub fn arm(&self, faults: Faults) {
        *self.shared.faults.lock() = faults;
    }

    pub fn set_capacity(&self, bytes: u64) {
        *self.shared.capacity_bytes.lock() = bytes;
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        *self.shared.syncs.lock()
    }

    /// Write calls so far.
    pub fn writes(&self) -> u64 {
        *self.shared.writes.lock()
    }

    /// The disk as it is after a power cut: only what was synced. The old disk stays as it is.
    pub fn power_cut(&self) -> MemDisk {
        let out = MemDisk::make(*self.shared.capacity_bytes.lock(), true);
        let durable = self.state.lock().durable.clone();
        let mut state = out.state.lock();
        for (path, file) in durable {
            let bytes = file.synced.lock().clone();
            let copy = out.new_file(bytes);
            state.files.insert(path.clone(), copy.clone());
            state.durable.insert(path, copy);
        }
        drop(state);
        out
    }

    /// Changes the bytes of a file behind everybody's back.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let file = self.find(path)?;
        let mut bytes = file.bytes.lock();
        change(&mut bytes);
        *file.synced.lock() = bytes.clone();
        Ok(())
    }

    fn new_file(&self, bytes: Vec<u8>) -> Arc<MemFile> {
        Arc::new(MemFile {
            synced: Mutex::new(if self.shared.keeps_synced { bytes.clone() } else { Vec::new() }),
            bytes: Mutex::new(bytes),
            shared: self.shared.clone(),
            disk: Arc::downgrade(&self.state),
        })
    }

    fn find(&self, path: &Path) -> io::Result<Arc<MemFile>> {
        self.state.lock().files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn used_bytes(state: &State) -> u64 {
    state.files.values().map(|f| f.bytes.lock().len() as u64).sum()
}

fn count_down(left: &mut u32) -> bool {
    *left = left.saturating_sub(1);
    *left == 0
}

impl DiskFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.bytes.lock();
        let from = bytes.len().min(offset as usize);
        let n = into.len().min(bytes.len() - from);
        into[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        *self.shared.writes.lock() += 1;
        let total: usize = parts.iter().map(|p| p.len()).sum();
        let keep = {
            let mut faults = self.shared.faults.lock();
            match &mut faults.tear_write_in {
                Some((left, keep)) => {
                    let keep = *keep;
                    if count_down(left) {
                        faults.tear_write_in = None;
                        keep.min(total)
                    } else {
                        total
                    }
                }
                None => total,
            }
        };
        let mut bytes = self.bytes.lock();
        let end = offset as usize + keep;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        let mut at = offset as usize;
        for part in parts {
            let n = part.len().min(end - at);
            bytes[at..at + n].copy_from_slice(&part[..n]);
            at += n;
        }
        if keep < total { Err(io::Error::other("the disk refused the write")) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        *self.shared.syncs.lock() += 1;
        let mut faults = self.shared.faults.lock();
        if let Some(left) = &mut faults.fail_sync_in
            && count_down(left)
        {
            faults.fail_sync_in = None;
            return Err(io::Error::other("the disk refused the sync"));
        }
        if self.shared.keeps_synced {
            let bytes = self.bytes.lock();
            let mut synced = self.synced.lock();
            synced.clear();
            synced.extend_from_slice(&bytes);
        }
        Ok(())
    }

    fn reserve(&self, _from: u64, end: u64) -> io::Result<()> {
        let Some(state) = self.disk.upgrade() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let state = state.lock();
        let used = used_bytes(&state);
        let mut bytes = self.bytes.lock();
        let grows = end.saturating_sub(bytes.len() as u64);
        if used + grows > *self.shared.capacity_bytes.lock() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if (bytes.len() as u64) < end {
            bytes.resize(end as usize, 0);
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.bytes.lock().resize(len as usize, 0);
        Ok(())
    }

    fn forget_cache(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for MemDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.new_file(Vec::new());
        let mut state = self.state.lock();
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.insert(path.to_owned(), file.clone());
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.find(path)?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        let mut names: Vec<String> = state
            .files
            .keys()
            .filter_map(|p| p.strip_prefix(dir).ok()?.components().next())
            .map(|c| c.as_os_str().to_string_lossy().into_owned())
            .collect();
        names.dedup();
        Ok(names)
    }

    fn create_dirs(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let moved: Vec<PathBuf> = state.files.keys().filter(|p| p.starts_with(from)).cloned().collect();
        if moved.is_empty() {
            return Err(io::ErrorKind::NotFound.into());
        }
        for path in moved {
            let rest = path.strip_prefix(from).map_err(io::Error::other)?.to_owned();
            let target = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
            if let Some(file) = state.files.remove(&path) {
                state.files.insert(target, file);
            }
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state.lock().files.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.state.lock().files.retain(|p, _| !p.starts_with(dir));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let State { files, durable } = &mut *state;
        durable.retain(|p, _| !p.starts_with(dir));
        durable.extend(files.iter().filter(|(p, _)| p.starts_with(dir)).map(|(p, f)| (p.clone(), f.clone())));
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        self.state.lock().files.keys().any(|p| p.starts_with(path))
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let used = used_bytes(&self.state.lock());
        Ok(self.shared.capacity_bytes.lock().saturating_sub(used))
    }
}
