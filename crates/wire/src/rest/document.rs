//! `{"columns": ["a", "b"], "data": [[1, "x"], …]}` as it arrives: the columns, then the rows as bytes of
//! JSONCompactEachRow.
//!
//! In: pieces of the document, cut anywhere. Out: column names, once; bytes of rows. Promise: fields may come in any
//! order and unknown ones are passed over; rows before the columns wait, within a limit; a document that ends too early
//! or goes on after its end is an error.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use hydron_base::{Code, Error, Result};
use hydron_engine::ByteSource;

// Rows that stand before their columns are kept until these are known.
const WAITING_BYTES_MAX: usize = 64 << 20;

// A key or the list of columns.
const VALUE_BYTES_MAX: usize = 1 << 20;

// Brackets inside each other; no column holds values of such a depth.
const DEPTH_MAX: u32 = 1_000;

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before `{`.
    Start,
    /// Before a key; `first`: directly after `{`, where `}` may come too.
    Key {
        first: bool,
    },
    Colon,
    Value,
    /// Inside the rows; `first`: no row has come yet; `comma`: a comma has, so that a row must.
    Rows {
        first: bool,
        comma: bool,
    },
    /// After a value.
    After,
    End,
}

/// What is being read at the moment, beside single signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Nothing,
    /// A key; its text is in `text`.
    Key,
    /// A value that is kept in `text`: the columns.
    Columns,
    /// A value that nobody needs.
    Skipped,
    Row,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Columns,
    Data,
    Other,
}

/// The document as a machine over bytes.
pub(super) struct Reader {
    place: Place,
    inside: Inside,
    field: Field,
    depth: u32,
    in_string: bool,
    escaped: bool,
    text: Vec<u8>,
    columns: Option<Vec<String>>,
    has_data: bool,
    rows: BytesMut,
}

impl Reader {
    pub(super) fn new() -> Reader {
        Reader {
            place: Place::Start,
            inside: Inside::Nothing,
            field: Field::Other,
            depth: 0,
            in_string: false,
            escaped: false,
            text: Vec::new(),
            columns: None,
            has_data: false,
            rows: BytesMut::new(),
        }
    }

    /// Takes the next piece. Errors: INCORRECT_DATA, TOO_MANY_BYTES.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let mut at = 0;
        while at < bytes.len() {
            at += match self.inside {
                Inside::Nothing => {
                    self.sign(bytes[at])?;
                    1
                }
                _ => self.value(&bytes[at..])?,
            };
        }
        if self.columns.is_none() && self.rows.len() > WAITING_BYTES_MAX {
            let text = format!("more than {WAITING_BYTES_MAX} bytes of rows stand before their columns");
            return Err(Error::new(Code::TOO_MANY_BYTES, text).hint("\"columns\" before \"data\""));
        }
        Ok(())
    }

    /// The document must have ended. Errors: INCORRECT_DATA.
    pub(super) fn finish(&self) -> Result<()> {
        if self.place != Place::End {
            return Err(wrong("the document ends too early"));
        }
        match (&self.columns, self.has_data) {
            (None, _) => Err(wrong("field 'columns' is missing")),
            (_, false) => Err(wrong("field 'data' is missing")),
            _ => Ok(()),
        }
    }

    fn take_rows(&mut self) -> Bytes {
        self.rows.split().freeze()
    }

    /// A byte between values.
    fn sign(&mut self, byte: u8) -> Result<()> {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Ok(());
        }
        match (self.place, byte) {
            (Place::Start, b'{') => self.place = Place::Key { first: true },
            (Place::Key { .. }, b'"') => self.open(Inside::Key, byte),
            (Place::Key { first: true }, b'}') | (Place::After, b'}') => self.place = Place::End,
            (Place::Colon, b':') => self.place = Place::Value,
            (Place::After, b',') => self.place = Place::Key { first: false },
            (Place::Value, byte) => return self.begin_value(byte),
            (Place::Rows { first, comma }, b']') if first || !comma => self.place = Place::After,
            (Place::Rows { first: false, comma: false }, b',') => {
                self.place = Place::Rows { first: false, comma: true };
            }
            (Place::Rows { first, comma }, b'[') if first || comma => self.open(Inside::Row, byte),
            (Place::Rows { .. }, _) => return Err(wrong("'data' must be an array of arrays")),
            (place, byte) => return Err(wrong(format!("'{}' at {}", byte as char, place.text()))),
        }
        Ok(())
    }

    fn begin_value(&mut self, byte: u8) -> Result<()> {
        match self.field {
            Field::Data if self.has_data => return Err(wrong("field 'data' comes twice")),
            Field::Data if byte != b'[' => return Err(wrong("'data' must be an array of arrays")),
            Field::Data => {
                self.has_data = true;
                self.place = Place::Rows { first: true, comma: false };
            }
            Field::Columns if byte != b'[' => return Err(wrong("'columns' must be an array of texts")),
            Field::Columns => self.open(Inside::Columns, byte),
            Field::Other if matches!(byte, b'{' | b'[' | b'"') || byte.is_ascii_alphanumeric() || byte == b'-' => {
                self.open(Inside::Skipped, byte);
            }
            Field::Other => return Err(wrong(format!("'{}' where a value should be", byte as char))),
        }
        Ok(())
    }

    /// Goes into a value whose first byte is `byte`.
    fn open(&mut self, inside: Inside, byte: u8) {
        self.inside = inside;
        self.depth = u32::from(matches!(byte, b'{' | b'['));
        (self.in_string, self.escaped) = (byte == b'"', false);
        self.keep(&[byte]);
    }

    /// The value goes on in `bytes`: returns how many of them belong to it.
    fn value(&mut self, bytes: &[u8]) -> Result<usize> {
        // A number or a word has no sign of its own at its end.
        if self.depth == 0 && !self.in_string {
            let is_end = |b: &u8| matches!(b, b',' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
            let length = bytes.iter().position(is_end).unwrap_or(bytes.len());
            if length < bytes.len() {
                self.close()?;
            }
            return Ok(length);
        }
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' if self.depth >= DEPTH_MAX => {
                        return Err(wrong(format!("more than {DEPTH_MAX} brackets stand inside each other")));
                    }
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
            }
            if self.depth == 0 && !self.in_string {
                self.keep(&bytes[..=at]);
                self.close()?;
                return Ok(at + 1);
            }
        }
        self.keep(bytes);
        if self.text.len() > VALUE_BYTES_MAX {
            return Err(wrong(format!("a key or 'columns' is longer than {VALUE_BYTES_MAX} bytes")));
        }
        Ok(bytes.len())
    }

    fn keep(&mut self, bytes: &[u8]) {
        match self.inside {
            Inside::Key | Inside::Columns => self.text.extend_from_slice(bytes),
            Inside::Row => self.rows.extend_from_slice(bytes),
            Inside::Skipped | Inside::Nothing => {}
        }
    }

    /// The value has ended.
    fn close(&mut self) -> Result<()> {
        let text = std::mem::take(&mut self.text);
        match std::mem::replace(&mut self.inside, Inside::Nothing) {
            Inside::Key => {
                let key: String = serde_json::from_slice(&text).map_err(|e| wrong(format!("a key: {e}")))?;
                self.field = match key.as_str() {
                    "columns" => Field::Columns,
                    "data" => Field::Data,
                    _ => Field::Other,
                };
                self.place = Place::Colon;
            }
            Inside::Columns => {
                let columns: Vec<String> =
                    serde_json::from_slice(&text).map_err(|_| wrong("'columns' must be an array of texts"))?;
                if columns.is_empty() {
                    return Err(wrong("'columns' is empty"));
                }
                if self.columns.replace(columns).is_some() {
                    return Err(wrong("field 'columns' comes twice"));
                }
                self.place = Place::After;
            }
            Inside::Row => {
                self.rows.extend_from_slice(b"\n");
                self.place = Place::Rows { first: false, comma: false };
            }
            Inside::Skipped | Inside::Nothing => self.place = Place::After,
        }
        Ok(())
    }
}

impl Place {
    fn text(self) -> &'static str {
        match self {
            Place::Start => "the start: an object is expected",
            Place::Key { .. } => "a place where a key is expected",
            Place::Colon => "a place where ':' is expected",
            Place::Value => "a place where a value is expected",
            Place::Rows { .. } => "a place where a row is expected",
            Place::After => "a place where ',' or '}' is expected",
            Place::End => "the end: nothing may follow the object",
        }
    }
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::new(Code::INCORRECT_DATA, format!("the body is no {{\"columns\": […], \"data\": [[…]]}}: {what}"))
}

/// The rows of a document, as a source for an INSERT.
pub(super) struct Document<S> {
    source: S,
    reader: Reader,
    ended: bool,
}

impl<S: ByteSource> Document<S> {
    /// Reads until the columns are known, and returns them.
    pub(super) async fn open(source: S) -> Result<(Vec<String>, Document<S>)> {
        let mut document = Document { source, reader: Reader::new(), ended: false };
        loop {
            if let Some(columns) = &document.reader.columns {
                return Ok((columns.clone(), document));
            }
            document.read().await?;
        }
    }

    async fn read(&mut self) -> Result<()> {
        match self.source.next().await? {
            Some(bytes) => self.reader.feed(&bytes),
            None => {
                self.ended = true;
                self.reader.finish()
            }
        }
    }
}

#[async_trait]
impl<S: ByteSource> ByteSource for Document<S> {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let rows = self.reader.take_rows();
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
            if self.ended {
                return Ok(None);
            }
            self.read().await?;
        }
    }

    fn submitted(&mut self) {
        self.source.submitted();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns and rows of `text`, cut into pieces of `step` bytes.
    fn read(text: &str, step: usize) -> Result<(Vec<String>, String)> {
        let mut reader = Reader::new();
        for piece in text.as_bytes().chunks(step) {
            reader.feed(piece)?;
        }
        reader.finish()?;
        let rows = String::from_utf8(reader.take_rows().to_vec()).unwrap();
        Ok((reader.columns.unwrap(), rows))
    }

    #[test]
    fn rows_come_out_at_any_cut() {
        let texts = [
            r#"{"columns":["a","b é"],"data":[[1,"x],\"["],[{"k":[2]},null]]}"#,
            " { \"data\" : [ [1,\"x],\\\"[\"] , [{\"k\":[2]},null] ] ,\n \"columns\" : [ \"a\" , \"b \\u00e9\" ] } ",
            concat!(
                r#"{"x":{"data":[1,"}"]},"columns":["a","b é"],"y":-1.5e3,"z":null,"#,
                r#""data":[[1,"x],\"["],[{"k":[2]},null]],"w":"\\"}"#
            ),
        ];
        for text in texts {
            for step in 1..=text.len() {
                let (columns, rows) = read(text, step).unwrap();
                assert_eq!(columns, ["a", "b é"]);
                assert_eq!(rows, "[1,\"x],\\\"[\"]\n[{\"k\":[2]},null]\n", "pieces of {step}");
            }
        }
        assert_eq!(read(r#"{"columns":["a"],"data":[]}"#, 3).unwrap().1, "");
    }

    #[test]
    fn what_is_no_document_is_said() {
        for (text, expected) in [
            ("", "ends too early"),
            ("[]", "'[' at the start"),
            ("{}", "'columns' is missing"),
            (r#"{"columns":["a"]}"#, "'data' is missing"),
            (r#"{"data":[[1]]}"#, "'columns' is missing"),
            (r#"{"columns":["a"],"data":[[1]"#, "ends too early"),
            (r#"{"columns":["a"],"data":[[1,"#, "ends too early"),
            (r#"{"columns":["a"],"data":[[1]]} x"#, "'x' at the end"),
            (r#"{"columns":["a"],"data":[[1],]}"#, "array of arrays"),
            (r#"{"columns":["a"],"data":[[1][2]]}"#, "array of arrays"),
            (r#"{"columns":["a"],"data":[1]}"#, "array of arrays"),
            (r#"{"columns":["a"],"data":{}}"#, "array of arrays"),
            (r#"{"columns":"a","data":[]}"#, "array of texts"),
            (r#"{"columns":[1],"data":[]}"#, "array of texts"),
            (r#"{"columns":[],"data":[]}"#, "'columns' is empty"),
            (r#"{"columns":["a"],"columns":["b"],"data":[]}"#, "'columns' comes twice"),
            (r#"{"columns":["a"],"data":[],"data":[]}"#, "'data' comes twice"),
            (r#"{"columns" ["a"]}"#, "':' is expected"),
            (r#"{"x":}"#, "where a value should be"),
            (r#"{"x":1,}"#, "a key is expected"),
            (r#"{,}"#, "a key is expected"),
        ] {
            let e = read(text, 4).unwrap_err();
            assert_eq!(e.code, Code::INCORRECT_DATA, "{text}");
            assert!(e.message.contains(expected), "{text}: {e}");
        }
        let deep = format!(r#"{{"x":{}"#, "[".repeat(5_000));
        assert!(read(&deep, 100).unwrap_err().message.contains("1000 brackets"));
    }
}
