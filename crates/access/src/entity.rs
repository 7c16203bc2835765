//! What access control knows: users, roles, settings profiles, quotas and row policies.
//!
//! Promise: entities name each other by number, so that a rename breaks nothing; what is stored of a password is a hash.

use crate::hosts::Hosts;
use crate::password::Password;
use crate::rights::Rights;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    pub id: Uuid,
    pub name: String,
    /// From the users file: SQL does not change it.
    #[serde(skip)]
    pub from_file: bool,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    User(User),
    Role(Role),
    Profile(Profile),
    Quota(Quota),
    Policy(RowPolicy),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    User,
    Role,
    Profile,
    Quota,
    Policy,
}

impl Kind {
    /// As messages have it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Role => "role",
            Kind::Profile => "settings profile",
            Kind::Quota => "quota",
            Kind::Policy => "row policy",
        }
    }
}

impl Entity {
    /// A user that may do everything, without a password.
    pub fn owner(name: &str) -> Entity {
        let user = User {
            password: Password::None,
            plaintext: false,
            hosts: Hosts::any(),
            rights: Rights::everything(),
            granted: Granted::default(),
            default_roles: Members::all(),
            default_database: String::new(),
            grantees: Members::all(),
            settings: Vec::new(),
        };
        let id = crate::directory::file_id(Kind::User, name);
        Entity { id, name: name.to_owned(), from_file: true, what: What::User(user) }
    }

    pub fn kind(&self) -> Kind {
        match &self.what {
            What::User(_) => Kind::User,
            What::Role(_) => Kind::Role,
            What::Profile(_) => Kind::Profile,
            What::Quota(_) => Kind::Quota,
            What::Policy(_) => Kind::Policy,
        }
    }

    pub fn as_user(&self) -> Option<&User> {
        match &self.what {
            What::User(user) => Some(user),
            _ => None,
        }
    }

    /// Rights and granted roles of a user or role.
    pub fn grantee(&self) -> Option<(&Rights, &Granted)> {
        match &self.what {
            What::User(user) => Some((&user.rights, &user.granted)),
            What::Role(role) => Some((&role.rights, &role.granted)),
            _ => None,
        }
    }

    pub fn grantee_mut(&mut self) -> Option<(&mut Rights, &mut Granted)> {
        match &mut self.what {
            What::User(user) => Some((&mut user.rights, &mut user.granted)),
            What::Role(role) => Some((&mut role.rights, &mut role.granted)),
            _ => None,
        }
    }

    /// Settings of a user, role or profile.
    pub fn elements(&self) -> &[Element] {
        match &self.what {
            What::User(user) => &user.settings,
            What::Role(role) => &role.settings,
            What::Profile(profile) => &profile.settings,
            _ => &[],
        }
    }

    /// Takes every trace of another entity out of this one. Returns whether there was any.
    pub fn forget(&mut self, id: Uuid) -> bool {
        let before = self.clone();
        let forget_elements =
            |elements: &mut Vec<Element>| elements.retain(|e| !matches!(e, Element::Inherit(p) if *p == id));
        match &mut self.what {
            What::User(user) => {
                user.granted.forget(id);
                user.default_roles.forget(id);
                user.grantees.forget(id);
                forget_elements(&mut user.settings);
            }
            What::Role(role) => {
                role.granted.forget(id);
                forget_elements(&mut role.settings);
            }
            What::Profile(profile) => {
                profile.to.forget(id);
                forget_elements(&mut profile.settings);
            }
            What::Quota(quota) => quota.to.forget(id),
            What::Policy(policy) => policy.to.forget(id),
        }
        *self != before
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    pub password: Password,
    /// IDENTIFIED WITH plaintext_password, whatever is kept of it.
    #[serde(default)]
    pub plaintext: bool,
    pub hosts: Hosts,
    pub rights: Rights,
    pub granted: Granted,
    pub default_roles: Members,
    #[serde(default)]
    pub default_database: String,
    /// To whom it may grant on.
    pub grantees: Members,
    pub settings: Vec<Element>,
}

impl User {
    /// How it is identified, as IDENTIFIED WITH says it.
    pub fn method(&self) -> &'static str {
        if self.plaintext { "plaintext_password" } else { self.password.method() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Role {
    pub rights: Rights,
    pub granted: Granted,
    pub settings: Vec<Element>,
}

/// Roles that were granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    pub roles: BTreeSet<Uuid>,
    /// Of them, WITH ADMIN OPTION.
    pub admin: BTreeSet<Uuid>,
}

impl Granted {
    fn forget(&mut self, id: Uuid) {
        self.roles.remove(&id);
        self.admin.remove(&id);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub settings: Vec<Element>,
    pub to: Members,
}

/// One element of SETTINGS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Element {
    Inherit(Uuid),
    Setting {
        name: String,
        value: Option<String>,
        min: Option<String>,
        max: Option<String>,
        /// READONLY is false, WRITABLE is true.
        writable: Option<bool>,
    },
}

/// Users and roles that something is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    pub all: bool,
    pub ids: BTreeSet<Uuid>,
    pub except: BTreeSet<Uuid>,
}

impl Members {
    pub fn all() -> Members {
        Members { all: true, ..Members::default() }
    }

    pub fn is_none(&self) -> bool {
        !self.all && self.ids.is_empty()
    }

    /// `ids`: a user with its enabled roles.
    pub fn matches(&self, ids: &BTreeSet<Uuid>) -> bool {
        (self.all || !self.ids.is_disjoint(ids)) && self.except.is_disjoint(ids)
    }

    pub fn contains(&self, id: Uuid) -> bool {
        (self.all || self.ids.contains(&id)) && !self.except.contains(&id)
    }

    fn forget(&mut self, id: Uuid) {
        self.ids.remove(&id);
        self.except.remove(&id);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    pub keyed_by: Vec<QuotaKey>,
    pub intervals: Vec<Interval>,
    pub to: Members,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKey {
    UserName,
    IpAddress,
    ForwardedIpAddress,
    ClientKey,
}

impl QuotaKey {
    pub const ALL: [QuotaKey; 4] =
        [QuotaKey::UserName, QuotaKey::IpAddress, QuotaKey::ForwardedIpAddress, QuotaKey::ClientKey];

    pub fn name(self) -> &'static str {
        match self {
            QuotaKey::UserName => "user_name",
            QuotaKey::IpAddress => "ip_address",
            QuotaKey::ForwardedIpAddress => "forwarded_ip_address",
            QuotaKey::ClientKey => "client_key",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub seconds: u64,
    pub randomized: bool,
    /// Most of each resource; empty: only counted.
    pub max: BTreeMap<Resource, f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    Queries,
    QuerySelects,
    QueryInserts,
    Errors,
    ResultRows,
    ResultBytes,
    ReadRows,
    ReadBytes,
    ExecutionTime,
    WrittenBytes,
}

impl Resource {
    pub const ALL: [Resource; 10] = [
        Resource::Queries,
        Resource::QuerySelects,
        Resource::QueryInserts,
        Resource::Errors,
        Resource::ResultRows,
        Resource::ResultBytes,
        Resource::ReadRows,
        Resource::ReadBytes,
        Resource::ExecutionTime,
        Resource::WrittenBytes,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Resource::Queries => "queries",
            Resource::QuerySelects => "query_selects",
            Resource::QueryInserts => "query_inserts",
            Resource::Errors => "errors",
            Resource::ResultRows => "result_rows",
            Resource::ResultBytes => "result_bytes",
            Resource::ReadRows => "read_rows",
            Resource::ReadBytes => "read_bytes",
            Resource::ExecutionTime => "execution_time",
            Resource::WrittenBytes => "written_bytes",
        }
    }

    pub fn named(name: &str) -> Option<Resource> {
        Resource::ALL.into_iter().find(|r| r.name().eq_ignore_ascii_case(name))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowPolicy {
    pub short_name: String,
    pub database: String,
    /// Empty: every stream of the database.
    pub stream: String,
    /// `None`: it hides nothing.
    pub filter: Option<String>,
    pub restrictive: bool,
    pub to: Members,
}

impl RowPolicy {
    pub fn is_on(&self, database: &str, stream: &str) -> bool {
        self.database == database && (self.stream.is_empty() || self.stream == stream)
    }
}
