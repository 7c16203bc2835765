//! FarmHash of 64 bits: the fingerprint, which never changes (`na`), and the faster hash of portable builds (`xo`, with `uo` for
//! long texts).

use super::city::{half, mix, word};

const K0: u64 = 0xC3A5_C85C_97CB_3127;
const K1: u64 = 0xB492_B66F_BE98_F273;
const K2: u64 = 0x9AE1_6A3B_2F90_404F;

/// Two words into one.
fn fold(u: u64, v: u64, mul: u64) -> u64 {
    let a = mix((u ^ v).wrapping_mul(mul));
    mix((v ^ a).wrapping_mul(mul)).wrapping_mul(mul)
}

/// `K2 + 2 * length`: the multiplier of short texts.
fn multiplier(n: usize) -> u64 {
    K2.wrapping_add(n as u64 * 2)
}

fn up_to_16(s: &[u8]) -> u64 {
    let n = s.len();
    let mul = multiplier(n);
    match n {
        8.. => {
            let a = word(s, 0).wrapping_add(K2);
            let b = word(s, n - 8);
            let c = b.rotate_right(37).wrapping_mul(mul).wrapping_add(a);
            let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(mul);
            fold(c, d, mul)
        }
        4..=7 => fold((n as u64).wrapping_add(half(s, 0) << 3), half(s, n - 4), mul),
        1..=3 => {
            let y = u64::from(s[0]) + (u64::from(s[n >> 1]) << 8);
            let z = n as u64 + (u64::from(s[n - 1]) << 2);
            mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2)
        }
        0 => K2,
    }
}

/// The two words that stand for a text of 16 bytes and more: its first and its last 16 bytes.
fn ends(s: &[u8], mul: u64) -> (u64, u64, u64) {
    let n = s.len();
    let a = word(s, 0).wrapping_mul(K1);
    let b = word(s, 8);
    let c = word(s, n - 8).wrapping_mul(mul);
    let d = word(s, n - 16).wrapping_mul(K2);
    let u = a.wrapping_add(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let v = a.wrapping_add(b.wrapping_add(K2).rotate_right(18)).wrapping_add(c);
    (u, v, a)
}

fn up_to_32(s: &[u8]) -> u64 {
    let mul = multiplier(s.len());
    let (u, v, _) = ends(s, mul);
    fold(u, v, mul)
}

fn up_to_64(s: &[u8]) -> u64 {
    let n = s.len();
    let mul = multiplier(n);
    let a = word(s, 0).wrapping_mul(K2);
    let b = word(s, 8);
    let c = word(s, n - 8).wrapping_mul(mul);
    let d = word(s, n - 16).wrapping_mul(K2);
    let y = a.wrapping_add(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let z = fold(y, a.wrapping_add(b.wrapping_add(K2).rotate_right(18)).wrapping_add(c), mul);
    let e = word(s, 16).wrapping_mul(mul);
    let f = word(s, 24);
    let g = y.wrapping_add(word(s, n - 32)).wrapping_mul(mul);
    let h = z.wrapping_add(word(s, n - 24)).wrapping_mul(mul);
    fold(
        e.wrapping_add(f).rotate_right(43).wrapping_add(g.rotate_right(30)).wrapping_add(h),
        e.wrapping_add(f.wrapping_add(a).rotate_right(18)).wrapping_add(g),
        mul,
    )
}

fn weak(s: &[u8], at: usize, mut a: u64, mut b: u64) -> (u64, u64) {
    let (w, x, y, z) = (word(s, at), word(s, at + 8), word(s, at + 16), word(s, at + 24));
    a = a.wrapping_add(w);
    b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let c = a;
    a = a.wrapping_add(x).wrapping_add(y);
    b = b.wrapping_add(a.rotate_right(44));
    (a.wrapping_add(z), b.wrapping_add(c))
}

/// What the loop over blocks of 64 bytes carries on.
struct Blocks {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl Blocks {
    fn take(&mut self, s: &[u8], at: usize, mul: u64, times: u64) {
        let Blocks { mut x, mut y, mut z, mut v, mut w } = *self;
        x = x.wrapping_add(y).wrapping_add(v.0).wrapping_add(word(s, at + 8)).rotate_right(37).wrapping_mul(mul);
        y = y.wrapping_add(v.1).wrapping_add(word(s, at + 48)).rotate_right(42).wrapping_mul(mul);
        x ^= w.1.wrapping_mul(times);
        y = y.wrapping_add(v.0.wrapping_mul(times)).wrapping_add(word(s, at + 40));
        z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(mul);
        v = weak(s, at, v.1.wrapping_mul(mul), x.wrapping_add(w.0));
        w = weak(s, at + 32, z.wrapping_add(w.1), y.wrapping_add(word(s, at + 16)));
        *self = Blocks { x: z, y, z: x, v, w };
    }
}

/// The fingerprint of a text.
pub fn fingerprint64(s: &[u8]) -> u64 {
    match s.len() {
        0..=16 => return up_to_16(s),
        17..=32 => return up_to_32(s),
        33..=64 => return up_to_64(s),
        _ => {}
    }
    const SEED: u64 = 81;
    let y = SEED.wrapping_mul(K1).wrapping_add(113);
    let mut blocks = Blocks {
        x: SEED.wrapping_mul(K2).wrapping_add(word(s, 0)),
        y,
        z: mix(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2),
        v: (0, 0),
        w: (0, 0),
    };
    let last = s.len() - 1;
    (0..last / 64).for_each(|n| blocks.take(s, n * 64, K1, 1));
    let mul = K1.wrapping_add((blocks.z & 0xFF) << 1);
    blocks.w.0 = blocks.w.0.wrapping_add((last & 63) as u64);
    blocks.v.0 = blocks.v.0.wrapping_add(blocks.w.0);
    blocks.w.0 = blocks.w.0.wrapping_add(blocks.v.0);
    blocks.take(s, s.len() - 64, mul, 9);
    let Blocks { x, y, z, v, w } = blocks;
    fold(
        fold(v.0, w.0, mul).wrapping_add(mix(y).wrapping_mul(K0)).wrapping_add(z),
        fold(v.1, w.1, mul).wrapping_add(x),
        mul,
    )
}

fn part_32(s: &[u8], mul: u64, seeds: (u64, u64)) -> u64 {
    let (u, v, _) = ends(s, mul);
    let (u, v) = (u.wrapping_add(seeds.0), v.wrapping_add(seeds.1));
    let a = mix((u ^ v).wrapping_mul(mul));
    mix((v ^ a).wrapping_mul(mul))
}

/// The hash of a text: as fast as can be without special instructions.
pub fn hash64(s: &[u8]) -> u64 {
    let n = s.len();
    match n {
        0..=32 => fingerprint64(s),
        33..=64 => {
            let base = K2.wrapping_sub(30);
            let mul = base.wrapping_add(2 * n as u64);
            let first = part_32(&s[..32], base, (0, 0));
            let last = part_32(&s[n - 32..], mul, (0, 0));
            last.wrapping_mul(mul).wrapping_add(first).wrapping_mul(mul)
        }
        65..=96 => {
            let base = K2.wrapping_sub(114);
            let mul = base.wrapping_add(2 * n as u64);
            let first = part_32(&s[..32], base, (0, 0));
            let second = part_32(&s[32..64], mul, (0, 0));
            let last = part_32(&s[n - 32..], mul, (first, second));
            last.wrapping_mul(9).wrapping_add(first >> 17).wrapping_add(second >> 21).wrapping_mul(mul)
        }
        97..=256 => fingerprint64(s),
        _ => long(s),
    }
}

/// Texts of more than 64 bytes, with the seeds 81 and 0.
fn long(s: &[u8]) -> u64 {
    let (seed0, seed1) = (81u64, 0u64);
    let mut x = seed0;
    let mut y = seed1.wrapping_mul(K2).wrapping_add(113);
    let mut z = mix(y.wrapping_mul(K2)).wrapping_mul(K2);
    let (mut v, mut w) = ((seed0, seed1), (0u64, 0u64));
    let mut u = x.wrapping_sub(z);
    x = x.wrapping_mul(K2);
    let mul = K2.wrapping_add(u & 0x82);
    let last = s.len() - 1;
    for block in 0..last / 64 {
        let a: [u64; 8] = std::array::from_fn(|i| word(s, block * 64 + i * 8));
        x = x.wrapping_add(a[0]).wrapping_add(a[1]);
        y = y.wrapping_add(a[2]);
        z = z.wrapping_add(a[3]);
        v.0 = v.0.wrapping_add(a[4]);
        v.1 = v.1.wrapping_add(a[5]).wrapping_add(a[1]);
        w.0 = w.0.wrapping_add(a[6]);
        w.1 = w.1.wrapping_add(a[7]);

        x = x.rotate_right(26).wrapping_mul(9);
        y = y.rotate_right(29);
        z = z.wrapping_mul(mul);
        v = (v.0.rotate_right(33), v.1.rotate_right(30));
        w.0 = (w.0 ^ x).wrapping_mul(9);
        z = z.rotate_right(32).wrapping_add(w.1);
        w.1 = w.1.wrapping_add(z);
        z = z.wrapping_mul(9);
        std::mem::swap(&mut u, &mut y);

        z = z.wrapping_add(a[0]).wrapping_add(a[6]);
        v.0 = v.0.wrapping_add(a[2]);
        v.1 = v.1.wrapping_add(a[3]);
        w.0 = w.0.wrapping_add(a[4]);
        w.1 = w.1.wrapping_add(a[5]).wrapping_add(a[6]);
        x = x.wrapping_add(a[1]);
        y = y.wrapping_add(a[7]);

        y = y.wrapping_add(v.0);
        v.0 = v.0.wrapping_add(x.wrapping_sub(y));
        v.1 = v.1.wrapping_add(w.0);
        w.0 = w.0.wrapping_add(v.1);
        w.1 = w.1.wrapping_add(x.wrapping_sub(y));
        x = x.wrapping_add(w.1);
        w.1 = w.1.rotate_right(34);
        std::mem::swap(&mut u, &mut z);
    }
    let at = s.len() - 64;
    u = u.wrapping_mul(9);
    v = (v.0.rotate_right(20), v.1.rotate_right(28));
    w.0 = w.0.wrapping_add((last & 63) as u64);
    u = u.wrapping_add(y);
    y = y.wrapping_add(u);
    x = y.wrapping_sub(x).wrapping_add(v.0).wrapping_add(word(s, at + 8)).rotate_right(37).wrapping_mul(mul);
    y = (y ^ v.1 ^ word(s, at + 48)).rotate_right(42).wrapping_mul(mul);
    x ^= w.1.wrapping_mul(9);
    y = y.wrapping_add(v.0).wrapping_add(word(s, at + 40));
    z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(mul);
    v = weak(s, at, v.1.wrapping_mul(mul), x.wrapping_add(w.0));
    w = weak(s, at + 32, z.wrapping_add(w.1), y.wrapping_add(word(s, at + 16)));
    turned(
        fold(v.0.wrapping_add(x), w.0 ^ y, mul).wrapping_add(z).wrapping_sub(u),
        turned(v.1.wrapping_add(y), w.1.wrapping_add(z), K2, 30) ^ x,
        K2,
        31,
    )
}

fn turned(x: u64, y: u64, mul: u64, by: u32) -> u64 {
    let a = mix((x ^ y).wrapping_mul(mul));
    (y ^ a).wrapping_mul(mul).rotate_right(by).wrapping_mul(mul)
}
