//! Type names.

use super::cursor::{PResult, Parser};
use super::expr::literal_number;
use crate::ast::*;
use crate::lexer::TokenKind;

impl Parser<'_> {
    pub fn type_name(&mut self) -> PResult<TypeName> {
        self.enter()?;
        self.count_nodes(1)?;
        if !self.at(TokenKind::Word) {
            return Err(self.unexpected("type"));
        }
        let name = self.name()?;
        let mut ty = TypeName { name, args: None };
        if self.at(TokenKind::LParen) {
            self.advance();
            ty.args = Some(self.type_args()?);
        }
        self.leave();
        Ok(ty)
    }

    #[inline(never)]
    fn type_args(&mut self) -> PResult<Vec<TypeArg>> {
        if self.eat(TokenKind::RParen) {
            return Ok(Vec::new());
        }
        let args = self.list(|p| p.type_arg())?;
        self.need(TokenKind::RParen)?;
        Ok(args)
    }

    #[inline(never)]
    fn type_arg(&mut self) -> PResult<TypeArg> {
        match self.kind() {
            TokenKind::String => self.string_arg(),
            TokenKind::Number | TokenKind::Minus => Ok(TypeArg::Literal(self.number_arg()?)),
            TokenKind::Word | TokenKind::Quoted => self.word_arg(),
            _ => Err(self.unexpected("type argument")),
        }
    }

    fn number_arg(&mut self) -> PResult<Literal> {
        let negative = self.eat(TokenKind::Minus);
        let token = self.token();
        match literal_number(self.str_of(token), negative) {
            Some(literal) if token.kind == TokenKind::Number => {
                self.advance();
                Ok(literal)
            }
            _ => Err(self.unexpected("number")),
        }
    }

    #[inline(never)]
    fn string_arg(&mut self) -> PResult<TypeArg> {
        let name = self.bytes()?;
        if !self.eat(TokenKind::Equals) {
            return Ok(TypeArg::Literal(Literal::String(name.into())));
        }
        let value = match self.number_arg()? {
            Literal::UInt(n) if n <= i64::MAX as u64 => n as i64,
            Literal::Int(n) => n,
            _ => return Err(self.unexpected("integer")),
        };
        Ok(TypeArg::EnumValue { name: name.into(), value })
    }

    /// `type`, or `name type`.
    #[inline(never)]
    fn word_arg(&mut self) -> PResult<TypeArg> {
        let mut dotted = 1;
        while self.kind_ahead(dotted) == TokenKind::Dot {
            dotted += 2;
        }
        let named = matches!(self.kind_ahead(dotted), TokenKind::Word | TokenKind::Quoted);
        if !named {
            return Ok(TypeArg::Type(self.type_name()?));
        }
        let name = self.identifier_of(dotted)?;
        Ok(TypeArg::Named { name, ty: self.type_name()? })
    }

    fn identifier_of(&mut self, tokens: usize) -> PResult<String> {
        let mut name = self.name()?;
        for _ in 0..tokens / 2 {
            self.advance();
            name.push('.');
            name.push_str(&self.name()?);
        }
        Ok(name)
    }
}
