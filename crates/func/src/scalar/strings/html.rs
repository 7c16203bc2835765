//! `extract_text_from_html`: the text of a page without its markup.
//!
//! Comments, tags and the elements `script` and `style` are left out, CDATA is kept as it is, entities are not decoded. Runs of
//! white space become one space; where markup parted two words, a space stands between them.

use crate::registry::Registry;
use crate::scalar::column::{Texts, texts};
use crate::scalar::define::define;
use hydron_types::LogicalType;
use memchr::{memchr, memmem};

pub(super) fn register(registry: &mut Registry) {
    define(registry, "extract_text_from_html", |call| {
        call.arity(1..=1)?;
        call.need(0, |t| *t == LogicalType::String)?;
        call.returns(LogicalType::String, |args, rows| {
            let page = Texts::of(&args[0])?;
            texts(rows, |row, out| text_of(page.at(row), out))
        })
    });
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

pub(super) fn text_of(mut page: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    while !page.is_empty() {
        let parted = out.len() > start && out.last() != Some(&b' ');
        let end = memchr(b'<', page).unwrap_or(page.len());
        let (text, markup) = page.split_at(end);
        copy_words(text, parted, out);
        page = after_markup(markup, out);
    }
}

/// The words of a text with single spaces between them; one behind them where space stood before markup.
fn copy_words(text: &[u8], parted: bool, out: &mut Vec<u8>) {
    let mut words = text.split(|b| is_space(*b)).filter(|w| !w.is_empty()).peekable();
    if parted && words.peek().is_some() {
        out.push(b' ');
    }
    while let Some(word) = words.next() {
        out.extend_from_slice(word);
        if words.peek().is_some() {
            out.push(b' ');
        }
    }
}

/// What follows the markup that `text` begins with.
fn after_markup<'a>(text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    if let Some(inside) = text.strip_prefix(b"<!--").filter(|inside| !inside.is_empty()) {
        // A comment without an end is text after its last `>`.
        let open = || &inside[memchr::memrchr(b'>', inside).map_or(0, |at| at + 1)..];
        return memmem::find(&inside[1..], b"-->").map_or_else(open, |at| &inside[at + 4..]);
    }
    if let Some(inside) = text.strip_prefix(b"<![CDATA[").filter(|inside| !inside.is_empty()) {
        let Some(end) = memmem::find(inside, b"]]>") else { return inside };
        out.extend_from_slice(&inside[..end]);
        return &inside[end + 3..];
    }
    element(text, b"<script", b"/script")
        .or_else(|| element(text, b"<style", b"/style"))
        .unwrap_or_else(|| after_tag(text))
}

fn after_tag(text: &[u8]) -> &[u8] {
    memchr(b'>', text).map_or(&[], |at| &text[at + 1..])
}

/// What follows an element that is left out with all that is in it; `None` when `text` does not begin with it.
fn element<'a>(text: &'a [u8], open: &[u8], close: &[u8]) -> Option<&'a [u8]> {
    let rest = text.strip_prefix(open)?;
    if !rest.first().is_some_and(|b| is_space(*b) || *b == b'>') {
        return None;
    }
    let mut inside = &rest[memchr(b'>', rest)? + 1..];
    loop {
        let Some(at) = memchr(b'<', inside) else { return Some(&[]) };
        inside = &inside[at + 1..];
        if let Some(data) = inside.strip_prefix(b"![CDATA[") {
            inside = memmem::find(data, b"]]>").map_or(data, |end| &data[end + 3..]);
            continue;
        }
        if let Some(rest) = inside.strip_prefix(close) {
            let spaces = rest.iter().take_while(|b| is_space(**b)).count();
            match rest.get(spaces) {
                None => return Some(&[]),
                Some(b'>') => return Some(&rest[spaces + 1..]),
                Some(_) => inside = rest,
            }
        }
    }
}
