//! Vertical: each row as lines of `name: value`.

use crate::FormatOptions;
use crate::output::{OutputFormat, PlainColumn, ResultStats, display_null};
use crate::pretty::text_width;
use hydron_base::Result;
use hydron_types::{Batch, Schema};

pub struct VerticalWriter {
    /// `name: ` padded to one width.
    labels: Vec<Vec<u8>>,
    options: FormatOptions,
    rows: u64,
    totals_written: bool,
}

impl VerticalWriter {
    pub fn new(schema: &Schema, options: &FormatOptions) -> VerticalWriter {
        let width = |name: &str| text_width(name.as_bytes(), 0);
        let widest = schema.fields.iter().map(|f| width(&f.name)).max().unwrap_or(0);
        let label = |name: &str| {
            let mut text = format!("{name}: ").into_bytes();
            text.resize(text.len() + widest - width(name), b' ');
            text
        };
        let labels = schema.fields.iter().map(|f| label(&f.name)).collect();
        VerticalWriter { labels, options: options.clone(), rows: 0, totals_written: false }
    }

    fn fields(&self, columns: &[PlainColumn], row: usize, out: &mut Vec<u8>) {
        for (label, column) in self.labels.iter().zip(columns) {
            out.extend_from_slice(label);
            column.write(row, out);
            out.push(b'\n');
        }
    }

    fn columns(&self, batch: &Batch) -> Result<Vec<PlainColumn>> {
        PlainColumn::all(batch, display_null(&self.options), &self.options.text)
    }

    fn titled(&self, title: &str, batch: &Batch, row: usize, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(format!("\n{title}:\n{}\n", "─".repeat(title.len() + 1)).as_bytes());
        self.fields(&self.columns(batch)?, row, out);
        Ok(())
    }
}

impl OutputFormat for VerticalWriter {
    fn content_type(&self) -> &'static str {
        "text/plain; charset=UTF-8"
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let columns = self.columns(batch)?;
        for row in 0..batch.rows() {
            self.rows += 1;
            if self.rows > self.options.pretty.rows_max {
                continue;
            }
            if self.rows > 1 {
                out.push(b'\n');
            }
            // The line is as long as the title of the next row number.
            let digits = (self.rows + 1).ilog10() as usize + 1;
            let line = "─".repeat("Row :".len() + digits);
            out.extend_from_slice(format!("Row {}:\n{line}\n", self.rows).as_bytes());
            self.fields(&columns, row, out);
        }
        Ok(())
    }

    fn totals(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        out.push(b'\n');
        self.totals_written = true;
        if batch.rows() > 0 { self.titled("Totals", batch, 0, out) } else { Ok(()) }
    }

    fn extremes(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        if batch.rows() < 2 {
            return Ok(());
        }
        if !self.totals_written {
            out.push(b'\n');
        }
        self.titled("Min", batch, 0, out)?;
        self.titled("Max", batch, 1, out)
    }

    fn suffix(&mut self, _: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        if self.rows > self.options.pretty.rows_max {
            out.extend_from_slice(format!("\nShowed first {}.\n", self.options.pretty.rows_max).as_bytes());
        }
        Ok(())
    }
}
