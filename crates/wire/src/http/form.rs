//! A form as the body of a request: parameters of the query, the query itself, and tables that it alone sees.
//!
//! In: the parts of a `multipart/form-data` body. Out: names and values, and tables. Promise: the rows of a table are read
//! as they arrive; what all parts come to is limited.

use super::multipart::{Event, Multipart, Part};
use super::options::HttpOptions;
use super::source::BodySource;
use hydron_base::limit::QUERY_BYTES_MAX;
use hydron_base::setting::definition;
use hydron_base::{Code, Error, Result};
use hydron_engine::catalog::given::{columns_of_structure, columns_of_types};
use hydron_engine::{ByteSource, GivenTable};
use hydron_format::{FormatOptions, InputFormat};
use hydron_types::{Batch, Schema, parse_type_lenient};
use std::collections::HashMap;
use std::sync::Arc;

/// What describes a table: parameters of these names, behind its own.
const SUFFIXES: [&str; 3] = ["_format", "_structure", "_types"];

/// Whether a parameter may describe a table of a form: it is no setting.
pub(super) fn describes_table(name: &str) -> bool {
    SUFFIXES.iter().any(|s| name.len() > s.len() && name.ends_with(s)) && definition(name).is_none()
}

#[derive(Default)]
pub(super) struct Form {
    /// In their order.
    pub fields: Vec<(String, String)>,
    pub tables: Vec<GivenTable>,
}

/// A table of which the rows are being read.
struct Arriving {
    name: String,
    schema: Arc<Schema>,
    reader: Box<dyn InputFormat>,
    batches: Vec<Batch>,
}

enum Open {
    Field { name: String, value: Vec<u8> },
    Table(Arriving),
}

/// Reads a form to its end. `described`: parameters of the URL that may describe its tables.
///
/// Errors: INCORRECT_DATA for a form that is cut off or malformed, BAD_ARGUMENTS for a table without columns,
/// TOO_MANY_BYTES beyond the limits, and those of the formats.
pub(super) async fn read(
    mut multipart: Multipart,
    body: &mut BodySource,
    mut described: HashMap<String, String>,
    format_options: &FormatOptions,
    options: &HttpOptions,
) -> Result<Form> {
    let mut form = Form::default();
    let mut open: Option<Open> = None;
    let mut parts = 0;
    let mut budget = Left { bytes: options.form_tables_bytes_max, bytes_max: options.form_tables_bytes_max };
    while let Some(bytes) = body.next().await? {
        multipart.feed(&bytes);
        while let Some(event) = multipart.next()? {
            match event {
                Event::Begin(part) => {
                    parts += 1;
                    if parts > options.form_parts_max {
                        let text = format!("a form of more than {} parts", options.form_parts_max);
                        return Err(Error::new(Code::TOO_MANY_BYTES, text));
                    }
                    open = Some(begin(part, &described, format_options)?);
                }
                Event::Data(bytes) => match &mut open {
                    Some(Open::Field { name, value }) => {
                        value.extend_from_slice(&bytes);
                        if value.len() > QUERY_BYTES_MAX {
                            let text = format!("field '{name}' of a form is longer than {QUERY_BYTES_MAX} bytes");
                            return Err(Error::new(Code::TOO_MANY_BYTES, text));
                        }
                    }
                    Some(Open::Table(table)) => budget.take(table.feed(&bytes, false)?)?,
                    None => {}
                },
                Event::End => match open.take() {
                    Some(Open::Field { name, value }) => {
                        let value = String::from_utf8(value).map_err(|_| {
                            Error::new(Code::INCORRECT_DATA, format!("field '{name}' of a form is not UTF-8"))
                        })?;
                        match describes_table(&name) {
                            true => drop(described.insert(name, value)),
                            false => form.fields.push((name, value)),
                        }
                    }
                    Some(Open::Table(mut table)) => {
                        // Most formats give their rows only now.
                        budget.take(table.feed(b"", true)?)?;
                        form.tables.push(GivenTable::new(&table.name, &table.schema, table.batches));
                    }
                    None => {}
                },
                Event::Close => return Ok(form),
            }
        }
    }
    Err(Error::new(Code::INCORRECT_DATA, "multipart body: it ends without its closing delimiter"))
}

fn begin(part: Part, described: &HashMap<String, String>, options: &FormatOptions) -> Result<Open> {
    let Part { name, is_file } = part;
    if !is_file {
        return Ok(Open::Field { name, value: Vec::new() });
    }
    let about = |suffix: &str| described.get(&format!("{name}{suffix}")).map(String::as_str);
    let fields = match (about("_structure"), about("_types")) {
        (Some(structure), _) => columns_of_structure(structure, parse_type_lenient),
        (None, Some(types)) => columns_of_types(types),
        (None, None) => {
            let error = Error::new(Code::BAD_ARGUMENTS, format!("the columns of external table '{name}' are not told"));
            Err(error
                .hint(format!("{name}_structure=a int32, b string before its rows, or {name}_types=int32, string")))
        }
    };
    let schema = Arc::new(Schema::new(fields?));
    let format = about("_format").unwrap_or("TabSeparated");
    let reader = hydron_format::input(format, Arc::clone(&schema), options, None)?;
    Ok(Open::Table(Arriving { name, schema, reader, batches: Vec::new() }))
}

impl Arriving {
    /// Answers the bytes that came and those that they are as rows: a format may unpack.
    fn feed(&mut self, bytes: &[u8], last: bool) -> Result<usize> {
        let read = self.reader.feed(bytes, last).map_err(|e| e.context(format!("external table '{}'", self.name)))?;
        let mut taken = bytes.len();
        for input in read {
            taken += input.batch.bytes();
            self.batches.push(input.batch);
        }
        Ok(taken)
    }
}

/// What the tables of a form may still take.
struct Left {
    bytes: usize,
    bytes_max: usize,
}

impl Left {
    fn take(&mut self, bytes: usize) -> Result<()> {
        match self.bytes.checked_sub(bytes) {
            Some(left) => self.bytes = left,
            None => {
                let text = format!("the tables of a form take more than {} bytes", self.bytes_max);
                return Err(Error::new(Code::TOO_MANY_BYTES, text).hint("INSERT them into a stream"));
            }
        }
        Ok(())
    }
}
