//! All entities at one moment, by number and by name.
//!
//! In: changes, one after the other. Out: snapshots, and what a user with its roles may do. Promise: names of one kind are
//! unique; an entity of the users file is never changed here.

use crate::entity::{Element, Entity, Kind, What};
use crate::rights::Rights;
use hydron_base::{Code, Error, Result};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// Entities that SQL may make.
pub const ENTITIES_MAX: usize = 100_000;

/// A role may be granted to a role; a profile may build on a profile.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, Default)]
pub struct Directory {
    entities: BTreeMap<Uuid, Arc<Entity>>,
    names: BTreeMap<(Kind, String), Uuid>,
}

/// The number of an entity of the users file: the same at each start.
pub fn file_id(kind: Kind, name: &str) -> Uuid {
    let hash = Sha256::new().chain_update(kind.word()).chain_update([0]).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Uuid::from_bytes(bytes)
}

impl Directory {
    pub fn get(&self, id: Uuid) -> Option<&Arc<Entity>> {
        self.entities.get(&id)
    }

    pub fn find(&self, kind: Kind, name: &str) -> Option<&Arc<Entity>> {
        self.entities.get(self.names.get(&(kind, name.to_owned()))?)
    }

    /// Errors: UNKNOWN_USER, UNKNOWN_ROLE and so on.
    pub fn existing(&self, kind: Kind, name: &str) -> Result<&Arc<Entity>> {
        self.find(kind, name).ok_or_else(|| unknown(kind, name))
    }

    /// A user, or else a role. Errors: UNKNOWN_USER.
    pub fn grantee(&self, name: &str) -> Result<&Arc<Entity>> {
        self.find(Kind::User, name).or_else(|| self.find(Kind::Role, name)).ok_or_else(|| {
            Error::new(Code::UNKNOWN_USER, format!("There is no user or role {} in user directories", quoted(name)))
        })
    }

    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Entity>> {
        self.names.iter().filter(move |((k, _), _)| *k == kind).filter_map(|(_, id)| self.entities.get(id))
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Entity>> {
        self.entities.values()
    }

    pub fn name_of(&self, id: Uuid) -> Option<&str> {
        self.entities.get(&id).map(|e| e.name.as_str())
    }

    /// Adds an entity or replaces the one with its number.
    ///
    /// Errors: ACCESS_ENTITY_ALREADY_EXISTS when another one of its kind has the name, ACCESS_STORAGE_READONLY for one of
    /// the users file.
    pub fn put(&mut self, entity: Entity) -> Result<()> {
        let key = (entity.kind(), entity.name.clone());
        if self.names.get(&key).is_some_and(|id| *id != entity.id) {
            return Err(exists(entity.kind(), &entity.name));
        }
        if let Some(before) = self.entities.get(&entity.id) {
            if before.from_file && !entity.from_file {
                return Err(read_only(before, "update"));
            }
            self.names.remove(&(before.kind(), before.name.clone()));
        } else if self.entities.len() >= ENTITIES_MAX {
            let message = format!("there are {ENTITIES_MAX} users, roles, quotas, policies and profiles, the limit");
            return Err(Error::new(Code::BAD_ARGUMENTS, message));
        }
        self.names.insert(key, entity.id);
        self.entities.insert(entity.id, Arc::new(entity));
        Ok(())
    }

    /// Removes an entity and every trace of it. Returns the others that have changed.
    ///
    /// Errors: ACCESS_STORAGE_READONLY.
    pub fn remove(&mut self, id: Uuid) -> Result<Vec<Arc<Entity>>> {
        let Some(entity) = self.entities.get(&id) else { return Ok(Vec::new()) };
        if entity.from_file {
            return Err(read_only(entity, "remove"));
        }
        self.names.remove(&(entity.kind(), entity.name.clone()));
        self.entities.remove(&id);
        Ok(self.forget(id))
    }

    fn forget(&mut self, id: Uuid) -> Vec<Arc<Entity>> {
        let mut changed = Vec::new();
        for entity in self.entities.values_mut() {
            let mut next = (**entity).clone();
            if next.forget(id) {
                *entity = Arc::new(next);
                changed.push(Arc::clone(entity));
            }
        }
        changed
    }

    /// Replaces all entities of the users file. One whose name SQL has taken stands in front of it.
    pub fn replace_file(&mut self, entities: Vec<Entity>) {
        self.entities.retain(|_, e| !e.from_file);
        self.names.retain(|_, id| self.entities.contains_key(id));
        for entity in entities {
            let key = (entity.kind(), entity.name.clone());
            if let Some(hidden) = self.names.insert(key, entity.id) {
                self.entities.remove(&hidden);
            }
            self.entities.insert(entity.id, Arc::new(Entity { from_file: true, ..entity }));
        }
    }

    /// `roles` with all that was granted to them.
    pub fn closure(&self, roles: impl IntoIterator<Item = Uuid>) -> BTreeSet<Uuid> {
        let mut all = BTreeSet::new();
        let mut open: Vec<Uuid> = roles.into_iter().collect();
        while let Some(id) = open.pop() {
            let Some((_, granted)) = self.get(id).and_then(|e| e.grantee()) else { continue };
            if all.insert(id) {
                open.extend(&granted.roles);
            }
        }
        all
    }

    /// The roles that a user begins with.
    pub fn default_roles(&self, user: &Entity) -> BTreeSet<Uuid> {
        let Some(of) = user.as_user() else { return BTreeSet::new() };
        of.granted.roles.iter().copied().filter(|r| of.default_roles.contains(*r)).collect()
    }

    /// What a user may do with these roles enabled.
    pub fn rights(&self, user: &Entity, enabled: &BTreeSet<Uuid>) -> Rights {
        let own = user.grantee().map(|(rights, _)| rights.clone()).unwrap_or_default();
        let of_roles = enabled.iter().filter_map(|id| self.get(*id)?.grantee());
        of_roles.fold(own, |all, (rights, _)| all.union(rights))
    }

    /// Settings of a user with its roles: profiles for everyone, those of roles, the user's own last.
    pub fn elements(&self, user: &Entity, enabled: &BTreeSet<Uuid>) -> Vec<Element> {
        let mut ids = enabled.clone();
        ids.insert(user.id);
        let mut out = Vec::new();
        for profile in self.of_kind(Kind::Profile) {
            if let What::Profile(p) = &profile.what
                && p.to.matches(&ids)
            {
                self.expand(&p.settings, &mut out, 0);
            }
        }
        for role in enabled.iter().filter_map(|id| self.get(*id)) {
            self.expand(role.elements(), &mut out, 0);
        }
        self.expand(user.elements(), &mut out, 0);
        out
    }

    fn expand(&self, elements: &[Element], out: &mut Vec<Element>, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        for element in elements {
            match element {
                Element::Inherit(id) => {
                    if let Some(profile) = self.get(*id) {
                        self.expand(profile.elements(), out, depth + 1);
                    }
                }
                setting => out.push(setting.clone()),
            }
        }
    }

    /// Whether a profile or role reaches itself by what it builds on.
    pub fn has_circle(&self, id: Uuid) -> bool {
        let next = |id: Uuid| -> Vec<Uuid> {
            let Some(entity) = self.get(id) else { return Vec::new() };
            let profiles = entity.elements().iter().filter_map(|e| match e {
                Element::Inherit(p) => Some(*p),
                Element::Setting { .. } => None,
            });
            profiles.chain(entity.grantee().into_iter().flat_map(|(_, g)| g.roles.iter().copied())).collect()
        };
        let mut seen = BTreeSet::new();
        let mut open = next(id);
        while let Some(at) = open.pop() {
            if at == id {
                return true;
            }
            if seen.insert(at) {
                open.extend(next(at));
            }
        }
        false
    }

    /// Texts of the conditions on rows of a stream for a user with these roles: any of the first, and all of the second.
    /// `None`: every row.
    pub fn row_filters(&self, ids: &BTreeSet<Uuid>, database: &str, stream: &str) -> Option<RowFilters> {
        let mut filters = RowFilters::default();
        let mut has_permissive = false;
        for entity in self.of_kind(Kind::Policy) {
            let What::Policy(policy) = &entity.what else { continue };
            if !policy.is_on(database, stream) {
                continue;
            }
            has_permissive |= !policy.restrictive;
            if !policy.to.matches(ids) {
                continue;
            }
            match (&policy.filter, policy.restrictive) {
                (Some(filter), true) => filters.all.push(filter.clone()),
                (Some(filter), false) => filters.any.push(filter.clone()),
                (None, true) => {}
                // USING NONE, permissive: all rows are permitted.
                (None, false) => filters.any.push("1".to_owned()),
            }
        }
        // A stream with permissive policies shows nothing to those that none of them is for.
        filters.nothing = has_permissive && filters.any.is_empty();
        (filters != RowFilters::default()).then_some(filters)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowFilters {
    /// Permissive: a row passes one of them; empty: all pass.
    pub any: Vec<String>,
    /// Restrictive: a row passes all of them.
    pub all: Vec<String>,
    /// No row passes.
    pub nothing: bool,
}

impl RowFilters {
    /// One condition, as text.
    pub fn condition(&self) -> String {
        let joined = |parts: &[String], word: &str| {
            let parts: Vec<String> = parts.iter().map(|p| format!("({p})")).collect();
            parts.join(word)
        };
        if self.nothing {
            return "0".to_owned();
        }
        let any = (!self.any.is_empty()).then(|| format!("({})", joined(&self.any, " OR ")));
        let all = (!self.all.is_empty()).then(|| joined(&self.all, " AND "));
        any.into_iter().chain(all).collect::<Vec<_>>().join(" AND ")
    }
}

pub fn quoted(name: &str) -> String {
    format!("`{name}`")
}

pub fn unknown(kind: Kind, name: &str) -> Error {
    let code = match kind {
        Kind::User => Code::UNKNOWN_USER,
        Kind::Role => Code::UNKNOWN_ROLE,
        Kind::Profile => Code::THERE_IS_NO_PROFILE,
        Kind::Quota => Code::UNKNOWN_QUOTA,
        Kind::Policy => Code::UNKNOWN_ROW_POLICY,
    };
    Error::new(code, format!("There is no {} {} in user directories", kind.word(), quoted(name)))
}

pub fn exists(kind: Kind, name: &str) -> Error {
    let (word, name) = (kind.word(), quoted(name));
    let message = format!("{word} {name}: cannot insert because {word} {name} already exists");
    Error::new(Code::ACCESS_ENTITY_ALREADY_EXISTS, message)
}

fn read_only(entity: &Entity, action: &str) -> Error {
    let message = format!(
        "Cannot {action} {} {} in users_config because this storage is readonly",
        entity.kind().word(),
        quoted(&entity.name)
    );
    Error::new(Code::ACCESS_STORAGE_READONLY, message).hint("change the users file and send SIGHUP")
}

#[cfg(test)]
mod tests;
