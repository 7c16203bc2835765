//! CREATE DICTIONARY.

use super::create::Verb;
use super::cursor::{PResult, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

impl Parser<'_> {
    #[inline(never)]
    pub(super) fn create_dictionary(&mut self, verb: Verb) -> PResult<StatementKind> {
        let mut dictionary = Box::new(CreateDictionary {
            attach: verb.attach,
            or_replace: verb.or_replace,
            if_not_exists: self.if_not_exists(),
            name: self.object_name()?,
            uuid: self.uuid()?,
            on_cluster: self.on_cluster()?,
            attributes: Vec::new(),
            primary_key: Vec::new(),
            source: None,
            lifetime: None,
            layout: None,
            range: None,
            settings: Vec::new(),
            comment: None,
        });
        if self.at(TokenKind::LParen) {
            dictionary.attributes = self.parens(|p| p.dictionary_attribute())?;
        }
        while self.dictionary_clause(&mut dictionary)? {}
        Ok(StatementKind::CreateDictionary(dictionary))
    }

    fn dictionary_attribute(&mut self) -> PResult<DictionaryAttribute> {
        let mut attribute = DictionaryAttribute {
            name: self.name()?,
            ty: self.type_name()?,
            default: None,
            expression: None,
            hierarchical: false,
            injective: false,
            is_object_id: false,
        };
        loop {
            if self.eat_kw("DEFAULT") {
                attribute.default = Some(self.expr()?);
            } else if self.eat_kw("EXPRESSION") {
                attribute.expression = Some(self.expr()?);
            } else if self.eat_kw("HIERARCHICAL") {
                attribute.hierarchical = true;
            } else if self.eat_kw("INJECTIVE") {
                attribute.injective = true;
            } else if self.eat_kw("IS_OBJECT_ID") {
                attribute.is_object_id = true;
            } else {
                return Ok(attribute);
            }
        }
    }

    fn dictionary_clause(&mut self, dictionary: &mut CreateDictionary) -> PResult<bool> {
        if self.eat_kw("PRIMARY KEY") {
            dictionary.primary_key =
                if self.at(TokenKind::LParen) { self.parens(|p| p.name())? } else { self.list(|p| p.name())? };
        } else if self.eat_kw("SOURCE") {
            dictionary.source = Some(self.dictionary_block()?);
        } else if self.eat_kw("LAYOUT") {
            dictionary.layout = Some(self.dictionary_block()?);
        } else if self.eat_kw("LIFETIME") {
            self.need(TokenKind::LParen)?;
            let range = self.lifetime()?;
            self.need(TokenKind::RParen)?;
            dictionary.lifetime = Some(range);
        } else if self.eat_kw("RANGE") {
            self.need(TokenKind::LParen)?;
            self.need_kw("MIN")?;
            let min = self.name()?;
            self.need_kw("MAX")?;
            dictionary.range = Some((min, self.name()?));
            self.need(TokenKind::RParen)?;
        } else if self.is_kw("SETTINGS") {
            self.advance();
            let parens = self.eat(TokenKind::LParen);
            dictionary.settings = self.settings()?;
            if parens {
                self.need(TokenKind::RParen)?;
            }
        } else if self.eat_kw("COMMENT") {
            dictionary.comment = Some(self.string()?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// `300`, `MIN 0 MAX 300`, `MAX 300 MIN 0`
    fn lifetime(&mut self) -> PResult<(u64, u64)> {
        if self.eat_kw("MIN") {
            let min = self.unsigned()?;
            self.need_kw("MAX")?;
            return Ok((min, self.unsigned()?));
        }
        if self.eat_kw("MAX") {
            let max = self.unsigned()?;
            self.need_kw("MIN")?;
            return Ok((self.unsigned()?, max));
        }
        Ok((0, self.unsigned()?))
    }

    /// `( NAME( key value … ) )`, also `( NAME )`
    fn dictionary_block(&mut self) -> PResult<DictionaryBlock> {
        self.need(TokenKind::LParen)?;
        let name = self.name()?;
        let mut entries = Vec::new();
        if self.eat(TokenKind::LParen) {
            entries = self.dictionary_entries()?;
            self.need(TokenKind::RParen)?;
        }
        self.need(TokenKind::RParen)?;
        Ok(DictionaryBlock { name, entries })
    }

    fn dictionary_entries(&mut self) -> PResult<Vec<DictionaryEntry>> {
        self.enter()?;
        let mut entries = Vec::new();
        while self.at_name() {
            let key = self.name()?;
            let value = match self.kind() {
                TokenKind::LParen => {
                    self.advance();
                    let nested = self.dictionary_entries()?;
                    self.need(TokenKind::RParen)?;
                    DictionaryValue::Nested(nested)
                }
                TokenKind::RParen => DictionaryValue::None,
                _ => DictionaryValue::Expr(self.expr_above(super::expr::NEGATE)?),
            };
            entries.push(DictionaryEntry { key, value });
        }
        self.leave();
        Ok(entries)
    }
}
