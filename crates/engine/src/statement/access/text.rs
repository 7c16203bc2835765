//! An entity as the statements that make it. Promise: no password and no hash.

use hydron_access::entity::{Element, Entity, Interval, Members, QuotaKey, What};
use hydron_access::hosts::Hosts;
use hydron_access::password::Password;
use hydron_access::rights::Line;
use hydron_access::{Directory, Object};
use hydron_sql::ast::Literal;
use std::fmt::Write;

fn identifier(name: &str) -> String {
    hydron_types::logical::identifier(name).into_owned()
}

/// `p ON db.stream`
pub fn policy_name(short: &str, database: &str, stream: &str) -> String {
    let stream = if stream.is_empty() { "*".to_owned() } else { identifier(stream) };
    format!("{} ON {}.{stream}", identifier(short), identifier(database))
}

/// CREATE USER, ROLE, …
pub fn create(entity: &Entity, directory: &Directory) -> String {
    let name = identifier(&entity.name);
    let mut out = match &entity.what {
        What::User(_) => format!("CREATE USER {name}"),
        What::Role(_) => format!("CREATE ROLE {name}"),
        What::Profile(_) => format!("CREATE SETTINGS PROFILE {name}"),
        What::Quota(_) => format!("CREATE QUOTA {name}"),
        What::Policy(_) => format!("CREATE ROW POLICY {}", entity.name),
    };
    match &entity.what {
        What::User(user) => {
            if user.password != Password::None {
                let _ = write!(out, " IDENTIFIED WITH {}", user.method());
            }
            out += &hosts(&user.hosts);
            if user.default_roles != Members::all() {
                let _ = write!(out, " DEFAULT ROLE {}", members(&user.default_roles, directory, "ALL"));
            }
            if !user.default_database.is_empty() {
                let _ = write!(out, " DEFAULT DATABASE {}", identifier(&user.default_database));
            }
            if user.grantees != Members::all() {
                let _ = write!(out, " GRANTEES {}", members(&user.grantees, directory, "ANY"));
            }
            out += &settings(&user.settings, directory);
        }
        What::Role(role) => out += &settings(&role.settings, directory),
        What::Profile(profile) => {
            out += &settings(&profile.settings, directory);
            out += &to(&profile.to, directory);
        }
        What::Quota(quota) => {
            if !quota.keyed_by.is_empty() {
                let _ = write!(out, " KEYED BY {}", keyed_by(&quota.keyed_by));
            }
            let intervals: Vec<String> = quota.intervals.iter().map(interval).collect();
            if !intervals.is_empty() {
                let _ = write!(out, " {}", intervals.join(", "));
            }
            out += &to(&quota.to, directory);
        }
        What::Policy(policy) => {
            if policy.restrictive {
                out += " AS restrictive";
            }
            if let Some(filter) = &policy.filter {
                let _ = write!(out, " FOR SELECT USING {filter}");
            }
            out += &to(&policy.to, directory);
        }
    }
    out
}

pub fn keyed_by(keys: &[QuotaKey]) -> String {
    keys.iter().map(|k| k.name()).collect::<Vec<_>>().join(", ")
}

fn interval(interval: &Interval) -> String {
    let units = [(31_536_000, "year"), (7_776_000, "quarter"), (2_592_000, "month"), (604_800, "week")];
    let units = units.into_iter().chain([(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")]);
    let (seconds, unit) = units.into_iter().find(|(n, _)| interval.seconds.is_multiple_of(*n)).unwrap_or((1, "second"));
    let randomized = if interval.randomized { "RANDOMIZED " } else { "" };
    let limits: Vec<String> = interval.max.iter().map(|(r, max)| format!("{} = {max}", r.name())).collect();
    let limits = if limits.is_empty() { "TRACKING ONLY".to_owned() } else { format!("MAX {}", limits.join(", ")) };
    format!("FOR {randomized}INTERVAL {} {unit} {limits}", interval.seconds / seconds)
}

fn hosts(hosts: &Hosts) -> String {
    if hosts.any {
        return String::new();
    }
    let mut items = Vec::new();
    if hosts.local {
        items.push("LOCAL".to_owned());
    }
    let mut list = |kind: &str, values: Vec<String>| {
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(|v| quoted(v)).collect();
            items.push(format!("{kind} {}", values.join(", ")));
        }
    };
    list("IP", hosts.networks.iter().map(ToString::to_string).collect());
    list("NAME", hosts.names.iter().cloned().collect());
    list("REGEXP", hosts.regexps.iter().cloned().collect());
    list("LIKE", hosts.likes.iter().cloned().collect());
    if items.is_empty() {
        items.push("NONE".to_owned());
    }
    format!(" HOST {}", items.join(", "))
}

fn quoted(text: &str) -> String {
    Literal::String(text.as_bytes().to_vec().into()).to_string()
}

fn settings(elements: &[Element], directory: &Directory) -> String {
    if elements.is_empty() {
        return String::new();
    }
    let element = |e: &Element| match e {
        Element::Inherit(id) => format!("PROFILE {}", identifier(directory.name_of(*id).unwrap_or_default())),
        Element::Setting { name, value, min, max, writable } => {
            let mut out = identifier(name);
            let shown = |v: &str| if v.parse::<f64>().is_ok() { v.to_owned() } else { quoted(v) };
            for (word, value) in [(" = ", value), (" MIN ", min), (" MAX ", max)] {
                if let Some(value) = value {
                    let _ = write!(out, "{word}{}", shown(value));
                }
            }
            match writable {
                Some(true) => out += " WRITABLE",
                Some(false) => out += " READONLY",
                None => {}
            }
            out
        }
    };
    format!(" SETTINGS {}", elements.iter().map(element).collect::<Vec<_>>().join(", "))
}

fn to(to: &Members, directory: &Directory) -> String {
    if to.is_none() { String::new() } else { format!(" TO {}", members(to, directory, "ALL")) }
}

/// Names in their order; users and roles that are gone have left no trace.
pub fn names(ids: impl IntoIterator<Item = uuid::Uuid>, directory: &Directory) -> Vec<String> {
    let mut names: Vec<String> = ids.into_iter().filter_map(|id| directory.name_of(id)).map(str::to_owned).collect();
    names.sort();
    names
}

fn members(set: &Members, directory: &Directory, all: &str) -> String {
    let list = |ids: &std::collections::BTreeSet<uuid::Uuid>| {
        names(ids.iter().copied(), directory).iter().map(|n| identifier(n)).collect::<Vec<_>>().join(", ")
    };
    let mut out = match set.all {
        true => all.to_owned(),
        false if set.ids.is_empty() => "NONE".to_owned(),
        false => list(&set.ids),
    };
    if !set.except.is_empty() {
        let _ = write!(out, " EXCEPT {}", list(&set.except));
    }
    out
}

/// GRANT and REVOKE that make an entity what it is.
pub fn grants(entity: &Entity, directory: &Directory) -> Vec<String> {
    let Some((rights, granted)) = entity.grantee() else { return Vec::new() };
    let name = identifier(&entity.name);
    let lines = rights.lines();
    let same = |a: &Line, b: &Line| a.on == b.on && (a.revoke, a.grant_option) == (b.revoke, b.grant_option);
    let mut out: Vec<String> = lines.chunk_by(same).map(|of_one| line(of_one, &name)).collect();
    for (admin, suffix) in [(false, ""), (true, " WITH ADMIN OPTION")] {
        let roles = granted.roles.iter().filter(|r| granted.admin.contains(r) == admin).copied();
        let roles: Vec<String> = names(roles, directory).iter().map(|n| identifier(n)).collect();
        if !roles.is_empty() {
            out.push(format!("GRANT {} TO {name}{suffix}", roles.join(", ")));
        }
    }
    out
}

/// Lines about one thing as one statement.
fn line(lines: &[Line], name: &str) -> String {
    let mut privileges: Vec<String> = Vec::new();
    for line in lines {
        let columns: Vec<String> = line.columns.iter().map(|c| identifier(c)).collect();
        let columns = if columns.is_empty() { String::new() } else { format!("({})", columns.join(", ")) };
        privileges.extend(line.privileges.iter().map(|p| format!("{p}{columns}")));
    }
    let Some(first) = lines.first() else { return String::new() };
    let (privileges, on) = (privileges.join(", "), on(&first.on));
    match (first.revoke, first.grant_option) {
        (false, false) => format!("GRANT {privileges} ON {on} TO {name}"),
        (false, true) => format!("GRANT {privileges} ON {on} TO {name} WITH GRANT OPTION"),
        (true, false) => format!("REVOKE {privileges} ON {on} FROM {name}"),
        (true, true) => format!("REVOKE GRANT OPTION FOR {privileges} ON {on} FROM {name}"),
    }
}

fn on(on: &Object) -> String {
    let database = on.database.as_deref().map(identifier);
    let stream = on.stream.as_deref().map(identifier);
    format!("{}.{}", database.as_deref().unwrap_or("*"), stream.as_deref().unwrap_or("*"))
}
