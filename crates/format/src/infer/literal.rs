//! What a text says it is: numbers, times, and lists, tuples and maps in brackets.
//!
//! In: the text of a field of TSV or CSV, or rows of VALUES. Out: guesses. Promise: brackets nest at most [`DEPTH_MAX`] deep; what
//! cannot be read as a literal is text.

use super::guess::{Guess, InferOptions, Kind, list_of};

const DEPTH_MAX: usize = 64;

/// A field of TSV or CSV; in quotes it is no number.
pub fn of_field(text: &str, quoted: bool, options: &InferOptions) -> Guess {
    if text.is_empty() {
        return Guess { kind: quoted.then_some(Kind::Text), has_null: false };
    }
    if text.starts_with(['[', '(', '{']) {
        let mut reader = Reader { rest: text, options };
        if let Some(guess) = reader.value(0)
            && reader.rest.trim().is_empty()
        {
            return guess;
        }
    }
    let word = match text {
        "true" | "false" if !quoted => Some(Kind::Bool),
        _ if !quoted => number(text, options),
        _ => None,
    };
    Guess::of(word.or_else(|| time(text, options)).unwrap_or(Kind::Text))
}

pub fn number(text: &str, options: &InferOptions) -> Option<Kind> {
    // What Rust reads as a number beyond digits: `inf`, `nan`, `infinity`.
    let is_digital = text.bytes().any(|b| b.is_ascii_digit());
    match () {
        () if !is_digital => matches!(text, "inf" | "-inf" | "nan").then_some(Kind::Float),
        () if options.integers && text.parse::<i64>().is_ok() => Some(Kind::Int),
        () if options.integers && text.parse::<u64>().is_ok() => Some(Kind::UInt),
        () => text.parse::<f64>().is_ok().then_some(Kind::Float),
    }
}

pub fn time(text: &str, options: &InferOptions) -> Option<Kind> {
    let shape: String = text.chars().take(19).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let year = text.get(..4)?.parse::<u16>().ok()?;
    let month_and_day = (text.get(5..7)?.parse::<u8>().ok()?, text.get(8..10)?.parse::<u8>().ok()?);
    if !matches!(month_and_day, (1..=12, 1..=31)) {
        return None;
    }
    let rest = text.get(19..).unwrap_or_default();
    let is_fraction = rest.starts_with('.') && rest.len() > 1 && rest[1..].bytes().all(|b| b.is_ascii_digit());
    match shape.as_str() {
        "0000-00-00" if options.dates && (1970..2149).contains(&year) => Some(Kind::Date),
        "0000-00-00 00:00:00" if options.times && rest.is_empty() && (1970..2106).contains(&year) => Some(Kind::Time),
        "0000-00-00 00:00:00" if options.times && (rest.is_empty() || is_fraction) && (1900..2262).contains(&year) => {
            Some(Kind::FineTime)
        }
        _ => None,
    }
}

/// The rows of VALUES; `None` where one is not of literals alone, or does not end.
pub fn rows<'a>(text: &'a str, options: &'a InferOptions) -> impl Iterator<Item = Option<Vec<Guess>>> + 'a {
    let mut reader = Reader { rest: text, options };
    let mut failed = false;
    std::iter::from_fn(move || {
        reader.rest = reader.rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == ';');
        if failed || reader.rest.is_empty() {
            return None;
        }
        let row = reader.eat('(').then(|| reader.items(')', 0)).flatten();
        failed = row.is_none();
        Some(row)
    })
}

struct Reader<'a> {
    rest: &'a str,
    options: &'a InferOptions,
}

impl Reader<'_> {
    fn eat(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize) -> Option<Guess> {
        if depth > DEPTH_MAX {
            return None;
        }
        if self.eat('[') {
            return Some(Guess::of(list_of(self.items(']', depth)?)));
        }
        if self.eat('(') {
            return Some(Guess::of(Kind::Tuple(self.items(')', depth)?)));
        }
        if self.eat('{') {
            let mut value = Guess::default();
            if self.eat('}') {
                return Some(Guess::of(Kind::Map(Box::new(value))));
            }
            loop {
                self.value(depth + 1)?;
                self.eat(':').then_some(())?;
                value.join(self.value(depth + 1)?);
                if self.eat('}') {
                    return Some(Guess::of(Kind::Map(Box::new(value))));
                }
                self.eat(',').then_some(())?;
            }
        }
        if self.eat('\'') {
            return self.string();
        }
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
        let end = self.rest.find(|c| !is_of_word(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            w if w.eq_ignore_ascii_case("null") => Some(Guess::null()),
            w if w.eq_ignore_ascii_case("true") || w.eq_ignore_ascii_case("false") => Some(Guess::of(Kind::Bool)),
            w => number(w, self.options).map(Guess::of),
        }
    }

    /// Behind an opening bracket, up to its end.
    fn items(&mut self, end: char, depth: usize) -> Option<Vec<Guess>> {
        let mut items = Vec::new();
        if self.eat(end) {
            return Some(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.eat(end) {
                return Some(items);
            }
            self.eat(',').then_some(())?;
        }
    }

    /// Behind its opening quote.
    fn string(&mut self) -> Option<Guess> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.extend(chars.next().map(|(_, c)| c)),
                '\'' if chars.peek().is_some_and(|(_, c)| *c == '\'') => {
                    chars.next();
                    text.push(c);
                }
                '\'' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(Guess::of(time(&text, self.options).unwrap_or(Kind::Text)));
                }
                c => text.push(c),
            }
        }
        None
    }
}
