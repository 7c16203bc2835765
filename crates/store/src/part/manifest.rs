//! One version of a stream's history: its parts and how far the log is in them.
//!
//! In: the version before and a change. Out: the next version, or the bytes of one. Promise: bytes that do not check are
//! refused as a whole. Layout: docs/formats/part.md.

use crate::error::{Result, StoreError};
use crate::log::{EventSpan, Sequence};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The format that this program writes; a higher one is refused.
const FORMAT: u32 = 1;

/// First and last log record of a shard that a part has rows of, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceRange {
    pub first: Sequence,
    pub last: Sequence,
}

/// What is known of a part without opening it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartMeta {
    /// Path under the stream's directory, such as `parts/….parquet`; never used twice.
    pub file: String,
    pub rows: u64,
    pub bytes: u64,
    /// By shard.
    pub sequences: BTreeMap<u32, SequenceRange>,
    /// Of all rows; `None` if not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_span: Option<EventSpan>,
    /// The columns the rows are sorted by, in order, ascending, nulls first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sort_columns: Vec<String>,
    pub schema_version: u16,
    /// Columns of bytes that the file stores as text, because all their values are valid UTF-8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text_columns: Vec<String>,
    /// Columns of floating-point numbers without a NaN; a part of an older program does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nan_free: Vec<String>,
    /// Merges behind it: 0 for a part written from the log.
    #[serde(default)]
    pub level: u32,
}

/// One version. Versions count from 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub version: u64,
    /// By shard: the first log record that is not in the parts. A shard that is missing has none in them.
    pub log_from: BTreeMap<u32, Sequence>,
    pub parts: Vec<PartMeta>,
}

impl Manifest {
    /// The history of a new stream.
    pub fn empty() -> Manifest {
        Manifest { format: FORMAT, version: 1, log_from: BTreeMap::new(), parts: Vec::new() }
    }

    /// The first log record of `shard` that is not in the parts: the log is read from here.
    pub fn log_from(&self, shard: u32) -> Sequence {
        self.log_from.get(&shard).copied().unwrap_or_default()
    }

    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|p| p.rows).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.bytes).sum()
    }

    /// The version after this one: `removed` go; `added` take the place of the first removed, or the end if none goes;
    /// `log_from` moves forward by shard.
    ///
    /// Errors: `Conflict` if a removed part is not here; `BadArgument` if a position would move back.
    pub fn next(
        &self,
        added: Vec<PartMeta>,
        removed: &BTreeSet<String>,
        log_from: &BTreeMap<u32, Sequence>,
    ) -> Result<Manifest> {
        let here = self.parts.iter().filter(|p| removed.contains(&p.file)).count();
        if here < removed.len() {
            return Err(StoreError::Conflict { object: "manifest".to_owned(), version: self.version });
        }
        let mut positions = self.log_from.clone();
        for (shard, to) in log_from {
            let from = positions.entry(*shard).or_default();
            if *to < *from {
                return Err(StoreError::BadArgument(format!("shard {shard} is in parts up to {from}, not {to}")));
            }
            *from = *to;
        }
        let place = self.parts.iter().position(|p| removed.contains(&p.file)).unwrap_or(self.parts.len());
        let mut parts = self.parts[..place].to_vec();
        parts.extend(added);
        parts.extend(self.parts[place..].iter().filter(|p| !removed.contains(&p.file)).cloned());
        Ok(Manifest { format: FORMAT, version: self.version + 1, log_from: positions, parts })
    }

    /// A line with the checksum of the rest in eight hexadecimal digits, then JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_string_pretty(self).map_err(|e| StoreError::rows("manifest", e))?;
        Ok(format!("{:08x}\n{json}\n", crc32c::crc32c(json.as_bytes())).into_bytes())
    }

    /// Errors: why the bytes are not a manifest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Manifest, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        let (crc, json) = text.split_once('\n').ok_or("checksum line is missing")?;
        let json = json.strip_suffix('\n').ok_or("last line is cut off")?;
        let crc = u32::from_str_radix(crc, 16).map_err(|e| e.to_string())?;
        if crc != crc32c::crc32c(json.as_bytes()) {
            return Err("checksum differs".to_owned());
        }
        let manifest: Manifest = serde_json::from_str(json).map_err(|e| e.to_string())?;
        if manifest.format > FORMAT {
            return Err(format!("format {} is newer than {FORMAT}", manifest.format));
        }
        Ok(manifest)
    }
}

/// `manifest/v00000001.json`
pub fn manifest_name(version: u64) -> String {
    format!("v{version:08}.json")
}

pub fn version_of_name(name: &str) -> Option<u64> {
    name.strip_prefix('v')?.strip_suffix(".json")?.parse().ok()
}
