//! Digests that no dependency brings: MD4 (RFC 1320) and BLAKE3.

/// MD4 of a text.
pub fn md4(text: &[u8]) -> [u8; 16] {
    let mut padded = text.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64) + if padded.len() % 64 > 56 { 64 } else { 0 }, 0);
    let end = padded.len() - 8;
    padded[end..].copy_from_slice(&(text.len() as u64).wrapping_mul(8).to_le_bytes());

    let mut state: [u32; 4] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476];
    for block in padded.chunks_exact(64) {
        let x: [u32; 16] = std::array::from_fn(|i| u32::from_le_bytes(std::array::from_fn(|byte| block[i * 4 + byte])));
        let [mut a, mut b, mut c, mut d] = state;
        for step in 0..48 {
            let (round, i) = (step / 16, step % 16);
            let (f, place, turns) = match round {
                0 => ((b & c) | (!b & d), i, [3, 7, 11, 19]),
                1 => ((b & c) | (b & d) | (c & d), i % 4 * 4 + i / 4, [3, 5, 9, 13]),
                // The places of the third round count with their bits reversed.
                _ => (b ^ c ^ d, (i as u8).reverse_bits() as usize >> 4, [3, 9, 11, 15]),
            };
            let constant: u32 = [0, 0x5A82_7999, 0x6ED9_EBA1][round];
            let next = a.wrapping_add(f).wrapping_add(x[place]).wrapping_add(constant).rotate_left(turns[i % 4]);
            (a, b, c, d) = (d, next, b, c);
        }
        for (old, new) in state.iter_mut().zip([a, b, c, d]) {
            *old = old.wrapping_add(new);
        }
    }
    let mut digest = [0; 16];
    digest.chunks_exact_mut(4).zip(state).for_each(|(out, word)| out.copy_from_slice(&word.to_le_bytes()));
    digest
}

const IV: [u32; 8] =
    [0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19];
const ORDER: [usize; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const CHUNK: usize = 1024;
const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const PARENT: u32 = 4;
const ROOT: u32 = 8;

/// One block before it is compressed: the last one of a text becomes the root, whatever it is.
struct Block {
    chain: [u32; 8],
    words: [u32; 16],
    counter: u64,
    len: u32,
    flags: u32,
}

impl Block {
    fn compress(&self, more: u32) -> [u32; 8] {
        let mut m = self.words;
        let c = &self.chain;
        let mut v = [
            c[0],
            c[1],
            c[2],
            c[3],
            c[4],
            c[5],
            c[6],
            c[7],
            IV[0],
            IV[1],
            IV[2],
            IV[3],
            self.counter as u32,
            (self.counter >> 32) as u32,
            self.len,
            self.flags | more,
        ];
        for round in 0..7 {
            for i in 0..4 {
                stir(&mut v, [i, 4 + i, 8 + i, 12 + i], m[2 * i], m[2 * i + 1]);
            }
            for i in 0..4 {
                let diagonal = [i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4];
                stir(&mut v, diagonal, m[8 + 2 * i], m[9 + 2 * i]);
            }
            if round < 6 {
                m = ORDER.map(|i| m[i]);
            }
        }
        std::array::from_fn(|i| v[i] ^ v[i + 8])
    }
}

fn stir(v: &mut [u32; 16], [a, b, c, d]: [usize; 4], x: u32, y: u32) {
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(12);
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(y);
    v[d] = (v[d] ^ v[a]).rotate_right(8);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(7);
}

/// The last block of a chunk; those before it are compressed.
fn chunk(text: &[u8], counter: u64) -> Block {
    let mut chain = IV;
    let blocks = text.len().div_ceil(64).max(1);
    for n in 0..blocks {
        let part = &text[n * 64..text.len().min(n * 64 + 64)];
        let mut bytes = [0; 64];
        bytes[..part.len()].copy_from_slice(part);
        let words = std::array::from_fn(|i| u32::from_le_bytes(std::array::from_fn(|byte| bytes[i * 4 + byte])));
        let flags = if n == 0 { CHUNK_START } else { 0 } | if n + 1 == blocks { CHUNK_END } else { 0 };
        let block = Block { chain, words, counter, len: part.len() as u32, flags };
        if n + 1 == blocks {
            return block;
        }
        chain = block.compress(0);
    }
    Block { chain, words: [0; 16], counter, len: 0, flags: CHUNK_START | CHUNK_END }
}

/// The top of the tree over `text`, whose first chunk is number `first`. As deep as the logarithm of the length.
fn tree(text: &[u8], first: u64) -> Block {
    if text.len() <= CHUNK {
        return chunk(text, first);
    }
    // The left side is the largest power of two chunks that leaves something on the right.
    let chunks = text.len().div_ceil(CHUNK);
    let left = 1 << (usize::BITS - 1 - (chunks - 1).leading_zeros());
    let (a, b) = text.split_at(left * CHUNK);
    let (a, b) = (tree(a, first).compress(0), tree(b, first + left as u64).compress(0));
    let words = std::array::from_fn(|i| if i < 8 { a[i] } else { b[i - 8] });
    Block { chain: IV, words, counter: 0, len: 64, flags: PARENT }
}

/// BLAKE3 of a text, in 32 bytes.
pub fn blake3(text: &[u8]) -> [u8; 32] {
    let words = tree(text, 0).compress(ROOT);
    let mut digest = [0; 32];
    digest.chunks_exact_mut(4).zip(words).for_each(|(out, word)| out.copy_from_slice(&word.to_le_bytes()));
    digest
}
