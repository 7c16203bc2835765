//! CREATE, ALTER and DROP of users, roles, profiles, quotas and row policies.

use super::super::{Answer, Context, answer};
use super::{Edits, Find, FullName, change, full_names, joined_name, kind_of, members};
use hydron_access::directory::{exists, unknown};
use hydron_access::entity::{
    Element, Entity, Granted, Interval, Members, Profile, Quota, QuotaKey, Resource, Role, RowPolicy, User, What,
};
use hydron_access::hosts::Hosts;
use hydron_access::password::Password;
use hydron_access::{Directory, Enabled, Kind, Rights};
use hydron_base::{Code, Error, Result, Settings};
use hydron_plan::bind::{bind_condition, setting_text};
use hydron_sql::ast::{
    AccessEntity, AccessKind, Auth, DropAccess, Expr, Host, HostAction, ProfileElement, QuotaLimits, Setting,
    SettingValue, Span,
};
use hydron_types::{Field, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

pub async fn entity(cx: Context, statement: AccessEntity) -> Result<Answer> {
    if statement.on_cluster.is_some() {
        return Err(Error::not_implemented("ON CLUSTER"));
    }
    let names = full_names(&cx, statement.kind, &statement.names)?;
    if statement.rename_to.is_some() && names.len() > 1 {
        return Err(Error::new(Code::SYNTAX_ERROR, "RENAME TO takes one name"));
    }
    check_filter(&cx, &statement, &names).await?;
    let access = Arc::clone(&cx.access);
    change(&cx, move |directory| {
        let mut edits = Edits::default();
        for (at, name) in names.iter().enumerate() {
            let host = statement.names.get(at).and_then(|n| n.host.as_deref());
            if let Some(entity) = next_of(directory, &statement, name, host, &access)? {
                edits.put.insert(entity.id);
                let id = entity.id;
                directory.put(entity)?;
                if directory.has_circle(id) {
                    let message = format!("{} {} builds on itself", kind_of(statement.kind).word(), name.name);
                    return Err(Error::bad_arguments(message));
                }
            }
        }
        Ok(edits)
    })
    .await?;
    Ok(answer::nothing())
}

/// The entity as the statement wants it; `None`: it stays as it is.
fn next_of(
    directory: &Directory,
    statement: &AccessEntity,
    name: &FullName,
    host: Option<&str>,
    access: &Enabled,
) -> Result<Option<Entity>> {
    let kind = kind_of(statement.kind);
    let found = directory.find(kind, &name.name);
    let mut entity = match (statement.alter, found) {
        (true, Some(found)) => (**found).clone(),
        (true, None) if statement.if_clause => return Ok(None),
        (true, None) => return Err(unknown(kind, &name.name)),
        (false, Some(_)) if statement.if_clause => return Ok(None),
        (false, Some(found)) if statement.or_replace => fresh(found.id, kind, name, host),
        (false, Some(_)) => return Err(exists(kind, &name.name)),
        (false, None) => fresh(Uuid::new_v4(), kind, name, host),
    };
    // What is in the file is refused when it is put back.
    entity.from_file = false;
    if let Some(to) = &statement.rename_to {
        entity.name = match &mut entity.what {
            What::Policy(policy) => {
                policy.short_name.clone_from(to);
                super::text::policy_name(to, &policy.database, &policy.stream)
            }
            _ => joined_name(to).to_owned(),
        };
    }
    fill(&mut entity, directory, statement, access)?;
    Ok(Some(entity))
}

fn fresh(id: Uuid, kind: Kind, name: &FullName, host: Option<&str>) -> Entity {
    let mut hosts = Hosts::any();
    if let Some(host) = host.filter(|h| *h != "%") {
        hosts = Hosts::default();
        // A pattern that cannot be read lets nobody in.
        let _ = hosts.add_like(host);
    }
    let what = match kind {
        Kind::User => What::User(User {
            password: Password::None,
            plaintext: false,
            hosts,
            rights: Rights::default(),
            granted: Granted::default(),
            default_roles: Members::all(),
            default_database: String::new(),
            grantees: Members::all(),
            settings: Vec::new(),
        }),
        Kind::Role => What::Role(Role::default()),
        Kind::Profile => What::Profile(Profile::default()),
        Kind::Quota => What::Quota(Quota::default()),
        Kind::Policy => {
            let (short_name, database, stream) = name.policy.clone().unwrap_or_default();
            let to = Members::default();
            What::Policy(RowPolicy { short_name, database, stream, filter: None, restrictive: false, to })
        }
    };
    Entity { id, name: name.name.clone(), from_file: false, what }
}

fn fill(entity: &mut Entity, directory: &Directory, statement: &AccessEntity, access: &Enabled) -> Result<()> {
    let to = match &statement.to {
        Some(set) => Some(members(directory, set, access, Find::Grantee)?),
        None => None,
    };
    let settings = match &statement.settings {
        Some(elements) => Some(elements_of(directory, elements)?),
        None => None,
    };
    match &mut entity.what {
        What::User(user) => {
            if let Some(auth) = &statement.auth {
                user.password = password(auth)?;
                let method = match auth {
                    Auth::Identified { method, .. } => method.as_deref(),
                    Auth::NotIdentified => None,
                };
                user.plaintext = method == Some("plaintext_password");
            }
            for rule in &statement.hosts {
                let hosts = hosts(&rule.hosts)?;
                match rule.action {
                    HostAction::Set => user.hosts = hosts,
                    HostAction::Add => user.hosts.add(&hosts),
                    HostAction::Drop => user.hosts.remove(&hosts),
                }
            }
            if let Some(roles) = &statement.default_roles {
                let roles = members(directory, roles, access, Find::Role)?;
                let not_granted = roles.ids.iter().find(|r| !user.granted.roles.contains(r));
                if statement.alter
                    && let Some(role) = not_granted.and_then(|r| directory.name_of(*r))
                {
                    return Err(not_granted_error(role, &entity.name));
                }
                if !statement.alter {
                    // CREATE USER … DEFAULT ROLE grants what it names: the creator answers for it.
                    for role in &roles.ids {
                        super::granting::check_admin(directory, access, *role)?;
                    }
                    user.granted.roles.extend(&roles.ids);
                }
                user.default_roles = roles;
            }
            if let Some(database) = &statement.default_database {
                user.default_database.clone_from(database);
            }
            if let Some(grantees) = &statement.grantees {
                user.grantees = members(directory, grantees, access, Find::Grantee)?;
            }
            if let Some(settings) = settings {
                user.settings = settings;
            }
        }
        What::Role(role) => {
            if let Some(settings) = settings {
                role.settings = settings;
            }
        }
        What::Profile(profile) => {
            if let Some(settings) = settings {
                profile.settings = settings;
            }
            if let Some(to) = to {
                profile.to = to;
            }
        }
        What::Quota(quota) => {
            if let Some(said) = &statement.quota {
                if let Some(keys) = &said.keyed_by {
                    quota.keyed_by = quota_keys(keys)?;
                }
                for interval in &said.intervals {
                    let (seconds, made) = quota_interval(interval)?;
                    quota.intervals.retain(|i| i.seconds != seconds);
                    quota.intervals.extend(made);
                }
                quota.intervals.sort_by_key(|i| i.seconds);
            }
            if let Some(to) = to {
                quota.to = to;
            }
        }
        What::Policy(policy) => {
            if let Some(said) = &statement.policy {
                if let Some(restrictive) = said.restrictive {
                    policy.restrictive = restrictive;
                }
                if let Some(using) = &said.using {
                    policy.filter = using.as_ref().map(ToString::to_string);
                }
            }
            if let Some(to) = to {
                policy.to = to;
            }
        }
    }
    Ok(())
}

pub(super) fn not_granted_error(role: &str, user: &str) -> Error {
    Error::new(Code::SET_NON_GRANTED_ROLE, format!("Role {role} should be granted to set current or default ({user})"))
}

/// Errors: BAD_ARGUMENTS for a hash that is none, NOT_IMPLEMENTED for ldap, kerberos and certificates.
fn password(auth: &Auth) -> Result<Password> {
    let Auth::Identified { method, by, salt, .. } = auth else { return Ok(Password::None) };
    let by = by.as_deref().unwrap_or_default();
    let wrong = |e: Error| {
        Error::bad_arguments(
            e.message
                .replace("password_sha256_hex", "a SHA-256 hash")
                .replace("password_double_sha1_hex", "a double SHA-1 hash"),
        )
    };
    Ok(match method.as_deref() {
        Some("no_password") => Password::None,
        None | Some("sha256_password" | "plaintext_password") => {
            // No password itself is ever kept; two users with one password have two hashes.
            Password::salted(by, Uuid::new_v4().simple().to_string())
        }
        Some("sha256_hash") => Password::sha256(by).map_err(wrong)?.with_salt(salt.as_deref()),
        Some("double_sha1_password") => Password::plain_double_sha1(by),
        Some("double_sha1_hash") => Password::double_sha1(by).map_err(wrong)?,
        Some(other @ ("ldap" | "kerberos" | "ssl_certificate" | "bcrypt_password" | "bcrypt_hash")) => {
            return Err(Error::not_implemented(format!("IDENTIFIED WITH {other}")));
        }
        Some(other) => {
            return Err(Error::new(Code::SYNTAX_ERROR, format!("method {other} of IDENTIFIED WITH is unknown"))
                .hint("sha256_password, sha256_hash, double_sha1_password, double_sha1_hash, no_password"));
        }
    })
}

fn hosts(list: &[Host]) -> Result<Hosts> {
    let mut hosts = Hosts::default();
    for host in list {
        match host {
            Host::Any => hosts.any = true,
            Host::None => {}
            Host::Local => hosts.local = true,
            Host::Name(name) => hosts.add_name(name),
            Host::Regexp(pattern) => hosts.add_regexp(pattern)?,
            Host::Ip(text) => hosts.add_ip(text)?,
            Host::Like(pattern) => hosts.add_like(pattern)?,
        }
    }
    Ok(hosts)
}

fn elements_of(directory: &Directory, elements: &[ProfileElement]) -> Result<Vec<Element>> {
    let mut out = Vec::new();
    for element in elements {
        match element {
            ProfileElement::None => {}
            ProfileElement::Inherit(profile) => {
                out.push(Element::Inherit(directory.existing(Kind::Profile, profile)?.id));
            }
            ProfileElement::Setting { name, value, min, max, writability } => {
                let text = |value: &Option<SettingValue>| -> Result<Option<String>> {
                    let Some(value) = value else { return Ok(None) };
                    let setting = Setting { name: name.clone(), value: value.clone(), span: Span::default() };
                    let text = setting_text(&setting)?.unwrap_or_default();
                    let mut settings = Settings::default();
                    settings.set(name, &text)?;
                    Ok(Some(settings.text(name).to_owned()).filter(|t| !t.is_empty()).or(Some(text)))
                };
                let (value, min, max) = (text(value)?, text(min)?, text(max)?);
                if value.is_none() && min.is_none() && max.is_none() {
                    // A name alone must be one too.
                    hydron_base::Settings::default().set(name, "0").or_else(|e| match e.code {
                        Code::UNKNOWN_SETTING => Err(e),
                        _ => Ok(()),
                    })?;
                }
                let writable = writability.as_deref().map(|w| !matches!(w, "READONLY" | "CONST"));
                out.push(Element::Setting { name: name.clone(), value, min, max, writable });
            }
        }
    }
    Ok(out)
}

fn quota_keys(names: &[String]) -> Result<Vec<QuotaKey>> {
    let mut out = Vec::new();
    for name in names.iter().flat_map(|n| n.split(',')) {
        let name = name.trim().to_ascii_lowercase().replace(' ', "_");
        if name == "none" {
            continue;
        }
        // `client_key or user_name`, as older versions wrote it.
        for part in name.split("_or_") {
            let key = QuotaKey::ALL.into_iter().find(|k| k.name() == part).ok_or_else(|| {
                Error::new(Code::SYNTAX_ERROR, format!("a quota cannot be keyed by {part}"))
                    .hint("user_name, ip_address, forwarded_ip_address, client_key")
            })?;
            out.push(key);
        }
    }
    Ok(out)
}

/// Seconds, and the interval unless NO LIMITS takes it away.
fn quota_interval(said: &hydron_sql::ast::QuotaInterval) -> Result<(u64, Option<Interval>)> {
    let unit = match said.unit.to_ascii_lowercase().as_str() {
        "second" => 1.0,
        "minute" => 60.0,
        "hour" => 3_600.0,
        "day" => 86_400.0,
        "week" => 604_800.0,
        "month" => 2_592_000.0,
        "quarter" => 7_776_000.0,
        "year" => 31_536_000.0,
        other => return Err(Error::new(Code::SYNTAX_ERROR, format!("a quota has no interval in {other}"))),
    };
    let seconds = number(&said.number)? * unit;
    if !(1.0..1e11).contains(&seconds) {
        return Err(Error::bad_arguments("an interval of a quota takes at least a second"));
    }
    let seconds = seconds as u64;
    let mut max = BTreeMap::new();
    match &said.limits {
        QuotaLimits::None => return Ok((seconds, None)),
        QuotaLimits::TrackingOnly => {}
        QuotaLimits::Max(limits) => {
            for (name, value) in limits {
                let resource = Resource::named(name).ok_or_else(|| {
                    let all: Vec<&str> = Resource::ALL.iter().map(|r| r.name()).collect();
                    Error::new(Code::SYNTAX_ERROR, format!("a quota has no limit {name}")).hint(all.join(", "))
                })?;
                max.insert(resource, number(value)?);
            }
        }
    }
    Ok((seconds, Some(Interval { seconds, randomized: said.randomized, max })))
}

fn number(expr: &Expr) -> Result<f64> {
    use hydron_sql::ast::Literal;
    let value = match expr.as_literal() {
        Some(Literal::String(text)) => String::from_utf8_lossy(text).parse().ok(),
        Some(literal) => literal.to_string().parse::<f64>().ok(),
        None => None,
    };
    value.filter(|v| v.is_finite() && *v >= 0.0).ok_or_else(|| {
        Error::new(Code::SYNTAX_ERROR, format!("'{expr}' is no limit of a quota")).hint("a number that is not negative")
    })
}

/// A condition that cannot be bound to the stream's columns would refuse every read.
async fn check_filter(cx: &Context, statement: &AccessEntity, names: &[FullName]) -> Result<()> {
    let Some(Some(filter)) = statement.policy.as_ref().and_then(|p| p.using.clone()) else { return Ok(()) };
    if statement.kind != AccessKind::RowPolicy {
        return Ok(());
    }
    let state = cx.engine.catalog.snapshot();
    for name in names {
        let Some((_, database, stream)) = &name.policy else { continue };
        // A policy may stand before its stream.
        let Some(info) = state.object(database, stream).and_then(|o| o.stream_info().cloned()) else { continue };
        let fields = info.columns.iter().map(|c| Field::new(Arc::clone(&c.name), c.ty.clone())).collect();
        let (lookup, bind_cx, filter) = (cx.lookup(), cx.bind_context(false), filter.clone());
        let check = move || bind_condition(&filter, &Schema::new(fields), &lookup, &bind_cx).map(std::mem::drop);
        super::super::blocking(&cx.engine, check).await?;
    }
    Ok(())
}

pub async fn drop(cx: Context, drop: DropAccess) -> Result<Answer> {
    if drop.on_cluster.is_some() {
        return Err(Error::not_implemented("ON CLUSTER"));
    }
    let names = full_names(&cx, drop.kind, &drop.names)?;
    let kind = kind_of(drop.kind);
    change(&cx, move |directory| {
        let mut edits = Edits::default();
        for name in names {
            let id = match directory.existing(kind, &name.name) {
                Ok(found) => found.id,
                Err(_) if drop.if_exists => continue,
                Err(e) => return Err(e),
            };
            edits.put.extend(directory.remove(id)?.iter().map(|e| e.id));
            edits.removed.insert(id);
        }
        Ok(edits)
    })
    .await?;
    Ok(answer::nothing())
}
