//! XML: the whole result as one document.

use crate::FormatOptions;
use crate::output::{OutputFormat, ResultStats, push_number, replace_invalid_utf8};
use arrow::array::{Array, ArrayRef, AsArray};
use hydron_base::{Error, Result};
use hydron_types::{Batch, LogicalType, Schema, Style, TextOptions, write_text};
use std::sync::Arc;

pub struct XmlWriter {
    schema: Arc<Schema>,
    options: FormatOptions,
    tags: Vec<String>,
    rows: u64,
    data_is_open: bool,
}

impl XmlWriter {
    pub fn new(schema: &Arc<Schema>, options: &FormatOptions) -> XmlWriter {
        XmlWriter {
            tags: schema.fields.iter().map(|f| tag_of(&f.name)).collect(),
            schema: Arc::clone(schema),
            options: options.clone(),
            rows: 0,
            data_is_open: true,
        }
    }

    fn fields(&self, batch: &Batch, row: usize, indent: &str, out: &mut Vec<u8>) -> Result<()> {
        for (i, tag) in self.tags.iter().enumerate() {
            out.extend_from_slice(format!("{indent}<{tag}>").as_bytes());
            push_value(batch.column(i), &batch.schema.fields[i].ty, row, &self.options.text, out)?;
            out.extend_from_slice(format!("</{tag}>\n").as_bytes());
        }
        Ok(())
    }

    fn element(&self, name: &str, batch: &Batch, row: usize, indent: &str, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(format!("{indent}<{name}>\n").as_bytes());
        self.fields(batch, row, &format!("{indent}\t"), out)?;
        out.extend_from_slice(format!("{indent}</{name}>\n").as_bytes());
        Ok(())
    }

    fn close_data(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.data_is_open) {
            out.extend_from_slice(b"\t</data>\n");
        }
    }
}

/// The name where XML can take it as a tag, else `field`.
fn tag_of(name: &str) -> String {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let goes_on = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if starts && goes_on { name.to_string() } else { "field".to_string() }
}

fn push_text(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            _ => out.push(*byte),
        }
    }
}

fn push_value(array: &ArrayRef, ty: &LogicalType, row: usize, options: &TextOptions, out: &mut Vec<u8>) -> Result<()> {
    if array.logical_nulls().is_some_and(|n| n.is_null(row)) {
        out.extend_from_slice(b"\\N");
        return Ok(());
    }
    let layout = || Error::bug(format!("{ty} in {}", array.data_type()));
    match ty.bare() {
        LogicalType::Array(element) => {
            let values = array.as_list_opt::<i32>().ok_or_else(layout)?.value(row);
            out.extend_from_slice(b"<array>");
            push_elements(&values, element, options, out)?;
            out.extend_from_slice(b"</array>");
        }
        LogicalType::Tuple(elements) => {
            let values = array.as_struct_opt().ok_or_else(layout)?;
            out.extend_from_slice(b"<tuple>");
            for (column, (_, element)) in values.columns().iter().zip(elements.iter()) {
                out.extend_from_slice(b"<elem>");
                push_value(column, element, row, options, out)?;
                out.extend_from_slice(b"</elem>");
            }
            out.extend_from_slice(b"</tuple>");
        }
        LogicalType::Map(key, value) => {
            let entries = array.as_map_opt().ok_or_else(layout)?.value(row);
            out.extend_from_slice(b"<map>");
            for entry in 0..entries.len() {
                out.extend_from_slice(b"<elem><key>");
                push_value(entries.column(0), key, entry, options, out)?;
                out.extend_from_slice(b"</key><value>");
                push_value(entries.column(1), value, entry, options, out)?;
                out.extend_from_slice(b"</value></elem>");
            }
            out.extend_from_slice(b"</map>");
        }
        _ => {
            let mut text = Vec::new();
            write_text(array, ty, row, Style::Plain, options, &mut text)?;
            push_text(&text, out);
        }
    }
    Ok(())
}

fn push_elements(values: &ArrayRef, ty: &LogicalType, options: &TextOptions, out: &mut Vec<u8>) -> Result<()> {
    for row in 0..values.len() {
        out.extend_from_slice(b"<elem>");
        push_value(values, ty, row, options, out)?;
        out.extend_from_slice(b"</elem>");
    }
    Ok(())
}

impl OutputFormat for XmlWriter {
    fn content_type(&self) -> &'static str {
        "application/xml; charset=UTF-8"
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.extend_from_slice(b"<?xml version='1.0' encoding='UTF-8' ?>\n<result>\n\t<meta>\n\t\t<columns>\n");
        for field in &self.schema.fields {
            out.extend_from_slice(b"\t\t\t<column>\n\t\t\t\t<name>");
            push_text(field.name.as_bytes(), out);
            out.extend_from_slice(b"</name>\n\t\t\t\t<type>");
            push_text(self.options.native.names.of(&field.ty).as_bytes(), out);
            out.extend_from_slice(b"</type>\n\t\t\t</column>\n");
        }
        out.extend_from_slice(b"\t\t</columns>\n\t</meta>\n\t<data>\n");
        replace_invalid_utf8(out, start);
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        for row in 0..batch.rows() {
            self.element("row", batch, row, "\t\t", out)?;
            self.rows += 1;
        }
        replace_invalid_utf8(out, start);
        Ok(())
    }

    fn totals(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        self.close_data(out);
        if batch.rows() > 0 { self.element("totals", batch, 0, "\t", out) } else { Ok(()) }
    }

    fn extremes(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        self.close_data(out);
        if batch.rows() > 1 {
            out.extend_from_slice(b"\t<extremes>\n");
            self.element("min", batch, 0, "\t\t", out)?;
            self.element("max", batch, 1, "\t\t", out)?;
            out.extend_from_slice(b"\t</extremes>\n");
        }
        Ok(())
    }

    fn suffix(&mut self, stats: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        self.close_data(out);
        out.extend_from_slice(b"\t<rows>");
        push_number(self.rows, out);
        out.extend_from_slice(b"</rows>\n");
        if let Some(rows) = stats.rows_before_limit {
            out.extend_from_slice(b"\t<rows_before_limit_at_least>");
            push_number(rows, out);
            out.extend_from_slice(b"</rows_before_limit_at_least>\n");
        }
        if self.options.write_statistics {
            let text = format!(
                "\t<statistics>\n\t\t<elapsed>{}</elapsed>\n\t\t<rows_read>{}</rows_read>\n\t\t<bytes_read>{}</bytes_read>\n\t</statistics>\n",
                stats.elapsed_seconds, stats.rows_read, stats.bytes_read
            );
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(b"</result>\n");
        Ok(())
    }
}
