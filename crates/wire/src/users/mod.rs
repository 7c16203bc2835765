//! Who may come in: names, passwords, and from where.
//!
//! In: a name, a password, an address. Out: a user with the settings of its profile, or an error that does not say
//! whether the name or the password was wrong. Promise: both cost the same time; an address that fails often waits,
//! whatever it sends next.
//!
//! Users stand in a file and, made by SQL, in the catalog; [`Users::attach`] makes these known to each other.
//!
//! In reading order: [`throttle`] (the delay after failures, pure), [`file`] (users in YAML, in Proton's shape),
//! [`entities`] (the file's users as access control sees them). Reference: docs/reference/users.md.

mod entities;
mod file;
mod lookup;
mod throttle;

use self::throttle::{Admission, Throttle};
use hydron_access::entity::What;
use hydron_access::network::Network;
use hydron_access::password::{Password, Proof};
use hydron_access::{Access, Kind};
use hydron_base::{Code, Error, Result, Settings};
use hydron_engine::{Engine, Session};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Users of a fresh server: those that Proton's clients and tools expect. Their passwords are known to everyone.
const SHIPPED: &[(&str, &str)] = &[
    ("default", ""),
    ("system", "sys@t+"),
    ("pgadmin", "pgadmin"),
    ("neutron", "neutron@t+"),
    ("proton", "proton@t+"),
];

#[derive(Clone, Debug)]
struct User {
    password: Password,
    /// Where it may come from.
    networks: Vec<Network>,
    /// Settings of its profile, and its own.
    settings: Arc<Settings>,
    /// The profile of the file that they are from.
    profile: Option<String>,
    quota: Option<String>,
    access_management: bool,
}

impl User {
    fn admitted(&self, name: &str) -> Admitted {
        Admitted {
            name: name.to_string(),
            settings: Arc::clone(&self.settings),
            access_management: self.access_management,
            default_database: String::new(),
        }
    }
}

/// What a file says beside its users.
#[derive(Clone, Debug, Default)]
struct Others {
    profiles: BTreeMap<String, Settings>,
    quotas: BTreeMap<String, Vec<hydron_access::entity::Interval>>,
}

/// Users by name. One value serves all ports: failures are counted over all of them, and a change holds for all.
pub struct Users {
    by_name: RwLock<Arc<BTreeMap<String, User>>>,
    others: RwLock<Arc<Others>>,
    throttle: Arc<Throttle>,
    /// Where the users of SQL are, once an engine is open.
    access: RwLock<Option<Arc<Access>>>,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.listed().keys()).finish()
    }
}

impl Clone for Users {
    fn clone(&self) -> Users {
        Users {
            by_name: RwLock::new(self.listed()),
            others: RwLock::new(Arc::clone(&self.others.read())),
            throttle: Arc::clone(&self.throttle),
            access: RwLock::default(),
        }
    }
}

/// A user who has come in.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub name: String,
    /// Settings that hold for all its sessions; a `readonly` among them cannot be lifted.
    pub settings: Arc<Settings>,
    /// May manage other users by SQL.
    pub access_management: bool,
    /// Where it is when it names no database; empty: where everyone is.
    pub default_database: String,
}

impl Admitted {
    /// A session of this user.
    pub fn session(&self, engine: &Engine, database: &str) -> Session {
        let database = if database.is_empty() { &self.default_database } else { database };
        Session { profile: Arc::clone(&self.settings), ..engine.session(&self.name, database) }
    }
}

impl Default for Users {
    fn default() -> Users {
        let mut users = Users::none();
        for (name, password) in SHIPPED {
            users.set(name, password, *name == "proton");
        }
        // Whoever has just installed a server manages it as the default user, from this machine alone unless told otherwise.
        for name in ["default", "proton"] {
            if let Some(user) = users.list().get_mut(name) {
                user.access_management = true;
                user.quota = (name == "default").then(|| "default".to_string());
            }
        }
        users.others = RwLock::new(Arc::new(Others::shipped()));
        users
    }
}

impl Users {
    fn none() -> Users {
        Users {
            by_name: RwLock::default(),
            others: RwLock::default(),
            throttle: Arc::default(),
            access: RwLock::default(),
        }
    }

    fn listed(&self) -> Arc<BTreeMap<String, User>> {
        Arc::clone(&self.by_name.read())
    }

    fn list(&mut self) -> &mut BTreeMap<String, User> {
        Arc::make_mut(self.by_name.get_mut())
    }

    /// From now on these come in, with these settings; whose user is not among them any more has to go. Failures so far still count.
    pub fn replace(&self, others: Users) {
        *self.others.write() = others.others.into_inner();
        *self.by_name.write() = others.by_name.into_inner();
        if let Some(access) = &*self.access.read() {
            access.govern(self.entities());
        }
    }

    /// From now on the users of SQL come in too, and access control knows the users of the file.
    pub fn attach(&self, access: &Arc<Access>) {
        let mut attached = self.access.write();
        if !attached.as_ref().is_some_and(|a| Arc::ptr_eq(a, access)) {
            access.govern(self.entities());
            *attached = Some(Arc::clone(access));
        }
    }

    /// A user of SQL.
    fn of_sql(&self, name: &str) -> Option<Arc<hydron_access::Entity>> {
        let access = self.access.read();
        let directory = access.as_ref()?.directory();
        directory.find(Kind::User, name).filter(|e| !e.from_file).cloned()
    }

    /// The users of a file in Proton's shape. Errors: CONFIG_ERROR and those of settings, with the user or profile.
    pub fn parse(yaml: &str) -> Result<Users> {
        file::parse(yaml)
    }

    /// Adds a user or changes its password.
    pub fn set(&mut self, name: &str, password: &str, loopback_only: bool) {
        let networks = if loopback_only { Network::loopback() } else { Network::all() };
        let password = Password::plain(password);
        let user =
            User { password, networks, settings: Arc::default(), profile: None, quota: None, access_management: false };
        self.list().insert(name.to_string(), user);
    }

    pub fn remove(&mut self, name: &str) {
        self.list().remove(name);
    }

    /// Lets a user in, after a delay when its address has failed often.
    ///
    /// Errors: as [`Users::check`]; AUTHENTICATION_FAILED too, unchecked, when the delay would be long.
    pub async fn admit(&self, name: &str, password: &str, from: IpAddr) -> Result<Admitted> {
        let charged = match self.throttle.ask(from, Instant::now()) {
            Admission::Now => false,
            Admission::After(delay) => {
                tokio::time::sleep(delay).await;
                true
            }
            Admission::Refused(delay) => return Err(too_many_failures(from, delay)),
        };
        let names = match self.of_sql(name).as_ref().and_then(|e| e.as_user()) {
            Some(user) if user.hosts.needs_names(from) => lookup::names_of(from, &user.hosts.names).await,
            _ => Vec::new(),
        };
        let checked = self.check_named(name, password, from, &names);
        let failed = checked.as_ref().is_err_and(|e| e.code == Code::AUTHENTICATION_FAILED);
        match (failed, charged) {
            (true, false) => self.throttle.charge(from, Instant::now()),
            (false, true) => self.throttle.refund(from),
            _ => {}
        }
        if failed {
            tracing::info!("a login from {from} failed");
        }
        checked
    }

    /// Checks at once, without a delay: for callers that do not wait, and for tests.
    ///
    /// Errors: AUTHENTICATION_FAILED (516), which does not say whether the name or the password is wrong;
    /// IP_ADDRESS_NOT_ALLOWED (195) for a known user from a place that is not permitted.
    pub fn check(&self, name: &str, password: &str, from: IpAddr) -> Result<Admitted> {
        self.check_named(name, password, from, &[])
    }

    /// As [`Users::check`]; `names` are those that the address was found to have.
    fn check_named(&self, name: &str, password: &str, from: IpAddr, names: &[String]) -> Result<Admitted> {
        let proof = Proof::of(password);
        // A user that does not exist has a password that nobody knows: the work is the same.
        let nobody = Password::unknown();
        let users = self.listed();
        let of_sql = self.of_sql(name);
        let (listed, made) = (users.get(name), of_sql.as_ref().and_then(|e| e.as_user()));
        let kept = listed.map(|u| &u.password).or(made.map(|u| &u.password));
        let fits = kept.unwrap_or(&nobody).accepts(&proof);
        let (admitted, may_come) = match (listed, made) {
            (Some(user), _) if fits => (user.admitted(name), user.networks.iter().any(|n| n.contains(from))),
            (None, Some(user)) if fits => (of_user(name, user), user.hosts.permits(from, names)),
            _ => {
                let text = format!("{name}: password is incorrect or there is no user with such name");
                return Err(Error::new(Code::AUTHENTICATION_FAILED, text));
            }
        };
        if !may_come {
            let text = format!("user '{name}' may not connect from {from}");
            return Err(Error::new(Code::IP_ADDRESS_NOT_ALLOWED, text));
        }
        Ok(admitted)
    }

    /// A user who has come in before, on a connection that outlived its process. `None`: there is no such user any more.
    pub fn again(&self, name: &str) -> Option<Admitted> {
        let listed = self.listed().get(name).map(|user| user.admitted(name));
        listed.or_else(|| match &self.of_sql(name)?.what {
            What::User(user) => Some(of_user(name, user)),
            _ => None,
        })
    }

    /// Whether a server may listen on `host` with these users: on loopback always, elsewhere only if everyone who may
    /// come from elsewhere has a password of their own, or `allowed` says that it shall be so.
    ///
    /// Errors: CONFIG_ERROR with the users in question and what to do.
    pub fn check_bind(&self, host: &str, allowed: bool) -> Result<()> {
        if allowed || is_loopback(host) {
            return Ok(());
        }
        let is_open = |u: &&User| u.networks.iter().any(|n| !n.is_loopback());
        let weak: Vec<String> = self
            .listed()
            .iter()
            .filter(|(_, user)| is_open(user))
            .filter_map(|(name, user)| Some((name, weakness(&user.password)?)))
            .map(|(name, what)| format!("'{name}' ({what})"))
            .collect();
        if weak.is_empty() {
            return Ok(());
        }
        let message = format!(
            "listen_host {host} lets other machines in, and these users have no password of their own: {}",
            weak.join(", ")
        );
        Err(Error::new(Code::CONFIG_ERROR, message).hint(
            "users_config with a file of users that have passwords (docs/reference/users.md), listen_host 127.0.0.1, \
             or allow_insecure_remote: 1 to listen all the same",
        ))
    }
}

/// A user of SQL: its settings are those that it has when it asks.
fn of_user(name: &str, user: &hydron_access::entity::User) -> Admitted {
    Admitted {
        name: name.to_string(),
        settings: Arc::default(),
        access_management: false,
        default_database: user.default_database.clone(),
    }
}

/// Why a password protects nothing.
fn weakness(password: &Password) -> Option<&'static str> {
    if password.accepts(&Proof::of("")) {
        return Some("empty password");
    }
    SHIPPED
        .iter()
        .any(|(_, shipped)| password.accepts(&Proof::of(shipped)))
        .then_some("password shipped with the server")
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn too_many_failures(from: IpAddr, delay: Duration) -> Error {
    let seconds = delay.as_secs() + 1;
    let text = format!("too many failed logins from {from}: nothing is checked for the next {seconds} s");
    Error::new(Code::AUTHENTICATION_FAILED, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn code(result: Result<Admitted>) -> Option<Code> {
        result.err().map(|e| e.code)
    }

    #[test]
    fn wrong_name_and_wrong_password_look_the_same() {
        let users = Users::default();
        assert!(users.check("default", "", AWAY).is_ok());
        let wrong = users.check("default", "x", HERE).unwrap_err();
        let nobody = users.check("defaulu", "x", HERE).unwrap_err();
        assert_eq!(wrong.code, Code::AUTHENTICATION_FAILED);
        assert_eq!(wrong.to_string().replace("default:", "_:"), nobody.to_string().replace("defaulu:", "_:"));
        assert_eq!(code(users.check("nobody", "", HERE)), Some(Code::AUTHENTICATION_FAILED));
        assert_eq!(code(users.check("proton", "proton@t+", AWAY)), Some(Code::IP_ADDRESS_NOT_ALLOWED));
        assert_eq!(
            code(users.check("proton", "x", AWAY)),
            Some(Code::AUTHENTICATION_FAILED),
            "the password comes first"
        );
        assert!(users.check("proton", "proton@t+", HERE).unwrap().access_management);
    }

    #[test]
    fn users_that_are_replaced_hold_for_everyone_who_shares_them() {
        let users = Arc::new(Users::default());
        let (copy, shared) = (users.as_ref().clone(), Arc::clone(&users));
        let mut others = Users::none();
        others.set("me", "hunter2!", false);
        users.replace(others);
        assert!(shared.check("me", "hunter2!", HERE).is_ok());
        assert_eq!(code(shared.check("default", "", HERE)), Some(Code::AUTHENTICATION_FAILED));
        assert!(shared.again("default").is_none());
        assert!(copy.check("default", "", HERE).is_ok(), "a copy is its own");
    }

    #[test]
    fn users_of_sql_stand_beside_those_of_the_file() {
        let access = Arc::new(Access::default());
        let users = Users::default();
        users.attach(&access);
        let mut directory = (*access.directory()).clone();
        let made = hydron_access::Entity {
            from_file: false,
            id: uuid::Uuid::from_u128(7),
            ..hydron_access::Entity::owner("me")
        };
        directory.put(made).unwrap();
        access.set(directory);
        assert!(users.check("me", "", AWAY).is_ok() && users.again("me").is_some());
        let rights = |name: &str| access.enabled(name, None).rights.clone();
        let management = hydron_access::Privileges::named("ACCESS MANAGEMENT").unwrap();
        assert!(rights("proton").has(management, &hydron_access::Object::ANY));
        assert!(!rights("system").has_any(management, &hydron_access::Object::ANY));
        assert!(rights("system").has(hydron_access::Privilege::SELECT.into(), &hydron_access::Object::ANY));
        let mut others = Users::none();
        others.set("me", "hunter2!", false);
        others.set("you", "hunter2!", false);
        users.replace(others);
        assert!(users.check("me", "", AWAY).is_err(), "the file's user stands before that of SQL");
        assert!(users.check("you", "hunter2!", AWAY).is_ok());
        assert!(rights("default").is_empty(), "a user that is gone may do nothing");
    }

    #[test]
    fn a_remote_bind_needs_passwords() {
        let shipped = Users::default();
        for host in ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"] {
            assert!(shipped.check_bind(host, false).is_ok(), "{host}");
        }
        for host in ["0.0.0.0", "::", "10.0.0.1", "example.org", ""] {
            assert!(shipped.check_bind(host, true).is_ok(), "{host}");
            let e = shipped.check_bind(host, false).unwrap_err();
            assert_eq!(e.code, Code::CONFIG_ERROR);
            assert!(e.message.contains("'default' (empty password), 'neutron' (password shipped"), "{e}");
            assert!(!e.message.contains("'proton'"), "loopback only: {e}");
            assert!(e.to_string().contains("allow_insecure_remote: 1"), "{e}");
        }
        let mut own = Users::none();
        own.set("default", "", true);
        own.set("me", "hunter2!", false);
        assert!(own.check_bind("0.0.0.0", false).is_ok());
        own.set("me", "pgadmin", false);
        assert!(own.check_bind("0.0.0.0", false).is_err());
    }

    #[test]
    fn failures_of_an_address_are_delayed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let users = Users::default();
            let clock = Instant::now();
            for _ in 0..=throttle::FAILURES_AT_ONCE {
                assert!(users.admit("default", "wrong", AWAY).await.is_err());
            }
            assert!(users.admit("default", "", AWAY).await.is_ok(), "the right password waits too, and comes in");
            // Six failures and a success: the sixth failure waited, and the success after it.
            assert!(clock.elapsed() >= throttle::PAUSE, "{:?}", clock.elapsed());
            assert_eq!(users.throttle.ask(HERE, Instant::now()), Admission::Now, "another address does not wait");
        });
    }
}
