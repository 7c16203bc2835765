//! The murmur hashes, versions 2 and 3.

fn word32(s: &[u8]) -> u32 {
    let mut bytes = [0; 4];
    bytes[..s.len().min(4)].copy_from_slice(&s[..s.len().min(4)]);
    u32::from_le_bytes(bytes)
}

fn word64(s: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..s.len().min(8)].copy_from_slice(&s[..s.len().min(8)]);
    u64::from_le_bytes(bytes)
}

pub fn two_32(s: &[u8], seed: u32) -> u32 {
    const M: u32 = 0x5BD1_E995;
    let mut h = seed ^ s.len() as u32;
    let mut blocks = s.chunks_exact(4);
    for block in blocks.by_ref() {
        let mut k = word32(block).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !blocks.remainder().is_empty() {
        h = (h ^ word32(blocks.remainder())).wrapping_mul(M);
    }
    h = (h ^ h >> 13).wrapping_mul(M);
    h ^ h >> 15
}

/// The 64-bit variant A.
pub fn two_64(s: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xC6A4_A793_5BD1_E995;
    let mut h = seed ^ (s.len() as u64).wrapping_mul(M);
    let mut blocks = s.chunks_exact(8);
    for block in blocks.by_ref() {
        let mut k = word64(block).wrapping_mul(M);
        k ^= k >> 47;
        h = (h ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !blocks.remainder().is_empty() {
        h = (h ^ word64(blocks.remainder())).wrapping_mul(M);
    }
    h = (h ^ h >> 47).wrapping_mul(M);
    h ^ h >> 47
}

pub fn three_32(s: &[u8]) -> u32 {
    let scramble = |k: u32| k.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
    let mut h = 0u32;
    let mut blocks = s.chunks_exact(4);
    for block in blocks.by_ref() {
        h = (h ^ scramble(word32(block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64);
    }
    h ^= scramble(word32(blocks.remainder()));
    h ^= s.len() as u32;
    h = (h ^ h >> 16).wrapping_mul(0x85EB_CA6B);
    h = (h ^ h >> 13).wrapping_mul(0xC2B2_AE35);
    h ^ h >> 16
}

/// The 128-bit variant for 64-bit machines: low and high half.
pub fn three_128(s: &[u8]) -> [u64; 2] {
    const C1: u64 = 0x87C3_7B91_1142_53D5;
    const C2: u64 = 0x4CF5_AD43_2745_937F;
    let first = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let second = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let (mut a, mut b) = (0u64, 0u64);
    let mut blocks = s.chunks_exact(16);
    for block in blocks.by_ref() {
        a = (a ^ first(word64(block))).rotate_left(27).wrapping_add(b).wrapping_mul(5).wrapping_add(0x52DC_E729);
        b = (b ^ second(word64(&block[8..]))).rotate_left(31).wrapping_add(a).wrapping_mul(5).wrapping_add(0x3849_5AB5);
    }
    let rest = blocks.remainder();
    if rest.len() > 8 {
        b ^= second(word64(&rest[8..]));
    }
    a ^= first(word64(rest));
    a ^= s.len() as u64;
    b ^= s.len() as u64;
    a = a.wrapping_add(b);
    b = b.wrapping_add(a);
    let finish = |mut k: u64| {
        k = (k ^ k >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        k = (k ^ k >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        k ^ k >> 33
    };
    (a, b) = (finish(a), finish(b));
    a = a.wrapping_add(b);
    b = b.wrapping_add(a);
    [a, b]
}
