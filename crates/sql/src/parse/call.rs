//! Calls: arguments, the keyword forms of some functions, and what may follow the closing parenthesis.

use super::cursor::{PResult, Parser};
use super::expr::range_of;
use super::operator::{chain_op, join_chain};
use super::word::{interval_call, unit_of};
use crate::ast::*;
use crate::lexer::TokenKind;

impl Parser<'_> {
    /// `name(…)` with FILTER, OVER and the rest.
    #[inline(never)]
    pub(super) fn call(&mut self) -> PResult<Expr> {
        let quoted = self.at(TokenKind::Quoted);
        let name = self.name()?;
        let ternary = std::mem::replace(&mut self.in_ternary, false);
        self.need(TokenKind::LParen)?;
        if !quoted && let Some(special) = self.keyword_form(&name)? {
            self.in_ternary = ternary;
            return Ok(special);
        }
        let mut function = Function::new(name, Vec::new());
        self.arguments(&mut function)?;
        self.in_ternary = ternary;
        self.after_call(&mut function)?;
        Ok(canonical(function))
    }

    /// Arguments up to the closing parenthesis; a bare query is one argument.
    #[inline(never)]
    pub(super) fn arguments(&mut self, function: &mut Function) -> PResult<()> {
        if self.eat(TokenKind::RParen) {
            return Ok(());
        }
        if self.is_word(0, "DISTINCT")
            && !matches!(self.kind_ahead(1), TokenKind::Comma | TokenKind::RParen | TokenKind::Dot)
        {
            self.advance();
            function.distinct = true;
        } else if self.is_word(0, "ALL")
            && matches!(self.kind_ahead(1), TokenKind::Word | TokenKind::Quoted | TokenKind::Number)
            && !self.is_word(1, "AS")
        {
            self.advance();
        }
        if self.at_query(0) {
            let query = self.query()?;
            function.args.push(ExprKind::Subquery(Box::new(query)).into());
        } else {
            function.args = self.expr_list()?;
            names_to_lambda(&mut function.args);
        }
        self.nulls_action(function);
        self.need(TokenKind::RParen)?;
        if function.name.eq_ignore_ascii_case("session") {
            function.args.iter_mut().skip(1).for_each(bracketed_to_range);
        }
        Ok(())
    }

    fn nulls_action(&mut self, function: &mut Function) {
        if self.eat_kw("RESPECT NULLS") {
            function.nulls = Some(NullsAction::Respect);
        } else if self.eat_kw("IGNORE NULLS") {
            function.nulls = Some(NullsAction::Ignore);
        }
    }

    #[inline(never)]
    fn after_call(&mut self, function: &mut Function) -> PResult<()> {
        if !self.at(TokenKind::Word) {
            return Ok(());
        }
        self.nulls_action(function);
        if self.is_word(0, "FILTER") && self.kind_ahead(1) == TokenKind::LParen {
            self.advance();
            self.advance();
            self.need_kw("WHERE")?;
            function.filter = Some(self.expr()?);
            self.need(TokenKind::RParen)?;
        }
        self.nulls_action(function);
        if self.is_word(0, "OVER")
            && matches!(self.kind_ahead(1), TokenKind::LParen | TokenKind::Word | TokenKind::Quoted)
        {
            self.advance();
            function.over = Some(if self.at(TokenKind::LParen) {
                Over::Spec(self.window_spec()?)
            } else {
                Over::Name(self.name()?)
            });
        }
        Ok(())
    }

    /// The functions that take keywords inside their parentheses. `None`: an ordinary call, nothing taken.
    #[inline(never)]
    fn keyword_form(&mut self, name: &str) -> PResult<Option<Expr>> {
        if name.len() > 14 {
            return Ok(None);
        }
        match name.to_ascii_lowercase().as_str() {
            "cast" => self.cast_call(name).map(Some),
            "extract" => self.extract(),
            "substring" | "substr" | "mid" => self.substring(name),
            "trim" => self.trim(),
            "position" => self.position(name),
            "date_add" | "dateadd" | "timestamp_add" | "timestampadd" => self.date_arithmetic(ChainOp::Plus).map(Some),
            "date_sub" | "datesub" | "timestamp_sub" | "timestampsub" => self.date_arithmetic(ChainOp::Minus).map(Some),
            "date_diff" | "datediff" | "timestamp_diff" | "timestampdiff" => self.date_difference(),
            _ => Ok(None),
        }
    }

    /// `cast(x AS type)`, `cast(x, 'type')`, `cast(x AS alias, 'type')`
    #[inline(never)]
    fn cast_call(&mut self, name: &str) -> PResult<Expr> {
        let mut operand = self.expr()?;
        let mut ty = None;
        while self.eat_kw("AS") {
            let written = self.type_name()?;
            if matches!(self.kind(), TokenKind::Comma) || self.is_word(0, "AS") {
                operand.alias = Some(written.name.into());
            } else {
                ty = Some(Expr::string(written.to_string()));
                break;
            }
        }
        let mut args = vec![operand];
        match ty {
            Some(ty) => args.push(ty),
            None => {
                while self.eat(TokenKind::Comma) {
                    args.push(self.aliased_expr()?);
                }
            }
        }
        self.need(TokenKind::RParen)?;
        let name = if name.eq_ignore_ascii_case("cast") { "cast" } else { name };
        Ok(Expr::call(name, args))
    }

    /// `extract(YEAR FROM x)` is `to_year(x)`.
    #[inline(never)]
    fn extract(&mut self) -> PResult<Option<Expr>> {
        if !self.is_word(1, "FROM") {
            return Ok(None);
        }
        let token = self.token();
        let function = match unit_of(self.str_of(token)) {
            Some("second") => "to_second",
            Some("minute") => "to_minute",
            Some("hour") => "to_hour",
            Some("day") => "to_day_of_month",
            Some("month") => "to_month",
            Some("quarter") => "to_quarter",
            Some("year") => "to_year",
            _ => return Ok(None),
        };
        self.advance();
        self.advance();
        let operand = self.aliased_expr()?;
        self.need(TokenKind::RParen)?;
        Ok(Some(Expr::call(function, vec![operand])))
    }

    /// `substring(x FROM a [FOR b])`
    #[inline(never)]
    fn substring(&mut self, name: &str) -> PResult<Option<Expr>> {
        if self.at(TokenKind::RParen) {
            return Ok(None);
        }
        let mut args = vec![self.aliased_expr()?];
        if self.eat_kw("FROM") {
            args.push(self.aliased_expr()?);
            if self.eat_kw("FOR") {
                args.push(self.aliased_expr()?);
            }
        } else {
            while self.eat(TokenKind::Comma) {
                args.push(self.aliased_expr()?);
            }
        }
        self.need(TokenKind::RParen)?;
        Ok(Some(Expr::call(name, args)))
    }

    /// `trim([BOTH|LEADING|TRAILING] 'chars' FROM x)` replaces a character class at the ends.
    #[inline(never)]
    fn trim(&mut self) -> PResult<Option<Expr>> {
        let sides = ["BOTH", "LEADING", "TRAILING"];
        let Some(side) = sides.into_iter().find(|s| self.is_word(0, s) && self.kind_ahead(1) != TokenKind::RParen)
        else {
            return Ok(None);
        };
        if !matches!(self.kind_ahead(1), TokenKind::String | TokenKind::Heredoc) && !self.is_word(1, "FROM") {
            return Ok(None);
        }
        self.advance();
        let chars = if self.at_string() { Some(self.string()?) } else { None };
        self.need_kw("FROM")?;
        let operand = self.aliased_expr()?;
        self.need(TokenKind::RParen)?;
        Ok(Some(trimmed(side, chars, operand)))
    }

    /// `position(needle IN haystack)`
    #[inline(never)]
    fn position(&mut self, name: &str) -> PResult<Option<Expr>> {
        if self.at(TokenKind::RParen) {
            return Ok(None);
        }
        let mut args = self.expr_list()?;
        self.need(TokenKind::RParen)?;
        if let [Expr { kind: ExprKind::Function(f), .. }] = args.as_mut_slice()
            && f.name == "in"
            && f.style == Style::Infix
        {
            let mut operands = std::mem::take(&mut f.args);
            operands.reverse();
            args = operands;
        }
        Ok(Some(Expr::call(name, args)))
    }

    /// `date_add(DAY, 1, d)` and `date_add(d, INTERVAL 1 DAY)` are sums.
    #[inline(never)]
    fn date_arithmetic(&mut self, op: ChainOp) -> PResult<Expr> {
        let unit = self.leading_unit();
        let mut args = self.expr_list()?;
        self.need(TokenKind::RParen)?;
        if let Some(unit) = unit {
            if args.len() != 2 {
                return Err(self.unexpected("a number and a date"));
            }
            let amount = args.remove(0);
            args.push(interval_call(unit, amount));
        }
        Ok(canonical(Function::new(op.function(), args)))
    }

    /// `date_diff(DAY, a, b)`; the unit becomes a string.
    #[inline(never)]
    fn date_difference(&mut self) -> PResult<Option<Expr>> {
        let Some(unit) = self.leading_unit() else { return Ok(None) };
        let mut args = vec![Expr::string(unit)];
        args.extend(self.expr_list()?);
        self.need(TokenKind::RParen)?;
        Ok(Some(Expr::call("date_diff", args)))
    }

    /// `DAY,` at the start of the arguments.
    fn leading_unit(&mut self) -> Option<&'static str> {
        let token = self.token();
        if token.kind != TokenKind::Word || self.kind_ahead(1) != TokenKind::Comma {
            return None;
        }
        let unit = unit_of(self.str_of(token))?;
        self.advance();
        self.advance();
        Some(unit)
    }

    /// `( [base] [PARTITION BY …] [ORDER BY …] [frame] )`
    #[inline(never)]
    pub(super) fn window_spec(&mut self) -> PResult<WindowSpec> {
        self.need(TokenKind::LParen)?;
        let mut spec = WindowSpec::default();
        let clause = ["PARTITION", "ORDER", "ROWS", "RANGE", "GROUPS"].iter().any(|w| self.is_word(0, w));
        if self.at_name() && !clause {
            spec.base = Some(self.name()?);
        }
        if self.eat_kw("PARTITION BY") {
            spec.partition_by = self.expr_list()?;
        }
        if self.eat_kw("ORDER BY") {
            spec.order_by = self.order_items()?;
        }
        spec.frame = self.window_frame()?;
        self.need(TokenKind::RParen)?;
        Ok(spec)
    }

    fn window_frame(&mut self) -> PResult<Option<WindowFrame>> {
        let unit = match self.eat_any(&["ROWS", "RANGE", "GROUPS"]) {
            Some("ROWS") => FrameUnit::Rows,
            Some("RANGE") => FrameUnit::Range,
            Some(_) => FrameUnit::Groups,
            None => return Ok(None),
        };
        if !self.eat_kw("BETWEEN") {
            return Ok(Some(WindowFrame { unit, start: self.frame_bound()?, end: None }));
        }
        let start = self.frame_bound()?;
        self.need_kw("AND")?;
        let end = Some(self.frame_bound()?);
        Ok(Some(WindowFrame { unit, start, end }))
    }

    fn frame_bound(&mut self) -> PResult<FrameBound> {
        if self.eat_kw("CURRENT ROW") {
            return Ok(FrameBound::CurrentRow);
        }
        if self.eat_kw("UNBOUNDED PRECEDING") {
            return Ok(FrameBound::UnboundedPreceding);
        }
        if self.eat_kw("UNBOUNDED FOLLOWING") {
            return Ok(FrameBound::UnboundedFollowing);
        }
        let offset = self.expr_above(super::expr::BETWEEN)?;
        if self.eat_kw("PRECEDING") {
            return Ok(FrameBound::Preceding(offset));
        }
        self.need_kw("FOLLOWING")?;
        Ok(FrameBound::Following(offset))
    }
}

/// `[a, b]` and `(a, b)` among the arguments of `session` are ranges.
fn bracketed_to_range(arg: &mut Expr) {
    if let ExprKind::Function(f) = &mut arg.kind
        && matches!(f.style, Style::Brackets | Style::Parens)
        && f.args.len() == 2
    {
        let closed = f.style == Style::Brackets;
        if let Some(range) = range_of(std::mem::take(&mut f.args), closed, closed) {
            arg.kind = range.kind;
        }
    }
}

/// Calls by the name of an operator take the form that the operator has.
fn canonical(mut f: Function) -> Expr {
    let plain = !f.distinct && f.nulls.is_none() && f.filter.is_none() && f.over.is_none();
    if !plain {
        return f.into();
    }
    match (f.name.as_str(), f.args.len()) {
        ("and" | "or", 2..)
        | ("like" | "not_like" | "ilike" | "not_ilike" | "in" | "not_in" | "global_in" | "global_not_in", 2) => {
            f.style = Style::Infix;
        }
        ("not" | "negate", 1) => f.style = Style::Prefix,
        ("is_null" | "is_not_null", 1) => f.style = Style::Postfix,
        ("array_element", 2) => f.style = Style::Subscript,
        (name, 2) => {
            if let Some(op) = chain_op(name)
                && let Ok([mut left, right]) = <[Expr; 2]>::try_from(std::mem::take(&mut f.args))
            {
                join_chain(&mut left, op, right);
                return left;
            }
        }
        _ => {}
    }
    f.into()
}

fn trimmed(side: &str, chars: Option<String>, operand: Expr) -> Expr {
    let Some(chars) = chars else {
        let name = match side {
            "LEADING" => "trim_left",
            "TRAILING" => "trim_right",
            _ => "trim_both",
        };
        return Expr::call(name, vec![operand]);
    };
    if chars.is_empty() {
        return operand;
    }
    let mut class = String::new();
    for c in chars.chars() {
        if c.is_ascii_punctuation() {
            class.push('\\');
        }
        class.push(c);
    }
    let (name, pattern) = match side {
        "LEADING" => ("replace_regexp_one", format!("^[{class}]+")),
        "TRAILING" => ("replace_regexp_one", format!("[{class}]+$")),
        _ => ("replace_regexp_all", format!("^[{class}]+|[{class}]+$")),
    };
    Expr::call(name, vec![operand, Expr::string(pattern), Expr::string("")])
}

/// `f(a, b -> …)` is `f((a, b) -> …)`: names before the first lambda are parameters of it.
fn names_to_lambda(args: &mut Vec<Expr>) {
    let Some(at) = args.iter().position(|a| matches!(a.kind, ExprKind::Lambda(_))) else { return };
    let name = |e: &Expr| match &e.kind {
        ExprKind::Identifier(i) if e.alias.is_none() => i.single().map(str::to_owned),
        _ => None,
    };
    let Some(mut params) = args[..at].iter().map(name).collect::<Option<Vec<_>>>() else { return };
    if let ExprKind::Lambda(lambda) = &mut args[at].kind {
        params.append(&mut lambda.params);
        lambda.params = params;
        args.drain(..at);
    }
}
