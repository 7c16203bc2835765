//! Expressions that start with a word: constants, NOT, CASE, INTERVAL, EXISTS, identifiers, asterisks, JSON paths.

use super::cursor::{PResult, Parser};
use super::expr::{LAMBDA, NOT};
use crate::ast::*;
use crate::lexer::{TokenKind, unquote};

/// Words that INTERVAL and the date functions accept as units, in singular.
const UNITS: [&str; 11] =
    ["nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year"];

/// Short spellings after INTERVAL.
const SHORT_UNITS: [(&str, &str); 22] = [
    ("ns", "nanosecond"),
    ("us", "microsecond"),
    ("ms", "millisecond"),
    ("s", "second"),
    ("ss", "second"),
    ("m", "minute"),
    ("mi", "minute"),
    ("n", "minute"),
    ("h", "hour"),
    ("hh", "hour"),
    ("d", "day"),
    ("dd", "day"),
    ("w", "week"),
    ("wk", "week"),
    ("ww", "week"),
    ("mm", "month"),
    ("q", "quarter"),
    ("qq", "quarter"),
    ("y", "year"),
    ("yy", "year"),
    ("yyyy", "year"),
    ("sql_tsi_day", "day"),
];

/// The unit that a word names: `SECOND`, `seconds`, `SQL_TSI_SECOND`, `M` (month) but `m` (minute).
pub(super) fn unit_of(word: &str) -> Option<&'static str> {
    if word == "M" {
        return Some("month");
    }
    let lower = word.to_ascii_lowercase();
    if let Some((_, unit)) = SHORT_UNITS.iter().find(|(short, _)| *short == lower) {
        return Some(unit);
    }
    let plain = lower.strip_prefix("sql_tsi_").unwrap_or(&lower);
    UNITS.into_iter().find(|unit| plain == *unit || plain.strip_suffix('s') == Some(unit))
}

impl Parser<'_> {
    /// An operand that starts with a bare word.
    #[inline(never)]
    pub(super) fn word(&mut self) -> PResult<Expr> {
        let token = self.token();
        let word = self.str_of(token).as_bytes();
        let first = word[0].to_ascii_uppercase();
        match first {
            b'N' | b'T' | b'F' | b'I' | b'+' if let Some(literal) = self.constant_word() => return Ok(literal.into()),
            b'N' if self.is_word(0, "NOT") && !self.ends_operand(1) => return self.not(),
            b'C' if self.is_word(0, "CASE") && !self.ends_operand(1) => return self.case(),
            b'I' if self.is_word(0, "INTERVAL") => {
                if let Some(interval) = self.interval()? {
                    return Ok(interval);
                }
            }
            b'E' if self.is_word(0, "EXISTS") && self.kind_ahead(1) == TokenKind::LParen && self.at_query(2) => {
                return self.exists();
            }
            b'D' if self.is_word(0, "DATE") && self.kind_ahead(1) == TokenKind::String => {
                return self.typed_string("to_date");
            }
            b'T' if self.is_word(0, "TIMESTAMP") && self.kind_ahead(1) == TokenKind::String => {
                return self.typed_string("to_datetime");
            }
            _ => {}
        }
        self.identifier_or_call()
    }

    fn constant_word(&mut self) -> Option<Literal> {
        if matches!(self.kind_ahead(1), TokenKind::Dot | TokenKind::LParen | TokenKind::Arrow) {
            return None;
        }
        let token = self.token();
        let literal = match self.str_of(token).to_ascii_lowercase().as_str() {
            "null" => Literal::Null,
            "true" => Literal::Bool(true),
            "false" => Literal::Bool(false),
            "nan" => Literal::Float(Float(f64::NAN)),
            "inf" | "infinity" => Literal::Float(Float(f64::INFINITY)),
            _ => return None,
        };
        self.advance();
        Some(literal)
    }

    /// Whether the token `ahead` cannot start an operand: then a word such as NOT is a name.
    fn ends_operand(&mut self, ahead: usize) -> bool {
        use TokenKind::*;
        let kind = self.kind_ahead(ahead);
        matches!(
            kind,
            End | Comma | RParen | RBracket | Dot | Semicolon | Equals | NotEquals | Less | Greater | Arrow | Colon
        ) || self.is_word(ahead, "AS")
            || self.is_word(ahead, "FROM")
    }

    #[inline(never)]
    fn not(&mut self) -> PResult<Expr> {
        self.advance();
        let operand = self.expr_above(NOT)?;
        Ok(Function::styled("not", vec![operand], Style::Prefix).into())
    }

    /// `DATE '2020-01-01'`, `TIMESTAMP '…'`
    #[inline(never)]
    fn typed_string(&mut self, function: &str) -> PResult<Expr> {
        self.advance();
        let text = Expr::from(Literal::String(self.bytes()?.into()));
        Ok(Expr::call(function, vec![text]))
    }

    #[inline(never)]
    fn exists(&mut self) -> PResult<Expr> {
        self.advance();
        self.need(TokenKind::LParen)?;
        let query = self.query()?;
        self.need(TokenKind::RParen)?;
        Ok(ExprKind::Exists(Box::new(query)).into())
    }

    #[inline(never)]
    fn case(&mut self) -> PResult<Expr> {
        self.advance();
        let ternary = std::mem::replace(&mut self.in_ternary, false);
        let mut args = Vec::new();
        let name = if self.is_kw("WHEN") {
            "multi_if"
        } else {
            args.push(self.aliased_expr()?);
            "case_with_expression"
        };
        self.need_kw("WHEN")?;
        loop {
            args.push(self.aliased_expr()?);
            self.need_kw("THEN")?;
            args.push(self.aliased_expr()?);
            if !self.eat_kw("WHEN") {
                break;
            }
        }
        args.push(if self.eat_kw("ELSE") { self.aliased_expr()? } else { Literal::Null.into() });
        self.need_kw("END")?;
        self.in_ternary = ternary;
        Ok(Expr::call(name, args))
    }

    /// `INTERVAL n UNIT`, `INTERVAL 'n unit'`; `None` if INTERVAL is a name here.
    #[inline(never)]
    fn interval(&mut self) -> PResult<Option<Expr>> {
        let (start, depth, height) = (self.index(), self.depth(), self.height);
        if self.interval_names.contains(&start) || self.ends_operand(1) {
            return Ok(None);
        }
        self.advance();
        let found = self.quietly(|p| p.interval_body());
        match found {
            Ok(Some(interval)) => Ok(Some(interval)),
            Err(e) if e.code != hydron_base::Code::SYNTAX_ERROR => Err(e),
            _ => {
                self.interval_names.insert(start);
                self.rewind(start, depth);
                self.height = height;
                Ok(None)
            }
        }
    }

    #[inline(never)]
    fn interval_body(&mut self) -> PResult<Option<Expr>> {
        if self.at(TokenKind::Interval) {
            return Ok(Some(self.expr_above(super::expr::NEGATE)?));
        }
        if self.at_string() && !self.unit_follows(1) {
            let start = (self.index(), self.depth());
            let text = self.string()?;
            if let Some(interval) = interval_from_text(&text) {
                return Ok(Some(interval));
            }
            self.rewind(start.0, start.1);
        }
        let amount = self.expr_above(LAMBDA)?;
        Ok(self.unit()?.map(|unit| interval_call(unit, amount)))
    }

    fn unit_follows(&mut self, ahead: usize) -> bool {
        let token = self.token_ahead(ahead);
        token.kind == TokenKind::Word && unit_of(self.str_of(token)).is_some()
    }

    /// Takes a unit word, if one stands here.
    pub(super) fn unit(&mut self) -> PResult<Option<&'static str>> {
        let token = self.token();
        let unit = if token.kind == TokenKind::Word { unit_of(self.str_of(token)) } else { None };
        if unit.is_some() {
            self.advance();
        } else {
            self.expect_here("interval unit");
        }
        Ok(unit)
    }

    /// A name, a dotted name, `t.*`, `COLUMNS(…)`, a JSON path, or a call.
    #[inline(never)]
    pub(super) fn identifier_or_call(&mut self) -> PResult<Expr> {
        if self.kind_ahead(1) == TokenKind::LParen {
            return self.call_or_columns();
        }
        let identifier = self.identifier()?;
        if self.at(TokenKind::Dot) {
            if self.kind_ahead(1) == TokenKind::Star {
                self.advance();
                return self.asterisk(Some(identifier));
            }
            if self.is_word(1, "COLUMNS") && self.kind_ahead(2) == TokenKind::LParen {
                self.advance();
                return self.columns(Some(identifier));
            }
        }
        if self.at(TokenKind::Colon)
            && !self.in_ternary
            && matches!(self.kind_ahead(1), TokenKind::Word | TokenKind::Quoted)
        {
            return self.json_path(identifier);
        }
        Ok(ExprKind::Identifier(identifier).into())
    }

    /// Names joined by dots, as long as names follow. A word after a dot is always a name.
    #[inline(never)]
    pub(super) fn identifier(&mut self) -> PResult<Identifier> {
        let mut parts = vec![self.name()?];
        while self.at(TokenKind::Dot) && matches!(self.kind_ahead(1), TokenKind::Word | TokenKind::Quoted) {
            if self.is_word(1, "COLUMNS") && self.kind_ahead(2) == TokenKind::LParen {
                break;
            }
            self.advance();
            parts.push(self.name()?);
        }
        Ok(Identifier { parts })
    }

    #[inline(never)]
    fn call_or_columns(&mut self) -> PResult<Expr> {
        if self.is_word(0, "COLUMNS") { self.columns(None) } else { self.call() }
    }

    /// `col:a.b[0]`
    #[inline(never)]
    fn json_path(&mut self, column: Identifier) -> PResult<Expr> {
        let mut path = String::from("$");
        loop {
            self.advance();
            let token = self.advance();
            path.push('.');
            match token.kind {
                TokenKind::Quoted => {
                    path.push_str(&format!("\"{}\"", String::from_utf8_lossy(&unquote(self.str_of(token)))))
                }
                _ => path.push_str(self.str_of(token)),
            }
            while self.at(TokenKind::LBracket) && matches!(self.kind_ahead(1), TokenKind::Number | TokenKind::Star) {
                self.advance();
                let index = self.advance();
                path.push_str(&format!("[{}]", self.str_of(index)));
                self.need(TokenKind::RBracket)?;
            }
            if !(self.at(TokenKind::Dot) && matches!(self.kind_ahead(1), TokenKind::Word | TokenKind::Quoted)) {
                break;
            }
        }
        Ok(ExprKind::JsonPath(Box::new(JsonPath { column, path })).into())
    }

    /// `*` with its transformers.
    #[inline(never)]
    pub(super) fn asterisk(&mut self, qualifier: Option<Identifier>) -> PResult<Expr> {
        self.advance();
        let transformers = self.transformers()?;
        Ok(ExprKind::Asterisk(Box::new(Asterisk { qualifier, transformers })).into())
    }

    /// `COLUMNS('re')`, `COLUMNS(a, b)`
    #[inline(never)]
    fn columns(&mut self, qualifier: Option<Identifier>) -> PResult<Expr> {
        self.advance();
        self.need(TokenKind::LParen)?;
        let matcher = if self.at_string() {
            ColumnsMatcher::Regexp(self.string()?)
        } else {
            ColumnsMatcher::List(self.list(|p| p.identifier())?)
        };
        self.need(TokenKind::RParen)?;
        let transformers = self.transformers()?;
        Ok(ExprKind::Columns(Box::new(Columns { qualifier, matcher, transformers })).into())
    }

    #[inline(never)]
    fn transformers(&mut self) -> PResult<Vec<ColumnTransformer>> {
        let mut found = Vec::new();
        loop {
            if self.at_except_columns() {
                self.advance();
                found.push(self.except()?);
            } else if self.is_word(0, "REPLACE") {
                self.advance();
                found.push(self.replace()?);
            } else if self.is_word(0, "APPLY") {
                self.advance();
                found.push(ColumnTransformer::Apply(self.apply()?));
            } else {
                return Ok(found);
            }
        }
    }

    /// EXCEPT of columns, not of a query.
    fn at_except_columns(&mut self) -> bool {
        if !self.is_word(0, "EXCEPT") {
            return false;
        }
        let skip = if self.is_word(1, "ALL") || self.is_word(1, "DISTINCT") { 2 } else { 1 };
        let query = self.at_query(skip) || (self.kind_ahead(skip) == TokenKind::LParen && self.at_query(skip + 1));
        !query
    }

    #[inline(never)]
    fn except(&mut self) -> PResult<ColumnTransformer> {
        let strict = self.eat_kw("STRICT");
        if !self.at(TokenKind::LParen) {
            return Ok(ColumnTransformer::Except { strict, columns: vec![self.name()?] });
        }
        if matches!(self.kind_ahead(1), TokenKind::String) {
            self.advance();
            let regexp = self.string()?;
            self.need(TokenKind::RParen)?;
            return Ok(ColumnTransformer::ExceptRegexp(regexp));
        }
        let columns = self.parens(|p| p.name())?;
        Ok(ColumnTransformer::Except { strict, columns })
    }

    #[inline(never)]
    fn replace(&mut self) -> PResult<ColumnTransformer> {
        let strict = self.eat_kw("STRICT");
        let item = |p: &mut Self| {
            let expr = p.aliased_expr()?;
            if expr.alias.is_none() {
                return Err(p.unexpected("AS"));
            }
            Ok(expr)
        };
        let items = if self.at(TokenKind::LParen) { self.parens(item)? } else { vec![item(self)?] };
        Ok(ColumnTransformer::Replace { strict, items })
    }

    #[inline(never)]
    fn apply(&mut self) -> PResult<Apply> {
        let parens = self.eat(TokenKind::LParen);
        let arrow = self.kind_ahead(1) == TokenKind::Arrow || (self.at(TokenKind::LParen));
        let apply = if arrow {
            match self.expr()?.kind {
                ExprKind::Lambda(lambda) => Apply::Lambda(*lambda),
                _ => return Err(self.unexpected("lambda")),
            }
        } else {
            let name = self.name()?;
            let params = if self.at(TokenKind::LParen) { self.parens(|p| p.aliased_expr())? } else { Vec::new() };
            let prefix = if parens && self.eat(TokenKind::Comma) { Some(self.string()?) } else { None };
            Apply::Function { name, params, prefix }
        };
        if parens {
            self.need(TokenKind::RParen)?;
        }
        Ok(apply)
    }
}

pub(super) fn interval_call(unit: &str, amount: Expr) -> Expr {
    Function::styled(format!("to_interval_{unit}"), vec![amount], Style::Interval).into()
}

/// `'5 second'`, `'-1 day'`
fn interval_from_text(text: &str) -> Option<Expr> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let amount = super::expr::literal_number(&digits[..end], text.starts_with('-'))?;
    Some(interval_call(unit_of(digits[end..].trim())?, amount.into()))
}
