//! Parameters of a URL, and the levels of its path.
//!
//! In: a URL and names. Out: values, or the URL without them. A parameter stands behind `?`, `#` or `&`, in the query as in
//! the fragment.

use super::need_url;
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Texts, text_lists, texts};
use crate::scalar::define::{Call, define};
use hydron_base::Result;
use hydron_types::{LogicalType, Value};
use memchr::{memchr2, memmem};

type EachPart = fn(&[u8], &mut dyn FnMut(&[u8]));

pub(super) fn register(registry: &mut Registry) {
    define(registry, "extract_url_parameter", |call| {
        with_name(call, |url, name, out| {
            if let Some(start) = find(url, name).map(|at| at + name.len() + 1) {
                out.extend_from_slice(&url[start..end_of_value(url, start)]);
            }
        })
    });
    define(registry, "cut_url_parameter", |call| {
        if !matches!(call.args.get(1).map(|a| &a.ty), Some(LogicalType::Array(_))) {
            return with_name(call, |url, name, out| {
                out.extend_from_slice(url);
                let start = out.len() - url.len();
                cut(out, start, name);
            });
        }
        call.arity(2..=2)?;
        need_url(call)?;
        let names = match call.constant(1)? {
            Value::Array(names) if call.need_array(1)?.is_string_like() || names.is_empty() => names.clone(),
            _ => return Err(call.illegal(1)),
        };
        let names: Vec<Vec<u8>> = names.iter().filter_map(|n| n.as_bytes().map(<[u8]>::to_vec)).collect();
        call.returns(LogicalType::String, move |args, rows| {
            let url = Texts::of(&args[0])?;
            texts(rows, |row, out| {
                let start = out.len();
                out.extend_from_slice(url.at(row));
                names.iter().for_each(|name| cut(out, start, name));
            })
        })
    });
    let lists: [(&str, EachPart); 4] = [
        ("extract_url_parameters", |url, out| parameters(url, |whole, _| out(whole))),
        ("extract_url_parameter_names", |url, out| parameters(url, |_, name| out(name))),
        ("url_hierarchy", url_hierarchy),
        ("url_path_hierarchy", url_path_hierarchy),
    ];
    for (name, list) in lists {
        define(registry, name, move |call| {
            call.arity(1..=1)?;
            need_url(call)?;
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

fn with_name(call: &Call<'_>, f: fn(&[u8], &[u8], &mut Vec<u8>)) -> Result<BoundCall> {
    call.arity(2..=2)?;
    need_url(call)?;
    call.need_string(1)?;
    call.returns(LogicalType::String, move |args, rows| {
        let (url, name) = (Texts::of(&args[0])?, Texts::of(&args[1])?);
        texts(rows, |row, out| f(url.at(row), name.at(row), out))
    })
}

/// Where the parameter `name` with its equals sign starts.
fn find(url: &[u8], name: &[u8]) -> Option<usize> {
    let first = memchr2(b'?', b'#', url)? + 1;
    let key = [name, b"="].concat();
    memmem::find_iter(&url[first..], &key).map(|at| first + at).find(|at| matches!(url[at - 1], b'?' | b'&' | b'#'))
}

fn end_of_value(url: &[u8], start: usize) -> usize {
    memchr2(b'&', b'#', &url[start..]).map_or(url.len(), |at| start + at)
}

/// Takes the parameter `name` out of the URL that starts at `base`, with one of the signs around it.
fn cut(text: &mut Vec<u8>, base: usize, name: &[u8]) {
    let url = &text[base..];
    let Some(mut start) = find(url, name) else { return };
    let mut end = end_of_value(url, start + name.len() + 1);
    if url.get(end) == Some(&b'&') {
        end += 1;
    } else if url[start - 1] == b'&' {
        start -= 1;
    }
    text.drain(base + start..base + end);
}

/// Calls `out` with each parameter and its name. The last one counts only with an equals sign.
fn parameters(url: &[u8], mut out: impl FnMut(&[u8], &[u8])) {
    let Some(mut at) = memchr2(b'?', b'#', url).map(|at| at + 1) else { return };
    while at < url.len() {
        let found = url[at..].iter().position(|b| matches!(b, b'=' | b'&' | b'#' | b'?'));
        let Some(mark) = found.map(|n| at + n) else { return };
        if url[mark] == b'?' {
            at = mark + 1;
            continue;
        }
        let end = if url[mark] == b'=' { end_of_value(url, mark) } else { mark };
        out(&url[at..end], &url[at..mark]);
        at = end + 1;
    }
}

fn is_mark(byte: u8) -> bool {
    matches!(byte, b'/' | b'?' | b'#')
}

/// Where the path starts after `scheme://host`. `None` where there is no scheme or nothing behind it.
fn path_start(url: &[u8]) -> Option<usize> {
    let scheme = url.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    let rest = url[scheme..].strip_prefix(b"://").filter(|rest| scheme > 0 && !rest.is_empty())?;
    let host = rest.iter().position(|b| is_mark(*b)).unwrap_or(rest.len());
    Some(url.len() - rest.len() + host)
}

/// The URL up to each run of separators, each one longer than the last.
fn url_hierarchy(url: &[u8], out: &mut dyn FnMut(&[u8])) {
    if url.is_empty() {
        return;
    }
    let Some(start) = path_start(url) else { return out(url) };
    let first = (start + 1).min(url.len());
    out(&url[..first]);
    levels(url, first, out);
}

fn url_path_hierarchy(url: &[u8], out: &mut dyn FnMut(&[u8])) {
    if let Some(start) = path_start(url) {
        let path = &url[start..];
        levels(path, path.len().min(1), out);
    }
}

fn levels(text: &[u8], mut at: usize, out: &mut dyn FnMut(&[u8])) {
    while at < text.len() {
        let name = text[at..].iter().take_while(|b| !is_mark(**b)).count();
        let marks = text[at + name..].iter().take_while(|b| is_mark(**b)).count();
        at += name + marks;
        out(&text[..at]);
    }
}
