//! COPY: rows in bulk, in the texts that PostgreSQL and ClickHouse share.
//!
//! In: `COPY t [(columns)] FROM STDIN …`, `COPY { t | (query) } TO STDOUT …`. Out: the INSERT or the query in the dialect, and the
//! bytes of a client as the INSERT's data. Promise: a client that breaks off stores nothing of what it has not finished saying.

use super::phrase::{Copy, Words};
use async_trait::async_trait;
use bytes::Bytes;
use hydron_base::{Code, Error, Result};
use hydron_engine::ByteSource;
use tokio::sync::mpsc;

const LIKE: &str = "COPY s (a, b) FROM STDIN WITH (FORMAT csv, HEADER)";

/// Reads a COPY. Errors: SYNTAX_ERROR; NOT_IMPLEMENTED for files of the server, programs and the binary format.
pub fn parse(text: &str) -> Result<Copy> {
    let words = Words::new(text);
    let wrong = || words.wrong(LIKE);
    // The end of what is copied: at the first word outside of parentheses that is FROM or TO.
    let mut depth = 0;
    let direction = (1..words.count()).find(|i| {
        match words.lower(*i).as_deref() {
            Some("(") => depth += 1,
            Some(")") => depth -= 1,
            Some("from" | "to") => return depth == 0,
            _ => {}
        }
        false
    });
    let at = direction.filter(|at| *at > 1).ok_or_else(wrong)?;
    let is_in = words.lower(at).as_deref() == Some("from");
    let end = if is_in { "stdin" } else { "stdout" };
    if words.lower(at + 1).as_deref() != Some(end) {
        return Err(Error::not_implemented("COPY with a file or program of the server").hint("STDIN or STDOUT"));
    }
    let what = words.text_between(1, at);
    let options = Options::read(&words, at + 2)?;
    let is_query = words.lower(1).as_deref() == Some("(");
    let statement = match (is_in, is_query) {
        (true, true) => return Err(wrong()),
        (true, false) => format!("INSERT INTO {what}{} FORMAT {}", options.settings(true), options.format()?),
        (false, true) => format!("{}{} FORMAT {}", inside(what), options.settings(false), options.format()?),
        (false, false) => {
            let (name, columns) =
                what.split_once('(').map_or((what, "*"), |(n, c)| (n, c.trim_end().trim_end_matches(')')));
            format!(
                "SELECT {columns} FROM table({}){} FORMAT {}",
                name.trim(),
                options.settings(false),
                options.format()?
            )
        }
    };
    Ok(Copy { statement, is_in })
}

fn inside(query: &str) -> &str {
    query.trim().strip_prefix('(').and_then(|q| q.trim_end().strip_suffix(')')).unwrap_or(query).trim()
}

#[derive(Default)]
struct Options {
    is_csv: bool,
    has_header: bool,
    delimiter: Option<String>,
    null: Option<String>,
}

impl Options {
    /// Both ways to write them: `WITH (FORMAT csv, HEADER)` and `CSV HEADER`.
    fn read(words: &Words<'_>, from: usize) -> Result<Options> {
        let mut options = Options::default();
        let mut at = from;
        while at < words.count() {
            let word = words.lower(at).unwrap_or_default();
            at += 1;
            match word.as_str() {
                "with" | "(" | ")" | "," | "format" | "as" | "text" => {}
                "csv" => options.is_csv = true,
                "binary" => return Err(Error::not_implemented("COPY in the binary format").hint("FORMAT csv")),
                "header" => {
                    options.has_header = !matches!(words.lower(at).as_deref(), Some("false" | "off"));
                    at += usize::from(matches!(words.lower(at).as_deref(), Some("true" | "on" | "false" | "off")));
                }
                "delimiter" | "null" | "encoding" | "quote" | "escape" => {
                    at += usize::from(words.lower(at).as_deref() == Some("as"));
                    let value = words.string(at).ok_or_else(|| words.wrong(LIKE))?;
                    at += 1;
                    match word.as_str() {
                        "delimiter" => options.delimiter = Some(value),
                        "null" => options.null = Some(value),
                        "encoding" if value.to_ascii_uppercase().replace('-', "") == "UTF8" => {}
                        "quote" | "escape" if value == "\"" => {}
                        other => {
                            let text = format!("COPY with {} '{value}'", other.to_ascii_uppercase());
                            return Err(Error::not_implemented(text));
                        }
                    }
                }
                _ => return Err(words.wrong(LIKE)),
            }
        }
        Ok(options)
    }

    fn format(&self) -> Result<&'static str> {
        match (self.is_csv, self.has_header, self.delimiter.as_deref()) {
            (true, false, _) => Ok("CSV"),
            (true, true, _) => Ok("CSVWithNames"),
            (false, _, Some(d)) if d != "\t" && d != "\\t" => {
                Err(Error::not_implemented("COPY of text with another delimiter").hint("FORMAT csv"))
            }
            (false, false, _) => Ok("TabSeparated"),
            (false, true, _) => Ok("TabSeparatedWithNames"),
        }
    }

    /// What differs from the dialect's formats: in PostgreSQL's CSV nothing stands for NULL.
    fn settings(&self, is_in: bool) -> String {
        let mut list = Vec::new();
        let quote = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
        if self.is_csv {
            if let Some(delimiter) = &self.delimiter {
                list.push(format!("format_csv_delimiter = '{}'", quote(delimiter)));
            }
            let null = self.null.as_deref().unwrap_or_default();
            list.push(format!("format_csv_null_representation = '{}'", quote(null)));
        } else if let Some(null) = &self.null {
            list.push(format!("format_tsv_null_representation = '{}'", quote(null)));
        }
        if is_in {
            // Both end their rows with \n; the client's may end with \r\n.
            list.push("input_format_with_names_use_header = 1".to_string());
        }
        if list.is_empty() { String::new() } else { format!(" SETTINGS {}", list.join(", ")) }
    }
}

/// Pieces that wait for the engine.
pub const PIECES_WAITING_MAX: usize = 4;

/// Where a client's pieces come out as the data of an INSERT.
pub struct Pieces(pub mpsc::Receiver<Result<Bytes>>);

#[async_trait]
impl ByteSource for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self.0.recv().await {
            Some(Ok(piece)) if piece.is_empty() => Ok(None),
            Some(piece) => piece.map(Some),
            // An empty piece says that it was all; without one the connection broke off.
            None => Err(Error::new(Code::QUERY_WAS_CANCELLED, "the client broke off its COPY")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_options() {
        let statement = |text| parse(text).unwrap().statement;
        let csv = "INSERT INTO s (a, b) SETTINGS format_csv_null_representation = '', input_format_with_names_use_header = 1 \
                   FORMAT CSVWithNames";
        assert_eq!(statement("COPY s (a, b) FROM STDIN WITH (FORMAT csv, HEADER true)"), csv);
        assert_eq!(statement("copy s (a, b) from stdin csv header"), csv);
        assert_eq!(
            statement("COPY db.s FROM STDIN"),
            "INSERT INTO db.s SETTINGS input_format_with_names_use_header = 1 FORMAT TabSeparated"
        );
        assert_eq!(statement("COPY (select 1 from x) TO STDOUT"), "select 1 from x FORMAT TabSeparated");
        assert_eq!(
            statement("COPY s (a) TO STDOUT (FORMAT csv, DELIMITER ';')"),
            "SELECT a FROM table(s) SETTINGS format_csv_delimiter = ';', format_csv_null_representation = '' FORMAT CSV"
        );
        assert!(!parse("COPY s TO STDOUT").unwrap().is_in);
    }

    #[test]
    fn what_is_not_built_says_so() {
        for text in [
            "COPY s FROM '/etc/passwd'",
            "COPY s FROM STDIN BINARY",
            "COPY s FROM STDIN (DELIMITER ',')",
            "COPY s TO PROGRAM 'x'",
        ] {
            assert_eq!(parse(text).unwrap_err().code, Code::NOT_IMPLEMENTED, "{text}");
        }
        for text in ["COPY s", "COPY FROM STDIN", "COPY (select 1) FROM STDIN", "COPY s FROM STDIN nonsense"] {
            assert_eq!(parse(text).unwrap_err().code, Code::SYNTAX_ERROR, "{text}");
        }
    }
}
