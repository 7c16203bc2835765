//! The bytes of a file: a head that says how long the rest is and what it must sum up to, then sections.
//!
//! In: sections. Out: the same. Promise: bytes that are not what was written are refused, whatever they are. Layout:
//! docs/formats/checkpoint.md.

/// Bytes of the head.
pub const HEAD_BYTES: usize = 40;

const MAGIC: &[u8; 4] = b"HYCK";

/// The format that this program writes; a higher one is refused.
const FORMAT: u16 = 1;

/// Sections of one file: an epoch has three, an outbox one for each record of 5 MiB or of a shard.
pub const SECTIONS_MAX: u32 = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Query,
    Epoch,
    Outbox,
    Deleted,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Query => 1,
            Kind::Epoch => 2,
            Kind::Outbox => 3,
            Kind::Deleted => 4,
        }
    }
}

/// Why bytes are not a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// They are not what was written.
    Damaged(String),
    /// A later program wrote them.
    Newer(u16),
}

fn damaged<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::Damaged(why.into()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub written_us: i64,
    pub sections: u32,
    body_bytes: u64,
    body_crc: u32,
}

/// The head of a file and the lengths of its sections, to be written before the sections themselves.
pub fn head_of(kind: Kind, written_us: i64, sections: &[&[u8]]) -> Vec<u8> {
    let mut lengths = Vec::with_capacity(sections.len() * 8);
    sections.iter().for_each(|s| lengths.extend_from_slice(&(s.len() as u64).to_le_bytes()));
    let crc = sections.iter().fold(crc32c::crc32c(&lengths), |crc, s| crc32c::crc32c_append(crc, s));
    let bytes = lengths.len() as u64 + sections.iter().map(|s| s.len() as u64).sum::<u64>();
    let mut head = Vec::with_capacity(HEAD_BYTES + lengths.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&FORMAT.to_le_bytes());
    head.push(kind.number());
    head.push(0);
    head.extend_from_slice(&written_us.to_le_bytes());
    head.extend_from_slice(&bytes.to_le_bytes());
    head.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    head.extend_from_slice(&crc.to_le_bytes());
    head.extend_from_slice(&[0; 4]);
    let own = crc32c::crc32c(&head);
    head.extend_from_slice(&own.to_le_bytes());
    head.extend_from_slice(&lengths);
    head
}

/// Reads the head alone.
pub fn read_head(kind: Kind, bytes: &[u8]) -> Result<Head, Refused> {
    let Some(head) = bytes.first_chunk::<HEAD_BYTES>() else {
        return damaged("it is shorter than its head");
    };
    let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    if &head[..4] != MAGIC {
        return damaged("it does not begin as a checkpoint does");
    }
    if u32_at(36) != crc32c::crc32c(&head[..36]) {
        return damaged("checksum of the head differs");
    }
    let format = u16::from_le_bytes([head[4], head[5]]);
    if format > FORMAT {
        return Err(Refused::Newer(format));
    }
    if head[6] != kind.number() {
        return damaged(format!("it is of kind {}, not {}", head[6], kind.number()));
    }
    Ok(Head { written_us: u64_at(8) as i64, body_bytes: u64_at(16), sections: u32_at(24), body_crc: u32_at(28) })
}

/// The sections of a whole file.
pub fn read(kind: Kind, bytes: &[u8]) -> Result<(Head, Vec<&[u8]>), Refused> {
    let head = read_head(kind, bytes)?;
    let body = &bytes[HEAD_BYTES..];
    if head.body_bytes != body.len() as u64 {
        return damaged(format!("{} bytes expected after the head, {} found", head.body_bytes, body.len()));
    }
    if crc32c::crc32c(body) != head.body_crc {
        return damaged("checksum differs");
    }
    if head.sections > SECTIONS_MAX {
        return damaged(format!("{} sections", head.sections));
    }
    let Some((lengths, mut rest)) = body.split_at_checked(head.sections as usize * 8) else {
        return damaged("lengths are missing");
    };
    let mut sections = Vec::with_capacity(head.sections as usize);
    for length in lengths.chunks_exact(8) {
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let Some((section, after)) = usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n)) else {
            return damaged("a section is longer than the file");
        };
        sections.push(section);
        rest = after;
    }
    if rest.is_empty() { Ok((head, sections)) } else { damaged("bytes follow the last section") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(sections: &[&[u8]]) -> Vec<u8> {
        let mut bytes = head_of(Kind::Epoch, 77, sections);
        sections.iter().for_each(|s| bytes.extend_from_slice(s));
        bytes
    }

    #[test]
    fn sections_come_back() {
        let bytes = file(&[b"one", b"", b"three"]);
        let (head, sections) = read(Kind::Epoch, &bytes).expect("whole");
        assert_eq!((head.written_us, sections), (77, vec![&b"one"[..], b"", b"three"]));
        assert!(matches!(read(Kind::Outbox, &bytes), Err(Refused::Damaged(_))));
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut bytes = file(&[b"x"]);
        bytes[4] = 2;
        let own = crc32c::crc32c(&bytes[..36]);
        bytes[36..40].copy_from_slice(&own.to_le_bytes());
        assert_eq!(read(Kind::Epoch, &bytes), Err(Refused::Newer(2)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// One changed byte, or a cut anywhere, is noticed.
        #[test]
        fn no_change_goes_unnoticed(
            body in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            flip in 1u8..,
        ) {
            let bytes = file(&[&body, b"tail"]);
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] ^= flip;
            prop_assert!(read(Kind::Epoch, &changed).is_err());
            prop_assert!(read(Kind::Epoch, &bytes[..at.index(bytes.len())]).is_err());
        }
    }
}
