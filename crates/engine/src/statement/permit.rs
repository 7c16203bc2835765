//! Whether a user may do what a statement says.
//!
//! In: a statement, and what its user may do. Out: nothing, or ACCESS_DENIED (497) with the grant that would be needed.
//! Promise: asked before anything is done; what is read is asked for by column, once the plan says which columns that are.

use super::Context;
use crate::catalog::Object as Named;
use crate::catalog::lookup::Lookup;
use crate::stream::Stream;
use hydron_access::{Enabled, Object, Privilege};
use hydron_base::Result;
use hydron_plan::{Node, Plan, ScanColumn};
use hydron_sql::ast::{
    AccessKind, AlterCommand, AlterObject, CreateSource, CreateStream, DropObject, DropVerb, InsertTarget, ObjectName,
    RenameObject, Show, ShowObject, StatementKind, System, TableExprKind,
};
use std::collections::BTreeSet;

/// A privilege on a thing; the columns of a stream by themselves.
type Need = (Privilege, Object);

pub fn statement(cx: &Context, kind: &StatementKind) -> Result<()> {
    for (privilege, on) in needs(cx, kind) {
        match privilege {
            Privilege::SHOW_DATABASES | Privilege::SHOW_TABLES | Privilege::SHOW_COLUMNS => sees(cx, privilege, &on)?,
            _ => cx.access.check(privilege, &on)?,
        }
    }
    Ok(())
}

/// Whoever may use a thing may see it.
fn sees(cx: &Context, show: Privilege, on: &Object) -> Result<()> {
    match on.database.as_deref() == Some(crate::system::DATABASE) || cx.access.rights.may_see(show, on) {
        true => Ok(()),
        false => cx.access.check(show, on),
    }
}

/// Whether a query of that user may be seen.
pub fn sees_query(access: &Enabled, of: &str) -> bool {
    access.user == of || access.rights.has(Privilege::KILL_QUERY.into(), &Object::ANY)
}

fn needs(cx: &Context, kind: &StatementKind) -> Vec<Need> {
    use Privilege as P;
    use StatementKind as S;
    let on = |name: &ObjectName| {
        let (database, name) = cx.full_name(name);
        Object::stream(&database, &name)
    };
    let any = || Object::ANY;
    let replaced = |replaces: bool, drop: Privilege, name: &ObjectName| replaces.then(|| (drop, on(name)));
    match kind {
        S::CreateStream(create) => create_stream(create, &on),
        S::CreateView(create) => {
            let mut needs = vec![(P::CREATE_VIEW, on(&create.name))];
            needs.extend(replaced(create.or_replace, P::DROP_VIEW, &create.name));
            needs
        }
        S::CreateMaterializedView(create) => {
            let mut needs = vec![(P::CREATE_VIEW, on(&create.name))];
            needs.extend(replaced(create.or_replace, P::DROP_VIEW, &create.name));
            needs.extend(create.into.iter().map(|into| (P::INSERT, on(into))));
            needs
        }
        S::CreateDatabase(create) => vec![(P::CREATE_DATABASE, Object::database(&create.name))],
        S::CreateDictionary(create) => vec![(P::CREATE_DICTIONARY, on(&create.name))],
        S::CreateFunction(create) => {
            let mut needs = vec![(P::CREATE_FUNCTION, any())];
            needs.extend(create.or_replace.then(|| (P::DROP_FUNCTION, any())));
            needs
        }
        S::CreateFormatSchema(_) => vec![(P::CREATE_FUNCTION, any())],
        S::Drop(drop) => drop.names.iter().map(|name| drop_one(cx, drop.verb, drop.object, name, &on)).collect(),
        S::Alter(alter) if alter.object == AlterObject::Database => {
            vec![(P::ALTER_DATABASE_SETTINGS, Object::database(&alter.name.name))]
        }
        S::Alter(alter) => alter.commands.iter().flat_map(|c| alter_command(c, &on(&alter.name), &on)).collect(),
        S::Rename(rename) if rename.object == RenameObject::Database => {
            let both = rename.pairs.iter();
            both.flat_map(|(from, to)| {
                [(P::DROP_DATABASE, Object::database(&from.name)), (P::CREATE_DATABASE, Object::database(&to.name))]
            })
            .collect()
        }
        S::Rename(rename) => {
            let moved = |from: &ObjectName, to: &ObjectName| {
                [(P::SELECT, on(from)), (P::DROP_TABLE, on(from)), (P::CREATE_TABLE, on(to)), (P::INSERT, on(to))]
            };
            let back = rename.pairs.iter().filter(|_| rename.exchange).flat_map(|(from, to)| moved(to, from));
            rename.pairs.iter().flat_map(|(from, to)| moved(from, to)).chain(back).collect()
        }
        S::Optimize(optimize) => vec![(P::OPTIMIZE, on(&optimize.name))],
        S::Check { name, .. } => vec![(P::SHOW_TABLES, on(name))],
        S::Exists(exists) if exists.object == ShowObject::Database => {
            vec![(P::SHOW_DATABASES, Object::database(&exists.name.name))]
        }
        S::Exists(exists) => vec![(P::SHOW_TABLES, on(&exists.name))],
        S::Show(show) => match &**show {
            Show::Create { object: ShowObject::Database, name, .. } => {
                vec![(P::SHOW_DATABASES, Object::database(&name.name))]
            }
            Show::Create { name, .. } => vec![(P::SHOW_COLUMNS, on(name))],
            Show::Streams { from: Some(database), .. } => vec![(P::SHOW_DATABASES, Object::database(database))],
            _ => Vec::new(),
        },
        S::Describe(describe) => match &describe.target.kind {
            TableExprKind::Name(name) => vec![(P::SHOW_COLUMNS, on(name))],
            _ => Vec::new(),
        },
        S::Use(database) => vec![(P::SHOW_DATABASES, Object::database(database))],
        S::System(system) => system_command(system, &on).into_iter().collect(),
        S::Insert(insert) => match &insert.target {
            InsertTarget::Function(f) => source_of(&f.name).map(|p| (p, any())).into_iter().collect(),
            // By columns, once they are known.
            InsertTarget::Stream(_) => Vec::new(),
        },
        S::Access(entity) => {
            super::access::needs_of(entity.kind, if entity.alter { Verb::Alter } else { Verb::Create })
                .into_iter()
                .flat_map(|p| policy_objects(cx, p, entity.kind, entity.names.iter()))
                .chain(
                    entity
                        .or_replace
                        .then(|| super::access::needs_of(entity.kind, Verb::Drop))
                        .flatten()
                        .map(|p| (p, any())),
                )
                .collect()
        }
        S::DropAccess(drop) => super::access::needs_of(drop.kind, Verb::Drop)
            .into_iter()
            .flat_map(|p| policy_objects(cx, p, drop.kind, drop.names.iter()))
            .collect(),
        // Queries by column, their own by their user, GRANT by what is granted.
        _ => Vec::new(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Create,
    Alter,
    Drop,
    Show,
}

/// A row policy is a matter of its stream, other entities of the whole server.
fn policy_objects<'a>(
    cx: &Context,
    privilege: Privilege,
    kind: AccessKind,
    names: impl Iterator<Item = &'a hydron_sql::ast::AccessName>,
) -> Vec<Need> {
    if kind != AccessKind::RowPolicy {
        return vec![(privilege, Object::ANY)];
    }
    let on = |name: &ObjectName| {
        let (database, stream) = cx.full_name(name);
        if stream.is_empty() { Object::database(&database) } else { Object::stream(&database, &stream) }
    };
    names.flat_map(|n| n.on.iter().map(on).collect::<Vec<_>>()).map(|on| (privilege, on)).collect()
}

fn create_stream(create: &CreateStream, on: &impl Fn(&ObjectName) -> Object) -> Vec<Need> {
    use hydron_sql::ast::StreamKind as K;
    let mut needs = match create.temporary {
        true => vec![(Privilege::CREATE_TEMPORARY_TABLE, Object::ANY)],
        false => vec![(Privilege::CREATE_TABLE, on(&create.name))],
    };
    if create.or_replace {
        needs.push((Privilege::DROP_TABLE, on(&create.name)));
    }
    if matches!(create.kind, K::ExternalStream | K::ExternalTable) {
        let settings = create.storage.settings.iter();
        let ty = settings.filter(|s| s.name == "type").find_map(|s| hydron_plan::bind::setting_text(s).ok().flatten());
        needs.extend(ty.as_deref().and_then(source_of).map(|p| (p, Object::ANY)));
    }
    match &create.source {
        Some(CreateSource::Like(other)) => needs.push((Privilege::SHOW_COLUMNS, on(other))),
        Some(CreateSource::Function(f)) => needs.extend(source_of(&f.name).map(|p| (p, Object::ANY))),
        _ => {}
    }
    needs
}

fn drop_one(
    cx: &Context,
    verb: DropVerb,
    object: DropObject,
    name: &ObjectName,
    on: &impl Fn(&ObjectName) -> Object,
) -> Need {
    use Privilege as P;
    let state = cx.engine.catalog.snapshot();
    let (database, stream) = cx.full_name(name);
    let is_view = matches!(state.object(&database, &stream), Some(Named::View(_) | Named::MaterializedView(_)));
    match (verb, object) {
        (_, DropObject::Database) => (P::DROP_DATABASE, Object::database(&name.name)),
        (DropVerb::Truncate, _) => (P::TRUNCATE, on(name)),
        (_, DropObject::Function | DropObject::FormatSchema) => (P::DROP_FUNCTION, Object::ANY),
        (_, DropObject::Dictionary) => (P::DROP_DICTIONARY, on(name)),
        (_, DropObject::View) => (P::DROP_VIEW, on(name)),
        (_, DropObject::Stream | DropObject::ExternalTable) if is_view => (P::DROP_VIEW, on(name)),
        (_, DropObject::Stream | DropObject::ExternalTable) => (P::DROP_TABLE, on(name)),
    }
}

fn alter_command(command: &AlterCommand, on: &Object, name: &impl Fn(&ObjectName) -> Object) -> Vec<Need> {
    use AlterCommand as A;
    use Privilege as P;
    let one = |privilege| vec![(privilege, on.clone())];
    let column = |privilege, name: &str| vec![(privilege, on.column(name))];
    match command {
        A::AddColumn { column: c, .. } => column(P::ALTER_ADD_COLUMN, &c.name),
        A::DropColumn { name, .. } => column(P::ALTER_DROP_COLUMN, name),
        A::ClearColumn { name, .. } => column(P::ALTER_CLEAR_COLUMN, name),
        A::ModifyColumn { column: c, .. } => column(P::ALTER_MODIFY_COLUMN, &c.name),
        A::RemoveColumnProperty { name, .. } => column(P::ALTER_MODIFY_COLUMN, name),
        A::RenameColumn { from, to, .. } => {
            vec![(P::ALTER_RENAME_COLUMN, on.column(from)), (P::ALTER_RENAME_COLUMN, on.column(to))]
        }
        A::CommentColumn { name, .. } => column(P::ALTER_COMMENT_COLUMN, name),
        A::MaterializeColumn { name, .. } => column(P::ALTER_MATERIALIZE_COLUMN, name),
        A::ModifyComment(_) => one(P::ALTER_MODIFY_COMMENT),
        A::AddIndex { .. } => one(P::ALTER_ADD_INDEX),
        A::DropIndex { .. } => one(P::ALTER_DROP_INDEX),
        A::ClearIndex { .. } => one(P::ALTER_CLEAR_INDEX),
        A::MaterializeIndex { .. } => one(P::ALTER_MATERIALIZE_INDEX),
        A::AddProjection { .. } => one(P::ALTER_ADD_PROJECTION),
        A::DropProjection { .. } => one(P::ALTER_DROP_PROJECTION),
        A::ClearProjection { .. } => one(P::ALTER_CLEAR_PROJECTION),
        A::MaterializeProjection { .. } => one(P::ALTER_MATERIALIZE_PROJECTION),
        A::AddConstraint { .. } => one(P::ALTER_ADD_CONSTRAINT),
        A::DropConstraint { .. } => one(P::ALTER_DROP_CONSTRAINT),
        A::ModifyOrderBy(_) => one(P::ALTER_ORDER_BY),
        A::ModifySampleBy(_) | A::RemoveSampleBy => one(P::ALTER_SAMPLE_BY),
        A::ModifyTtl(_) | A::RemoveTtl => one(P::ALTER_TTL),
        A::MaterializeTtl { .. } => one(P::ALTER_MATERIALIZE_TTL),
        A::ModifySetting(_) | A::ResetSetting(_) => one(P::ALTER_SETTINGS),
        A::ModifyQuerySetting(_) | A::ResetQuerySetting(_) | A::ModifyQuery(_) => one(P::ALTER_VIEW_MODIFY_QUERY),
        A::Delete { .. } | A::DropPartition { .. } => one(P::ALTER_DELETE),
        A::Update { assignments, .. } => assignments.iter().map(|a| (P::ALTER_UPDATE, on.column(&a.column))).collect(),
        A::DetachPartition { .. } => one(P::ALTER_DELETE),
        A::AttachPartition { from: None, .. } => one(P::INSERT),
        A::AttachPartition { from: Some(from), .. } => vec![(P::SELECT, name(from)), (P::INSERT, on.clone())],
        A::ReplacePartition { from, .. } => {
            vec![(P::SELECT, name(from)), (P::INSERT, on.clone()), (P::ALTER_DELETE, on.clone())]
        }
        A::MovePartition { .. } => one(P::ALTER_MOVE_PARTITION),
        A::FetchPartition { .. } => one(P::ALTER_FETCH_PARTITION),
        A::Freeze { .. } | A::Unfreeze { .. } => one(P::ALTER_FREEZE_PARTITION),
    }
}

fn system_command(system: &System, on: &impl Fn(&ObjectName) -> Object) -> Option<Need> {
    use Privilege as P;
    let target = || system.target.as_ref().map_or(Object::ANY, on);
    let command = system.command.as_str();
    let starts = |words: &[&str]| words.iter().any(|w| command.starts_with(w));
    Some(match command {
        _ if command.ends_with(" MATERIALIZED VIEW") => (P::SYSTEM_VIEWS, target()),
        "SHUTDOWN" | "KILL" => (P::SYSTEM_SHUTDOWN, Object::ANY),
        "LIFT QUARANTINE" | "LEAVE SAFE MODE" => (P::SYSTEM_QUARANTINE, Object::ANY),
        _ if command.ends_with("TTL MERGES") => (P::SYSTEM_TTL_MERGES, target()),
        _ if command.ends_with("MERGES") => (P::SYSTEM_MERGES, target()),
        _ if command.ends_with("MOVES") => (P::SYSTEM_MOVES, target()),
        _ if starts(&["FLUSH"]) => (P::SYSTEM_FLUSH, Object::ANY),
        _ if starts(&["DROP"]) => (P::SYSTEM_DROP_CACHE, Object::ANY),
        _ if starts(&["RELOAD"]) => (P::SYSTEM_RELOAD, Object::ANY),
        _ => (P::SYSTEM_OTHER, Object::ANY),
    })
}

/// The privilege for a source outside of the server, by the name of its function or type.
fn source_of(name: &str) -> Option<Privilege> {
    use Privilege as P;
    Some(match name {
        "file" => P::FILE,
        "url" => P::URL,
        "s3" | "gcs" => P::S3,
        "remote" | "remote_secure" | "timeplus" | "clickhouse" | "cluster" => P::REMOTE,
        "mysql" => P::MYSQL,
        "postgresql" | "postgres" => P::POSTGRES,
        "kafka" | "redpanda" | "pulsar" => P::KAFKA,
        _ => return None,
    })
}

/// A table function that reads something outside of the server.
pub fn table_function(access: &Enabled, name: &str) -> Result<()> {
    source_of(name).map_or(Ok(()), |privilege| access.check(privilege, &Object::ANY))
}

/// Tables of the server's own state are everyone's, and show what each may see; those of access control are not.
pub fn system_table(access: &Enabled, name: &str) -> Result<()> {
    use Privilege as P;
    let needed = match name {
        "users" | "user_directories" => P::SHOW_USERS,
        "roles" => P::SHOW_ROLES,
        "role_grants" | "grants" => {
            let sees = |p: P| access.rights.has(p.into(), &Object::ANY);
            if sees(P::SHOW_USERS) && sees(P::SHOW_ROLES) {
                return Ok(());
            }
            return Err(access.denied("SHOW USERS, SHOW ROLES ON *.*"));
        }
        "settings_profiles" | "settings_profile_elements" => P::SHOW_SETTINGS_PROFILES,
        "quotas" | "quota_limits" | "quotas_usage" => P::SHOW_QUOTAS,
        "row_policies" => P::SHOW_ROW_POLICIES,
        "crash_log" | "quarantine" => P::SYSTEM_QUARANTINE,
        _ => return Ok(()),
    };
    access.check(needed, &Object::ANY)
}

/// Whether everything that was named so far may be read. `plan`: what is read of it, in columns.
pub fn reads(lookup: &Lookup, plan: Option<&Plan>) -> Result<()> {
    let reads = lookup.reads.lock().clone();
    for read in reads {
        let on = Object::stream(&read.database, &read.name);
        let mut columns = BTreeSet::new();
        if let Some(plan) = plan {
            collect(plan, &read.database, &read.name, &mut columns);
        }
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        // A view has its owner's columns: it is granted as a whole.
        let checked = match read.is_view {
            true => read.reader.check(Privilege::SELECT, &on),
            false => read.reader.check_columns(Privilege::SELECT, &on, &columns),
        };
        if checked.is_ok() && plan.is_some() {
            match read.is_view {
                true => lookup.grounds.whole(&read.as_reader, Privilege::SELECT, &on),
                false => lookup.grounds.columns(&read.as_reader, Privilege::SELECT, &on, &columns),
            }
        }
        checked.map_err(|e| match read.reader.user == lookup.access.user {
            true => e,
            false => e.context(format!("a view of user {}", read.reader.user)),
        })?;
    }
    Ok(())
}

/// The stored columns that a plan reads of a stream. Those that every stream has are no one's secret.
fn collect(plan: &Plan, database: &str, name: &str, columns: &mut BTreeSet<String>) {
    if let Node::Scan(scan) = &plan.node
        && *scan.stream.database == *database
        && *scan.stream.name == *name
    {
        for column in &scan.columns {
            if let ScanColumn::Stored(at) = column {
                let name = &scan.stream.columns[*at].name;
                if !name.starts_with("_tp_") {
                    columns.insert(name.to_string());
                }
            }
        }
    }
    for input in plan.inputs() {
        collect(input, database, name, columns);
    }
}

/// `columns`: those of the statement; none: all that an INSERT can give.
pub fn insert(cx: &Context, stream: &Stream, columns: &[String]) -> Result<()> {
    let on = Object::stream(&stream.info.database, &stream.info.name);
    let given = || stream.info.columns.iter().filter(|c| c.is_stored() && !c.name.starts_with("_tp_"));
    let columns: Vec<&str> = match columns {
        [] => given().map(|c| &*c.name).collect(),
        columns => columns.iter().map(String::as_str).collect(),
    };
    cx.access.check_columns(Privilege::INSERT, &on, &columns)?;
    cx.info.grounds.columns(&cx.reader, Privilege::INSERT, &on, &columns);
    Ok(())
}
