//! GRANT, REVOKE, SET ROLE and SET DEFAULT ROLE.

use super::super::{Answer, Context, answer};
use super::{Edits, Find, change, joined_name, members};
use crate::session::Session;
use hydron_access::directory::quoted;
use hydron_access::entity::{Members, What};
use hydron_access::{Directory, Enabled, Kind, Object, Privilege, Privileges, Rights};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::{Grant, GrantDatabase, GrantElement, GrantObject, GrantWhat, RoleSet, SetRole};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

pub async fn grant(cx: Context, grant: Grant) -> Result<Answer> {
    if grant.on_cluster.is_some() {
        return Err(Error::not_implemented("ON CLUSTER"));
    }
    let access = Arc::clone(&cx.access);
    let database = Arc::clone(&cx.database);
    change(&cx, move |directory| {
        let to = members(directory, &grant.to, &access, Find::Grantee)?;
        let grantees = chosen(directory, &to, grant.revoke);
        check_grantees(directory, &access, &grantees)?;
        match &grant.what {
            GrantWhat::Privileges(elements) => {
                let items = items(elements, &database)?;
                // Nobody gives or takes what they may not grant.
                items.iter().try_for_each(|(set, on)| access.check_grant(*set, on))?;
                grantees_changed(directory, &grantees, |rights, _, _| {
                    if grant.replace {
                        *rights = Rights::default();
                    }
                    for (set, on) in &items {
                        match grant.revoke {
                            true => rights.revoke(*set, on, grant.grant_option),
                            false => rights.grant(*set, on, grant.grant_option),
                        }
                    }
                })
            }
            GrantWhat::Roles(roles) => {
                let roles = members(directory, roles, &access, Find::Role)?;
                let named: BTreeSet<Uuid> = match roles.all {
                    true => directory.of_kind(Kind::Role).map(|r| r.id).filter(|r| roles.contains(*r)).collect(),
                    false => roles.ids.clone(),
                };
                if !(grant.revoke && roles.all) {
                    named.iter().try_for_each(|role| check_admin(directory, &access, *role))?;
                }
                let edits = grantees_changed(directory, &grantees, |_, roles, _| {
                    if grant.replace {
                        *roles = Default::default();
                    }
                    for role in &named {
                        match (grant.revoke, grant.admin_option) {
                            (true, true) => drop(roles.admin.remove(role)),
                            (true, false) => {
                                roles.admin.remove(role);
                                roles.roles.remove(role);
                            }
                            (false, admin) => {
                                roles.roles.insert(*role);
                                if admin {
                                    roles.admin.insert(*role);
                                }
                            }
                        }
                    }
                })?;
                match grantees.iter().find(|id| directory.has_circle(**id)) {
                    Some(id) => {
                        let name = directory.name_of(*id).unwrap_or_default();
                        Err(Error::bad_arguments(format!("role {} would be granted to itself", quoted(name))))
                    }
                    None => Ok(edits),
                }
            }
        }
    })
    .await?;
    Ok(answer::nothing())
}

/// Users and roles of a list; ALL of a REVOKE is everyone that SQL may change.
fn chosen(directory: &Directory, to: &Members, revoke: bool) -> BTreeSet<Uuid> {
    if !to.all {
        return to.ids.clone();
    }
    let everyone = directory.all().filter(|e| matches!(e.kind(), Kind::User | Kind::Role));
    everyone.filter(|e| to.contains(e.id) && !(revoke && e.from_file)).map(|e| e.id).collect()
}

/// Errors: ACCESS_DENIED for whom the grantor's GRANTEES leave out.
fn check_grantees(directory: &Directory, access: &Enabled, grantees: &BTreeSet<Uuid>) -> Result<()> {
    let Some(user) = access.entity().and_then(|e| e.as_user().cloned()) else { return Ok(()) };
    match grantees.iter().find(|id| !user.grantees.contains(**id)) {
        Some(id) => {
            let name = directory.name_of(*id).unwrap_or_default();
            let message = format!("{}: {} is not allowed as grantee", access.user, quoted(name));
            Err(Error::new(Code::ACCESS_DENIED, message))
        }
        None => Ok(()),
    }
}

type Item = (Privileges, Object);

/// Errors: SYNTAX_ERROR for a privilege that does not exist, INVALID_GRANT for one that is not granted on such a thing.
fn items(elements: &[GrantElement], current: &str) -> Result<Vec<Item>> {
    let mut out = Vec::new();
    for element in elements {
        let on = object(&element.on, current);
        for privilege in &element.privileges {
            let set = Privileges::named(&privilege.name)?;
            let things = match privilege.columns.as_slice() {
                [] => vec![on.clone()],
                columns if on.stream.is_some() => columns.iter().map(|c| on.column(c)).collect(),
                _ => {
                    let message = format!("columns of {} are those of one stream", privilege.name);
                    return Err(Error::new(Code::SYNTAX_ERROR, message));
                }
            };
            for on in things {
                let level = on.level();
                if !set.is_empty() && (set & Privileges::grantable_on(level)).is_empty() {
                    let message = format!("{} cannot be granted on the {level:?} level", privilege.name);
                    return Err(Error::new(Code::INVALID_GRANT, message).hint("ON *.*"));
                }
                out.push((set, on));
            }
        }
    }
    Ok(out)
}

fn object(on: &GrantObject, current: &str) -> Object {
    let database = match &on.database {
        GrantDatabase::Any => return Object::ANY,
        GrantDatabase::Current => current,
        GrantDatabase::Named(name) => name,
    };
    match &on.stream {
        Some(stream) => Object::stream(database, stream),
        None => Object::database(database),
    }
}

/// Errors: ACCESS_DENIED unless the role may be granted on.
pub(super) fn check_admin(directory: &Directory, access: &Enabled, role: Uuid) -> Result<()> {
    if access.rights.has(Privilege::ROLE_ADMIN.into(), &Object::ANY) {
        return Ok(());
    }
    let admin = |id: &Uuid| directory.get(*id).and_then(|e| e.grantee()).is_some_and(|(_, g)| g.admin.contains(&role));
    if access.ids().iter().any(admin) {
        return Ok(());
    }
    let name = directory.name_of(role).unwrap_or_default();
    let message = format!(
        "{}: Not enough privileges. To execute this query it's necessary to have the role {name} granted with ADMIN option",
        access.user
    );
    Err(Error::new(Code::ACCESS_DENIED, message))
}

fn grantees_changed(
    directory: &mut Directory,
    grantees: &BTreeSet<Uuid>,
    change: impl Fn(&mut Rights, &mut hydron_access::entity::Granted, Uuid),
) -> Result<Edits> {
    let mut edits = Edits::default();
    for id in grantees {
        let Some(entity) = directory.get(*id) else { continue };
        let mut entity = (**entity).clone();
        entity.from_file = false;
        if let Some((rights, roles)) = entity.grantee_mut() {
            change(rights, roles, *id);
        }
        directory.put(entity)?;
        edits.put.insert(*id);
    }
    Ok(edits)
}

/// `SET ROLE …` for the session, `SET DEFAULT ROLE … TO …` for users.
pub async fn set_role(cx: Context, session: &mut Session, set: SetRole) -> Result<Answer> {
    let Some(to) = set.to.clone() else {
        session.roles = match set.default {
            true => None,
            false => Some(Arc::new(chosen_roles(&cx.access, &set)?)),
        };
        return Ok(answer::nothing());
    };
    let access = Arc::clone(&cx.access);
    change(&cx, move |directory| {
        let users = members(directory, &to, &access, Find::User)?;
        let of_others = users.all || users.ids.iter().any(|id| Some(*id) != access.id);
        if of_others {
            access.check(Privilege::ALTER_USER, &Object::ANY)?;
        }
        let users: Vec<Uuid> = match users.all {
            true => directory.of_kind(Kind::User).map(|u| u.id).filter(|u| users.contains(*u)).collect(),
            false => users.ids.into_iter().collect(),
        };
        let roles = members(directory, &set.roles, &access, Find::Role)?;
        let mut edits = Edits::default();
        for id in users {
            let Some(entity) = directory.get(id) else { continue };
            let mut entity = (**entity).clone();
            entity.from_file = false;
            if let What::User(user) = &mut entity.what {
                if let Some(role) = roles.ids.iter().find(|r| !user.granted.roles.contains(r)) {
                    let role = directory.name_of(*role).unwrap_or_default();
                    return Err(super::entity::not_granted_error(role, &entity.name));
                }
                user.default_roles = roles.clone();
            }
            directory.put(entity)?;
            edits.put.insert(id);
        }
        Ok(edits)
    })
    .await?;
    Ok(answer::nothing())
}

/// The roles of these names, which the user must have.
///
/// Errors: SET_NON_GRANTED_ROLE (512), UNKNOWN_ROLE.
pub fn roles_by_name(access: &Enabled, names: &[String]) -> Result<BTreeSet<Uuid>> {
    let roles = RoleSet { names: names.to_vec(), ..RoleSet::default() };
    chosen_roles(access, &SetRole { default: false, roles, to: None })
}

/// Errors: SET_NON_GRANTED_ROLE (512), UNKNOWN_ROLE.
fn chosen_roles(access: &Enabled, set: &SetRole) -> Result<BTreeSet<Uuid>> {
    let directory = &access.directory;
    let granted = access.entity().and_then(|e| e.grantee().map(|(_, g)| g.roles.clone())).unwrap_or_default();
    let roles = members(directory, &set.roles, access, Find::Role)?;
    if roles.all {
        return Ok(granted.into_iter().filter(|r| roles.contains(*r)).collect());
    }
    match roles.ids.iter().find(|r| !granted.contains(r)) {
        Some(role) => {
            let role = joined_name(directory.name_of(*role).unwrap_or_default()).to_owned();
            Err(Error::new(Code::SET_NON_GRANTED_ROLE, format!("Role {role} should be granted to set current")))
        }
        None => Ok(roles.ids),
    }
}
