//! `simple_json_*` and `visit_param_*`: the first `"name":` anywhere in the text, without reading the rest.

use super::cursor::Node;
use crate::registry::Registry;
use crate::scalar::column::{Texts, bools, float64s, int64s, texts, uint64s};
use crate::scalar::define::define;
use arrow::array::ArrayRef;
use hydron_base::Result;
use hydron_types::LogicalType;
use memchr::memmem::Finder;

/// The values behind one name in a column of documents.
struct Found<'a> {
    text: Texts<'a>,
    name: &'a Finder<'static>,
}

impl<'a> Found<'a> {
    fn after(&self, row: usize) -> Option<&'a [u8]> {
        let text = self.text.at(row);
        let at = self.name.find(text)?;
        Some(&text[at + self.name.needle().len()..])
    }

    fn node(&self, row: usize) -> Option<Node<'a>> {
        Node::prefix(self.after(row)?)
    }
}

pub fn register(registry: &mut Registry) {
    type Answer = fn(&Found<'_>, usize) -> Result<ArrayRef>;
    use LogicalType as T;
    let functions: [(&str, T, Answer); 7] = [
        ("has", T::Bool, |f, rows| Ok(bools(rows, |i| f.after(i).is_some()))),
        ("extract_int", T::Int64, |f, rows| Ok(int64s(rows, |i| f.node(i).and_then(|n| n.int()).unwrap_or(0)))),
        ("extract_uint", T::UInt64, |f, rows| Ok(uint64s(rows, |i| f.node(i).and_then(|n| n.uint()).unwrap_or(0)))),
        ("extract_float", T::Float64, |f, rows| {
            Ok(float64s(rows, |i| f.node(i).and_then(|n| n.float()).unwrap_or(0.0)))
        }),
        ("extract_bool", T::Bool, |f, rows| Ok(bools(rows, |i| f.node(i).and_then(|n| n.bool()).unwrap_or(false)))),
        ("extract_raw", T::String, |f, rows| {
            texts(rows, |i, out| out.extend_from_slice(f.after(i).map_or(&[][..], raw)))
        }),
        ("extract_string", T::String, |f, rows| {
            texts(rows, |i, out| {
                if let Some(node) = f.node(i).filter(|n| n.kind() == super::Kind::String) {
                    node.write_text(out);
                }
            })
        }),
    ];
    for (name, ty, answer) in functions {
        define(registry, &format!("simple_json_{name}"), move |call| {
            call.arity(2..=2)?;
            call.need_string(0)?;
            let key = [b"\"", call.constant_text(1)?, b"\":"].concat();
            let finder = Finder::new(&key).into_owned();
            call.returns(ty.clone(), move |args, rows| {
                answer(&Found { text: Texts::of(&args[0])?, name: &finder }, rows)
            })
        });
        registry.add_alias(&format!("visit_param_{name}"), &format!("simple_json_{name}"));
    }
}

/// The text of the value up to the comma or bracket that ends it.
fn raw(text: &[u8]) -> &[u8] {
    let mut depth = 0usize;
    let mut quoted = false;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => break,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => break,
            _ => {}
        }
        at += 1;
    }
    &text[..at.min(text.len())]
}
