//! Queries: WITH, SELECT and its clauses, UNION and its kin, the pipe.

use super::cursor::{PResult, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

impl Parser<'_> {
    /// A query with everything that may combine it: `a UNION b EXCEPT c | SELECT …`.
    ///
    /// A query takes as much stack as two expressions, and counts as two.
    pub fn query(&mut self) -> PResult<Query> {
        self.enter()?;
        self.enter()?;
        let outer = std::mem::replace(&mut self.height, 0);
        let ternary = std::mem::replace(&mut self.in_ternary, false);
        let first = self.index();
        let body = self.set_operations()?;
        let mut query = Query { body, pipe: Vec::new(), span: Span::default() };
        while self.eat(TokenKind::Pipe) {
            query.pipe.push(self.pipe_stage()?);
        }
        query.span = self.span_since(first);
        self.in_ternary = ternary;
        self.height = outer.max(self.height + 2);
        self.leave();
        self.leave();
        Ok(query)
    }

    #[inline(never)]
    fn pipe_stage(&mut self) -> PResult<Query> {
        let first = self.index();
        let body = self.set_operations()?;
        Ok(Query { body, pipe: Vec::new(), span: self.span_since(first) })
    }

    /// UNION and EXCEPT from the left, INTERSECT tighter.
    fn set_operations(&mut self) -> PResult<QueryBody> {
        let first = self.intersections()?;
        let mut rest = Vec::new();
        loop {
            let kind = if self.eat_kw("UNION") {
                SetKind::Union
            } else if self.eat_kw("EXCEPT") {
                SetKind::Except
            } else {
                break;
            };
            let quantifier = self.quantifier();
            rest.push((SetOperator { kind, quantifier }, self.intersections()?));
        }
        Ok(combine(first, rest))
    }

    fn intersections(&mut self) -> PResult<QueryBody> {
        let first = self.query_operand()?;
        let mut rest = Vec::new();
        while self.eat_kw("INTERSECT") {
            let quantifier = self.quantifier();
            rest.push((SetOperator { kind: SetKind::Intersect, quantifier }, self.query_operand()?));
        }
        Ok(combine(first, rest))
    }

    fn quantifier(&mut self) -> Option<SetQuantifier> {
        if self.eat_kw("ALL") {
            Some(SetQuantifier::All)
        } else if self.eat_kw("DISTINCT") {
            Some(SetQuantifier::Distinct)
        } else {
            None
        }
    }

    fn query_operand(&mut self) -> PResult<QueryBody> {
        self.count_nodes(1)?;
        if self.eat(TokenKind::LParen) {
            let query = self.query()?;
            self.need(TokenKind::RParen)?;
            return Ok(QueryBody::Nested(Box::new(query)));
        }
        Ok(QueryBody::Select(self.select()?))
    }

    #[inline(never)]
    fn select(&mut self) -> PResult<Box<Select>> {
        let first = self.index();
        let mut select = Box::new(Select::default());
        if self.eat_kw("WITH") {
            self.with_items(&mut select)?;
        }
        let from_first = self.eat_kw("FROM");
        if from_first {
            select.from = Some(self.tables()?);
        }
        self.need_kw("SELECT")?;
        self.select_list(&mut select)?;
        if !from_first {
            if self.eat_kw("FROM") {
                select.from = Some(self.tables()?);
            } else if self.is_kw("ARRAY JOIN") || self.is_kw("LEFT ARRAY JOIN") {
                select.from = Some(self.only_array_joins()?);
            }
        }
        self.filters(&mut select)?;
        self.grouping(&mut select)?;
        self.ordering(&mut select)?;
        self.limits(&mut select)?;
        self.trailer(&mut select)?;
        select.span = self.span_since(first);
        Ok(select)
    }

    #[inline(never)]
    fn with_items(&mut self, select: &mut Select) -> PResult<()> {
        let recursive = self.is_word(0, "RECURSIVE") && !self.is_word(1, "AS");
        if recursive {
            self.advance();
        }
        loop {
            let item = self.with_item(recursive)?;
            select.with.push(item);
            if !self.eat(TokenKind::Comma) {
                return Ok(());
            }
        }
    }

    #[inline(never)]
    fn with_item(&mut self, recursive: bool) -> PResult<WithItem> {
        let behind = 1 + self.names_ahead(1);
        let named_query = self.at_name()
            && self.is_word(behind, "AS")
            && self.kind_ahead(behind + 1) == TokenKind::LParen
            && self.query_behind(behind + 1);
        if named_query {
            let name = self.name()?;
            let columns = if behind > 1 { self.parens(|p| p.name())? } else { Vec::new() };
            self.advance();
            self.need(TokenKind::LParen)?;
            let query = Box::new(self.query()?);
            self.need(TokenKind::RParen)?;
            return Ok(WithItem::Query { name, columns, recursive, query });
        }
        let expr = self.aliased_expr()?;
        Ok(WithItem::Expr(expr))
    }

    /// Whether a query opens at or behind the parentheses that start `ahead` tokens from here.
    /// Tokens of `(name, …)` at `ahead`; 0: something else stands there.
    fn names_ahead(&mut self, ahead: usize) -> usize {
        if self.kind_ahead(ahead) != TokenKind::LParen {
            return 0;
        }
        let mut at = ahead + 1;
        while matches!(self.kind_ahead(at), TokenKind::Word | TokenKind::Quoted) {
            match self.kind_ahead(at + 1) {
                TokenKind::Comma => at += 2,
                TokenKind::RParen => return at + 2 - ahead,
                _ => return 0,
            }
        }
        0
    }

    fn query_behind(&mut self, mut ahead: usize) -> bool {
        while self.kind_ahead(ahead) == TokenKind::LParen && ahead < super::DEPTH_MAX {
            ahead += 1;
        }
        self.at_query(ahead)
    }

    #[inline(never)]
    fn select_list(&mut self, select: &mut Select) -> PResult<()> {
        if !self.eat_kw("ALL")
            && self.is_word(0, "DISTINCT")
            && !matches!(self.kind_ahead(1), TokenKind::Comma | TokenKind::Dot)
        {
            self.advance();
            let mut distinct = Distinct::default();
            if self.is_word(0, "ON") && self.kind_ahead(1) == TokenKind::LParen {
                self.advance();
                distinct.on = self.parens(|p| p.aliased_expr())?;
            }
            select.distinct = Some(distinct);
        }
        if self.is_word(0, "TOP") && matches!(self.kind_ahead(1), TokenKind::Number | TokenKind::LParen) {
            self.advance();
            let count = if self.eat(TokenKind::LParen) {
                let count = self.expr()?;
                self.need(TokenKind::RParen)?;
                count
            } else {
                self.number(false)?
            };
            select.top = Some(Top { count, with_ties: self.eat_kw("WITH TIES") });
        }
        select.projection = self.expr_list()?;
        Ok(())
    }

    #[inline(never)]
    fn filters(&mut self, select: &mut Select) -> PResult<()> {
        if self.eat_kw("PREWHERE") {
            select.prewhere = Some(self.aliased_expr()?);
        }
        if self.eat_kw("WHERE") {
            select.filter = Some(self.aliased_expr()?);
        }
        loop {
            if select.partition_by.is_empty() && self.eat_kw("PARTITION BY") {
                select.partition_by = self.expr_list()?;
            } else if select.shuffle_by.is_empty() && self.is_kw("SHUFFLE BY") {
                let place = self.token();
                self.advance();
                self.advance();
                select.shuffle_by = self.expr_list()?;
                let plain = |e: &Expr| e.alias.is_none() && matches!(e.kind, ExprKind::Identifier(_));
                if !select.shuffle_by.iter().all(plain) {
                    return Err(self.error_at(place, "SHUFFLE BY with column names only"));
                }
            } else {
                break;
            }
        }
        if !select.partition_by.is_empty() && !select.shuffle_by.is_empty() {
            return Err(self.unexpected("either PARTITION BY or SHUFFLE BY"));
        }
        Ok(())
    }

    #[inline(never)]
    fn grouping(&mut self, select: &mut Select) -> PResult<()> {
        if self.eat_kw("GROUP BY") {
            select.group_by = Some(self.group_by()?);
        }
        self.group_modifiers(select)?;
        if self.eat_kw("HAVING") {
            select.having = Some(self.aliased_expr()?);
        }
        if self.is_word(0, "WINDOW") {
            self.advance();
            select.windows = self.list(|p| {
                let name = p.name()?;
                p.need_kw("AS")?;
                Ok(NamedWindow { name, spec: p.window_spec()? })
            })?;
        }
        if self.eat_kw("QUALIFY") {
            select.qualify = Some(self.aliased_expr()?);
        }
        Ok(())
    }

    fn group_by(&mut self) -> PResult<GroupBy> {
        let call = |p: &mut Self, word: &str| p.is_word(0, word) && p.kind_ahead(1) == TokenKind::LParen;
        let kind = if call(self, "ROLLUP") {
            self.advance();
            GroupByKind::Rollup(self.parens(|p| p.aliased_expr())?)
        } else if call(self, "CUBE") {
            self.advance();
            GroupByKind::Cube(self.parens(|p| p.aliased_expr())?)
        } else if self.eat_kw("GROUPING SETS") {
            GroupByKind::GroupingSets(self.parens(|p| {
                if p.at(TokenKind::LParen) { p.parens(|p| p.aliased_expr()) } else { Ok(vec![p.aliased_expr()?]) }
            })?)
        } else {
            GroupByKind::Plain(self.expr_list()?)
        };
        Ok(GroupBy { kind, with_totals: false })
    }

    /// WITH TOTALS, ROLLUP, CUBE, in any order.
    fn group_modifiers(&mut self, select: &mut Select) -> PResult<()> {
        while let Some(word) = self.eat_any(&["WITH TOTALS", "WITH ROLLUP", "WITH CUBE"]) {
            let group_by = select.group_by.get_or_insert_with(GroupBy::default);
            if word == "WITH TOTALS" && !group_by.with_totals {
                group_by.with_totals = true;
                continue;
            }
            let GroupByKind::Plain(keys) = &mut group_by.kind else {
                return Err(self.unexpected("one of ROLLUP, CUBE and GROUPING SETS"));
            };
            let keys = std::mem::take(keys);
            group_by.kind = if word == "WITH CUBE" { GroupByKind::Cube(keys) } else { GroupByKind::Rollup(keys) };
        }
        Ok(())
    }

    #[inline(never)]
    fn ordering(&mut self, select: &mut Select) -> PResult<()> {
        if !self.eat_kw("ORDER BY") {
            return Ok(());
        }
        select.order_by = self.order_items()?;
        if self.eat_kw("INTERPOLATE") {
            select.interpolate = Some(Vec::new());
            if self.at(TokenKind::LParen) {
                select.interpolate = Some(self.parens(|p| {
                    let name = p.identifier()?.full();
                    let expr = if p.eat_kw("AS") { Some(p.expr()?) } else { None };
                    Ok(Interpolate { name, expr })
                })?);
            }
        }
        Ok(())
    }

    #[inline(never)]
    pub(super) fn order_items(&mut self) -> PResult<Vec<OrderItem>> {
        self.list(|p| p.order_item())
    }

    fn order_item(&mut self) -> PResult<OrderItem> {
        let expr = self.aliased_expr()?;
        let mut item = OrderItem { expr, descending: false, nulls_first: None, collate: None, fill: None };
        let word = self.eat_any(&["DESC", "DESCENDING", "ASC", "ASCENDING"]);
        item.descending = word.is_some_and(|w| w.starts_with("DESC"));
        if self.eat_kw("NULLS FIRST") {
            item.nulls_first = Some(true);
        } else if self.eat_kw("NULLS LAST") {
            item.nulls_first = Some(false);
        }
        if self.eat_kw("COLLATE") {
            item.collate = Some(self.name_or_string()?);
        }
        if self.eat_kw("WITH FILL") {
            let mut fill = Fill::default();
            if self.eat_kw("FROM") {
                fill.from = Some(self.expr()?);
            }
            if self.eat_kw("TO") {
                fill.to = Some(self.expr()?);
            }
            if self.eat_kw("STEP") {
                fill.step = Some(self.expr()?);
            }
            item.fill = Some(fill);
        }
        Ok(item)
    }

    /// `LIMIT [o,] n [WITH TIES] [BY …]`, `LIMIT n OFFSET o`, `OFFSET o ROWS FETCH FIRST n ROWS ONLY`
    #[inline(never)]
    fn limits(&mut self, select: &mut Select) -> PResult<()> {
        while self.is_kw("LIMIT") {
            let place = self.token();
            self.advance();
            let limit = self.limit_values()?;
            if self.eat_kw("BY") {
                if select.limit_by.is_some() || limit.with_ties {
                    return Err(self.error_at(place, "one LIMIT BY"));
                }
                let Some(count) = limit.count else { return Err(self.unexpected("number of rows")) };
                select.limit_by = Some(LimitBy { count, offset: limit.offset, by: self.expr_list()? });
            } else if select.limit.is_some() {
                return Err(self.error_at(place, "one LIMIT"));
            } else {
                select.limit = Some(limit);
            }
        }
        if self.is_kw("OFFSET") && select.limit.as_ref().is_none_or(|l| l.offset.is_none()) {
            self.advance();
            self.offset_fetch(select)?;
        } else if self.is_kw("FETCH") && select.limit.is_none() {
            self.fetch(select, None)?;
        }
        Ok(())
    }

    fn limit_values(&mut self) -> PResult<Limit> {
        let mut count = self.expr()?;
        let mut offset = None;
        if self.eat(TokenKind::Comma) {
            offset = Some(std::mem::replace(&mut count, self.expr()?));
        } else if self.eat_kw("OFFSET") {
            offset = Some(self.expr()?);
        }
        let with_ties = self.eat_kw("WITH TIES");
        Ok(Limit { count: Some(count), offset, with_ties })
    }

    fn offset_fetch(&mut self, select: &mut Select) -> PResult<()> {
        let offset = self.expr()?;
        if let Some(limit) = &mut select.limit {
            limit.offset = Some(offset);
            return Ok(());
        }
        let rows = self.eat_any(&["ROWS", "ROW"]).is_some();
        if rows && self.is_kw("FETCH") {
            return self.fetch(select, Some(offset));
        }
        select.limit = Some(Limit { count: None, offset: Some(offset), with_ties: false });
        Ok(())
    }

    fn fetch(&mut self, select: &mut Select, offset: Option<Expr>) -> PResult<()> {
        self.need_kw("FETCH")?;
        if self.eat_any(&["FIRST", "NEXT"]).is_none() {
            return Err(self.unexpected("FIRST or NEXT"));
        }
        let count = if self.is_kw("ROW") || self.is_kw("ROWS") { Literal::UInt(1).into() } else { self.expr()? };
        if self.eat_any(&["ROWS", "ROW"]).is_none() {
            return Err(self.unexpected("ROWS"));
        }
        let with_ties = self.eat_kw("WITH TIES");
        if !with_ties {
            self.need_kw("ONLY")?;
        }
        select.limit = Some(Limit { count: Some(count), offset, with_ties });
        Ok(())
    }

    /// EMIT and SETTINGS, in either order, each once.
    #[inline(never)]
    fn trailer(&mut self, select: &mut Select) -> PResult<()> {
        loop {
            if select.emit.is_none() && self.eat_kw("EMIT") {
                select.emit = Some(Box::new(self.emit()?));
            } else if select.settings.is_empty() && self.eat_kw("SETTINGS") {
                select.settings = self.settings()?;
            } else {
                return Ok(());
            }
        }
    }

    /// `name = value {, name = value}`
    #[inline(never)]
    pub(super) fn settings(&mut self) -> PResult<Vec<Setting>> {
        self.list(|p| p.setting())
    }

    fn setting(&mut self) -> PResult<Setting> {
        let first = self.index();
        let name = self.identifier()?.full();
        self.need(TokenKind::Equals)?;
        let composite = matches!(self.kind(), TokenKind::LBrace | TokenKind::LBracket | TokenKind::LParen);
        if composite && name.starts_with("param_") {
            let text = self.balanced_text()?;
            let value = SettingValue::Literal(Literal::string(text));
            return Ok(Setting { name, value, span: self.span_since(first) });
        }
        let value = self.setting_value()?;
        Ok(Setting { name, value, span: self.span_since(first) })
    }

    /// The text up to the bracket that closes the one here: maps have no other syntax.
    fn balanced_text(&mut self) -> PResult<String> {
        let first = self.index();
        let mut depth = 0usize;
        loop {
            match self.kind() {
                TokenKind::LParen | TokenKind::LBracket | TokenKind::LBrace => depth += 1,
                TokenKind::RParen | TokenKind::RBracket | TokenKind::RBrace => depth -= 1,
                TokenKind::End | TokenKind::Semicolon | TokenKind::Bad(_) => return Err(self.unexpected("}")),
                _ => {}
            }
            self.advance();
            if depth == 0 {
                return Ok(self.span_since(first).of(self.text).to_owned());
            }
        }
    }

    pub(super) fn setting_value(&mut self) -> PResult<SettingValue> {
        if self.is_word(0, "DEFAULT") {
            self.advance();
            return Ok(SettingValue::Default);
        }
        let expr = self.expr()?;
        Ok(match expr.kind {
            ExprKind::Literal(literal) => SettingValue::Literal(literal),
            _ => SettingValue::Expr(expr),
        })
    }
}

fn combine(first: QueryBody, rest: Vec<(SetOperator, QueryBody)>) -> QueryBody {
    if rest.is_empty() { first } else { QueryBody::Set(Box::new(SetOperation { first, rest })) }
}
