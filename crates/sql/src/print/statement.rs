//! Statements around queries and definitions.

use super::Printer;
use crate::ast::*;

impl Printer {
    pub(super) fn statement(&mut self, statement: &Statement) {
        self.statement_kind(&statement.kind);
        let output = &statement.output;
        if let Some(outfile) = &output.outfile {
            self.line();
            self.put("INTO OUTFILE ");
            self.quoted(&outfile.path);
            self.opt_string(" COMPRESSION ", &outfile.compression);
            if let Some(level) = outfile.level {
                self.put(&format!(" LEVEL {level}"));
            }
        }
        if let Some(format) = &output.format {
            self.line();
            self.put("FORMAT ");
            self.name(format);
        }
        if !output.settings.is_empty() {
            self.line();
            self.put("SETTINGS ");
            self.settings(&output.settings);
        }
    }

    pub(super) fn statement_kind(&mut self, kind: &StatementKind) {
        match kind {
            StatementKind::Query(query) => self.query(query),
            StatementKind::Insert(insert) => self.insert(insert),
            StatementKind::CreateStream(c) => self.create_stream(c),
            StatementKind::CreateView(c) => self.create_view(c),
            StatementKind::CreateMaterializedView(c) => self.create_materialized_view(c),
            StatementKind::CreateDatabase(c) => self.create_database(c),
            StatementKind::CreateDictionary(c) => self.create_dictionary(c),
            StatementKind::CreateFunction(c) => self.create_function(c),
            StatementKind::CreateFormatSchema(c) => self.create_format_schema(c),
            StatementKind::Drop(drop) => self.drop_objects(drop),
            StatementKind::Alter(alter) => self.alter(alter),
            StatementKind::Rename(rename) => self.rename(rename),
            StatementKind::Optimize(optimize) => self.optimize(optimize),
            StatementKind::Check { name, partition } => {
                self.put("CHECK STREAM ");
                self.object(name);
                self.of_partition(partition);
            }
            StatementKind::Exists(exists) => {
                self.put("EXISTS ");
                self.put_if(exists.temporary, "TEMPORARY ");
                self.show_object(exists.object);
                self.object(&exists.name);
            }
            StatementKind::Show(show) => self.show(show),
            StatementKind::Describe(describe) => {
                self.put("DESCRIBE ");
                self.table_expr(&describe.target);
            }
            StatementKind::Explain(explain) => self.explain(explain),
            StatementKind::Use(database) => {
                self.put("USE ");
                self.name(database);
            }
            StatementKind::Set(settings) => {
                self.put("SET ");
                self.settings(settings);
            }
            StatementKind::SetRole(set) => self.set_role(set),
            StatementKind::Kill(kill) => self.kill(kill),
            StatementKind::System(system) => self.system(system),
            StatementKind::SubscribeTo(query) => {
                self.put("SUBSCRIBE TO");
                self.line();
                self.query(query);
            }
            StatementKind::RecoverFrom(id) => {
                self.put("RECOVER FROM ");
                self.quoted(id);
            }
            StatementKind::UnsubscribeTo(id) => {
                self.put("UNSUBSCRIBE TO ");
                self.quoted(id);
            }
            StatementKind::Access(entity) => self.access_entity(entity),
            StatementKind::DropAccess(drop) => {
                self.put("DROP ");
                let named = super::printed(false, |p| p.access_named(drop.kind, &drop.names));
                if drop.if_exists {
                    let kind = super::printed(false, |p| p.access_named(drop.kind, &[]));
                    self.put(&kind);
                    self.put("IF EXISTS ");
                    self.put(named.strip_prefix(&kind).unwrap_or(&named));
                } else {
                    self.put(&named);
                }
                self.opt_name(" ON CLUSTER ", &drop.on_cluster);
            }
            StatementKind::Grant(grant) => self.grant(grant),
            StatementKind::Transaction(words) => self.put(words),
            StatementKind::Other(other) => self.put(&other.text),
        }
    }

    fn insert(&mut self, insert: &Insert) {
        self.put("INSERT INTO ");
        match &insert.target {
            InsertTarget::Stream(name) => self.object(name),
            InsertTarget::Function(function) => {
                self.put("FUNCTION ");
                self.call(function);
            }
        }
        if let Some(partition) = &insert.partition_by {
            self.put(" PARTITION BY ");
            self.bare(partition);
        }
        if !insert.columns.is_empty() {
            self.put(" (");
            self.exprs(&insert.columns);
            self.put(")");
        }
        if let Some(infile) = &insert.infile {
            self.put(" FROM INFILE ");
            self.path(&infile.path);
            if let Some(compression) = &infile.compression {
                self.put(" COMPRESSION ");
                self.path(compression);
            }
        }
        if !insert.settings.is_empty() {
            self.put(" SETTINGS ");
            self.settings(&insert.settings);
        }
        match &insert.source {
            InsertSource::Values => self.put(" VALUES"),
            InsertSource::Format(format) => {
                self.put(" FORMAT ");
                self.name(format);
            }
            InsertSource::Select(query) => {
                self.put(" ");
                self.query(query);
                self.opt_name(" FORMAT ", &insert.input_format);
            }
            InsertSource::None => {}
        }
    }

    /// A path as EXPLAIN shows it, bare, or as it parses.
    fn path(&mut self, path: &str) {
        if self.pretty { self.put(path) } else { self.quoted(path) }
    }

    fn drop_objects(&mut self, drop: &DropObjects) {
        self.put(match drop.verb {
            DropVerb::Drop => "DROP ",
            DropVerb::Detach => "DETACH ",
            DropVerb::Truncate => "TRUNCATE ",
        });
        self.put_if(drop.temporary, "TEMPORARY ");
        self.put(match drop.object {
            DropObject::Stream => "STREAM ",
            DropObject::ExternalTable => "EXTERNAL TABLE ",
            DropObject::View => "VIEW ",
            DropObject::Dictionary => "DICTIONARY ",
            DropObject::Database => "DATABASE ",
            DropObject::Function => "FUNCTION ",
            DropObject::FormatSchema => "FORMAT SCHEMA ",
        });
        self.put_if(drop.if_exists, "IF EXISTS ");
        self.put_if(drop.if_empty, "IF EMPTY ");
        self.list(&drop.names, |p, name| p.object(name));
        self.opt_name(" ON CLUSTER ", &drop.on_cluster);
        self.put_if(drop.permanently, " PERMANENTLY");
        self.opt_name(" TYPE ", &drop.schema_type);
        self.put_if(drop.sync, " SYNC");
    }

    fn rename(&mut self, rename: &Rename) {
        self.put(if rename.exchange { "EXCHANGE " } else { "RENAME " });
        self.put(match rename.object {
            RenameObject::Stream if rename.exchange => "STREAMS ",
            RenameObject::Stream => "STREAM ",
            RenameObject::View => "VIEW ",
            RenameObject::Dictionary => "DICTIONARY ",
            RenameObject::Database => "DATABASE ",
        });
        self.put_if(rename.if_exists, "IF EXISTS ");
        self.list(&rename.pairs, |p, (from, to)| {
            p.object(from);
            p.put(if rename.exchange { " AND " } else { " TO " });
            p.object(to);
        });
        self.opt_name(" ON CLUSTER ", &rename.on_cluster);
    }

    fn optimize(&mut self, optimize: &Optimize) {
        self.put("OPTIMIZE STREAM ");
        self.object(&optimize.name);
        self.opt_name(" ON CLUSTER ", &optimize.on_cluster);
        self.of_partition(&optimize.partition);
        self.put_if(optimize.is_final, " FINAL");
        self.put_if(optimize.deduplicate, " DEDUPLICATE");
        if !optimize.by.is_empty() {
            self.put(" BY ");
            self.exprs(&optimize.by);
        }
    }

    fn of_partition(&mut self, partition: &Option<Partition>) {
        if let Some(partition) = partition {
            self.put(" PARTITION ");
            self.partition(partition);
        }
    }

    fn show_object(&mut self, object: ShowObject) {
        self.put(match object {
            ShowObject::Any => "",
            ShowObject::Stream => "STREAM ",
            ShowObject::View => "VIEW ",
            ShowObject::Dictionary => "DICTIONARY ",
            ShowObject::Database => "DATABASE ",
        });
    }

    fn show(&mut self, show: &Show) {
        self.put("SHOW ");
        match show {
            Show::Databases(filter) => self.show_list("DATABASES", &None, filter),
            Show::Streams { temporary, full, from, filter } => {
                self.put_if(*temporary, "TEMPORARY ");
                self.put_if(*full, "FULL ");
                self.show_list("STREAMS", from, filter);
            }
            Show::Dictionaries { from, filter } => self.show_list("DICTIONARIES", from, filter),
            Show::Functions(filter) => self.show_list("FUNCTIONS", &None, filter),
            Show::Settings { changed, filter } => {
                self.put_if(*changed, "CHANGED ");
                self.show_list("SETTINGS", &None, filter);
            }
            Show::Clusters(filter) => self.show_list("CLUSTERS", &None, filter),
            Show::Cluster(name) => {
                self.put("CLUSTER ");
                self.name(name);
            }
            Show::ProcessList => self.put("PROCESSLIST"),
            Show::FormatSchemas { ty } => {
                self.put("FORMAT SCHEMAS");
                self.opt_name(" TYPE ", ty);
            }
            Show::Create { object, temporary, name } => {
                self.put("CREATE ");
                self.put_if(*temporary, "TEMPORARY ");
                self.show_object(*object);
                self.object(name);
            }
            Show::CreateFormatSchema { name, ty } => {
                self.put("CREATE FORMAT SCHEMA ");
                self.name(name);
                self.opt_name(" TYPE ", ty);
            }
            Show::CreateFunction(name) => {
                self.put("CREATE FUNCTION ");
                self.name(name);
            }
            Show::CreateAccess { kind, names } => {
                self.put("CREATE ");
                self.access_named(*kind, names);
            }
            Show::Grants { of } => {
                self.put("GRANTS");
                if let Some(of) = of {
                    self.put(" FOR ");
                    self.role_set(of);
                }
            }
            Show::List { what, on } => {
                self.put(what);
                if let Some(on) = on {
                    self.put(" ON ");
                    self.object(on);
                }
            }
        }
    }

    fn show_list(&mut self, what: &str, from: &Option<String>, filter: &ShowFilter) {
        self.put(what);
        self.opt_name(" FROM ", from);
        if let Some(like) = &filter.like {
            self.put_if(like.not, " NOT");
            self.put(if like.case_insensitive { " ILIKE " } else { " LIKE " });
            self.quoted(&like.pattern);
        }
        if let Some(expr) = &filter.filter {
            self.put(" WHERE ");
            self.bare(expr);
        }
        if let Some(limit) = &filter.limit {
            self.put(" LIMIT ");
            self.bare(limit);
        }
    }

    fn explain(&mut self, explain: &Explain) {
        self.put(match explain.kind {
            ExplainKind::Ast => "EXPLAIN AST ",
            ExplainKind::Syntax => "EXPLAIN SYNTAX ",
            ExplainKind::QueryTree => "EXPLAIN QUERY TREE ",
            ExplainKind::Plan => "EXPLAIN ",
            ExplainKind::Pipeline => "EXPLAIN PIPELINE ",
            ExplainKind::Estimate => "EXPLAIN ESTIMATE ",
            ExplainKind::TableOverride => "EXPLAIN TABLE OVERRIDE ",
            ExplainKind::CurrentTransaction => "EXPLAIN CURRENT TRANSACTION",
        });
        if !explain.settings.is_empty() {
            self.settings(&explain.settings);
            self.put(" ");
        }
        match &explain.target {
            ExplainTarget::Statement(statement) => self.statement(statement),
            ExplainTarget::Text(text) => self.put(text),
        }
    }

    fn set_role(&mut self, set: &SetRole) {
        if set.default {
            return self.put("SET ROLE DEFAULT");
        }
        self.put(if set.to.is_some() { "SET DEFAULT ROLE " } else { "SET ROLE " });
        self.role_set(&set.roles);
        if let Some(to) = &set.to {
            self.put(" TO ");
            self.role_set(to);
        }
    }

    fn kill(&mut self, kill: &Kill) {
        self.put(match kill.what {
            KillObject::Query => "KILL QUERY",
            KillObject::Mutation => "KILL MUTATION",
            KillObject::PartMoveToShard => "KILL PART_MOVE_TO_SHARD",
            KillObject::Transaction => "KILL TRANSACTION",
        });
        self.opt_name(" ON CLUSTER ", &kill.on_cluster);
        self.put(" WHERE ");
        self.bare(&kill.filter);
        self.put(match kill.mode {
            KillMode::Async => " ASYNC",
            KillMode::Sync => " SYNC",
            KillMode::Test => " TEST",
        });
    }

    fn system(&mut self, system: &System) {
        self.put("SYSTEM ");
        self.put(&system.command);
        self.opt_name(" ON CLUSTER ", &system.on_cluster);
        if let Some(target) = &system.target {
            self.put(" ");
            self.object(target);
        }
        self.put_if(!system.args.is_empty(), " ");
        // In parentheses it cannot be taken for the target.
        let hides = system.target.is_none() && !system.args.is_empty();
        self.put_if(hides, "(");
        let mut args = system.args.iter();
        if let Some(first) = args.next() {
            self.bare(first);
        }
        self.put_if(hides, ")");
        for arg in args {
            self.put(", ");
            self.bare(arg);
        }
    }
}
