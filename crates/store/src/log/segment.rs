//! One file of the log: a head, then records, then zeros up to what was reserved.
//!
//! In: a directory and a base sequence, or an existing file. Out: records in order, each checked. Promise: reading never
//! goes past what was written, and bytes that do not check are an error that names file and offset. Layout:
//! docs/formats/log.md.

use super::disk::{Disk, DiskFile, is_full, zeroed};
use super::head::Head;
use super::index::{Index, Summary};
use super::index_file::{index_bytes, index_path, read_index};
use super::keys::KeyWindow;
use super::record::Sequence;
use super::recovery::{Step, Verdict, judge_tail, step};
use crate::error::{Result, StoreError};
use parking_lot::RwLock;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

pub const SEGMENT_HEAD_BYTES: u64 = 64;
const SEGMENT_MAGIC: [u8; 8] = *b"HYDRLOG1";
/// Bytes fetched at once by a sequential reader; larger records are fetched whole.
const READ_BYTES: usize = 256 << 10;

/// Whose log it is: written into each segment, so that a misplaced file is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ident {
    pub stream: Uuid,
    pub shard: u32,
}

pub struct Segment {
    pub base: Sequence,
    pub path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) index: RwLock<Index>,
}

fn file_name(base: Sequence) -> String {
    format!("{base:020}.log", base = base.0)
}

/// The base sequence in the name of a segment file; `None` for other files.
pub fn base_of_name(name: &str) -> Option<Sequence> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Sequence))?
}

fn segment_head(ident: Ident, base: Sequence, created_ms: i64) -> [u8; SEGMENT_HEAD_BYTES as usize] {
    let mut head = [0; SEGMENT_HEAD_BYTES as usize];
    head[0..8].copy_from_slice(&SEGMENT_MAGIC);
    head[8..24].copy_from_slice(ident.stream.as_bytes());
    head[24..28].copy_from_slice(&ident.shard.to_le_bytes());
    head[32..40].copy_from_slice(&base.0.to_le_bytes());
    head[40..48].copy_from_slice(&created_ms.to_le_bytes());
    let crc = crc32c::crc32c(&head[..60]);
    head[60..64].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Why a new segment could not be made.
pub(super) enum CreateError {
    /// No room; nothing is left behind.
    Full,
    /// A write or a sync failed.
    Failed(&'static str, io::Error),
}

impl Segment {
    /// Makes a new segment with room for `reserve` bytes. On success its head and its name survive a power cut.
    pub(super) fn create(
        disk: &dyn Disk,
        dir: &Path,
        ident: Ident,
        base: Sequence,
        created_ms: i64,
        reserve: u64,
    ) -> Result<Segment, CreateError> {
        let path = dir.join(file_name(base));
        if disk.exists(&path) {
            // Left by a roll that found no room. It holds no record: the log's last segment is another one.
            disk.remove(&path).map_err(|e| CreateError::Failed("remove", e))?;
        }
        let file = match disk.create(&path) {
            Ok(file) => file,
            Err(e) if is_full(&e) => return Err(CreateError::Full),
            Err(e) => return Err(CreateError::Failed("create", e)),
        };
        match file.reserve(0, reserve.max(SEGMENT_HEAD_BYTES)) {
            Err(e) if is_full(&e) => {
                // The file is empty and nameless to everybody; if it stays, the next roll removes it.
                let _ = disk.remove(&path);
                return Err(CreateError::Full);
            }
            other => other.map_err(|e| CreateError::Failed("reserve", e))?,
        }
        file.write_at(&[&segment_head(ident, base, created_ms)], 0).map_err(|e| CreateError::Failed("write", e))?;
        file.sync().map_err(|e| CreateError::Failed("sync", e))?;
        disk.sync_dir(dir).map_err(|e| CreateError::Failed("sync", e))?;
        Ok(Segment { base, path, file, index: RwLock::new(Index::new(base, SEGMENT_HEAD_BYTES)) })
    }

    pub(super) fn open(disk: &dyn Disk, dir: &Path, base: Sequence) -> Result<Segment> {
        let path = dir.join(file_name(base));
        let file = disk.open(&path).map_err(|e| StoreError::disk("open", &path, e))?;
        Ok(Segment { base, path, file, index: RwLock::new(Index::new(base, SEGMENT_HEAD_BYTES)) })
    }

    pub fn summary(&self) -> Summary {
        self.index.read().summary
    }

    fn len(&self) -> Result<u64> {
        self.file.len().map_err(|e| StoreError::disk("read", &self.path, e))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize> {
        self.file.read_at(into, offset).map_err(|e| StoreError::disk("read", &self.path, e))
    }

    /// True if the head is that of `ident` and this base; false if the file is younger than its head. Anything else is
    /// damage.
    fn head_is_whole(&self, ident: Ident) -> Result<bool> {
        let mut head = [0; SEGMENT_HEAD_BYTES as usize];
        let got = self.read_at(&mut head, 0)?;
        if head[..got].iter().all(|b| *b == 0) {
            return Ok(false);
        }
        let created = i64::from_le_bytes(*head[40..].first_chunk().expect("24 bytes follow byte 40"));
        if got < head.len() || head != segment_head(ident, self.base, created) {
            return Err(StoreError::damaged(&self.path, 0, "head of the segment is not that of this log"));
        }
        Ok(true)
    }

    /// Reads all records of a closed segment into the index: from its index file, or else one by one.
    pub(super) fn load_closed(&self, disk: &dyn Disk, ident: Ident, keys: &mut KeyWindow) -> Result<()> {
        if !self.head_is_whole(ident)? {
            return Err(StoreError::damaged(&self.path, 0, "head of the segment is missing"));
        }
        if let Some((index, known)) = read_index(disk, &index_path(&self.path), self.base) {
            for (key, sequence, time) in known {
                keys.insert(key, sequence, time);
            }
            *self.index.write() = index;
            return Ok(());
        }
        let end = self.len()?;
        match self.scan(end, keys)? {
            ScanEnd::Clean => Ok(()),
            ScanEnd::Bad(why) => Err(StoreError::damaged(&self.path, self.summary().end, why)),
        }
    }

    /// Reads the last segment and removes what a torn write has left. Afterwards all that is indexed is synced.
    pub(super) fn recover_last(
        &self,
        ident: Ident,
        keys: &mut KeyWindow,
        now_ms: i64,
        reads_device: bool,
    ) -> Result<Cut> {
        if reads_device {
            self.file.forget_cache().map_err(|e| StoreError::disk("read", &self.path, e))?;
        }
        let len = self.len()?;
        let written = self.file.written_end(len);
        if !self.head_is_whole(ident)? {
            if !self.is_zero(0, written)? {
                let why = "head of the segment is missing, records are there";
                return Err(StoreError::damaged(&self.path, 0, why));
            }
            self.file
                .write_at(&[&segment_head(ident, self.base, now_ms)], 0)
                .map_err(|e| StoreError::disk("write", &self.path, e))?;
        }
        let mut cut = Cut { bytes: 0, why: None, reserved: len.max(SEGMENT_HEAD_BYTES) };
        if let ScanEnd::Bad(why) = self.scan(written.max(SEGMENT_HEAD_BYTES), keys)? {
            let summary = self.summary();
            let mut tail = zeroed(len - summary.end).map_err(|e| StoreError::disk("read", &self.path, e))?;
            let got = self.read_at(&mut tail, summary.end)?;
            tail.truncate(got);
            if judge_tail(&tail, summary.next) == Verdict::Damaged {
                return Err(StoreError::damaged(
                    &self.path,
                    summary.end,
                    format!("{why}, and later records are whole"),
                ));
            }
            let written = tail.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
            // Cutting the file, instead of zeroing it, also takes away records that lie beyond the hole.
            self.file.truncate(summary.end).map_err(|e| StoreError::disk("truncate", &self.path, e))?;
            cut = Cut { bytes: written as u64, why: Some(why), reserved: summary.end };
        }
        let end = self.summary().end;
        if cut.reserved < end {
            // The file ends within the padding of its last record, of which nothing is missing.
            self.file.truncate(end).map_err(|e| StoreError::disk("truncate", &self.path, e))?;
            cut.reserved = end;
        }
        // Records that were written and not synced are there after a crash of the process alone.
        self.file.sync().map_err(|e| StoreError::disk("sync", &self.path, e))?;
        Ok(cut)
    }

    /// Indexes records from the first on, and their keys.
    fn scan(&self, end: u64, keys: &mut KeyWindow) -> Result<ScanEnd> {
        let mut reader = Reader::new(SEGMENT_HEAD_BYTES, self.base);
        loop {
            match reader.step(self, end)? {
                Step::Record(head) => {
                    let outline = head.outline(reader.bytes());
                    if let Some(key) = outline.key {
                        keys.insert(key, outline.sequence, outline.append_time_ms);
                    }
                    self.index.write().push(&head);
                    reader.advance(&head);
                }
                Step::Empty => return self.scan_end_of_zeros(reader.offset(), end),
                Step::Bad(why) => return Ok(ScanEnd::Bad(why)),
                Step::More(_) => return Ok(ScanEnd::Bad("record is cut off")),
            }
        }
    }

    /// A zero length ends the records only if nothing follows it.
    fn scan_end_of_zeros(&self, at: u64, end: u64) -> Result<ScanEnd> {
        Ok(if self.is_zero(at, end)? { ScanEnd::Clean } else { ScanEnd::Bad("a hole lies between records") })
    }

    fn is_zero(&self, mut at: u64, end: u64) -> Result<bool> {
        let mut chunk = vec![0; READ_BYTES];
        while at < end {
            let got = self.read_at(&mut chunk, at)?;
            if got == 0 {
                break;
            }
            if chunk[..got].iter().any(|b| *b != 0) {
                return Ok(false);
            }
            at += got as u64;
        }
        Ok(true)
    }

    /// Writes the index file of a segment that will not grow any more, with the keys known at its end.
    pub(super) fn save_index(&self, disk: &dyn Disk, keys: &KeyWindow) -> io::Result<()> {
        let bytes = index_bytes(&self.index.read(), keys);
        let path = index_path(&self.path);
        if disk.exists(&path) {
            disk.remove(&path)?;
        }
        let file = disk.create(&path)?;
        file.reserve(0, bytes.len() as u64)?;
        file.write_at(&[&bytes], 0)
    }
}

/// What [`Segment::recover_last`] took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub bytes: u64,
    pub why: Option<&'static str>,
    /// Where the file ends now: zeros from the last record on, room for the next ones.
    pub reserved: u64,
}

enum ScanEnd {
    Clean,
    Bad(&'static str),
}

/// Reads records of one segment in order.
pub(super) struct Reader {
    chunk: Vec<u8>,
    /// Where in the file the chunk begins, and where in the chunk the next record does.
    chunk_at: u64,
    at: usize,
    pub(super) expected: Sequence,
}

impl Reader {
    pub(super) fn new(offset: u64, expected: Sequence) -> Reader {
        Reader { chunk: Vec::new(), chunk_at: offset, at: 0, expected }
    }

    pub(super) fn offset(&self) -> u64 {
        self.chunk_at + self.at as u64
    }

    /// The bytes from the next record on.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.chunk[self.at..]
    }

    pub(super) fn advance(&mut self, head: &Head) {
        self.at = (self.at + head.stride()).min(self.chunk.len());
        self.expected = self.expected.next();
    }

    /// Looks at the next record, reading ahead up to `end`.
    pub(super) fn step(&mut self, segment: &Segment, end: u64) -> Result<Step> {
        loop {
            let more = self.chunk_at + (self.chunk.len() as u64) < end;
            match step(self.bytes(), more, self.expected) {
                Step::More(wanted) => self.fill(segment, wanted, end)?,
                other => return Ok(other),
            }
        }
    }

    fn fill(&mut self, segment: &Segment, wanted: usize, end: u64) -> Result<()> {
        let offset = self.offset();
        let len = (wanted.max(READ_BYTES) as u64).min(end.saturating_sub(offset)) as usize;
        self.chunk.resize(len, 0);
        self.chunk_at = offset;
        self.at = 0;
        let got = segment.read_at(&mut self.chunk, offset)?;
        if got < len {
            return Err(StoreError::damaged(
                &segment.path,
                offset + got as u64,
                "file is shorter than what was written",
            ));
        }
        Ok(())
    }
}

pub(super) fn remove_files(disk: &dyn Disk, segment: &Segment) -> io::Result<()> {
    disk.remove(&segment.path)?;
    let index = index_path(&segment.path);
    if disk.exists(&index) { disk.remove(&index) } else { Ok(()) }
}
