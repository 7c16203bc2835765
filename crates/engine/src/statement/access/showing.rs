//! SHOW CREATE USER, SHOW GRANTS, SHOW USERS and their like.

use super::super::permit::Verb;
use super::super::{Answer, Context, answer};
use super::{Find, full_names, kind_of, members, needs_of, text};
use hydron_access::directory::quoted;
use hydron_access::entity::What;
use hydron_access::{Entity, Kind, Object, Privilege};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::{AccessKind, AccessName, ObjectName, RoleSet};
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

pub fn show_create(cx: &Context, kind: AccessKind, names: &[AccessName]) -> Result<Answer> {
    let directory = &cx.access.directory;
    let is_me = |e: &Entity| Some(e.id) == cx.access.id;
    let mut rows = Vec::new();
    for name in full_names(cx, kind, names)? {
        let name = if name.name.eq_ignore_ascii_case("CURRENT_USER") { cx.user.to_string() } else { name.name };
        let entity = directory.existing(kind_of(kind), &name)?;
        if let Some(privilege) = needs_of(kind, Verb::Show).filter(|_| !is_me(entity)) {
            let on = match &entity.what {
                What::Policy(policy) if !policy.stream.is_empty() => Object::stream(&policy.database, &policy.stream),
                What::Policy(policy) => Object::database(&policy.database),
                _ => Object::ANY,
            };
            cx.access.check(privilege, &on)?;
        }
        rows.push(text::create(entity, directory));
    }
    let column = rows.first().filter(|_| rows.len() == 1).cloned().unwrap_or_else(|| "CREATE".to_owned());
    let column = column.split(" IDENTIFIED").next().unwrap_or_default().to_owned();
    answer::strings(&column, rows)
}

pub fn show_grants(cx: &Context, of: Option<&RoleSet>) -> Result<Answer> {
    let directory = &cx.access.directory;
    let own = RoleSet { current_user: true, ..RoleSet::default() };
    let of_me = of.is_none() || of == Some(&own);
    let entities: Vec<Arc<Entity>> = match of {
        _ if of_me && cx.access.id.is_none() => Vec::new(),
        None => cx.access.entity().cloned().into_iter().collect(),
        Some(set) => {
            let set = members(directory, set, &cx.access, Find::Grantee)?;
            directory
                .all()
                .filter(|e| matches!(e.kind(), Kind::User | Kind::Role) && set.contains(e.id))
                .cloned()
                .collect()
        }
    };
    let mut rows = Vec::new();
    for entity in entities {
        let mine = Some(entity.id) == cx.access.id || cx.access.roles.contains(&entity.id);
        if !mine {
            let privilege = if entity.kind() == Kind::User { Privilege::SHOW_USERS } else { Privilege::SHOW_ROLES };
            cx.access.check(privilege, &Object::ANY)?;
        }
        rows.extend(text::grants(&entity, directory));
    }
    answer::strings("GRANTS", rows)
}

pub async fn show_list(cx: &Context, what: &str, on: Option<&ObjectName>) -> Result<Answer> {
    let directory = &cx.access.directory;
    let names = |kind: Kind, privilege: Privilege| {
        cx.access.check(privilege, &Object::ANY)?;
        answer::strings("name", directory.of_kind(kind).map(|e| e.name.clone()))
    };
    match what {
        "USERS" => names(Kind::User, Privilege::SHOW_USERS),
        "ROLES" => names(Kind::Role, Privilege::SHOW_ROLES),
        "PROFILES" | "SETTINGS PROFILES" => names(Kind::Profile, Privilege::SHOW_SETTINGS_PROFILES),
        "QUOTAS" => names(Kind::Quota, Privilege::SHOW_QUOTAS),
        "POLICIES" | "ROW POLICIES" => policies(cx, on),
        "CURRENT ROLES" => Ok(answer::batch(crate::system::rows(&cx.lookup(), "current_roles")?)),
        "ENABLED ROLES" => Ok(answer::batch(crate::system::rows(&cx.lookup(), "enabled_roles")?)),
        "QUOTA" | "CURRENT QUOTA" => Ok(answer::batch(crate::system::rows(&cx.lookup(), "quota_usage")?)),
        "PRIVILEGES" => Ok(answer::batch(crate::system::rows(&cx.lookup(), "privileges")?)),
        "ENGINES" => Ok(answer::batch(crate::system::rows(&cx.lookup(), "table_engines")?)),
        "ACCESS" => {
            for privilege in [Privilege::SHOW_USERS, Privilege::SHOW_ROLES, Privilege::SHOW_QUOTAS] {
                cx.access.check(privilege, &Object::ANY)?;
            }
            let kinds = [Kind::User, Kind::Role, Kind::Policy, Kind::Profile, Kind::Quota];
            let mut rows: Vec<String> =
                kinds.iter().flat_map(|k| directory.of_kind(*k)).map(|e| text::create(e, directory)).collect();
            let grantees = [Kind::User, Kind::Role];
            rows.extend(grantees.iter().flat_map(|k| directory.of_kind(*k)).flat_map(|e| text::grants(e, directory)));
            answer::strings("ACCESS", rows)
        }
        what => Err(Error::not_implemented(format!("SHOW {what}"))),
    }
}

fn policies(cx: &Context, on: Option<&ObjectName>) -> Result<Answer> {
    let wanted = on.map(|name| cx.full_name(name));
    let at = match &wanted {
        Some((database, stream)) => Object::stream(database, stream),
        None => Object::ANY,
    };
    cx.access.check(Privilege::SHOW_ROW_POLICIES, &at)?;
    let rows = cx.access.directory.of_kind(Kind::Policy).filter_map(|e| match (&e.what, &wanted) {
        (What::Policy(policy), Some((database, stream))) => {
            (*policy.database == **database && *policy.stream == **stream).then(|| policy.short_name.clone())
        }
        _ => Some(e.name.clone()),
    });
    let rows: Vec<Vec<Value>> = rows.map(|n| vec![Value::string(n)]).collect();
    if rows.is_empty() && wanted.is_some() {
        let (database, stream) = wanted.unwrap_or_default();
        if cx.engine.catalog.snapshot().object(&database, &stream).is_none() {
            let message = format!("stream {} does not exist", quoted(&stream));
            return Err(Error::new(Code::UNKNOWN_STREAM, message));
        }
    }
    Ok(answer::batch(answer::rows_of(&[("name", LogicalType::String)], rows)?))
}
