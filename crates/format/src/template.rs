//! Template: a text with places for values, for each row and around all of them. TemplateIgnoreSpaces reads over white space.
//!
//! A place is `${name:Rule}`; `$$` is a dollar. In the text of a row names are columns, in that of the result `data` stands for all
//! rows, and `totals`, `min`, `max`, `rows`, `rows_before_limit`, `time`, `rows_read`, `bytes_read` for what is known of it.

use crate::escaping::{Rule, spaces, trimmed};
use crate::output::{OutputFormat, ResultStats};
use crate::rows::{Frame, Framed, RowReader, Rows, excerpt};
use crate::{FormatOptions, InputFormat};
use hydron_base::{Code, Error, Result, Settings};
use hydron_types::{Batch, Schema};
use std::sync::Arc;

/// `format_template_*`, the texts themselves.
#[derive(Clone, Debug, Default)]
pub struct TemplateOptions {
    pub row: String,
    /// Empty: the rows alone.
    pub resultset: String,
    pub between: String,
}

impl TemplateOptions {
    pub fn from_settings(settings: &Settings) -> TemplateOptions {
        TemplateOptions {
            row: settings.text("format_template_row_format").to_string(),
            resultset: settings.text("format_template_resultset_format").to_string(),
            between: settings.text("format_template_rows_between_delimiter").to_string(),
        }
    }
}

/// A text cut at its places: `texts[0] place[0] texts[1] …`.
#[derive(Debug, PartialEq)]
struct Template {
    texts: Vec<Vec<u8>>,
    places: Vec<Place>,
}

#[derive(Debug, PartialEq)]
struct Place {
    name: String,
    /// `None`: what stands here is skipped when it is read.
    rule: Option<Rule>,
}

impl Template {
    /// Errors: INVALID_TEMPLATE_FORMAT (474).
    fn parse(text: &str) -> Result<Template> {
        let wrong = |what: String| Error::new(Code::INVALID_TEMPLATE_FORMAT, format!("the template is wrong: {what}"));
        let mut template = Template { texts: vec![Vec::new()], places: Vec::new() };
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            template.push(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                template.push("$");
                rest = after;
                continue;
            }
            let inner = rest.strip_prefix('{').ok_or_else(|| wrong("'{' or '$' must follow '$'".to_string()))?;
            let end = inner.find('}').ok_or_else(|| wrong(format!("'}}' is missing after '${{{inner}'")))?;
            let (name, rule) = inner[..end].rsplit_once(':').unwrap_or((&inner[..end], ""));
            let rule = match rule {
                "" | "None" | "Skip" if name.is_empty() || rule == "None" || rule == "Skip" => None,
                "" => Some(Rule::Escaped),
                rule => Some(Rule::parse(rule).map_err(|e| wrong(e.message))?),
            };
            let name = name.trim_matches('`').to_string();
            template.places.push(Place { name, rule });
            template.texts.push(Vec::new());
            rest = &inner[end + 1..];
        }
        template.push(rest);
        Ok(template)
    }

    fn push(&mut self, text: &str) {
        if let Some(last) = self.texts.last_mut() {
            last.extend_from_slice(text.as_bytes());
        }
    }

    /// The template of a row, with the column of each place.
    fn of_row(text: &str, schema: &Schema) -> Result<(Template, Vec<Option<usize>>)> {
        if text.is_empty() {
            let message = "format Template needs the text of a row";
            return Err(Error::new(Code::INVALID_TEMPLATE_FORMAT, message)
                .hint("SETTINGS format_template_row = 'file' or format_template_row_format = '${a:CSV}, ${b:JSON}'"));
        }
        let template = Template::parse(text)?;
        let column = |place: &Place| match (schema.index_of(&place.name), place.rule) {
            (Some(column), _) => Ok(Some(column)),
            (None, None) => Ok(None),
            (None, Some(_)) => {
                let message = format!("the template of a row names column '{}', which is not there", place.name);
                Err(Error::new(Code::INVALID_TEMPLATE_FORMAT, message))
            }
        };
        let columns = template.places.iter().map(column).collect::<Result<_>>()?;
        Ok((template, columns))
    }

    /// The template around the rows and the position of `data` in it.
    fn of_result(text: &str) -> Result<(Template, usize)> {
        let template = Template::parse(if text.is_empty() { "${data}\n" } else { text })?;
        match template.places.iter().position(|p| p.name == "data") {
            Some(at) => Ok((template, at)),
            None => {
                let message = "the template of the result has no ${data}";
                Err(Error::new(Code::INVALID_TEMPLATE_FORMAT, message))
            }
        }
    }
}

pub struct TemplateWriter {
    options: FormatOptions,
    row: Template,
    columns: Vec<Option<usize>>,
    result: Template,
    data: usize,
    rows: u64,
    totals: Vec<u8>,
    least: Vec<u8>,
    greatest: Vec<u8>,
}

impl TemplateWriter {
    pub fn new(schema: &Schema, options: &FormatOptions) -> Result<TemplateWriter> {
        let (row, columns) = Template::of_row(&options.template.row, schema)?;
        let (result, data) = Template::of_result(&options.template.resultset)?;
        Ok(TemplateWriter {
            options: options.clone(),
            row,
            columns,
            result,
            data,
            rows: 0,
            totals: Vec::new(),
            least: Vec::new(),
            greatest: Vec::new(),
        })
    }

    fn rows(&self, batch: &Batch, range: std::ops::Range<usize>, between: bool, out: &mut Vec<u8>) -> Result<()> {
        let mut cells = Vec::with_capacity(self.columns.len());
        for (place, column) in self.row.places.iter().zip(&self.columns) {
            cells.push(match (place.rule, column) {
                (Some(rule), Some(column)) => Some(rule.writer(batch, *column, &self.options)?),
                _ => None,
            });
        }
        for row in range.clone() {
            if between && (self.rows > 0 || row > range.start) {
                out.extend_from_slice(self.options.template.between.as_bytes());
            }
            out.extend_from_slice(&self.row.texts[0]);
            for (cell, text) in cells.iter().zip(&self.row.texts[1..]) {
                if let Some(cell) = cell {
                    cell.write(row, out);
                }
                out.extend_from_slice(text);
            }
        }
        Ok(())
    }
}

impl OutputFormat for TemplateWriter {
    fn content_type(&self) -> &'static str {
        "text/plain; charset=UTF-8"
    }

    fn prefix(&mut self, out: &mut Vec<u8>) -> Result<()> {
        // What is known only at the end cannot stand before the rows; nothing is written in its place.
        self.result.texts[..=self.data].iter().for_each(|text| out.extend_from_slice(text));
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Result<()> {
        self.rows(batch, 0..batch.rows(), true, out)?;
        self.rows += batch.rows() as u64;
        Ok(())
    }

    fn totals(&mut self, batch: &Batch, _: &mut Vec<u8>) -> Result<()> {
        let mut text = Vec::new();
        self.rows(batch, 0..batch.rows(), false, &mut text)?;
        self.totals = text;
        Ok(())
    }

    fn extremes(&mut self, batch: &Batch, _: &mut Vec<u8>) -> Result<()> {
        if batch.rows() >= 2 {
            let (mut least, mut greatest) = (Vec::new(), Vec::new());
            self.rows(batch, 0..1, false, &mut least)?;
            self.rows(batch, 1..2, false, &mut greatest)?;
            (self.least, self.greatest) = (least, greatest);
        }
        Ok(())
    }

    fn suffix(&mut self, stats: &ResultStats, out: &mut Vec<u8>) -> Result<()> {
        let places = self.result.places.iter().zip(&self.result.texts[1..]).enumerate();
        for (at, (place, text)) in places.skip(self.data) {
            match place.name.as_str() {
                _ if at == self.data => {}
                "totals" => out.extend_from_slice(&self.totals),
                "min" => out.extend_from_slice(&self.least),
                "max" => out.extend_from_slice(&self.greatest),
                "rows" => out.extend_from_slice(self.rows.to_string().as_bytes()),
                "rows_before_limit" => {
                    out.extend_from_slice(stats.rows_before_limit.unwrap_or(self.rows).to_string().as_bytes());
                }
                "time" => out.extend_from_slice(stats.elapsed_seconds.to_string().as_bytes()),
                "rows_read" => out.extend_from_slice(stats.rows_read.to_string().as_bytes()),
                "bytes_read" => out.extend_from_slice(stats.bytes_read.to_string().as_bytes()),
                _ => {}
            }
            out.extend_from_slice(text);
        }
        Ok(())
    }
}

pub struct TemplateReader {
    options: FormatOptions,
    row: Template,
    columns: Vec<Option<usize>>,
    before: Vec<u8>,
    /// The text that follows the last row.
    after: Vec<u8>,
    ignores_spaces: bool,
    started: bool,
    rows: u64,
    ended: bool,
}

impl TemplateReader {
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions, ignores_spaces: bool) -> Result<Box<dyn InputFormat>> {
        let (row, columns) = Template::of_row(&options.template.row, schema)?;
        let (mut result, data) = Template::of_result(&options.template.resultset)?;
        if data > 0 {
            return Err(Error::not_implemented("input in format Template with places before ${data}"));
        }
        let after = if options.template.resultset.is_empty() { Vec::new() } else { result.texts.swap_remove(1) };
        let reader = TemplateReader {
            options: options.clone(),
            row,
            columns,
            before: result.texts.swap_remove(0),
            after,
            ignores_spaces,
            started: false,
            rows: 0,
            ended: false,
        };
        Ok(Box::new(Framed::new(reader, Arc::clone(schema), options)))
    }

    fn skip(&self, bytes: &[u8], at: usize) -> usize {
        if self.ignores_spaces { at + spaces(bytes, at) } else { at }
    }

    /// The byte after `text` at `at`; `None`: it may still come.
    fn text(&self, bytes: &[u8], at: usize, text: &[u8], last: bool) -> Result<Option<usize>> {
        let text = if self.ignores_spaces { trimmed(text) } else { text };
        let at = self.skip(bytes, at);
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.starts_with(text) {
            return Ok(Some(self.skip(bytes, at + text.len())));
        }
        if !last && text.starts_with(rest) {
            return Ok(None);
        }
        let message = format!("'{}' was expected, here is '{}'", excerpt(text), excerpt(rest));
        Err(Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, message))
    }

    /// The values of the row at `from` and where it ends; `None`: it goes on.
    fn values<'a>(&self, bytes: &'a [u8], from: usize, last: bool) -> Result<Option<(Vec<&'a [u8]>, usize)>> {
        let Some(mut at) = self.text(bytes, from, &self.row.texts[0], last)? else { return Ok(None) };
        let mut values = Vec::with_capacity(self.row.places.len());
        for (i, (place, text)) in self.row.places.iter().zip(&self.row.texts[1..]).enumerate() {
            let is_last = i + 1 == self.row.places.len();
            let text = if self.ignores_spaces { trimmed(text) } else { text };
            let between = self.options.template.between.as_bytes();
            let ends: [&[u8]; 3] = match text.is_empty() && is_last {
                true => [between, &self.after, if self.after.is_empty() { b"\n" } else { b"" }],
                false => [text, b"", b""],
            };
            let rule = place.rule.unwrap_or(Rule::Raw);
            let end = match rule.end(bytes, at, &ends) {
                Some(end) => end,
                None if last && is_last && text.is_empty() => bytes.len(),
                None if last => {
                    let message = format!("'{}' was expected after '{}'", excerpt(text), excerpt(&bytes[at..]));
                    return Err(Error::new(Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED, message));
                }
                None => return Ok(None),
            };
            let value = &bytes[at..end];
            values.push(if self.ignores_spaces { trimmed(value) } else { value });
            at = end + text.len();
            if !is_last {
                at = self.skip(bytes, at);
            }
        }
        Ok(Some((values, at)))
    }
}

impl RowReader for TemplateReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        if self.ended {
            return Ok(if bytes.is_empty() { Frame::More } else { Frame::Skip(bytes.len()) });
        }
        if !self.started {
            let Some(next) = self.text(bytes, 0, &self.before, last)? else { return Ok(Frame::More) };
            self.started = true;
            return Ok(Frame::Skip(next));
        }
        let begin = self.skip(bytes, 0);
        let rest = &bytes[begin..];
        if rest.is_empty() {
            return Ok(if last && !bytes.is_empty() { Frame::Skip(bytes.len()) } else { Frame::More });
        }
        let after = if self.ignores_spaces { trimmed(&self.after) } else { &self.after };
        let ends = match after.is_empty() {
            true => last && rest.iter().all(u8::is_ascii_whitespace),
            false => rest.starts_with(after),
        };
        if ends {
            self.ended = true;
            return Ok(Frame::Skip(bytes.len()));
        }
        if !last && !after.is_empty() && after.starts_with(rest) {
            return Ok(Frame::More);
        }
        let mut at = 0;
        if self.rows > 0 {
            let Some(next) = self.text(bytes, 0, self.options.template.between.as_bytes(), last)? else {
                return Ok(Frame::More);
            };
            at = next;
        }
        // A delimiter after the last row is no row.
        if bytes[at..].is_empty() || after.is_empty() && last && bytes[at..].iter().all(u8::is_ascii_whitespace) {
            return Ok(if last { Frame::Skip(bytes.len()) } else { Frame::More });
        }
        match self.values(bytes, at, last)? {
            Some((_, 0)) => {
                let message = "the template of a row takes no text, so rows have no ends";
                Err(Error::new(Code::INVALID_TEMPLATE_FORMAT, message))
            }
            Some((_, next)) => {
                self.rows += 1;
                Ok(Frame::Row { start: at, end: next, next })
            }
            None => Ok(Frame::More),
        }
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        let Some((values, _)) = self.values(row, 0, true)? else { return Ok(()) };
        for ((value, column), place) in values.into_iter().zip(&self.columns).zip(&self.row.places) {
            if let (Some(column), Some(rule)) = (*column, place.rule) {
                rule.read(rows, column, value, &self.options)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_its_places() {
        let template = Template::parse("a $$ ${x:CSV}, ${`y`:JSON} ${:Skip}").unwrap();
        assert_eq!(template.texts, [&b"a $ "[..], b", ", b" ", b""]);
        let places: Vec<_> = template.places.iter().map(|p| (p.name.as_str(), p.rule)).collect();
        assert_eq!(places, [("x", Some(Rule::Csv)), ("y", Some(Rule::Json)), ("", None)]);
        for wrong in ["$x", "${x", "${x:Other}"] {
            assert_eq!(Template::parse(wrong).unwrap_err().code, Code::INVALID_TEMPLATE_FORMAT, "{wrong}");
        }
    }
}
