//! Who owns a data directory: the `status` file, locked for as long as the server lives, and the `uuid` file.
//!
//! Promise: of two openers one is refused at once. A file that is left behind tells that the last stop was not clean.

use crate::error::{Result, StoreError};
use rustix::fs::FlockOperation;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The lock on a data directory. Dropping it is a clean stop: the status file goes.
pub struct DirLock {
    path: PathBuf,
    file: File,
    left_behind: Option<String>,
}

impl DirLock {
    /// Takes the lock and writes the status: process, `started_at` in the server's zone, `revision` of the program.
    ///
    /// Errors: `Locked` (CANNOT_OPEN_FILE) if another process has it.
    pub fn take(dir: &Path, started_at: &str, revision: &str) -> Result<DirLock> {
        fs::create_dir_all(dir).map_err(|e| StoreError::disk("create", dir, e))?;
        let path = dir.join("status");
        let mut file = lock_file(&path)?;
        let mut before = String::new();
        file.read_to_string(&mut before).map_err(|e| StoreError::disk("read", &path, e))?;
        let status = format!("PID: {}\nStarted at: {started_at}\nRevision: {revision}\n", std::process::id());
        let write = || -> io::Result<()> {
            file.set_len(0)?;
            std::os::unix::fs::FileExt::write_all_at(&file, status.as_bytes(), 0)?;
            file.sync_all()
        };
        write().map_err(|e| StoreError::disk("write", &path, e))?;
        Ok(DirLock { path, file, left_behind: (!before.is_empty()).then_some(before) })
    }

    /// The status of a server that did not stop cleanly, if there was one.
    pub fn left_behind(&self) -> Option<&str> {
        self.left_behind.as_deref()
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Removed while the lock is held. If it fails, the next start reports an unclean stop, which is all it costs.
        let _ = fs::remove_file(&self.path);
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// Opens and locks the file that has this name now: the one we open may be removed by its last owner meanwhile.
fn lock_file(path: &Path) -> Result<File> {
    loop {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| StoreError::disk("open", path, e))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Locked { path: path.display().to_string() });
            }
            Err(e) => return Err(StoreError::disk("lock", path, e.into())),
        }
        let ours = file.metadata().map_err(|e| StoreError::disk("open", path, e))?;
        match fs::metadata(path) {
            Ok(named) if named.ino() == ours.ino() && named.dev() == ours.dev() => return Ok(file),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(StoreError::disk("open", path, e)),
        }
    }
}

/// The identity of the server that owns `dir`: made on first use, then always the same.
///
/// Errors: `Damaged` if the file is there and holds no UUID.
pub fn server_uuid(dir: &Path) -> Result<Uuid> {
    let path = dir.join("uuid");
    match fs::read_to_string(&path) {
        Ok(text) => Uuid::parse_str(text.trim()).map_err(|e| StoreError::damaged(&path, 0, e.to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let uuid = Uuid::new_v4();
            write_whole(dir, "uuid", format!("{uuid}\n").as_bytes())
                .map_err(|e| StoreError::disk("write", &path, e))?;
            Ok(uuid)
        }
        Err(e) => Err(StoreError::disk("read", &path, e)),
    }
}

/// Puts a small file in place so that it is there as a whole or not at all, also after a power cut.
fn write_whole(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let staged = dir.join(format!("{name}.new"));
    let mut file = File::create(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, dir.join(name))?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_base::Code;

    #[test]
    fn second_opener_is_refused_and_a_clean_stop_leaves_nothing() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let first = DirLock::take(dir.path(), "2026-01-02 03:04:05", "7").expect("free directory");
        assert_eq!(first.left_behind(), None);
        let text = fs::read_to_string(dir.path().join("status")).expect("status");
        assert_eq!(text, format!("PID: {}\nStarted at: 2026-01-02 03:04:05\nRevision: 7\n", std::process::id()));
        let refused = DirLock::take(dir.path(), "x", "7").err().expect("locked");
        assert_eq!(refused.code(), Code::CANNOT_OPEN_FILE);
        assert!(refused.to_string().contains("another server instance in same directory is already running"));
        drop(first);
        assert!(!dir.path().join("status").exists());
    }

    #[test]
    fn status_left_behind_is_reported_once() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join("status"), "PID: 1\n").expect("write");
        let lock = DirLock::take(dir.path(), "now", "1").expect("nobody holds it");
        assert_eq!(lock.left_behind(), Some("PID: 1\n"));
        drop(lock);
        assert_eq!(DirLock::take(dir.path(), "now", "1").expect("free").left_behind(), None);
    }

    #[test]
    fn server_keeps_its_uuid() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let uuid = server_uuid(dir.path()).expect("made");
        assert_eq!(server_uuid(dir.path()).expect("read"), uuid);
        fs::write(dir.path().join("uuid"), "nonsense").expect("write");
        assert!(matches!(server_uuid(dir.path()), Err(StoreError::Damaged { .. })));
    }
}
