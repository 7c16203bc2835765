//! Parts of URLs, found by plain scanning: a text that is no URL has empty parts.
//!
//! In reading order: where the host is ([`host`]), the parts of a URL (here), its parameters and the levels of its path
//! ([`parameters`]). The names that end in `_rfc` read the host as RFC 3986 has it; the others give up at the first sign
//! that is no part of a plain host.

mod host;
mod parameters;

use super::column::{Texts, numbers, texts};
use super::define::{Call, define};
use crate::call::BoundCall;
use crate::registry::Registry;
use arrow::datatypes::UInt16Type;
use host::{after_scheme, host, host_rfc, scheme};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;
use memchr::{memchr, memchr2};
use std::ops::Range;

pub fn register(registry: &mut Registry) {
    let parts: [(&str, fn(&[u8]) -> &[u8]); 18] = [
        ("protocol", protocol),
        ("domain", host),
        ("domain_rfc", host_rfc),
        ("domain_without_www", |u| without_www(host(u))),
        ("domain_without_www_rfc", |u| without_www(host_rfc(u))),
        ("top_level_domain", |u| top_level(host(u))),
        ("top_level_domain_rfc", |u| top_level(host_rfc(u))),
        ("first_significant_subdomain", |u| significant(without_www(host(u))).0),
        ("first_significant_subdomain_rfc", |u| significant(without_www(host_rfc(u))).0),
        ("cut_to_first_significant_subdomain", |u| significant(without_www(host(u))).1),
        ("cut_to_first_significant_subdomain_rfc", |u| significant(without_www(host_rfc(u))).1),
        ("cut_to_first_significant_subdomain_with_www", |u| significant(host(u)).1),
        ("cut_to_first_significant_subdomain_with_www_rfc", |u| significant(host_rfc(u)).1),
        ("path", |u| &path_full(u)[..end_of_path(path_full(u))]),
        ("path_full", path_full),
        ("query_string", |u| after_mark(&u[query(u)])),
        ("fragment", |u| after_mark(&u[fragment(u)])),
        ("query_string_and_fragment", |u| after_mark(&u[query_and_fragment(u)])),
    ];
    for (name, part) in parts {
        define(registry, name, move |call| map_url(call, move |url, out| out.extend_from_slice(part(url))));
    }
    let cuts: [(&str, fn(&[u8]) -> Range<usize>); 4] = [
        ("cut_www", www),
        ("cut_query_string", query),
        ("cut_fragment", fragment),
        ("cut_query_string_and_fragment", query_and_fragment),
    ];
    for (name, cut) in cuts {
        define(registry, name, move |call| {
            map_url(call, move |url, out| {
                let range = cut(url);
                out.extend_from_slice(&url[..range.start]);
                out.extend_from_slice(&url[range.end..]);
            })
        });
    }
    define(registry, "netloc", |call| map_url(call, |url, out| out.extend_from_slice(location(url))));
    for (name, host) in [("port", host as fn(&[u8]) -> &[u8]), ("port_rfc", host_rfc)] {
        define(registry, name, move |call| {
            call.arity(1..=2)?;
            need_url(call)?;
            let default = if call.args.len() == 2 { call.constant_int(1)? as u16 } else { 0 };
            call.returns(LogicalType::UInt16, move |args, rows| {
                let text = Texts::of(&args[0])?;
                Ok(numbers::<UInt16Type>(rows, |row| port(text.at(row), host).unwrap_or(default)))
            })
        });
    }
    parameters::register(registry);
}

/// Errors: ILLEGAL_COLUMN (44) for a fixed string, whose zeros would be taken for a part of the URL.
fn need_url(call: &Call<'_>) -> Result<()> {
    call.need_string(0)?;
    if matches!(call.ty(0), LogicalType::FixedString(_)) {
        let text = format!("function \"{}\" takes a string, not a fixed string", call.name);
        return Err(Error::new(Code::ILLEGAL_COLUMN, text));
    }
    Ok(())
}

fn map_url<F>(call: &Call<'_>, part: F) -> Result<BoundCall>
where
    F: Fn(&[u8], &mut Vec<u8>) + Send + Sync + 'static,
{
    call.arity(1..=1)?;
    need_url(call)?;
    call.returns(LogicalType::String, move |args, rows| {
        let text = Texts::of(&args[0])?;
        texts(rows, |row, out| part(text.at(row), out))
    })
}

/// The scheme, when a colon and at least three bytes more follow it.
fn protocol(url: &[u8]) -> &[u8] {
    let scheme = scheme(url);
    let rest = &url[scheme.len()..];
    if !scheme.is_empty() && rest.len() >= 4 && rest[0] == b':' { scheme } else { &[] }
}

fn without_www(domain: &[u8]) -> &[u8] {
    if domain.len() > 4 { domain.strip_prefix(b"www.").unwrap_or(domain) } else { domain }
}

fn top_level(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b'.', host) {
        // A number at the end is an address, not a name.
        Some(at) if host[0] != b'.' && host.get(at + 1).is_some_and(|b| *b > b'9') => &host[at + 1..],
        _ => &[],
    }
}

/// Labels under which the registries of countries give out names.
const REGISTRIES: [&[u8]; 22] = [
    b"ac", b"biz", b"co", b"com", b"edu", b"gen", b"go", b"gob", b"gov", b"info", b"ltd", b"mil", b"ne", b"net",
    b"nom", b"or", b"org", b"plc", b"sch", b"web", b"msk", b"spb",
];

/// The label that tells a site apart, and the domain from it on. Second-level registries such as `co.uk` are skipped.
fn significant(domain: &[u8]) -> (&[u8], &[u8]) {
    let whole = domain;
    let domain = domain.strip_suffix(b".").unwrap_or(domain);
    let dots: Vec<usize> = memchr::memchr_iter(b'.', domain).collect();
    let start_of = |n: usize| if n < dots.len() { dots[dots.len() - 1 - n] + 1 } else { 0 };
    let label = |n: usize| &domain[start_of(n)..if n == 0 { domain.len() } else { dots[dots.len() - n] }];
    if dots.is_empty() {
        return (domain, whole);
    }
    let below_country = label(0).len() == 2 && REGISTRIES.contains(&label(1));
    let registry = dots.len() > 1 && (below_country || matches!(label(1), b"com" | b"net" | b"org" | b"co" | b"biz"));
    let n = if registry { 2 } else { 1 };
    (label(n), &whole[start_of(n)..])
}

/// From the first slash after the host; a URL without `//` has none.
fn path_full(url: &[u8]) -> &[u8] {
    let Some(slashes) = memchr(b'/', url).filter(|at| url.get(at + 1) == Some(&b'/')) else { return &[] };
    let rest = &url[slashes + 2..];
    memchr(b'/', rest).map_or(&[], |at| &rest[at..])
}

fn end_of_path(path: &[u8]) -> usize {
    memchr2(b'?', b'#', path).unwrap_or(path.len())
}

/// Where the query is, with its question mark; nothing when there is none.
fn query(url: &[u8]) -> Range<usize> {
    match memchr(b'?', url) {
        Some(at) => at..memchr(b'#', &url[at..]).map_or(url.len(), |end| at + end),
        None => 0..0,
    }
}

fn fragment(url: &[u8]) -> Range<usize> {
    memchr(b'#', url).map_or(0..0, |at| at..url.len())
}

fn query_and_fragment(url: &[u8]) -> Range<usize> {
    memchr2(b'?', b'#', url).map_or(0..0, |at| at..url.len())
}

fn after_mark(part: &[u8]) -> &[u8] {
    part.get(1..).unwrap_or_default()
}

/// Where `www.` stands at the front of the host.
fn www(url: &[u8]) -> Range<usize> {
    let host = host(url);
    if host.len() <= 4 || !host.starts_with(b"www.") {
        return 0..0;
    }
    let start = host.as_ptr() as usize - url.as_ptr() as usize;
    start..start + 4
}

/// User, host and port as they are written.
fn location(url: &[u8]) -> &[u8] {
    let Some(rest) = after_scheme(url) else { return &[] };
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    &rest[..end]
}

/// The number after the host, up to the path. `None` for anything that is no port.
fn port(url: &[u8], host: fn(&[u8]) -> &[u8]) -> Option<u16> {
    let host = host(url);
    if host.is_empty() {
        return None;
    }
    let end = host.as_ptr() as usize - url.as_ptr() as usize + host.len();
    if url.get(end) != Some(&b':') {
        return None;
    }
    let digits = &url[end + 1..];
    let digits = &digits[..memchr(b'/', digits).unwrap_or(digits.len())];
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u16, |port, b| {
        b.is_ascii_digit().then_some(())?;
        port.checked_mul(10)?.checked_add(u16::from(b - b'0'))
    })
}
