//! Where a user may come from: addresses, names, patterns of names.
//!
//! In: HOST clauses, and an address with the names that it was found to have. Out: whether it may come in. Promise: nothing
//! is looked up here; a name that nobody has looked up matches nothing.

use crate::network::Network;
use hydron_base::{Code, Error, Result};
use regex::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Longer patterns are refused: each is matched at a login.
const PATTERN_BYTES_MAX: usize = 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    pub any: bool,
    pub local: bool,
    pub networks: BTreeSet<Network>,
    pub names: BTreeSet<String>,
    pub regexps: BTreeSet<String>,
    pub likes: BTreeSet<String>,
}

impl Hosts {
    pub fn any() -> Hosts {
        Hosts { any: true, ..Hosts::default() }
    }

    pub fn of(networks: &[Network]) -> Hosts {
        let everywhere = Network::all();
        if networks.iter().any(|n| everywhere.contains(n)) {
            return Hosts::any();
        }
        Hosts { networks: networks.iter().copied().collect(), ..Hosts::default() }
    }

    /// `HOST IP '…'`; loopback addresses are LOCAL. Errors: BAD_ARGUMENTS.
    pub fn add_ip(&mut self, text: &str) -> Result<()> {
        let network = Network::parse(text).map_err(|e| Error::bad_arguments(e.message))?;
        match network.is_single() && network.is_loopback() {
            true => self.local = true,
            false if Network::all().contains(&network) => self.any = true,
            false => drop(self.networks.insert(network)),
        }
        Ok(())
    }

    /// `HOST NAME '…'`; localhost is LOCAL.
    pub fn add_name(&mut self, name: &str) {
        match name.eq_ignore_ascii_case("localhost") {
            true => self.local = true,
            false => drop(self.names.insert(name.to_ascii_lowercase())),
        }
    }

    /// `HOST REGEXP '…'`. Errors: BAD_ARGUMENTS.
    pub fn add_regexp(&mut self, pattern: &str) -> Result<()> {
        regexp(pattern)?;
        self.regexps.insert(pattern.to_owned());
        Ok(())
    }

    /// `HOST LIKE '…'`. Errors: BAD_ARGUMENTS.
    pub fn add_like(&mut self, pattern: &str) -> Result<()> {
        regexp(&regexp_of_like(pattern))?;
        match pattern {
            "%" => self.any = true,
            "localhost" | "127.0.0.1" | "::1" => self.local = true,
            _ => drop(self.likes.insert(pattern.to_owned())),
        }
        Ok(())
    }

    pub fn add(&mut self, other: &Hosts) {
        self.any |= other.any;
        self.local |= other.local;
        self.networks.extend(&other.networks);
        self.names.extend(other.names.iter().cloned());
        self.regexps.extend(other.regexps.iter().cloned());
        self.likes.extend(other.likes.iter().cloned());
    }

    pub fn remove(&mut self, other: &Hosts) {
        self.any &= !other.any;
        self.local &= !other.local;
        self.networks.retain(|n| !other.networks.contains(n));
        self.names.retain(|n| !other.names.contains(n));
        self.regexps.retain(|n| !other.regexps.contains(n));
        self.likes.retain(|n| !other.likes.contains(n));
    }

    /// Whether names of the address matter, so that they must be looked up.
    pub fn needs_names(&self, from: IpAddr) -> bool {
        let asks_names = !self.names.is_empty() || !self.regexps.is_empty() || !self.likes.is_empty();
        asks_names && !self.permits(from, &[])
    }

    /// `names`: what a lookup of the address has given, confirmed by a lookup back.
    pub fn permits(&self, from: IpAddr, names: &[String]) -> bool {
        let from = from.to_canonical();
        if self.any || (self.local && from.is_loopback()) || self.networks.iter().any(|n| n.contains(from)) {
            return true;
        }
        let address = from.to_string();
        let likes = self.likes.iter().map(|l| regexp_of_like(l));
        let mut patterns = self.regexps.iter().cloned().chain(likes).filter_map(|p| regexp(&p).ok());
        names.iter().any(|n| self.names.contains(&n.to_ascii_lowercase()))
            || patterns.any(|p| p.is_match(&address) || names.iter().any(|n| p.is_match(n)))
    }
}

fn regexp(pattern: &str) -> Result<Regex> {
    if pattern.len() > PATTERN_BYTES_MAX {
        let message = format!("a pattern of hosts has {} bytes, the limit is {PATTERN_BYTES_MAX}", pattern.len());
        return Err(Error::new(Code::BAD_ARGUMENTS, message));
    }
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|_| Error::bad_arguments(format!("'{pattern}' is no regular expression for hosts")))
}

fn regexp_of_like(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '\\' => out.push_str(&regex::escape(&chars.next().unwrap_or('\\').to_string())),
            c => out.push_str(&regex::escape(&c.to_string())),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_lets_in_what_it_says() {
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        let away: IpAddr = "10.1.2.3".parse().unwrap();
        let mut hosts = Hosts::default();
        assert!(!hosts.permits(here, &[]));
        hosts.add_name("localhost");
        assert!(hosts.permits(here, &[]) && !hosts.permits(away, &[]) && !hosts.needs_names(away));
        hosts.add_name("Office.example");
        assert!(hosts.needs_names(away) && hosts.permits(away, &["office.EXAMPLE".to_owned()]));
        let mut hosts = Hosts::default();
        hosts.add_ip("10.0.0.0/8").unwrap();
        assert!(hosts.permits(away, &[]) && !hosts.permits(here, &[]));
        hosts.remove(&hosts.clone());
        hosts.add_like("10.1.%").unwrap();
        assert!(hosts.permits(away, &[]) && !hosts.permits("10.2.0.1".parse().unwrap(), &[]));
        let mut hosts = Hosts::default();
        hosts.add_regexp(r".*\.a\.org").unwrap();
        assert!(hosts.permits(away, &["x.a.org".to_owned()]) && !hosts.permits(away, &["x.a.org.evil".to_owned()]));
        assert_eq!(hosts.add_regexp("(").unwrap_err().code, Code::BAD_ARGUMENTS);
        assert_eq!(hosts.add_ip("x").unwrap_err().code, Code::BAD_ARGUMENTS);
    }
}
