//! SipHash-2-4 whose last state is folded to 128 bits as ClickHouse does it: each half of the state for itself.

/// The lower and the higher half of the hash of `bytes` under a key of two words.
pub(super) fn halves(key0: u64, key1: u64, bytes: &[u8]) -> [u64; 2] {
    let mut v = [
        0x736F_6D65_7073_6575 ^ key0,
        0x646F_7261_6E64_6F6D ^ key1,
        0x6C79_6765_6E65_7261 ^ key0,
        0x7465_6462_7974_6573 ^ key1,
    ];
    let mut chunks = bytes.chunks_exact(8);
    for chunk in chunks.by_ref() {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        absorb(&mut v, u64::from_le_bytes(word));
    }
    let mut last = [0; 8];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    last[7] = bytes.len() as u8;
    absorb(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xFF;
    (0..4).for_each(|_| round(&mut v));
    [v[0] ^ v[1], v[2] ^ v[3]]
}

fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}
