//! The first word decides. Here too: INSERT, EXPLAIN, and what may follow any statement.

use super::cursor::{PResult, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;
use hydron_base::{Code, Error};

impl Parser<'_> {
    /// One statement with INTO OUTFILE, FORMAT and SETTINGS after it.
    pub fn statement(&mut self) -> PResult<Statement> {
        let first = self.index();
        if matches!(self.kind(), TokenKind::End | TokenKind::Semicolon) {
            let place = self.start() as usize;
            let position = hydron_base::Position::in_text(self.text, place);
            return Err(Box::new(Error::new(Code::SYNTAX_ERROR, "Syntax error: empty query").at(position)));
        }
        let mut kind = self.statement_kind()?;
        let mut output = match kind {
            StatementKind::Insert(_) => Output::default(),
            _ => self.output()?,
        };
        // `EXPLAIN INSERT … SELECT … FORMAT f`: the format is that of the explanation.
        if let StatementKind::Explain(explain) = &mut kind
            && let ExplainTarget::Statement(inner) = &mut explain.target
            && let StatementKind::Insert(insert) = &mut inner.kind
            && output.format.is_none()
        {
            output.format = insert.input_format.take();
        }
        Ok(Statement { kind, output, span: self.span_since(first) })
    }

    #[inline(never)]
    fn statement_kind(&mut self) -> PResult<StatementKind> {
        if self.at(TokenKind::LParen) || self.at_query(0) || self.is_kw("SELECT") || self.is_kw("WITH") {
            return Ok(StatementKind::Query(Box::new(self.query()?)));
        }
        let token = self.token();
        if token.kind != TokenKind::Word {
            return Err(self.unexpected("statement"));
        }
        let word = self.str_of(token).to_ascii_uppercase();
        match word.as_str() {
            "INSERT" => self.insert(),
            "CREATE" | "ATTACH" | "REPLACE" => self.create(),
            "DROP" | "DETACH" | "TRUNCATE" => self.drop_objects(),
            "ALTER" => self.alter(),
            "RENAME" | "EXCHANGE" => self.rename(),
            "OPTIMIZE" => self.optimize(),
            "CHECK" => self.check(),
            "EXISTS" => self.exists_statement(),
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" => self.describe(),
            "EXPLAIN" => self.explain(),
            "USE" => {
                self.advance();
                Ok(StatementKind::Use(self.name()?))
            }
            "SET" => self.set(),
            "KILL" => self.kill(),
            "SYSTEM" => self.system(),
            "SUBSCRIBE" => {
                self.need_kw("SUBSCRIBE TO")?;
                Ok(StatementKind::SubscribeTo(Box::new(self.query()?)))
            }
            "RECOVER" => {
                self.need_kw("RECOVER FROM")?;
                Ok(StatementKind::RecoverFrom(self.name_or_string()?))
            }
            "UNSUBSCRIBE" => {
                self.need_kw("UNSUBSCRIBE TO")?;
                Ok(StatementKind::UnsubscribeTo(self.name_or_string()?))
            }
            "GRANT" | "REVOKE" => self.grant(),
            "BEGIN" => {
                self.need_kw("BEGIN TRANSACTION")?;
                Ok(StatementKind::Transaction("BEGIN TRANSACTION".to_owned()))
            }
            "COMMIT" | "ROLLBACK" => {
                self.advance();
                Ok(StatementKind::Transaction(word))
            }
            "DELETE" => self.delete(),
            "BACKUP" | "RESTORE" | "WATCH" | "UNFREEZE" | "UNDROP" | "MOVE" => {
                let first = self.index();
                self.other(first, &word)
            }
            _ => {
                self.expect_statements();
                Err(self.unexpected("statement"))
            }
        }
    }

    fn expect_statements(&mut self) {
        for what in [
            "SELECT",
            "WITH",
            "INSERT INTO",
            "CREATE",
            "ALTER",
            "DROP",
            "SHOW",
            "DESCRIBE",
            "EXPLAIN",
            "SET",
            "USE",
            "KILL QUERY",
            "SYSTEM",
            "SUBSCRIBE TO",
            "RECOVER FROM",
            "UNSUBSCRIBE TO",
            "TRUNCATE",
            "RENAME",
            "OPTIMIZE",
            "EXISTS",
            "GRANT",
            "REVOKE",
        ] {
            self.expect_here(what);
        }
    }

    /// The rest of a statement that nobody runs, from the token at `first`, as text.
    pub(super) fn other(&mut self, first: usize, name: &str) -> PResult<StatementKind> {
        let mut depth = 0usize;
        loop {
            match self.kind() {
                TokenKind::End | TokenKind::Semicolon => break,
                TokenKind::Bad(_) => return Err(self.unexpected("statement")),
                TokenKind::LParen | TokenKind::LBracket | TokenKind::LBrace => depth += 1,
                TokenKind::RParen | TokenKind::RBracket | TokenKind::RBrace => {
                    if depth == 0 {
                        return Err(self.unexpected("statement"));
                    }
                    depth -= 1;
                }
                _ => {}
            }
            self.advance();
        }
        if depth > 0 || self.index() < first + 2 {
            return Err(self.unexpected("rest of the statement"));
        }
        let texts: Vec<&str> = self.texts_since(first).collect();
        Ok(StatementKind::Other(Other { name: name.to_owned(), text: texts.join(" ") }))
    }

    /// `[INTO OUTFILE 'f'] [FORMAT f] [SETTINGS …]`
    #[inline(never)]
    fn output(&mut self) -> PResult<Output> {
        let mut output = Output::default();
        if self.eat_kw("INTO OUTFILE") {
            let path = self.string()?;
            let compression = if self.eat_kw("COMPRESSION") { Some(self.string()?) } else { None };
            let level = if self.eat_kw("LEVEL") { Some(self.unsigned()?) } else { None };
            output.outfile = Some(Outfile { path, compression, level });
        }
        if self.eat_kw("FORMAT") {
            output.format = Some(self.name()?);
        }
        if self.eat_kw("SETTINGS") {
            output.settings = self.settings()?;
        }
        Ok(output)
    }

    // ---- INSERT

    #[inline(never)]
    fn insert(&mut self) -> PResult<StatementKind> {
        self.advance();
        self.need_kw("INTO")?;
        let function = (self.is_word(0, "FUNCTION") || self.is_kw("TABLE FUNCTION"))
            && !matches!(self.kind_ahead(1), TokenKind::LParen | TokenKind::Dot);
        let target = if function {
            self.eat_kw("TABLE");
            self.advance();
            InsertTarget::Function(Box::new(self.table_function()?))
        } else {
            if (self.is_word(0, "STREAM") || self.is_word(0, "TABLE"))
                && matches!(self.kind_ahead(1), TokenKind::Word | TokenKind::Quoted)
                && !["VALUES", "SELECT", "FORMAT", "WITH", "SETTINGS", "FROM"].iter().any(|w| self.is_word(1, w))
            {
                self.advance();
            }
            InsertTarget::Stream(self.object_name()?)
        };
        let mut insert = Insert {
            target,
            columns: Vec::new(),
            partition_by: None,
            settings: Vec::new(),
            infile: None,
            source: InsertSource::None,
            input_format: None,
        };
        if self.eat_kw("PARTITION BY") {
            insert.partition_by = Some(self.expr()?);
        }
        if self.at(TokenKind::LParen) && !self.at_query_in_parens() {
            insert.columns = self.parens(|p| p.insert_column())?;
        }
        if self.eat_kw("FROM INFILE") {
            let path = self.string()?;
            let compression = if self.eat_kw("COMPRESSION") { Some(self.string()?) } else { None };
            insert.infile = Some(Infile { path, compression });
        }
        if self.eat_kw("SETTINGS") {
            insert.settings = self.settings()?;
        }
        self.insert_source(&mut insert)?;
        Ok(StatementKind::Insert(Box::new(insert)))
    }

    /// A name, `*` or COLUMNS with transformers.
    fn insert_column(&mut self) -> PResult<Expr> {
        let place = self.token();
        let column = self.expr()?;
        match column.kind {
            ExprKind::Identifier(_) | ExprKind::Asterisk(_) | ExprKind::Columns(_) => Ok(column),
            _ => Err(self.error_at(place, "column name")),
        }
    }

    fn insert_source(&mut self, insert: &mut Insert) -> PResult<()> {
        let infile = insert.infile.is_some();
        if !infile && self.eat_kw("VALUES") {
            insert.source = InsertSource::Values;
        } else if self.eat_kw("FORMAT") {
            let name = self.name()?;
            if self.is_word(0, "SETTINGS") {
                self.advance();
                insert.settings.extend(self.settings()?);
            }
            insert.source = match name.eq_ignore_ascii_case("values") {
                true if !infile => InsertSource::Values,
                _ => InsertSource::Format(name),
            };
        } else if self.at_query(0) || self.at_query_in_parens() || self.is_kw("SELECT") {
            insert.source = InsertSource::Select(Box::new(self.query()?));
            if self.eat_kw("FORMAT") {
                insert.input_format = Some(self.name()?);
            }
            if self.eat_kw("SETTINGS") {
                insert.settings.extend(self.settings()?);
            }
        } else if !infile && self.is_kw("WATCH") {
            return Err(self.unexpected("VALUES"));
        }
        Ok(())
    }

    /// The byte where the rows of `statement` begin, if it is an INSERT with rows in the text.
    pub(super) fn insert_data(&mut self, statement: &Statement) -> Option<usize> {
        let StatementKind::Insert(insert) = &statement.kind else { return None };
        let brings_data = match &insert.source {
            InsertSource::Values | InsertSource::Format(_) => true,
            // Its SELECT reads them as `input('structure')`.
            InsertSource::Select(query) => insert.input_format.is_some() && query.names_input(),
            InsertSource::None => false,
        };
        if insert.infile.is_some() || !brings_data {
            return None;
        }
        let end = self.last_end() as usize;
        let rest = &self.text.as_bytes()[end..];
        if matches!(self.kind(), TokenKind::End | TokenKind::Semicolon) && insert.source == InsertSource::Values {
            return None;
        }
        if insert.source == InsertSource::Values {
            return Some(end);
        }
        let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | 0x0c)).count();
        let after = &rest[blanks..];
        match after {
            [] | [b';', ..] => None,
            [b'\r', b'\n', ..] => Some(end + blanks + 2),
            [b'\n', ..] => Some(end + blanks + 1),
            _ => Some(end + blanks),
        }
    }

    // ---- EXPLAIN

    #[inline(never)]
    fn explain(&mut self) -> PResult<StatementKind> {
        self.enter()?;
        self.advance();
        let kind = match self.eat_any(&[
            "AST",
            "SYNTAX",
            "QUERY TREE",
            "PLAN",
            "PIPELINE",
            "ESTIMATE",
            "TABLE OVERRIDE",
            "CURRENT TRANSACTION",
        ]) {
            Some("AST") => ExplainKind::Ast,
            Some("SYNTAX") => ExplainKind::Syntax,
            Some("QUERY TREE") => ExplainKind::QueryTree,
            Some("PIPELINE") => ExplainKind::Pipeline,
            Some("ESTIMATE") => ExplainKind::Estimate,
            Some("TABLE OVERRIDE") => ExplainKind::TableOverride,
            Some("CURRENT TRANSACTION") => ExplainKind::CurrentTransaction,
            _ => ExplainKind::Plan,
        };
        let mut settings = Vec::new();
        if self.at_name() && self.kind_ahead(1) == TokenKind::Equals {
            settings = self.settings()?;
        }
        let target = match kind {
            ExplainKind::CurrentTransaction => ExplainTarget::Text(String::new()),
            ExplainKind::TableOverride => {
                let first = self.index();
                let StatementKind::Other(other) = self.other(first, "TABLE OVERRIDE")? else {
                    return Err(self.unexpected("table function"));
                };
                ExplainTarget::Text(other.text)
            }
            _ => {
                let first = self.index();
                if matches!(self.kind(), TokenKind::End | TokenKind::Semicolon) {
                    return Err(self.unexpected("statement"));
                }
                let inner = self.statement_kind()?;
                let span = self.span_since(first);
                ExplainTarget::Statement(Box::new(Statement { kind: inner, output: Output::default(), span }))
            }
        };
        self.leave();
        Ok(StatementKind::Explain(Box::new(Explain { kind, settings, target })))
    }

    // ---- SET

    fn set(&mut self) -> PResult<StatementKind> {
        self.advance();
        if self.eat_kw("ROLE") {
            if self.eat_kw("DEFAULT") {
                return Ok(StatementKind::SetRole(SetRole { default: true, roles: RoleSet::default(), to: None }));
            }
            return Ok(StatementKind::SetRole(SetRole { default: false, roles: self.role_set()?, to: None }));
        }
        if self.eat_kw("DEFAULT ROLE") {
            let roles = self.role_set()?;
            self.need_kw("TO")?;
            return Ok(StatementKind::SetRole(SetRole { default: false, roles, to: Some(self.role_set()?) }));
        }
        Ok(StatementKind::Set(self.settings()?))
    }
}
