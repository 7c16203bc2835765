//! CREATE, types, column definitions.

use super::{Printer, text};
use crate::ast::*;

impl Printer {
    pub(super) fn type_name(&mut self, ty: &TypeName) {
        self.put(&ty.name);
        let Some(args) = &ty.args else { return };
        self.put("(");
        self.list(args, |p, arg| match arg {
            TypeArg::Type(ty) => p.type_name(ty),
            TypeArg::Literal(literal) => p.literal(literal),
            TypeArg::EnumValue { name, value } => {
                text::put_string(&mut p.out, name);
                p.put(&format!(" = {value}"));
            }
            TypeArg::Named { name, ty } => {
                p.name_parts(name);
                p.put(" ");
                p.type_name(ty);
            }
        });
        self.put(")");
    }

    fn head(&mut self, attach: bool, or_replace: bool) {
        self.put(if attach { "ATTACH " } else { "CREATE " });
        self.put_if(or_replace, "OR REPLACE ");
    }

    fn target(&mut self, if_not_exists: bool, name: &ObjectName, uuid: &Option<String>, on_cluster: &Option<String>) {
        self.put_if(if_not_exists, "IF NOT EXISTS ");
        self.object(name);
        self.opt_string(" UUID ", uuid);
        self.opt_name(" ON CLUSTER ", on_cluster);
    }

    fn comment(&mut self, comment: &Option<String>) {
        if comment.is_some() {
            self.line();
            self.opt_string("COMMENT ", comment);
        }
    }

    pub(super) fn create_stream(&mut self, c: &CreateStream) {
        self.head(c.attach, c.or_replace);
        self.put_if(c.temporary, "TEMPORARY ");
        self.put(match c.kind {
            StreamKind::Stream => "STREAM ",
            StreamKind::Random => "RANDOM STREAM ",
            StreamKind::ExternalStream => "EXTERNAL STREAM ",
            StreamKind::ExternalTable => "EXTERNAL TABLE ",
            StreamKind::Mutable => "MUTABLE STREAM ",
        });
        self.target(c.if_not_exists, &c.name, &c.uuid, &c.on_cluster);
        self.opt_string(" FROM ", &c.attach_from);
        if let Some(elements) = &c.elements {
            self.line();
            self.elements(elements);
        }
        self.storage(&c.storage);
        self.comment(&c.comment);
        match &c.source {
            Some(CreateSource::Like(name)) => {
                self.put(" AS ");
                self.object(name);
            }
            Some(CreateSource::Function(function)) => {
                self.put(" AS ");
                self.call(function);
            }
            Some(CreateSource::Select(query)) => {
                self.put(" AS");
                self.line();
                self.query(query);
            }
            Some(CreateSource::Code(code)) => {
                self.put(" AS ");
                self.code(code);
            }
            None => {}
        }
    }

    /// Code between dollars, or as a string if it holds the closing tag.
    fn code(&mut self, code: &str) {
        if code.contains("$$") || code.ends_with('$') {
            return self.quoted(code);
        }
        self.put(&format!("$${code}$$"));
    }

    pub(super) fn elements(&mut self, elements: &TableElements) {
        self.put("(");
        let mut count = 0;
        self.level += 1;
        let mut next = |p: &mut Self| {
            p.put_if(count > 0, ",");
            if count > 0 || p.pretty {
                p.line();
            }
            count += 1;
        };
        for column in &elements.columns {
            next(self);
            self.column_def(column);
        }
        for index in &elements.indexes {
            next(self);
            self.put("INDEX ");
            self.index_def(index);
        }
        for constraint in &elements.constraints {
            next(self);
            self.put("CONSTRAINT ");
            self.constraint_def(constraint);
        }
        for projection in &elements.projections {
            next(self);
            self.put("PROJECTION ");
            self.projection_def(projection);
        }
        if let Some(key) = &elements.primary_key {
            next(self);
            self.put("PRIMARY KEY ");
            self.bare(key);
        }
        self.level -= 1;
        if self.pretty {
            self.line();
        }
        self.put(")");
    }

    pub(super) fn column_def(&mut self, column: &ColumnDef) {
        text::put_quoted_name(&mut self.out, &column.name);
        if let Some(ty) = &column.ty {
            self.put(" ");
            self.type_name(ty);
        }
        match column.nullable {
            Some(true) => self.put(" NULL"),
            Some(false) => self.put(" NOT NULL"),
            None => {}
        }
        self.opt_name(" COLLATE ", &column.collation);
        if let Some(default) = &column.default {
            self.put(match default.kind {
                DefaultKind::Default => " DEFAULT",
                DefaultKind::Materialized => " MATERIALIZED",
                DefaultKind::Alias => " ALIAS",
                DefaultKind::Ephemeral => " EPHEMERAL",
            });
            if let Some(expr) = &default.expr {
                self.put(" ");
                self.bare(expr);
            }
        }
        self.opt_string(" COMMENT ", &column.comment);
        if !column.codec.is_empty() {
            self.put(" CODEC(");
            self.exprs(&column.codec);
            self.put(")");
        }
        if let Some(ttl) = &column.ttl {
            self.put(" TTL ");
            self.bare(ttl);
        }
        self.put_if(column.primary_key, " PRIMARY KEY");
    }

    pub(super) fn index_def(&mut self, index: &IndexDef) {
        self.name(&index.name);
        self.put(" ");
        self.bare(&index.expr);
        self.put(" TYPE ");
        self.bare(&index.ty);
        if let Some(granularity) = index.granularity {
            self.put(&format!(" GRANULARITY {granularity}"));
        }
    }

    pub(super) fn constraint_def(&mut self, constraint: &ConstraintDef) {
        self.name(&constraint.name);
        self.put(if constraint.assume { " ASSUME " } else { " CHECK " });
        self.bare(&constraint.expr);
    }

    pub(super) fn projection_def(&mut self, projection: &ProjectionDef) {
        self.name(&projection.name);
        self.put(" ");
        self.subquery(&projection.query);
    }

    pub(super) fn storage(&mut self, storage: &Storage) {
        if let Some(engine) = &storage.engine {
            self.line();
            self.put("ENGINE = ");
            self.engine(engine);
        }
        let clauses = [
            ("PARTITION BY ", &storage.partition_by),
            ("PRIMARY KEY ", &storage.primary_key),
            ("ORDER BY ", &storage.order_by),
            ("SAMPLE BY ", &storage.sample_by),
        ];
        for (keyword, clause) in clauses {
            if let Some(expr) = clause {
                self.line();
                self.put(keyword);
                self.bare(expr);
            }
        }
        if !storage.ttl.is_empty() {
            self.line();
            self.put("TTL ");
            self.list(&storage.ttl, |p, ttl| p.ttl_element(ttl));
        }
        if !storage.settings.is_empty() {
            self.line();
            self.put("SETTINGS ");
            self.settings(&storage.settings);
        }
    }

    fn engine(&mut self, engine: &Function) {
        if engine.args.is_empty() {
            return self.name(&engine.name);
        }
        self.call(engine);
    }

    pub(super) fn ttl_element(&mut self, ttl: &TtlElement) {
        self.bare(&ttl.expr);
        match &ttl.action {
            TtlAction::Delete => self.put_if(ttl.filter.is_some(), " DELETE"),
            TtlAction::ToDisk(disk) => {
                self.put(" TO DISK ");
                self.quoted(disk);
            }
            TtlAction::ToVolume(volume) => {
                self.put(" TO VOLUME ");
                self.quoted(volume);
            }
            TtlAction::Recompress(codec) => {
                self.put(" RECOMPRESS CODEC(");
                self.exprs(codec);
                self.put(")");
            }
            TtlAction::GroupBy { keys, set } => {
                self.put(" GROUP BY ");
                self.list(keys, |p, key| p.bare(key));
                self.put_if(!set.is_empty(), " SET ");
                self.assignments(set);
            }
        }
        if let Some(filter) = &ttl.filter {
            self.put(" WHERE ");
            self.bare(filter);
        }
    }

    pub(super) fn assignments(&mut self, assignments: &[Assignment]) {
        self.list(assignments, |p, assignment| {
            p.name_parts(&assignment.column);
            p.put(" = ");
            p.bare(&assignment.expr);
        });
    }

    fn view_body(&mut self, columns: &Option<TableElements>, query: &Query, comment: &Option<String>) {
        if let Some(columns) = columns {
            self.line();
            self.elements(columns);
        }
        self.put(" AS");
        self.line();
        self.query(query);
        self.comment(comment);
    }

    pub(super) fn create_view(&mut self, c: &CreateView) {
        self.head(c.attach, c.or_replace);
        self.put("VIEW ");
        self.target(c.if_not_exists, &c.name, &c.uuid, &c.on_cluster);
        self.view_body(&c.columns, &c.query, &c.comment);
    }

    pub(super) fn create_materialized_view(&mut self, c: &CreateMaterializedView) {
        self.head(c.attach, c.or_replace);
        self.put("MATERIALIZED VIEW ");
        self.target(c.if_not_exists, &c.name, &c.uuid, &c.on_cluster);
        if let Some(into) = &c.into {
            self.put(" INTO ");
            self.object(into);
        }
        self.opt_string(" INTO INNER UUID ", &c.into_inner_uuid);
        if let Some(columns) = &c.columns {
            self.line();
            self.elements(columns);
        }
        self.storage(&c.storage);
        self.put_if(c.populate, " POPULATE");
        self.view_body(&None, &c.query, &c.comment);
    }

    pub(super) fn create_database(&mut self, c: &CreateDatabase) {
        self.head(c.attach, false);
        self.put("DATABASE ");
        self.target(c.if_not_exists, &ObjectName::new(c.name.as_str()), &c.uuid, &c.on_cluster);
        let storage = Storage { engine: c.engine.clone(), settings: c.settings.clone(), ..Storage::default() };
        self.storage(&storage);
        self.comment(&c.comment);
    }

    pub(super) fn create_dictionary(&mut self, c: &CreateDictionary) {
        self.head(c.attach, c.or_replace);
        self.put("DICTIONARY ");
        self.target(c.if_not_exists, &c.name, &c.uuid, &c.on_cluster);
        if !c.attributes.is_empty() {
            self.line();
            self.put("(");
            self.deeper(|p| {
                for (i, attribute) in c.attributes.iter().enumerate() {
                    p.put_if(i > 0, ",");
                    p.line();
                    p.attribute(attribute);
                }
            });
            self.line();
            self.put(")");
        }
        if !c.primary_key.is_empty() {
            self.line();
            self.put("PRIMARY KEY ");
            self.list(&c.primary_key, |p, key| p.name(key));
        }
        self.dictionary_block("SOURCE", &c.source);
        if let Some((min, max)) = c.lifetime {
            self.line();
            self.put(&format!("LIFETIME(MIN {min} MAX {max})"));
        }
        self.dictionary_block("LAYOUT", &c.layout);
        if let Some((min, max)) = &c.range {
            self.line();
            self.put("RANGE(MIN ");
            self.name(min);
            self.put(" MAX ");
            self.name(max);
            self.put(")");
        }
        if !c.settings.is_empty() {
            self.line();
            self.put("SETTINGS(");
            self.settings(&c.settings);
            self.put(")");
        }
        self.comment(&c.comment);
    }

    fn attribute(&mut self, attribute: &DictionaryAttribute) {
        text::put_quoted_name(&mut self.out, &attribute.name);
        self.put(" ");
        self.type_name(&attribute.ty);
        for (keyword, expr) in [(" DEFAULT ", &attribute.default), (" EXPRESSION ", &attribute.expression)] {
            if let Some(expr) = expr {
                self.put(keyword);
                self.bare(expr);
            }
        }
        self.put_if(attribute.hierarchical, " HIERARCHICAL");
        self.put_if(attribute.injective, " INJECTIVE");
        self.put_if(attribute.is_object_id, " IS_OBJECT_ID");
    }

    fn dictionary_block(&mut self, keyword: &str, block: &Option<DictionaryBlock>) {
        let Some(block) = block else { return };
        self.line();
        self.put(&format!("{keyword}("));
        self.name(&block.name);
        self.put("(");
        self.dictionary_entries(&block.entries);
        self.put("))");
    }

    fn dictionary_entries(&mut self, entries: &[DictionaryEntry]) {
        for (i, entry) in entries.iter().enumerate() {
            self.put_if(i > 0, " ");
            self.name(&entry.key);
            match &entry.value {
                DictionaryValue::Expr(expr) => {
                    self.put(" ");
                    self.bare(expr);
                }
                DictionaryValue::Nested(entries) => {
                    self.put("(");
                    self.dictionary_entries(entries);
                    self.put(")");
                }
                DictionaryValue::None => {}
            }
        }
    }

    pub(super) fn create_function(&mut self, c: &CreateFunction) {
        self.head(false, c.or_replace);
        self.put(match &c.body {
            FunctionBody::Remote(_) => "REMOTE FUNCTION ",
            FunctionBody::Executable(_) => "EXECUTABLE FUNCTION ",
            FunctionBody::Code(code) if code.aggregate => "AGGREGATE FUNCTION ",
            _ => "FUNCTION ",
        });
        self.target(c.if_not_exists, &ObjectName::new(c.name.as_str()), &None, &c.on_cluster);
        match &c.body {
            FunctionBody::Sql(expr) => {
                self.put(" AS ");
                self.bare(expr);
            }
            FunctionBody::Code(code) => {
                self.signature(&code.args, &code.returns);
                self.put(match code.language {
                    FunctionLanguage::JavaScript => " LANGUAGE JAVASCRIPT AS ",
                    FunctionLanguage::Python => " LANGUAGE PYTHON AS ",
                });
                self.code(&code.source);
                if !code.settings.is_empty() {
                    self.put(" SETTINGS ");
                    self.settings(&code.settings);
                }
            }
            FunctionBody::Remote(remote) => {
                self.signature(&remote.args, &remote.returns);
                self.put(" URL ");
                self.quoted(&remote.url);
                self.opt_string(" AUTH_METHOD ", &remote.auth_method);
                self.opt_string(" AUTH_HEADER ", &remote.auth_header);
                self.opt_string(" AUTH_KEY ", &remote.auth_key);
                if let Some(ms) = remote.execution_timeout_ms {
                    self.put(&format!(" EXECUTION_TIMEOUT {ms}"));
                }
            }
            FunctionBody::Executable(program) => {
                self.signature(&program.args, &program.returns);
                self.put(" COMMAND ");
                self.quoted(&program.command);
                if let Some(format) = &program.format {
                    self.put(" FORMAT ");
                    self.name(format);
                }
                if let Some(ms) = program.execution_timeout_ms {
                    self.put(&format!(" EXECUTION_TIMEOUT {ms}"));
                }
            }
        }
    }

    fn signature(&mut self, args: &[FunctionArg], returns: &TypeName) {
        self.put("(");
        self.list(args, |p, arg| {
            p.name(&arg.name);
            p.put(" ");
            p.type_name(&arg.ty);
        });
        self.put(") RETURNS ");
        self.type_name(returns);
    }

    pub(super) fn create_format_schema(&mut self, c: &CreateFormatSchema) {
        self.head(false, c.or_replace);
        self.put("FORMAT SCHEMA ");
        self.put_if(c.if_not_exists, "IF NOT EXISTS ");
        self.name(&c.name);
        self.put(" AS ");
        self.quoted(&c.source);
        self.put(" TYPE ");
        self.name(&c.ty);
    }
}
