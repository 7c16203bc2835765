//! `file('path'[, format[, structure]])`: rows of files as a table.
//!
//! In: a path under the permitted directory, perhaps with `*` and `?`. Out: columns (given or found in the file) and rows.
//! Promise: nothing outside the permitted directory is read, whatever the path says.

use crate::catalog::given::columns_of_structure;
use crate::engine::Inner;
use hydron_base::{Code, Error, Result};
use hydron_format::{FormatOptions, InputFormat};
use hydron_history::{FeedBatches, RowFeed};
use hydron_plan::{ColumnInfo, ScanColumn, StreamInfo, StreamKind, StreamMode};
use hydron_types::{Batch, Field, LogicalType, Schema, Value, parse_type};
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

/// The table behind a call of `file`; `None` for any other function.
pub fn table_function(engine: &Inner, name: &str, args: &[Value]) -> Result<Option<Arc<StreamInfo>>> {
    if name != "file" {
        return Ok(None);
    }
    if args.is_empty() || args.len() > 3 {
        let message = format!("file takes a path, a format and a structure: 1 to 3 arguments, not {}", args.len());
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, message));
    }
    let text = |i: usize| -> Result<Option<String>> {
        let Some(value) = args.get(i) else { return Ok(None) };
        let bytes = value.as_bytes().ok_or_else(|| {
            Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, format!("argument {} of file must be a constant string", i + 1))
        })?;
        Ok(Some(String::from_utf8_lossy(bytes).into_owned()))
    };
    let path = text(0)?.unwrap_or_default();
    let files = resolve(engine.options.user_files.as_deref(), &path)?;
    let format = match text(1)?.filter(|f| f != "auto") {
        Some(format) => format,
        None => format_of(&path)?.to_string(),
    };
    let columns = match text(2)?.filter(|s| s != "auto") {
        Some(structure) => columns_of_structure(&structure, parse_type)?,
        None => find_columns(&files[0], &format)?,
    };
    let list = files.iter().map(|f| f.to_string_lossy().into_owned()).collect::<Vec<_>>().join("\n");
    Ok(Some(Arc::new(StreamInfo {
        database: Arc::from("_table_function"),
        name: Arc::from("file"),
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
        settings: vec![(Arc::from("files"), list), (Arc::from("format"), format)],
        comment: String::new(),
    })))
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
}

impl RowFeed for FileFeed {
    fn start(&self) -> Result<FeedBatches> {
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
fn format_of(path: &str) -> Result<&'static str> {
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
fn find_columns(path: &Path, format: &str) -> Result<Vec<Field>> {
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
    match format {
        "CSVWithNames" | "CSV" => Ok(infer_separated(&head, b',', format.ends_with("WithNames"))),
        "TabSeparatedWithNames" | "TSVWithNames" | "TabSeparated" | "TSV" => {
            Ok(infer_separated(&head, b'\t', format.ends_with("WithNames")))
        }
        "JSONEachRow" => infer_json(&head, path),
        "LineAsString" => Ok(vec![Field::new("line", LogicalType::String)]),
        "RawBLOB" => Ok(vec![Field::new("raw_blob", LogicalType::String)]),
        other => {
            Err(Error::new(Code::CANNOT_EXTRACT_STREAM_STRUCTURE, format!("columns of format {other} must be given"))
                .hint("file('path', 'format', 'a int32, b string')"))
        }
    }
}

/// What all values of a column seen so far could be, from narrow to wide.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Guess {
    Nothing,
    Bool,
    Int,
    Float,
    Time,
    Text,
}

impl Guess {
    fn of(text: &str) -> Guess {
        match text {
            "" | "\\N" => Guess::Nothing,
            "true" | "false" => Guess::Bool,
            t if t.parse::<i64>().is_ok() => Guess::Int,
            t if t.parse::<f64>().is_ok() => Guess::Float,
            t if looks_like_time(t) => Guess::Time,
            _ => Guess::Text,
        }
    }

    fn join(self, other: Guess) -> Guess {
        match (self, other) {
            (a, b) if a == b => a,
            (Guess::Nothing, g) | (g, Guess::Nothing) => g,
            (Guess::Int, Guess::Float) | (Guess::Float, Guess::Int) => Guess::Float,
            _ => Guess::Text,
        }
    }

    fn ty(self) -> LogicalType {
        match self {
            Guess::Bool => LogicalType::Bool,
            Guess::Int => LogicalType::Int64,
            Guess::Float => LogicalType::Float64,
            Guess::Time => LogicalType::DateTime64(9, None),
            Guess::Nothing | Guess::Text => LogicalType::String,
        }
    }
}

fn looks_like_time(text: &str) -> bool {
    let shape: String = text.chars().take(19).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let rest = text.get(19..).unwrap_or_default();
    (shape == "0000-00-00 00:00:00" || shape == "0000-00-00T00:00:00")
        && (rest.is_empty() || (rest.starts_with('.') && rest[1..].bytes().all(|b| b.is_ascii_digit())))
}

fn infer_separated(head: &[u8], separator: u8, names: bool) -> Vec<Field> {
    const ROWS: usize = 1_000;
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines().map(|l| split_line(l, separator as char));
    let header = if names { lines.next().unwrap_or_default() } else { Vec::new() };
    let mut guesses = vec![Guess::Nothing; header.len()];
    for row in lines.take(ROWS) {
        guesses.resize(guesses.len().max(row.len()), Guess::Nothing);
        for (guess, value) in guesses.iter_mut().zip(&row) {
            *guess = guess.join(Guess::of(value));
        }
    }
    let name = |i: usize| header.get(i).cloned().unwrap_or_else(|| format!("c{}", i + 1));
    guesses.iter().enumerate().map(|(i, g)| Field::new(name(i), g.ty())).collect()
}

/// Fields of one line; a quoted field keeps its separators.
fn split_line(line: &str, separator: char) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' if separator == ',' => quoted = !quoted,
            c if c == separator && !quoted => fields.push(String::new()),
            c => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    fields
}

fn infer_json(head: &[u8], path: &Path) -> Result<Vec<Field>> {
    const ROWS: usize = 1_000;
    let mut fields: Vec<(String, Option<LogicalType>)> = Vec::new();
    let rows = serde_json::Deserializer::from_slice(head).into_iter::<serde_json::Map<String, serde_json::Value>>();
    for row in rows.take(ROWS) {
        let row = row.map_err(|e| {
            Error::new(
                Code::CANNOT_EXTRACT_STREAM_STRUCTURE,
                format!("'{}' is not one JSON object a line: {e}", path.display()),
            )
        })?;
        for (name, value) in row {
            let ty = json_type(&value);
            match fields.iter_mut().find(|(n, _)| *n == name) {
                Some((_, known)) => *known = join_json(known.take(), ty),
                None => fields.push((name, ty)),
            }
        }
    }
    Ok(fields.into_iter().map(|(n, t)| Field::new(n, t.unwrap_or(LogicalType::String))).collect())
}

/// `None` for null, which fits any type.
fn json_type(value: &serde_json::Value) -> Option<LogicalType> {
    use serde_json::Value as Json;
    Some(match value {
        Json::Null => return None,
        Json::Bool(_) => LogicalType::Bool,
        Json::Number(n) if n.is_i64() => LogicalType::Int64,
        Json::Number(n) if n.is_u64() => LogicalType::UInt64,
        Json::Number(_) => LogicalType::Float64,
        Json::Array(items) => {
            let item = items.iter().map(json_type).fold(None, join_json);
            LogicalType::array(item.unwrap_or(LogicalType::String))
        }
        Json::String(_) | Json::Object(_) => LogicalType::String,
    })
}

fn join_json(a: Option<LogicalType>, b: Option<LogicalType>) -> Option<LogicalType> {
    match (a, b) {
        (None, t) | (t, None) => t,
        (Some(a), Some(b)) if a == b => Some(a),
        (Some(a), Some(b)) if a.is_number() && b.is_number() => Some(LogicalType::Float64),
        (Some(_), Some(_)) => Some(LogicalType::String),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_columns_are_found() {
        let fields = infer_separated(b"t,n,s\n2001-01-01 00:00:00,1,\"a,b\"\n2001-01-01 00:00:01,2.5,x\n", b',', true);
        let found: Vec<String> = fields.iter().map(|f| format!("{} {}", f.name, f.ty)).collect();
        assert_eq!(found, ["t datetime64(9)", "n float64", "s string"]);
    }

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
