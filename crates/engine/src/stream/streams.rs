//! All streams of one directory: the volume of their logs, the directories of their parts, the task that compacts them.
//!
//! Promise: a stream that the catalog does not know leaves no files behind after a start.

use super::adapter::EngineCell;
use super::compact;
use super::json_types::JsonTypes;
use super::store::StreamStore;
use super::stream::Stream;
use super::trapped_disk::TrappedDisk;
use crate::engine::Inner;
use crate::options::EngineOptions;
use hydron_base::world::SystemClock;
use hydron_base::{Code, Error, Result};
use hydron_board::Board;
use hydron_store::log::{FaultHook, LogVolume, VolumeConfig};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub struct Streams {
    pub(super) volume: Arc<LogVolume>,
    parts: PathBuf,
    pub(super) options: EngineOptions,
    pub(super) cpu: Handle,
    pub(super) engine: EngineCell,
    open: Arc<Mutex<HashMap<Uuid, Weak<StreamStore>>>>,
    /// Compaction may begin.
    recovered: CancellationToken,
    closing: CancellationToken,
    compactor: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Streams {
    pub fn open(options: &EngineOptions, cpu: Handle) -> Result<Streams> {
        let dir = options.data_dir.join("log");
        let volume = match options.allow_trap {
            true => LogVolume::open_on(Arc::new(TrappedDisk), Arc::new(SystemClock), &dir, volume_config())?,
            false => LogVolume::open(&dir, volume_config())?,
        };
        let parts = options.data_dir.join("history");
        std::fs::create_dir_all(&parts)
            .map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot create {}: {e}", parts.display())))?;
        let open: Arc<Mutex<HashMap<Uuid, Weak<StreamStore>>>> = Arc::default();
        let closing = CancellationToken::new();
        let recovered = CancellationToken::new();
        let work = compact::run(Arc::clone(&open), Arc::clone(&options.clock), recovered.clone(), closing.clone());
        let compactor = cpu.spawn(work);
        Ok(Streams {
            volume,
            parts,
            options: options.clone(),
            cpu,
            engine: EngineCell::default(),
            open,
            recovered,
            closing,
            compactor: Mutex::new(Some(compactor)),
        })
    }

    pub(crate) fn parts_dir(&self, uuid: Uuid) -> PathBuf {
        self.parts.join(uuid.to_string())
    }

    /// Says which engine these streams belong to, before any row of them is read.
    pub fn belong_to(&self, engine: &Arc<Inner>) {
        // A second time changes nothing: there is one engine.
        let _ = self.engine.set(Arc::downgrade(engine));
    }

    /// Makes `store` the one that is compacted and found by its stream's UUID.
    pub fn register(&self, uuid: Uuid, store: &Arc<StreamStore>) {
        self.open.lock().insert(uuid, Arc::downgrade(store));
    }

    /// All logs are open and whole, read from the device where that was needed: what failed before is behind us.
    pub fn recovered(&self) {
        self.recovered.cancel();
        if let Some(board) = Board::current() {
            board.worker().clear_disk_fault();
        }
    }

    /// The rows of a stream that is open.
    pub fn get(&self, uuid: Uuid) -> Option<Arc<StreamStore>> {
        self.open.lock().get(&uuid).and_then(Weak::upgrade)
    }

    /// A view needs no records any more.
    pub fn release(&self, view: Uuid) {
        self.open.lock().values().filter_map(Weak::upgrade).for_each(|store| store.release(view));
    }

    /// Removes the files of a dropped stream. Readers that still hold parts of it keep these until they end.
    pub fn remove(&self, stream: &Stream) -> Result<()> {
        let uuid = stream.info.uuid;
        self.open.lock().remove(&uuid);
        JsonTypes::forget(&self.engine, uuid);
        let Some(store) = stream.store() else { return Ok(()) };
        store.close();
        // A part that is being written ends first: its file would appear in a directory that is being removed.
        *store.compacting.blocking_lock() = true;
        for shard in 0..stream.info.shards {
            self.volume.drop_log(uuid, shard)?;
        }
        remove_dir(&self.parts_dir(uuid))
    }

    /// Removes what belongs to no stream of `known`: left by a stop between a change of the catalog and the removal.
    pub fn drop_unknown(&self, known: &[Uuid]) -> Result<()> {
        let known: HashSet<Uuid> = known.iter().copied().collect();
        for ident in self.volume.list()? {
            if !known.contains(&ident.stream) {
                self.volume.drop_log(ident.stream, ident.shard)?;
            }
        }
        let entries = std::fs::read_dir(&self.parts)
            .map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot list {}: {e}", self.parts.display())))?;
        for entry in entries.flatten() {
            let uuid = entry.file_name().to_str().and_then(|n| Uuid::parse_str(n).ok());
            if uuid.is_some_and(|u| !known.contains(&u)) {
                remove_dir(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Ends compaction, then syncs and closes all logs. Blocks.
    pub fn close(&self) {
        self.closing.cancel();
        if let Some(task) = self.compactor.lock().take() {
            // A part being written is an orphan that the next start removes: there is nothing to wait for.
            task.abort();
        }
        self.volume.close();
    }
}

/// A worker that follows another one on the same board knows whether a sync has failed since the first one read the disk.
fn volume_config() -> VolumeConfig {
    let worker = Board::current().map(Board::worker);
    let follows = worker.is_some_and(|w| w.generation.load(Ordering::Acquire) > 1);
    let failed = worker.is_some_and(|w| w.has_disk_fault());
    VolumeConfig { reads_device: failed || !follows, on_fault: Some(fault_hook()), ..VolumeConfig::default() }
}

/// What follows from a write or a sync that failed: no second one is believed, so the supervisor has the worker replaced, and
/// the next one reads what the disk holds. Without a supervisor what failed takes no more until a start.
pub fn fault_hook() -> FaultHook {
    Arc::new(|fault| match Board::current() {
        Some(board) => {
            tracing::error!("the worker is replaced, since the disk failed: {fault}");
            board.worker().set_disk_fault(&fault.to_string());
        }
        None => tracing::error!("it can no longer be written until the server is started again: {fault}"),
    })
}

fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::new(Code::CANNOT_DELETE_DIRECTORY, format!("cannot remove {}: {e}", dir.display())))
        }
        _ => Ok(()),
    }
}
