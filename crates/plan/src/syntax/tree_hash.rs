//! ClickHouse's hash of a syntax tree, by which it orders the conditions of a conjunction.
//!
//! In: an expression. Out: 128 bits, the low word first. Promise: the same bits as there, for calls, names and constants; other
//! nodes are hashed by their text.

use hydron_sql::ast::{Expr, ExprKind, Literal};

pub(super) type Hash = (u64, u64);

pub(super) fn hash(expr: &Expr) -> Hash {
    let mut bytes = Vec::new();
    node(expr, &mut bytes);
    sip128(&bytes)
}

fn node(expr: &Expr, out: &mut Vec<u8>) {
    match &expr.kind {
        ExprKind::Function(f) => call(&f.name, &f.args.iter().collect::<Vec<_>>(), out),
        ExprKind::Identifier(name) => {
            out.extend(format!("Identifier_{}", name.full()).bytes());
            count(0, out);
        }
        ExprKind::Literal(literal) => {
            out.extend(b"Literal_");
            value(literal, out);
            count(0, out);
        }
        _ => {
            out.extend(expr.canonical_name().bytes());
            count(0, out);
        }
    }
}

fn call(name: &str, args: &[&Expr], out: &mut Vec<u8>) {
    count(name.len(), out);
    out.extend(name.bytes());
    out.extend(format!("Function_{name}").bytes());
    count(1, out);
    out.extend(b"ExpressionList");
    count(args.len(), out);
    args.iter().for_each(|arg| node(arg, out));
}

fn count(n: usize, out: &mut Vec<u8>) {
    out.extend((n as u64).to_le_bytes());
}

/// The number of the value's type, then the value.
fn value(literal: &Literal, out: &mut Vec<u8>) {
    match literal {
        Literal::Null => out.push(0),
        Literal::Bool(b) => {
            out.push(1);
            out.extend(u64::from(*b).to_le_bytes());
        }
        Literal::UInt(n) => {
            out.push(1);
            out.extend(n.to_le_bytes());
        }
        Literal::Int(n) => {
            out.push(2);
            out.extend(n.to_le_bytes());
        }
        Literal::BigInt(_) | Literal::Float(_) => {
            out.push(3);
            out.extend(literal.to_string().parse::<f64>().unwrap_or(f64::NAN).to_bits().to_le_bytes());
        }
        Literal::String(text) => {
            out.push(16);
            count(text.len(), out);
            out.extend_from_slice(text);
        }
    }
}

/// SipHash-2-4 without a key; its 128 bits are those that ClickHouse takes of the state, not those of SipHash-128.
fn sip128(bytes: &[u8]) -> Hash {
    let mut v = [0x736f_6d65_7073_6575, 0x646f_7261_6e64_6f6d, 0x6c79_6765_6e65_7261, 0x7465_6462_7974_6573];
    let mut words = bytes.chunks_exact(8);
    for chunk in &mut words {
        compress(&mut v, u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    last[7] = bytes.len() as u8;
    compress(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut v));
    (v[0] ^ v[1], v[2] ^ v[3])
}

fn compress(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    let [a, b, c, d] = *v;
    let (a, b) = (a.wrapping_add(b), b.rotate_left(13));
    let (b, a) = (b ^ a, a.rotate_left(32));
    let (c, d) = (c.wrapping_add(d), d.rotate_left(16));
    let d = d ^ c;
    let (a, d) = (a.wrapping_add(d), d.rotate_left(21));
    let d = d ^ a;
    let (c, b) = (c.wrapping_add(b), b.rotate_left(17));
    let (b, c) = (b ^ c, c.rotate_left(32));
    *v = [a, b, c, d];
}
