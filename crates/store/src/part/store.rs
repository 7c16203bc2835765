//! The history of one stream in an object store: commits, snapshots, and the files of both.
//!
//! In: encoded parts and changes. Out: snapshots that stay readable as long as they are held. Promise: of two committers
//! of one version one wins; a commit that has returned survives a power cut (on a local directory its files and names are
//! synced); a file goes only when no manifest and no snapshot needs it.

use super::encode::EncodedPart;
use super::manifest::{Manifest, PartMeta, SequenceRange, manifest_name, version_of_name};
use super::read::PartReader;
use crate::error::{Result, StoreError};
use crate::log::{EventSpan, Sequence};
use arrow::datatypes::SchemaRef;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{Error as ObjectError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

const PARTS: &str = "parts";
const MANIFESTS: &str = "manifest";
/// Old manifests kept: enough to see what the last commits did, and one to go back to if the newest was torn.
const MANIFESTS_KEPT: u64 = 8;

/// A change to the history. All of it happens or nothing.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub added: Vec<PartMeta>,
    /// Files of parts that go.
    pub removed: BTreeSet<String>,
    /// By shard: the first log record that is not in the parts after this. Shards that do not move may be left out.
    pub log_from: BTreeMap<u32, Sequence>,
}

pub struct PartStore {
    objects: Arc<dyn ObjectStore>,
    root: ObjectPath,
    /// Where the objects are files of this machine, which must be synced.
    local: Option<PathBuf>,
    pins: Arc<Mutex<Pins>>,
    committing: tokio::sync::Mutex<()>,
}

/// Who reads what, and what waits to be removed.
struct Pins {
    current: Arc<Manifest>,
    /// Snapshots held, by version.
    held: BTreeMap<u64, usize>,
    /// Files and the first version that does not need them.
    garbage: Vec<(u64, String)>,
}

/// One version of the history, readable as long as this value lives.
pub struct Snapshot {
    manifest: Arc<Manifest>,
    pins: Arc<Mutex<Pins>>,
}

impl Snapshot {
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl Clone for Snapshot {
    fn clone(&self) -> Snapshot {
        *self.pins.lock().held.entry(self.manifest.version).or_default() += 1;
        Snapshot { manifest: self.manifest.clone(), pins: self.pins.clone() }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        if let Some(count) = pins.held.get_mut(&self.manifest.version) {
            *count -= 1;
            if *count == 0 {
                pins.held.remove(&self.manifest.version);
            }
        }
    }
}

fn outside(action: &'static str, path: &ObjectPath, e: ObjectError) -> StoreError {
    match e {
        ObjectError::NotFound { .. } => StoreError::NotFound { object: path.to_string() },
        e => {
            // A full disk must keep its code on the way through the object store's error.
            let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&e);
            while let Some(error) = cause {
                if let Some(io) = error.downcast_ref::<io::Error>() {
                    return StoreError::disk(
                        action,
                        Path::new(path.as_ref()),
                        io::Error::new(io.kind(), io.to_string()),
                    );
                }
                cause = error.source();
            }
            StoreError::Objects { action, path: path.to_string(), cause: e.to_string() }
        }
    }
}

impl PartStore {
    /// Opens or creates the history of a stream in a directory of this machine.
    pub async fn open(dir: &Path) -> Result<PartStore> {
        for sub in [PARTS, MANIFESTS] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).map_err(|e| StoreError::disk("create", &sub, e))?;
            remove_staged(&sub).map_err(|e| StoreError::disk("remove", &sub, e))?;
        }
        let objects = LocalFileSystem::new_with_prefix(dir).map_err(|e| outside("open", &ObjectPath::default(), e))?;
        PartStore::open_on(Arc::new(objects), ObjectPath::default(), Some(dir.to_owned())).await
    }

    /// Opens or creates the history of a stream under `root` of any object store that can create if absent.
    pub async fn open_in(objects: Arc<dyn ObjectStore>, root: ObjectPath) -> Result<PartStore> {
        PartStore::open_on(objects, root, None).await
    }

    async fn open_on(objects: Arc<dyn ObjectStore>, root: ObjectPath, local: Option<PathBuf>) -> Result<PartStore> {
        let pins = Pins { current: Arc::new(Manifest::empty()), held: BTreeMap::new(), garbage: Vec::new() };
        let store = PartStore {
            objects,
            root,
            local,
            pins: Arc::new(Mutex::new(pins)),
            committing: tokio::sync::Mutex::new(()),
        };
        match store.load_newest().await? {
            Some(manifest) => store.pins.lock().current = Arc::new(manifest),
            None => {
                // Before there is a manifest, so that where there is one the directories are known to survive.
                let dir = store.local.as_deref();
                let parents = [dir, dir.and_then(Path::parent)].into_iter().flatten();
                parents.filter(|p| !p.as_os_str().is_empty()).try_for_each(sync_dir)?;
                store.create_manifest(&Manifest::empty()).await?;
            }
        }
        // Elsewhere a part without a manifest may belong to another writer that is about to commit.
        if store.local.is_some() {
            store.remove_orphans().await?;
        }
        Ok(store)
    }

    /// The object store, for readers of their own. Paths in the manifest are relative to [`PartStore::root`].
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    pub fn root(&self) -> &ObjectPath {
        &self.root
    }

    /// The object of a part.
    pub fn path_of(&self, file: &str) -> ObjectPath {
        file.split('/').fold(self.root.clone(), |path, part| path.join(part))
    }

    /// Pins the newest version.
    pub fn snapshot(&self) -> Snapshot {
        let mut pins = self.pins.lock();
        let manifest = pins.current.clone();
        *pins.held.entry(manifest.version).or_default() += 1;
        Snapshot { manifest, pins: self.pins.clone() }
    }

    /// Stores an encoded part under a new name. It counts once a commit adds it; until then it is an orphan, which the
    /// next open of a local directory removes.
    pub async fn write_part(
        &self,
        part: EncodedPart,
        sequences: BTreeMap<u32, SequenceRange>,
        event_span: Option<EventSpan>,
        schema_version: u16,
        level: u32,
    ) -> Result<PartMeta> {
        let file = format!("{PARTS}/{}.parquet", Uuid::now_v7());
        let bytes = part.bytes.len() as u64;
        self.put(&file, part.bytes.into(), PutMode::Create).await?;
        Ok(PartMeta {
            file,
            rows: part.rows,
            bytes,
            sequences,
            event_span,
            sort_columns: part.sort_columns,
            schema_version,
            text_columns: part.text_columns,
            nan_free: part.nan_free,
            level,
        })
    }

    /// Opens a part for reading in the schema of its version, or the `columns` of it, in the schema's order.
    /// On a local directory batches are read as they are asked for; elsewhere the whole object is fetched first.
    pub async fn read_part(
        &self,
        part: &PartMeta,
        schema: &SchemaRef,
        columns: Option<&[usize]>,
        batch_rows: usize,
    ) -> Result<PartReader> {
        if let Some(dir) = &self.local {
            let path = dir.join(&part.file);
            let file = File::open(&path).map_err(|e| StoreError::disk("open", &path, e))?;
            return PartReader::of_file(&part.file, file, schema, columns, batch_rows);
        }
        PartReader::of_bytes(&part.file, self.get(&part.file).await?, schema, columns, batch_rows)
    }

    /// Makes a new version. Errors: `Conflict` if another writer has made it meanwhile, or a removed part is not there:
    /// [`PartStore::refresh`], decide again. If the future is dropped the commit may have happened all the same, and
    /// the next one says `Conflict`.
    pub async fn commit(&self, commit: Commit) -> Result<Snapshot> {
        let _one_at_a_time = self.committing.lock().await;
        let current = self.pins.lock().current.clone();
        let next = current.next(commit.added, &commit.removed, &commit.log_from)?;
        self.create_manifest(&next).await?;
        self.install(next);
        let snapshot = self.snapshot();
        self.sweep().await?;
        Ok(snapshot)
    }

    /// Removes all parts and says that the log counts from `log_from` on (TRUNCATE).
    pub async fn clear(&self, log_from: BTreeMap<u32, Sequence>) -> Result<Snapshot> {
        let removed = self.snapshot().manifest().parts.iter().map(|p| p.file.clone()).collect();
        self.commit(Commit { added: Vec::new(), removed, log_from }).await
    }

    /// Reads the newest version, which another writer may have made.
    pub async fn refresh(&self) -> Result<()> {
        let _one_at_a_time = self.committing.lock().await;
        let newest = self.load_newest().await?;
        if let Some(manifest) = newest.filter(|m| m.version > self.pins.lock().current.version) {
            self.install(manifest);
        }
        Ok(())
    }

    /// Makes `next` the version that new snapshots get; files it no longer needs become garbage.
    fn install(&self, next: Manifest) {
        let mut pins = self.pins.lock();
        let kept: BTreeSet<&str> = next.parts.iter().map(|p| p.file.as_str()).collect();
        let gone: Vec<(u64, String)> = pins
            .current
            .parts
            .iter()
            .filter(|p| !kept.contains(p.file.as_str()))
            .map(|p| (next.version, p.file.clone()))
            .collect();
        pins.garbage.extend(gone);
        pins.current = Arc::new(next);
    }

    /// Removes files that no snapshot needs any more. Commits do it; call it also after long queries end.
    pub async fn sweep(&self) -> Result<usize> {
        let due: Vec<(u64, String)> = {
            let mut pins = self.pins.lock();
            let oldest_held = pins.held.keys().next().copied().unwrap_or(u64::MAX);
            let (due, later) =
                std::mem::take(&mut pins.garbage).into_iter().partition(|(from, _)| *from <= oldest_held);
            pins.garbage = later;
            due
        };
        for (_, file) in &due {
            self.delete(file).await?;
        }
        let current = self.pins.lock().current.version;
        if let Some(old) = current.checked_sub(MANIFESTS_KEPT).filter(|v| *v > 0) {
            self.delete(&format!("{MANIFESTS}/{}", manifest_name(old))).await?;
        }
        Ok(due.len())
    }

    /// Removes everything of this stream's history (DROP).
    pub async fn drop_all(self) -> Result<()> {
        for sub in [MANIFESTS, PARTS] {
            for name in self.names(sub).await? {
                self.delete(&format!("{sub}/{name}")).await?;
            }
        }
        if let Some(dir) = &self.local {
            for sub in [dir.join(MANIFESTS), dir.join(PARTS), dir.clone()] {
                match fs::remove_dir(&sub) {
                    // The directory may hold what others have put there.
                    Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => break,
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        return Err(StoreError::disk("remove", &sub, e));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The newest manifest that is whole. One that is torn was never answered, if the one before it is whole and all
    /// its parts are there; otherwise it is damage.
    async fn load_newest(&self) -> Result<Option<Manifest>> {
        let mut versions: Vec<u64> = self.names(MANIFESTS).await?.iter().filter_map(|n| version_of_name(n)).collect();
        versions.sort_unstable();
        let Some(newest) = versions.pop() else {
            return Ok(None);
        };
        let why = match self.load(newest).await? {
            Ok(manifest) => return Ok(Some(manifest)),
            Err(why) => why,
        };
        let file = format!("{MANIFESTS}/{}", manifest_name(newest));
        let damaged = StoreError::damaged(Path::new(&file), 0, why);
        let before = match versions.pop() {
            Some(version) => self.load(version).await?.map_err(|_| damaged.clone())?,
            // The first version has nothing in it that could be lost.
            None if newest == 1 => Manifest { version: 0, ..Manifest::empty() },
            None => return Err(damaged),
        };
        let there: BTreeSet<String> = self.names(PARTS).await?.into_iter().map(|n| format!("{PARTS}/{n}")).collect();
        if !before.parts.iter().all(|p| there.contains(&p.file)) {
            return Err(damaged);
        }
        self.delete(&file).await?;
        Ok((before.version > 0).then_some(before))
    }

    async fn load(&self, version: u64) -> Result<Result<Manifest, String>> {
        let bytes = self.get(&format!("{MANIFESTS}/{}", manifest_name(version))).await?;
        Ok(Manifest::from_bytes(&bytes).and_then(|m| match m.version == version {
            true => Ok(m),
            false => Err(format!("it says to be version {}", m.version)),
        }))
    }

    async fn create_manifest(&self, manifest: &Manifest) -> Result<()> {
        let file = format!("{MANIFESTS}/{}", manifest_name(manifest.version));
        match self.put(&file, manifest.to_bytes()?.into(), PutMode::Create).await {
            Err(StoreError::Exists { .. }) => {
                Err(StoreError::Conflict { object: format!("history {}", self.root), version: manifest.version })
            }
            other => other,
        }
    }

    /// Removes parts that no manifest names: their writer stopped before its commit.
    async fn remove_orphans(&self) -> Result<()> {
        let known: BTreeSet<String> = self.pins.lock().current.parts.iter().map(|p| p.file.clone()).collect();
        for name in self.names(PARTS).await? {
            let file = format!("{PARTS}/{name}");
            if !known.contains(&file) {
                self.delete(&file).await?;
            }
        }
        Ok(())
    }

    async fn names(&self, sub: &str) -> Result<Vec<String>> {
        let path = self.path_of(sub);
        let listed = self.objects.list_with_delimiter(Some(&path)).await.map_err(|e| outside("list", &path, e))?;
        Ok(listed.objects.iter().filter_map(|o| o.location.filename().map(str::to_owned)).collect())
    }

    async fn get(&self, file: &str) -> Result<bytes::Bytes> {
        let path = self.path_of(file);
        let found = self.objects.get(&path).await.map_err(|e| outside("read", &path, e))?;
        found.bytes().await.map_err(|e| outside("read", &path, e))
    }

    async fn put(&self, file: &str, payload: PutPayload, mode: PutMode) -> Result<()> {
        let path = self.path_of(file);
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.objects.put_opts(&path, payload, options).await {
            Ok(_) => {}
            Err(ObjectError::AlreadyExists { .. }) => {
                return Err(StoreError::Exists { object: path.to_string() });
            }
            Err(e) => return Err(outside("write", &path, e)),
        }
        let Some(path) = self.local.as_ref().map(|dir| dir.join(file)) else { return Ok(()) };
        sync_file(&path).inspect_err(|_| {
            // A second sync of the same file would succeed and mean nothing: the next try begins with a new one.
            let _ = fs::remove_file(&path);
        })
    }

    async fn delete(&self, file: &str) -> Result<()> {
        let path = self.path_of(file);
        match self.objects.delete(&path).await {
            Ok(()) | Err(ObjectError::NotFound { .. }) => Ok(()),
            Err(e) => Err(outside("remove", &path, e)),
        }
    }
}

/// Removes what unfinished writes of the object store have left: it stages a file under its name, `#` and a number.
fn remove_staged(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().contains('#') {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes a new file and its name survive a power cut.
fn sync_file(path: &Path) -> Result<()> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| StoreError::disk("sync", path, e))?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|f| f.sync_all()).map_err(|e| StoreError::disk("sync", dir, e))
}
