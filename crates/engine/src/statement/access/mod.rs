//! Users, roles, grants, policies, quotas and profiles by SQL.
//!
//! In: a statement. Out: a change of the directory, on disk before anyone sees it. Promise: a statement that names several
//! entities changes all of them or none; secrets are kept as hashes and shown nowhere; the users file is never changed.
//!
//! In reading order: [`entity`] (CREATE and ALTER), [`granting`] (GRANT, REVOKE, SET ROLE), [`text`] (an entity as the
//! statement that makes it), [`showing`] (SHOW).

mod entity;
mod granting;
mod showing;
mod text;

pub use entity::{drop, entity};
pub use granting::{grant, roles_by_name, set_role};
pub use showing::{show_create, show_grants, show_list};
pub use text::keyed_by;

use super::Context;
use super::permit::Verb;
use crate::catalog::record;
use crate::engine::Inner;
use hydron_access::directory::quoted;
use hydron_access::entity::{Element, Entity, Members};
use hydron_access::{Directory, Enabled, Kind, Privilege};
use hydron_base::{Code, Error, Result};
use hydron_func::Identity;
use hydron_sql::ast::{AccessKind, AccessName, RoleSet};
use hydron_store::catalog::Change;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

fn kind_of(kind: AccessKind) -> Kind {
    match kind {
        AccessKind::User => Kind::User,
        AccessKind::Role => Kind::Role,
        AccessKind::Quota => Kind::Quota,
        AccessKind::RowPolicy => Kind::Policy,
        AccessKind::SettingsProfile => Kind::Profile,
    }
}

/// The privilege to do that with entities of a kind.
pub fn needs_of(kind: AccessKind, verb: Verb) -> Option<Privilege> {
    use Privilege as P;
    Some(match (kind, verb) {
        (AccessKind::User, Verb::Create) => P::CREATE_USER,
        (AccessKind::User, Verb::Alter) => P::ALTER_USER,
        (AccessKind::User, Verb::Drop) => P::DROP_USER,
        (AccessKind::User, Verb::Show) => P::SHOW_USERS,
        (AccessKind::Role, Verb::Create) => P::CREATE_ROLE,
        (AccessKind::Role, Verb::Alter) => P::ALTER_ROLE,
        (AccessKind::Role, Verb::Drop) => P::DROP_ROLE,
        (AccessKind::Role, Verb::Show) => P::SHOW_ROLES,
        (AccessKind::Quota, Verb::Create) => P::CREATE_QUOTA,
        (AccessKind::Quota, Verb::Alter) => P::ALTER_QUOTA,
        (AccessKind::Quota, Verb::Drop) => P::DROP_QUOTA,
        (AccessKind::Quota, Verb::Show) => P::SHOW_QUOTAS,
        (AccessKind::RowPolicy, Verb::Create) => P::CREATE_ROW_POLICY,
        (AccessKind::RowPolicy, Verb::Alter) => P::ALTER_ROW_POLICY,
        (AccessKind::RowPolicy, Verb::Drop) => P::DROP_ROW_POLICY,
        (AccessKind::RowPolicy, Verb::Show) => P::SHOW_ROW_POLICIES,
        (AccessKind::SettingsProfile, Verb::Create) => P::CREATE_SETTINGS_PROFILE,
        (AccessKind::SettingsProfile, Verb::Alter) => P::ALTER_SETTINGS_PROFILE,
        (AccessKind::SettingsProfile, Verb::Drop) => P::DROP_SETTINGS_PROFILE,
        (AccessKind::SettingsProfile, Verb::Show) => P::SHOW_SETTINGS_PROFILES,
    })
}

/// The name of an entity as written: `user@'%'` is `user`, a policy is `p ON db.stream`, once for each stream.
fn full_names(cx: &Context, kind: AccessKind, names: &[AccessName]) -> Result<Vec<FullName>> {
    let mut out = Vec::new();
    let on_last = names.last().map(|n| n.on.as_slice()).unwrap_or_default();
    for name in names {
        if kind != AccessKind::RowPolicy {
            out.push(FullName { name: user_name(&name.name, name.host.as_deref()), policy: None });
            continue;
        }
        // `p1, p2 ON s` names two policies of one stream.
        let streams = if name.on.is_empty() { on_last } else { &name.on };
        if streams.is_empty() {
            let message = format!("row policy {} is on a stream", quoted(&name.name));
            return Err(Error::new(Code::SYNTAX_ERROR, message).hint(format!("ROW POLICY {} ON stream", name.name)));
        }
        for object in streams {
            let (database, stream) = cx.full_name(object);
            let full = text::policy_name(&name.name, &database, &stream);
            out.push(FullName {
                name: full,
                policy: Some((name.name.clone(), database.to_string(), stream.to_string())),
            });
        }
    }
    Ok(out)
}

struct FullName {
    name: String,
    /// Short name, database and stream.
    policy: Option<(String, String, String)>,
}

fn user_name(name: &str, host: Option<&str>) -> String {
    match host {
        None | Some("%") => name.to_owned(),
        Some(host) => format!("{name}@{host}"),
    }
}

/// As [`user_name`], of a name that the parser has put together.
fn joined_name(name: &str) -> &str {
    name.strip_suffix("@%").unwrap_or(name)
}

/// Entities that a list of names means. Errors: UNKNOWN_USER.
fn members(directory: &Directory, set: &RoleSet, user: &Enabled, find: Find) -> Result<Members> {
    let id = |name: &String| {
        let name = joined_name(name);
        match find {
            Find::Grantee => directory.grantee(name),
            Find::Role => directory.existing(Kind::Role, name),
            Find::User => directory.existing(Kind::User, name),
        }
        .map(|e| e.id)
    };
    let me = |asked: bool| -> Result<Option<Uuid>> {
        match (asked, user.id) {
            (false, _) => Ok(None),
            (true, Some(id)) => Ok(Some(id)),
            (true, None) => Err(hydron_access::directory::unknown(Kind::User, &user.user)),
        }
    };
    let mut out = Members { all: set.all || set.any, ..Members::default() };
    out.ids = set.names.iter().map(id).collect::<Result<_>>()?;
    out.ids.extend(me(set.current_user)?);
    out.except = set.except.iter().map(id).collect::<Result<_>>()?;
    out.except.extend(me(set.except_current_user)?);
    Ok(out)
}

#[derive(Clone, Copy)]
enum Find {
    Grantee,
    Role,
    User,
}

/// Changes the directory: `edit` says what, the catalog on disk has it before anyone sees it.
async fn change(cx: &Context, edit: impl FnOnce(&mut Directory) -> Result<Edits> + Send + 'static) -> Result<()> {
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    super::blocking(&cx.engine, {
        let engine = Arc::clone(&cx.engine);
        move || {
            let before = engine.access.directory();
            let mut next = (*before).clone();
            let edits = edit(&mut next)?;
            let mut changes = Vec::new();
            for id in edits.removed {
                if before.get(id).is_some() && next.get(id).is_none() {
                    changes.push(Change::Remove(id));
                }
            }
            for id in edits.put {
                if let Some(entity) = next.get(id).filter(|e| !e.from_file) {
                    changes.push(Change::Put(entry(entity, &next)));
                }
            }
            if !changes.is_empty() {
                engine.catalog_store.apply(changes)?;
                engine.access.set(next);
            }
            Ok(())
        }
    })
    .await
}

/// Numbers of what was added or changed, and of what has gone.
#[derive(Default)]
struct Edits {
    put: BTreeSet<Uuid>,
    removed: BTreeSet<Uuid>,
}

fn entry(entity: &Entity, directory: &Directory) -> hydron_store::catalog::Entry {
    let object = serde_json::to_value(entity).unwrap_or_default();
    Inner::entry(record::ACCESS, entity.id, "", &entity.name, &text::create(entity, directory), object)
}

/// What the functions of roles and profiles answer.
pub fn identity(enabled: &Enabled) -> Identity {
    let directory = &enabled.directory;
    let names = |ids: &BTreeSet<Uuid>| -> Vec<String> {
        let mut names: Vec<String> = ids.iter().filter_map(|id| directory.name_of(*id)).map(str::to_owned).collect();
        names.sort();
        names
    };
    let Some(entity) = enabled.entity() else { return Identity::default() };
    let profiles = |elements: &[Element]| -> Vec<String> {
        let inherited = elements.iter().filter_map(|e| match e {
            Element::Inherit(id) => directory.name_of(*id).map(str::to_owned),
            Element::Setting { .. } => None,
        });
        inherited.collect()
    };
    let own = profiles(entity.elements());
    let mut all: Vec<String> =
        enabled.roles.iter().filter_map(|id| directory.get(*id)).flat_map(|e| profiles(e.elements())).collect();
    all.extend(own.clone());
    Identity {
        current_roles: names(&enabled.current),
        enabled_roles: names(&enabled.roles),
        default_roles: names(&directory.default_roles(entity)),
        current_profiles: own.clone(),
        enabled_profiles: all,
        default_profiles: own,
    }
}
