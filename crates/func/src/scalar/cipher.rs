//! AES: `encrypt`, `decrypt`, `try_decrypt`, and the forms that MySQL has.
//!
//! In: a mode such as `aes-256-gcm`, a text, a key, perhaps an initialization vector and (for GCM) text that is authenticated with
//! it. Out: bytes; in GCM the tag of 16 bytes stands behind them. ECB and CBC fill up the last block (PKCS #7). Errors:
//! BAD_ARGUMENTS (36) for a mode, key or vector that does not fit, OPENSSL_ERROR (454) for a text that does not decrypt.

use super::column::{Texts, try_texts};
use super::define::{Call, define};
use crate::call::BoundCall;
use crate::registry::Registry;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use hydron_base::{Code, Error, Result};
use hydron_types::column::ColumnBuilder;
use hydron_types::{LogicalType, Value};

const BLOCK: usize = 16;

pub fn register(registry: &mut Registry) {
    define(registry, "encrypt", |call| bind(call, Way { decrypts: false, mysql: false, tries: false }));
    define(registry, "decrypt", |call| bind(call, Way { decrypts: true, mysql: false, tries: false }));
    define(registry, "try_decrypt", |call| bind(call, Way { decrypts: true, mysql: false, tries: true }));
    define(registry, "aes_encrypt_mysql", |call| bind(call, Way { decrypts: false, mysql: true, tries: false }));
    define(registry, "aes_decrypt_mysql", |call| bind(call, Way { decrypts: true, mysql: true, tries: false }));
}

#[derive(Clone, Copy)]
struct Way {
    decrypts: bool,
    /// Keys of any length are folded to the length of the mode, longer vectors are cut.
    mysql: bool,
    /// What does not decrypt is NULL.
    tries: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Chain {
    Ecb,
    Cbc,
    Cfb,
    Ofb,
    Ctr,
    Gcm,
}

fn mode(call: &Call<'_>, mysql: bool) -> Result<(usize, Chain)> {
    let name = String::from_utf8_lossy(call.constant_text(0)?).to_ascii_lowercase();
    let wrong = || {
        Error::bad_arguments(format!("\"{}\" does not know the mode '{name}'", call.name))
            .hint("aes-256-cbc, aes-128-ecb")
    };
    let (bits, chain) = name.strip_prefix("aes-").and_then(|rest| rest.split_once('-')).ok_or_else(wrong)?;
    let bytes = match bits {
        "128" => 16,
        "192" => 24,
        "256" => 32,
        _ => return Err(wrong()),
    };
    let chain = match chain {
        "ecb" => Chain::Ecb,
        "cbc" => Chain::Cbc,
        "cfb128" => Chain::Cfb,
        "ofb" => Chain::Ofb,
        "ctr" if !mysql => Chain::Ctr,
        "gcm" if !mysql => Chain::Gcm,
        _ => return Err(wrong()),
    };
    Ok((bytes, chain))
}

fn bind(call: &Call<'_>, way: Way) -> Result<BoundCall> {
    call.arity(3..=if way.mysql { 4 } else { 5 })?;
    (0..call.args.len()).try_for_each(|i| call.need_string(i))?;
    let (key_bytes, chain) = mode(call, way.mysql)?;
    if chain == Chain::Gcm && call.args.len() < 4 {
        return Err(Error::bad_arguments("a GCM mode needs an initialization vector"));
    }
    if chain != Chain::Gcm && call.args.len() > 4 {
        return Err(Error::bad_arguments("only GCM modes authenticate further text"));
    }
    let run = move |args: &[Texts<'_>], row: usize, out: &mut Vec<u8>| {
        let text = args[0].at(row);
        let key = fitting_key(args[1].at(row), key_bytes, way.mysql)?;
        let cipher = Cipher::new(&key);
        let iv = args.get(2).map_or(&[][..], |iv| iv.at(row));
        if chain == Chain::Gcm {
            let aad = args.get(3).map_or(&[][..], |aad| aad.at(row));
            return if way.decrypts { cipher.open(text, iv, aad, out) } else { cipher.seal(text, iv, aad, out) };
        }
        let iv = fitting_iv(iv, chain, way.mysql)?;
        if way.decrypts { cipher.decrypt(chain, text, iv, out) } else { cipher.encrypt(chain, text, iv, out) }
    };
    if !way.tries {
        return call.returns(LogicalType::String, move |args, rows| {
            let texts = args[1..].iter().map(Texts::of).collect::<Result<Vec<_>>>()?;
            try_texts(rows, |row, out| run(&texts, row, out))
        });
    }
    let ty = LogicalType::nullable(LogicalType::String);
    call.returns(ty.clone(), move |args, rows| {
        let texts = args[1..].iter().map(Texts::of).collect::<Result<Vec<_>>>()?;
        let mut builder = ColumnBuilder::new(&ty);
        for row in 0..rows {
            let mut out = Vec::new();
            let value = match run(&texts, row, &mut out) {
                Ok(()) => Value::Bytes(out),
                Err(e) if e.code == Code::OPENSSL_ERROR => Value::Null,
                Err(e) => return Err(e),
            };
            builder.append(&value)?;
        }
        builder.finish()
    })
}

fn fitting_key(key: &[u8], bytes: usize, mysql: bool) -> Result<Vec<u8>> {
    if mysql {
        let mut folded = vec![0; bytes];
        key.iter().enumerate().for_each(|(i, b)| folded[i % bytes] ^= b);
        return Ok(folded);
    }
    if key.len() == bytes {
        return Ok(key.to_vec());
    }
    Err(Error::bad_arguments(format!("the mode takes a key of {bytes} bytes, given {}", key.len())))
}

fn fitting_iv(iv: &[u8], chain: Chain, mysql: bool) -> Result<[u8; BLOCK]> {
    let mut fitting = [0; BLOCK];
    match iv.len() {
        0 => {}
        _ if chain == Chain::Ecb && mysql => {}
        _ if chain == Chain::Ecb => return Err(Error::bad_arguments("an ECB mode takes no initialization vector")),
        BLOCK => fitting.copy_from_slice(iv),
        n if n > BLOCK && mysql => fitting.copy_from_slice(&iv[..BLOCK]),
        n => {
            return Err(Error::bad_arguments(format!("the initialization vector has {BLOCK} bytes, given {n}")));
        }
    }
    Ok(fitting)
}

enum Cipher {
    Short(Box<Aes128>),
    Middle(Box<Aes192>),
    Long(Box<Aes256>),
}

fn failed(why: &str) -> Error {
    Error::new(Code::OPENSSL_ERROR, format!("the text does not decrypt: {why}"))
}

fn mix(block: &mut [u8; BLOCK], other: &[u8]) {
    block.iter_mut().zip(other).for_each(|(a, b)| *a ^= b);
}

impl Cipher {
    /// The length of the key was checked.
    fn new(key: &[u8]) -> Cipher {
        let short = |n: usize| key.get(..n).unwrap_or(key);
        if let Ok(cipher) = Aes256::new_from_slice(key) {
            return Cipher::Long(Box::new(cipher));
        }
        if let Ok(cipher) = Aes192::new_from_slice(key) {
            return Cipher::Middle(Box::new(cipher));
        }
        let mut bytes = [0u8; 16];
        bytes[..short(16).len()].copy_from_slice(short(16));
        Cipher::Short(Box::new(Aes128::new(&bytes.into())))
    }

    fn forth(&self, block: [u8; BLOCK]) -> [u8; BLOCK] {
        let mut block = block.into();
        match self {
            Cipher::Short(c) => c.encrypt_block(&mut block),
            Cipher::Middle(c) => c.encrypt_block(&mut block),
            Cipher::Long(c) => c.encrypt_block(&mut block),
        }
        block.into()
    }

    fn back(&self, block: [u8; BLOCK]) -> [u8; BLOCK] {
        let mut block = block.into();
        match self {
            Cipher::Short(c) => c.decrypt_block(&mut block),
            Cipher::Middle(c) => c.decrypt_block(&mut block),
            Cipher::Long(c) => c.decrypt_block(&mut block),
        }
        block.into()
    }

    fn encrypt(&self, chain: Chain, text: &[u8], iv: [u8; BLOCK], out: &mut Vec<u8>) -> Result<()> {
        if !matches!(chain, Chain::Ecb | Chain::Cbc) {
            self.stream(chain, false, text, iv, out);
            return Ok(());
        }
        let mut padded = text.to_vec();
        let fill = BLOCK - text.len() % BLOCK;
        padded.resize(text.len() + fill, fill as u8);
        let mut before = iv;
        for part in padded.chunks_exact(BLOCK) {
            let mut block = [0; BLOCK];
            block.copy_from_slice(part);
            if chain == Chain::Cbc {
                mix(&mut block, &before);
            }
            before = self.forth(block);
            out.extend_from_slice(&before);
        }
        Ok(())
    }

    fn decrypt(&self, chain: Chain, text: &[u8], iv: [u8; BLOCK], out: &mut Vec<u8>) -> Result<()> {
        if !matches!(chain, Chain::Ecb | Chain::Cbc) {
            self.stream(chain, true, text, iv, out);
            return Ok(());
        }
        if text.is_empty() || !text.len().is_multiple_of(BLOCK) {
            return Err(failed("its length is no multiple of 16"));
        }
        let start = out.len();
        let mut before = iv;
        for part in text.chunks_exact(BLOCK) {
            let mut block = [0; BLOCK];
            block.copy_from_slice(part);
            let mut plain = self.back(block);
            if chain == Chain::Cbc {
                mix(&mut plain, &before);
            }
            before = block;
            out.extend_from_slice(&plain);
        }
        let fill = usize::from(out.last().copied().unwrap_or(0));
        let padding_ok = (1..=BLOCK).contains(&fill) && out[out.len() - fill..].iter().all(|b| usize::from(*b) == fill);
        if !padding_ok {
            out.truncate(start);
            return Err(failed("its padding is wrong"));
        }
        out.truncate(out.len() - fill);
        Ok(())
    }

    /// Modes in which the cipher makes bytes that are added to the text.
    fn stream(&self, chain: Chain, decrypts: bool, text: &[u8], iv: [u8; BLOCK], out: &mut Vec<u8>) {
        let mut state = iv;
        for part in text.chunks(BLOCK) {
            let mut block = self.forth(state);
            let made = block;
            mix(&mut block, part);
            out.extend_from_slice(&block[..part.len()]);
            match chain {
                Chain::Ofb => state = made,
                Chain::Cfb if part.len() == BLOCK => {
                    state.copy_from_slice(if decrypts { part } else { &block });
                }
                _ => state = u128::from_be_bytes(state).wrapping_add(1).to_be_bytes(),
            }
        }
    }

    fn seal(&self, text: &[u8], iv: &[u8], aad: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (start, first) = (out.len(), self.first_counter(iv)?);
        self.count(first, text, out);
        let tag = self.tag(first, aad, &out[start..]);
        out.extend_from_slice(&tag);
        Ok(())
    }

    fn open(&self, text: &[u8], iv: &[u8], aad: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let first = self.first_counter(iv)?;
        let Some(length) = text.len().checked_sub(BLOCK) else { return Err(failed("it is shorter than its tag")) };
        let (text, tag) = text.split_at(length);
        // Compared without telling where they differ.
        let differs = self.tag(first, aad, text).iter().zip(tag).fold(0, |d, (a, b)| d | (a ^ b));
        if differs != 0 {
            return Err(failed("its tag is wrong"));
        }
        self.count(first, text, out);
        Ok(())
    }

    /// The text under the counters behind the first one; only their last 32 bits count.
    fn count(&self, first: [u8; BLOCK], text: &[u8], out: &mut Vec<u8>) {
        let mut counter = first;
        for part in text.chunks(BLOCK) {
            let low = u32::from_be_bytes([counter[12], counter[13], counter[14], counter[15]]).wrapping_add(1);
            counter[12..].copy_from_slice(&low.to_be_bytes());
            let mut block = self.forth(counter);
            mix(&mut block, part);
            out.extend_from_slice(&block[..part.len()]);
        }
    }

    fn first_counter(&self, iv: &[u8]) -> Result<[u8; BLOCK]> {
        let mut counter = [0; BLOCK];
        match iv.len() {
            0 => return Err(Error::bad_arguments("the initialization vector of a GCM mode is not empty")),
            12 => {
                counter[..12].copy_from_slice(iv);
                counter[15] = 1;
            }
            n => {
                let mut hash = 0;
                self.hash(&mut hash, iv);
                hash = multiply(hash ^ (n as u128 * 8), self.key_of_hash());
                counter = hash.to_be_bytes();
            }
        }
        Ok(counter)
    }

    fn key_of_hash(&self) -> u128 {
        u128::from_be_bytes(self.forth([0; BLOCK]))
    }

    /// GHASH over the blocks of `bytes`, filled up with zeros.
    fn hash(&self, hash: &mut u128, bytes: &[u8]) {
        let key = self.key_of_hash();
        for part in bytes.chunks(BLOCK) {
            let mut block = [0; BLOCK];
            block[..part.len()].copy_from_slice(part);
            *hash = multiply(*hash ^ u128::from_be_bytes(block), key);
        }
    }

    fn tag(&self, first: [u8; BLOCK], aad: &[u8], text: &[u8]) -> [u8; BLOCK] {
        let mut hash = 0;
        self.hash(&mut hash, aad);
        self.hash(&mut hash, text);
        let lengths = (aad.len() as u128 * 8) << 64 | (text.len() as u128 * 8);
        hash = multiply(hash ^ lengths, self.key_of_hash());
        (hash ^ u128::from_be_bytes(self.forth(first))).to_be_bytes()
    }
}

/// The product in the field of GCM, bit by bit and without branches on the key.
fn multiply(x: u128, y: u128) -> u128 {
    const REDUCTION: u128 = 0xE1 << 120;
    let (mut product, mut v) = (0, y);
    for bit in (0..128).rev() {
        product ^= v & (x >> bit & 1).wrapping_neg();
        v = (v >> 1) ^ (REDUCTION & (v & 1).wrapping_neg());
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::testing::{check, check_errors};

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[i * 2..i * 2 + 2], 16).expect("hex")).collect()
    }

    /// FIPS 197, appendix C, and SP 800-38A, appendix F.
    #[test]
    fn modes_are_those_of_nist() {
        let plain = bytes("00112233445566778899aabbccddeeff");
        let mut out = Vec::new();
        let key: Vec<u8> = (0..32).collect();
        Cipher::new(&key).encrypt(Chain::Ecb, &plain, [0; 16], &mut out).expect("encrypts");
        assert_eq!(out[..16], bytes("8ea2b7ca516745bfeafc49904b496089"));
        let key = bytes("2b7e151628aed2a6abf7158809cf4f3c");
        let iv: [u8; 16] = std::array::from_fn(|i| i as u8);
        let plain = bytes("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        let counter = bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").try_into().expect("16 bytes");
        for (chain, iv, wanted) in [
            (Chain::Cbc, iv, "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"),
            (Chain::Cfb, iv, "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b"),
            (Chain::Ofb, iv, "3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825"),
            (Chain::Ctr, counter, "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"),
        ] {
            let (mut sealed, mut opened) = (Vec::new(), Vec::new());
            Cipher::new(&key).encrypt(chain, &plain, iv, &mut sealed).expect("encrypts");
            assert_eq!(sealed[..32], bytes(wanted));
            Cipher::new(&key).decrypt(chain, &sealed, iv, &mut opened).expect("decrypts");
            assert_eq!(opened, plain);
        }
    }

    /// Test cases 4 and 6 of McGrew and Viega's GCM.
    #[test]
    fn gcm_authenticates() {
        let cipher = Cipher::new(&bytes("feffe9928665731c6d6a8f9467308308"));
        let plain = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        let aad = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let long_iv = bytes(
            "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e2429a6b525416aedbf5a0de6a57a637b39b",
        );
        for (iv, tag) in [
            (bytes("cafebabefacedbaddecaf888"), "5bc94fbc3221a5db94fae95ae7121a47"),
            (long_iv, "619cc5aefffe0bfa462af43c1699d050"),
        ] {
            let (mut sealed, mut opened) = (Vec::new(), Vec::new());
            cipher.seal(&plain, &iv, &aad, &mut sealed).expect("seals");
            assert_eq!(sealed[plain.len()..], bytes(tag));
            cipher.open(&sealed, &iv, &aad, &mut opened).expect("opens");
            assert_eq!(opened, plain);
            sealed[0] ^= 1;
            assert_eq!(cipher.open(&sealed, &iv, &aad, &mut opened).map_err(|e| e.code), Err(Code::OPENSSL_ERROR));
        }
    }

    #[test]
    fn keys_must_fit_unless_mysql_folds_them() {
        check_errors(
            r"
            encrypt | string:aes-128-ecb ; string:text ; string:short | BAD_ARGUMENTS
            encrypt | string:aes-64-ecb ; string:text ; string:short | BAD_ARGUMENTS
            encrypt | string:aes-128-gcm ; string:text ; string:keykeykeykeykeyk | BAD_ARGUMENTS
            decrypt | string:aes-128-ecb ; string:text ; string:keykeykeykeykeyk | OPENSSL_ERROR
            aes_encrypt_mysql | string:aes-128-gcm ; string:text ; string:key ; string:iv | BAD_ARGUMENTS
            encrypt | string:aes-128-ecb ; string:text | NUMBER_OF_ARGUMENTS_DOESNT_MATCH
            ",
        );
        check("try_decrypt | !string:aes-128-ecb ; string:text ; string:keykeykeykeykeyk | nullable(string):NULL");
    }
}
