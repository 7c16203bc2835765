//! Addresses that a user may come from: single ones and prefixes.

use hydron_base::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All addresses that share the first `bits` bits of `base`. IPv4 stands in IPv6 as `::ffff:a.b.c.d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Network {
    base: u128,
    bits: u32,
}

// Bits of an IPv6 address before an IPv4 address in it.
const MAPPED_BITS: u32 = 96;

impl Network {
    /// `::/0`
    pub fn all() -> Vec<Network> {
        vec![Network { base: 0, bits: 0 }]
    }

    pub fn loopback() -> Vec<Network> {
        vec![Network::of(IpAddr::V6(Ipv6Addr::LOCALHOST), 128), Network::of(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8)]
    }

    /// Reads `10.0.0.1`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `::1`, `fe80::/10`, `::/0`.
    ///
    /// Errors: CONFIG_ERROR with the text.
    pub fn parse(text: &str) -> Result<Network> {
        let wrong = || {
            Error::new(Code::CONFIG_ERROR, format!("'{text}' is no address or network"))
                .hint("an address such as 10.0.0.1, or a network such as 10.0.0.0/8")
        };
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match prefix {
            None => width,
            Some(prefix) => match prefix.parse::<u32>() {
                Ok(bits) if bits <= width => bits,
                Ok(_) => return Err(wrong()),
                Err(_) => mask_bits(prefix).filter(|_| address.is_ipv4()).ok_or_else(wrong)?,
            },
        };
        Ok(Network::of(address, bits))
    }

    fn of(address: IpAddr, bits: u32) -> Network {
        let bits = if address.is_ipv4() { MAPPED_BITS + bits } else { bits };
        Network { base: number(address) & mask(bits), bits }
    }

    pub fn contains(self, address: IpAddr) -> bool {
        number(address) & mask(self.bits) == self.base
    }

    pub fn is_single(self) -> bool {
        self.bits == 128
    }

    /// Whether no other machine is in it.
    pub fn is_loopback(self) -> bool {
        Network::loopback().iter().any(|l| self.bits >= l.bits && self.base & mask(l.bits) == l.base)
    }
}

/// As HOST IP writes it: an address alone, or with its bits.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.base);
        match address.to_ipv4_mapped().filter(|_| self.bits >= MAPPED_BITS) {
            Some(v4) if self.bits == 128 => write!(f, "{v4}"),
            Some(v4) => write!(f, "{v4}/{}", self.bits - MAPPED_BITS),
            None if self.bits == 128 => write!(f, "{address}"),
            None => write!(f, "{address}/{}", self.bits),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

/// The length of a mask such as `255.255.0.0`.
fn mask_bits(text: &str) -> Option<u32> {
    let bits = text.parse::<Ipv4Addr>().ok()?.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() == 32).then_some(bits.leading_ones())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, address: &str, expected: bool) {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(Network::parse(network).unwrap().contains(address), expected, "{network} and {address}");
    }

    #[test]
    fn prefixes_of_both_families() {
        check("10.0.0.0/8", "10.9.8.7", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("192.168.0.0/255.255.0.0", "192.168.7.7", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("::1", "::1", true);
        check("::1", "127.0.0.1", false);
        check("fe80::/10", "febf::1", true);
        check("fe80::/10", "fec0::1", false);
        check("::/0", "8.8.8.8", true);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "2001::1", false);
    }

    #[test]
    fn loopback_is_known_and_nonsense_refused() {
        for text in ["127.0.0.1", "127.0.0.0/8", "127.9.0.0/16", "::1", "::ffff:127.0.0.1"] {
            assert!(Network::parse(text).unwrap().is_loopback(), "{text}");
        }
        for text in ["::/0", "0.0.0.0/0", "126.0.0.0/7", "10.0.0.1", "::/128"] {
            assert!(!Network::parse(text).unwrap().is_loopback(), "{text}");
        }
        for text in ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/255.0.255.0", "::/255.0.0.0", "10.0.0.0/-1"] {
            assert_eq!(Network::parse(text).unwrap_err().code, Code::CONFIG_ERROR, "{text}");
        }
    }
}
