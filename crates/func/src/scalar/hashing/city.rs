//! CityHash of 64 bits in its version 1.0.2, the one ClickHouse keeps for compatibility.

const K0: u64 = 0xC3A5_C85C_97CB_3127;
const K1: u64 = 0xB492_B66F_BE98_F273;
const K2: u64 = 0x9AE1_6A3B_2F90_404F;
const K3: u64 = 0xC949_D7C7_509E_6557;
const K_MUL: u64 = 0x9DDF_EA08_EB38_2D69;

/// One hash from two.
pub fn combine(low: u64, high: u64) -> u64 {
    let a = mix((low ^ high).wrapping_mul(K_MUL));
    mix((high ^ a).wrapping_mul(K_MUL)).wrapping_mul(K_MUL)
}

pub fn hash64(s: &[u8]) -> u64 {
    match s.len() {
        0..=16 => up_to_16(s),
        17..=32 => up_to_32(s),
        33..=64 => up_to_64(s),
        _ => long(s),
    }
}

pub(super) fn mix(v: u64) -> u64 {
    v ^ (v >> 47)
}

pub(super) fn word(s: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&s[at..at + 8]);
    u64::from_le_bytes(bytes)
}

pub(super) fn half(s: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&s[at..at + 4]);
    u64::from(u32::from_le_bytes(bytes))
}

fn up_to_16(s: &[u8]) -> u64 {
    let n = s.len();
    let len = n as u64;
    match n {
        9.. => {
            let (a, b) = (word(s, 0), word(s, n - 8));
            combine(a, b.wrapping_add(len).rotate_right(n as u32)) ^ b
        }
        4..=8 => combine(len.wrapping_add(half(s, 0) << 3), half(s, n - 4)),
        1..=3 => {
            let y = u64::from(s[0]) + (u64::from(s[n >> 1]) << 8);
            let z = len + (u64::from(s[n - 1]) << 2);
            mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K3)).wrapping_mul(K2)
        }
        0 => K2,
    }
}

fn up_to_32(s: &[u8]) -> u64 {
    let n = s.len();
    let a = word(s, 0).wrapping_mul(K1);
    let b = word(s, 8);
    let c = word(s, n - 8).wrapping_mul(K2);
    let d = word(s, n - 16).wrapping_mul(K0);
    combine(
        a.wrapping_sub(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d),
        a.wrapping_add((b ^ K3).rotate_right(20)).wrapping_sub(c).wrapping_add(n as u64),
    )
}

fn up_to_64(s: &[u8]) -> u64 {
    let n = s.len();
    let round = |mut a: u64, z: u64, x: u64, y: u64| {
        let b = a.wrapping_add(z).rotate_right(52);
        let mut c = a.rotate_right(37);
        a = a.wrapping_add(x);
        c = c.wrapping_add(a.rotate_right(7));
        a = a.wrapping_add(y);
        (a.wrapping_add(z), b.wrapping_add(a.rotate_right(31)).wrapping_add(c))
    };
    let a = word(s, 0).wrapping_add((n as u64).wrapping_add(word(s, n - 16)).wrapping_mul(K0));
    let (vf, vs) = round(a, word(s, 24), word(s, 8), word(s, 16));
    let a = word(s, 16).wrapping_add(word(s, n - 32));
    let (wf, ws) = round(a, word(s, n - 8), word(s, n - 24), word(s, n - 16));
    let r = mix(vf.wrapping_add(ws).wrapping_mul(K2).wrapping_add(wf.wrapping_add(vs).wrapping_mul(K0)));
    mix(r.wrapping_mul(K0).wrapping_add(vs)).wrapping_mul(K2)
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

fn long(s: &[u8]) -> u64 {
    let n = s.len();
    let len = n as u64;
    let mut x = word(s, 0);
    let mut y = word(s, n - 16) ^ K1;
    let mut z = word(s, n - 56) ^ K0;
    let mut v = weak(s, n - 64, len, y);
    let mut w = weak(s, n - 32, len.wrapping_mul(K1), K0);
    z = z.wrapping_add(mix(v.1).wrapping_mul(K1));
    x = z.wrapping_add(x).rotate_right(39).wrapping_mul(K1);
    y = y.rotate_right(33).wrapping_mul(K1);
    for at in (0..(n - 1) & !63).step_by(64) {
        x = x.wrapping_add(y).wrapping_add(v.0).wrapping_add(word(s, at + 16)).rotate_right(37).wrapping_mul(K1);
        y = y.wrapping_add(v.1).wrapping_add(word(s, at + 48)).rotate_right(42).wrapping_mul(K1);
        x ^= w.1;
        y ^= v.0;
        z = (z ^ w.0).rotate_right(33);
        v = weak(s, at, v.1.wrapping_mul(K1), x.wrapping_add(w.0));
        w = weak(s, at + 32, z.wrapping_add(w.1), y);
        std::mem::swap(&mut z, &mut x);
    }
    combine(combine(v.0, w.0).wrapping_add(mix(y).wrapping_mul(K1)).wrapping_add(z), combine(v.1, w.1).wrapping_add(x))
}
