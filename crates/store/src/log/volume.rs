//! All logs under one directory: they share a flusher thread, a memory budget for the newest records and a reserve of
//! disk space.
//!
//! Promise: a log is open at most once; closing the volume writes and syncs all that was queued.

use super::disk::{Disk, OsDisk, create_dir};
use super::flusher::{Queue, run};
use super::record::Schemas;
use super::segment::Ident;
use super::shard::{Log, LogConfig};
use super::tail::TailBudget;
use crate::error::{Result, StoreError};
use hydron_base::world::{Clock, SystemClock};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use uuid::Uuid;

/// Told once per log, or catalog, that can no longer be written; the server is replaced then and recovers at its start. Called
/// by the thread that writes: it must not call back into what failed.
pub type FaultHook = Arc<dyn Fn(&StoreError) + Send + Sync>;

#[derive(Clone)]
pub struct VolumeConfig {
    /// Memory for decoded records of all logs: a reader that lags by less than its share never touches a file.
    pub tail_bytes: usize,
    /// Records in all rings; bounds what many tiny records cost beyond their bytes.
    pub tail_records: usize,
    /// Encoded bytes that may wait for the flusher. Past it writers wait; about 0.1 s of a fast disk.
    pub queue_bytes: usize,
    /// Free bytes that logs leave to the catalog, parts and checkpoints, so that a full disk can still be emptied.
    pub reserve_bytes: u64,
    pub on_fault: Option<FaultHook>,
    /// Opening a log reads its last segment from the device. Only where it is known that no sync has failed since the
    /// machine started, the page cache may be believed instead, which is faster.
    pub reads_device: bool,
}

impl Default for VolumeConfig {
    fn default() -> VolumeConfig {
        VolumeConfig {
            tail_bytes: 64 << 20,
            tail_records: 65_536,
            queue_bytes: 64 << 20,
            reserve_bytes: 64 << 20,
            on_fault: None,
            reads_device: true,
        }
    }
}

/// What the logs of a volume share.
pub(super) struct Common {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: VolumeConfig,
    pub(super) queue: Arc<Queue>,
    pub(super) budget: TailBudget,
    /// Held while several logs show at once what belongs together, and while several are looked at.
    pub(super) shown: RwLock<()>,
}

impl Common {
    pub(super) fn report_fault(&self, fault: &StoreError) {
        if let Some(hook) = &self.config.on_fault {
            hook(fault);
        }
    }
}

pub struct LogVolume {
    dir: PathBuf,
    common: Arc<Common>,
    open: Mutex<HashMap<Ident, Weak<Log>>>,
    /// Logs that some thread is opening: it reads and syncs files, which others need not wait for.
    opening: Mutex<HashSet<Ident>>,
    flusher: Mutex<Option<JoinHandle<()>>>,
}

// A dropped log keeps this ending until its files are gone.
const DROPPED: &str = ".dropped";

impl LogVolume {
    /// The logs under `dir` on the machine's disk.
    pub fn open(dir: &Path, config: VolumeConfig) -> Result<Arc<LogVolume>> {
        LogVolume::open_on(Arc::new(OsDisk), Arc::new(SystemClock), dir, config)
    }

    /// The logs under `dir` on any disk by any clock.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        dir: &Path,
        config: VolumeConfig,
    ) -> Result<Arc<LogVolume>> {
        create_dir(&*disk, dir)?;
        for name in disk.list(dir).map_err(|e| StoreError::disk("list", dir, e))? {
            if name.ends_with(DROPPED) {
                let path = dir.join(name);
                disk.remove_dir(&path).map_err(|e| StoreError::disk("remove", &path, e))?;
            }
        }
        let queue = Queue::new(config.queue_bytes);
        let budget = TailBudget::new(config.tail_bytes, config.tail_records);
        let common = Arc::new(Common { disk, clock, config, queue: queue.clone(), budget, shown: RwLock::new(()) });
        let flusher = std::thread::Builder::new()
            .name("log-flusher".to_owned())
            .spawn(move || run(&queue))
            .map_err(|e| StoreError::disk("start the flusher of", dir, e))?;
        Ok(Arc::new(LogVolume {
            dir: dir.to_owned(),
            common,
            open: Mutex::default(),
            opening: Mutex::default(),
            flusher: Mutex::new(Some(flusher)),
        }))
    }

    fn dir_of(&self, ident: Ident) -> PathBuf {
        self.dir.join(format!("{}.{}", ident.stream, ident.shard))
    }

    /// Opens or creates the log of one shard; threads may open several at once. Errors: `AlreadyOpen`; `Damaged`; `Disk`.
    pub fn open_log(&self, stream: Uuid, shard: u32, schemas: Arc<dyn Schemas>, config: LogConfig) -> Result<Arc<Log>> {
        let ident = Ident { stream, shard };
        {
            let mut open = self.open.lock();
            open.retain(|_, log| log.strong_count() > 0);
            if open.contains_key(&ident) || !self.opening.lock().insert(ident) {
                return Err(StoreError::AlreadyOpen { object: format!("log {stream}.{shard}") });
            }
        }
        let log = Log::open(self.common.clone(), self.dir_of(ident), ident, schemas, config);
        let mut open = self.open.lock();
        self.opening.lock().remove(&ident);
        let log = log?;
        open.insert(ident, Arc::downgrade(&log));
        Ok(log)
    }

    /// Removes the log of one shard with all its files; its readers finish. Nothing happens if there is none.
    pub fn drop_log(&self, stream: Uuid, shard: u32) -> Result<()> {
        let ident = Ident { stream, shard };
        if let Some(log) = self.open.lock().remove(&ident).and_then(|l| l.upgrade()) {
            log.close();
        }
        let (disk, dir) = (&*self.common.disk, self.dir_of(ident));
        if !disk.exists(&dir) {
            return Ok(());
        }
        let dropped = self.dir.join(format!("{stream}.{shard}{DROPPED}"));
        disk.rename(&dir, &dropped).map_err(|e| StoreError::disk("rename", &dir, e))?;
        disk.sync_dir(&self.dir).map_err(|e| StoreError::disk("sync", &self.dir, e))?;
        disk.remove_dir(&dropped).map_err(|e| StoreError::disk("remove", &dropped, e))
    }

    /// The logs that have files here, open or not: what the catalog does not know of them can be dropped.
    pub fn list(&self) -> Result<Vec<Ident>> {
        let names = self.common.disk.list(&self.dir).map_err(|e| StoreError::disk("list", &self.dir, e))?;
        let ident_of = |name: &String| {
            let (stream, shard) = name.rsplit_once('.')?;
            Some(Ident { stream: Uuid::parse_str(stream).ok()?, shard: shard.parse().ok()? })
        };
        Ok(names.iter().filter_map(ident_of).collect())
    }

    /// Bytes that the newest records of all logs take in memory.
    pub fn tail_bytes(&self) -> usize {
        self.common.budget.bytes()
    }

    /// Writes and syncs what is queued, then ends the flusher. Later appends are refused. Idempotent.
    pub fn close(&self) {
        self.common.queue.close();
        if let Some(flusher) = self.flusher.lock().take() {
            // A flusher that panicked has answered its writers on the way out.
            let _ = flusher.join();
        }
        for log in self.open.lock().values().filter_map(Weak::upgrade) {
            log.close();
        }
    }
}

impl Drop for LogVolume {
    fn drop(&mut self) {
        self.close();
    }
}
