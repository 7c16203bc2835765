//! Hashids: short texts for numbers, by an alphabet shuffled with a salt.

use hydron_base::{Error, Result};

const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ1234567890";
const SEPARATORS: &[u8] = b"cfhistuCFHISTU";
const ALPHABET_MIN: usize = 16;

/// A salted alphabet, ready to encode.
pub struct Ids {
    salt: Vec<u8>,
    length_min: usize,
    alphabet: Vec<u8>,
    separators: Vec<u8>,
    guards: Vec<u8>,
}

/// Permutes `text` as the bytes of `salt` say.
fn shuffle(text: &mut [u8], salt: &[u8]) {
    if salt.is_empty() {
        return;
    }
    let (mut place, mut sum) = (0, 0);
    for i in (1..text.len()).rev() {
        place %= salt.len();
        let byte = usize::from(salt[place]);
        sum += byte;
        text.swap(i, (byte + place + sum) % i);
        place += 1;
    }
}

impl Ids {
    /// Errors: BAD_ARGUMENTS (36) for an alphabet of fewer than 16 different characters.
    pub fn new(salt: &[u8], length_min: usize, alphabet: Option<&[u8]>) -> Result<Ids> {
        let given = alphabet.unwrap_or(ALPHABET);
        let mut all: Vec<u8> = Vec::with_capacity(given.len());
        for byte in given {
            if !all.contains(byte) {
                all.push(*byte);
            }
        }
        if all.len() < ALPHABET_MIN || all.len() < given.len() || all.contains(&b' ') {
            return Err(Error::bad_arguments(format!(
                "the alphabet of hashid must be at least {ALPHABET_MIN} different characters without spaces"
            )));
        }
        let mut separators: Vec<u8> = SEPARATORS.iter().filter(|b| all.contains(b)).copied().collect();
        let mut alphabet: Vec<u8> = all.into_iter().filter(|b| !separators.contains(b)).collect();
        shuffle(&mut separators, salt);
        // At most 3.5 letters for one separator.
        if separators.is_empty() || alphabet.len() as f64 / separators.len() as f64 > 3.5 {
            let wanted = ((alphabet.len() as f64 / 3.5).ceil() as usize).max(2);
            if wanted > separators.len() {
                let more = wanted - separators.len();
                separators.extend(alphabet.drain(..more));
            } else {
                separators.truncate(wanted);
            }
        }
        shuffle(&mut alphabet, salt);
        let count = alphabet.len().div_ceil(12);
        let guards = if alphabet.len() < 3 { separators.drain(..count) } else { alphabet.drain(..count) }.collect();
        Ok(Ids { salt: salt.to_vec(), length_min, alphabet, separators, guards })
    }

    /// The text of a list of numbers.
    pub fn encode(&self, numbers: &[u64]) -> Vec<u8> {
        if numbers.is_empty() {
            return Vec::new();
        }
        let sum: u64 = numbers.iter().enumerate().map(|(i, n)| n % (i as u64 + 100)).sum();
        let mut alphabet = self.alphabet.clone();
        let lottery = alphabet[(sum % alphabet.len() as u64) as usize];
        let mut id = vec![lottery];
        for (i, number) in numbers.iter().enumerate() {
            let mut salt = vec![lottery];
            salt.extend_from_slice(&self.salt);
            salt.extend_from_slice(&alphabet);
            salt.truncate(alphabet.len());
            shuffle(&mut alphabet, &salt);
            let start = id.len();
            let mut rest = *number;
            loop {
                id.push(alphabet[(rest % alphabet.len() as u64) as usize]);
                rest /= alphabet.len() as u64;
                if rest == 0 {
                    break;
                }
            }
            id[start..].reverse();
            if i + 1 < numbers.len() {
                let turn = number % (u64::from(id[start]) + i as u64);
                id.push(self.separators[(turn % self.separators.len() as u64) as usize]);
            }
        }
        self.lengthen(id, alphabet, sum)
    }

    fn lengthen(&self, mut id: Vec<u8>, mut alphabet: Vec<u8>, sum: u64) -> Vec<u8> {
        let guard = |byte: u8| self.guards[((sum + u64::from(byte)) % self.guards.len() as u64) as usize];
        if id.len() < self.length_min {
            id.insert(0, guard(id[0]));
        }
        if id.len() < self.length_min && id.len() > 2 {
            id.push(guard(id[2]));
        }
        while id.len() < self.length_min {
            let salt = alphabet.clone();
            shuffle(&mut alphabet, &salt);
            let (front, back) = alphabet.split_at(alphabet.len() / 2);
            id = [back, &id, front].concat();
            let excess = id.len().saturating_sub(self.length_min);
            if excess > 0 {
                id = id[excess / 2..][..self.length_min].to_vec();
            }
        }
        id
    }
}
