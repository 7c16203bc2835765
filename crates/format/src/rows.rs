//! Text to rows: the part that every row format shares.
//!
//! In: bytes at any cut, and a [`RowReader`] that knows one format. Out: batches with their default masks. Promise: at
//! most one incomplete row is kept, and never more than [`ROW_BYTES_MAX`]; a row that fails leaves no trace in the batch.

use crate::{FormatOptions, InputBatch, InputFormat};
use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use hydron_base::{Code, Error, Result};
use hydron_types::{
    Batch, ColumnBuilder, Field, LogicalType, Schema, Style, TextOptions, Value, read_text, read_text_prefix,
};
use std::sync::Arc;

// A row is kept whole until its end arrives. 64 MiB holds any row that the log takes as one record, several times over.
pub const ROW_BYTES_MAX: usize = 64 << 20;

// Bytes of a field that an error quotes.
const QUOTED_BYTES_MAX: usize = 100;

/// Where the next row is in the bytes at hand.
pub enum Frame {
    /// The row is `bytes[start..end]`; the next one begins at `next`.
    Row { start: usize, end: usize, next: usize },
    /// These bytes are no row: go on after them.
    Skip(usize),
    /// The row does not end here. With no more bytes to come: there are no more rows.
    More,
}

/// One text format: where rows end, and what stands in them.
pub trait RowReader: Send {
    /// Finds the next row of `bytes`, which begin where the last frame ended. A reader that answers `More` gets the same
    /// bytes and further ones again, and should go on where it stopped looking.
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame>;

    /// Reads the row into `rows`: each column once, by `value`, `append` or `default`; columns left out become defaults.
    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()>;

    /// Forgets what it has seen of a document, for the next one. False where each document needs a reader of its own.
    fn restart(&mut self) -> bool {
        false
    }
}

/// Column builders and what belongs to them.
pub struct Rows {
    schema: Arc<Schema>,
    builders: Vec<ColumnBuilder>,
    /// Columns that have no NULL, so that a NULL in the input is a default.
    holds_null: Vec<bool>,
    /// For each column the rows of this batch that take the default, ascending.
    defaulted: Vec<Vec<u32>>,
    rows: usize,
    rows_max: usize,
    rows_seen: u64,
    rows_skipped: u64,
    allow_errors_num: u64,
    allow_errors_ratio: f64,
    pub text: TextOptions,
    full: Vec<InputBatch>,
}

impl Rows {
    pub fn new(schema: Arc<Schema>, options: &FormatOptions) -> Rows {
        Rows {
            builders: schema.fields.iter().map(|f| ColumnBuilder::new(&f.ty)).collect(),
            holds_null: schema.fields.iter().map(|f| f.ty.is_nullable()).collect(),
            defaulted: vec![Vec::new(); schema.len()],
            rows: 0,
            rows_max: options.batch_rows_max,
            rows_seen: 0,
            rows_skipped: 0,
            allow_errors_num: options.allow_errors_num,
            allow_errors_ratio: options.allow_errors_ratio,
            text: options.text.clone(),
            full: Vec::new(),
            schema,
        }
    }

    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub fn field(&self, column: usize) -> &Field {
        &self.schema.fields[column]
    }

    /// Reads the value of `column` from the whole of `text`.
    pub fn value(&mut self, column: usize, text: &[u8], style: Style) -> Result<()> {
        if self.takes_default_for(column, text, style) {
            self.default(column);
            return Ok(());
        }
        let read = read_text(text, style, &self.text, &mut self.builders[column]);
        read.map_err(|e| self.in_column(e, column, text, style))
    }

    /// Reads the value of `column` from the start of `text` and returns the bytes it took.
    pub fn value_prefix(&mut self, column: usize, text: &[u8], style: Style) -> Result<usize> {
        if !self.holds_null[column] && self.text.null_as_default && null_prefix(text, style) {
            self.default(column);
            return Ok(4);
        }
        let read = read_text_prefix(text, style, &self.text, &mut self.builders[column]);
        read.map_err(|e| self.in_column(e, column, text, style))
    }

    /// Appends a value of the column's type.
    pub fn append(&mut self, column: usize, value: &Value) -> Result<()> {
        if value.is_null() && !self.holds_null[column] && self.text.null_as_default {
            self.default(column);
            return Ok(());
        }
        self.builders[column].append(value).map_err(|e| e.context(format!("column '{}'", self.field(column).name)))
    }

    /// The row does not say what `column` holds.
    pub fn default(&mut self, column: usize) {
        self.builders[column].append_default();
        self.defaulted[column].push(self.rows as u32);
    }

    /// Values that `column` has in this batch and the row being read.
    pub fn is_set(&self, column: usize) -> bool {
        self.builders[column].len() > self.rows
    }

    /// Withdraws what the current row has put into `column`.
    pub fn unset(&mut self, column: usize) {
        self.builders[column].truncate(self.rows);
        if self.defaulted[column].last() == Some(&(self.rows as u32)) {
            self.defaulted[column].pop();
        }
    }

    fn takes_default_for(&self, column: usize, text: &[u8], style: Style) -> bool {
        if self.holds_null[column] || !self.text.null_as_default {
            return false;
        }
        match style {
            Style::Escaped | Style::Plain => text == self.text.tsv_null.as_bytes(),
            Style::Csv => text == self.text.csv_null.as_bytes(),
            Style::Json => text == b"null",
            Style::Quoted => text.eq_ignore_ascii_case(b"NULL"),
        }
    }

    fn in_column(&self, mut error: Error, column: usize, text: &[u8], style: Style) -> Error {
        let field = self.field(column);
        // The integer readers of ClickHouse stop before the first byte that is no digit, and the delimiter is then missing.
        let is_number = matches!(error.code, Code::CANNOT_PARSE_TEXT | Code::CANNOT_PARSE_NUMBER);
        if style != Style::Quoted && is_number && field.ty.bare().is_integer() {
            error.code = Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED;
        }
        error.message =
            format!("cannot parse '{}' as {} for column '{}': {}", excerpt(text), field.ty, field.name, error.message);
        error
    }

    /// Ends the row: gives defaults to the columns it left out, and a batch when there are rows enough.
    fn end_row(&mut self) -> Result<()> {
        for column in 0..self.builders.len() {
            if self.builders[column].len() == self.rows {
                self.default(column);
            }
        }
        self.rows += 1;
        if self.rows >= self.rows_max
            && let Some(batch) = self.take()?
        {
            self.full.push(batch);
        }
        Ok(())
    }

    fn undo_row(&mut self) {
        for column in 0..self.builders.len() {
            if self.builders[column].len() > self.rows {
                self.unset(column);
            }
        }
    }

    /// One row read by `read`: kept, or withdrawn and counted when the settings let it fail.
    pub fn row(&mut self, read: impl FnOnce(&mut Rows) -> Result<()>) -> Result<()> {
        self.rows_seen += 1;
        match read(self) {
            Ok(()) => self.end_row(),
            Err(error) => {
                self.undo_row();
                let error = error.context(format!("row {}", self.rows_seen));
                if !is_about_text(error.code) {
                    return Err(error);
                }
                self.rows_skipped += 1;
                self.skip_or(error)
            }
        }
    }

    pub(crate) fn rows_skipped(&self) -> u64 {
        self.rows_skipped
    }

    fn skip_or(&self, error: Error) -> Result<()> {
        if self.allow_errors_num == 0 && self.allow_errors_ratio == 0.0 {
            return Err(error);
        }
        let share = self.rows_skipped as f64 / self.rows_seen as f64;
        if self.rows_skipped <= self.allow_errors_num || share <= self.allow_errors_ratio {
            return Ok(());
        }
        let counts = format!("{} of {} rows did not parse", self.rows_skipped, self.rows_seen);
        Err(error.context(format!(
            "{counts}, allowed are {} or a share of {}",
            self.allow_errors_num, self.allow_errors_ratio
        )))
    }

    /// Withdraws the rows from number `rows` of the batch on.
    fn truncate(&mut self, rows: usize) {
        self.builders.iter_mut().for_each(|b| b.truncate(rows));
        for defaulted in &mut self.defaulted {
            while defaulted.last().is_some_and(|row| *row as usize >= rows) {
                defaulted.pop();
            }
        }
        self.rows = rows;
    }

    /// The rows since the last batch.
    pub fn take(&mut self) -> Result<Option<InputBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let rows = std::mem::take(&mut self.rows);
        let columns = self.builders.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
        let defaults = self.defaulted.iter_mut().map(|indices| mask(indices, rows)).collect();
        Ok(Some(InputBatch { batch: Batch::new(Arc::clone(&self.schema), columns, rows), defaults }))
    }

    pub(crate) fn take_full(&mut self) -> Vec<InputBatch> {
        std::mem::take(&mut self.full)
    }
}

fn mask(indices: &mut Vec<u32>, rows: usize) -> Option<BooleanArray> {
    if indices.is_empty() {
        return None;
    }
    let buffer = if indices.len() == rows {
        BooleanBuffer::new_set(rows)
    } else {
        let mut bits = vec![false; rows];
        indices.iter().for_each(|i| bits[*i as usize] = true);
        BooleanBuffer::from(bits)
    };
    indices.clear();
    Some(BooleanArray::new(buffer, None))
}

fn null_prefix(text: &[u8], style: Style) -> bool {
    let Some((word, rest)) = text.split_at_checked(4) else { return false };
    let is_null = match style {
        Style::Json => word == b"null",
        _ => word.eq_ignore_ascii_case(b"NULL"),
    };
    is_null && !rest.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'(')
}

/// The start of `text`, for an error.
pub fn excerpt(text: &[u8]) -> String {
    let cut = &text[..text.len().min(QUOTED_BYTES_MAX)];
    let dots = if cut.len() < text.len() { "..." } else { "" };
    format!("{}{dots}", String::from_utf8_lossy(cut))
}

/// Whether an error says that a text is not what its column holds: only such rows may be skipped.
fn is_about_text(code: Code) -> bool {
    matches!(
        code,
        Code::CANNOT_PARSE_TEXT
            | Code::CANNOT_PARSE_ESCAPE_SEQUENCE
            | Code::CANNOT_PARSE_QUOTED_STRING
            | Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED
            | Code::ATTEMPT_TO_READ_AFTER_EOF
            | Code::CANNOT_READ_ALL_DATA
            | Code::CANNOT_PARSE_DATE
            | Code::CANNOT_PARSE_DATETIME
            | Code::CANNOT_PARSE_NUMBER
            | Code::CANNOT_PARSE_BOOL
            | Code::CANNOT_PARSE_UUID
            | Code::CANNOT_PARSE_IPV4
            | Code::CANNOT_PARSE_IPV6
            | Code::CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
            | Code::CANNOT_READ_ARRAY_FROM_TEXT
            | Code::CANNOT_READ_MAP_FROM_TEXT
            | Code::INCORRECT_DATA
            | Code::ARGUMENT_OUT_OF_BOUND
            | Code::TOO_LARGE_STRING_SIZE
            | Code::DECIMAL_OVERFLOW
            | Code::VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    )
}

/// A row format as an [`InputFormat`].
pub struct Framed<R> {
    reader: R,
    rows: Rows,
    tail: Vec<u8>,
}

impl<R: RowReader> Framed<R> {
    pub fn new(reader: R, schema: Arc<Schema>, options: &FormatOptions) -> Framed<R> {
        Framed { reader, rows: Rows::new(schema, options), tail: Vec::new() }
    }

    /// Reads all complete rows of `bytes` and returns how many bytes they took.
    fn read(&mut self, bytes: &[u8], last: bool) -> Result<usize> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match self.reader.frame(rest, last)? {
                Frame::Row { start, end, next } => {
                    let reader = &mut self.reader;
                    self.rows.row(|rows| reader.row(&rest[start..end], rows))?;
                    at += next;
                }
                Frame::Skip(next) => at += next,
                Frame::More => return Ok(at),
            }
        }
    }
}

impl<R: RowReader> InputFormat for Framed<R> {
    fn feed(&mut self, bytes: &[u8], last: bool) -> Result<Vec<InputBatch>> {
        let mut tail = std::mem::take(&mut self.tail);
        if tail.is_empty() {
            let used = self.read(bytes, last)?;
            tail.extend_from_slice(&bytes[used..]);
        } else {
            tail.extend_from_slice(bytes);
            let used = self.read(&tail, last)?;
            tail.drain(..used);
        }
        if tail.len() > ROW_BYTES_MAX {
            let text = format!("row {} is longer than {ROW_BYTES_MAX} bytes", self.rows.rows_seen + 1);
            return Err(Error::new(Code::INCORRECT_DATA, text).hint("check that rows and quotes end"));
        }
        self.tail = tail;
        let mut batches = self.rows.take_full();
        if last {
            batches.extend(self.rows.take()?);
        }
        Ok(batches)
    }

    fn flush(&mut self) -> Result<Option<InputBatch>> {
        self.rows.take()
    }

    fn feed_document(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        if !self.reader.restart() {
            return Ok(None);
        }
        let (before, rows_max) = (self.rows.rows, std::mem::replace(&mut self.rows.rows_max, usize::MAX));
        let read = self.read(bytes, true);
        self.rows.rows_max = rows_max;
        match read {
            Ok(_) => Ok(Some(self.rows.rows - before)),
            Err(e) => {
                self.rows.truncate(before);
                Err(e)
            }
        }
    }

    fn rows_skipped(&self) -> u64 {
        self.rows.rows_skipped
    }
}

/// Which column of the target each field of a row goes to; `None`: the field is skipped.
pub(crate) struct FieldMap(pub Vec<Option<usize>>);

impl FieldMap {
    /// All columns in order.
    pub fn straight(columns: usize) -> FieldMap {
        FieldMap((0..columns).map(Some).collect())
    }

    /// By the names of a header row. Errors: INCORRECT_DATA for a name twice, or unknown where that is not allowed.
    pub fn by_names(names: &[Vec<u8>], schema: &Schema, options: &FormatOptions) -> Result<FieldMap> {
        if !options.with_names_use_header {
            return Ok(FieldMap::straight(schema.len()));
        }
        let mut map: Vec<Option<usize>> = Vec::with_capacity(names.len());
        for (position, name) in names.iter().enumerate() {
            let column = std::str::from_utf8(name).ok().and_then(|n| schema.index_of(n));
            let shown = excerpt(name);
            if column.is_none() && !options.skip_unknown_fields {
                let text =
                    format!("header names '{shown}' at position {}, the stream has no such column", position + 1);
                return Err(Error::new(Code::INCORRECT_DATA, text).hint("input_format_skip_unknown_fields = 1"));
            }
            if column.is_some() && map.contains(&column) {
                return Err(Error::new(Code::INCORRECT_DATA, format!("header names '{shown}' twice")));
            }
            map.push(column);
        }
        Ok(FieldMap(map))
    }

    /// Compares the types of a second header row. Errors: INCORRECT_DATA.
    pub fn check_types(&self, types: &[Vec<u8>], schema: &Schema, options: &FormatOptions) -> Result<()> {
        if !options.with_types_use_header {
            return Ok(());
        }
        for (text, column) in types.iter().zip(&self.0) {
            let Some(column) = column else { continue };
            let field = &schema.fields[*column];
            let given = std::str::from_utf8(text).ok().and_then(|t| hydron_types::parse_type_lenient(t).ok());
            if given.as_ref() != Some(&field.ty) && text != field.ty.to_string().as_bytes() {
                let message =
                    format!("header says that column '{}' is {}, it is {}", field.name, excerpt(text), field.ty);
                return Err(Error::new(Code::INCORRECT_DATA, message));
            }
        }
        Ok(())
    }
}

/// The one string column of formats that read a row as a whole. Errors: BAD_ARGUMENTS for any other schema.
pub(crate) fn single_string_column(format: &str, schema: &Schema) -> Result<()> {
    let is_text = |ty: &LogicalType| matches!(ty.bare(), LogicalType::String | LogicalType::Json);
    match schema.fields.as_slice() {
        [field] if is_text(&field.ty) => Ok(()),
        fields => {
            Err(Error::bad_arguments(format!("format {format} fills one string column, here are {}", fields.len())))
        }
    }
}
