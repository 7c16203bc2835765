//! The files of a directory, read as they grow.
//!
//! In: settings, where to begin. Out: rows; a file is a shard, the place of a row's last byte its offset. Promise: a row is read once,
//! also when its file is renamed, or emptied and written anew; a row that no delimiter ends yet comes after [`QUIET`]. What is written
//! and removed between two looks at the directory ([`SCAN_PAUSE`]) is missed.

use super::records::Records;
use super::settings::TailSettings;
use super::time::millis_of;
use crate::cut::Cuts;
use crate::source::{Gathered, Place, Polled, Source, Start};
use hydron_base::{Code, Error, Result};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two looks at the directory.
const SCAN_PAUSE: Duration = Duration::from_millis(250);

/// Between two looks at files that have not grown.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// How long a row without an end waits for one. Rows that begin at a time are complete only with the next, which may not come.
const QUIET: Duration = Duration::from_secs(1);

/// Files that one stream reads: each is a file descriptor.
const FILES_MAX: usize = 1_000;

/// Bytes read at a time from one file.
const READ_BYTES: usize = 1 << 18;

/// A file whatever its name is.
type Identity = (u64, u64);

pub struct TailRead {
    settings: TailSettings,
    files: BTreeMap<Identity, Tailed>,
    /// Rows before this time are left out, in milliseconds.
    not_before: Option<i64>,
    /// Ends with what was there when it began.
    bounded: bool,
    cuts: Cuts,
    scanned: Instant,
    chunk: Vec<u8>,
}

struct Tailed {
    path: PathBuf,
    shard: u32,
    file: File,
    records: Records,
    /// What the file began with when it was last looked at.
    head: Vec<u8>,
    /// Bytes it had when the reading began.
    size: i64,
    begun_at: i64,
    grew: Instant,
    /// Its name is gone from the directory.
    unlisted: bool,
    /// Rows end here, as they did before a stop.
    ends: VecDeque<i64>,
    done: bool,
}

impl TailRead {
    /// `after`: for files that were read before, the offset of the last row; `heads`: for those the size at which their past ends.
    ///
    /// Errors: FILE_DOESNT_EXIST without the directory,
    /// NOT_IMPLEMENTED for offsets, RECOVER_CHECKPOINT_FAILED when a file with rows to be read again is gone.
    pub fn open(
        settings: &TailSettings,
        start: Start,
        after: &HashMap<u32, i64>,
        heads: &HashMap<u32, i64>,
        bounded: bool,
        cuts: Cuts,
    ) -> Result<TailRead> {
        let mut read = TailRead {
            settings: settings.clone(),
            files: BTreeMap::new(),
            not_before: None,
            bounded,
            cuts,
            scanned: Instant::now(),
            chunk: vec![0; READ_BYTES],
        };
        match start {
            Start::Time(ms) => read.not_before = Some(ms),
            Start::Earliest | Start::Latest | Start::After(_) => {}
            Start::Offset(_) => return Err(Error::not_implemented("seek_to a number in an external stream of files")),
        }
        read.scan(&|shard, size| match (after.get(&shard), start) {
            (Some(last), _) if *last < size => last + 1,
            // Another file by the same number, or one that was emptied.
            (Some(_), _) => 0,
            (None, Start::Latest) => size,
            (None, _) => 0,
        })?;
        for file in read.files.values_mut() {
            file.size = heads.get(&file.shard).copied().unwrap_or(file.size);
        }
        let missing = read.cuts.shards().find(|shard| !read.files.values().any(|f| f.shard == *shard));
        match missing {
            Some(shard) => {
                let message = format!("the file of shard {shard}, which was read before, is gone");
                Err(Error::new(Code::RECOVER_CHECKPOINT_FAILED, message))
            }
            None => Ok(read),
        }
    }

    pub fn places(&self) -> Vec<Place> {
        let place = |f: &Tailed| Place { shard: f.shard, next: f.begun_at, head: f.size };
        self.files.values().map(place).collect()
    }

    /// Looks for files that are new. `begin`: where to begin in one, by its shard and size.
    fn scan(&mut self, begin: &dyn Fn(u32, i64) -> i64) -> Result<()> {
        self.scanned = Instant::now();
        let dir = &self.settings.dir;
        let entries = std::fs::read_dir(dir).map_err(|e| cannot("list", dir, &e))?;
        self.files.values_mut().for_each(|f| f.unlisted = true);
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !self.settings.files.iter().any(|r| r.is_match(&name.to_string_lossy())) {
                continue;
            }
            let path = entry.path();
            // A link may lead anywhere: only what is in the directory itself is read.
            let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
            if !meta.is_file() {
                continue;
            }
            let identity = (meta.dev(), meta.ino());
            if let Some(known) = self.files.get_mut(&identity) {
                known.unlisted = false;
                known.path = path;
                continue;
            }
            if self.files.len() >= FILES_MAX {
                let message = format!("more than {FILES_MAX} files in {} match log_files", dir.display());
                return Err(Error::new(Code::TOO_MANY_ROWS_OR_BYTES, message));
            }
            let file = match File::open(&path) {
                Ok(file) => file,
                // Gone since it was listed.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(cannot("open", &path, &e)),
            };
            let shard = shard_of(identity);
            let size = meta.len() as i64;
            let begun_at = begin(shard, size);
            let records = Records::new(self.settings.delimiter.clone(), self.settings.row_bytes_max, begun_at);
            let head =
                head(&file, self.settings.hash_bytes.min(size as usize)).map_err(|e| cannot("read", &path, &e))?;
            let ends = self.cuts.of(shard);
            let grew = Instant::now();
            let tailed =
                Tailed { path, shard, file, records, head, size, begun_at, grew, unlisted: false, ends, done: false };
            self.files.insert(identity, tailed);
        }
        Ok(())
    }

    /// Reads what all files have. False: nothing.
    fn read(&mut self, into: &mut Gathered) -> Result<bool> {
        let mut grown = false;
        for tailed in self.files.values_mut().filter(|f| !f.done) {
            if into.is_full() {
                return Ok(true);
            }
            let bound = self.bounded.then_some(tailed.size);
            let n = tailed.read(&mut self.chunk, bound, &self.settings)?;
            grown |= n > 0;
            let at_end = n == 0;
            let is_complete = bound.is_some_and(|size| tailed.records.end() >= size) || (self.bounded && at_end);
            let quiet = at_end && tailed.ends.is_empty() && tailed.grew.elapsed() >= QUIET;
            // At a row end of before, what is there so far is a row.
            let at_cut = tailed.ends.front().is_some_and(|end| tailed.records.end() == end + 1);
            let not_before = self.not_before;
            while let Some((row, end)) = tailed.records.next(is_complete || quiet || at_cut) {
                let captured = self.settings.timestamp.as_ref().and_then(|regex| {
                    let text = String::from_utf8_lossy(row);
                    let captures = regex.captures(&text)?;
                    millis_of(captures.get(1).or_else(|| captures.get(0))?.as_str())
                });
                let time_ms = captured.unwrap_or_else(now_ms);
                if not_before.is_none_or(|from| time_ms >= from) {
                    into.push(tailed.shard, end, time_ms, None, Some(row), std::iter::empty());
                }
                while tailed.ends.front().is_some_and(|e| *e <= end) {
                    tailed.ends.pop_front();
                }
            }
            tailed.done = is_complete;
        }
        // A file without a name is left when it has not grown for a while.
        self.files.retain(|_, f| !(f.unlisted && f.grew.elapsed() > 2 * QUIET && !f.records.is_open()));
        Ok(grown)
    }
}

impl Tailed {
    /// Reads the next bytes. A file that was emptied, or has another content, is read from its beginning.
    fn read(&mut self, chunk: &mut [u8], bound: Option<i64>, settings: &TailSettings) -> Result<usize> {
        let failed = |e: io::Error| cannot("read", &self.path, &e);
        let size = self.file.metadata().map_err(failed)?.len() as i64;
        let at = self.records.end();
        if size < at || (size > at && head(&self.file, self.head.len()).map_err(failed)? != self.head) {
            tracing::info!("{} was emptied or written anew: it is read from its beginning", self.path.display());
            self.records = Records::new(settings.delimiter.clone(), settings.row_bytes_max, 0);
            self.head.clear();
        }
        let at = self.records.end();
        // A row of before must not be read together with what followed it.
        let stop = self.ends.front().map(|end| end + 1).filter(|stop| *stop > at);
        let most = [bound, stop].into_iter().flatten().map(|to| (to - at).max(0) as usize).min().unwrap_or(usize::MAX);
        let most = most.min(chunk.len());
        let n = self.file.read_at(&mut chunk[..most], at as u64).map_err(|e| cannot("read", &self.path, &e))?;
        if n > 0 {
            self.grew = Instant::now();
            self.records.feed(&chunk[..n]);
            if self.head.len() < settings.hash_bytes {
                let wanted = settings.hash_bytes.min(size as usize);
                self.head = head(&self.file, wanted).map_err(|e| cannot("read", &self.path, &e))?;
            }
        }
        Ok(n)
    }
}

impl Source for TailRead {
    fn poll(&mut self, patience: Duration, into: &mut Gathered) -> Result<Polled> {
        let deadline = Instant::now() + patience;
        loop {
            if !self.bounded && self.scanned.elapsed() >= SCAN_PAUSE {
                // Files that come later are read whole.
                self.scan(&|_, _| 0)?;
            }
            let grown = self.read(into)?;
            if self.bounded && self.files.values().all(|f| f.done) {
                return Ok(Polled::End);
            }
            into.caught_up = self.files.values().all(|f| f.records.end() >= f.size);
            if grown || into.is_full() || Instant::now() >= deadline {
                return Ok(Polled::Open);
            }
            std::thread::sleep(LOOK_PAUSE.min(patience));
        }
    }
}

/// The first bytes of a file.
fn head(file: &File, bytes: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; bytes];
    let mut have = 0;
    while have < bytes {
        match file.read_at(&mut head[have..], have as u64)? {
            0 => break,
            n => have += n,
        }
    }
    head.truncate(have);
    Ok(head)
}

/// A number by which a file is known after a restart too, small enough for `_tp_shard`.
fn shard_of((device, inode): Identity) -> u32 {
    // The golden ratio spreads neighbours over all 31 bits.
    ((device.rotate_left(32) ^ inode).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as u32
}

fn cannot(action: &str, path: &Path, e: &io::Error) -> Error {
    let code = if e.kind() == io::ErrorKind::NotFound { Code::FILE_DOESNT_EXIST } else { Code::CANNOT_OPEN_FILE };
    Error::new(code, format!("cannot {action} '{}': {e}", path.display()))
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Event, Incoming};
    use std::fs;
    use std::io::Write;

    fn settings(dir: &Path) -> TailSettings {
        let pairs = [("log_dir", dir.to_str().unwrap()), ("log_files", "a.*\\.log")];
        TailSettings::parse(&|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())).unwrap()
    }

    fn append(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn open(dir: &Path, start: Start) -> TailRead {
        TailRead::open(&settings(dir), start, &HashMap::new(), &HashMap::new(), false, Cuts::default()).unwrap()
    }

    /// The next `count` rows.
    fn rows(incoming: &mut Incoming, count: usize) -> Vec<String> {
        let mut rows = Vec::new();
        while rows.len() < count {
            if let Event::Messages(chunk) = incoming.next_blocking().unwrap().unwrap() {
                rows.extend(chunk.messages().map(|m| String::from_utf8_lossy(m.payload.unwrap()).into_owned()));
            }
        }
        rows
    }

    #[test]
    fn a_file_is_followed_over_rotation_and_truncation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        append(&path, "old\n");
        let mut incoming = Incoming::spawn(open(dir.path(), Start::Latest), Cuts::default()).unwrap();
        append(&path, "1\n2\n");
        assert_eq!(rows(&mut incoming, 2), ["1", "2"]);
        fs::rename(&path, dir.path().join("a.1")).unwrap();
        append(&dir.path().join("a.1"), "3\n");
        assert_eq!(rows(&mut incoming, 1), ["3"]);
        append(&path, "4\n");
        assert_eq!(rows(&mut incoming, 1), ["4"]);
        fs::write(&path, "5, after it was emptied\n").unwrap();
        assert_eq!(rows(&mut incoming, 1), ["5, after it was emptied"]);
        append(&path, "no end");
        assert_eq!(rows(&mut incoming, 1), ["no end"]);
    }

    #[test]
    fn a_bounded_read_ends_and_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        append(&dir.path().join("a.log"), "1\n2");
        append(&dir.path().join("secret"), "x\n");
        std::os::unix::fs::symlink(dir.path().join("secret"), dir.path().join("a2.log")).unwrap();
        let read = TailRead::open(
            &settings(dir.path()),
            Start::Earliest,
            &HashMap::new(),
            &HashMap::new(),
            true,
            Cuts::default(),
        )
        .unwrap();
        let mut incoming = Incoming::spawn(read, Cuts::default()).unwrap();
        assert_eq!(rows(&mut incoming, 2), ["1", "2"]);
        assert_eq!(incoming.next_blocking().unwrap(), None);
    }

    #[test]
    fn a_read_goes_on_behind_a_row_in_the_pieces_of_before() {
        let dir = tempfile::tempdir().unwrap();
        append(&dir.path().join("a.log"), "1\n22\n333\n4444\n");
        let shard = open(dir.path(), Start::Earliest).places()[0].shard;
        let cuts = Cuts::new([(shard, 4), (shard, 6)]);
        let after = HashMap::from([(shard, 1)]);
        let read = TailRead::open(&settings(dir.path()), Start::Earliest, &after, &HashMap::new(), false, cuts.clone())
            .unwrap();
        let mut incoming = Incoming::spawn(read, cuts).unwrap();
        let mut piece = || loop {
            if let Event::Messages(chunk) = incoming.next_blocking().unwrap().unwrap() {
                let rows: Vec<_> =
                    chunk.messages().map(|m| String::from_utf8_lossy(m.payload.unwrap()).into_owned()).collect();
                return (rows.join(","), chunk.last_offset().unwrap());
            }
        };
        assert_eq!(piece(), ("22".into(), 4));
        // Here the row had no end when it was read.
        assert_eq!(piece(), ("33".into(), 6));
        assert_eq!(piece(), ("3,4444".into(), 13));
    }
}
