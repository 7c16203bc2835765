//! Markdown: one table for the whole result.

use crate::FormatOptions;
use crate::output::{OutputFormat, aligns_right, column_writers};
use crate::tsv::push_escaped;
use hydron_base::Result;
use hydron_types::{Batch, Schema, Style};
use std::sync::Arc;

pub struct MarkdownWriter {
    schema: Arc<Schema>,
    options: FormatOptions,
}

impl MarkdownWriter {
    pub fn new(schema: &Arc<Schema>, options: &FormatOptions) -> MarkdownWriter {
        MarkdownWriter { schema: Arc::clone(schema), options: options.clone() }
    }
}

impl OutputFormat for MarkdownWriter {
    fn content_type(&self) -> &'static str {
        "text/markdown; charset=UTF-8"
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(b"| ");
        for (i, field) in self.schema.fields.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b" | ");
            }
            push_escaped(field.name.as_bytes(), out);
        }
        out.extend_from_slice(b" |\n|");
        for field in &self.schema.fields {
            out.extend_from_slice(if aligns_right(field) { b"-:|" } else { b":-|" });
        }
        out.push(b'\n');
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let columns = column_writers(batch, Style::Escaped, &self.options.text)?;
        for row in 0..batch.rows() {
            for (i, column) in columns.iter().enumerate() {
                out.extend_from_slice(if i == 0 { b"| " } else { b" | " });
                column.write(row, out);
            }
            out.extend_from_slice(b" |\n");
        }
        Ok(())
    }
}
