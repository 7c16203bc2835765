//! The disk as the log sees it, so that a test can let it fail.
//!
//! In: paths, offsets, bytes. Out: what the kernel answers. Promise of [`OsDisk`]: one call here is one step there (a
//! write is repeated until whole); nothing is retried after an error, least of all a sync.

use crate::error::{Result, StoreError};
use rustix::fs::{Advice, FallocateFlags, SeekFrom};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// An open file. Reads and writes name their place; there is no file position.
pub trait DiskFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads until `into` is full or the file ends; answers the bytes read.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `parts`, one after the other. After an error any part of it may be there.
    fn write_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()>;

    /// Makes contents and length survive a power cut.
    fn sync(&self) -> io::Result<()>;

    /// Reserves room so that `end` bytes can be written; the new bytes read as zeros. `StorageFull` changes nothing.
    fn reserve(&self, from: u64, end: u64) -> io::Result<()>;

    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Drops clean pages from the cache, so that the next read shows what the device holds: after a failed sync the
    /// cache may show bytes that never arrived there.
    fn forget_cache(&self) -> io::Result<()>;

    /// A place in the first `len` bytes from which on all are zero: file systems know which room was never written. Ask
    /// before reading, for what was read counts as written.
    fn written_end(&self, len: u64) -> u64 {
        len
    }
}

/// A buffer for `len` bytes of a file, whose length may be anything.
pub fn zeroed(len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// True if there is no room: nothing was done, and room may come back.
pub fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A file system.
pub trait Disk: Send + Sync {
    /// Creates a file that must not exist.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    fn create_dirs(&self, dir: &Path) -> io::Result<()>;

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in `dir` survive a power cut.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    fn exists(&self, path: &Path) -> bool;

    /// Bytes that may still be written under `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// Makes sure that `dir` is there, also after a power cut. One that is there already may be so in the cache only.
pub fn create_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.create_dirs(dir).map_err(|e| StoreError::disk("create", dir, e))?;
    match dir.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(parent) => disk.sync_dir(parent).map_err(|e| StoreError::disk("sync", parent, e)),
        None => Ok(()),
    }
}

/// The machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

struct OsFile(File);

// A segment has two or three: what is written, what is reserved.
const EXTENTS_MAX: usize = 1024;

// Linux takes at most this many parts in one call (IOV_MAX).
const PARTS_MAX: usize = 1024;

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut got = 0;
        while got < into.len() {
            match self.0.read_at(&mut into[got..], offset + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(got)
    }

    fn write_at(&self, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
        for some in parts.chunks(PARTS_MAX) {
            let mut slices: Vec<IoSlice<'_>> = some.iter().map(|p| IoSlice::new(p)).collect();
            let mut left = &mut slices[..];
            while !left.is_empty() {
                match rustix::io::pwritev(&self.0, left, offset) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(n) => {
                        offset += n as u64;
                        IoSlice::advance_slices(&mut left, n);
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn reserve(&self, from: u64, end: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), from, end - from) {
            // Without preallocation the log is slower, not wrong: the length grows with each write.
            Err(e) if e == rustix::io::Errno::OPNOTSUPP => Ok(()),
            other => Ok(other?),
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn forget_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed)?)
    }

    fn written_end(&self, len: u64) -> u64 {
        // All reads and writes name their place, so nobody minds where the file's own position is.
        let seek = |to: SeekFrom| rustix::fs::seek(&self.0, to);
        let (mut at, mut end) = (0, 0);
        for _ in 0..EXTENTS_MAX {
            match seek(SeekFrom::Data(at)) {
                Err(rustix::io::Errno::NXIO) => return end,
                Ok(data) if data >= len => return end,
                Ok(data) => match seek(SeekFrom::Hole(data)) {
                    Ok(hole) => (at, end) = (hole, hole.min(len)),
                    Err(_) => return len,
                },
                // A file system that does not know: everything is looked at.
                Err(_) => return len,
            }
        }
        len
    }
}

impl Disk for OsDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
