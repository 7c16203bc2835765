//! Text to tokens, one at a time, without copying.
//!
//! In: the query text and a byte offset. Out: tokens as kinds with spans. Promise: linear time, and never an error of
//! its own: what cannot be read becomes an [`TokenKind::Bad`] token that the parser reports only if it gets there, so
//! that the data of an INSERT after the statement may be anything.

use crate::ast::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword or a bare identifier; may start with a digit (`99_stream`) and contain `$`.
    Word,
    /// `` `a` `` or `"a"`
    Quoted,
    /// Decimal, `0x…`, `0b…`, with fraction and exponent, without a sign.
    Number,
    /// `5s`, `10ms`, `1M`: digits and a unit.
    Interval,
    /// `'…'`
    String,
    /// `$tag$…$tag$`
    Heredoc,
    LParen,
    RParen,
    LBracket,
    RBracket,
    LBrace,
    RBrace,
    Comma,
    Semicolon,
    Dot,
    Star,
    Plus,
    Minus,
    Slash,
    Percent,
    Arrow,
    Question,
    Colon,
    DoubleColon,
    Equals,
    NotEquals,
    Less,
    Greater,
    LessOrEquals,
    GreaterOrEquals,
    NotDistinct,
    Concat,
    Pipe,
    At,
    DoubleAt,
    End,
    Bad(Defect),
}

/// Why a piece of text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    Character,
    UnclosedString,
    UnclosedQuote,
    UnclosedComment,
    Number,
}

impl Defect {
    pub fn text(self) -> &'static str {
        match self {
            Defect::Character => "unrecognized character",
            Defect::UnclosedString => "single quoted string is not closed",
            Defect::UnclosedQuote => "quoted identifier is not closed",
            Defect::UnclosedComment => "multi-line comment is not closed",
            Defect::Number => "wrong number",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub kind: TokenKind,
    pub start: u32,
    pub end: u32,
}

impl Token {
    pub fn span(self) -> Span {
        Span { start: self.start, end: self.end }
    }
}

/// Units of interval tokens, longest first.
const INTERVAL_UNITS: [&str; 11] = ["ns", "us", "ms", "s", "m", "h", "d", "w", "M", "q", "y"];

/// Opening `$tag$` without a closing one cost a scan to the end of the text each. More than this and no further one is
/// looked for, which keeps the lexer linear on hostile text.
const HEREDOC_MISSES_MAX: usize = 64;

/// Bytes of the tag of a heredoc.
const HEREDOC_TAG_MAX: usize = 256;

pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// The last token's kind: `t.1` and `1.5` differ only by what stands before the dot.
    last: TokenKind,
    heredoc_misses: usize,
}

impl<'a> Lexer<'a> {
    /// Starts at byte `offset`, which must be a character boundary.
    pub fn new(text: &'a str, offset: usize) -> Lexer<'a> {
        Lexer { text: text.as_bytes(), at: offset, last: TokenKind::Semicolon, heredoc_misses: 0 }
    }

    /// The next token that is neither space nor comment. At the end of the text `End`, again and again.
    pub fn next_token(&mut self) -> Token {
        if let Some(bad) = self.skip_blank() {
            return bad;
        }
        let start = self.at;
        let kind = self.scan();
        self.last = kind;
        Token { kind, start: start as u32, end: self.at as u32 }
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn skip_blank(&mut self) -> Option<Token> {
        loop {
            match self.byte(0) {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => self.at += 1,
                0xc2 if self.byte(1) == 0xa0 => self.at += 2,
                0xe2 | 0xe3 | 0xef if wide_space([self.byte(0), self.byte(1), self.byte(2)]) => self.at += 3,
                b'-' if self.byte(1) == b'-' => self.skip_line(),
                b'/' if self.byte(1) == b'/' => self.skip_line(),
                b'#' if matches!(self.byte(1), b'!' | b' ') => self.skip_line(),
                b'/' if self.byte(1) == b'*' => {
                    let start = self.at;
                    if !self.skip_block() {
                        self.at = self.text.len();
                        let kind = TokenKind::Bad(Defect::UnclosedComment);
                        return Some(Token { kind, start: start as u32, end: self.at as u32 });
                    }
                }
                0 if self.at < self.text.len() => self.at += 1,
                _ => return None,
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |n| n + 1);
    }

    /// Steps over a comment with the comments inside it; false if it is never closed.
    fn skip_block(&mut self) -> bool {
        let mut depth = 0usize;
        while self.at < self.text.len() {
            match (self.byte(0), self.byte(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return true;
                    }
                }
                _ => self.at += 1,
            }
        }
        false
    }

    fn scan(&mut self) -> TokenKind {
        if self.at >= self.text.len() {
            return TokenKind::End;
        }
        match self.byte(0) {
            b'0'..=b'9' => self.scan_number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.scan_word(),
            b'\'' => self.scan_quoted(b'\'', TokenKind::String, Defect::UnclosedString),
            b'"' => self.scan_quoted(b'"', TokenKind::Quoted, Defect::UnclosedQuote),
            b'`' => self.scan_quoted(b'`', TokenKind::Quoted, Defect::UnclosedQuote),
            b'$' => self.scan_dollar(),
            b'.' if self.byte(1).is_ascii_digit() && !self.after_operand() => self.scan_number(),
            _ => self.scan_symbol(),
        }
    }

    fn after_operand(&self) -> bool {
        use TokenKind::*;
        matches!(self.last, Word | Quoted | Number | RParen | RBracket | RBrace | Dot)
    }

    fn scan_symbol(&mut self) -> TokenKind {
        use TokenKind::*;
        let (kind, length) = match (self.byte(0), self.byte(1), self.byte(2)) {
            (b'<', b'=', b'>') => (NotDistinct, 3),
            (b'-', b'>', _) => (Arrow, 2),
            (b':', b':', _) => (DoubleColon, 2),
            (b'=', b'=', _) => (Equals, 2),
            (b'!', b'=', _) | (b'<', b'>', _) => (NotEquals, 2),
            (b'<', b'=', _) => (LessOrEquals, 2),
            (b'>', b'=', _) => (GreaterOrEquals, 2),
            (b'|', b'|', _) => (Concat, 2),
            (b'@', b'@', _) => (DoubleAt, 2),
            (b'(', ..) => (LParen, 1),
            (b')', ..) => (RParen, 1),
            (b'[', ..) => (LBracket, 1),
            (b']', ..) => (RBracket, 1),
            (b'{', ..) => (LBrace, 1),
            (b'}', ..) => (RBrace, 1),
            (b',', ..) => (Comma, 1),
            (b';', ..) => (Semicolon, 1),
            (b'.', ..) => (Dot, 1),
            (b'*', ..) => (Star, 1),
            (b'+', ..) => (Plus, 1),
            (b'-', ..) => (Minus, 1),
            (b'/', ..) => (Slash, 1),
            (b'%', ..) => (Percent, 1),
            (b'?', ..) => (Question, 1),
            (b':', ..) => (Colon, 1),
            (b'=', ..) => (Equals, 1),
            (b'<', ..) => (Less, 1),
            (b'>', ..) => (Greater, 1),
            (b'|', ..) => (Pipe, 1),
            (b'@', ..) => (At, 1),
            (first, ..) => (Bad(Defect::Character), utf8_length(first)),
        };
        self.at = (self.at + length).min(self.text.len());
        kind
    }

    fn scan_word(&mut self) -> TokenKind {
        while is_word(self.byte(0)) {
            self.at += 1;
        }
        TokenKind::Word
    }

    fn scan_quoted(&mut self, quote: u8, kind: TokenKind, defect: Defect) -> TokenKind {
        self.at += 1;
        while self.at < self.text.len() {
            let b = self.byte(0);
            if b == b'\\' {
                self.at += 2;
            } else if b != quote {
                self.at += 1;
            } else if self.byte(1) == quote {
                self.at += 2;
            } else {
                self.at += 1;
                return kind;
            }
        }
        self.at = self.text.len();
        TokenKind::Bad(defect)
    }

    /// `$tag$ … $tag$`, or a word that starts with `$`.
    fn scan_dollar(&mut self) -> TokenKind {
        let start = self.at;
        let limit = self.text.len().min(start + 1 + HEREDOC_TAG_MAX);
        let name = self.text[start + 1..limit].iter().position(|b| *b == b'$');
        if let Some(length) = name.filter(|_| self.heredoc_misses < HEREDOC_MISSES_MAX) {
            let body = start + length + 2;
            let tag = &self.text[start..body];
            if let Some(found) = find(&self.text[body..], tag) {
                self.at = body + found + tag.len();
                return TokenKind::Heredoc;
            }
            self.heredoc_misses += 1;
        }
        self.scan_word()
    }

    fn scan_number(&mut self) -> TokenKind {
        let start = self.at;
        if self.last == TokenKind::Dot {
            return self.scan_after_dot();
        }
        if self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X') && self.byte(2).is_ascii_hexdigit() {
            self.at += 2;
            self.skip_while(|b| b.is_ascii_hexdigit());
            if self.byte(0) == b'.' && self.byte(1).is_ascii_hexdigit() {
                self.at += 1;
                self.skip_while(|b| b.is_ascii_hexdigit());
            }
            self.skip_exponent(b'p');
            return self.end_number(start);
        }
        if self.byte(0) == b'0' && matches!(self.byte(1), b'b' | b'B') && matches!(self.byte(2), b'0' | b'1') {
            self.at += 2;
            self.skip_while(|b| matches!(b, b'0' | b'1'));
            return self.end_number(start);
        }
        self.skip_while(|b| b.is_ascii_digit());
        if self.byte(0) != b'.' && self.at_interval_unit() {
            self.skip_while(is_word);
            return TokenKind::Interval;
        }
        // `1.` is a number, `1..2` is not, `1.a` is left to the parser.
        if self.byte(0) == b'.' && self.byte(1) != b'.' {
            self.at += 1;
            self.skip_while(|b| b.is_ascii_digit());
        }
        self.skip_exponent(b'e');
        self.end_number(start)
    }

    /// After a dot only digits are a number: in `t.1.2` there are two accesses. Word characters make it a name.
    fn scan_after_dot(&mut self) -> TokenKind {
        self.skip_while(|b| b.is_ascii_digit());
        if is_word(self.byte(0)) {
            return self.scan_word();
        }
        TokenKind::Number
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.at < self.text.len() && wanted(self.text[self.at]) {
            self.at += 1;
        }
    }

    fn skip_exponent(&mut self, letter: u8) {
        if self.byte(0).to_ascii_lowercase() != letter {
            return;
        }
        let signed = usize::from(matches!(self.byte(1), b'+' | b'-'));
        if self.byte(1 + signed).is_ascii_digit() {
            self.at += 1 + signed;
            self.skip_while(|b| b.is_ascii_digit());
        }
    }

    fn at_interval_unit(&self) -> bool {
        let rest = &self.text[self.at..];
        INTERVAL_UNITS
            .iter()
            .any(|unit| rest.starts_with(unit.as_bytes()) && !rest.get(unit.len()).is_some_and(|b| is_word(*b)))
    }

    /// Word characters right after a number make the whole a name (`1alias`) if it consists of word characters only.
    fn end_number(&mut self, start: usize) -> TokenKind {
        if !is_word(self.byte(0)) {
            return TokenKind::Number;
        }
        self.skip_while(is_word);
        if self.text[start..self.at].iter().all(|b| is_word(*b)) {
            TokenKind::Word
        } else {
            TokenKind::Bad(Defect::Number)
        }
    }
}

/// The spaces and byte order mark of Unicode that take three bytes in UTF-8.
fn wide_space(bytes: [u8; 3]) -> bool {
    std::str::from_utf8(&bytes)
        .is_ok_and(|s| s.chars().all(|c| c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}')))
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'$'
}

fn utf8_length(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(n) = haystack[from..].iter().position(|b| *b == first) {
        if haystack[from + n..].starts_with(needle) {
            return Some(from + n);
        }
        from += n + 1;
    }
    None
}

/// The bytes of a quoted token with escapes resolved: `\n`-style, `\xHH`, doubled quotes. An unknown escape keeps its
/// backslash, as in ClickHouse.
pub fn unquote(token: &str) -> Vec<u8> {
    let bytes = token.as_bytes();
    let Some(quote) = bytes.first().copied() else { return Vec::new() };
    let inner = &bytes[1..bytes.len().saturating_sub(1).max(1)];
    let mut out = Vec::with_capacity(inner.len());
    let mut i = 0;
    while i < inner.len() {
        match inner[i] {
            b'\\' if i + 1 < inner.len() => {
                i += 1;
                match inner[i] {
                    b'n' => out.push(b'\n'),
                    b't' => out.push(b'\t'),
                    b'r' => out.push(b'\r'),
                    b'b' => out.push(8),
                    b'f' => out.push(0x0c),
                    b'v' => out.push(0x0b),
                    b'a' => out.push(7),
                    b'e' => out.push(0x1b),
                    b'0' => out.push(0),
                    b'N' => {}
                    b'x' if i + 2 < inner.len() && hex(inner[i + 1]).is_some() && hex(inner[i + 2]).is_some() => {
                        out.push(hex(inner[i + 1]).unwrap_or(0) * 16 + hex(inner[i + 2]).unwrap_or(0));
                        i += 2;
                    }
                    b @ (b'\\' | b'\'' | b'"' | b'`' | b'/' | b'=') => out.push(b),
                    b => out.extend([b'\\', b]),
                }
            }
            b if b == quote && inner.get(i + 1) == Some(&quote) => {
                out.push(quote);
                i += 1;
            }
            b => out.push(b),
        }
        i += 1;
    }
    out
}

fn hex(b: u8) -> Option<u8> {
    (b as char).to_digit(16).map(|d| d as u8)
}

/// The text between the tags of a heredoc token.
pub fn heredoc_body(token: &str) -> &str {
    let tag = token[1..].find('$').map_or(0, |n| n + 2);
    token.get(tag..token.len().saturating_sub(tag)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use TokenKind::*;

    fn lex(text: &str) -> Vec<(TokenKind, &str)> {
        let mut lexer = Lexer::new(text, 0);
        let mut tokens = Vec::new();
        loop {
            let token = lexer.next_token();
            if token.kind == End {
                return tokens;
            }
            tokens.push((token.kind, token.span().of(text)));
        }
    }

    #[test]
    fn intervals_are_one_token_and_their_case_matters() {
        assert_eq!(lex("5s 5m 5M 10ms"), [(Interval, "5s"), (Interval, "5m"), (Interval, "5M"), (Interval, "10ms")]);
        assert_eq!(lex("5S"), [(Word, "5S")]);
        assert_eq!(lex("1e5 0x1d 1day"), [(Number, "1e5"), (Number, "0x1d"), (Word, "1day")]);
        assert_eq!(lex("1.5s"), [(Bad(Defect::Number), "1.5s")]);
    }

    #[test]
    fn a_dot_is_access_after_an_operand_and_a_number_elsewhere() {
        assert_eq!(lex("t.1.2"), [(Word, "t"), (Dot, "."), (Number, "1"), (Dot, "."), (Number, "2")]);
        assert_eq!(lex("1.5,.5"), [(Number, "1.5"), (Comma, ","), (Number, ".5")]);
        assert_eq!(lex("db.99_s"), [(Word, "db"), (Dot, "."), (Word, "99_s")]);
        assert_eq!(lex("1alias1"), [(Word, "1alias1")]);
    }

    #[test]
    fn heredocs_need_their_closing_tag() {
        assert_eq!(lex("$a$ ; '$b$ $a$"), [(Heredoc, "$a$ ; '$b$ $a$")]);
        assert_eq!(lex("$alias$name$"), [(Word, "$alias$name$")]);
        assert_eq!(heredoc_body("$$ x $$"), " x ");
    }

    #[test]
    fn comments_and_unclosed_things() {
        assert_eq!(lex("1 -- x\n/* a /* b */ c */ 2 #! z"), [(Number, "1"), (Number, "2")]);
        assert_eq!(lex("'a"), [(Bad(Defect::UnclosedString), "'a")]);
        assert_eq!(lex("/* a"), [(Bad(Defect::UnclosedComment), "/* a")]);
        assert_eq!(lex("`a"), [(Bad(Defect::UnclosedQuote), "`a")]);
        assert_eq!(lex("é"), [(Bad(Defect::Character), "é")]);
    }

    #[test]
    fn quotes_are_resolved() {
        assert_eq!(unquote(r"'a\'b''c\n\x41\d'"), b"a'b'c\nA\\d");
        assert_eq!(unquote("`a``b`"), b"a`b");
        assert_eq!(unquote("''"), b"");
    }
}
