//! Rows of an INSERT that stand in a file or come through a pipe.
//!
//! In: a statement. Out: the statement as the server is to hear it, and its rows as they are read. Promise: a file is
//! read piece by piece; whoever waits sees how much of it is on its way.

use super::screen::Screen;
use hydron_base::{Code, Error, Result};
use hydron_format::{Compression, Decompressor};
use hydron_sql::ast::{InsertSource, Statement, StatementKind};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Error as IoError, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is shown how much was read.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// Compressed bytes that are unpacked at once.
const STEP_BYTES: usize = 16 << 10;

/// What a file may come to when it is unpacked.
const UNPACKED_BYTES_MAX: u64 = 1 << 40;

/// A statement with its rows apart.
pub struct Taken {
    pub text: String,
    pub data: Box<dyn Read + Send>,
}

/// Takes `FROM INFILE 'path' [COMPRESSION 'c']` out of an INSERT and opens the file. `None`: it has none.
///
/// The format is the one that is written, or that of the file's name. Errors: CANNOT_OPEN_FILE, UNKNOWN_FORMAT,
/// UNKNOWN_COMPRESSION_METHOD.
pub fn take(statement: &Statement, screen: &Arc<Screen>) -> Result<Option<Taken>> {
    let mut statement = statement.clone();
    let StatementKind::Insert(insert) = &mut statement.kind else { return Ok(None) };
    let Some(infile) = insert.infile.take() else { return Ok(None) };
    let path = Path::new(&infile.path);
    let (stem, packed) = match infile.compression.as_deref() {
        None | Some("auto") => by_ending(&infile.path)?,
        Some("none") => (infile.path.as_str(), None),
        Some(name) => (by_ending(&infile.path)?.0, Compression::parse(name)?),
    };
    if matches!(insert.source, InsertSource::None) {
        let ending = Path::new(stem).extension().and_then(|e| e.to_str()).unwrap_or_default();
        let format = format_of(ending).ok_or_else(|| {
            let text = format!("the name '{}' does not say the format of its rows", infile.path);
            Error::new(Code::UNKNOWN_FORMAT, text).hint("FROM INFILE '…' FORMAT CSV")
        })?;
        insert.source = InsertSource::Format(format.to_string());
    }
    let file = File::open(path)
        .map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot open '{}': {e}", infile.path)))?;
    let bytes = file.metadata().map_or(0, |m| m.len());
    let fed = Box::new(Fed::new(Box::new(file), bytes, screen));
    let data: Box<dyn Read + Send> = match packed {
        Some(compression) => Box::new(Unpacked::new(fed, compression)?),
        None => fed,
    };
    Ok(Some(Taken { text: statement.to_string(), data }))
}

/// Standard input, of which the length is known when it is a file.
pub fn stdin(screen: &Arc<Screen>) -> Box<dyn Read + Send> {
    use std::os::fd::AsFd;
    let copy = std::io::stdin().as_fd().try_clone_to_owned().map(File::from);
    let bytes = copy.and_then(|f| f.metadata()).map_or(0, |m| if m.is_file() { m.len() } else { 0 });
    Box::new(Fed::new(Box::new(std::io::stdin()), bytes, screen))
}

/// The name without the ending of a compression, and that compression.
fn by_ending(path: &str) -> Result<(&str, Option<Compression>)> {
    let Some((stem, ending)) = path.rsplit_once('.') else { return Ok((path, None)) };
    let name = match ending {
        "gz" => "gzip",
        "zst" => "zstd",
        "lz4" => "lz4",
        _ => return Ok((path, None)),
    };
    Ok((stem, Compression::parse(name)?))
}

fn format_of(ending: &str) -> Option<&'static str> {
    Some(match ending {
        "csv" => "CSV",
        "tsv" | "tab" => "TabSeparated",
        "json" | "jsonl" | "ndjson" => "JSONEachRow",
        "native" => "Native",
        "arrow" => "Arrow",
        "arrows" => "ArrowStream",
        "parquet" => "Parquet",
        "values" | "sql" => "Values",
        _ => return None,
    })
}

/// A reader that shows how far it is.
struct Fed {
    inner: Box<dyn Read + Send>,
    read: u64,
    whole: u64,
    started: Instant,
    shown: Option<Instant>,
    screen: Arc<Screen>,
}

impl Fed {
    fn new(inner: Box<dyn Read + Send>, whole: u64, screen: &Arc<Screen>) -> Fed {
        Fed { inner, read: 0, whole, started: Instant::now(), shown: None, screen: Arc::clone(screen) }
    }
}

impl Read for Fed {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(bytes)?;
        self.read += n as u64;
        if n == 0 || self.shown.is_none_or(|at| at.elapsed() >= SHOW_EVERY) {
            self.shown = Some(Instant::now());
            self.screen.show_sent(self.read, self.whole, self.started.elapsed());
        }
        Ok(n)
    }
}

/// A reader that unpacks.
struct Unpacked {
    inner: Box<dyn Read + Send>,
    decompressor: Decompressor,
    packed: Vec<u8>,
    ready: VecDeque<u8>,
    has_ended: bool,
}

impl Unpacked {
    fn new(inner: Box<dyn Read + Send>, compression: Compression) -> Result<Unpacked> {
        let decompressor = Decompressor::new(compression, UNPACKED_BYTES_MAX)?;
        let packed = vec![0; STEP_BYTES];
        Ok(Unpacked { inner, decompressor, packed, ready: VecDeque::new(), has_ended: false })
    }
}

impl Read for Unpacked {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        while self.ready.is_empty() && !self.has_ended {
            let n = self.inner.read(&mut self.packed)?;
            self.has_ended = n == 0;
            let ready = &mut self.ready;
            let keep = |plain: &[u8]| {
                ready.extend(plain);
                Ok(())
            };
            let done = match self.has_ended {
                true => self.decompressor.finish(keep),
                false => self.decompressor.feed(&self.packed[..n], keep),
            };
            done.map_err(IoError::other)?;
        }
        self.ready.read(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Result<Option<(String, String)>> {
        let parsed = hydron_sql::parse_statement(text).unwrap();
        let screen = Arc::new(Screen::showing(false));
        let Some(mut taken) = take(&parsed.statement, &screen)? else { return Ok(None) };
        let rows = std::io::read_to_string(&mut taken.data).unwrap();
        Ok(Some((taken.text, rows)))
    }

    #[test]
    fn a_file_stands_for_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv");
        std::fs::write(&path, "1,a\n").unwrap();
        let path = path.display();
        let (text, rows) = taken(&format!("INSERT INTO t (a, b) FROM INFILE '{path}'")).unwrap().unwrap();
        assert_eq!((text.as_str(), rows.as_str()), ("INSERT INTO t (a, b) FORMAT CSV", "1,a\n"));
        let (text, _) = taken(&format!("INSERT INTO t FROM INFILE '{path}' FORMAT TSV")).unwrap().unwrap();
        assert_eq!(text, "INSERT INTO t FORMAT TSV");
        assert!(taken("INSERT INTO t VALUES (1)").unwrap().is_none());
        assert_eq!(taken("INSERT INTO t FROM INFILE '/no/such.csv'").unwrap_err().code, Code::CANNOT_OPEN_FILE);
        assert_eq!(taken("INSERT INTO t FROM INFILE '/no/such'").unwrap_err().code, Code::UNKNOWN_FORMAT);
    }

    #[test]
    fn a_packed_file_is_unpacked() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.csv.gz");
        let mut packer = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        packer.write_all("12345\n".repeat(100_000).as_bytes()).unwrap();
        packer.finish().unwrap();
        let (text, rows) = taken(&format!("INSERT INTO t FROM INFILE '{}'", path.display())).unwrap().unwrap();
        assert_eq!((text.as_str(), rows.len()), ("INSERT INTO t FORMAT CSV", 600_000));
    }
}
