//! The current directory, shared by all who ask, and what each user may do by it.
//!
//! In: a new directory, or new users of the file. Out: [`Enabled`] for a user with its roles. Promise: whoever asks after a
//! change sees it; an answer is worked out once for each user, set of roles and state.

use crate::constraint::Constraints;
use crate::directory::{Directory, RowFilters};
use crate::entity::{Entity, Kind, Quota, Resource, What};
use crate::privilege::{Privilege, Privileges};
use crate::rights::{Object, Rights};
use crate::usage::Usage;
use hydron_base::world::WallTime;
use hydron_base::{Code, Error, Result, Settings};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// Answers kept; beyond it all are worked out anew.
const KEPT_MAX: usize = 1024;

type Key = (String, Option<BTreeSet<Uuid>>);

#[derive(Default)]
pub struct Access {
    state: RwLock<State>,
    usage: Mutex<Usage>,
    /// Told of each change, after it counts.
    changed: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct State {
    directory: Arc<Directory>,
    /// Users were told: who is not among them is nobody. Without, as in a program that holds the engine itself, everyone
    /// may do everything.
    governed: bool,
    kept: HashMap<Key, Arc<Enabled>>,
}

/// A user as it is now: its roles, and what they give.
#[derive(Debug)]
pub struct Enabled {
    pub user: String,
    /// `None`: a program that holds the engine and has told no users.
    pub id: Option<Uuid>,
    /// Chosen by SET ROLE, or the default ones.
    pub current: BTreeSet<Uuid>,
    /// With all that was granted to them.
    pub roles: BTreeSet<Uuid>,
    pub rights: Rights,
    pub settings: Settings,
    pub constraints: Constraints,
    pub directory: Arc<Directory>,
}

impl Access {
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.state.read().directory)
    }

    /// Makes `next` the current one.
    pub fn set(&self, next: Directory) {
        {
            let mut state = self.state.write();
            state.directory = Arc::new(next);
            state.kept.clear();
        }
        self.tell();
    }

    /// From now on `changed` is called after each change, on the thread that made it. A second call changes nothing.
    pub fn watch(&self, changed: impl Fn() + Send + Sync + 'static) {
        let _ = self.changed.set(Box::new(changed));
    }

    fn tell(&self) {
        if let Some(changed) = self.changed.get() {
            changed();
        }
    }

    /// From now on the users of the file are these, and whoever is unknown may do nothing.
    pub fn govern(&self, file: Vec<Entity>) {
        {
            let mut state = self.state.write();
            let mut next = (*state.directory).clone();
            next.replace_file(file);
            state.directory = Arc::new(next);
            state.governed = true;
            state.kept.clear();
        }
        self.tell();
    }

    /// `roles`: as SET ROLE has chosen them; `None`: the default ones.
    pub fn enabled(&self, user: &str, roles: Option<&BTreeSet<Uuid>>) -> Arc<Enabled> {
        let key = (user.to_owned(), roles.cloned());
        let (directory, governed) = {
            let state = self.state.read();
            if let Some(kept) = state.kept.get(&key) {
                return Arc::clone(kept);
            }
            (Arc::clone(&state.directory), state.governed)
        };
        let enabled = Arc::new(Enabled::of(user, roles, &directory, governed));
        let mut state = self.state.write();
        if Arc::ptr_eq(&state.directory, &directory) {
            if state.kept.len() >= KEPT_MAX {
                state.kept.clear();
            }
            state.kept.insert(key, Arc::clone(&enabled));
        }
        enabled
    }

    /// Counts what a user has used. `key`: by which the quota is counted.
    ///
    /// Errors: QUOTA_EXCEEDED (201).
    pub fn count(
        &self,
        now: WallTime,
        of: &(Arc<Entity>, String),
        amounts: &[(Resource, f64)],
        user: &str,
    ) -> Result<()> {
        let (entity, key) = of;
        let What::Quota(quota) = &entity.what else { return Ok(()) };
        self.usage.lock().add(now, (entity.id, &entity.name, quota), key, amounts, user)
    }

    /// What was counted, as rows: quota, key, interval, end and amounts.
    pub fn with_usage<T>(&self, read: impl FnOnce(&Usage) -> T) -> T {
        read(&self.usage.lock())
    }
}

impl Enabled {
    fn of(user: &str, roles: Option<&BTreeSet<Uuid>>, directory: &Arc<Directory>, governed: bool) -> Enabled {
        let Some(entity) = directory.find(Kind::User, user) else {
            let rights = if governed { Rights::default() } else { Rights::everything() };
            return Enabled::nobody(user, rights, directory);
        };
        let granted = entity.grantee().map(|(_, g)| g.roles.clone()).unwrap_or_default();
        let current: BTreeSet<Uuid> = match roles {
            Some(chosen) => chosen.intersection(&granted).copied().collect(),
            None => directory.default_roles(entity),
        };
        let roles = directory.closure(current.iter().copied());
        let (settings, constraints) = Constraints::of(&directory.elements(entity, &roles));
        Enabled {
            user: user.to_owned(),
            id: Some(entity.id),
            rights: directory.rights(entity, &roles),
            current,
            roles,
            settings,
            constraints,
            directory: Arc::clone(directory),
        }
    }

    /// One who may do everything and is bound by no policy: work of the server's own.
    pub fn everything(user: &str) -> Enabled {
        Enabled::nobody(user, Rights::everything(), &Arc::default())
    }

    /// A name without an entity.
    fn nobody(user: &str, rights: Rights, directory: &Arc<Directory>) -> Enabled {
        Enabled {
            user: user.to_owned(),
            id: None,
            current: BTreeSet::new(),
            roles: BTreeSet::new(),
            rights,
            settings: Settings::default(),
            constraints: Constraints::default(),
            directory: Arc::clone(directory),
        }
    }

    /// The user and its enabled roles.
    pub fn ids(&self) -> BTreeSet<Uuid> {
        self.roles.iter().copied().chain(self.id).collect()
    }

    pub fn entity(&self) -> Option<&Arc<Entity>> {
        self.directory.get(self.id?)
    }

    /// Errors: ACCESS_DENIED (497) with the grant that would be needed.
    pub fn check(&self, privilege: Privilege, on: &Object) -> Result<()> {
        if self.rights.has(privilege.into(), on) {
            return Ok(());
        }
        Err(self.denied(&grant_text(privilege.name(), on, &[])))
    }

    /// As [`Enabled::check`] for columns of one stream; none: any one of them will do.
    pub fn check_columns(&self, privilege: Privilege, on: &Object, columns: &[&str]) -> Result<()> {
        if self.rights.has(privilege.into(), on) {
            return Ok(());
        }
        let holds = match columns {
            [] => self.rights.has_any(privilege.into(), on),
            columns => columns.iter().all(|c| self.rights.has(privilege.into(), &on.column(c))),
        };
        if holds { Ok(()) } else { Err(self.denied(&grant_text(privilege.name(), on, columns))) }
    }

    /// Errors: ACCESS_DENIED (497) unless all of it may be granted on.
    pub fn check_grant(&self, set: Privileges, on: &Object) -> Result<()> {
        // ALL on a thing is all that can be granted there, and of that what the grantor has.
        let set = set & Privileges::grantable_on(on.level());
        if self.rights.may_grant(set, on) {
            return Ok(());
        }
        let names = set.names(on.level()).join(", ");
        let grant = format!("{} WITH GRANT OPTION", grant_text(&names, on, &[]));
        if !self.rights.has(set, on) {
            return Err(self.denied(&grant));
        }
        let message = format!(
            "{}: Not enough privileges. The required privileges have been granted, but without grant option. To execute \
             this query it's necessary to have grant {grant}",
            self.user
        );
        Err(Error::new(Code::ACCESS_DENIED, message))
    }

    pub fn denied(&self, grant: &str) -> Error {
        let message =
            format!("{}: Not enough privileges. To execute this query it's necessary to have grant {grant}", self.user);
        Error::new(Code::ACCESS_DENIED, message)
    }

    /// The condition on rows of a stream, `None`: all.
    pub fn row_filter(&self, database: &str, stream: &str) -> Option<String> {
        self.directory.row_filters(&self.ids(), database, stream).as_ref().map(RowFilters::condition)
    }

    /// The quota of this user. One that names the user stands before one that names a role, and that before one for all.
    pub fn quota(&self) -> Option<(&Arc<Entity>, &Quota)> {
        let user: BTreeSet<Uuid> = self.id.into_iter().collect();
        let ids = self.ids();
        let rank = |q: &Quota| match () {
            () if !q.to.matches(&ids) => None,
            () if !q.to.ids.is_disjoint(&user) => Some(0),
            () if !q.to.all => Some(1),
            () => Some(2),
        };
        let quotas = self.directory.of_kind(Kind::Quota).filter_map(|e| match &e.what {
            What::Quota(quota) => Some((rank(quota)?, e, quota)),
            _ => None,
        });
        quotas.min_by_key(|(rank, ..)| *rank).map(|(_, e, q)| (e, q))
    }
}

/// `SELECT(a, b) ON db.stream`
pub fn grant_text(privilege: &str, on: &Object, columns: &[&str]) -> String {
    let mut all: Vec<&str> = columns.to_vec();
    all.extend(on.column.as_deref());
    let columns = if all.is_empty() { String::new() } else { format!("({})", all.join(", ")) };
    format!("{privilege}{columns} ON {}", object_text(on))
}

/// `*.*`, `db.*`, `db.stream`
pub fn object_text(on: &Object) -> String {
    match (&on.database, &on.stream) {
        (None, _) => "*.*".to_owned(),
        (Some(database), None) => format!("{database}.*"),
        (Some(database), Some(stream)) => format!("{database}.{stream}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_unknown_may_do_everything_until_users_are_told() {
        let access = Access::default();
        let free = access.enabled("x", None);
        free.check(Privilege::CREATE_USER, &Object::ANY).unwrap();
        access.govern(Vec::new());
        let e = access.enabled("x", None).check_columns(Privilege::SELECT, &Object::stream("d", "s"), &["a", "b"]);
        let e = e.unwrap_err();
        assert_eq!(e.code, Code::ACCESS_DENIED);
        assert_eq!(
            e.message,
            "x: Not enough privileges. To execute this query it's necessary to have grant SELECT(a, b) ON d.s"
        );
    }
}
