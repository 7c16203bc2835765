//! MetroHash64 and wyhash (final version 4), both with the seed 0.

fn word(s: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&s[..8]);
    u64::from_le_bytes(bytes)
}

fn half(s: &[u8]) -> u64 {
    u64::from(u32::from_le_bytes([s[0], s[1], s[2], s[3]]))
}

const M0: u64 = 0xC83A_91E1;
const M1: u64 = 0x8648_DBDB;
const M2: u64 = 0x7BDE_C03B;
const M3: u64 = 0x2F58_70A5;

pub fn metro64(mut s: &[u8]) -> u64 {
    let mut hash = M2.wrapping_mul(M0).wrapping_add(s.len() as u64);
    if s.len() >= 32 {
        let mut v = [hash; 4];
        while s.len() >= 32 {
            for (i, mul) in [M0, M1, M2, M3].into_iter().enumerate() {
                let other = v[(i + 2) % 4];
                v[i] = v[i].wrapping_add(word(&s[i * 8..]).wrapping_mul(mul)).rotate_right(29).wrapping_add(other);
            }
            s = &s[32..];
        }
        v[2] ^= (v[0].wrapping_add(v[3]).wrapping_mul(M0).wrapping_add(v[1])).rotate_right(33).wrapping_mul(M1);
        v[3] ^= (v[1].wrapping_add(v[2]).wrapping_mul(M1).wrapping_add(v[0])).rotate_right(33).wrapping_mul(M0);
        v[0] ^= (v[0].wrapping_add(v[2]).wrapping_mul(M0).wrapping_add(v[3])).rotate_right(33).wrapping_mul(M1);
        v[1] ^= (v[1].wrapping_add(v[3]).wrapping_mul(M1).wrapping_add(v[2])).rotate_right(33).wrapping_mul(M0);
        hash = hash.wrapping_add(v[0] ^ v[1]);
    }
    if s.len() >= 16 {
        let mut a = hash.wrapping_add(word(s).wrapping_mul(M0)).rotate_right(33).wrapping_mul(M1);
        let mut b = hash.wrapping_add(word(&s[8..]).wrapping_mul(M1)).rotate_right(33).wrapping_mul(M2);
        a ^= a.wrapping_mul(M0).rotate_right(35).wrapping_add(b);
        b ^= b.wrapping_mul(M3).rotate_right(35).wrapping_add(a);
        hash = hash.wrapping_add(b);
        s = &s[16..];
    }
    if s.len() >= 8 {
        hash = hash.wrapping_add(word(s).wrapping_mul(M3));
        hash ^= hash.rotate_right(33).wrapping_mul(M1);
        s = &s[8..];
    }
    if s.len() >= 4 {
        hash = hash.wrapping_add(half(s).wrapping_mul(M3));
        hash ^= hash.rotate_right(15).wrapping_mul(M1);
        s = &s[4..];
    }
    if s.len() >= 2 {
        hash = hash.wrapping_add(u64::from(u16::from_le_bytes([s[0], s[1]])).wrapping_mul(M3));
        hash ^= hash.rotate_right(13).wrapping_mul(M1);
        s = &s[2..];
    }
    if let [byte] = s {
        hash = hash.wrapping_add(u64::from(*byte).wrapping_mul(M3));
        hash ^= hash.rotate_right(25).wrapping_mul(M1);
    }
    hash ^= hash.rotate_right(33);
    hash = hash.wrapping_mul(M0);
    hash ^ hash.rotate_right(33)
}

const SECRET: [u64; 4] = [0xA076_1D64_78BD_642F, 0xE703_7ED1_A0B4_28DB, 0x8EBC_6AF0_9C88_C6E3, 0x5899_65CC_7537_4CC3];

/// The two halves of a product, folded.
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

pub fn wy64(s: &[u8]) -> u64 {
    let n = s.len();
    let mut seed = folded(SECRET[0], SECRET[1]);
    let (a, b) = match n {
        0 => (0, 0),
        1..=3 => (u64::from(s[0]) << 16 | u64::from(s[n >> 1]) << 8 | u64::from(s[n - 1]), 0),
        4..=16 => {
            let skip = (n >> 3) << 2;
            (half(s) << 32 | half(&s[skip..]), half(&s[n - 4..]) << 32 | half(&s[n - 4 - skip..]))
        }
        _ => {
            let mut rest = s;
            if rest.len() > 48 {
                let (mut second, mut third) = (seed, seed);
                while rest.len() > 48 {
                    seed = folded(word(rest) ^ SECRET[1], word(&rest[8..]) ^ seed);
                    second = folded(word(&rest[16..]) ^ SECRET[2], word(&rest[24..]) ^ second);
                    third = folded(word(&rest[32..]) ^ SECRET[3], word(&rest[40..]) ^ third);
                    rest = &rest[48..];
                }
                seed ^= second ^ third;
            }
            while rest.len() > 16 {
                seed = folded(word(rest) ^ SECRET[1], word(&rest[8..]) ^ seed);
                rest = &rest[16..];
            }
            (word(&s[n - 16..]), word(&s[n - 8..]))
        }
    };
    let product = u128::from(a ^ SECRET[1]) * u128::from(b ^ seed);
    folded(product as u64 ^ SECRET[0] ^ n as u64, (product >> 64) as u64 ^ SECRET[1])
}
