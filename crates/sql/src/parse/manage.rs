//! DROP and its kin, RENAME, OPTIMIZE, CHECK, EXISTS, DESCRIBE, KILL, SYSTEM.

use super::cursor::{PResult, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

impl Parser<'_> {
    /// STREAM, or TABLE which means the same where nothing is created.
    pub(super) fn eat_stream_word(&mut self) -> bool {
        (self.is_word(0, "STREAM") || self.is_word(0, "TABLE"))
            && matches!(self.kind_ahead(1), TokenKind::Word | TokenKind::Quoted)
            && self.advance().kind == TokenKind::Word
    }

    pub(super) fn on_cluster(&mut self) -> PResult<Option<String>> {
        if self.eat_kw("ON CLUSTER") { Ok(Some(self.name_or_string()?)) } else { Ok(None) }
    }

    #[inline(never)]
    pub(super) fn drop_objects(&mut self) -> PResult<StatementKind> {
        let verb = match self.eat_any(&["DROP", "DETACH", "TRUNCATE"]) {
            Some("DROP") => DropVerb::Drop,
            Some("DETACH") => DropVerb::Detach,
            _ => DropVerb::Truncate,
        };
        if verb == DropVerb::Drop
            && let Some(kind) = self.access_kind()
        {
            return self.drop_access(kind);
        }
        let other = ["NAMED COLLECTION", "TASK", "ALERT", "DISK", "INPUT"];
        if verb == DropVerb::Drop
            && let Some(what) = other.into_iter().find(|what| self.is_kw(what))
            && !matches!(self.kind_ahead(1), TokenKind::Semicolon | TokenKind::End)
        {
            let first = self.index().saturating_sub(1);
            return self.other(first, &format!("DROP {what}"));
        }
        let temporary = self.eat_kw("TEMPORARY");
        let object = self.drop_object(verb);
        let if_exists = self.eat_kw("IF EXISTS");
        let if_empty = self.eat_kw("IF EMPTY");
        let names = match object {
            DropObject::Database | DropObject::Function | DropObject::FormatSchema => {
                vec![ObjectName::new(self.name_or_string()?)]
            }
            _ => self.list(|p| p.object_name())?,
        };
        let mut drop = DropObjects {
            verb,
            object,
            temporary,
            if_exists,
            if_empty,
            names,
            on_cluster: self.on_cluster()?,
            permanently: self.eat_kw("PERMANENTLY"),
            sync: false,
            schema_type: None,
        };
        if object == DropObject::FormatSchema && self.eat_kw("TYPE") {
            drop.schema_type = Some(self.name_or_string()?);
        }
        drop.sync = self.eat_kw("NO DELAY") || self.eat_kw("SYNC");
        Ok(StatementKind::Drop(drop))
    }

    /// TRUNCATE may leave out the kind.
    fn drop_object(&mut self, verb: DropVerb) -> DropObject {
        let named = |p: &mut Self, words: usize| matches!(p.kind_ahead(words), TokenKind::Word | TokenKind::Quoted);
        let kinds = [
            ("STREAM", DropObject::Stream),
            ("TABLE", DropObject::Stream),
            ("VIEW", DropObject::View),
            ("DICTIONARY", DropObject::Dictionary),
            ("DATABASE", DropObject::Database),
            ("FUNCTION", DropObject::Function),
        ];
        if self.is_kw("EXTERNAL TABLE") || self.is_kw("EXTERNAL STREAM") || self.is_kw("MATERIALIZED VIEW") {
            self.advance();
            let table = self.is_word(0, "TABLE");
            let view = self.is_word(0, "VIEW");
            self.advance();
            return match (table, view) {
                (true, _) => DropObject::ExternalTable,
                (_, true) => DropObject::View,
                _ => DropObject::Stream,
            };
        }
        if self.eat_kw("FORMAT SCHEMA") {
            return DropObject::FormatSchema;
        }
        for (word, object) in kinds {
            if self.is_kw(word) && (named(self, 1) || verb != DropVerb::Truncate) {
                self.advance();
                return object;
            }
        }
        DropObject::Stream
    }

    #[inline(never)]
    pub(super) fn rename(&mut self) -> PResult<StatementKind> {
        let exchange = self.eat_any(&["RENAME", "EXCHANGE"]) == Some("EXCHANGE");
        let object = match self.eat_any(&[
            "STREAMS",
            "STREAM",
            "TABLES",
            "TABLE",
            "VIEW",
            "DICTIONARIES",
            "DICTIONARY",
            "DATABASE",
        ]) {
            Some("VIEW") => RenameObject::View,
            Some("DICTIONARIES" | "DICTIONARY") => RenameObject::Dictionary,
            Some("DATABASE") => RenameObject::Database,
            Some(_) => RenameObject::Stream,
            None => return Err(self.unexpected("STREAM")),
        };
        let if_exists = self.eat_kw("IF EXISTS");
        let pairs = self.list(|p| {
            let from = p.object_name()?;
            p.need_kw(if exchange { "AND" } else { "TO" })?;
            Ok((from, p.object_name()?))
        })?;
        let on_cluster = self.on_cluster()?;
        Ok(StatementKind::Rename(Rename { exchange, object, if_exists, pairs, on_cluster }))
    }

    #[inline(never)]
    pub(super) fn optimize(&mut self) -> PResult<StatementKind> {
        self.advance();
        if !self.eat_stream_word() {
            return Err(self.unexpected("STREAM"));
        }
        let name = self.object_name()?;
        let on_cluster = self.on_cluster()?;
        let partition = if self.eat_kw("PARTITION") { Some(self.partition()?) } else { None };
        let is_final = self.eat_kw("FINAL");
        let deduplicate = self.eat_kw("DEDUPLICATE");
        let mut by = Vec::new();
        if deduplicate && self.eat_kw("BY") {
            by = self.list(|p| p.deduplicate_column())?;
        }
        Ok(StatementKind::Optimize(Optimize { name, on_cluster, partition, is_final, deduplicate, by }))
    }

    /// A name, or `*` and COLUMNS with EXCEPT; other transformers have no meaning here.
    fn deduplicate_column(&mut self) -> PResult<Expr> {
        let place = self.token();
        let column = self.expr()?;
        let except_only = |transformers: &[ColumnTransformer]| {
            transformers
                .iter()
                .all(|t| matches!(t, ColumnTransformer::Except { .. } | ColumnTransformer::ExceptRegexp(_)))
        };
        match &column.kind {
            ExprKind::Identifier(_) => Ok(column),
            ExprKind::Asterisk(a) if except_only(&a.transformers) => Ok(column),
            ExprKind::Columns(c) if except_only(&c.transformers) => Ok(column),
            _ => Err(self.error_at(place, "column name, * EXCEPT or COLUMNS")),
        }
    }

    pub(super) fn check(&mut self) -> PResult<StatementKind> {
        self.advance();
        if !self.eat_stream_word() {
            return Err(self.unexpected("STREAM"));
        }
        let name = self.object_name()?;
        let partition = if self.eat_kw("PARTITION") { Some(self.partition()?) } else { None };
        Ok(StatementKind::Check { name, partition })
    }

    pub(super) fn exists_statement(&mut self) -> PResult<StatementKind> {
        self.advance();
        let temporary = self.eat_kw("TEMPORARY");
        let object = self.show_object();
        let name = self.object_name()?;
        Ok(StatementKind::Exists(Exists { object, temporary, name }))
    }

    /// STREAM, VIEW, DICTIONARY, DATABASE before a name.
    pub(super) fn show_object(&mut self) -> ShowObject {
        let objects = [
            ("STREAM", ShowObject::Stream),
            ("TABLE", ShowObject::Stream),
            ("VIEW", ShowObject::View),
            ("DICTIONARY", ShowObject::Dictionary),
            ("DATABASE", ShowObject::Database),
        ];
        for (word, object) in objects {
            let named = matches!(self.kind_ahead(1), TokenKind::Word | TokenKind::Quoted) && !self.is_word(1, "FORMAT");
            if self.is_kw(word) && named {
                self.advance();
                return object;
            }
        }
        ShowObject::Any
    }

    pub(super) fn describe(&mut self) -> PResult<StatementKind> {
        self.advance();
        let word = self.is_word(0, "STREAM") || self.is_word(0, "TABLE");
        let next = self.kind_ahead(1);
        let keyword = word
            && (matches!(next, TokenKind::Word | TokenKind::Quoted) && !self.is_word(1, "FORMAT")
                || next == TokenKind::LParen && self.is_word(0, "TABLE") && self.at_query(2));
        if keyword {
            self.advance();
        }
        Ok(StatementKind::Describe(Describe { target: self.table_expr()? }))
    }

    #[inline(never)]
    pub(super) fn kill(&mut self) -> PResult<StatementKind> {
        self.advance();
        let what = match self.eat_any(&["QUERY", "MUTATION", "PART_MOVE_TO_SHARD", "TRANSACTION"]) {
            Some("QUERY") => KillObject::Query,
            Some("MUTATION") => KillObject::Mutation,
            Some("PART_MOVE_TO_SHARD") => KillObject::PartMoveToShard,
            Some(_) => KillObject::Transaction,
            None => return Err(self.unexpected("QUERY")),
        };
        let on_cluster = self.on_cluster()?;
        self.need_kw("WHERE")?;
        let filter = self.expr()?;
        let mode = match self.eat_any(&["SYNC", "ASYNC", "TEST"]) {
            Some("SYNC") => KillMode::Sync,
            Some("TEST") => KillMode::Test,
            _ => KillMode::Async,
        };
        Ok(StatementKind::Kill(Kill { what, on_cluster, filter, mode }))
    }

    /// The command is the longest one of the table that stands here; then a target and arguments.
    #[inline(never)]
    pub(super) fn system(&mut self) -> PResult<StatementKind> {
        self.advance();
        let Some(command) = self.eat_any(&SYSTEM_COMMANDS) else { return Err(self.unexpected("SYSTEM command")) };
        let on_cluster = self.on_cluster()?;
        let mut system = System { command: command.to_owned(), on_cluster, target: None, args: Vec::new() };
        if self.at_name() && !self.is_word(0, "FORMAT") && !self.is_word(0, "SETTINGS") {
            system.target = Some(self.object_name()?);
        }
        if system.on_cluster.is_none() {
            system.on_cluster = self.on_cluster()?;
        }
        while !matches!(self.kind(), TokenKind::End | TokenKind::Semicolon)
            && !self.is_word(0, "FORMAT")
            && !self.is_word(0, "SETTINGS")
        {
            system.args.push(self.expr()?);
            self.eat(TokenKind::Comma);
        }
        Ok(StatementKind::System(system))
    }
}

/// Longer commands before their prefixes.
const SYSTEM_COMMANDS: [&str; 80] = [
    "LIFT QUARANTINE",
    "LEAVE SAFE MODE",
    "SHUTDOWN",
    "KILL",
    "SUSPEND FOR",
    "DROP DNS CACHE",
    "DROP MARK CACHE",
    "DROP UNCOMPRESSED CACHE",
    "DROP INDEX MARK CACHE",
    "DROP INDEX UNCOMPRESSED CACHE",
    "DROP MMAP CACHE",
    "DROP COMPILED EXPRESSION CACHE",
    "DROP FILESYSTEM CACHE",
    "DROP SCHEMA CACHE",
    "DROP FORMAT SCHEMA CACHE",
    "DROP QUERY CACHE",
    "DROP REPLICA",
    "STOP LISTEN QUERIES",
    "START LISTEN QUERIES",
    "STOP LISTEN",
    "START LISTEN",
    "RESTART REPLICAS",
    "RESTART REPLICA",
    "RESTORE REPLICA",
    "SYNC REPLICA",
    "SYNC DATABASE REPLICA",
    "SYNC TRANSACTION LOG",
    "SYNC FILE CACHE",
    "RELOAD DICTIONARIES",
    "RELOAD DICTIONARY",
    "RELOAD MODELS",
    "RELOAD MODEL",
    "RELOAD FUNCTIONS",
    "RELOAD FUNCTION",
    "RELOAD EMBEDDED DICTIONARIES",
    "RELOAD CONFIG",
    "RELOAD USERS",
    "RELOAD SYMBOLS",
    "RELOAD ASYNCHRONOUS METRICS",
    "RESTART DISK",
    "STOP TTL MERGES",
    "START TTL MERGES",
    "STOP MERGES",
    "START MERGES",
    "STOP FETCHES",
    "START FETCHES",
    "STOP MOVES",
    "START MOVES",
    "STOP REPLICATED SENDS",
    "START REPLICATED SENDS",
    "STOP REPLICATION QUEUES",
    "START REPLICATION QUEUES",
    "STOP DISTRIBUTED SENDS",
    "START DISTRIBUTED SENDS",
    "STOP MAINTAIN",
    "START MAINTAIN",
    "STOP THREAD FUZZER",
    "START THREAD FUZZER",
    "FLUSH DISTRIBUTED",
    "FLUSH LOGS",
    "FLUSH ASYNC INSERT QUEUE",
    "FLUSH",
    "UNFREEZE",
    "PAUSE MATERIALIZED VIEW",
    "RESUME MATERIALIZED VIEW",
    "ABORT MATERIALIZED VIEW",
    "RECOVER MATERIALIZED VIEW",
    "CHECKPOINT MATERIALIZED VIEW",
    "TRANSFER LEADER",
    "PAUSE TASK",
    "RESUME TASK",
    "PAUSE ALERT",
    "RESUME ALERT",
    "PAUSE STREAM",
    "RESUME STREAM",
    "INSTALL PYTHON PACKAGE",
    "UNINSTALL PYTHON PACKAGE",
    "LIST PYTHON PACKAGES",
    "ENABLE FAILPOINT",
    "DISABLE FAILPOINT",
];
