//! Names of directories and files: a query by its id, a file by its kind and number.
//!
//! Promise: different ids have different directories, whatever characters they have; a name never leaves its directory.

use std::fmt::Write;

/// Longest name of a directory that is made of an id itself; file systems allow 255 bytes.
const ID_NAME_BYTES_MAX: usize = 200;

/// The directory of a query. Letters, digits, `-`, `_` and `.` stand for themselves, other bytes as `%` and two digits; a name
/// that would be too long is cut and ends in a hash of all of it.
pub fn dir_of(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for (at, byte) in id.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte as char),
            b'.' if at > 0 => name.push('.'),
            _ => {
                let _ = write!(name, "%{byte:02x}");
            }
        }
    }
    if name.is_empty() {
        return "%".to_owned();
    }
    if name.len() > ID_NAME_BYTES_MAX {
        let hash = u64::from(crc32c::crc32c(id.as_bytes())) << 32
            | u64::from(crc32c::crc32c_append(0x5bd1_e995, id.as_bytes()));
        name.truncate(ID_NAME_BYTES_MAX);
        let _ = write!(name, "%~{hash:016x}");
    }
    name
}

/// The statement of a query.
pub const QUERY: &str = "query";

/// The query was given up; its directory goes after a while.
pub const DELETED: &str = "deleted";

/// A file that did not check, kept for whoever wants to know why.
pub const DAMAGED_SUFFIX: &str = ".damaged";

pub const STAGED_SUFFIX: &str = ".new";

pub fn epoch_file(number: u64) -> String {
    format!("epoch-{number:020}")
}

pub fn epoch_of(name: &str) -> Option<u64> {
    name.strip_prefix("epoch-")?.parse().ok()
}

pub fn outbox_file(unit: u64) -> String {
    format!("outbox-{unit:020}")
}

pub fn outbox_of(name: &str) -> Option<u64> {
    name.strip_prefix("outbox-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_apart_and_inside() {
        assert_eq!(dir_of("1901-a.b_C"), "1901-a.b_C");
        assert_eq!(dir_of("../x"), "%2e.%2fx");
        assert_eq!(dir_of(""), "%");
        assert_eq!(dir_of("%"), "%25");
        assert_eq!(dir_of("ä b"), "%c3%a4%20b");
        let (long, longer) = ("x".repeat(300), "x".repeat(301));
        assert_ne!(dir_of(&long), dir_of(&longer));
        assert!(dir_of(&longer).len() < 255);
    }

    #[test]
    fn files_are_known_by_their_names() {
        assert_eq!(epoch_of(&epoch_file(7)), Some(7));
        assert_eq!(outbox_of(&outbox_file(u64::MAX)), Some(u64::MAX));
        assert_eq!(epoch_of("epoch-00000000000000000007.new"), None);
    }
}
