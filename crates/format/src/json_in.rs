//! JSONEachRow, JSONCompactEachRow and their string and headed kinds, JSONObjectEachRow, as input; JSONAsString and JSONAsObject too.
//!
//! Objects or arrays may be separated by white space, commas or semicolons; objects may also stand in one array.

use crate::json::{Nesting, expected, skip_spaces, string_end, unescape, value_end};
use crate::rows::{FieldMap, Frame, Framed, RowReader, Rows, excerpt, single_string_column};
use crate::tsv::Header;
use crate::{FormatOptions, InputFormat};
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Schema, Style, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Finds values that begin with one kind of bracket.
struct Values {
    open: u8,
    nesting: Nesting,
    scanned: usize,
    /// Inside the array that holds all rows.
    in_array: bool,
    /// The rows are members of one object.
    keyed: bool,
    /// Where that is so, the name of the row that follows, in its quotes.
    row_name: Vec<u8>,
    started: bool,
}

impl Values {
    fn new(open: u8) -> Values {
        Values {
            open,
            nesting: Nesting::default(),
            scanned: 0,
            in_array: false,
            keyed: false,
            row_name: Vec::new(),
            started: false,
        }
    }

    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        if self.scanned == 0 {
            let start = bytes.iter().position(|b| !self.is_between(*b));
            match start {
                None if bytes.is_empty() => return Ok(Frame::More),
                None => return Ok(Frame::Skip(bytes.len())),
                Some(0) => {}
                Some(start) => return Ok(Frame::Skip(start)),
            }
            let first = bytes[0];
            if self.keyed {
                match first {
                    b'{' if !self.started => {
                        self.started = true;
                        return Ok(Frame::Skip(1));
                    }
                    b'}' if self.started => return Ok(Frame::Skip(1)),
                    b'"' => return self.key(bytes, last),
                    _ => {}
                }
            }
            if first == b'[' && self.open == b'{' && !self.started {
                self.in_array = true;
                self.started = true;
                return Ok(Frame::Skip(1));
            }
            if first == b']' && self.in_array {
                self.in_array = false;
                return Ok(Frame::Skip(1));
            }
            self.started = true;
            if first != self.open {
                return self.not_a_row(bytes, last);
            }
        }
        match self.nesting.scan(&bytes[self.scanned..]) {
            Some(length) => {
                let end = self.scanned + length;
                self.reset();
                Ok(Frame::Row { start: 0, end, next: end })
            }
            None if last => {
                self.reset();
                Ok(Frame::Row { start: 0, end: bytes.len(), next: bytes.len() })
            }
            None => {
                self.scanned = bytes.len();
                Ok(Frame::More)
            }
        }
    }

    /// The name of a row and the colon after it.
    fn key(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        let end = match string_end(bytes, 0) {
            Ok(end) => skip_spaces(bytes, end),
            Err(_) if !last => return Ok(Frame::More),
            Err(e) => return Err(e),
        };
        match bytes.get(end) {
            Some(b':') => {
                self.row_name = bytes[..string_end(bytes, 0)?].to_vec();
                Ok(Frame::Skip(skip_spaces(bytes, end + 1)))
            }
            None if !last => Ok(Frame::More),
            _ => Err(expected("':'", bytes, end)),
        }
    }

    /// Text where a row should begin: the row reader gets its line, and says what is wrong.
    fn not_a_row(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        match memchr::memchr(b'\n', bytes) {
            Some(end) => Ok(Frame::Row { start: 0, end, next: end + 1 }),
            None if last => Ok(Frame::Row { start: 0, end: bytes.len(), next: bytes.len() }),
            None => Ok(Frame::More),
        }
    }

    fn is_between(&self, byte: u8) -> bool {
        matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b';')
    }

    fn reset(&mut self) {
        self.nesting = Nesting::default();
        self.scanned = 0;
    }
}

/// How the value of a field is written.
fn read_value(rows: &mut Rows, column: usize, text: &[u8], at: usize, strings: bool) -> Result<usize> {
    if strings {
        // Every value is a string that holds the plain text.
        let end = string_end(text, at)?;
        let plain = unescape(&text[at..end]);
        rows.value(column, &plain, Style::Plain)?;
        return Ok(end);
    }
    Ok(at + rows.value_prefix(column, &text[at..], Style::Json)?)
}

pub struct ObjectReader {
    values: Values,
    options: FormatOptions,
    columns: HashMap<Vec<u8>, usize>,
    names: Vec<Vec<u8>>,
    /// The column of each field of the row before: rows tend to have the same fields in the same order.
    order: Vec<Option<usize>>,
    strings: bool,
    /// The column that takes the names of rows.
    name_column: Option<usize>,
}

impl ObjectReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, strings: bool) -> Box<dyn InputFormat> {
        ObjectReader::open_with(schema, options, strings, false)
    }

    /// `keyed`: the rows are the members of one object.
    pub fn open_with(
        schema: &Arc<Schema>,
        options: &FormatOptions,
        strings: bool,
        keyed: bool,
    ) -> Box<dyn InputFormat> {
        let names = schema.fields.iter().map(|f| f.name.as_bytes().to_vec()).collect::<Vec<_>>();
        let reader = ObjectReader {
            values: Values { keyed, ..Values::new(b'{') },
            options: options.clone(),
            columns: names.iter().cloned().enumerate().map(|(i, n)| (n, i)).collect(),
            names,
            order: Vec::new(),
            strings,
            name_column: schema.index_of(&options.json_object_name_column).filter(|_| keyed),
        };
        Box::new(Framed::new(reader, Arc::clone(schema), options))
    }

    /// The column that the `position`th field of the row, named `key`, goes to.
    fn column(&mut self, position: usize, key: &[u8]) -> Result<Option<usize>> {
        let raw = &key[1..key.len() - 1];
        if let Some(Some(column)) = self.order.get(position)
            && self.names[*column] == raw
        {
            return Ok(Some(*column));
        }
        let column = match raw.contains(&b'\\') {
            true => self.columns.get(&unescape(key)),
            false => self.columns.get(raw),
        };
        let column = column.copied();
        if column.is_none() && !self.options.skip_unknown_fields {
            let text = format!("field '{}' is unknown", excerpt(raw));
            return Err(Error::new(Code::INCORRECT_DATA, text).hint("input_format_skip_unknown_fields = 1"));
        }
        if self.order.len() <= position {
            self.order.resize(position + 1, None);
        }
        self.order[position] = column;
        Ok(column)
    }
}

// Fields remembered in their order; an object with more is read by name alone.
const ORDER_MAX: usize = 4096;

impl RowReader for ObjectReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        self.values.frame(bytes, last)
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        if row.first() != Some(&b'{') {
            return Err(expected("'{'", row, 0));
        }
        if let Some(column) = self.name_column {
            rows.value(column, &unescape(&self.values.row_name), Style::Plain)?;
        }
        self.order.truncate(ORDER_MAX);
        let mut at = skip_spaces(row, 1);
        if row.get(at) == Some(&b'}') {
            return Ok(());
        }
        for position in 0.. {
            let key_end = string_end(row, at)?;
            let column = self.column(position, &row[at..key_end])?;
            at = skip_spaces(row, key_end);
            if row.get(at) != Some(&b':') {
                return Err(expected("':'", row, at));
            }
            at = skip_spaces(row, at + 1);
            match column {
                Some(column) => {
                    if rows.is_set(column) {
                        let name = String::from_utf8_lossy(&self.names[column]).into_owned();
                        return Err(Error::new(Code::INCORRECT_DATA, format!("field '{name}' stands twice")));
                    }
                    at = read_value(rows, column, row, at, self.strings)?;
                }
                None => at = value_end(row, at)?,
            }
            at = skip_spaces(row, at);
            match row.get(at) {
                Some(b',') => at = skip_spaces(row, at + 1),
                Some(b'}') => return Ok(()),
                _ => return Err(expected("',' or '}'", row, at)),
            }
        }
        Ok(())
    }

    fn restart(&mut self) -> bool {
        self.values = Values::new(b'{');
        true
    }
}

pub struct CompactReader {
    values: Values,
    options: FormatOptions,
    schema: Arc<Schema>,
    header: Header,
    names_read: bool,
    map: FieldMap,
    strings: bool,
}

impl CompactReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, header: Header, strings: bool) -> Box<dyn InputFormat> {
        let reader = CompactReader {
            values: Values::new(b'['),
            options: options.clone(),
            schema: Arc::clone(schema),
            header,
            names_read: false,
            map: FieldMap::straight(schema.len()),
            strings,
        };
        Box::new(Framed::new(reader, Arc::clone(schema), options))
    }
}

/// The strings of a header row.
fn header_texts(row: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut texts = Vec::new();
    let mut at = skip_spaces(row, 1);
    if row.first() != Some(&b'[') {
        return Err(expected("'['", row, 0));
    }
    loop {
        let end = string_end(row, at)?;
        texts.push(unescape(&row[at..end]));
        at = skip_spaces(row, end);
        match row.get(at) {
            Some(b',') => at = skip_spaces(row, at + 1),
            Some(b']') => return Ok(texts),
            _ => return Err(expected("',' or ']'", row, at)),
        }
    }
}

impl RowReader for CompactReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        let frame = self.values.frame(bytes, last)?;
        let Frame::Row { start, end, next } = frame else { return Ok(frame) };
        match self.header {
            Header::None => return Ok(Frame::Row { start, end, next }),
            Header::NamesAndTypes if self.names_read => {
                self.map.check_types(&header_texts(&bytes[start..end])?, &self.schema, &self.options)?;
                self.header = Header::None;
            }
            Header::Names | Header::NamesAndTypes => {
                self.map = FieldMap::by_names(&header_texts(&bytes[start..end])?, &self.schema, &self.options)?;
                self.names_read = true;
                if self.header == Header::Names {
                    self.header = Header::None;
                }
            }
        }
        Ok(Frame::Skip(next))
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        if row.first() != Some(&b'[') {
            return Err(expected("'['", row, 0));
        }
        let mut at = skip_spaces(row, 1);
        for (i, column) in self.map.0.iter().enumerate() {
            let any_number = self.options.json_compact_any_number_of_fields;
            if any_number && row.get(at) == Some(&b']') {
                return Ok(());
            }
            if i > 0 {
                if row.get(at) != Some(&b',') {
                    return Err(expected(&format!("',' and {} more fields", self.map.0.len() - i), row, at));
                }
                at = skip_spaces(row, at + 1);
            }
            at = match *column {
                Some(column) => read_value(rows, column, row, at, self.strings)?,
                None => value_end(row, at)?,
            };
            at = skip_spaces(row, at);
        }
        while self.options.json_compact_any_number_of_fields && row.get(at) == Some(&b',') {
            at = skip_spaces(row, at + 1);
            at = skip_spaces(row, value_end(row, at)?);
        }
        match row.get(at) {
            Some(b']') => Ok(()),
            _ => Err(expected(&format!("']' after {} fields", self.map.0.len()), row, at)),
        }
    }
}

/// Each object becomes one string.
pub struct AsStringReader {
    values: Values,
}

impl AsStringReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, name: &str) -> Result<Box<dyn InputFormat>> {
        single_string_column(name, schema)?;
        if name == "JSONAsObject" && *schema.fields[0].ty.bare() != LogicalType::Json {
            let message = format!("format JSONAsObject fills a json column, this one is {}", schema.fields[0].ty);
            return Err(Error::bad_arguments(message).hint("JSONAsString"));
        }
        Ok(Box::new(Framed::new(AsStringReader { values: Values::new(b'{') }, Arc::clone(schema), options)))
    }
}

impl RowReader for AsStringReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        self.values.frame(bytes, last)
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        if row.first() != Some(&b'{') || row.last() != Some(&b'}') {
            return Err(expected("an object", row, 0));
        }
        match rows.field(0).ty.bare() {
            LogicalType::Json => rows.value(0, row, Style::Json),
            _ => rows.append(0, &Value::Bytes(row.to_vec())),
        }
    }

    fn restart(&mut self) -> bool {
        self.values = Values::new(b'{');
        true
    }
}
