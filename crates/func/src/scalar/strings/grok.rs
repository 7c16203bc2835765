//! `grok(text, pattern)`: named parts of a text by patterns that have names.
//!
//! `%{NAME}` stands for a known pattern, `%{NAME:field}` captures it as `field`; the pattern must match the whole text.

use super::patterns::{Flags, compile};
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Texts, end_offset, map, texts};
use crate::scalar::define::{Call, define};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

/// Patterns within patterns; a cycle would never end.
const DEPTH_MAX: usize = 16;

/// The known patterns. Each may name others.
const PATTERNS: &[(&str, &str)] = &[
    ("USERNAME", r"[a-zA-Z0-9._-]+"),
    ("USER", r"%{USERNAME}"),
    ("EMAILLOCALPART", r"[a-zA-Z0-9!#$%&'*+\-/=?^_`{|}~.]+"),
    ("EMAILADDRESS", r"%{EMAILLOCALPART}@%{HOSTNAME}"),
    ("INT", r"[+-]?[0-9]+"),
    ("BASE10NUM", r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    ("NUMBER", r"%{BASE10NUM}"),
    ("BASE16NUM", r"[+-]?(?:0x)?[0-9A-Fa-f]+"),
    ("POSINT", r"\b[1-9][0-9]*\b"),
    ("NONNEGINT", r"\b[0-9]+\b"),
    ("WORD", r"\b\w+\b"),
    ("NOTSPACE", r"\S+"),
    ("SPACE", r"\s*"),
    ("DATA", r".*?"),
    ("GREEDYDATA", r".*"),
    ("QUOTEDSTRING", r#""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`"#),
    ("QS", r"%{QUOTEDSTRING}"),
    ("UUID", r"[A-Fa-f0-9]{8}-(?:[A-Fa-f0-9]{4}-){3}[A-Fa-f0-9]{12}"),
    ("MAC", r"(?:[A-Fa-f0-9]{2}[:-]){5}[A-Fa-f0-9]{2}|(?:[A-Fa-f0-9]{4}\.){2}[A-Fa-f0-9]{4}"),
    ("IPV4", r"(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"),
    ("IPV6", r"(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|%{IPV4})?(?:%[0-9A-Za-z]+)?"),
    ("IP", r"%{IPV6}|%{IPV4}"),
    ("HOSTNAME", r"\b[0-9A-Za-z][0-9A-Za-z-]{0,62}(?:\.[0-9A-Za-z][0-9A-Za-z-]{0,62})*\.?\b"),
    ("IPORHOST", r"%{IP}|%{HOSTNAME}"),
    ("HOSTPORT", r"%{IPORHOST}:%{POSINT}"),
    ("UNIXPATH", r"(?:/[\w_%!$@:.,+~-]*)+"),
    ("WINPATH", r"(?:[A-Za-z]+:|\\)(?:\\[^\\?*]*)+"),
    ("PATH", r"%{UNIXPATH}|%{WINPATH}"),
    ("URIPROTO", r"[A-Za-z][A-Za-z0-9+.-]*"),
    ("URIHOST", r"%{IPORHOST}(?::%{POSINT})?"),
    ("URIPATH", r"(?:/[A-Za-z0-9$.+!*'(){},~:;=@#%&_-]*)+"),
    ("URIPARAM", r"\?[A-Za-z0-9$.+!*'|(){},~@#%&/=:;_?\-\[\]<>]*"),
    ("URIPATHPARAM", r"%{URIPATH}(?:%{URIPARAM})?"),
    ("URI", r"%{URIPROTO}://(?:%{USER}(?::[^@]*)?@)?(?:%{URIHOST})?(?:%{URIPATHPARAM})?"),
    (
        "MONTH",
        r"\b(?:[Jj]an(?:uary)?|[Ff]eb(?:ruary)?|[Mm]ar(?:ch)?|[Aa]pr(?:il)?|[Mm]ay|[Jj]une?|[Jj]uly?|[Aa]ug(?:ust)?|[Ss]ep(?:tember)?|[Oo]ct(?:ober)?|[Nn]ov(?:ember)?|[Dd]ec(?:ember)?)\b",
    ),
    ("MONTHNUM", r"0?[1-9]|1[0-2]"),
    ("MONTHDAY", r"(?:0[1-9])|(?:[12][0-9])|(?:3[01])|[1-9]"),
    ("DAY", r"Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?"),
    ("YEAR", r"(?:\d\d){1,2}"),
    ("HOUR", r"2[0123]|[01]?[0-9]"),
    ("MINUTE", r"[0-5][0-9]"),
    ("SECOND", r"(?:[0-5]?[0-9]|60)(?:[:.,][0-9]+)?"),
    ("TIME", r"%{HOUR}:%{MINUTE}(?::%{SECOND})?"),
    ("DATE_US", r"%{MONTHNUM}[/-]%{MONTHDAY}[/-]%{YEAR}"),
    ("DATE_EU", r"%{MONTHDAY}[./-]%{MONTHNUM}[./-]%{YEAR}"),
    ("DATE", r"%{DATE_US}|%{DATE_EU}"),
    ("ISO8601_TIMEZONE", r"Z|[+-]%{HOUR}(?::?%{MINUTE})"),
    (
        "TIMESTAMP_ISO8601",
        r"%{YEAR}-%{MONTHNUM}-%{MONTHDAY}[T ]%{HOUR}:?%{MINUTE}(?::?%{SECOND})?(?:%{ISO8601_TIMEZONE})?",
    ),
    ("TZ", r"[A-Z]{3,4}"),
    ("HTTPDATE", r"%{MONTHDAY}/%{MONTH}/%{YEAR}:%{TIME} %{INT}"),
    ("SYSLOGTIMESTAMP", r"%{MONTH} +%{MONTHDAY} %{TIME}"),
    ("PROG", r"[\x21-\x5a\x5c\x5e-\x7e]+"),
    ("SYSLOGPROG", r"%{PROG}(?:\[%{POSINT}\])?"),
    (
        "LOGLEVEL",
        r"(?i:alert|trace|debug|notice|info(?:rmation)?|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|severe|emerg(?:ency)?)",
    ),
    (
        "COMMONAPACHELOG",
        r#"%{IPORHOST:clientip} %{USER:ident} %{USER:auth} \[%{HTTPDATE:timestamp}\] "(?:%{WORD:verb} %{NOTSPACE:request}(?: HTTP/%{NUMBER:httpversion})?|%{DATA:rawrequest})" %{NUMBER:response} (?:%{NUMBER:bytes}|-)"#,
    ),
    ("COMBINEDAPACHELOG", r"%{COMMONAPACHELOG} %{QS:referrer} %{QS:agent}"),
];

pub(super) fn register(registry: &mut Registry) {
    define(registry, "grok", grok);
}

fn grok(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(2..=2)?;
    call.need_string(0)?;
    let mut fields = Vec::new();
    let pattern = expand(&String::from_utf8_lossy(call.constant_text(1)?), &mut fields, 0)?;
    let regex = compile(format!("^(?:{pattern})$").as_bytes(), Flags::default())?;
    // Groups that the pattern names itself, `(?P<field>…)`, are fields too.
    let names: Vec<(usize, String)> = regex
        .capture_names()
        .enumerate()
        .filter_map(|(i, n)| Some((i, n?)))
        .map(|(i, n)| {
            (
                i,
                n.strip_prefix("grok")
                    .and_then(|n| fields.get(n.parse::<usize>().ok()?))
                    .map_or(n.to_owned(), Clone::clone),
            )
        })
        .collect();
    let ty = LogicalType::Map(Box::new(LogicalType::String), Box::new(LogicalType::String));
    let out = ty.clone();
    call.returns(ty, move |args, rows| {
        let text = Texts::of(&args[0])?;
        let (mut ends, mut pairs) = (vec![0], Vec::new());
        for row in 0..rows {
            if let Some(found) = regex.captures(text.at(row)) {
                pairs.extend(names.iter().filter_map(|(i, n)| Some((n.as_bytes(), found.get(*i)?.as_bytes()))));
            }
            ends.push(end_offset(pairs.len())?);
        }
        let keys = texts(pairs.len(), |i, out| out.extend_from_slice(pairs[i].0))?;
        let values = texts(pairs.len(), |i, out| out.extend_from_slice(pairs[i].1))?;
        map(&out, ends, keys, values)
    })
}

/// The pattern with all names replaced; `fields` gets the names of the captures, group `grok<n>` being the n-th.
fn expand(pattern: &str, fields: &mut Vec<String>, depth: usize) -> Result<String> {
    let wrong = |what: String| Error::new(Code::UNSUPPORTED_PARAMETER, what);
    if depth > DEPTH_MAX {
        return Err(wrong(format!("grok patterns name each other more than {DEPTH_MAX} deep")));
    }
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find("%{") {
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end =
            inner.find('}').ok_or_else(|| wrong(format!("\"{pattern}\" has a \"%{{\" without a closing brace")))?;
        let mut parts = inner[..end].split(':');
        let name = parts.next().unwrap_or("");
        let (_, known) = PATTERNS
            .iter()
            .find(|(n, _)| *n == name)
            .ok_or_else(|| wrong(format!("unknown grok pattern \"{name}\"")))?;
        match parts.next() {
            Some(field) if !field.is_empty() => {
                if fields.iter().any(|f| f == field) {
                    return Err(wrong(format!("the field \"{field}\" is captured twice")));
                }
                fields.push(field.to_owned());
                out.push_str(&format!("(?P<grok{}>", fields.len() - 1));
            }
            _ => out.push_str("(?:"),
        }
        out.push_str(&expand(known, fields, depth + 1)?);
        out.push(')');
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}
