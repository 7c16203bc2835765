//! CREATE and ATTACH of streams, views, databases, functions, format schemas.

use super::cursor::{PResult, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

/// What stands between CREATE and the kind.
#[derive(Clone, Copy)]
pub(super) struct Verb {
    pub attach: bool,
    pub or_replace: bool,
}

/// What stands before FUNCTION.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FunctionVerb {
    Plain,
    Aggregate,
    Remote,
    Executable,
}

impl Parser<'_> {
    #[inline(never)]
    pub(super) fn create(&mut self) -> PResult<StatementKind> {
        let first = self.index();
        let attach = self.eat_kw("ATTACH");
        let mut or_replace = false;
        if !attach {
            if self.eat_kw("REPLACE") {
                or_replace = true;
            } else {
                self.need_kw("CREATE")?;
                or_replace = self.eat_kw("OR REPLACE");
            }
        }
        let verb = Verb { attach, or_replace };
        if !attach && let Some(kind) = self.access_kind() {
            return self.access_entity(kind, false, or_replace);
        }
        if let Some(kind) = self.stream_kind(attach) {
            return self.create_stream(verb, kind, false);
        }
        if self.eat_kw("TEMPORARY STREAM") {
            return self.create_stream(verb, StreamKind::Stream, true);
        }
        if self.eat_kw("MATERIALIZED VIEW") {
            return self.create_materialized_view(verb);
        }
        if self.eat_kw("VIEW") {
            return self.create_view(verb);
        }
        if self.eat_kw("DATABASE") {
            return self.create_database(attach);
        }
        if self.eat_kw("DICTIONARY") {
            return self.create_dictionary(verb);
        }
        if self.eat_kw("REMOTE FUNCTION") {
            return self.create_function(or_replace, FunctionVerb::Remote);
        }
        if self.eat_kw("EXECUTABLE FUNCTION") {
            return self.create_function(or_replace, FunctionVerb::Executable);
        }
        if self.eat_kw("AGGREGATE FUNCTION") {
            return self.create_function(or_replace, FunctionVerb::Aggregate);
        }
        if self.eat_kw("FUNCTION") {
            return self.create_function(or_replace, FunctionVerb::Plain);
        }
        if self.eat_kw("FORMAT SCHEMA") {
            return self.create_format_schema(or_replace);
        }
        let kinds =
            ["TASK", "ALERT", "DISK", "NAMED COLLECTION", "LIVE VIEW", "WINDOW VIEW", "INPUT", "SCHEDULED VIEW"];
        for kind in kinds {
            if self.is_kw(kind) {
                return self.other(first, &format!("CREATE {kind}"));
            }
        }
        Err(self.unexpected("STREAM"))
    }

    /// CREATE TABLE without EXTERNAL does not exist; ATTACH TABLE does not either.
    fn stream_kind(&mut self, attach: bool) -> Option<StreamKind> {
        if attach && self.eat_kw("TABLE") {
            return Some(StreamKind::Stream);
        }
        match self.eat_any(&["STREAM", "RANDOM STREAM", "EXTERNAL STREAM", "EXTERNAL TABLE", "MUTABLE STREAM"])? {
            "STREAM" => Some(StreamKind::Stream),
            "RANDOM STREAM" => Some(StreamKind::Random),
            "EXTERNAL STREAM" => Some(StreamKind::ExternalStream),
            "EXTERNAL TABLE" => Some(StreamKind::ExternalTable),
            _ => Some(StreamKind::Mutable),
        }
    }

    pub(super) fn if_not_exists(&mut self) -> bool {
        self.eat_kw("IF NOT EXISTS")
    }

    pub(super) fn uuid(&mut self) -> PResult<Option<String>> {
        if self.eat_kw("UUID") { Ok(Some(self.string()?)) } else { Ok(None) }
    }

    pub(super) fn comment(&mut self) -> PResult<Option<String>> {
        if self.eat_kw("COMMENT") { Ok(Some(self.string()?)) } else { Ok(None) }
    }

    #[inline(never)]
    fn create_stream(&mut self, verb: Verb, kind: StreamKind, temporary: bool) -> PResult<StatementKind> {
        let mut create = Box::new(CreateStream {
            attach: verb.attach,
            or_replace: verb.or_replace,
            temporary,
            kind,
            if_not_exists: self.if_not_exists(),
            name: self.object_name()?,
            uuid: self.uuid()?,
            on_cluster: self.on_cluster()?,
            ..CreateStream::default()
        });
        if verb.attach && self.eat_kw("FROM") {
            create.attach_from = Some(self.string()?);
        }
        if self.at(TokenKind::LParen) && !self.at_query_in_parens() {
            create.elements = Some(self.table_elements()?);
        }
        self.storage(&mut create.storage)?;
        create.comment = self.comment()?;
        if self.eat_kw("AS") {
            create.source = Some(self.create_source()?);
            // `AS other ENGINE = …`: the storage may follow as well.
            self.storage(&mut create.storage)?;
        } else if self.at_query_in_parens() || (self.at_query(0) && self.is_word(0, "SELECT")) {
            create.source = Some(CreateSource::Select(Box::new(self.query()?)));
        }
        if create.comment.is_none() {
            create.comment = self.comment()?;
        }
        Ok(StatementKind::CreateStream(create))
    }

    fn create_source(&mut self) -> PResult<CreateSource> {
        if self.at(TokenKind::Heredoc) {
            return Ok(CreateSource::Code(self.string()?));
        }
        if self.at(TokenKind::LParen) || self.at_query(0) {
            return Ok(CreateSource::Select(Box::new(self.query()?)));
        }
        if self.kind_ahead(1) == TokenKind::LParen {
            return Ok(CreateSource::Function(Box::new(self.table_function()?)));
        }
        Ok(CreateSource::Like(self.object_name()?))
    }

    /// `( column | INDEX … | CONSTRAINT … | PROJECTION … | PRIMARY KEY … , … )`
    #[inline(never)]
    pub(super) fn table_elements(&mut self) -> PResult<TableElements> {
        let mut elements = TableElements::default();
        self.need(TokenKind::LParen)?;
        if self.eat(TokenKind::RParen) {
            return Ok(elements);
        }
        loop {
            self.table_element(&mut elements)?;
            if !self.eat(TokenKind::Comma) {
                break;
            }
            if self.at(TokenKind::RParen) {
                break;
            }
        }
        self.need(TokenKind::RParen)?;
        Ok(elements)
    }

    fn table_element(&mut self, elements: &mut TableElements) -> PResult<()> {
        let named = matches!(self.kind_ahead(1), TokenKind::Word | TokenKind::Quoted);
        if named && self.is_word(0, "INDEX") && !matches!(self.kind_ahead(2), TokenKind::Comma | TokenKind::RParen) {
            self.advance();
            elements.indexes.push(self.index_def()?);
        } else if named && self.is_word(0, "CONSTRAINT") && (self.is_word(2, "CHECK") || self.is_word(2, "ASSUME")) {
            self.advance();
            elements.constraints.push(self.constraint_def()?);
        } else if named && self.is_word(0, "PROJECTION") && self.kind_ahead(2) == TokenKind::LParen && self.at_query(3)
        {
            self.advance();
            elements.projections.push(self.projection_def()?);
        } else if self.is_kw("PRIMARY KEY") {
            self.advance();
            self.advance();
            elements.primary_key = Some(self.expr()?);
        } else {
            elements.columns.push(self.column_def(true)?);
        }
        Ok(())
    }

    /// `name [type] [NULL|NOT NULL] [DEFAULT …] [COMMENT …] [CODEC …] [TTL …]`
    #[inline(never)]
    pub(super) fn column_def(&mut self, need_type: bool) -> PResult<ColumnDef> {
        self.count_nodes(1)?;
        let first = self.index();
        let name = self.identifier()?.full();
        let mut column = ColumnDef {
            name,
            ty: None,
            nullable: None,
            default: None,
            comment: None,
            codec: Vec::new(),
            ttl: None,
            collation: None,
            primary_key: false,
            span: Span::default(),
        };
        if self.at(TokenKind::Word) && !self.at_column_property() {
            column.ty = Some(self.type_name()?);
        }
        self.column_properties(&mut column)?;
        if need_type && column.ty.is_none() && column.default.is_none() {
            return Err(self.unexpected("type"));
        }
        column.span = self.span_since(first);
        Ok(column)
    }

    fn at_column_property(&mut self) -> bool {
        let words = [
            "DEFAULT",
            "MATERIALIZED",
            "ALIAS",
            "EPHEMERAL",
            "COMMENT",
            "CODEC",
            "TTL",
            "FIRST",
            "AFTER",
            "NOT",
            "NULL",
            "REMOVE",
        ];
        words.iter().any(|w| self.is_word(0, w))
    }

    fn column_properties(&mut self, column: &mut ColumnDef) -> PResult<()> {
        loop {
            if column.nullable.is_none() && self.eat_kw("NOT NULL") {
                column.nullable = Some(false);
            } else if column.nullable.is_none() && self.eat_kw("NULL") {
                column.nullable = Some(true);
            } else if column.default.is_none() && self.eat_kw("DEFAULT") {
                column.default = Some(self.column_default(DefaultKind::Default)?);
            } else if column.default.is_none() && self.eat_kw("MATERIALIZED") {
                column.default = Some(self.column_default(DefaultKind::Materialized)?);
            } else if column.default.is_none() && self.eat_kw("ALIAS") {
                column.default = Some(self.column_default(DefaultKind::Alias)?);
            } else if column.default.is_none() && self.eat_kw("EPHEMERAL") {
                column.default = Some(self.column_default(DefaultKind::Ephemeral)?);
            } else if column.collation.is_none() && self.eat_kw("COLLATE") {
                column.collation = Some(self.name_or_string()?);
            } else if column.comment.is_none()
                && self.is_kw("COMMENT")
                && matches!(self.kind_ahead(1), TokenKind::String)
            {
                self.advance();
                column.comment = Some(self.string()?);
            } else if column.codec.is_empty() && self.is_kw("CODEC") {
                self.advance();
                column.codec = self.parens(|p| p.aliased_expr())?;
            } else if column.ttl.is_none() && self.eat_kw("TTL") {
                column.ttl = Some(self.expr()?);
            } else if !column.primary_key && self.eat_kw("PRIMARY KEY") {
                column.primary_key = true;
            } else {
                return Ok(());
            }
        }
    }

    fn column_default(&mut self, kind: DefaultKind) -> PResult<ColumnDefault> {
        let ends = matches!(self.kind(), TokenKind::Comma | TokenKind::RParen | TokenKind::End | TokenKind::Semicolon)
            || ["CODEC", "COMMENT", "TTL", "FIRST", "AFTER"].iter().any(|w| self.is_word(0, w));
        if kind == DefaultKind::Ephemeral && ends {
            return Ok(ColumnDefault { kind, expr: None });
        }
        // Tighter than AND, so that nothing of the next property is taken; NOT NULL is not an operator.
        Ok(ColumnDefault { kind, expr: Some(self.expr()?) })
    }

    pub(super) fn index_def(&mut self) -> PResult<IndexDef> {
        let name = self.name()?;
        let expr = self.expr()?;
        self.need_kw("TYPE")?;
        let ty = self.expr_above(super::expr::NEGATE)?;
        let granularity = if self.eat_kw("GRANULARITY") { Some(self.unsigned()?) } else { None };
        Ok(IndexDef { name, expr, ty, granularity })
    }

    pub(super) fn constraint_def(&mut self) -> PResult<ConstraintDef> {
        let name = self.name()?;
        let assume = self.eat_kw("ASSUME");
        if !assume {
            self.need_kw("CHECK")?;
        }
        Ok(ConstraintDef { name, assume, expr: self.expr()? })
    }

    pub(super) fn projection_def(&mut self) -> PResult<ProjectionDef> {
        let name = self.name()?;
        self.need(TokenKind::LParen)?;
        let query = Box::new(self.query()?);
        self.need(TokenKind::RParen)?;
        Ok(ProjectionDef { name, query })
    }

    /// ENGINE, PARTITION BY, PRIMARY KEY, ORDER BY, SAMPLE BY, TTL, SETTINGS: any order, each once.
    #[inline(never)]
    pub(super) fn storage(&mut self, storage: &mut Storage) -> PResult<()> {
        loop {
            if storage.engine.is_none() && self.eat_kw("ENGINE") {
                self.eat(TokenKind::Equals);
                storage.engine = Some(self.engine()?);
            } else if storage.partition_by.is_none() && self.eat_kw("PARTITION BY") {
                storage.partition_by = Some(self.expr()?);
            } else if storage.primary_key.is_none() && self.eat_kw("PRIMARY KEY") {
                storage.primary_key = Some(self.expr()?);
            } else if storage.order_by.is_none() && self.eat_kw("ORDER BY") {
                storage.order_by = Some(self.expr()?);
            } else if storage.sample_by.is_none() && self.eat_kw("SAMPLE BY") {
                storage.sample_by = Some(self.expr()?);
            } else if storage.ttl.is_empty() && self.eat_kw("TTL") {
                storage.ttl = self.ttl_elements()?;
            } else if storage.settings.is_empty() && self.eat_kw("SETTINGS") {
                storage.settings = self.settings()?;
            } else {
                return Ok(());
            }
        }
    }

    fn engine(&mut self) -> PResult<Function> {
        let mut engine = Function::new(self.name()?, Vec::new());
        if self.eat(TokenKind::LParen) && !self.eat(TokenKind::RParen) {
            engine.args = self.expr_list()?;
            self.need(TokenKind::RParen)?;
        }
        Ok(engine)
    }

    pub(super) fn ttl_elements(&mut self) -> PResult<Vec<TtlElement>> {
        self.list(|p| p.ttl_element())
    }

    fn ttl_element(&mut self) -> PResult<TtlElement> {
        let expr = self.expr()?;
        let action = if self.eat_kw("TO DISK") {
            TtlAction::ToDisk(self.string()?)
        } else if self.eat_kw("TO VOLUME") {
            TtlAction::ToVolume(self.string()?)
        } else if self.eat_kw("RECOMPRESS CODEC") {
            TtlAction::Recompress(self.parens(|p| p.aliased_expr())?)
        } else if self.eat_kw("GROUP BY") {
            let keys = self.list(|p| p.expr())?;
            let set = if self.eat_kw("SET") { self.assignments()? } else { Vec::new() };
            TtlAction::GroupBy { keys, set }
        } else {
            self.eat_kw("DELETE");
            TtlAction::Delete
        };
        let filter = if self.eat_kw("WHERE") { Some(self.expr()?) } else { None };
        Ok(TtlElement { expr, action, filter })
    }

    pub(super) fn assignments(&mut self) -> PResult<Vec<Assignment>> {
        self.list(|p| {
            let column = p.identifier()?.full();
            p.need(TokenKind::Equals)?;
            Ok(Assignment { column, expr: p.expr()? })
        })
    }

    #[inline(never)]
    fn create_view(&mut self, verb: Verb) -> PResult<StatementKind> {
        let if_not_exists = self.if_not_exists();
        let name = self.object_name()?;
        let uuid = self.uuid()?;
        let on_cluster = self.on_cluster()?;
        let columns = if self.at(TokenKind::LParen) { Some(self.table_elements()?) } else { None };
        self.need_kw("AS")?;
        let query = Box::new(self.query()?);
        let comment = self.comment()?;
        Ok(StatementKind::CreateView(Box::new(CreateView {
            attach: verb.attach,
            or_replace: verb.or_replace,
            if_not_exists,
            name,
            uuid,
            on_cluster,
            columns,
            query,
            comment,
        })))
    }

    #[inline(never)]
    fn create_materialized_view(&mut self, verb: Verb) -> PResult<StatementKind> {
        let if_not_exists = self.if_not_exists();
        let name = self.object_name()?;
        let uuid = self.uuid()?;
        let on_cluster = self.on_cluster()?;
        let (mut into, mut into_inner_uuid) = (None, None);
        if self.eat_kw("INTO INNER UUID") || self.eat_kw("TO INNER UUID") {
            into_inner_uuid = Some(self.string()?);
        } else if self.eat_kw("INTO") || self.eat_kw("TO") {
            into = Some(self.object_name()?);
        }
        let columns = if self.at(TokenKind::LParen) { Some(self.table_elements()?) } else { None };
        let mut storage = Storage::default();
        self.storage(&mut storage)?;
        let populate = self.eat_kw("POPULATE");
        self.need_kw("AS")?;
        let query = Box::new(self.query()?);
        let comment = self.comment()?;
        Ok(StatementKind::CreateMaterializedView(Box::new(CreateMaterializedView {
            attach: verb.attach,
            or_replace: verb.or_replace,
            if_not_exists,
            name,
            uuid,
            on_cluster,
            into,
            into_inner_uuid,
            columns,
            storage,
            populate,
            query,
            comment,
        })))
    }

    fn create_database(&mut self, attach: bool) -> PResult<StatementKind> {
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        let uuid = self.uuid()?;
        let on_cluster = self.on_cluster()?;
        let mut storage = Storage::default();
        self.storage(&mut storage)?;
        let comment = self.comment()?;
        Ok(StatementKind::CreateDatabase(Box::new(CreateDatabase {
            attach,
            if_not_exists,
            name,
            uuid,
            on_cluster,
            engine: storage.engine,
            settings: storage.settings,
            comment,
        })))
    }

    #[inline(never)]
    fn create_function(&mut self, or_replace: bool, verb: FunctionVerb) -> PResult<StatementKind> {
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        let on_cluster = self.on_cluster()?;
        let body = match verb {
            FunctionVerb::Remote => FunctionBody::Remote(self.remote_function()?),
            FunctionVerb::Executable => FunctionBody::Executable(self.executable_function()?),
            _ if self.at(TokenKind::LParen) => FunctionBody::Code(self.code_function(verb == FunctionVerb::Aggregate)?),
            _ => {
                self.need_kw("AS")?;
                FunctionBody::Sql(self.expr()?)
            }
        };
        Ok(StatementKind::CreateFunction(Box::new(CreateFunction {
            or_replace,
            if_not_exists,
            name,
            on_cluster,
            body,
        })))
    }

    fn function_args(&mut self) -> PResult<(Vec<FunctionArg>, TypeName)> {
        let args = self.parens(|p| Ok(FunctionArg { name: p.name()?, ty: p.type_name()? }))?;
        self.need_kw("RETURNS")?;
        Ok((args, self.type_name()?))
    }

    fn code_function(&mut self, aggregate: bool) -> PResult<CodeFunction> {
        let (args, returns) = self.function_args()?;
        self.need_kw("LANGUAGE")?;
        let language = match self.eat_any(&["JAVASCRIPT", "PYTHON"]) {
            Some("PYTHON") => FunctionLanguage::Python,
            Some(_) => FunctionLanguage::JavaScript,
            None => return Err(self.unexpected("JAVASCRIPT")),
        };
        self.need_kw("AS")?;
        let source = self.string()?;
        let settings = if self.eat_kw("SETTINGS") { self.settings()? } else { Vec::new() };
        Ok(CodeFunction { aggregate, args, returns, language, source, settings })
    }

    fn executable_function(&mut self) -> PResult<ExecutableFunction> {
        let (args, returns) = self.function_args()?;
        self.need_kw("COMMAND")?;
        let command = self.string()?;
        let mut function = ExecutableFunction { args, returns, command, format: None, execution_timeout_ms: None };
        loop {
            if self.eat_kw("FORMAT") {
                function.format = Some(self.name()?);
            } else if self.eat_kw("EXECUTION_TIMEOUT") {
                function.execution_timeout_ms = Some(self.unsigned()?);
            } else {
                return Ok(function);
            }
        }
    }

    fn remote_function(&mut self) -> PResult<RemoteFunction> {
        let (args, returns) = self.function_args()?;
        self.need_kw("URL")?;
        let url = self.string()?;
        let mut function = RemoteFunction {
            args,
            returns,
            url,
            auth_method: None,
            auth_header: None,
            auth_key: None,
            execution_timeout_ms: None,
        };
        loop {
            if self.eat_kw("AUTH_METHOD") {
                function.auth_method = Some(self.string()?);
            } else if self.eat_kw("AUTH_HEADER") {
                function.auth_header = Some(self.string()?);
            } else if self.eat_kw("AUTH_KEY") {
                function.auth_key = Some(self.string()?);
            } else if self.eat_kw("EXECUTION_TIMEOUT") {
                function.execution_timeout_ms = Some(self.unsigned()?);
            } else {
                return Ok(function);
            }
        }
    }

    fn create_format_schema(&mut self, or_replace: bool) -> PResult<StatementKind> {
        let if_not_exists = self.if_not_exists();
        let name = self.name_or_string()?;
        self.need_kw("AS")?;
        let source = self.string()?;
        self.need_kw("TYPE")?;
        let ty = self.name_or_string()?;
        Ok(StatementKind::CreateFormatSchema(Box::new(CreateFormatSchema {
            or_replace,
            if_not_exists,
            name,
            source,
            ty,
        })))
    }
}
