//! FROM: names, table functions, subqueries, joins.

use super::cursor::{PResult, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

impl Parser<'_> {
    #[inline(never)]
    pub(super) fn tables(&mut self) -> PResult<FromClause> {
        let first = self.table_expr()?;
        let mut from = FromClause { first: Some(first), rest: Vec::new() };
        self.joins(&mut from)?;
        Ok(from)
    }

    #[inline(never)]
    pub(super) fn only_array_joins(&mut self) -> PResult<FromClause> {
        let mut from = FromClause { first: None, rest: Vec::new() };
        self.joins(&mut from)?;
        Ok(from)
    }

    fn joins(&mut self, from: &mut FromClause) -> PResult<()> {
        loop {
            self.count_nodes(1)?;
            if self.is_kw("ARRAY JOIN") || self.is_kw("LEFT ARRAY JOIN") || self.is_kw("INNER ARRAY JOIN") {
                let left = self.eat_kw("LEFT");
                self.eat_kw("INNER");
                self.advance();
                self.advance();
                let ends = matches!(self.kind(), TokenKind::End | TokenKind::Semicolon | TokenKind::RParen);
                let items = if ends { Vec::new() } else { self.expr_list()? };
                from.rest.push(FromItem::ArrayJoin(ArrayJoin { left, items }));
                continue;
            }
            match self.join()? {
                Some(join) => from.rest.push(FromItem::Join(Box::new(join))),
                None => return Ok(()),
            }
        }
    }

    #[inline(never)]
    fn join(&mut self) -> PResult<Option<Join>> {
        let first = self.index();
        if self.eat(TokenKind::Comma) {
            let table = self.table_expr()?;
            let (locality, strictness, constraint) = (None, None, None);
            let span = self.span_since(first);
            return Ok(Some(Join { locality, kind: JoinKind::Comma, strictness, table, constraint, span }));
        }
        let Some((locality, kind, strictness)) = self.join_words()? else { return Ok(None) };
        let table = self.table_expr()?;
        let constraint = if kind == JoinKind::Cross { None } else { self.join_constraint()? };
        Ok(Some(Join { locality, kind, strictness, table, constraint, span: self.span_since(first) }))
    }

    /// The words before JOIN in the orders that are in use: `ANY LEFT`, `LEFT ANY`, `ASOF`, `GLOBAL … OUTER`.
    fn join_words(&mut self) -> PResult<Option<(Option<JoinLocality>, JoinKind, Option<JoinStrictness>)>> {
        let mut ahead = 0;
        let words = [
            "GLOBAL", "LOCAL", "ANY", "ALL", "ASOF", "SEMI", "ANTI", "ONLY", "LATEST", "INNER", "LEFT", "RIGHT",
            "FULL", "CROSS", "OUTER",
        ];
        while ahead < 5 && words.iter().any(|w| self.is_word(ahead, w)) {
            ahead += 1;
        }
        if !self.is_word(ahead, "JOIN") {
            for what in ["JOIN", "LEFT JOIN", "INNER JOIN", "ASOF JOIN", "ARRAY JOIN"] {
                self.expect_here(what);
            }
            return Ok(None);
        }
        let (mut locality, mut kind, mut strictness) = (None, None, None);
        for _ in 0..ahead {
            let token = self.advance();
            let word = self.str_of(token).to_ascii_uppercase();
            let repeated = match word.as_str() {
                "GLOBAL" => locality.replace(JoinLocality::Global).is_some(),
                "LOCAL" => locality.replace(JoinLocality::Local).is_some(),
                "ANY" => strictness.replace(JoinStrictness::Any).is_some(),
                "ALL" => strictness.replace(JoinStrictness::All).is_some(),
                "ASOF" => strictness.replace(JoinStrictness::Asof).is_some(),
                "SEMI" => strictness.replace(JoinStrictness::Semi).is_some(),
                "ANTI" | "ONLY" => strictness.replace(JoinStrictness::Anti).is_some(),
                "LATEST" => strictness.replace(JoinStrictness::Latest).is_some(),
                "INNER" => kind.replace(JoinKind::Inner).is_some(),
                "LEFT" => kind.replace(JoinKind::Left).is_some(),
                "RIGHT" => kind.replace(JoinKind::Right).is_some(),
                "FULL" => kind.replace(JoinKind::Full).is_some(),
                "CROSS" => kind.replace(JoinKind::Cross).is_some(),
                _ => false,
            };
            if repeated {
                return Err(self.error_at(token, "JOIN"));
            }
        }
        self.advance();
        Ok(Some((locality, kind.unwrap_or(JoinKind::Inner), strictness)))
    }

    #[inline(never)]
    fn join_constraint(&mut self) -> PResult<Option<JoinConstraint>> {
        if self.eat_kw("ON") {
            return Ok(Some(JoinConstraint::On(self.expr()?)));
        }
        if !self.eat_kw("USING") {
            return Ok(None);
        }
        let columns = if self.at(TokenKind::LParen) { self.parens(|p| p.aliased_expr())? } else { self.expr_list()? };
        Ok(Some(JoinConstraint::Using(columns)))
    }

    /// A table with its alias, FINAL and SAMPLE.
    #[inline(never)]
    pub(super) fn table_expr(&mut self) -> PResult<TableExpr> {
        self.count_nodes(1)?;
        let first = self.index();
        let kind = self.table_source()?;
        let mut table = TableExpr { kind, alias: None, is_final: false, sample: None, span: Span::default() };
        self.table_alias(&mut table)?;
        if self.eat_kw("FINAL") {
            table.is_final = true;
        }
        if self.eat_kw("SAMPLE") {
            let ratio = self.expr()?;
            let offset = if self.eat_kw("OFFSET") { Some(self.expr()?) } else { None };
            table.sample = Some(Sample { ratio, offset });
        }
        if table.alias.is_none() {
            self.table_alias(&mut table)?;
        }
        table.span = self.span_since(first);
        Ok(table)
    }

    fn table_alias(&mut self, table: &mut TableExpr) -> PResult<()> {
        if self.eat_kw("AS") {
            table.alias = Some(self.name()?.into());
        }
        Ok(())
    }

    fn table_source(&mut self) -> PResult<TableExprKind> {
        match self.kind() {
            TokenKind::LParen => {
                self.advance();
                let query = self.query()?;
                self.need(TokenKind::RParen)?;
                Ok(TableExprKind::Subquery(Box::new(query)))
            }
            TokenKind::Word | TokenKind::Quoted if self.kind_ahead(1) == TokenKind::LParen => {
                Ok(TableExprKind::Function(Box::new(self.table_function()?)))
            }
            TokenKind::Word | TokenKind::Quoted | TokenKind::LBrace => Ok(TableExprKind::Name(self.object_name()?)),
            _ => Err(self.unexpected("stream, table function or subquery")),
        }
    }

    #[inline(never)]
    pub(super) fn table_function(&mut self) -> PResult<Function> {
        let mut function = Function::new(self.name()?, Vec::new());
        self.need(TokenKind::LParen)?;
        self.arguments(&mut function)?;
        Ok(function)
    }

    /// `[database.]name`
    pub fn object_name(&mut self) -> PResult<ObjectName> {
        let first = self.index();
        let mut name = if self.at(TokenKind::LBrace) { self.name_parameter()? } else { self.name()? };
        let mut database = None;
        if self.at(TokenKind::Dot) {
            self.advance();
            let next = if self.at(TokenKind::LBrace) { self.name_parameter()? } else { self.name_after_dot()? };
            database = Some(std::mem::replace(&mut name, next));
        }
        Ok(ObjectName { database, name, span: self.span_since(first) })
    }

    /// `{name:Identifier}` as it is written: whoever looks the name up knows the parameters. See
    /// [`ObjectName::parameter`](crate::ast::ObjectName::parameter).
    fn name_parameter(&mut self) -> PResult<String> {
        self.advance();
        let name = self.name()?;
        self.need(TokenKind::Colon)?;
        if !self.eat_kw("IDENTIFIER") {
            return Err(self.unexpected("Identifier"));
        }
        self.need(TokenKind::RBrace)?;
        Ok(format!("{{{name}:Identifier}}"))
    }

    /// After a dot a name may consist of digits.
    fn name_after_dot(&mut self) -> PResult<String> {
        if self.at(TokenKind::Number) {
            let token = self.advance();
            return Ok(self.str_of(token).to_owned());
        }
        self.name()
    }
}
