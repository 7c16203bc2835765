//! `file('path'[, format[, structure]])`: rows of files as a table; `format(name, [structure,] 'data')`: rows of a text.
//!
//! In: a path under the permitted directory, perhaps with `*` and `?`, or the data. Out: columns (given or found in the data)
//! and rows. Promise: nothing outside the permitted directory is read, whatever the path says.

use crate::catalog::given::columns_of_structure;
use crate::engine::Inner;
use hydron_base::{Code, Error, Result};
use hydron_format::{FormatOptions, InputFormat};
use hydron_history::{FeedBatches, RowFeed};
use hydron_plan::{ColumnInfo, ScanColumn, StreamInfo, StreamKind, StreamMode};
use hydron_types::{Batch, Field, Schema, Value, parse_type};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes at the head of a text file from which its columns are found.
const SAMPLE_BYTES: usize = 1 << 20;

/// Files that one pattern may match.
const FILES_MAX: usize = 10_000;

/// Table functions that are known here, for `system.table_functions`.
pub const TABLE_FUNCTIONS: [&str; 3] = ["file", "format", "remote"];

/// The table behind a call of `file`, `format` or `remote`; `None` for any other function.
pub fn table_function(
    engine: &Inner,
    options: &FormatOptions,
    name: &str,
    args: &[Value],
) -> Result<Option<Arc<StreamInfo>>> {
    match name {
        "file" => file(engine, options, args).map(Some),
        "format" => format(options, args).map(Some),
        "remote" => super::remote::table_function(args).map(Some),
        "remote_secure" | "cluster" | "url" | "input" => Err(Error::not_implemented(format!("table function {name}"))),
        _ => Ok(None),
    }
}

fn text_of(function: &str, args: &[Value], at: usize) -> Result<Option<String>> {
    let Some(value) = args.get(at) else { return Ok(None) };
    let bytes = value.as_bytes().ok_or_else(|| {
        let message = format!("argument {} of {function} must be a constant string", at + 1);
        Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, message)
    })?;
    Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
}

fn file(engine: &Inner, options: &FormatOptions, args: &[Value]) -> Result<Arc<StreamInfo>> {
    if args.is_empty() || args.len() > 3 {
        let message = format!("file takes a path, a format and a structure: 1 to 3 arguments, not {}", args.len());
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, message));
    }
    let path = text_of("file", args, 0)?.unwrap_or_default();
    let files = resolve(engine.options.user_files.as_deref(), &path)?;
    let format = match text_of("file", args, 1)?.filter(|f| f != "auto") {
        Some(format) => format,
        None => format_of(&path)?.to_string(),
    };
    let columns = match text_of("file", args, 2)?.filter(|s| s != "auto") {
        Some(structure) => columns_of_structure(&structure, parse_type)?,
        None => find_columns(&files[0], &format, options)?,
    };
    let list = files.iter().map(|f| f.to_string_lossy().into_owned()).collect::<Vec<_>>().join("\n");
    Ok(Arc::new(info("file", columns, vec![(Arc::from("files"), list), (Arc::from("format"), format)])))
}

/// `format(name, 'data')` and `format(name, 'structure', 'data')`.
fn format(options: &FormatOptions, args: &[Value]) -> Result<Arc<StreamInfo>> {
    if args.len() < 2 || args.len() > 3 {
        let message =
            format!("format takes a format, perhaps a structure, and data: 2 or 3 arguments, not {}", args.len());
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, message));
    }
    let name = text_of("format", args, 0)?.unwrap_or_default();
    let structure = if args.len() == 3 { text_of("format", args, 1)?.filter(|s| s != "auto") } else { None };
    let data = args
        .last()
        .and_then(Value::as_bytes)
        .ok_or_else(|| Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, "the data of format must be a constant string"))?;
    let columns = match structure {
        Some(structure) => columns_of_structure(&structure, parse_type)?,
        None => columns_of_data(&name, data, options)?,
    };
    // Settings are text; the data may be any bytes.
    let data = data.iter().map(|b| char::from(*b)).collect();
    Ok(Arc::new(info("format", columns, vec![(Arc::from("data"), data), (Arc::from("format"), name)])))
}

fn info(name: &str, columns: Vec<Field>, settings: Vec<(Arc<str>, String)>) -> StreamInfo {
    StreamInfo {
        database: Arc::from("_table_function"),
        name: Arc::from(name),
        uuid: Uuid::nil(),
        kind: StreamKind::Function,
        mode: StreamMode::Append,
        columns: columns.into_iter().map(|f| ColumnInfo::new(f.name, f.ty)).collect(),
        primary_key: Vec::new(),
        order_by: String::new(),
        partition_by: String::new(),
        version_column: None,
        shards: 1,
        sharding_expr: String::new(),
        engine: Arc::from("File"),
        engine_args: Vec::new(),
        sample_by: String::new(),
        settings,
        comment: String::new(),
    }
}

/// The data of a `format(…)` table.
fn data(info: &StreamInfo) -> Option<Arc<[u8]>> {
    let (_, text) = info.settings.iter().find(|(k, _)| &**k == "data")?;
    Some(text.chars().map(|c| c as u8).collect())
}

/// The files behind a `file(…)` table.
pub fn files(info: &StreamInfo) -> Vec<PathBuf> {
    let list = info.settings.iter().find(|(k, _)| &**k == "files");
    list.map(|(_, v)| v.lines().map(PathBuf::from).collect()).unwrap_or_default()
}

fn format_name(info: &StreamInfo) -> &str {
    info.settings.iter().find(|(k, _)| &**k == "format").map_or("", |(_, v)| v)
}

/// The rows of the files behind a `file(…)` table, read while the query runs.
#[derive(Clone, Debug)]
pub struct FileFeed {
    files: Vec<PathBuf>,
    /// Instead of files.
    data: Option<Arc<[u8]>>,
    format: String,
    /// All columns of the table: formats without names are read by position.
    whole: Arc<Schema>,
    /// Positions of the scan's columns in `whole`.
    columns: Vec<usize>,
    schema: Arc<Schema>,
    options: FormatOptions,
}

impl FileFeed {
    /// Errors: NOT_IMPLEMENTED for a column that only a log has.
    pub fn new(info: &StreamInfo, columns: &[ScanColumn], options: FormatOptions) -> Result<FileFeed> {
        let fields = info.columns.iter().map(|c| Field::new(Arc::clone(&c.name), c.ty.clone())).collect();
        let whole = Schema::new(fields);
        let stored = |c: &ScanColumn| match c {
            ScanColumn::Stored(i) => Ok(*i),
            other => Err(Error::not_implemented(format!("{other:?} of a file"))),
        };
        let columns = columns.iter().map(stored).collect::<Result<Vec<_>>>()?;
        let schema = Schema::new(columns.iter().map(|c| whole.fields[*c].clone()).collect());
        Ok(FileFeed {
            files: files(info),
            data: data(info),
            format: format_name(info).to_string(),
            whole: Arc::new(whole),
            columns,
            schema: Arc::new(schema),
            options,
        })
    }

    fn one(&self, path: &Path) -> Result<FeedBatches> {
        if let Some(batches) = hydron_format::file_batches(&self.format, path, &self.schema, &self.options)? {
            return Ok(Box::new(batches.map(|batch| Ok(batch?.batch))));
        }
        let (schema, columns) = (Arc::clone(&self.schema), self.columns.clone());
        let reader = hydron_format::input(&self.format, Arc::clone(&self.whole), &self.options, None)?;
        let text = TextFile {
            path: path.to_path_buf(),
            file: Some(open(path)?),
            reader,
            chunk: vec![0; CHUNK_BYTES],
            ready: VecDeque::new(),
        };
        Ok(Box::new(text.map(move |batch| Ok(batch?.project(Arc::clone(&schema), &columns)))))
    }

    /// The rows of data that came with the query.
    fn given(&self, data: &[u8]) -> Result<FeedBatches> {
        let mut reader = hydron_format::input(&self.format, Arc::clone(&self.whole), &self.options, None)?;
        let batches = reader.feed(data, true)?;
        let (schema, columns) = (Arc::clone(&self.schema), self.columns.clone());
        Ok(Box::new(batches.into_iter().map(move |b| Ok(b.batch.project(Arc::clone(&schema), &columns)))))
    }
}

impl RowFeed for FileFeed {
    fn start(&self) -> Result<FeedBatches> {
        if let Some(data) = &self.data {
            return self.given(data);
        }
        let feed = self.clone();
        let one = move |path: PathBuf| -> FeedBatches {
            match feed.one(&path) {
                Ok(batches) => batches,
                Err(e) => Box::new(std::iter::once(Err(e))),
            }
        };
        // Each file is opened when the one before is read.
        Ok(Box::new(self.files.clone().into_iter().flat_map(one)))
    }

    fn rows_estimate(&self) -> u64 {
        // An ordinary row of a text has a hundred bytes; a compressed one less, which does not matter here.
        const ROW_BYTES: u64 = 100;
        self.files.iter().map(|f| std::fs::metadata(f).map_or(0, |m| m.len() / ROW_BYTES)).sum()
    }
}

/// The batches of a file that is read from front to back.
struct TextFile {
    path: PathBuf,
    /// `None` after the end or an error.
    file: Option<File>,
    reader: Box<dyn InputFormat>,
    chunk: Vec<u8>,
    ready: VecDeque<Batch>,
}

impl TextFile {
    fn read(&mut self) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let n = file.read(&mut self.chunk).map_err(|e| cannot("read", &self.path, e))?;
        let batches = self.reader.feed(&self.chunk[..n], n == 0).map_err(|e| e.context(self.path.display()))?;
        self.ready.extend(batches.into_iter().map(|b| b.batch));
        if n == 0 {
            self.file = None;
        }
        Ok(())
    }
}

impl Iterator for TextFile {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        while self.ready.is_empty() && self.file.is_some() {
            if let Err(e) = self.read() {
                self.file = None;
                return Some(Err(e));
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(Code::FILE_DOESNT_EXIST, format!("file '{}' does not exist", path.display()))
        }
        _ => cannot("open", path, e),
    })
}

fn cannot(action: &str, path: &Path, e: std::io::Error) -> Error {
    Error::new(Code::CANNOT_OPEN_FILE, format!("cannot {action} '{}': {e}", path.display()))
}

/// The text of one file among the user files. Errors: as `resolve`; BAD_ARGUMENTS for a file that is too large or no text.
pub fn user_text(engine: &Inner, path: &str) -> Result<String> {
    const TEXT_BYTES_MAX: u64 = 1 << 20;
    // The empty file that every script knows, wherever the user files lie.
    if path == "/dev/null" {
        return Ok(String::new());
    }
    let file = resolve(engine.options.user_files.as_deref(), path)?.swap_remove(0);
    let mut text = String::new();
    let read = open(&file)?.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|e| cannot("read", &file, e))?;
    if text.len() as u64 > TEXT_BYTES_MAX {
        return Err(Error::bad_arguments(format!("file '{path}' has more than {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// The files that a path means. Errors: FILE_DOESNT_EXIST; DATABASE_ACCESS_DENIED outside the permitted directory.
fn resolve(root: Option<&Path>, path: &str) -> Result<Vec<PathBuf>> {
    let full = root.map_or_else(|| PathBuf::from(path), |r| r.join(path));
    let missing = || Error::new(Code::FILE_DOESNT_EXIST, format!("file '{path}' does not exist"));
    let mut found = if path.contains(['*', '?']) { glob(&full)? } else { vec![full] };
    found.sort();
    if let Some(root) = root {
        let allowed = root.canonicalize().map_err(|_| missing())?;
        for file in &mut found {
            let real = file.canonicalize().map_err(|_| missing())?;
            if !real.starts_with(&allowed) {
                let message = format!("file '{path}' is outside the directory for user files");
                return Err(Error::new(Code::DATABASE_ACCESS_DENIED, message));
            }
            *file = real;
        }
    }
    if found.is_empty() || !found.iter().all(|f| f.is_file()) {
        return Err(missing());
    }
    Ok(found)
}

/// The one file that a path without patterns means. Errors: as [`resolve`].
pub fn one_file(root: Option<&Path>, path: &str) -> Result<PathBuf> {
    let missing = || Error::new(Code::FILE_DOESNT_EXIST, format!("file '{path}' does not exist"));
    if path.contains(['*', '?']) {
        return Err(missing());
    }
    resolve(root, path)?.pop().ok_or_else(missing)
}

/// A file that is being written, under another name until it is whole.
pub struct NewFile {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
    done: bool,
}

/// A new file under the permitted directory.
///
/// Errors: DATABASE_ACCESS_DENIED (291) outside of it, BAD_ARGUMENTS (36) for a file that is there, CANNOT_OPEN_FILE (76).
pub fn new_file(root: Option<&Path>, path: &str) -> Result<NewFile> {
    let denied = || {
        let message = format!("file '{path}' is outside the directory for user files");
        Error::new(Code::DATABASE_ACCESS_DENIED, message)
    };
    let full = root.map_or_else(|| PathBuf::from(path), |r| r.join(path));
    let name = full.file_name().ok_or_else(denied)?.to_owned();
    let dir = full.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = dir.canonicalize().map_err(|e| cannot("open the directory of", &full, e))?;
    if let Some(root) = root {
        let allowed = root.canonicalize().map_err(|e| cannot("open", root, e))?;
        if !dir.starts_with(&allowed) {
            return Err(denied());
        }
    }
    let full = dir.join(&name);
    if full.exists() {
        return Err(Error::bad_arguments(format!("file '{path}' exists already")).hint("another name"));
    }
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(&name);
    hidden.push(format!(".{}", Uuid::new_v4().simple()));
    let unfinished = dir.join(hidden);
    let file = File::create_new(&unfinished).map_err(|e| cannot("create", &unfinished, e))?;
    Ok(NewFile { file, unfinished, path: full, done: false })
}

impl NewFile {
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        use std::io::Write;
        self.file.write_all(bytes).map_err(|e| cannot("write", &self.path, e))
    }

    /// Gives the file its name. Errors: as [`new_file`], when another one has taken it meanwhile.
    pub fn finish(mut self) -> Result<()> {
        self.file.sync_all().map_err(|e| cannot("write", &self.path, e))?;
        // A link, unlike a rename, never replaces what is there.
        std::fs::hard_link(&self.unfinished, &self.path).map_err(|e| cannot("name", &self.path, e))?;
        self.done = true;
        std::fs::remove_file(&self.unfinished).map_err(|e| cannot("name", &self.path, e))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.done {
            let _ = std::fs::remove_file(&self.unfinished);
        }
    }
}

/// Files of one directory whose names match a pattern in the last part of the path.
fn glob(path: &Path) -> Result<Vec<PathBuf>> {
    let pattern = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if dir.to_string_lossy().contains(['*', '?']) {
        return Err(Error::not_implemented("a pattern in the directory of a file path"));
    }
    let like: String = pattern
        .chars()
        .map(|c| match c {
            '*' => "%".to_string(),
            '?' => "_".to_string(),
            '%' | '_' | '\\' => format!("\\{c}"),
            c => c.to_string(),
        })
        .collect();
    let entries = std::fs::read_dir(dir).map_err(|e| cannot("list", dir, e))?;
    let matching = entries
        .flatten()
        .filter(|e| e.path().is_file() && crate::statement::text::like(&e.file_name().to_string_lossy(), &like, false));
    let files: Vec<PathBuf> = matching.map(|e| e.path()).take(FILES_MAX + 1).collect();
    if files.len() > FILES_MAX {
        let message = format!("pattern '{pattern}' matches more than {FILES_MAX} files");
        return Err(Error::new(Code::TOO_MANY_ROWS_OR_BYTES, message));
    }
    Ok(files)
}

/// The format that a file name tells.
pub fn format_of(path: &str) -> Result<&'static str> {
    let extension = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    Ok(match extension.as_str() {
        "csv" => "CSVWithNames",
        "tsv" | "tab" => "TabSeparatedWithNames",
        "json" | "jsonl" | "ndjson" => "JSONEachRow",
        "parquet" => "Parquet",
        "arrow" => "Arrow",
        "txt" | "log" => "LineAsString",
        _ => {
            let message = format!("the format of file '{path}' is not told by its name");
            return Err(Error::new(Code::BAD_ARGUMENTS, message).hint("file('path', 'CSV', 'a int32, b string')"));
        }
    })
}

/// Columns as the file itself tells them.
fn find_columns(path: &Path, format: &str, options: &FormatOptions) -> Result<Vec<Field>> {
    if let Some(schema) = hydron_format::file_schema(format, path)? {
        return Ok(schema.fields);
    }
    let mut head = Vec::new();
    open(path)?.take(SAMPLE_BYTES as u64).read_to_end(&mut head).map_err(|e| cannot("read", path, e))?;
    // A row that the sample cuts must not decide a type.
    if head.len() == SAMPLE_BYTES
        && let Some(end) = head.iter().rposition(|b| *b == b'\n')
    {
        head.truncate(end + 1);
    }
    columns_of_data(format, &head, options).map_err(|e| e.context(path.display()))
}

fn columns_of_data(format: &str, head: &[u8], options: &FormatOptions) -> Result<Vec<Field>> {
    hydron_format::infer::infer(format, head, options)?.ok_or_else(|| {
        Error::new(Code::CANNOT_EXTRACT_STREAM_STRUCTURE, format!("columns of format {format} must be given"))
            .hint("file('path', 'format', 'a int32, b string')")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(dir.path().join("secret.csv"), "x").unwrap();
        std::fs::write(inside.join("open.csv"), "x").unwrap();
        assert!(resolve(Some(&inside), "open.csv").is_ok());
        assert_eq!(resolve(Some(&inside), "../secret.csv").unwrap_err().code, Code::DATABASE_ACCESS_DENIED);
        assert_eq!(resolve(Some(&inside), "no.csv").unwrap_err().code, Code::FILE_DOESNT_EXIST);
    }
}
