//! Access control: users, roles, grants, quotas, row policies, settings profiles.

use super::{Expr, ObjectName, SettingValue};

/// CREATE or ALTER of a user, role, quota, row policy or settings profile.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessEntity {
    pub kind: AccessKind,
    pub alter: bool,
    pub or_replace: bool,
    /// IF NOT EXISTS of CREATE, IF EXISTS of ALTER.
    pub if_clause: bool,
    pub names: Vec<AccessName>,
    pub on_cluster: Option<String>,
    pub rename_to: Option<String>,
    pub auth: Option<Auth>,
    pub hosts: Vec<HostRule>,
    pub default_roles: Option<RoleSet>,
    pub default_database: Option<String>,
    pub grantees: Option<RoleSet>,
    pub settings: Option<Vec<ProfileElement>>,
    pub quota: Option<Quota>,
    pub policy: Option<RowPolicy>,
    /// `TO …` of quotas, row policies and profiles.
    pub to: Option<RoleSet>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccessKind {
    User,
    Role,
    Quota,
    RowPolicy,
    SettingsProfile,
}

/// The name of an entity; `host` of `user@host`; `on` of a row policy (`*` is an empty name).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessName {
    pub name: String,
    pub host: Option<String>,
    pub on: Vec<ObjectName>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Auth {
    NotIdentified,
    /// `IDENTIFIED [WITH method] [BY 'secret'] [SALT 's']`, `WITH ldap SERVER 'x'`, `WITH kerberos REALM 'x'`.
    Identified {
        method: Option<String>,
        by: Option<String>,
        salt: Option<String>,
        server: Option<String>,
        realm: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct HostRule {
    pub action: HostAction,
    pub hosts: Vec<Host>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostAction {
    Set,
    Add,
    Drop,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Host {
    Any,
    None,
    Local,
    Name(String),
    Regexp(String),
    Ip(String),
    Like(String),
}

/// `ALL EXCEPT a, b`, `a, b`, `NONE`, `ANY`, `CURRENT_USER`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleSet {
    pub all: bool,
    /// ANY, as GRANTEES spells "all".
    pub any: bool,
    pub none: bool,
    pub current_user: bool,
    pub names: Vec<String>,
    pub except: Vec<String>,
    pub except_current_user: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ProfileElement {
    /// `PROFILE 'p'`, `INHERIT 'p'`
    Inherit(String),
    Setting {
        name: String,
        value: Option<SettingValue>,
        min: Option<SettingValue>,
        max: Option<SettingValue>,
        writability: Option<String>,
    },
    /// `SETTINGS NONE`
    None,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quota {
    /// `KEYED BY a, b`; empty list with `Some` for NOT KEYED.
    pub keyed_by: Option<Vec<String>>,
    pub intervals: Vec<QuotaInterval>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct QuotaInterval {
    pub randomized: bool,
    pub number: Expr,
    pub unit: String,
    pub limits: QuotaLimits,
}

#[derive(Clone, Debug, PartialEq)]
pub enum QuotaLimits {
    None,
    TrackingOnly,
    /// `MAX queries = 10, …`
    Max(Vec<(String, Expr)>),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowPolicy {
    pub restrictive: Option<bool>,
    /// `FOR SELECT`
    pub for_select: bool,
    /// `Some(None)` for `USING NONE`.
    pub using: Option<Option<Expr>>,
}

/// GRANT and REVOKE, of privileges or of roles.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub revoke: bool,
    pub on_cluster: Option<String>,
    pub what: GrantWhat,
    pub to: RoleSet,
    /// WITH GRANT OPTION, GRANT OPTION FOR.
    pub grant_option: bool,
    /// WITH ADMIN OPTION, ADMIN OPTION FOR.
    pub admin_option: bool,
    pub replace: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum GrantWhat {
    Roles(RoleSet),
    Privileges(Vec<GrantElement>),
}

/// `SELECT(a, b), INSERT ON db.stream`: the privileges that share one ON.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantElement {
    pub privileges: Vec<Privilege>,
    pub on: GrantObject,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Privilege {
    /// Upper case words: `SELECT`, `ALTER UPDATE`, `ALL`.
    pub name: String,
    pub columns: Vec<String>,
}

/// `None` is a star: `*.*`, `db.*`. Without a dot the database is the current one.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantObject {
    pub database: GrantDatabase,
    pub stream: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum GrantDatabase {
    Any,
    Current,
    Named(String),
}

/// `SET ROLE …`, `SET DEFAULT ROLE … TO …`
#[derive(Clone, Debug, PartialEq)]
pub struct SetRole {
    /// `SET ROLE DEFAULT`
    pub default: bool,
    pub roles: RoleSet,
    /// The users of SET DEFAULT ROLE.
    pub to: Option<RoleSet>,
}
