//! Parts of URLs, found by plain scanning: a text that is no URL has empty parts.

use super::column::{Texts, numbers, text_lists, texts};
use super::define::{Call, define};
use crate::call::BoundCall;
use crate::registry::Registry;
use arrow::datatypes::UInt16Type;
use hydron_base::Result;
use hydron_types::LogicalType;
use memchr::{memchr, memchr2, memmem};

pub fn register(registry: &mut Registry) {
    let parts: [(&str, fn(&[u8]) -> &[u8]); 21] = [
        ("protocol", protocol),
        ("domain", domain),
        ("domain_rfc", domain),
        ("domain_without_www", |u| without_www(domain(u))),
        ("domain_without_www_rfc", |u| without_www(domain(u))),
        ("top_level_domain", top_level),
        ("top_level_domain_rfc", top_level),
        ("first_significant_subdomain", |u| significant(domain(u)).0),
        ("first_significant_subdomain_rfc", |u| significant(domain(u)).0),
        ("cut_to_first_significant_subdomain", |u| significant(domain(u)).1),
        ("cut_to_first_significant_subdomain_rfc", |u| significant(domain(u)).1),
        ("cut_to_first_significant_subdomain_with_www", |u| significant(domain(u)).1),
        ("cut_to_first_significant_subdomain_with_www_rfc", |u| significant(domain(u)).1),
        ("path", |u| &path_full(u)[..end_of_path(path_full(u))]),
        ("path_full", path_full),
        ("query_string", |u| until(after(u, b'?'), b'#')),
        ("fragment", |u| after(u, b'#')),
        ("query_string_and_fragment", |u| after(u, b'?')),
        ("cut_query_string", |u| until(u, b'?')),
        ("cut_fragment", |u| until(u, b'#')),
        ("cut_query_string_and_fragment", |u| until(until(u, b'#'), b'?')),
    ];
    for (name, part) in parts {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            call.need_string(0)?;
            call.returns(LogicalType::String, move |args, rows| {
                let text = Texts::of(&args[0])?;
                texts(rows, |row, out| out.extend_from_slice(part(text.at(row))))
            })
        });
    }
    define(registry, "netloc", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::String, |args, rows| {
            let text = Texts::of(&args[0])?;
            texts(rows, |row, out| out.extend_from_slice(authority(text.at(row))))
        })
    });
    define(registry, "cut_www", |call| {
        call.arity(1..=1)?;
        call.need_string(0)?;
        call.returns(LogicalType::String, |args, rows| {
            let text = Texts::of(&args[0])?;
            texts(rows, |row, out| {
                let url = text.at(row);
                let host = authority(url);
                let start = host.as_ptr() as usize - url.as_ptr() as usize;
                let skip = if host.starts_with(b"www.") { 4 } else { 0 };
                out.extend_from_slice(&url[..start]);
                out.extend_from_slice(&url[start + skip..]);
            })
        })
    });
    for name in ["port", "port_rfc"] {
        define(registry, name, |call| {
            call.arity(1..=2)?;
            call.need_string(0)?;
            let default = if call.args.len() == 2 { call.constant_int(1)? as u16 } else { 0 };
            call.returns(LogicalType::UInt16, move |args, rows| {
                let text = Texts::of(&args[0])?;
                Ok(numbers::<UInt16Type>(rows, |row| {
                    let host = authority(text.at(row));
                    let digits =
                        host.iter().rposition(|b| *b == b':').and_then(|at| std::str::from_utf8(&host[at + 1..]).ok());
                    digits.and_then(|d| d.parse().ok()).unwrap_or(default)
                }))
            })
        });
    }
    register_parameters(registry);
    register_lists(registry);
}

fn protocol(url: &[u8]) -> &[u8] {
    match memmem::find(url, b"://") {
        Some(at) if url[..at].iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) => {
            &url[..at]
        }
        _ => &[],
    }
}

/// What stands between `//` and the path, without the user.
fn authority(url: &[u8]) -> &[u8] {
    let scheme = protocol(url).len();
    let start = match scheme {
        0 if url.starts_with(b"//") => 2,
        0 => 0,
        n => n + 3,
    };
    let rest = &url[start..];
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let host = &rest[..end];
    let user = host.iter().rposition(|b| *b == b'@').map_or(0, |at| at + 1);
    &host[user..]
}

fn domain(url: &[u8]) -> &[u8] {
    let host = authority(url);
    let host = &host[..memchr(b':', host).unwrap_or(host.len())];
    let plain = host.iter().all(|b| !b.is_ascii() || b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if plain && host.contains(&b'.') { host } else { &[] }
}

fn without_www(domain: &[u8]) -> &[u8] {
    domain.strip_prefix(b"www.").unwrap_or(domain)
}

fn top_level(url: &[u8]) -> &[u8] {
    let domain = domain(url);
    match domain.iter().rposition(|b| *b == b'.') {
        // A number at the end is an address, not a name.
        Some(at) if domain.get(at + 1).is_some_and(|b| !b.is_ascii_digit()) => &domain[at + 1..],
        _ => &[],
    }
}

/// The label that tells a site apart, and the domain from it on. Second-level registries such as `co.uk` are skipped.
fn significant(domain: &[u8]) -> (&[u8], &[u8]) {
    let domain = domain.strip_suffix(b".").unwrap_or(domain);
    let dots: Vec<usize> = domain.iter().enumerate().filter(|(_, b)| **b == b'.').map(|(i, _)| i).collect();
    let start_of = |n: usize| if n < dots.len() { dots[dots.len() - 1 - n] + 1 } else { 0 };
    let label = |n: usize| &domain[start_of(n)..if n == 0 { domain.len() } else { dots[dots.len() - n] }];
    if dots.is_empty() {
        return (domain, domain);
    }
    let registry = matches!(label(1), b"com" | b"net" | b"org" | b"co" | b"biz") && dots.len() > 1;
    let n = if registry { 2 } else { 1 };
    (label(n), &domain[start_of(n)..])
}

/// From the first slash after the host.
fn path_full(url: &[u8]) -> &[u8] {
    let host = authority(url);
    if protocol(url).is_empty() && !url.starts_with(b"//") {
        return memchr(b'/', url).map_or(&[], |at| &url[at..]);
    }
    let end = host.as_ptr() as usize - url.as_ptr() as usize + host.len();
    let rest = &url[end..];
    if rest.first() == Some(&b'/') { rest } else { &[] }
}

fn end_of_path(path: &[u8]) -> usize {
    memchr2(b'?', b'#', path).unwrap_or(path.len())
}

fn after(text: &[u8], mark: u8) -> &[u8] {
    memchr(mark, text).map_or(&[], |at| &text[at + 1..])
}

fn until(text: &[u8], mark: u8) -> &[u8] {
    &text[..memchr(mark, text).unwrap_or(text.len())]
}

/// The parameters of the query and of the fragment, as they are written.
fn parameters(url: &[u8]) -> impl Iterator<Item = &[u8]> {
    let start = memchr2(b'?', b'#', url).map_or(url.len(), |at| at + 1);
    url[start..].split(|b| matches!(b, b'&' | b'#' | b'?')).filter(|p| !p.is_empty())
}

fn register_parameters(registry: &mut Registry) {
    define(registry, "extract_url_parameter", |call| {
        with_name(call, |url, name, out| {
            let value = parameters(url).find_map(|p| p.strip_prefix(name)?.strip_prefix(b"="));
            out.extend_from_slice(value.unwrap_or_default());
        })
    });
    define(registry, "cut_url_parameter", |call| {
        with_name(call, |url, name, out| {
            let key = [name, b"="].concat();
            let found = memmem::find_iter(url, &key).find(|at| *at > 0 && matches!(url[at - 1], b'?' | b'&' | b'#'));
            let Some(at) = found.filter(|_| !name.is_empty()) else {
                return out.extend_from_slice(url);
            };
            let end = at + memchr2(b'&', b'#', &url[at..]).unwrap_or(url.len() - at);
            // The first parameter keeps its question mark for the next one.
            let (start, end) =
                if url.get(end) == Some(&b'&') && url[at - 1] != b'&' { (at, end + 1) } else { (at - 1, end) };
            out.extend_from_slice(&url[..start]);
            out.extend_from_slice(&url[end..]);
        })
    });
}

fn with_name(call: &Call<'_>, f: fn(&[u8], &[u8], &mut Vec<u8>)) -> Result<BoundCall> {
    call.arity(2..=2)?;
    call.need_string(0)?;
    call.need_string(1)?;
    call.returns(LogicalType::String, move |args, rows| {
        let (url, name) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
        texts(rows, |row, out| f(url.at(row), name.at(row), out))
    })
}

fn register_lists(registry: &mut Registry) {
    let lists: [(&str, fn(&[u8], &mut dyn FnMut(&[u8]))); 4] = [
        ("extract_url_parameters", |url, out| parameters(url).filter(|p| p.contains(&b'=')).for_each(out)),
        ("extract_url_parameter_names", |url, out| {
            parameters(url).filter(|p| p.contains(&b'=')).for_each(|p| out(until(p, b'=')))
        }),
        ("url_hierarchy", |url, out| hierarchy(url, url.len() - path_full(url).len(), true, out)),
        ("url_path_hierarchy", |url, out| hierarchy(path_full(url), 0, false, out)),
    ];
    for (name, list) in lists {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            call.need_string(0)?;
            call.returns(LogicalType::array(LogicalType::String), move |args, rows| {
                let text = Texts::of(&args[0])?;
                text_lists(rows, |row, out| {
                    list(text.at(row), &mut |part| out.push(part));
                    Ok(())
                })
            })
        });
    }
}

/// The text up to each separator after `start`, each one longer than the last.
fn hierarchy(text: &[u8], start: usize, with_root: bool, out: &mut dyn FnMut(&[u8])) {
    let first = start + 1;
    if with_root && !text.is_empty() {
        out(&text[..first.min(text.len())]);
    }
    for at in first..text.len() {
        if matches!(text[at], b'/' | b'?' | b'#') {
            out(&text[..=at]);
        }
    }
    if text.len() > first && !text.last().is_some_and(|b| matches!(b, b'/' | b'?' | b'#')) {
        out(text);
    }
}
