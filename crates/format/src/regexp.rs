//! Regexp: each line is matched as a whole, its groups are the columns in their order.

use crate::escaping::Rule;
use crate::rows::{Frame, Framed, RowReader, Rows, excerpt};
use crate::tsv::Lines;
use crate::{FormatOptions, InputFormat};
use hydron_base::{Code, Error, Result, Settings};
use hydron_types::Schema;
use regex::bytes::{Regex, RegexBuilder};
use std::sync::Arc;

/// Bytes that a compiled expression may take.
const COMPILED_BYTES_MAX: usize = 10 << 20;

/// `format_regexp*`.
#[derive(Clone, Debug, Default)]
pub struct RegexpOptions {
    pub expression: String,
    pub rule: String,
    pub skips_unmatched: bool,
}

impl RegexpOptions {
    pub fn from_settings(settings: &Settings) -> RegexpOptions {
        RegexpOptions {
            expression: settings.text("format_regexp").to_string(),
            rule: settings.text("format_regexp_escaping_rule").to_string(),
            skips_unmatched: settings.bool("format_regexp_skip_unmatched"),
        }
    }
}

pub struct RegexpReader {
    lines: Lines,
    expression: Regex,
    rule: Rule,
    options: FormatOptions,
    columns: usize,
}

impl RegexpReader {
    /// Errors: BAD_ARGUMENTS without an expression; CANNOT_COMPILE_REGEXP (427).
    pub fn open(schema: &Arc<Schema>, options: &FormatOptions) -> Result<Box<dyn InputFormat>> {
        let text = &options.regexp.expression;
        if text.is_empty() {
            let error = Error::bad_arguments("format Regexp needs an expression");
            return Err(error.hint("SETTINGS format_regexp = '(\\\\S+) (\\\\S+)'"));
        }
        let whole = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(COMPILED_BYTES_MAX).unicode(false).build();
        let expression = whole.map_err(|e| {
            Error::new(Code::CANNOT_COMPILE_REGEXP, format!("format_regexp '{text}' is no expression: {e}"))
        })?;
        let groups = expression.captures_len() - 1;
        if groups != schema.len() {
            let message = format!("format_regexp has {groups} groups, {} columns are filled", schema.len());
            return Err(Error::new(Code::INCORRECT_DATA, message));
        }
        let reader = RegexpReader {
            lines: Lines::default(),
            expression,
            rule: Rule::parse(&options.regexp.rule)?,
            options: options.clone(),
            columns: schema.len(),
        };
        Ok(Box::new(Framed::new(reader, Arc::clone(schema), options)))
    }
}

impl RowReader for RegexpReader {
    fn frame(&mut self, bytes: &[u8], last: bool) -> Result<Frame> {
        let frame = self.lines.frame(bytes, last, false);
        let Frame::Row { start, end, next } = frame else { return Ok(frame) };
        let end = if bytes[start..end].ends_with(b"\r") { end - 1 } else { end };
        if self.options.regexp.skips_unmatched && !self.expression.is_match(&bytes[start..end]) {
            return Ok(Frame::Skip(next));
        }
        Ok(Frame::Row { start, end, next })
    }

    fn row(&mut self, row: &[u8], rows: &mut Rows) -> Result<()> {
        let Some(groups) = self.expression.captures(row) else {
            let message = format!("the line does not match format_regexp: '{}'", excerpt(row));
            return Err(Error::new(Code::INCORRECT_DATA, message).hint("format_regexp_skip_unmatched = 1"));
        };
        for column in 0..self.columns {
            match groups.get(column + 1) {
                Some(group) => self.rule.read(rows, column, group.as_bytes(), &self.options)?,
                None => rows.default(column),
            }
        }
        Ok(())
    }
}
