//! How wide a text is on a terminal.

use unicode_width::UnicodeWidthChar;

/// Columns that `text` takes when `prefix` columns stand before it. Bytes that are not UTF-8, control characters and
/// terminal escapes take none; a tab goes to the next multiple of 8.
pub(crate) fn text_width(text: &[u8], prefix: usize) -> usize {
    if text.iter().all(|b| (0x20..0x7F).contains(b)) {
        return text.len();
    }
    let mut width = 0;
    walk(text, |_, character, escape| {
        width += step(character, escape, prefix + width);
        true
    });
    width
}

/// The length of the longest start of `text` that takes at most `limit` columns.
pub(crate) fn bytes_before_width(text: &[u8], limit: usize) -> usize {
    let mut width = 0;
    let mut end = text.len();
    walk(text, |at, character, escape| {
        width += step(character, escape, width);
        if width > limit {
            end = at;
        }
        width <= limit
    });
    end
}

fn step(character: char, in_escape: bool, column: usize) -> usize {
    match character {
        _ if in_escape => 0,
        '\t' => 8 - column % 8,
        other => other.width().unwrap_or(0),
    }
}

/// Calls `visit` with the offset of each character, and whether it belongs to an escape sequence, until it answers false.
fn walk(text: &[u8], mut visit: impl FnMut(usize, char, bool) -> bool) {
    let mut at = 0;
    let mut in_escape = false;
    for chunk in text.utf8_chunks() {
        for (offset, character) in chunk.valid().char_indices() {
            let starts = character == '\x1b';
            in_escape |= starts;
            if !visit(at + offset, character, in_escape) {
                return;
            }
            // `ESC [ 1 ; 31 m`: digits and punctuation, then one letter.
            let ends = ('@'..='~').contains(&character) && character != '[';
            in_escape &= starts || !ends;
        }
        at += chunk.valid().len() + chunk.invalid().len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_counts_what_a_terminal_shows() {
        assert_eq!(text_width("привет".as_bytes(), 0), 6);
        assert_eq!(text_width("日本".as_bytes(), 0), 4);
        assert_eq!(text_width(b"a\tb", 2), 7);
        assert_eq!(text_width(b"\x1b[31;1mred\x1b[0m", 0), 3);
        assert_eq!(text_width(b"\xff\xfe", 0), 0);
        assert_eq!(bytes_before_width("привет".as_bytes(), 2), 4);
    }
}
