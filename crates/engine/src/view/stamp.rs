//! What a record of a target's log says of the view that wrote it.
//!
//! Promise: any bytes are read without a panic; the stamp of another kind of writer is none of ours. Layout:
//! docs/formats/checkpoint.md.

use bytes::Bytes;
use hydron_store::log::STAMP_BYTES_MAX;
use uuid::Uuid;

const MAGIC: u8 = b'V';
const FORMAT: u8 = 1;

/// Bytes before the steps.
const HEAD_BYTES: usize = 31;

/// Bytes of steps that fit into a stamp.
pub const STEPS_BYTES_MAX: usize = STAMP_BYTES_MAX - HEAD_BYTES;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub view: Uuid,
    pub unit: u64,
    /// Number of this record among those of the unit, and how many these are.
    pub part: u16,
    pub parts: u16,
    /// The steps that led to the unit; `None`: they are in the outbox.
    pub steps: Option<Bytes>,
}

impl Stamp {
    pub fn to_bytes(&self) -> Bytes {
        let steps = self.steps.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(HEAD_BYTES + steps.len());
        out.extend_from_slice(&[MAGIC, FORMAT]);
        out.extend_from_slice(self.view.as_bytes());
        out.extend_from_slice(&self.unit.to_le_bytes());
        out.extend_from_slice(&self.part.to_le_bytes());
        out.extend_from_slice(&self.parts.to_le_bytes());
        out.push(u8::from(self.steps.is_some()));
        out.extend_from_slice(steps);
        out.into()
    }

    /// The stamp of a view; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Stamp> {
        let (head, steps) = bytes.split_at_checked(HEAD_BYTES)?;
        if head[0] != MAGIC || head[1] != FORMAT {
            return None;
        }
        let u16_at = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        Some(Stamp {
            view: Uuid::from_slice(&head[2..18]).ok()?,
            unit: u64::from_le_bytes(head[18..26].try_into().ok()?),
            part: u16_at(26),
            parts: u16_at(28),
            steps: (head[30] == 1).then(|| Bytes::copy_from_slice(steps)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let one = Stamp { view: Uuid::from_u128(7), unit: 300, part: 2, parts: 5, steps: None };
        let other = Stamp { steps: Some(Bytes::from_static(b"steps")), ..one.clone() };
        for stamp in [one, other] {
            assert_eq!(Stamp::from_bytes(&stamp.to_bytes()), Some(stamp));
        }
        assert_eq!(Stamp::from_bytes(b"I am of an INSERT and long enough to be looked at"), None);
        assert_eq!(Stamp::from_bytes(b"V\x01"), None);
    }
}
