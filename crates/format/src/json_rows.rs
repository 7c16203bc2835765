//! JSONEachRow, JSONCompactEachRow and their string and headed kinds, as output: one row a line.

use crate::FormatOptions;
use crate::json::push_string;
use crate::output::{OutputFormat, PlainColumn, ResultStats, column_writers, display_null, push_number};
use crate::tsv::Header;
use hydron_base::Result;
use hydron_types::{Batch, ColumnWriter, Schema, Style};
use std::sync::Arc;

/// Values as JSON, or as strings that hold their plain text.
pub(crate) enum JsonCells {
    Typed(Vec<ColumnWriter>),
    Strings(Vec<PlainColumn>, bool),
}

impl JsonCells {
    pub(crate) fn of(batch: &Batch, strings: bool, options: &FormatOptions) -> Result<JsonCells> {
        Ok(match strings {
            true => JsonCells::Strings(
                PlainColumn::all(batch, display_null(options), &options.text)?,
                options.text.json_escape_forward_slashes,
            ),
            false => JsonCells::Typed(column_writers(batch, Style::Json, &options.text)?),
        })
    }

    pub(crate) fn columns(&self) -> usize {
        match self {
            JsonCells::Typed(columns) => columns.len(),
            JsonCells::Strings(columns, _) => columns.len(),
        }
    }

    pub(crate) fn write(&self, column: usize, row: usize, out: &mut Vec<u8>) {
        match self {
            JsonCells::Typed(columns) => columns[column].write(row, out),
            JsonCells::Strings(columns, escape_forward_slashes) => {
                let mut text = Vec::new();
                columns[column].write(row, &mut text);
                push_string(&text, *escape_forward_slashes, out);
            }
        }
    }
}

pub(crate) const JSON_LINES: &str = "application/x-ndjson; charset=UTF-8";

pub struct ObjectWriter {
    /// `"name":` of each column.
    keys: Vec<Vec<u8>>,
    options: FormatOptions,
    strings: bool,
    /// Rows carry `{"row":...}` around them and progress stands between them.
    with_progress: bool,
    rows: u64,
}

impl ObjectWriter {
    pub fn new(schema: &Schema, options: &FormatOptions, strings: bool, with_progress: bool) -> ObjectWriter {
        let key = |name: &str| {
            let mut out = Vec::new();
            push_string(name.as_bytes(), options.text.json_escape_forward_slashes, &mut out);
            out.push(b':');
            out
        };
        let keys = schema.fields.iter().map(|f| key(&f.name)).collect();
        ObjectWriter { keys, options: options.clone(), strings, with_progress, rows: 0 }
    }

    fn as_array(&self) -> bool {
        self.options.json_array_of_rows && !self.with_progress
    }
}

impl OutputFormat for ObjectWriter {
    fn content_type(&self) -> &'static str {
        if self.as_array() { "application/json; charset=UTF-8" } else { JSON_LINES }
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.as_array() {
            out.extend_from_slice(b"[\n");
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let cells = JsonCells::of(batch, self.strings, &self.options)?;
        for row in 0..batch.rows() {
            if self.as_array() && self.rows > 0 {
                out.extend_from_slice(b",\n");
            }
            if self.with_progress {
                out.extend_from_slice(b"{\"row\":");
            }
            out.push(b'{');
            for (column, key) in self.keys.iter().enumerate() {
                if column > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(key);
                cells.write(column, row, out);
            }
            out.push(b'}');
            if self.with_progress {
                out.push(b'}');
            }
            if !self.as_array() {
                out.push(b'\n');
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn suffix(&mut self, stats: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        if self.as_array() {
            out.extend_from_slice(b"\n]\n");
        }
        if self.with_progress {
            out.extend_from_slice(b"{\"progress\":{\"read_rows\":\"");
            push_number(stats.rows_read, out);
            out.extend_from_slice(b"\",\"read_bytes\":\"");
            push_number(stats.bytes_read, out);
            out.extend_from_slice(
                b"\",\"written_rows\":\"0\",\"written_bytes\":\"0\",\"total_rows_to_read\":\"0\"}}\n",
            );
        }
        Ok(())
    }
}

pub struct CompactWriter {
    schema: Arc<Schema>,
    options: FormatOptions,
    header: Header,
    strings: bool,
}

impl CompactWriter {
    pub fn new(schema: &Arc<Schema>, options: &FormatOptions, header: Header, strings: bool) -> CompactWriter {
        CompactWriter { schema: Arc::clone(schema), options: options.clone(), header, strings }
    }

    fn header_row(&self, texts: impl Iterator<Item = String>, out: &mut Vec<u8>) {
        out.push(b'[');
        for (i, text) in texts.enumerate() {
            if i > 0 {
                out.extend_from_slice(b", ");
            }
            push_string(text.as_bytes(), self.options.text.json_escape_forward_slashes, out);
        }
        out.extend_from_slice(b"]\n");
    }
}

impl OutputFormat for CompactWriter {
    fn content_type(&self) -> &'static str {
        JSON_LINES
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.header != Header::None {
            self.header_row(self.schema.fields.iter().map(|f| f.name.to_string()), out);
        }
        if self.header == Header::NamesAndTypes {
            let names = self.options.native.names;
            self.header_row(self.schema.fields.iter().map(|f| names.of(&f.ty)), out);
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let cells = JsonCells::of(batch, self.strings, &self.options)?;
        for row in 0..batch.rows() {
            push_array(&cells, row, out);
            out.push(b'\n');
        }
        Ok(())
    }

    fn totals(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'\n');
        self.batch(batch, out)
    }
}

/// `[v, v]` of one row.
pub(crate) fn push_array(cells: &JsonCells, row: usize, out: &mut Vec<u8>) {
    out.push(b'[');
    for column in 0..cells.columns() {
        if column > 0 {
            out.extend_from_slice(b", ");
        }
        cells.write(column, row, out);
    }
    out.push(b']');
}
