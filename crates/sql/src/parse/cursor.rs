//! The parser's hold on the text: tokens with lookahead, keywords, limits and the error text.

use crate::ast::Span;
use crate::lexer::{Lexer, Token, TokenKind, heredoc_body, unquote};
use hydron_base::limit::{AST_NODES_MAX, PARSER_DEPTH_MAX};
use hydron_base::{Code, Error, Position};
use std::collections::HashSet;

/// Errors are boxed to keep the frames of recursive functions small.
pub type PResult<T> = Result<T, Box<Error>>;

/// Levels of nested expressions and queries. The stack of a server task has 2 MiB. 150 levels of the costliest kind take
/// 1.3 MiB of it in a build without optimization (measured: 1.0 is too little), which leaves room for the caller. Never
/// above the base limit.
pub const DEPTH_MAX: usize = if PARSER_DEPTH_MAX < 150 { PARSER_DEPTH_MAX } else { 150 };

/// Expectations named in one error; more do not help.
const EXPECTED_MAX: usize = 24;

pub struct Parser<'a> {
    pub(super) text: &'a str,
    lexer: Lexer<'a>,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// Height of the tallest expression completed since the enclosing one began, see `expr_above`.
    pub(super) height: usize,
    nodes: usize,
    /// True between `?` and `:` of a ternary, where `a:b` is not a JSON path.
    pub(super) in_ternary: bool,
    /// Tokens at which INTERVAL turned out to be a name.
    pub(super) interval_names: HashSet<usize>,
    record: bool,
    farthest: usize,
    expected: Vec<&'static str>,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str, offset: usize, record: bool) -> Parser<'a> {
        Parser {
            text,
            lexer: Lexer::new(text, offset),
            tokens: Vec::new(),
            at: 0,
            depth: 0,
            height: 0,
            nodes: 0,
            in_ternary: false,
            interval_names: HashSet::new(),
            record,
            farthest: 0,
            expected: Vec::new(),
        }
    }

    // ---- tokens

    fn fill(&mut self, index: usize) {
        while self.tokens.len() <= index {
            let token = self.lexer.next_token();
            self.tokens.push(token);
        }
    }

    pub fn token(&mut self) -> Token {
        self.token_ahead(0)
    }

    pub fn token_ahead(&mut self, ahead: usize) -> Token {
        self.fill(self.at + ahead);
        self.tokens[self.at + ahead]
    }

    pub fn kind(&mut self) -> TokenKind {
        self.token().kind
    }

    pub fn kind_ahead(&mut self, ahead: usize) -> TokenKind {
        self.token_ahead(ahead).kind
    }

    pub fn index(&self) -> usize {
        self.at
    }

    pub fn start(&mut self) -> u32 {
        self.token().start
    }

    pub fn last_end(&self) -> u32 {
        self.at.checked_sub(1).and_then(|i| self.tokens.get(i)).map_or(0, |t| t.end)
    }

    pub fn advance(&mut self) -> Token {
        let token = self.token();
        if token.kind != TokenKind::End {
            self.at += 1;
        }
        token
    }

    pub fn str_of(&self, token: Token) -> &'a str {
        self.text.get(token.start as usize..token.end as usize).unwrap_or("")
    }

    /// The kinds of the tokens from `first` to the current one.
    pub fn kinds_since(&self, first: usize) -> impl Iterator<Item = TokenKind> + '_ {
        self.tokens[first..self.at].iter().map(|t| t.kind)
    }

    pub fn texts_since(&self, first: usize) -> impl Iterator<Item = &'a str> + '_ {
        self.tokens[first..self.at].iter().map(|t| self.str_of(*t))
    }

    pub fn span_since(&self, first: usize) -> Span {
        Span { start: self.tokens.get(first).map_or(0, |t| t.start), end: self.last_end() }
    }

    pub fn at(&mut self, kind: TokenKind) -> bool {
        self.kind() == kind
    }

    pub fn eat(&mut self, kind: TokenKind) -> bool {
        if self.at(kind) {
            self.at += 1;
            return true;
        }
        self.expect_here(symbol(kind));
        false
    }

    pub fn need(&mut self, kind: TokenKind) -> PResult<()> {
        if self.eat(kind) { Ok(()) } else { Err(self.unexpected(symbol(kind))) }
    }

    /// Goes back to the token at `index`. Used only where one token does not decide.
    pub fn rewind(&mut self, index: usize, depth: usize) {
        self.at = index;
        self.depth = depth;
    }

    /// Runs an attempt whose failure nobody will see: no error text is made for it.
    pub fn quietly<T>(&mut self, attempt: impl FnOnce(&mut Self) -> T) -> T {
        let record = std::mem::replace(&mut self.record, false);
        let result = attempt(self);
        self.record = record;
        result
    }

    // ---- keywords

    pub fn is_word(&mut self, ahead: usize, word: &str) -> bool {
        let token = self.token_ahead(ahead);
        token.kind == TokenKind::Word && self.str_of(token).eq_ignore_ascii_case(word)
    }

    /// Whether the next tokens are the words of `phrase` (separated by single spaces).
    pub fn is_kw(&mut self, phrase: &'static str) -> bool {
        let found = match phrase.split_once(' ') {
            None => self.is_word(0, phrase),
            Some(_) => phrase.split(' ').enumerate().all(|(i, word)| self.is_word(i, word)),
        };
        if !found {
            self.expect_here(phrase);
        }
        found
    }

    pub fn eat_kw(&mut self, phrase: &'static str) -> bool {
        let found = self.is_kw(phrase);
        if found {
            self.at += phrase.split(' ').count();
        }
        found
    }

    pub fn need_kw(&mut self, phrase: &'static str) -> PResult<()> {
        if self.eat_kw(phrase) { Ok(()) } else { Err(self.unexpected(phrase)) }
    }

    /// The first of the phrases that stands here, taken.
    pub fn eat_any(&mut self, phrases: &[&'static str]) -> Option<&'static str> {
        phrases.iter().copied().find(|phrase| self.eat_kw(phrase))
    }

    // ---- names and strings

    /// A bare word or a quoted identifier.
    pub fn name(&mut self) -> PResult<String> {
        let token = self.token();
        let name = match token.kind {
            TokenKind::Word => self.str_of(token).to_owned(),
            TokenKind::Quoted => self.text_of(unquote(self.str_of(token)), token)?,
            _ => return Err(self.unexpected("identifier")),
        };
        if name.is_empty() {
            return Err(self.unexpected("non-empty identifier"));
        }
        self.at += 1;
        Ok(name)
    }

    pub fn at_name(&mut self) -> bool {
        matches!(self.kind(), TokenKind::Word | TokenKind::Quoted)
    }

    /// A string literal or heredoc as bytes.
    pub fn bytes(&mut self) -> PResult<Vec<u8>> {
        let token = self.token();
        let bytes = match token.kind {
            TokenKind::String => unquote(self.str_of(token)),
            TokenKind::Heredoc => heredoc_body(self.str_of(token)).as_bytes().to_vec(),
            _ => return Err(self.unexpected("string literal")),
        };
        self.at += 1;
        Ok(bytes)
    }

    /// A string literal or heredoc that must be UTF-8.
    pub fn string(&mut self) -> PResult<String> {
        let token = self.token();
        let bytes = self.bytes()?;
        self.text_of(bytes, token)
    }

    pub fn at_string(&mut self) -> bool {
        matches!(self.kind(), TokenKind::String | TokenKind::Heredoc)
    }

    pub fn name_or_string(&mut self) -> PResult<String> {
        if !self.at_string() {
            return self.name();
        }
        let token = self.token();
        match self.string()? {
            empty if empty.is_empty() => Err(self.error_at(token, "non-empty identifier")),
            name => Ok(name),
        }
    }

    fn text_of(&self, bytes: Vec<u8>, token: Token) -> PResult<String> {
        String::from_utf8(bytes).map_err(|_| self.error_at(token, "text that is valid UTF-8"))
    }

    pub fn unsigned(&mut self) -> PResult<u64> {
        let token = self.token();
        match self.str_of(token).parse() {
            Ok(n) if token.kind == TokenKind::Number => {
                self.at += 1;
                Ok(n)
            }
            _ => Err(self.unexpected("unsigned integer")),
        }
    }

    /// `item {, item}`
    pub fn list<T>(&mut self, item: impl Fn(&mut Self) -> PResult<T>) -> PResult<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.eat(TokenKind::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `( [item {, item}] )`
    pub fn parens<T>(&mut self, item: impl Fn(&mut Self) -> PResult<T>) -> PResult<Vec<T>> {
        self.need(TokenKind::LParen)?;
        if self.eat(TokenKind::RParen) {
            return Ok(Vec::new());
        }
        let items = self.list(item)?;
        self.need(TokenKind::RParen)?;
        Ok(items)
    }

    // ---- limits

    pub fn depth(&self) -> usize {
        self.depth
    }

    /// One level deeper; `leave` on success only, since an error ends the parse or rewinds.
    pub fn enter(&mut self) -> PResult<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(self.too_deep()) } else { Ok(()) }
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    #[inline(never)]
    pub fn too_deep(&mut self) -> Box<Error> {
        let start = self.token().start as usize;
        Box::new(
            Error::new(
                Code::TOO_DEEP_RECURSION,
                format!("Maximum parse depth ({DEPTH_MAX}) exceeded: expressions or subqueries are nested too deeply"),
            )
            .at(Position::in_text(self.text, start)),
        )
    }

    pub fn count_nodes(&mut self, more: usize) -> PResult<()> {
        self.nodes += more;
        if self.nodes > AST_NODES_MAX { Err(self.too_big()) } else { Ok(()) }
    }

    #[inline(never)]
    fn too_big(&mut self) -> Box<Error> {
        let start = self.token().start as usize;
        Box::new(
            Error::new(Code::TOO_BIG_AST, format!("Query is too big: more than {AST_NODES_MAX} syntax elements"))
                .at(Position::in_text(self.text, start)),
        )
    }

    // ---- errors

    /// Notes that `what` could have stood here.
    pub fn expect_here(&mut self, what: &'static str) {
        if !self.record {
            return;
        }
        if self.at > self.farthest {
            self.farthest = self.at;
            self.expected.clear();
        }
        if self.at == self.farthest && !self.expected.contains(&what) {
            self.expected.push(what);
        }
    }

    /// The error for the current token when `what` should stand here.
    #[inline(never)]
    pub fn unexpected(&mut self, what: &'static str) -> Box<Error> {
        if !self.record {
            // Thrown away: the text is parsed again with the record on.
            return Box::new(Error::new(Code::SYNTAX_ERROR, ""));
        }
        self.expect_here(what);
        self.fill(self.farthest);
        let token = self.tokens[self.farthest];
        let mut wanted = self.expected.clone();
        wanted.truncate(EXPECTED_MAX);
        let hint = self.hint(token);
        let mut error = self.error_at(token, &wanted.join(", "));
        if let Some(hint) = hint {
            *error = (*error).hint(hint);
        }
        error
    }

    /// `Syntax error: failed at position N ('token') (line L, col C): excerpt. Expected one of: wanted`
    #[inline(never)]
    pub fn error_at(&self, token: Token, wanted: &str) -> Box<Error> {
        if !self.record {
            return Box::new(Error::new(Code::SYNTAX_ERROR, ""));
        }
        let place = Position::in_text(self.text, token.start as usize);
        let (line, column) = (place.line, place.column);
        let mut message = match token.kind {
            TokenKind::End => format!("Syntax error: failed at position {} (end of query)", token.start + 1),
            _ => format!("Syntax error: failed at position {} ('{}')", token.start + 1, cut(self.str_of(token), 40)),
        };
        message.push_str(&format!(" (line {line}, col {column})"));
        let excerpt = cut(self.text.get(token.start as usize..).unwrap_or(""), 60);
        if !excerpt.is_empty() {
            message.push_str(&format!(": {excerpt}"));
        }
        match token.kind {
            TokenKind::Bad(defect) => message.push_str(&format!(". {}", defect.text())),
            _ => message.push_str(&format!(". Expected one of: {wanted}")),
        }
        Box::new(Error::new(Code::SYNTAX_ERROR, message).at(place))
    }

    /// A keyword that differs from the token by two edits, or AS before a name that follows an operand.
    fn hint(&self, token: Token) -> Option<String> {
        if token.kind == TokenKind::Word {
            let word = self.str_of(token).to_ascii_uppercase();
            let words = self.expected.iter().filter(|e| e.bytes().next().is_some_and(|b| b.is_ascii_uppercase()));
            let near = words
                .filter_map(|e| e.split(' ').next())
                .map(|e| (edit_distance(&word, e), e))
                .filter(|(distance, e)| *distance > 0 && *distance <= 2 && *distance < e.len().min(word.len()))
                .min();
            if let Some((_, keyword)) = near {
                return Some(keyword.to_owned());
            }
        }
        let names = matches!(token.kind, TokenKind::Word | TokenKind::Quoted);
        if names && self.expected.contains(&"AS") {
            return Some(format!("AS {} (an alias needs AS)", cut(self.str_of(token), 40)));
        }
        None
    }
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Edits from `a` to `b`; two neighbours swapped are one edit. 3 stands for "too many".
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 2 || a.len() > 32 {
        return 3;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

fn symbol(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::LParen => "(",
        TokenKind::RParen => ")",
        TokenKind::LBracket => "[",
        TokenKind::RBracket => "]",
        TokenKind::LBrace => "{",
        TokenKind::RBrace => "}",
        TokenKind::Comma => ",",
        TokenKind::Semicolon => ";",
        TokenKind::Colon => ":",
        TokenKind::Equals => "=",
        TokenKind::Arrow => "->",
        TokenKind::String => "string literal",
        TokenKind::Number => "number",
        TokenKind::Star => "*",
        TokenKind::At => "@",
        TokenKind::Pipe => "|",
        TokenKind::Dot => ".",
        _ => "token",
    }
}
