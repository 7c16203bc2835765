//! Steps of a query as bytes: in the stamp of a view's record, in an epoch, in an outbox.
//!
//! Promise: `decode(encode(steps)) == steps`; any bytes are read without a panic. Layout: docs/formats/checkpoint.md.

use hydron_base::world::WallTime;
use hydron_base::{Code, Error, Result};
use hydron_flow::host::{Stamped, Step, Steps};
use std::collections::HashMap;

/// Bytes that one step may take: a kind with its source, a shard, a record, a time.
pub const STEP_BYTES_MAX: usize = 28;

const ROWS: u64 = 0;
const PASSING: u64 = 1;
const TIMER: u64 = 2;
const PAST_END: u64 = 3;
const END: u64 = 4;
const KINDS: u64 = 5;

/// A step is its kind and source in one number, then shard and record for rows, then the time; record and time as the
/// distance from the one before.
pub fn encode(steps: &Steps, out: &mut Vec<u8>) {
    put(out, steps.first);
    put(out, steps.steps.len() as u64);
    let (mut now, mut last) = (0, HashMap::new());
    for Stamped { step, now: at } in &steps.steps {
        let (kind, source) = match step {
            Step::Rows { source, .. } => (ROWS, *source),
            Step::Passing => (PASSING, 0),
            Step::Timer => (TIMER, 0),
            Step::PastEnd { source } => (PAST_END, *source),
            Step::End { source } => (END, *source),
        };
        put(out, u64::from(source) * KINDS + kind);
        if let Step::Rows { source, shard, sequence } = step {
            put(out, u64::from(*shard));
            let before = last.insert((*source, *shard), *sequence).unwrap_or(0);
            put_signed(out, sequence.wrapping_sub(before));
        }
        put_signed(out, at.0.wrapping_sub(now));
        now = at.0;
    }
}

/// Errors: CANNOT_READ_ALL_DATA.
pub fn decode(bytes: &[u8]) -> Result<Steps> {
    let mut reader = Reader(bytes);
    let mut steps = Steps::starting_at(reader.number()?);
    let count = reader.number()?;
    let (mut now, mut last) = (0i64, HashMap::new());
    for _ in 0..count {
        let head = reader.number()?;
        let source = u32::try_from(head / KINDS).map_err(|_| damaged("a source"))?;
        let step = match head % KINDS {
            ROWS => {
                let shard = u32::try_from(reader.number()?).map_err(|_| damaged("a shard"))?;
                let before = last.entry((source, shard)).or_insert(0i64);
                *before = before.wrapping_add(reader.signed()?);
                Step::Rows { source, shard, sequence: *before }
            }
            PASSING => Step::Passing,
            TIMER => Step::Timer,
            PAST_END => Step::PastEnd { source },
            _ => Step::End { source },
        };
        now = now.wrapping_add(reader.signed()?);
        steps.push(step, WallTime(now))?;
    }
    if reader.0.is_empty() { Ok(steps) } else { Err(damaged("bytes follow the last step")) }
}

fn damaged(what: &str) -> Error {
    Error::new(Code::CANNOT_READ_ALL_DATA, format!("the steps of a query are damaged: {what}"))
}

/// Seven bits a byte, lowest first; the high bit says that more follow.
pub fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_signed(out: &mut Vec<u8>, n: i64) {
    put(out, ((n << 1) ^ (n >> 63)) as u64);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Result<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let Some((byte, rest)) = self.0.split_first() else { return Err(damaged("they end too early")) };
            self.0 = rest;
            n |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(damaged("a number is too long"))
    }

    fn signed(&mut self) -> Result<i64> {
        let n = self.number()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Steps {
        let rows = |source, shard, sequence| Step::Rows { source, shard, sequence };
        let all = [
            rows(0, 0, 7),
            rows(0, 1, 3),
            Step::Timer,
            rows(0, 0, 8),
            rows(3, 0, i64::MAX),
            rows(3, 0, -1),
            Step::Passing,
            Step::PastEnd { source: 2 },
            Step::End { source: 1 },
        ];
        let stamp =
            |(i, step): (usize, &Step)| Stamped { step: *step, now: WallTime(1_700_000_000_000_000 - i as i64) };
        Steps { first: 41, steps: all.iter().enumerate().map(stamp).collect() }
    }

    #[test]
    fn steps_come_back() {
        let mut bytes = Vec::new();
        encode(&steps(), &mut bytes);
        assert_eq!(decode(&bytes).unwrap(), steps());
        assert!(bytes.len() < steps().steps.len() * STEP_BYTES_MAX);
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]).unwrap_err().code, Code::CANNOT_READ_ALL_DATA);
        }
    }

    #[test]
    fn ordinary_steps_are_small() {
        let mut steps = Steps::starting_at(1_000_000);
        for i in 0..1_000 {
            let step = Step::Rows { source: 0, shard: 0, sequence: 1_000_000 + i };
            steps.push(step, WallTime(1_700_000_000_000_000 + i * 900)).unwrap();
        }
        let mut bytes = Vec::new();
        encode(&steps, &mut bytes);
        assert!(bytes.len() <= 5_100, "{} bytes", bytes.len());
    }
}
