//! UUIDs and addresses to text and back.

use std::net::{Ipv4Addr, Ipv6Addr};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `8-4-4-4-12` lower-case hex digits.
pub fn write_uuid(bytes: &[u8], out: &mut Vec<u8>) {
    for (i, b) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&[HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
    }
}

/// 36 characters with hyphens or 32 hex digits; the value and bytes read.
pub fn parse_uuid(text: &[u8]) -> Option<([u8; 16], usize)> {
    let hyphens = text.get(8) == Some(&b'-');
    let mut out = [0; 16];
    let mut at = 0;
    for (i, slot) in out.iter_mut().enumerate() {
        if hyphens && matches!(i, 4 | 6 | 8 | 10) {
            if text.get(at) != Some(&b'-') {
                return None;
            }
            at += 1;
        }
        let digit = |b: Option<&u8>| b.and_then(|b| (*b as char).to_digit(16));
        *slot = (digit(text.get(at))? << 4 | digit(text.get(at + 1))?) as u8;
        at += 2;
    }
    Some((out, at))
}

/// Appends `a.b.c.d`.
pub fn write_ipv4(address: u32, out: &mut Vec<u8>) {
    for (i, b) in address.to_be_bytes().iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(itoa::Buffer::new().format(*b).as_bytes());
    }
}

/// Appends the shortest form: the longest run of zero groups as `::`, an IPv4 address at the end in dots.
pub fn write_ipv6(bytes: &[u8], out: &mut Vec<u8>) {
    let mut groups = [0u16; 8];
    for (group, pair) in groups.iter_mut().zip(bytes.chunks_exact(2)) {
        *group = u16::from_be_bytes([pair[0], pair[1]]);
    }
    let (mut start, mut length) = (0, 0);
    let mut at = 0;
    while at < 8 {
        let run = groups[at..].iter().take_while(|g| **g == 0).count();
        if run > length {
            (start, length) = (at, run);
        }
        at += run.max(1);
    }
    let embeds_ipv4 = start == 0 && (length == 6 || (length == 5 && groups[5] == 0xffff));
    let mut i = 0;
    while i < 8 {
        if length > 1 && i == start {
            out.extend_from_slice(b"::");
            i += length;
            continue;
        }
        if i > 0 && !(length > 1 && i == start + length) {
            out.push(b':');
        }
        if i == 6 && embeds_ipv4 {
            return write_ipv4(u32::from(groups[6]) << 16 | u32::from(groups[7]), out);
        }
        out.extend_from_slice(format!("{:x}", groups[i]).as_bytes());
        i += 1;
    }
}

/// A whole text as an IPv4 address.
pub fn parse_ipv4(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse::<Ipv4Addr>().ok().map(u32::from)
}

/// A whole text as an IPv6 address; an IPv4 address becomes `::ffff:a.b.c.d`.
pub fn parse_ipv6(text: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(text).ok()?;
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Some(address.octets()),
        Err(_) => text.parse::<Ipv4Addr>().ok().map(|a| a.to_ipv6_mapped().octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("::", "::"),
            ("::1", "::1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
            ("1.2.3.4", "::ffff:1.2.3.4"),
            ("1:0:0:0:0:0:0:0", "1::"),
            ("2a02:aa08:e000:3100::2", "2a02:aa08:e000:3100::2"),
        ] {
            let mut out = Vec::new();
            write_ipv6(&parse_ipv6(text.as_bytes()).unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        assert_eq!(parse_ipv4(b"256.1.1.1"), None);
        assert_eq!(parse_ipv6(b"test"), None);
        let mut out = Vec::new();
        write_uuid(&parse_uuid(b"61F0C404-5CB3-11E7-907B-A6006AD3DBA0").unwrap().0, &mut out);
        assert_eq!(out, b"61f0c404-5cb3-11e7-907b-a6006ad3dba0");
        assert_eq!(parse_uuid(b"61f0"), None);
    }
}
