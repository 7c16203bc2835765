//! SQL/JSON paths: `$.a."b c"[0, 2 to 4].*` with `json_value`, `json_query`, `json_exists`, `json_values`.

use super::cursor::Node;
use crate::call::BoundCall;
use crate::registry::Registry;
use crate::scalar::column::{Texts, bools, text_lists, texts};
use crate::scalar::define::{Call, define};
use hydron_base::{Code, Error, Result};
use hydron_types::LogicalType;

enum Step {
    Member(Vec<u8>),
    /// Half-open stretches of places from 0.
    Places(Vec<(i64, i64)>),
    Every,
}

/// A path that was read once.
pub struct Path {
    steps: Vec<Step>,
}

impl Path {
    /// Errors: BAD_ARGUMENTS (36).
    pub fn parse(text: &[u8]) -> Result<Path> {
        let wrong =
            || Error::new(Code::BAD_ARGUMENTS, format!("\"{}\" is no JSON path", String::from_utf8_lossy(text)));
        let mut rest = text.trim_ascii().strip_prefix(b"$").ok_or_else(wrong)?;
        let mut steps = Vec::new();
        while let Some((first, after)) = rest.split_first() {
            match first {
                b'.' => {
                    let (step, tail) = member(after).ok_or_else(wrong)?;
                    steps.push(step);
                    rest = tail;
                }
                b'[' => {
                    let end = after.iter().position(|b| *b == b']').ok_or_else(wrong)?;
                    steps.push(places(&after[..end]).ok_or_else(wrong)?);
                    rest = &after[end + 1..];
                }
                b' ' => rest = after,
                _ => return Err(wrong()),
            }
        }
        Ok(Path { steps })
    }

    /// The values the path leads to, in the order of the document.
    pub fn find<'a>(&self, document: Node<'a>) -> Vec<Node<'a>> {
        self.steps.iter().fold(vec![document], |nodes, step| {
            let mut next = Vec::new();
            for node in nodes {
                match step {
                    Step::Member(name) => next.extend(node.member(name)),
                    Step::Every => {
                        next.extend(node.items());
                        next.extend(node.members().into_iter().map(|(_, n)| n));
                    }
                    Step::Places(ranges) => {
                        let items = node.items();
                        for (from, to) in ranges {
                            next.extend(
                                (*from..(*to).min(items.len() as i64)).filter_map(|i| items.get(i as usize).copied()),
                            );
                        }
                    }
                }
            }
            next
        })
    }
}

fn member(text: &[u8]) -> Option<(Step, &[u8])> {
    if let Some(rest) = text.strip_prefix(b"*") {
        return Some((Step::Every, rest));
    }
    for quote in [b'"', b'`'] {
        if let Some(inner) = text.strip_prefix(&[quote]) {
            let end = inner.iter().position(|b| *b == quote)?;
            return Some((Step::Member(inner[..end].to_vec()), &inner[end + 1..]));
        }
    }
    let end = text.iter().position(|b| matches!(b, b'.' | b'[' | b' ')).unwrap_or(text.len());
    (end > 0).then(|| (Step::Member(text[..end].to_vec()), &text[end..]))
}

/// `*`, `1`, `0 to 3`, `0, 2 to 4`; the end of a stretch is not part of it.
fn places(text: &[u8]) -> Option<Step> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if text == "*" {
        return Some(Step::Every);
    }
    let ranges = text.split(',').map(|part| match part.to_ascii_lowercase().split_once("to") {
        Some((from, to)) => Some((from.trim().parse().ok()?, to.trim().parse().ok()?)),
        None => part.trim().parse().ok().map(|n: i64| (n, n + 1)),
    });
    ranges.collect::<Option<Vec<_>>>().map(Step::Places)
}

fn path(call: &Call<'_>, position: usize) -> Result<Path> {
    call.need_string(0)?;
    Path::parse(call.constant_text(position)?)
}

pub fn register(registry: &mut Registry) {
    define(registry, "json_value", |call| {
        call.arity(2..=2)?;
        let path = path(call, 1)?;
        by_path(call, path, |nodes, out| {
            if let Some(node) = nodes.first() {
                node.write_text(out);
            }
        })
    });
    define(registry, "json_query", |call| {
        call.arity(2..=2)?;
        let path = path(call, 1)?;
        by_path(call, path, |nodes, out| {
            if nodes.is_empty() {
                return;
            }
            out.push(b'[');
            for (i, node) in nodes.iter().enumerate() {
                if i > 0 {
                    out.extend_from_slice(b", ");
                }
                node.write_raw(out);
            }
            out.push(b']');
        })
    });
    define(registry, "json_exists", |call| {
        call.arity(2..=2)?;
        let path = path(call, 1)?;
        call.returns(LogicalType::Bool, move |args, rows| {
            let text = Texts::of(&args[0])?;
            Ok(bools(rows, |i| Node::parse(text.at(i)).is_some_and(|n| !path.find(n).is_empty())))
        })
    });
    define(registry, "json_values", |call| {
        call.arity(2..=usize::MAX)?;
        let paths = (1..call.args.len()).map(|i| path(call, i)).collect::<Result<Vec<_>>>()?;
        call.returns(LogicalType::array(LogicalType::String), move |args, rows| {
            let text = Texts::of(&args[0])?;
            let mut value = Vec::new();
            text_lists(rows, |i, out| {
                let document = Node::parse(text.at(i));
                for path in &paths {
                    value.clear();
                    if let Some(node) = document.and_then(|d| path.find(d).first().copied()) {
                        node.write_text(&mut value);
                    }
                    out.push(&value);
                }
                Ok(())
            })
        })
    });
}

fn by_path(call: &Call<'_>, path: Path, write: fn(&[Node<'_>], &mut Vec<u8>)) -> Result<BoundCall> {
    call.returns(LogicalType::String, move |args, rows| {
        let text = Texts::of(&args[0])?;
        texts(rows, |i, out| {
            if let Some(document) = Node::parse(text.at(i)) {
                write(&path.find(document), out);
            }
        })
    })
}
