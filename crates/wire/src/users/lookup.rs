//! Names of an address, for users who may come from a host by its name.
//!
//! Promise: a name counts if it leads to the address; a resolver that does not answer in time has found none.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// How long a login waits for the resolver.
const PATIENCE: Duration = Duration::from_secs(5);

/// Those of `wanted` that lead to the address, and the name that /etc/hosts has for it. The system's resolver is not asked for
/// names of addresses: patterns of names see what an administrator has written, and no one else's zone.
pub(super) async fn names_of(address: IpAddr, wanted: &BTreeSet<String>) -> Vec<String> {
    let address = address.to_canonical();
    let mut names = Vec::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    for name in wanted {
        let found = tokio::time::timeout_at(deadline, tokio::net::lookup_host((name.as_str(), 0))).await;
        if let Ok(Ok(mut found)) = found
            && found.any(|a| a.ip().to_canonical() == address)
        {
            names.push(name.clone());
        }
    }
    if let Ok(hosts) = tokio::fs::read_to_string("/etc/hosts").await {
        names.extend(named_in(&hosts, address));
    }
    names
}

fn named_in(hosts: &str, address: IpAddr) -> Option<String> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let of: IpAddr = words.next()?.parse().ok()?;
        (of.to_canonical() == address).then(|| words.next().map(str::to_string))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_hosts_names_an_address() {
        let hosts = "# 10.0.0.1 no\n127.0.0.1 localhost\n10.0.0.1  a.example b # c\n";
        assert_eq!(named_in(hosts, "10.0.0.1".parse().unwrap()).as_deref(), Some("a.example"));
        assert_eq!(named_in(hosts, "10.0.0.2".parse().unwrap()), None);
    }
}
