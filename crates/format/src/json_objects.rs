//! JSONObjectEachRow: one object whose members are the rows.

use crate::FormatOptions;
use crate::json::push_string;
use crate::json_rows::JsonCells;
use crate::output::{OutputFormat, PlainColumn, ResultStats, replace_invalid_utf8};
use hydron_base::Result;
use hydron_types::{Batch, Schema};

pub struct ObjectsWriter {
    /// `"name":` of each column.
    keys: Vec<Vec<u8>>,
    options: FormatOptions,
    /// The column whose values name the rows.
    name_column: Option<usize>,
    rows: u64,
}

impl ObjectsWriter {
    pub fn new(schema: &Schema, options: &FormatOptions) -> ObjectsWriter {
        let key = |name: &str| {
            let mut out = Vec::new();
            push_string(name.as_bytes(), options.text.json_escape_forward_slashes, &mut out);
            out.push(b':');
            out
        };
        let keys = schema.fields.iter().map(|f| key(&f.name)).collect();
        let name_column = schema.index_of(&options.json_object_name_column);
        ObjectsWriter { keys, options: options.clone(), name_column, rows: 0 }
    }
}

impl OutputFormat for ObjectsWriter {
    fn content_type(&self) -> &'static str {
        "application/json; charset=UTF-8"
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(b"{\n");
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        let from = out.len();
        let cells = JsonCells::of(batch, false, &self.options)?;
        let names = match self.name_column {
            Some(at) => Some(PlainColumn::all(batch, "", &self.options.text)?.swap_remove(at)),
            None => None,
        };
        for row in 0..batch.rows() {
            if self.rows > 0 {
                out.extend_from_slice(b",\n");
            }
            self.rows += 1;
            match &names {
                Some(names) => {
                    let mut name = Vec::new();
                    names.write(row, &mut name);
                    out.push(b'\t');
                    push_string(&name, self.options.text.json_escape_forward_slashes, out);
                    out.extend_from_slice(b": {");
                }
                None => out.extend_from_slice(format!("\t\"row_{}\": {{", self.rows).as_bytes()),
            }
            let mut first = true;
            for (column, key) in self.keys.iter().enumerate().filter(|(at, _)| Some(*at) != self.name_column) {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                out.extend_from_slice(key);
                cells.write(column, row, out);
            }
            out.push(b'}');
        }
        replace_invalid_utf8(out, from);
        Ok(())
    }

    fn suffix(&mut self, _: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(if self.rows > 0 { b"\n}\n" } else { b"}\n" });
        Ok(())
    }
}
