//! Pretty, PrettyCompact and PrettySpace: tables for people, one a batch.

mod grid;
mod width;

pub(crate) use width::text_width;

use crate::output::{OutputFormat, PlainColumn, ResultStats, aligns_right, display_null};
use crate::{FormatOptions, options::PrettyOptions};
use grid::{ASCII, Grid, UNICODE};
use hydron_base::Result;
use hydron_types::{Batch, Schema};
use std::sync::Arc;
use width::bytes_before_width;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Full,
    Compact,
    Space,
}

// Rows that a MonoBlock format holds back to print them as one table: more than any row limit of a person's terminal.
const MONO_BLOCK_ROWS_MAX: usize = 1 << 20;

pub struct PrettyWriter {
    layout: Layout,
    options: FormatOptions,
    schema: Arc<Schema>,
    rows: u64,
    /// Batches held back by the MonoBlock kinds.
    held: Option<Vec<Batch>>,
    suffix_written: bool,
}

impl PrettyWriter {
    pub fn new(
        schema: &Arc<Schema>,
        options: &FormatOptions,
        layout: Layout,
        escapes: bool,
        mono_block: bool,
    ) -> PrettyWriter {
        let mut options = options.clone();
        options.pretty.color &= escapes;
        let held = mono_block.then(Vec::new);
        PrettyWriter { layout, options, schema: Arc::clone(schema), rows: 0, held, suffix_written: false }
    }

    fn table(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let rows_left = self.options.pretty.rows_max.saturating_sub(self.rows);
        let shown = (batch.rows() as u64).min(rows_left) as usize;
        let table = Table::of(batch, shown, &self.options)?;
        match self.layout {
            Layout::Full => table.full(out),
            Layout::Compact => table.compact(out),
            Layout::Space => table.space(out),
        }
        self.rows += batch.rows() as u64;
        Ok(())
    }

    fn release(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let Some(held) = self.held.take().filter(|h| !h.is_empty()) else { return Ok(()) };
        let rows = held.iter().map(Batch::rows).sum();
        let mut columns = Vec::with_capacity(self.schema.len());
        for column in 0..self.schema.len() {
            let parts = held.iter().map(|b| b.column(column).as_ref()).collect::<Vec<_>>();
            columns.push(arrow::compute::concat(&parts).map_err(|e| hydron_base::Error::bug(e.to_string()))?);
        }
        self.table(&Batch::new(Arc::clone(&held[0].schema), columns, rows), out)
    }

    fn end_of_rows(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.release(out)?;
        if !std::mem::replace(&mut self.suffix_written, true) && self.rows >= self.options.pretty.rows_max {
            let start = if self.layout == Layout::Space { "\n" } else { "  " };
            out.extend_from_slice(format!("{start}Showed first {}.\n", self.options.pretty.rows_max).as_bytes());
        }
        Ok(())
    }

    fn titled(&mut self, title: &str, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        self.end_of_rows(out)?;
        self.rows = 0;
        out.extend_from_slice(format!("\n{title}:\n").as_bytes());
        self.table(batch, out)
    }
}

impl OutputFormat for PrettyWriter {
    fn content_type(&self) -> &'static str {
        "text/plain; charset=UTF-8"
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        if batch.rows() == 0 {
            return Ok(());
        }
        if self.rows >= self.options.pretty.rows_max {
            self.rows += batch.rows() as u64;
            return Ok(());
        }
        if let Some(held) = &mut self.held {
            held.push(batch.clone());
            let rows: usize = held.iter().map(Batch::rows).sum();
            let enough = (self.options.pretty.rows_max as usize).min(MONO_BLOCK_ROWS_MAX);
            return if rows >= enough { self.release(out) } else { Ok(()) };
        }
        self.table(batch, out)
    }

    fn totals(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        self.titled("Totals", batch, out)
    }

    fn extremes(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        self.titled("Extremes", batch, out)
    }

    fn suffix(&mut self, _: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        self.end_of_rows(out)
    }
}

/// Texts of one column with their widths.
struct Column {
    name: String,
    name_width: usize,
    right: bool,
    /// The widest of name and values, within the settings.
    width: usize,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    widths: Vec<usize>,
}

impl Column {
    fn text(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }
}

struct Table<'a> {
    columns: Vec<Column>,
    rows: usize,
    options: &'a PrettyOptions,
    grid: &'static Grid,
    row_number_width: usize,
}

impl<'a> Table<'a> {
    /// Renders the first `shown` rows.
    fn of(batch: &Batch, shown: usize, options: &'a FormatOptions) -> Result<Table<'a>> {
        let pretty = &options.pretty;
        let cells = PlainColumn::all(batch, display_null(options), &options.text)?;
        let mut columns = Vec::with_capacity(cells.len());
        // A tab in a value reaches to the next stop, counted from the left border.
        let mut prefix = 2;
        for (field, cell) in batch.schema.fields.iter().zip(&cells) {
            let name_width = text_width(field.name.as_bytes(), 0).min(pretty.column_pad_width_max);
            let mut column = Column {
                name: field.name.to_string(),
                name_width,
                right: aligns_right(field),
                width: name_width,
                bytes: Vec::new(),
                ends: Vec::with_capacity(shown),
                widths: Vec::with_capacity(shown),
            };
            for row in 0..shown {
                let start = column.bytes.len();
                cell.write(row, &mut column.bytes);
                // No character takes more than 4 bytes: what lies further is cut in any case.
                if pretty.value_width_max > 0 {
                    let bytes_max = pretty.value_width_max.saturating_mul(4);
                    let length = (column.bytes.len() - start).min(bytes_max);
                    column.bytes.truncate(start + length);
                }
                let width = text_width(&column.bytes[start..], prefix);
                column.ends.push(column.bytes.len());
                column.widths.push(width);
                column.width = column.width.max(width.min(pretty.column_pad_width_max).min(pretty.value_width_max));
            }
            prefix += column.width + 3;
            columns.push(column);
        }
        let row_number_width = shown.max(1).ilog10() as usize + 3;
        let grid = if pretty.ascii { &ASCII } else { &UNICODE };
        Ok(Table { columns, rows: shown, options: pretty, grid, row_number_width })
    }

    fn full(&self, out: &mut Vec<u8>) {
        let g = self.grid;
        self.line(g.bold_left_top, g.bold_dash, g.bold_top, g.bold_right_top, out);
        self.row_number_blank(out);
        for (i, column) in self.columns.iter().enumerate() {
            push(if i == 0 { "" } else { " " }, out);
            push(g.bold_bar, out);
            push(" ", out);
            self.bold(out, |out| {
                let pad = column.width - column.name_width;
                repeat(" ", if column.right { pad } else { 0 }, out);
                push(&column.name, out);
                repeat(" ", if column.right { 0 } else { pad }, out);
            });
        }
        push(" ", out);
        push(g.bold_bar, out);
        push("\n", out);
        self.line(g.bold_left_middle, g.bold_dash, g.bold_middle, g.bold_right_middle, out);
        for row in 0..self.rows {
            if row > 0 {
                self.line(g.left_middle, g.dash, g.middle, g.right_middle, out);
            }
            self.bars_row(row, out);
        }
        self.line(g.left_bottom, g.dash, g.bottom, g.right_bottom, out);
    }

    fn compact(&self, out: &mut Vec<u8>) {
        let g = self.grid;
        self.row_number_blank(out);
        for (i, column) in self.columns.iter().enumerate() {
            if i == 0 {
                push(g.left_top, out);
            } else {
                push(g.dash, out);
                push(g.top, out);
            }
            push(g.dash, out);
            let pad = column.width - column.name_width;
            repeat(g.dash, if column.right { pad } else { 0 }, out);
            self.bold(out, |out| push(&column.name, out));
            repeat(g.dash, if column.right { 0 } else { pad }, out);
        }
        push(g.dash, out);
        push(g.right_top, out);
        push("\n", out);
        (0..self.rows).for_each(|row| self.bars_row(row, out));
        self.line(g.left_bottom, g.dash, g.bottom, g.right_bottom, out);
    }

    fn space(&self, out: &mut Vec<u8>) {
        self.row_number_blank(out);
        for (i, column) in self.columns.iter().enumerate() {
            push(if i == 0 { " " } else { "   " }, out);
            let pad = column.width - column.name_width;
            repeat(" ", if column.right { pad } else { 0 }, out);
            self.bold(out, |out| push(&column.name, out));
            repeat(" ", if column.right { 0 } else { pad }, out);
        }
        push("\n\n", out);
        for row in 0..self.rows {
            self.row_number(row, out);
            for (i, column) in self.columns.iter().enumerate() {
                push(if i == 0 { "" } else { " " }, out);
                self.value(column, row, out);
            }
            push("\n", out);
        }
    }

    fn bars_row(&self, row: usize, out: &mut Vec<u8>) {
        self.row_number(row, out);
        push(self.grid.bar, out);
        for (i, column) in self.columns.iter().enumerate() {
            push(if i == 0 { "" } else { self.grid.bar }, out);
            self.value(column, row, out);
        }
        push(self.grid.bar, out);
        push("\n", out);
    }

    fn value(&self, column: &Column, row: usize, out: &mut Vec<u8>) {
        let text = column.text(row);
        let max = self.options.value_width_max;
        let too_wide = column.widths[row] > max;
        let width = if too_wide { max } else { column.widths[row] };
        let pad = column.width.saturating_sub(width);
        repeat(" ", if column.right { pad } else { 0 }, out);
        push(" ", out);
        if too_wide {
            out.extend_from_slice(&text[..bytes_before_width(text, max)]);
            let dots = if self.options.ascii { "~" } else { "⋯" };
            match self.options.color {
                true => push(&format!("\x1b[31;1m{dots}\x1b[0m"), out),
                false => push(dots, out),
            }
        } else {
            out.extend_from_slice(text);
            push(" ", out);
        }
        repeat(" ", if column.right { 0 } else { pad }, out);
    }

    /// A horizontal line over all columns.
    fn line(&self, left: &str, dash: &str, joint: &str, right: &str, out: &mut Vec<u8>) {
        self.row_number_blank(out);
        push(left, out);
        for (i, column) in self.columns.iter().enumerate() {
            push(if i == 0 { "" } else { joint }, out);
            repeat(dash, column.width + 2, out);
        }
        push(right, out);
        push("\n", out);
    }

    fn bold(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self.options.color {
            push("\x1b[1m", out);
        }
        write(out);
        if self.options.color {
            push("\x1b[0m", out);
        }
    }

    fn row_number_blank(&self, out: &mut Vec<u8>) {
        repeat(" ", if self.options.row_numbers { self.row_number_width } else { 0 }, out);
    }

    fn row_number(&self, row: usize, out: &mut Vec<u8>) {
        if self.options.row_numbers {
            let number = format!("{}. ", row + 1);
            repeat(" ", self.row_number_width.saturating_sub(number.len()), out);
            push(&number, out);
        }
    }
}

fn push(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
}

fn repeat(text: &str, times: usize, out: &mut Vec<u8>) {
    (0..times).for_each(|_| push(text, out));
}
