//! SQLInsert: the result as INSERT statements.

use crate::FormatOptions;
use crate::output::{OutputFormat, ResultStats, column_writers};
use hydron_base::{Result, Settings};
use hydron_types::{Batch, Schema, Style};

/// `output_format_sql_insert_*`.
#[derive(Clone, Debug)]
pub struct SqlInsertOptions {
    pub rows_max: u64,
    pub table: String,
    pub has_names: bool,
    pub replaces: bool,
    pub quotes_names: bool,
}

impl SqlInsertOptions {
    pub fn from_settings(settings: &Settings) -> SqlInsertOptions {
        SqlInsertOptions {
            rows_max: settings.uint("output_format_sql_insert_max_batch_size").max(1),
            table: settings.text("output_format_sql_insert_table_name").to_string(),
            has_names: settings.bool("output_format_sql_insert_include_column_names"),
            replaces: settings.bool("output_format_sql_insert_use_replace"),
            quotes_names: settings.bool("output_format_sql_insert_quote_names"),
        }
    }
}

pub struct SqlInsertWriter {
    options: FormatOptions,
    /// What stands before the rows of a statement.
    head: String,
    rows: u64,
}

impl SqlInsertWriter {
    pub fn new(schema: &Schema, options: &FormatOptions) -> SqlInsertWriter {
        let of = &options.sql_insert;
        let verb = if of.replaces { "REPLACE" } else { "INSERT" };
        let name = |name: &str| match of.quotes_names {
            true => format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`")),
            false => name.to_string(),
        };
        let names = match of.has_names {
            true => format!(" ({})", schema.fields.iter().map(|f| name(&f.name)).collect::<Vec<_>>().join(", ")),
            false => String::new(),
        };
        let head = format!("{verb} INTO {}{names} VALUES (", of.table);
        SqlInsertWriter { options: options.clone(), head, rows: 0 }
    }
}

impl OutputFormat for SqlInsertWriter {
    fn content_type(&self) -> &'static str {
        "text/plain; charset=UTF-8"
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let columns = column_writers(batch, Style::Quoted, &self.options.text)?;
        for row in 0..batch.rows() {
            match self.rows % self.options.sql_insert.rows_max {
                0 => {
                    if self.rows > 0 {
                        out.extend_from_slice(b";\n");
                    }
                    out.extend_from_slice(self.head.as_bytes());
                }
                _ => out.extend_from_slice(b", ("),
            }
            self.rows += 1;
            for (i, column) in columns.iter().enumerate() {
                if i > 0 {
                    out.extend_from_slice(b", ");
                }
                column.write(row, out);
            }
            out.push(b')');
        }
        Ok(())
    }

    fn suffix(&mut self, _: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        if self.rows > 0 {
            out.extend_from_slice(b";\n");
        }
        Ok(())
    }
}
