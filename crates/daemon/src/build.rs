//! What the linker has called this program: whoever has the record of a crash finds its symbols by it.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

/// `NT_GNU_BUILD_ID`.
const BUILD_ID_NOTE: u32 = 3;

/// In hexadecimal; empty for a program that was linked without one.
pub fn id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let mut id = String::new();
        // SAFETY: the callback gets the pointer that is given here, and only while this call runs.
        unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut id).cast()) };
        id
    })
}

/// Called for each loaded object; the first is the program itself, and ends the search.
unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: usize, id: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid description, whose headers and their segments stay mapped; `id` is that of `id()`.
    unsafe {
        let info = &*info;
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        for header in headers.iter().filter(|h| h.p_type == libc::PT_NOTE) {
            let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
            let notes = std::slice::from_raw_parts(std::ptr::with_exposed_provenance(start), header.p_memsz as usize);
            if let Some(found) = find(notes) {
                *id.cast::<String>() = found;
            }
        }
    }
    1
}

/// Notes lie one behind the other: lengths of name and description, a type, then both, each filled up to four bytes.
fn find(mut notes: &[u8]) -> Option<String> {
    while notes.len() >= 12 {
        let word = |at: usize| u32::from_ne_bytes([notes[at], notes[at + 1], notes[at + 2], notes[at + 3]]);
        let (name_length, length, kind) = (word(0) as usize, word(4) as usize, word(8));
        let from = 12_usize.checked_add(name_length.checked_next_multiple_of(4)?)?;
        let name = notes.get(12..12 + name_length)?;
        let description = notes.get(from..from.checked_add(length)?)?;
        if kind == BUILD_ID_NOTE && name == b"GNU\0" {
            return Some(description.iter().map(|b| format!("{b:02x}")).collect());
        }
        notes = notes.get(from + length.checked_next_multiple_of(4)?..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, name: &[u8], description: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [name.len() as u32, description.len() as u32, kind] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        for part in [name, description] {
            out.extend_from_slice(part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn the_note_of_the_linker_is_found_among_others() {
        let other = note(1, b"GNU\0", b"abcde");
        let id = note(3, b"GNU\0", &[0xab, 0x01]);
        assert_eq!(find(&[other.clone(), id.clone()].concat()).as_deref(), Some("ab01"));
        assert_eq!(find(&other), None);
        assert_eq!(find(&id[..13]), None, "cut off");
        assert_eq!(find(&note(3, b"Go\0\0", b"x")), None);
        assert_eq!(find(&[0xff; 16]), None, "lengths beyond the end");
    }

    #[test]
    fn this_program_has_one_or_none() {
        assert!(id().bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
