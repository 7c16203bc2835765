//! The machine's disk, failing as `trap` asks: only where traps are allowed.
//!
//! In and out as [`OsDisk`]. Promise: what it refuses it has not done, as with a disk that is full; a sync that fails has told
//! nothing about what it covers, as with a device that fails.

use hydron_board::{Board, Worker};
use hydron_store::log::{Disk, DiskFile, OsDisk};
use std::io;
use std::path::Path;
use std::sync::Arc;

pub struct TrappedDisk;

struct TrappedFile(Arc<dyn DiskFile>);

// What Linux calls an error of the device.
const EIO: i32 = 5;

fn worker() -> Option<&'static Worker> {
    Board::current().map(|b| b.worker())
}

fn is_full() -> bool {
    worker().is_some_and(Worker::is_disk_full)
}

fn no_room() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl DiskFile for TrappedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }

    /// Room that is reserved can be written on a full disk too.
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        self.0.write_at(parts, offset)
    }

    fn sync(&self) -> io::Result<()> {
        match worker().is_some_and(Worker::take_sync_trap) {
            true => Err(io::Error::from_raw_os_error(EIO)),
            false => self.0.sync(),
        }
    }

    fn reserve(&self, from: u64, end: u64) -> io::Result<()> {
        if is_full() { Err(no_room()) } else { self.0.reserve(from, end) }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn forget_cache(&self) -> io::Result<()> {
        self.0.forget_cache()
    }

    fn written_end(&self, len: u64) -> u64 {
        self.0.written_end(len)
    }
}

impl Disk for TrappedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if is_full() {
            return Err(no_room());
        }
        Ok(Arc::new(TrappedFile(OsDisk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(TrappedFile(OsDisk.open(path)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsDisk.list(dir)
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        OsDisk.create_dirs(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        OsDisk.remove(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        OsDisk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        OsDisk.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> bool {
        OsDisk.exists(path)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        if is_full() { Ok(0) } else { OsDisk.free_bytes(dir) }
    }
}
