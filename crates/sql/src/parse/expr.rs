//! Expressions by precedence climbing.
//!
//! Levels, loosest first: lambda and ternary, OR, AND, NOT, BETWEEN, IS NULL, comparison with LIKE and IN, `||`,
//! `+ -`, `* / % DIV MOD`, unary minus, then access `[i]`, `.n` and cast `::`.

use super::cursor::{DEPTH_MAX, PResult, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

pub(super) const LAMBDA: u8 = 1;
pub(super) const OR: u8 = 3;
pub(super) const AND: u8 = 4;
pub(super) const NOT: u8 = 5;
pub(super) const BETWEEN: u8 = 7;
pub(super) const IS: u8 = 8;
pub(super) const COMPARE: u8 = 9;
pub(super) const CONCAT: u8 = 10;
pub(super) const ADD: u8 = 11;
pub(super) const MULTIPLY: u8 = 12;
pub(super) const NEGATE: u8 = 13;

impl Parser<'_> {
    /// An expression without an alias.
    pub fn expr(&mut self) -> PResult<Expr> {
        self.expr_above(LAMBDA)
    }

    /// An expression, `AS name` allowed.
    pub fn aliased_expr(&mut self) -> PResult<Expr> {
        let mut expr = self.expr_above(LAMBDA)?;
        self.alias_of(&mut expr)?;
        Ok(expr)
    }

    pub fn expr_list(&mut self) -> PResult<Vec<Expr>> {
        self.list(|p| p.aliased_expr())
    }

    #[inline(never)]
    pub fn alias_of(&mut self, expr: &mut Expr) -> PResult<()> {
        if self.eat_kw("AS") {
            expr.alias = Some(self.name_or_string()?.into());
        }
        Ok(())
    }

    /// An expression of operators that bind at least as tight as `min`.
    ///
    /// The height of every tree is checked here and not only the recursion, since `a[1][1]…` and `a LIKE b LIKE c …`
    /// grow to the left without any.
    pub fn expr_above(&mut self, min: u8) -> PResult<Expr> {
        self.enter()?;
        let outer = std::mem::replace(&mut self.height, 0);
        let first = self.index();
        let mut left = self.prefix()?;
        let mut height = self.height + 1;
        let mut merging = None;
        loop {
            self.height = 0;
            let before = self.index();
            if !self.infix(&mut left, min, first, &mut merging)? {
                break;
            }
            debug_assert!(self.index() > before, "an operator takes a token");
            let fresh = usize::from(merging.is_none_or(|m: Merging| m.fresh));
            height = height.max(self.height + 1 - fresh) + fresh;
            if height > DEPTH_MAX {
                return Err(self.too_deep());
            }
        }
        left.span = self.span_since(first);
        self.height = outer.max(height);
        self.leave();
        Ok(left)
    }

    /// An operand: everything that can start an expression.
    fn prefix(&mut self) -> PResult<Expr> {
        self.count_nodes(1)?;
        match self.kind() {
            TokenKind::Number => self.number(false),
            TokenKind::Interval => self.interval_token(false),
            TokenKind::String | TokenKind::Heredoc => self.string_literal(),
            TokenKind::Word => self.word(),
            TokenKind::Quoted => self.identifier_or_call(),
            TokenKind::LParen => self.parenthesised(),
            TokenKind::LBracket => self.brackets(),
            TokenKind::LBrace => self.parameter(),
            TokenKind::Star => self.asterisk(None),
            TokenKind::Minus => self.minus(),
            TokenKind::Plus => self.plus(),
            _ => Err(self.unexpected("expression")),
        }
    }

    #[inline(never)]
    fn string_literal(&mut self) -> PResult<Expr> {
        Ok(Literal::String(self.bytes()?.into()).into())
    }

    #[inline(never)]
    pub fn number(&mut self, negative: bool) -> PResult<Expr> {
        let token = self.advance();
        match literal_number(self.str_of(token), negative) {
            Some(literal) => Ok(literal.into()),
            None => Err(self.error_at(token, "number")),
        }
    }

    /// `5s` is `to_interval_second(5)`.
    #[inline(never)]
    fn interval_token(&mut self, negative: bool) -> PResult<Expr> {
        let token = self.advance();
        let text = self.str_of(token);
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let literal = literal_number(&text[..digits], negative);
        match (literal, interval_function(&text[digits..])) {
            // More digits than any integer has make a float, whose text has no unit behind it.
            (Some(number), Some(function)) if !matches!(number, Literal::Float(_)) => {
                Ok(Function::styled(function, vec![number.into()], Style::IntervalToken).into())
            }
            _ => Err(self.error_at(token, "interval")),
        }
    }

    #[inline(never)]
    fn minus(&mut self) -> PResult<Expr> {
        self.advance();
        match self.kind() {
            TokenKind::Number => return self.number(true),
            TokenKind::Interval => return self.interval_token(true),
            _ => {}
        }
        let operand = self.expr_above(NEGATE)?;
        Ok(Function::styled("negate", vec![operand], Style::Prefix).into())
    }

    #[inline(never)]
    fn plus(&mut self) -> PResult<Expr> {
        self.advance();
        match self.kind() {
            TokenKind::Number => self.number(false),
            TokenKind::Interval => self.interval_token(false),
            _ => Err(self.unexpected("number")),
        }
    }

    /// `(…)`: a subquery, one expression, or a tuple.
    #[inline(never)]
    fn parenthesised(&mut self) -> PResult<Expr> {
        if self.at_subquery() {
            return self.subquery();
        }
        let ternary = std::mem::replace(&mut self.in_ternary, false);
        self.advance();
        if self.eat(TokenKind::RParen) {
            self.in_ternary = ternary;
            return Ok(Function::styled("tuple", Vec::new(), Style::Parens).into());
        }
        let one = self.aliased_expr()?;
        let result = if self.at(TokenKind::Comma) { self.rest_of_tuple(one)? } else { one };
        self.in_ternary = ternary;
        if self.at(TokenKind::RBracket) {
            return self.open_range(result);
        }
        self.need(TokenKind::RParen)?;
        Ok(result)
    }

    /// `(start, end]` of `session`.
    #[inline(never)]
    fn open_range(&mut self, pair: Expr) -> PResult<Expr> {
        match pair.kind {
            ExprKind::Function(f) if f.style == Style::Parens && f.args.len() == 2 => {
                self.need(TokenKind::RBracket)?;
                range_of(f.args, false, true).ok_or_else(|| self.unexpected("two conditions"))
            }
            _ => Err(self.unexpected(")")),
        }
    }

    #[inline(never)]
    fn rest_of_tuple(&mut self, first: Expr) -> PResult<Expr> {
        let mut items = vec![first];
        while self.eat(TokenKind::Comma) {
            if self.at(TokenKind::RParen) {
                break;
            }
            items.push(self.aliased_expr()?);
        }
        Ok(Function::styled("tuple", items, Style::Parens).into())
    }

    #[inline(never)]
    pub fn subquery(&mut self) -> PResult<Expr> {
        self.need(TokenKind::LParen)?;
        let query = self.query()?;
        self.need(TokenKind::RParen)?;
        Ok(ExprKind::Subquery(Box::new(query)).into())
    }

    /// Whether `(` opens a query and not an expression that starts with one: `((SELECT 1) UNION …)`, but not
    /// `((SELECT 1) + 1)`.
    fn at_subquery(&mut self) -> bool {
        if self.at_query(1) {
            return true;
        }
        if self.kind_ahead(1) != TokenKind::LParen || !self.at_query_in_parens() {
            return false;
        }
        let (mut ahead, mut depth) = (1, 0usize);
        loop {
            match self.kind_ahead(ahead) {
                TokenKind::LParen => depth += 1,
                TokenKind::RParen => depth -= 1,
                TokenKind::End => return false,
                _ => {}
            }
            ahead += 1;
            if depth == 0 {
                return ["UNION", "EXCEPT", "INTERSECT"].iter().any(|word| self.is_word(ahead, word));
            }
        }
    }

    /// Whether `(` opens a query: SELECT, WITH or FROM behind any number of further parentheses.
    pub fn at_query_in_parens(&mut self) -> bool {
        let mut ahead = 0;
        while self.kind_ahead(ahead) == TokenKind::LParen {
            ahead += 1;
            if ahead > DEPTH_MAX {
                return false;
            }
        }
        ahead > 0 && self.at_query(ahead)
    }

    /// Whether a query starts `ahead` tokens from here.
    pub fn at_query(&mut self, ahead: usize) -> bool {
        if self.kind_ahead(ahead) != TokenKind::Word {
            return false;
        }
        let next = self.kind_ahead(ahead + 1);
        let ends = matches!(next, TokenKind::RParen | TokenKind::Comma | TokenKind::Dot | TokenKind::End);
        if self.is_word(ahead, "SELECT") {
            return !matches!(next, TokenKind::Comma | TokenKind::End);
        }
        let operand = matches!(next, TokenKind::Word | TokenKind::Quoted | TokenKind::LParen)
            || (matches!(next, TokenKind::Number | TokenKind::String | TokenKind::LBracket | TokenKind::Minus));
        if self.is_word(ahead, "WITH") {
            return !ends && operand;
        }
        self.is_word(ahead, "FROM") && !ends && matches!(next, TokenKind::Word | TokenKind::Quoted | TokenKind::LParen)
    }

    /// `[a, b]`, or `[start, end)` and `[start, end]` as arguments of `session`, see `call`.
    #[inline(never)]
    fn brackets(&mut self) -> PResult<Expr> {
        let ternary = std::mem::replace(&mut self.in_ternary, false);
        self.advance();
        let mut items = Vec::new();
        if !self.at(TokenKind::RBracket) {
            items = self.expr_list()?;
        }
        self.in_ternary = ternary;
        if self.at(TokenKind::RParen) && items.len() == 2 {
            return self.half_open_range(items);
        }
        self.need(TokenKind::RBracket)?;
        Ok(Function::styled("array", items, Style::Brackets).into())
    }

    /// `[start, end)`: only where the closing parenthesis is not the last one of the call, which `call` checks.
    #[inline(never)]
    fn half_open_range(&mut self, items: Vec<Expr>) -> PResult<Expr> {
        self.need(TokenKind::RParen)?;
        if !matches!(self.kind(), TokenKind::RParen | TokenKind::Comma) {
            return Err(self.unexpected(")"));
        }
        range_of(items, true, false).ok_or_else(|| self.unexpected("two conditions"))
    }

    /// `{name:type}`
    #[inline(never)]
    fn parameter(&mut self) -> PResult<Expr> {
        self.advance();
        let name = self.name()?;
        self.need(TokenKind::Colon)?;
        let ty = self.type_name()?.to_string();
        self.need(TokenKind::RBrace)?;
        Ok(ExprKind::Parameter(Box::new(Parameter { name, ty })).into())
    }
}

/// The range of two conditions, `None` if there are not two.
pub(super) fn range_of(conditions: Vec<Expr>, start_inclusive: bool, end_inclusive: bool) -> Option<Expr> {
    let [start, end] = <[Expr; 2]>::try_from(conditions).ok()?;
    Some(ExprKind::SessionRange(Box::new(SessionRange { start, start_inclusive, end, end_inclusive })).into())
}

/// The operator that an n-ary call is being collected for; `fresh` when the last operator made a new node.
#[derive(Clone, Copy)]
pub(super) struct Merging {
    pub level: u8,
    pub fresh: bool,
}

/// The constant that a number token means.
pub(super) fn literal_number(text: &str, negative: bool) -> Option<Literal> {
    let lower = text.to_ascii_lowercase();
    let radix = match lower.get(..2) {
        Some("0x") => 16,
        Some("0b") => 2,
        _ => 10,
    };
    let digits = if radix == 10 { lower.as_str() } else { &lower[2..] };
    if radix == 16 && (digits.contains('.') || digits.contains('p')) {
        return hex_float(digits).map(|v| Literal::Float(Float(if negative { -v } else { v })));
    }
    if digits.bytes().all(|b| (b as char).is_digit(radix)) && !digits.is_empty() {
        return Some(match u64::from_str_radix(digits, radix) {
            Ok(n) if !negative => Literal::UInt(n),
            Ok(0) => Literal::UInt(0),
            Ok(n) if n <= 1 << 63 => Literal::Int((n as i64).wrapping_neg()),
            Ok(n) => Literal::BigInt(format!("-{n}").into()),
            Err(_) => big_integer(digits, radix, negative)?,
        });
    }
    let value: f64 = digits.parse().ok()?;
    Some(Literal::Float(Float(if negative { -value } else { value })))
}

/// Digits beyond 64 bits stay as decimal text up to 256 bits; beyond that only float64 can hold them.
fn big_integer(digits: &str, radix: u32, negative: bool) -> Option<Literal> {
    let sign = if negative { "-" } else { "" };
    if radix == 10 {
        let digits = digits.trim_start_matches('0');
        if digits.len() <= 78 {
            return Some(Literal::BigInt(format!("{sign}{digits}").into()));
        }
        let value: f64 = digits.parse().ok()?;
        return Some(Literal::Float(Float(if negative { -value } else { value })));
    }
    match u128::from_str_radix(digits, radix) {
        Ok(n) => Some(Literal::BigInt(format!("{sign}{n}").into())),
        Err(_) => {
            let value = digits.chars().filter_map(|c| c.to_digit(radix)).fold(0.0, |v, d| v * radix as f64 + d as f64);
            Some(Literal::Float(Float(if negative { -value } else { value })))
        }
    }
}

/// `1.8p3` without its `0x`: hexadecimal mantissa, decimal power of two.
fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, power) = text.split_once('p').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |s: &str| s.chars().filter_map(|c| c.to_digit(16)).fold(0.0, |v, d| v * 16.0 + d as f64);
    let value: f64 = digits(whole) + digits(fraction) / 16f64.powi(fraction.len() as i32);
    let power: i32 = power.parse().ok()?;
    match value {
        // Times a power that is no number any more it would be none itself.
        v if v == 0.0 || v.is_infinite() => Some(v),
        v => Some(v * 2f64.powi(power / 2) * 2f64.powi(power - power / 2)),
    }
}

/// `s` to `to_interval_second`, for tokens.
pub(super) fn interval_function(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "ns" => "to_interval_nanosecond",
        "us" => "to_interval_microsecond",
        "ms" => "to_interval_millisecond",
        "s" => "to_interval_second",
        "m" => "to_interval_minute",
        "h" => "to_interval_hour",
        "d" => "to_interval_day",
        "w" => "to_interval_week",
        "M" => "to_interval_month",
        "q" => "to_interval_quarter",
        "y" => "to_interval_year",
        _ => return None,
    })
}
