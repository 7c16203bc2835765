//! JSON, JSONStrings, JSONCompact and JSONCompactStrings: the whole result as one document.

use crate::FormatOptions;
use crate::json::push_string;
use crate::json_rows::{JsonCells, push_array};
use crate::output::{OutputFormat, ResultStats, push_number, replace_invalid_utf8};
use hydron_base::Result;
use hydron_types::{Batch, Schema};
use std::sync::Arc;

pub struct DocumentWriter {
    schema: Arc<Schema>,
    options: FormatOptions,
    compact: bool,
    strings: bool,
    /// `"name": ` of each column.
    keys: Vec<Vec<u8>>,
    rows: u64,
    data_is_open: bool,
}

impl DocumentWriter {
    pub fn new(schema: &Arc<Schema>, options: &FormatOptions, compact: bool, strings: bool) -> DocumentWriter {
        let key = |name: &str| {
            let mut out = Vec::new();
            push_string(name.as_bytes(), options.text.json_escape_forward_slashes, &mut out);
            out.extend_from_slice(b": ");
            out
        };
        DocumentWriter {
            keys: schema.fields.iter().map(|f| key(&f.name)).collect(),
            schema: Arc::clone(schema),
            options: options.clone(),
            compact,
            strings,
            rows: 0,
            data_is_open: true,
        }
    }

    fn row(&self, cells: &JsonCells, row: usize, indent: &[u8], out: &mut Vec<u8>) {
        if self.compact {
            push_array(cells, row, out);
            return;
        }
        out.extend_from_slice(b"{\n");
        for (column, key) in self.keys.iter().enumerate() {
            if column > 0 {
                out.extend_from_slice(b",\n");
            }
            out.extend_from_slice(indent);
            out.push(b'\t');
            out.extend_from_slice(key);
            cells.write(column, row, out);
        }
        out.push(b'\n');
        out.extend_from_slice(indent);
        out.push(b'}');
    }

    /// `"title": row`; objects start on a line of their own.
    fn titled_row(&self, title: &str, cells: &JsonCells, row: usize, indent: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(indent);
        out.extend_from_slice(format!("\"{title}\":").as_bytes());
        match self.compact {
            true => out.push(b' '),
            false => {
                out.push(b'\n');
                out.extend_from_slice(indent);
            }
        }
        self.row(cells, row, indent, out);
    }

    fn close_data(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.data_is_open) {
            out.extend_from_slice(b"\n\t]");
        }
    }
}

impl OutputFormat for DocumentWriter {
    fn content_type(&self) -> &'static str {
        "application/json; charset=UTF-8"
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let slashes = self.options.text.json_escape_forward_slashes;
        out.extend_from_slice(b"{\n\t\"meta\":\n\t[\n");
        for (i, field) in self.schema.fields.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b",\n");
            }
            // The name is escaped twice here, once in the rows: clients of this dialect expect it so.
            let mut name = Vec::new();
            push_string(field.name.as_bytes(), slashes, &mut name);
            out.extend_from_slice(b"\t\t{\n\t\t\t\"name\": ");
            push_string(&name[1..name.len() - 1], slashes, out);
            out.extend_from_slice(b",\n\t\t\t\"type\": ");
            push_string(self.options.native.names.of(&field.ty).as_bytes(), slashes, out);
            out.extend_from_slice(b"\n\t\t}");
        }
        out.extend_from_slice(b"\n\t],\n\n\t\"data\":\n\t[\n");
        replace_invalid_utf8(out, start);
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let cells = JsonCells::of(batch, self.strings, &self.options)?;
        for row in 0..batch.rows() {
            if self.rows > 0 {
                out.extend_from_slice(b",\n");
            }
            out.extend_from_slice(b"\t\t");
            self.row(&cells, row, b"\t\t", out);
            self.rows += 1;
        }
        replace_invalid_utf8(out, start);
        Ok(())
    }

    fn totals(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        self.close_data(out);
        let cells = JsonCells::of(batch, self.strings, &self.options)?;
        if batch.rows() > 0 {
            out.extend_from_slice(b",\n\n");
            self.titled_row("totals", &cells, 0, b"\t", out);
        }
        replace_invalid_utf8(out, start);
        Ok(())
    }

    fn extremes(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        self.close_data(out);
        let cells = JsonCells::of(batch, self.strings, &self.options)?;
        if batch.rows() > 1 {
            out.extend_from_slice(b",\n\n\t\"extremes\":\n\t{\n");
            self.titled_row("min", &cells, 0, b"\t\t", out);
            out.extend_from_slice(b",\n");
            self.titled_row("max", &cells, 1, b"\t\t", out);
            out.extend_from_slice(b"\n\t}");
        }
        replace_invalid_utf8(out, start);
        Ok(())
    }

    fn suffix(&mut self, stats: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        self.close_data(out);
        end_document(self.rows, stats, self.options.write_statistics, out);
        Ok(())
    }
}

/// What stands behind the data of a document: counts, and statistics where they are asked for.
pub(crate) fn end_document(rows: u64, stats: &ResultStats, with_statistics: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\n\n\t\"rows\": ");
    push_number(rows, out);
    if let Some(before) = stats.rows_before_limit {
        out.extend_from_slice(b",\n\n\t\"rows_before_limit_at_least\": ");
        push_number(before, out);
    }
    if with_statistics {
        let text = format!(
            ",\n\n\t\"statistics\":\n\t{{\n\t\t\"elapsed\": {},\n\t\t\"rows_read\": {},\n\t\t\"bytes_read\": {}\n\t}}",
            stats.elapsed_seconds, stats.rows_read, stats.bytes_read
        );
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(b"\n}\n");
}
