//! Operators between and after operands.

use super::cursor::{PResult, Parser};
use super::expr::*;
use crate::ast::*;
use crate::lexer::TokenKind;

/// What stands after an operand.
#[derive(Clone, Copy, PartialEq)]
enum Op {
    Chain(ChainOp),
    /// AND, OR, `||`: calls with any number of arguments.
    Merge(&'static str),
    /// LIKE, IN and their kin, with the tokens of the operator.
    Word(&'static str, usize),
    Between {
        not: bool,
    },
    IsNull {
        not: bool,
    },
    /// IS [NOT] DISTINCT FROM
    IsDistinct {
        not: bool,
    },
    Ternary,
    Lambda,
    Subscript,
    Dot,
    Cast,
}

impl Op {
    fn level(self) -> u8 {
        match self {
            Op::Chain(op) => level_of(op),
            Op::Merge("or") => OR,
            Op::Merge("and") => AND,
            Op::Merge(_) => CONCAT,
            Op::Word(..) | Op::IsDistinct { .. } => COMPARE,
            Op::Between { .. } => BETWEEN,
            Op::IsNull { .. } => IS,
            Op::Ternary | Op::Lambda => LAMBDA,
            Op::Subscript | Op::Dot | Op::Cast => NEGATE + 1,
        }
    }
}

pub(super) fn level_of(op: ChainOp) -> u8 {
    match op {
        ChainOp::Plus | ChainOp::Minus => ADD,
        ChainOp::Multiply | ChainOp::Divide | ChainOp::Modulo | ChainOp::IntDiv => MULTIPLY,
        _ => COMPARE,
    }
}

impl Parser<'_> {
    /// Takes one operator of level `min` or tighter, with its other operands, into `left`. False if none stands here.
    /// `first` is the token at which `left` starts.
    pub(super) fn infix(
        &mut self,
        left: &mut Expr,
        min: u8,
        first: usize,
        merging: &mut Option<Merging>,
    ) -> PResult<bool> {
        let Some(op) = self.operator() else { return Ok(false) };
        let level = op.level();
        if level < min {
            return Ok(false);
        }
        self.count_nodes(1)?;
        match op {
            Op::Merge(name) => {
                self.advance();
                let right = self.expr_above(level + 1)?;
                let merges = merging.is_some_and(|m| m.level == level);
                push_operand(left, name, right, merges);
                *merging = Some(Merging { level, fresh: !merges });
                return Ok(true);
            }
            Op::Chain(op) => {
                self.advance();
                if self.at_quantified() {
                    self.quantified(left, op)?;
                } else {
                    let right = self.expr_above(level + 1)?;
                    let fresh = join_chain(left, op, right);
                    *merging = Some(Merging { level, fresh });
                    return Ok(true);
                }
            }
            Op::Word(name, tokens) => self.word_operator(left, name, tokens)?,
            Op::Between { not } => self.between(left, not)?,
            Op::IsNull { not } => self.is_null(left, not),
            Op::IsDistinct { not } => self.is_distinct(left, not)?,
            Op::Ternary => self.ternary(left)?,
            Op::Lambda => self.lambda(left)?,
            Op::Subscript => self.subscript(left)?,
            Op::Dot => self.dot(left)?,
            Op::Cast => self.cast_operator(left, first)?,
        }
        *merging = None;
        Ok(true)
    }

    fn operator(&mut self) -> Option<Op> {
        Some(match self.kind() {
            TokenKind::Plus => Op::Chain(ChainOp::Plus),
            TokenKind::Minus => Op::Chain(ChainOp::Minus),
            TokenKind::Star => Op::Chain(ChainOp::Multiply),
            TokenKind::Slash => Op::Chain(ChainOp::Divide),
            TokenKind::Percent => Op::Chain(ChainOp::Modulo),
            TokenKind::Equals => Op::Chain(ChainOp::Equals),
            TokenKind::NotEquals => Op::Chain(ChainOp::NotEquals),
            TokenKind::Less => Op::Chain(ChainOp::Less),
            TokenKind::LessOrEquals => Op::Chain(ChainOp::LessOrEquals),
            TokenKind::Greater => Op::Chain(ChainOp::Greater),
            TokenKind::GreaterOrEquals => Op::Chain(ChainOp::GreaterOrEquals),
            TokenKind::NotDistinct => Op::Chain(ChainOp::NotDistinct),
            TokenKind::Concat => Op::Merge("concat"),
            TokenKind::Question => Op::Ternary,
            TokenKind::Arrow => Op::Lambda,
            TokenKind::LBracket => Op::Subscript,
            TokenKind::DoubleColon => Op::Cast,
            TokenKind::Dot => Op::Dot,
            TokenKind::Word => return self.operator_word(),
            _ => {
                self.expect_here("operator");
                return None;
            }
        })
    }

    #[inline(never)]
    fn operator_word(&mut self) -> Option<Op> {
        let token = self.token();
        let word = self.str_of(token).as_bytes();
        let first = word.first().map_or(0, |b| b.to_ascii_uppercase());
        if word.len() > 7 {
            return None;
        }
        match first {
            b'A' if self.is_kw("AND") => Some(Op::Merge("and")),
            b'O' if self.is_kw("OR") => Some(Op::Merge("or")),
            b'L' if self.is_kw("LIKE") => Some(Op::Word("like", 1)),
            b'I' if self.is_kw("ILIKE") => Some(Op::Word("ilike", 1)),
            b'I' if self.is_kw("IN") && !self.at_in_partition() => Some(Op::Word("in", 1)),
            b'I' if self.is_kw("IS NULL") => Some(Op::IsNull { not: false }),
            b'I' if self.is_kw("IS NOT NULL") => Some(Op::IsNull { not: true }),
            b'I' if self.is_kw("IS DISTINCT FROM") => Some(Op::IsDistinct { not: false }),
            b'I' if self.is_kw("IS NOT DISTINCT FROM") => Some(Op::IsDistinct { not: true }),
            b'R' if self.is_kw("REGEXP") => Some(Op::Word("match", 1)),
            b'G' if self.is_kw("GLOBAL IN") => Some(Op::Word("global_in", 2)),
            b'G' if self.is_kw("GLOBAL NOT IN") => Some(Op::Word("global_not_in", 3)),
            b'D' if self.is_kw("DIV") => Some(Op::Chain(ChainOp::IntDiv)),
            b'M' if self.is_kw("MOD") => Some(Op::Chain(ChainOp::Modulo)),
            b'B' if self.is_kw("BETWEEN") => Some(Op::Between { not: false }),
            b'N' if self.is_kw("NOT BETWEEN") => Some(Op::Between { not: true }),
            b'N' if self.is_kw("NOT LIKE") => Some(Op::Word("not_like", 2)),
            b'N' if self.is_kw("NOT ILIKE") => Some(Op::Word("not_ilike", 2)),
            b'N' if self.is_kw("NOT IN") => Some(Op::Word("not_in", 2)),
            _ => None,
        }
    }

    /// IN PARTITION of ALTER UPDATE, which follows an expression.
    fn at_in_partition(&mut self) -> bool {
        self.is_word(1, "PARTITION")
            && (matches!(self.kind_ahead(2), TokenKind::Number | TokenKind::String | TokenKind::LParen)
                || self.is_word(2, "ID")
                || self.is_word(2, "ALL"))
    }

    #[inline(never)]
    fn word_operator(&mut self, left: &mut Expr, name: &'static str, tokens: usize) -> PResult<()> {
        for _ in 0..tokens {
            self.advance();
        }
        let right = self.expr_above(COMPARE + 1)?;
        replace(left, |left| Function::styled(name, vec![left, right], Style::Infix).into());
        Ok(())
    }

    /// `= ANY (SELECT …)` is IN and `!= ALL (SELECT …)` NOT IN; `= ALL` and `!= ANY` ask whether the subquery has one value and which;
    /// other comparisons are with its least or greatest value.
    fn at_quantified(&mut self) -> bool {
        (self.is_word(0, "ANY") || self.is_word(0, "ALL"))
            && self.kind_ahead(1) == TokenKind::LParen
            && (self.at_query(2) || self.kind_ahead(2) == TokenKind::LParen && self.at_query(3))
    }

    #[inline(never)]
    fn quantified(&mut self, left: &mut Expr, op: ChainOp) -> PResult<()> {
        let all = self.is_word(0, "ALL");
        let place = self.advance();
        let query = self.subquery()?;
        let aggregate = match (op, all) {
            (ChainOp::Equals, true) | (ChainOp::NotEquals, false) => Some("single_value_or_null"),
            (ChainOp::Less | ChainOp::LessOrEquals, true) => Some("min"),
            (ChainOp::Less | ChainOp::LessOrEquals, false) => Some("max"),
            (ChainOp::Greater | ChainOp::GreaterOrEquals, true) => Some("max"),
            (ChainOp::Greater | ChainOp::GreaterOrEquals, false) => Some("min"),
            _ => None,
        };
        let (name, query) = match (op, aggregate) {
            (ChainOp::Equals, _) => ("in", query),
            (ChainOp::NotEquals, _) => ("not_in", query),
            (ChainOp::Less | ChainOp::LessOrEquals | ChainOp::Greater | ChainOp::GreaterOrEquals, _) => {
                (op.function(), query)
            }
            _ => return Err(self.error_at(place, "a comparison before ANY or ALL of a subquery")),
        };
        let query = match aggregate {
            Some(aggregate) => aggregated(query, aggregate),
            None => query,
        };
        replace(left, |left| Function::styled(name, vec![left, query], Style::Infix).into());
        Ok(())
    }

    /// `x BETWEEN a AND b` is `x >= a AND x <= b`; the nodes of the second `x` count, as nesting doubles them each time.
    #[inline(never)]
    fn between(&mut self, left: &mut Expr, not: bool) -> PResult<()> {
        self.advance();
        if not {
            self.advance();
        }
        let low = self.expr_above(BETWEEN + 1)?;
        self.need_kw("AND")?;
        let high = self.expr_above(BETWEEN + 1)?;
        let mut copied = 0;
        left.walk(&mut |_| copied += 1);
        self.count_nodes(copied + 2)?;
        let (name, from, to) = if not {
            ("or", ChainOp::Less, ChainOp::Greater)
        } else {
            ("and", ChainOp::GreaterOrEquals, ChainOp::LessOrEquals)
        };
        let mut upper = left.clone();
        let mut lower = std::mem::replace(left, Literal::Null.into());
        join_chain(&mut lower, from, low);
        join_chain(&mut upper, to, high);
        *left = Function::styled(name, vec![lower, upper], Style::Infix).into();
        self.height += 1;
        Ok(())
    }

    #[inline(never)]
    fn is_null(&mut self, left: &mut Expr, not: bool) {
        self.advance();
        self.advance();
        if not {
            self.advance();
        }
        let name = if not { "is_not_null" } else { "is_null" };
        replace(left, |left| Function::styled(name, vec![left], Style::Postfix).into());
    }

    #[inline(never)]
    fn is_distinct(&mut self, left: &mut Expr, not: bool) -> PResult<()> {
        for _ in 0..3 + usize::from(not) {
            self.advance();
        }
        let right = self.expr_above(COMPARE + 1)?;
        join_chain(left, ChainOp::NotDistinct, right);
        if !not {
            replace(left, |same| Function::styled("not", vec![same], Style::Prefix).into());
            self.height += 1;
        }
        Ok(())
    }

    /// `c ? a : b` is `if(c, a, b)`.
    #[inline(never)]
    fn ternary(&mut self, left: &mut Expr) -> PResult<()> {
        self.advance();
        let outer = std::mem::replace(&mut self.in_ternary, true);
        let yes = self.expr_above(LAMBDA)?;
        self.in_ternary = outer;
        self.need(TokenKind::Colon)?;
        let no = self.expr_above(LAMBDA)?;
        replace(left, |condition| Function::new("if", vec![condition, yes, no]).into());
        Ok(())
    }

    /// `x -> …`, `(x, y) -> …`
    #[inline(never)]
    fn lambda(&mut self, left: &mut Expr) -> PResult<()> {
        let Some(params) = lambda_params(left) else { return Err(self.unexpected("lambda parameters before ->")) };
        self.advance();
        let body = self.expr_above(LAMBDA)?;
        *left = ExprKind::Lambda(Box::new(Lambda { params, body })).into();
        Ok(())
    }

    #[inline(never)]
    fn subscript(&mut self, left: &mut Expr) -> PResult<()> {
        let ternary = std::mem::replace(&mut self.in_ternary, false);
        self.advance();
        let index = self.aliased_expr()?;
        self.need(TokenKind::RBracket)?;
        self.in_ternary = ternary;
        replace(left, |left| Function::styled("array_element", vec![left, index], Style::Subscript).into());
        Ok(())
    }

    /// `t.1`, `t.-1`, `f(x).name`
    #[inline(never)]
    fn dot(&mut self, left: &mut Expr) -> PResult<()> {
        self.advance();
        let element: Expr = match self.kind() {
            TokenKind::Number => self.number(false)?,
            TokenKind::Minus if self.kind_ahead(1) == TokenKind::Number => {
                self.advance();
                self.number(true)?
            }
            TokenKind::Word | TokenKind::Quoted => Expr::string(self.name()?),
            _ => return Err(self.unexpected("tuple element")),
        };
        if matches!(element.kind, ExprKind::Literal(Literal::Float(_))) {
            return Err(self.unexpected("the position of a tuple element, a whole number"));
        }
        replace(left, |left| Function::styled("tuple_element", vec![left, element], Style::Dot).into());
        Ok(())
    }

    /// `x::type`; a constant goes in as its text: a decimal keeps all its digits.
    #[inline(never)]
    fn cast_operator(&mut self, left: &mut Expr, first: usize) -> PResult<()> {
        let text = self.constant_text(left, first);
        self.advance();
        let ty = self.type_name()?.to_string();
        let operand = match text {
            Some(text) => Expr { span: left.span, ..Expr::string(text) },
            None => std::mem::replace(left, Literal::Null.into()),
        };
        *left = Function::new("cast", vec![operand, Expr::string(ty)]).into();
        Ok(())
    }

    /// The text of a number, or of an array or tuple of constants.
    fn constant_text(&self, left: &Expr, first: usize) -> Option<Vec<u8>> {
        if left.alias.is_some() {
            return None;
        }
        let constant = match &left.kind {
            ExprKind::Literal(Literal::UInt(_) | Literal::Int(_) | Literal::Float(_) | Literal::BigInt(_)) => true,
            ExprKind::Function(f) => matches!(f.style, Style::Brackets | Style::Parens) && left.is_list_of_constants(),
            _ => return None,
        };
        let plain = |kind| {
            use TokenKind::*;
            matches!(kind, Number | String | Minus | Comma | LParen | RParen | LBracket | RBracket)
        };
        if !constant || !self.kinds_since(first).all(plain) || !is_written_out(left) {
            return None;
        }
        let literal_in_parens = left.as_literal().is_some() && self.kinds_since(first).any(|k| k == TokenKind::LParen);
        let text = self.span_since(first).of(self.text);
        (!literal_in_parens).then(|| text.as_bytes().to_vec())
    }
}

/// Whether the value is a constant, or an array or tuple of such: `[[1][1]]` has an element that is computed.
fn is_written_out(value: &Expr) -> bool {
    match &value.kind {
        ExprKind::Literal(_) => value.alias.is_none(),
        ExprKind::Function(f) => {
            (matches!(f.style, Style::Brackets | Style::Parens) && f.args.iter().all(is_written_out))
                || (f.name == "negate" && f.args.iter().all(is_written_out))
        }
        _ => false,
    }
}

/// The names of `x` or `(x, y)`.
fn lambda_params(left: &Expr) -> Option<Vec<String>> {
    let name = |e: &Expr| match (&e.kind, &e.alias) {
        (ExprKind::Identifier(i), None) => i.single().map(str::to_owned),
        _ => None,
    };
    match &left.kind {
        ExprKind::Identifier(_) => Some(vec![name(left)?]),
        ExprKind::Function(f) if f.name == "tuple" && left.alias.is_none() => f.args.iter().map(name).collect(),
        _ => None,
    }
}

/// Puts what `change` makes of the node in its place.
fn replace(slot: &mut Expr, change: impl FnOnce(Expr) -> Expr) {
    let old = std::mem::replace(slot, Literal::Null.into());
    *slot = change(old);
}

/// Adds an argument to the call `name` in `left`, or makes that call.
fn push_operand(left: &mut Expr, name: &'static str, right: Expr, merges: bool) {
    if merges && let ExprKind::Function(f) = &mut left.kind {
        f.args.push(right);
        return;
    }
    let style = if name == "concat" { Style::Call } else { Style::Infix };
    replace(left, |left| Function::styled(name, vec![left, right], style).into());
}

/// `left op right`. A left side that is itself an operation of that level grows into a chain; true if a new node was
/// put on top of it instead.
pub(super) fn join_chain(left: &mut Expr, op: ChainOp, right: Expr) -> bool {
    let level = level_of(op);
    let plain = left.alias.is_none();
    match &mut left.kind {
        ExprKind::Chain(chain) if plain && level_of(chain.rest[0].0) == level => {
            chain.rest.push((op, right));
            return false;
        }
        ExprKind::Function(f) if plain && f.style == Style::Infix && f.args.len() == 2 => {
            if let Some(inner) = chain_op(&f.name).filter(|inner| level_of(*inner) == level) {
                let mut args = std::mem::take(&mut f.args).into_iter();
                if let (Some(first), Some(second)) = (args.next(), args.next()) {
                    left.kind = ExprKind::Chain(Box::new(Chain { first, rest: vec![(inner, second), (op, right)] }));
                }
                return false;
            }
        }
        _ => {}
    }
    replace(left, |left| Function::styled(op.function(), vec![left, right], Style::Infix).into());
    true
}

/// The operator of a canonical function name.
pub(super) fn chain_op(name: &str) -> Option<ChainOp> {
    use ChainOp::*;
    [
        Plus,
        Minus,
        Multiply,
        Divide,
        Modulo,
        Equals,
        NotEquals,
        Less,
        LessOrEquals,
        Greater,
        GreaterOrEquals,
        IntDiv,
        NotDistinct,
    ]
    .into_iter()
    .find(|op| op.function() == name)
}

/// `(SELECT …)` as one value: `(SELECT name(*) FROM (SELECT …))`.
fn aggregated(subquery: Expr, name: &str) -> Expr {
    let ExprKind::Subquery(query) = subquery.kind else { return subquery };
    let span = query.span;
    let kind = TableExprKind::Subquery(query);
    let table = TableExpr { kind, alias: None, is_final: false, sample: None, span };
    let all = ExprKind::Asterisk(Box::new(Asterisk { qualifier: None, transformers: Vec::new() }));
    let select = Select {
        projection: vec![Expr::call(name, vec![all.into()])],
        from: Some(FromClause { first: Some(table), rest: Vec::new() }),
        span,
        ..Select::default()
    };
    let query = Query { body: QueryBody::Select(Box::new(select)), pipe: Vec::new(), span };
    ExprKind::Subquery(Box::new(query)).into()
}
