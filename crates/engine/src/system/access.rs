//! Users, roles, grants, policies, profiles and quotas as tables.

use crate::statement::access::keyed_by;
use hydron_access::entity::{Element, Members, QuotaKey, Resource, What};
use hydron_access::privilege::hierarchy;
use hydron_access::usage::Counted;
use hydron_access::{Access, Directory, Enabled, Entity, Kind, Level};
use hydron_types::{LogicalType, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

type Columns = Vec<(&'static str, LogicalType)>;

/// Names and columns of these tables.
pub fn tables() -> Vec<(&'static str, Columns)> {
    use LogicalType::{DateTime, Float64, String, UInt8, UInt32, UInt64, Uuid};
    let strings = || LogicalType::array(String);
    let text = || LogicalType::nullable(String);
    let number = || LogicalType::nullable(UInt64);
    let measure = || LogicalType::nullable(Float64);
    let apply = || vec![("apply_to_all", UInt8), ("apply_to_list", strings()), ("apply_to_except", strings())];
    let entity = || vec![("name", String), ("id", Uuid), ("storage", String)];
    let joined = |lists: Vec<Columns>| lists.into_iter().flatten().collect::<Columns>();
    let mut limits: Columns = vec![("quota_name", String), ("duration", UInt32), ("is_randomized_interval", UInt8)];
    let mut usage: Columns = vec![
        ("quota_name", String),
        ("quota_key", String),
        ("is_current", UInt8),
        ("start_time", LogicalType::nullable(DateTime(None))),
        ("end_time", LogicalType::nullable(DateTime(None))),
        ("duration", LogicalType::nullable(UInt32)),
    ];
    for resource in Resource::ALL {
        let ty = if resource == Resource::ExecutionTime { measure() } else { number() };
        limits.push((max_name(resource), ty.clone()));
        usage.push((resource.name(), ty.clone()));
        usage.push((max_name(resource), ty));
    }
    let own_usage = usage.iter().filter(|(n, _)| *n != "is_current").cloned().collect();
    vec![
        (
            "users",
            joined(vec![
                entity(),
                vec![
                    ("auth_type", String),
                    ("auth_params", String),
                    ("host_ip", strings()),
                    ("host_names", strings()),
                    ("host_names_regexp", strings()),
                    ("host_names_like", strings()),
                    ("default_roles_all", UInt8),
                    ("default_roles_list", strings()),
                    ("default_roles_except", strings()),
                    ("grantees_any", UInt8),
                    ("grantees_list", strings()),
                    ("grantees_except", strings()),
                    ("default_database", String),
                ],
            ]),
        ),
        ("roles", entity()),
        (
            "grants",
            vec![
                ("user_name", text()),
                ("role_name", text()),
                ("access_type", String),
                ("database", text()),
                ("table", text()),
                ("column", text()),
                ("is_partial_revoke", UInt8),
                ("grant_option", UInt8),
            ],
        ),
        (
            "role_grants",
            vec![
                ("user_name", text()),
                ("role_name", text()),
                ("granted_role_name", String),
                ("granted_role_is_default", UInt8),
                ("with_admin_option", UInt8),
            ],
        ),
        ("current_roles", vec![("role_name", String), ("with_admin_option", UInt8), ("is_default", UInt8)]),
        (
            "enabled_roles",
            vec![("role_name", String), ("with_admin_option", UInt8), ("is_current", UInt8), ("is_default", UInt8)],
        ),
        (
            "row_policies",
            joined(vec![
                vec![
                    ("name", String),
                    ("short_name", String),
                    ("database", String),
                    ("table", String),
                    ("id", Uuid),
                    ("storage", String),
                    ("select_filter", text()),
                    ("is_restrictive", UInt8),
                ],
                apply(),
            ]),
        ),
        ("settings_profiles", joined(vec![entity(), vec![("num_elements", UInt64)], apply()])),
        (
            "settings_profile_elements",
            vec![
                ("profile_name", text()),
                ("user_name", text()),
                ("role_name", text()),
                ("index", UInt64),
                ("setting_name", text()),
                ("value", text()),
                ("min", text()),
                ("max", text()),
                ("readonly", LogicalType::nullable(UInt8)),
                ("inherit_profile", text()),
            ],
        ),
        (
            "quotas",
            joined(vec![entity(), vec![("keys", strings()), ("durations", LogicalType::array(UInt32))], apply()]),
        ),
        ("quota_limits", limits),
        ("quota_usage", own_usage),
        ("quotas_usage", usage),
        (
            "privileges",
            vec![("privilege", String), ("aliases", strings()), ("level", text()), ("parent_group", text())],
        ),
        ("user_directories", vec![("name", String), ("type", String), ("params", String), ("precedence", UInt64)]),
    ]
}

fn max_name(resource: Resource) -> &'static str {
    match resource {
        Resource::Queries => "max_queries",
        Resource::QuerySelects => "max_query_selects",
        Resource::QueryInserts => "max_query_inserts",
        Resource::Errors => "max_errors",
        Resource::ResultRows => "max_result_rows",
        Resource::ResultBytes => "max_result_bytes",
        Resource::ReadRows => "max_read_rows",
        Resource::ReadBytes => "max_read_bytes",
        Resource::ExecutionTime => "max_execution_time",
        Resource::WrittenBytes => "max_written_bytes",
    }
}

type Row = Vec<Value>;

/// `None`: another table.
pub fn rows(me: &Enabled, access: &Access, name: &str) -> Option<Vec<Row>> {
    let directory = &*access.directory();
    let of = |kind: Kind| directory.of_kind(kind).collect::<Vec<_>>();
    let flat = |kinds: [Kind; 2], row: fn(&Entity, &Directory) -> Vec<Row>| -> Vec<Row> {
        kinds.iter().flat_map(|k| of(*k)).flat_map(|e| row(e, directory)).collect()
    };
    Some(match name {
        "users" => of(Kind::User).into_iter().filter_map(|e| user(e, directory)).collect(),
        "roles" => of(Kind::Role).into_iter().map(head).collect(),
        "grants" => flat([Kind::User, Kind::Role], grants),
        "role_grants" => flat([Kind::User, Kind::Role], role_grants),
        "current_roles" => my_roles(me, &me.current, false),
        "enabled_roles" => my_roles(me, &me.roles, true),
        "row_policies" => of(Kind::Policy).into_iter().filter_map(|e| policy(e, directory)).collect(),
        "settings_profiles" => of(Kind::Profile).into_iter().filter_map(|e| profile(e, directory)).collect(),
        "settings_profile_elements" => {
            let kinds = [Kind::Profile, Kind::User, Kind::Role];
            kinds.iter().flat_map(|k| of(*k)).flat_map(|e| elements(e, directory)).collect()
        }
        "quotas" => of(Kind::Quota).into_iter().filter_map(|e| quota(e, directory)).collect(),
        "quota_limits" => of(Kind::Quota).into_iter().flat_map(|e| limits(e)).collect(),
        "quota_usage" => usage(me, access, directory, true),
        "quotas_usage" => usage(me, access, directory, false),
        "privileges" => hierarchy()
            .map(|p| {
                let level = p.level.map(|l| match l {
                    Level::Global => "GLOBAL",
                    Level::Database => "DATABASE",
                    Level::Stream => "TABLE",
                    Level::Column => "COLUMN",
                });
                vec![text(p.name), texts(p.aliases), opt(level), opt(p.parent)]
            })
            .collect(),
        "user_directories" => vec![
            vec![text("users_config"), text("users_xml"), text(""), Value::UInt(1)],
            vec![text("local directory"), text("local directory"), text(""), Value::UInt(2)],
        ],
        _ => return None,
    })
}

fn text(value: impl AsRef<[u8]>) -> Value {
    Value::string(value)
}

fn texts(values: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Value {
    Value::Array(values.into_iter().map(Value::string).collect())
}

fn opt(value: Option<impl AsRef<[u8]>>) -> Value {
    value.map_or(Value::Null, Value::string)
}

fn flag(b: bool) -> Value {
    Value::UInt(u64::from(b))
}

fn names(ids: &BTreeSet<Uuid>, directory: &Directory) -> Value {
    let mut names: Vec<&str> = ids.iter().filter_map(|id| directory.name_of(*id)).collect();
    names.sort_unstable();
    texts(names)
}

fn storage(entity: &Entity) -> Value {
    text(if entity.from_file { "users_config" } else { "local directory" })
}

fn head(entity: &Arc<Entity>) -> Row {
    vec![text(&entity.name), Value::Uuid(*entity.id.as_bytes()), storage(entity)]
}

fn apply(to: &Members, directory: &Directory) -> [Value; 3] {
    [flag(to.all), names(&to.ids, directory), names(&to.except, directory)]
}

fn user(entity: &Arc<Entity>, directory: &Directory) -> Option<Row> {
    let What::User(user) = &entity.what else { return None };
    let mut row = head(entity);
    let hosts = &user.hosts;
    let mut ips: Vec<String> = hosts.networks.iter().map(ToString::to_string).collect();
    let mut host_names: Vec<String> = hosts.names.iter().cloned().collect();
    if hosts.any {
        ips.push("::/0".to_owned());
    }
    if hosts.local {
        host_names.insert(0, "localhost".to_owned());
    }
    row.extend([
        text(user.method()),
        text("{}"),
        texts(ips),
        texts(host_names),
        texts(&hosts.regexps),
        texts(&hosts.likes),
        flag(user.default_roles.all),
        names(&user.default_roles.ids, directory),
        names(&user.default_roles.except, directory),
        flag(user.grantees.all),
        names(&user.grantees.ids, directory),
        names(&user.grantees.except, directory),
        text(&user.default_database),
    ]);
    Some(row)
}

/// user_name and role_name of a grantee.
fn grantee(entity: &Entity) -> [Value; 2] {
    match entity.kind() {
        Kind::User => [text(&entity.name), Value::Null],
        _ => [Value::Null, text(&entity.name)],
    }
}

fn grants(entity: &Entity, _: &Directory) -> Vec<Row> {
    let Some((rights, _)) = entity.grantee() else { return Vec::new() };
    let mut rows = Vec::new();
    for line in rights.lines() {
        let columns: Vec<Option<&str>> = match line.columns.as_slice() {
            [] => vec![None],
            columns => columns.iter().map(|c| Some(c.as_str())).collect(),
        };
        for column in columns {
            for privilege in &line.privileges {
                let mut row = grantee(entity).to_vec();
                row.push(text(privilege));
                row.extend([opt(line.on.database.as_deref()), opt(line.on.stream.as_deref()), opt(column)]);
                row.extend([flag(line.revoke), flag(line.grant_option)]);
                rows.push(row);
            }
        }
    }
    rows
}

fn role_grants(entity: &Entity, directory: &Directory) -> Vec<Row> {
    let Some((_, granted)) = entity.grantee() else { return Vec::new() };
    let is_default = |role: Uuid| entity.as_user().is_none_or(|u| u.default_roles.contains(role));
    let row = |role: &Uuid| {
        let mut row = grantee(entity).to_vec();
        row.push(text(directory.name_of(*role)?));
        row.extend([flag(is_default(*role)), flag(granted.admin.contains(role))]);
        Some(row)
    };
    granted.roles.iter().filter_map(row).collect()
}

fn my_roles(me: &Enabled, roles: &BTreeSet<Uuid>, with_current: bool) -> Vec<Row> {
    let directory = &me.directory;
    let defaults = me.entity().map(|e| directory.default_roles(e)).unwrap_or_default();
    let holders = me.ids();
    let is_admin = |role: &Uuid| {
        let of = |id: &Uuid| directory.get(*id).and_then(|e| e.grantee()).is_some_and(|(_, g)| g.admin.contains(role));
        holders.iter().any(of)
    };
    let row = |role: &Uuid| {
        let mut row = vec![text(directory.name_of(*role)?), flag(is_admin(role))];
        if with_current {
            row.push(flag(me.current.contains(role)));
        }
        row.push(flag(defaults.contains(role)));
        Some(row)
    };
    roles.iter().filter_map(row).collect()
}

fn policy(entity: &Arc<Entity>, directory: &Directory) -> Option<Row> {
    let What::Policy(policy) = &entity.what else { return None };
    let mut row = vec![
        text(&entity.name),
        text(&policy.short_name),
        text(&policy.database),
        text(&policy.stream),
        Value::Uuid(*entity.id.as_bytes()),
        storage(entity),
        opt(policy.filter.as_deref()),
        flag(policy.restrictive),
    ];
    row.extend(apply(&policy.to, directory));
    Some(row)
}

fn profile(entity: &Arc<Entity>, directory: &Directory) -> Option<Row> {
    let What::Profile(profile) = &entity.what else { return None };
    let mut row = head(entity);
    row.push(Value::UInt(profile.settings.len() as u64));
    row.extend(apply(&profile.to, directory));
    Some(row)
}

fn elements(entity: &Entity, directory: &Directory) -> Vec<Row> {
    let row = |(at, element): (usize, &Element)| {
        let owner = [Kind::Profile, Kind::User, Kind::Role].map(|k| opt((entity.kind() == k).then_some(&entity.name)));
        let mut row = owner.to_vec();
        row.push(Value::UInt(at as u64));
        match element {
            Element::Inherit(id) => {
                row.extend(std::iter::repeat_n(Value::Null, 5));
                row.push(opt(directory.name_of(*id)));
            }
            Element::Setting { name, value, min, max, writable } => {
                row.extend([text(name), opt(value.as_deref()), opt(min.as_deref()), opt(max.as_deref())]);
                row.push(writable.map_or(Value::Null, |w| flag(!w)));
                row.push(Value::Null);
            }
        }
        row
    };
    entity.elements().iter().enumerate().map(row).collect()
}

fn quota(entity: &Arc<Entity>, directory: &Directory) -> Option<Row> {
    let What::Quota(quota) = &entity.what else { return None };
    let mut row = head(entity);
    // One key of several parts, as ClickHouse has it: `client_key,user_name`.
    let keys = keyed_by(&quota.keyed_by).replace(", ", ",");
    row.push(texts(Some(keys).filter(|k| !k.is_empty())));
    row.push(Value::Array(quota.intervals.iter().map(|i| Value::UInt(i.seconds)).collect()));
    row.extend(apply(&quota.to, directory));
    Some(row)
}

fn limit(resource: Resource, max: Option<f64>) -> Value {
    match max {
        None => Value::Null,
        Some(max) if resource == Resource::ExecutionTime => Value::Float64(max),
        Some(max) => Value::UInt(max as u64),
    }
}

fn limits(entity: &Entity) -> Vec<Row> {
    let What::Quota(quota) = &entity.what else { return Vec::new() };
    let row = |interval: &hydron_access::entity::Interval| {
        let mut row = vec![text(&entity.name), Value::UInt(interval.seconds), flag(interval.randomized)];
        row.extend(Resource::ALL.iter().map(|r| limit(*r, interval.max.get(r).copied())));
        row
    };
    quota.intervals.iter().map(row).collect()
}

/// `mine`: of the quota that counts for whoever asks.
fn usage(me: &Enabled, access: &Access, directory: &Directory, mine: bool) -> Vec<Row> {
    let my_quota = me.quota().map(|(e, q)| (e.id, q.keyed_by.clone()));
    let is_mine = |id: Uuid, key: &str| match &my_quota {
        Some((quota, keys)) => *quota == id && (!keys.contains(&QuotaKey::UserName) || key.contains(&me.user)),
        None => false,
    };
    let mut rows = Vec::new();
    access.with_usage(|usage| {
        for (id, key, counted) in usage.list() {
            let current = is_mine(id, key);
            let Some(entity) = directory.get(id).filter(|_| current || !mine) else { continue };
            let What::Quota(quota) = &entity.what else { continue };
            for (interval, counted) in quota.intervals.iter().zip(counted) {
                rows.push(usage_row(entity, key, (!mine).then_some(current), interval, counted));
            }
        }
    });
    rows
}

fn usage_row(
    entity: &Entity,
    key: &str,
    current: Option<bool>,
    interval: &hydron_access::entity::Interval,
    counted: &Counted,
) -> Row {
    let end = counted.ends.div_euclid(1_000_000);
    let mut row = vec![text(&entity.name), text(key)];
    row.extend(current.map(flag));
    row.extend([Value::Time(end - interval.seconds as i64), Value::Time(end), Value::UInt(interval.seconds)]);
    for resource in Resource::ALL {
        row.push(limit(resource, Some(counted.used[resource as usize])));
        row.push(limit(resource, interval.max.get(&resource).copied()));
    }
    row
}
