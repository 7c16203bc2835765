//! Who may come in: names, passwords, and from where.

use hydron_base::{Code, Error, Result};
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Clone, Debug)]
struct User {
    password: String,
    loopback_only: bool,
}

/// Users by name. A password is compared in a time that does not tell how much of it was right.
#[derive(Clone, Debug)]
pub struct Users {
    by_name: BTreeMap<String, User>,
}

impl Default for Users {
    /// The users that Proton's clients and tools expect.
    fn default() -> Users {
        let mut users = Users { by_name: BTreeMap::new() };
        users.set("default", "", false);
        users.set("system", "sys@t+", false);
        users.set("pgadmin", "pgadmin", false);
        users.set("neutron", "neutron@t+", false);
        users.set("proton", "proton@t+", true);
        users
    }
}

impl Users {
    /// Adds a user or changes its password.
    pub fn set(&mut self, name: &str, password: &str, loopback_only: bool) {
        self.by_name.insert(name.to_string(), User { password: password.to_string(), loopback_only });
    }

    pub fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// Errors: AUTHENTICATION_FAILED (516), which does not say whether the name or the password is wrong;
    /// IP_ADDRESS_NOT_ALLOWED (195) for a known user from a place that is not permitted.
    pub fn check(&self, name: &str, password: &str, from: IpAddr) -> Result<()> {
        let user = self.by_name.get(name);
        let wanted = user.map_or("", |u| u.password.as_str());
        if !same(wanted.as_bytes(), password.as_bytes()) || user.is_none() {
            let text = format!("{name}: password is incorrect or there is no user with such name");
            return Err(Error::new(Code::AUTHENTICATION_FAILED, text));
        }
        if user.is_some_and(|u| u.loopback_only) && !from.to_canonical().is_loopback() {
            let text = format!("user '{name}' may not connect from {from}");
            return Err(Error::new(Code::IP_ADDRESS_NOT_ALLOWED, text));
        }
        Ok(())
    }
}

fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y));
    a.len() == b.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_name_and_wrong_password_look_the_same() {
        let users = Users::default();
        let here = IpAddr::from([127, 0, 0, 1]);
        let away = IpAddr::from([10, 0, 0, 1]);
        assert!(users.check("default", "", away).is_ok());
        assert_eq!(users.check("default", "x", here).unwrap_err().code, Code::AUTHENTICATION_FAILED);
        assert_eq!(users.check("nobody", "", here).unwrap_err().code, Code::AUTHENTICATION_FAILED);
        assert_eq!(users.check("proton", "proton@t+", away).unwrap_err().code, Code::IP_ADDRESS_NOT_ALLOWED);
    }
}
