//! Users in YAML, in the shape of Proton's `users.yaml`.
//!
//! In: a text with `users` and `profiles`. Out: checked users. Promise: a key that is not understood is an error: what
//! would restrict a user is never passed over.

use super::{Others, User, Users};
use hydron_access::entity::{Interval, Resource};
use hydron_access::network::Network;
use hydron_access::password::Password;
use hydron_base::{Code, Error, Result, Settings};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

// A profile may build on another one; longer chains are a circle.
const PROFILE_DEPTH_MAX: usize = 16;

type Profiles = BTreeMap<String, Map<String, Value>>;

pub(super) fn parse(yaml: &str) -> Result<Users> {
    let tree: Value = serde_saphyr::from_str(yaml).map_err(|e| error(format!("not YAML: {e}")))?;
    let mut sections = object(tree, "the file")?;
    // Written at the top of Proton's file; whoever has a user in it knows what for.
    let profiles = match sections.remove("profiles") {
        Some(tree) => object(tree, "profiles")?
            .into_iter()
            .map(|(name, settings)| Ok((name.clone(), object(settings, &format!("profile '{name}'"))?)))
            .collect::<Result<Profiles>>()?,
        None => Profiles::new(),
    };
    let mut others = Others::shipped();
    for (name, tree) in sections.remove("quotas").map_or(Ok(Map::new()), |tree| object(tree, "quotas"))? {
        let intervals = intervals(&name, tree)?;
        others.quotas.insert(name, intervals);
    }
    if let Some(key) = sections.keys().find(|k| *k != "users") {
        return Err(error(format!("key '{key}' is unknown")).hint("users, profiles"));
    }
    let listed = sections.remove("users").ok_or_else(|| error("there is no section 'users'"))?;
    let mut users = Users::none();
    for (name, tree) in object(listed, "users")? {
        let what = format!("user '{name}'");
        let user = user(object(tree, &what)?, &profiles, &others).map_err(|e| e.context(&what))?;
        users.list().insert(name, user);
    }
    for name in profiles.keys() {
        others.profiles.insert(name.clone(), settings_of(name, &profiles, 0)?);
    }
    users.others = parking_lot::RwLock::new(Arc::new(others));
    Ok(users)
}

fn error(message: impl Into<String>) -> Error {
    Error::new(Code::CONFIG_ERROR, message.into()).context("users_config")
}

fn object(tree: Value, what: &str) -> Result<Map<String, Value>> {
    match tree {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err(error(format!("{what} must be a mapping"))),
    }
}

fn user(mut keys: Map<String, Value>, profiles: &Profiles, others: &Others) -> Result<User> {
    let mut passwords = Vec::new();
    if let Some(value) = keys.remove("password") {
        passwords.push(Password::plain(&text(&value).ok_or_else(|| plain_error("password must be a text"))?));
    }
    if let Some(value) = keys.remove("password_sha256_hex") {
        passwords.push(Password::sha256(&text(&value).unwrap_or_default())?);
    }
    if let Some(value) = keys.remove("password_double_sha1_hex") {
        passwords.push(Password::double_sha1(&text(&value).unwrap_or_default())?);
    }
    if keys.remove("no_password").is_some_and(|v| flag(&v) == Some(true) || v.is_null()) {
        passwords.push(Password::plain(""));
    }
    let mut passwords = passwords.into_iter();
    let password = match (passwords.next(), passwords.next()) {
        (Some(one), None) => one,
        (None, _) => {
            return Err(plain_error("there is no password")
                .hint("password, password_sha256_hex or password_double_sha1_hex; password: '' for none"));
        }
        _ => return Err(plain_error("there is more than one password")),
    };
    let networks = match keys.remove("networks") {
        Some(tree) => networks(tree)?,
        None => Network::all(),
    };
    let profile = keys.remove("profile").map(|v| text(&v).unwrap_or_default());
    let mut settings = match profile.as_deref() {
        None if profiles.contains_key("default") => settings_of("default", profiles, 0)?,
        // A file without profiles may name the two that always exist.
        None => Settings::default(),
        Some("default") if !profiles.contains_key("default") => Settings::default(),
        Some("readonly") if !profiles.contains_key("readonly") => {
            let mut settings = Settings::default();
            settings.set("readonly", "1")?;
            settings
        }
        Some(name) => settings_of(name, profiles, 0)?,
    };
    if let Some(value) = keys.remove("readonly") {
        settings.set("readonly", &text(&value).unwrap_or_default())?;
    }
    let access_management = match keys.remove("access_management") {
        Some(value) => flag(&value).ok_or_else(|| plain_error("access_management must be 0 or 1"))?,
        None => false,
    };
    let quota = keys.remove("quota").map(|v| text(&v).unwrap_or_default());
    if let Some(name) = quota.as_ref().filter(|q| !others.quotas.contains_key(*q)) {
        return Err(plain_error(format!("quota '{name}' does not exist")));
    }
    if let Some(key) = keys.keys().next() {
        return Err(plain_error(format!("key '{key}' is unknown")).hint(
            "password, password_sha256_hex, password_double_sha1_hex, networks, profile, readonly, access_management",
        ));
    }
    let profile = profile.or_else(|| profiles.contains_key("default").then(|| "default".to_string()));
    Ok(User { password, networks, settings: Arc::new(settings), profile, quota, access_management })
}

/// An error that gets its context from the caller.
fn plain_error(message: impl Into<String>) -> Error {
    Error::new(Code::CONFIG_ERROR, message.into())
}

/// `ip: x`, `ip: [x, y]`, `[ip: x, ip: y]`, `[x, y]` or `x`. An empty list lets nobody in.
fn networks(tree: Value) -> Result<Vec<Network>> {
    match tree {
        Value::String(text) => Ok(vec![Network::parse(&text)?]),
        Value::Array(list) => Ok(list.into_iter().map(networks).collect::<Result<Vec<_>>>()?.concat()),
        Value::Object(map) => {
            let mut out = Vec::new();
            for (key, value) in map {
                match key.as_str() {
                    "ip" => out.append(&mut networks(value)?),
                    "host" | "host_regexp" => {
                        return Err(Error::not_implemented(format!("networks by {key}")).hint("ip"));
                    }
                    _ => return Err(plain_error(format!("networks: key '{key}' is unknown")).hint("ip")),
                }
            }
            Ok(out)
        }
        _ => Err(plain_error("networks must be addresses").hint("networks: [127.0.0.1, 10.0.0.0/8]")),
    }
}

/// The settings of a profile, with those that it builds on.
fn settings_of(name: &str, profiles: &Profiles, depth: usize) -> Result<Settings> {
    let Some(keys) = profiles.get(name) else {
        return Err(error(format!("profile '{name}' does not exist")));
    };
    if depth > PROFILE_DEPTH_MAX {
        return Err(error(format!("profile '{name}' builds on itself")));
    }
    let mut settings = Settings::default();
    if let Some(base) = keys.get("profile") {
        settings = settings_of(&text(base).unwrap_or_default(), profiles, depth + 1)?;
    }
    for (key, value) in keys.iter().filter(|(k, _)| *k != "profile") {
        let value =
            text(value).ok_or_else(|| error(format!("profile '{name}': setting {key} must be a number or a text")))?;
        settings.set(key, &value).map_err(|e| e.context(format!("users_config: profile '{name}'")))?;
    }
    Ok(settings)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null => Some(String::new()),
        _ => None,
    }
}

fn flag(value: &Value) -> Option<bool> {
    match text(value)?.as_str() {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

/// `interval: {duration: 3600, queries: 0, …}`, or a list of them; 0 and an absent key set no limit.
fn intervals(name: &str, tree: Value) -> Result<Vec<Interval>> {
    let what = format!("quota '{name}'");
    let mut keys = object(tree, &what)?;
    let listed = match keys.remove("interval") {
        Some(Value::Array(list)) => list,
        Some(tree) => vec![tree],
        None => Vec::new(),
    };
    if let Some(key) = keys.keys().next() {
        return Err(error(format!("{what}: key '{key}' is unknown")).hint("interval"));
    }
    listed.into_iter().map(|tree| interval(&what, tree)).collect()
}

fn interval(what: &str, tree: Value) -> Result<Interval> {
    let mut keys = object(tree, what)?;
    let number = |key: &str, value: &Value| {
        let number = text(value).and_then(|t| t.parse::<f64>().ok()).filter(|n| n.is_finite() && *n >= 0.0);
        number.ok_or_else(|| error(format!("{what}: {key} must be a number")))
    };
    let seconds = keys.remove("duration").map_or(Ok(3_600.0), |v| number("duration", &v))?.max(1.0) as u64;
    let randomized = keys.remove("randomize").is_some_and(|v| flag(&v) == Some(true));
    let mut max = BTreeMap::new();
    for (key, value) in &keys {
        let resource = Resource::named(key).ok_or_else(|| error(format!("{what}: key '{key}' is unknown")))?;
        let most = number(key, value)?;
        if most > 0.0 {
            max.insert(resource, most);
        }
    }
    Ok(Interval { seconds, randomized, max })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn a_file_in_the_usual_shape() {
        let users = parse(
            "
profiles:
  default:
    max_threads: 3
  readonly:
    profile: default
    readonly: 1
users:
  default:
    password: ''
    networks:
      ip: ['::1', 127.0.0.1]
    profile: default
    quota: default
  reader:
    password_sha256_hex: 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b
    networks:
      - ip: '::1'
      - ip: 10.0.0.0/8
    profile: readonly
    readonly: 2
  mysql:
    password_double_sha1_hex: 14e65567abdb5135d0cfd9a70b3032c179a49ee7
    access_management: 1
  number:
    password: 1234
quotas:
  default:
    interval:
      duration: 3600
      queries: 0
",
        )
        .unwrap();
        assert!(users.check("default", "", HERE).is_ok());
        assert_eq!(users.check("default", "", AWAY).unwrap_err().code, Code::IP_ADDRESS_NOT_ALLOWED);
        let reader = users.check("reader", "secret", AWAY).unwrap();
        assert_eq!((reader.settings.uint("readonly"), reader.settings.uint("max_threads")), (2, 3));
        assert!(users.check("mysql", "secret", AWAY).unwrap().access_management);
        assert!(users.check("number", "1234", AWAY).is_ok());
        assert!(users.check("mysql", "", AWAY).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |yaml: &str, expected: &str| {
            let e = parse(yaml).unwrap_err();
            assert!(e.to_string().contains(expected), "{yaml}: {e}");
        };
        wrong("users: {a: {}}", "user 'a': there is no password");
        wrong("users: {a: {password: x, no_password: 1}}", "user 'a': there is more than one password");
        wrong("users: {a: {password: x, pasword: y}}", "user 'a': key 'pasword' is unknown");
        wrong("users: {a: {password: x, networks: {host: h}}}", "networks by host is not implemented");
        wrong("users: {a: {password: x, networks: 10.0.0.0/40}}", "'10.0.0.0/40' is no address");
        wrong("users: {a: {password: x, profile: p}}", "profile 'p' does not exist");
        wrong("users: {a: {password_sha256_hex: ab}}", "64 hexadecimal digits");
        wrong("users: {}\nprofiles: {p: {max_treads: 1}}", "max_treads");
        wrong("users: {}\nprofiles: {p: {profile: q}, q: {profile: p}}", "builds on itself");
        wrong("profiles: {}", "no section 'users'");
        wrong("users: {}\nroles: {}", "key 'roles' is unknown");
        wrong("users: {}\nquotas: {q: {interval: {duration: 1, querys: 7}}}", "key 'querys' is unknown");
        wrong("users: {}\nquotas: {q: {interval: {queries: many}}}", "queries must be a number");
        wrong("users: {a: {password: x, quota: q}}", "quota 'q' does not exist");
        wrong("users: [1", "not YAML");
    }
}
