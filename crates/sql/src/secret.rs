//! Secrets in statements: what must not be kept, shown or logged with a query's text.
//!
//! In: a text, whole or cut off, correct or not. Out: the same text with `[HIDDEN]` where a password, token or key
//! stood. Promise: never an error; what is no secret by its place or its name stays as it is. A secret is
//!
//! * the text after `IDENTIFIED … BY`, and after HASH and SALT there;
//! * the value of a name that says so (`password`, `api_key`, `sasl_password`, …) after `=`, `:` or a space;
//! * the arguments of functions that take credentials (`mysql`, `s3`, `encrypt`, …) at their place;
//! * inside any string: the password of a URL, `name=value` and `"name": "value"` with such a name, `Bearer …`.

use crate::lexer::{Defect, Lexer, Token, TokenKind, unquote};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "[HIDDEN]";

// Shorter secrets are not looked for in other texts: an error would lose its letters and keep its secret.
const FINDABLE_BYTES_MIN: usize = 3;

// Tokens between IDENTIFIED and its text: `IDENTIFIED WITH sha256_hash BY HASH '…' SALT '…'`.
const IDENTIFIED_REACH: usize = 8;

/// `text` without its secrets.
pub fn mask(text: &str) -> Cow<'_, str> {
    replace(text, &find(text))
}

/// The secrets of one statement, to be taken out of texts that may quote it: errors above all.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Vec<Box<str>>,
}

/// The first `end` bytes of `text`, masked, and the secrets of all of it.
pub fn mask_start(text: &str, end: usize) -> (String, Secrets) {
    let found = find(text);
    let mut kept: Vec<Range<usize>> = found.iter().filter(|r| r.start < end).cloned().collect();
    kept.iter_mut().for_each(|r| r.end = r.end.min(end));
    (replace(&text[..end], &kept).into_owned(), Secrets::from_ranges(text, &found))
}

impl Secrets {
    pub fn of(text: &str) -> Secrets {
        Secrets::from_ranges(text, &find(text))
    }

    fn from_ranges(text: &str, ranges: &[Range<usize>]) -> Secrets {
        let mut values: Vec<Box<str>> = Vec::new();
        for range in ranges {
            let raw = &text[range.clone()];
            // The tree holds the text without its escapes, the statement with them.
            let plain = String::from_utf8(unquote(&format!("'{raw}'"))).unwrap_or_default();
            for value in [raw, plain.as_str()] {
                if !value.is_empty() && !values.iter().any(|v| **v == *value) {
                    values.push(value.into());
                }
            }
        }
        // A longer one may contain a shorter one.
        values.sort_by_key(|v| std::cmp::Reverse(v.len()));
        Secrets { values }
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// `text` with `[HIDDEN]` for each secret that stands in it.
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = Cow::Borrowed(text);
        for value in self.values.iter().filter(|v| v.len() >= FINDABLE_BYTES_MIN) {
            if out.contains(&**value) {
                out = Cow::Owned(out.replace(&**value, HIDDEN));
            }
        }
        out
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.values.len())
    }
}

fn replace<'a>(text: &'a str, ranges: &[Range<usize>]) -> Cow<'a, str> {
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        out.push_str(&text[at..range.start]);
        out.push_str(HIDDEN);
        at = range.end;
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}

/// Places of the secrets, in order, without overlap.
fn find(text: &str) -> Vec<Range<usize>> {
    if !may_have_secrets(text) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut walk = Walk { text, tokens: Vec::new(), calls: Vec::new() };
    let mut lexer = Lexer::new(text, 0);
    let mut next = lexer.next_token();
    while next.kind != TokenKind::End {
        let token = std::mem::replace(&mut next, lexer.next_token());
        walk.look(token, next, &mut found);
    }
    found.retain(|r| !r.is_empty() && &text[r.clone()] != HIDDEN);
    found
}

/// One look at each byte: most statements hold none of these.
fn may_have_secrets(text: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|at| {
        let signs: &[&str] = match bytes[at] | 0x20 {
            b'a' => &["auth", "azure"],
            b'b' => &["bearer"],
            b'c' => &["cred", "crypt", "cosn"],
            b'g' => &["gcs"],
            b'h' => &["hmac"],
            b'i' => &["identified"],
            b'j' => &["jaas"],
            b'k' => &["key"],
            b'm' => &["mysql", "mongo"],
            b'o' => &["oss"],
            b'p' => &["pass", "pwd", "postgres"],
            b'r' => &["remote"],
            b's' => &["secret", "sasl", "s3"],
            b't' => &["token"],
            b':' => &["://"],
            _ => &[],
        };
        let rest = &bytes[at..];
        signs.iter().any(|s| rest.get(..s.len()).is_some_and(|word| word.eq_ignore_ascii_case(s.as_bytes())))
    })
}

/// Reads the tokens of a statement with as much memory as its rules need.
struct Walk<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// Open parentheses: the word before each, and how many commas it has seen.
    calls: Vec<(String, usize)>,
}

impl Walk<'_> {
    fn look(&mut self, token: Token, next: Token, found: &mut Vec<Range<usize>>) {
        match token.kind {
            TokenKind::LParen => {
                let name = self.tokens.last().filter(|t| t.kind == TokenKind::Word).map(|t| self.lower(*t));
                self.calls.push((name.unwrap_or_default(), 0));
            }
            TokenKind::RParen => {
                self.calls.pop();
            }
            TokenKind::Comma => {
                if let Some((_, commas)) = self.calls.last_mut() {
                    *commas += 1;
                }
            }
            TokenKind::Number if self.names_secret() => found.push(token.start as usize..token.end as usize),
            TokenKind::String | TokenKind::Heredoc | TokenKind::Bad(Defect::UnclosedString) => {
                let inside = self.inside(token);
                let is_whole = self.names_secret() || self.identifies() || self.is_secret_argument(next);
                match is_whole {
                    true => found.push(inside),
                    false => find_inside(self.text, inside, found),
                }
            }
            _ => {}
        }
        self.tokens.push(token);
    }

    /// What stands between the quotes.
    fn inside(&self, token: Token) -> Range<usize> {
        let (start, end) = (token.start as usize, token.end as usize);
        match token.kind {
            TokenKind::String => start + 1..end - 1,
            TokenKind::Bad(_) => (start + 1).min(end)..end,
            _ => start..end,
        }
    }

    fn lower(&self, token: Token) -> String {
        self.text[token.start as usize..token.end as usize].to_ascii_lowercase()
    }

    /// `password = …`, `'password': …`, `PASSWORD …`
    fn names_secret(&self) -> bool {
        let (name, is_apart) = match self.tokens.as_slice() {
            [.., name, sign] if is_sign(sign.kind) => (*name, false),
            [.., name] => (*name, true),
            [] => return false,
        };
        let may_name = match name.kind {
            TokenKind::Word => true,
            TokenKind::Quoted | TokenKind::String => !is_apart,
            _ => false,
        };
        may_name && is_secret_name(&self.text[name.start as usize..name.end as usize])
    }

    fn identifies(&self) -> bool {
        let is_word = |t: &Token, word: &str| {
            t.kind == TokenKind::Word && self.text[t.start as usize..t.end as usize].eq_ignore_ascii_case(word)
        };
        let before = self.tokens.last().is_some_and(|t| ["by", "hash", "salt"].iter().any(|w| is_word(t, w)));
        before && self.tokens.iter().rev().take(IDENTIFIED_REACH).any(|t| is_word(t, "identified"))
    }

    /// A string that is a whole argument, at the place where the function takes a secret.
    fn is_secret_argument(&self, next: Token) -> bool {
        let begins = self.tokens.last().is_some_and(|t| matches!(t.kind, TokenKind::LParen | TokenKind::Comma));
        let ends = matches!(next.kind, TokenKind::RParen | TokenKind::Comma | TokenKind::End);
        let Some((name, at)) = self.calls.last() else { return false };
        begins && ends && secret_arguments(name).contains(at)
    }
}

fn is_sign(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Equals | TokenKind::NotEquals | TokenKind::Colon)
}

/// Positions of the arguments that are credentials, counted from 0.
fn secret_arguments(function: &str) -> Range<usize> {
    match function {
        "mysql" | "postgresql" | "mongodb" => 4..5,
        // With `db.table` in one argument the password is the fourth, else the fifth.
        "remote" | "remote_secure" => 3..5,
        "s3" | "gcs" | "oss" | "cosn" => 2..3,
        "s3_cluster" => 3..4,
        "azure_blob_storage" => 4..5,
        "encrypt" | "decrypt" | "try_decrypt" | "aes_encrypt_mysql" | "aes_decrypt_mysql" | "hmac" => 2..3,
        _ => 0..0,
    }
}

/// Whether a name says that its value is a secret: `password`, `aws_secret_access_key`, `sasl.password`, `apiKey`.
fn is_secret_name(name: &str) -> bool {
    // Of `key`s only those with such a word before: `primary_key` and `key` are names of columns.
    const KEY_OWNERS: &[&str] = &[
        "access",
        "account",
        "api",
        "auth",
        "client",
        "encryption",
        "license",
        "master",
        "private",
        "secret",
        "service",
        "shared",
        "signing",
        "ssl",
    ];
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let is_secret = |word: &&str| {
        ["password", "passwd", "passphrase", "secret", "credential", "apikey", "accesskey", "privatekey"]
            .iter()
            .any(|s| word.contains(s))
            || matches!(*word, "pass" | "pwd" | "jaas" | "authorization")
            || word.ends_with("token")
    };
    let [before @ .., last] = words.as_slice() else { return false };
    words.iter().any(is_secret)
        || (*last == "key" && before.iter().any(|w| KEY_OWNERS.contains(w)))
        || (words.first() == Some(&"sasl") && !matches!(*last, "sasl" | "mechanism" | "mechanisms" | "username"))
        || words == ["key", "value"]
}

/// Secrets inside the text of a string.
fn find_inside(text: &str, inside: Range<usize>, found: &mut Vec<Range<usize>>) {
    let start = inside.start;
    let part = &text[inside];
    let mut ranges = Vec::new();
    find_url_passwords(part, &mut ranges);
    find_pairs(part, &mut ranges);
    find_schemes(part, &mut ranges);
    ranges.sort_by_key(|r| (r.start, r.end));
    let mut last_end = 0;
    for range in ranges.into_iter().filter(|r| !r.is_empty()) {
        if range.start >= last_end {
            last_end = range.end;
            found.push(start + range.start..start + range.end);
        }
    }
}

/// `scheme://user:password@host`
fn find_url_passwords(part: &str, ranges: &mut Vec<Range<usize>>) {
    for (at, sign) in part.match_indices("://") {
        let from = at + sign.len();
        let authority = &part[from..];
        let end = authority.find(['/', '?', '#', ' ', '\'', '"', ',']).unwrap_or(authority.len());
        // A password may hold what ends an authority; the last `@` before a space decides then.
        let word = authority.find([' ', '\n', '"']).unwrap_or(authority.len());
        let Some(sign) = authority[..end].rfind('@').or_else(|| authority[..word].rfind('@')) else { continue };
        let Some(colon) = authority[..sign].find(':') else { continue };
        // A port before the `@` of a path is no password.
        if authority[colon + 1..sign].find('/').is_some_and(|slash| is_number(&authority[colon + 1..colon + 1 + slash]))
        {
            continue;
        }
        ranges.push(from + colon + 1..from + sign);
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `name=value` and `"name": "value"`
fn find_pairs(part: &str, ranges: &mut Vec<Range<usize>>) {
    let in_url = part.contains("://");
    let bytes = part.as_bytes();
    for (sign, _) in part.match_indices(['=', ':']) {
        let name_end = part[..sign].trim_end_matches(['"', '\'', '\\', ' ']).len();
        let name_start = part[..name_end].rfind(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.' | '-'));
        let name_start = name_start.map_or(0, |at| at + part[at..].chars().next().map_or(1, char::len_utf8));
        let name = &part[name_start..name_end];
        let signs = in_url && matches!(name.to_ascii_lowercase().as_str(), "key" | "sig" | "signature");
        if !(is_secret_name(name) || signs) {
            continue;
        }
        let mut from = sign + 1;
        from += part[from..].len() - part[from..].trim_start_matches(' ').len();
        while bytes.get(from) == Some(&b'\\') {
            from += 1;
        }
        let quote = bytes.get(from).copied().filter(|b| matches!(b, b'"' | b'\''));
        let rest = &part[from + usize::from(quote.is_some())..];
        let ends = |c: char| match quote {
            Some(quote) => c == quote as char || c == '\\',
            // `Authorization: Bearer …` has a space in its value.
            None if name.eq_ignore_ascii_case("authorization") => matches!(c, ';' | ',' | '\n' | '"' | '\''),
            None => c.is_whitespace() || matches!(c, ';' | ',' | '&' | '}' | '"' | '\'' | '\\'),
        };
        let from = part.len() - rest.len();
        ranges.push(from..from + rest.find(ends).unwrap_or(rest.len()));
    }
}

/// `Bearer …` and `Basic …`
fn find_schemes(part: &str, ranges: &mut Vec<Range<usize>>) {
    // A shorter word is a word: "basic usage".
    const TOKEN_BYTES_MIN: usize = 8;
    let lower = part.to_ascii_lowercase();
    for scheme in ["bearer ", "basic "] {
        for (at, _) in lower.match_indices(scheme) {
            let from = at + scheme.len();
            let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
            let length = part[from..].find(|c: char| !is_token(c)).unwrap_or(part.len() - from);
            if length >= TOKEN_BYTES_MIN {
                ranges.push(from..from + length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hides(text: &str, expected: &str) {
        assert_eq!(mask(text), expected);
        assert_eq!(mask(&mask(text)), expected, "masking again changes nothing");
    }

    #[test]
    fn places_of_the_grammar() {
        hides("CREATE USER u IDENTIFIED BY 'pw1'", "CREATE USER u IDENTIFIED BY '[HIDDEN]'");
        hides(
            "create user u identified with sha256_hash by 'ab' salt 'cd' host ip '::1'",
            "create user u identified with sha256_hash by '[HIDDEN]' salt '[HIDDEN]' host ip '::1'",
        );
        hides("SET kafka_password = 'x'", "SET kafka_password = '[HIDDEN]'");
        hides("SELECT 1 SETTINGS api_token=12345", "SELECT 1 SETTINGS api_token=[HIDDEN]");
        hides(
            "SELECT * FROM mysql('h:1', 'd', 't', 'u', 'p') WHERE x = 'p'",
            "SELECT * FROM mysql('h:1', 'd', 't', 'u', '[HIDDEN]') WHERE x = 'p'",
        );
        hides("SOURCE(MYSQL(USER 'u' PASSWORD 'p'))", "SOURCE(MYSQL(USER 'u' PASSWORD '[HIDDEN]'))");
        hides("SELECT encrypt('aes', x, 'k')", "SELECT encrypt('aes', x, '[HIDDEN]')");
        hides("SELECT {'password': 'a', 'user': 'b'}", "SELECT {'password': '[HIDDEN]', 'user': 'b'}");
    }

    #[test]
    fn inside_strings() {
        hides(
            "SETTINGS properties='sasl.mechanisms=PLAIN;sasl.username=u;sasl.password=p;x=y'",
            "SETTINGS properties='sasl.mechanisms=PLAIN;sasl.username=u;sasl.password=[HIDDEN];x=y'",
        );
        hides("url('https://u:p@h:8080/a?b=c')", "url('https://u:[HIDDEN]@h:8080/a?b=c')");
        hides("url('https://u:p/w@h/a')", "url('https://u:[HIDDEN]@h/a')");
        hides("url('http://h:8080/a@b')", "url('http://h:8080/a@b')");
        hides("url('http://h/?api_key=k1&x=2')", "url('http://h/?api_key=[HIDDEN]&x=2')");
        hides(r#"'{"auth_token": "t1", "n": 2}'"#, r#"'{"auth_token": "[HIDDEN]", "n": 2}'"#);
        hides("'Authorization: Bearer abc.def'", "'Authorization: [HIDDEN]'");
        hides("headers('X' = 'Bearer abcdefgh1')", "headers('X' = 'Bearer [HIDDEN]')");
    }

    #[test]
    fn ordinary_statements_stay() {
        for text in [
            "SELECT key, value FROM kv WHERE key = 'a' AND primary_key = 'b'",
            "INSERT INTO t (k, token_count) VALUES ('a', 1)",
            "SELECT count() FROM s EMIT AFTER SESSION CLOSE IDENTIFIED BY (ts)",
            "SELECT 'a basic usage', 'http://h/path', to_string(tokens)",
            "CREATE STREAM s (password string, api_key string)",
        ] {
            assert!(matches!(mask(text), Cow::Borrowed(_)), "{}", mask(text));
        }
    }

    #[test]
    fn a_text_that_is_cut_off_or_wrong_is_masked_too() {
        hides("CREATE USER u IDENTIFIED BY 'pw", "CREATE USER u IDENTIFIED BY '[HIDDEN]");
        hides("SELEC password = 'x' (((", "SELEC password = '[HIDDEN]' (((");
        hides("", "");
    }

    #[test]
    fn errors_that_quote_the_text_lose_its_secrets() {
        let secrets = Secrets::of(r"SET secret = 'it\'s me', password = 'pw12'");
        assert_eq!(secrets.hide("near 'pw12' and it's me"), "near '[HIDDEN]' and [HIDDEN]");
        assert_eq!(format!("{secrets:?}"), "3 secrets");
        assert!(Secrets::of("SELECT 1").is_empty());
        let text = "SET password = 'abcdef', token = 'ghi'";
        let (start, secrets) = mask_start(text, 19);
        assert_eq!(start, "SET password = '[HIDDEN]");
        assert_eq!(secrets.hide("abcdef ghi"), "[HIDDEN] [HIDDEN]");
    }

    #[test]
    fn any_text_is_masked_without_a_panic() {
        let pieces =
            ["'", "\\", "://", "@", ":", "password", "=", "é", "(", "identified by ", "mysql(", "\"", " ", "$a$"];
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            mask(&text);
        }
    }
}
