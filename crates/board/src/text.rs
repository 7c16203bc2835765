//! Texts of a bounded length in shared memory.
//!
//! In: bytes, cut where they do not fit. Out: a copy. Promise: a reader sees at most `N` bytes whatever stands in memory;
//! while a writer is at it the text is empty.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, Ordering, fence};

#[repr(C)]
pub struct Text<const N: usize> {
    length: AtomicU32,
    bytes: UnsafeCell<[u8; N]>,
}

// SAFETY: bytes are copied in and out through raw pointers and never borrowed; a torn text is possible and allowed, as
// every reader treats it as bytes of unknown content.
unsafe impl<const N: usize> Sync for Text<N> {}

impl<const N: usize> Text<N> {
    /// Keeps the first `N` bytes, cut at the start of a character.
    pub fn set(&self, text: &str) {
        self.set_bytes(&text.as_bytes()[..text.floor_char_boundary(N)]);
    }

    /// Keeps the first `N` bytes.
    pub fn set_bytes(&self, bytes: &[u8]) {
        let length = bytes.len().min(N);
        self.length.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
        // SAFETY: at most N bytes into memory of N bytes; concurrent readers copy bytes and check nothing else.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.bytes.get().cast::<u8>(), length) };
        self.length.store(length as u32, Ordering::Release);
    }

    pub fn clear(&self) {
        self.length.store(0, Ordering::Release);
    }

    pub fn is_empty(&self) -> bool {
        self.length.load(Ordering::Acquire) == 0
    }

    /// Copies the text into `out` and answers the part that holds it.
    pub fn read<'a>(&self, out: &'a mut [u8]) -> &'a [u8] {
        let length = (self.length.load(Ordering::Acquire) as usize).min(N).min(out.len());
        // SAFETY: at most N bytes out of memory of N bytes, into a buffer of at least that length.
        unsafe { std::ptr::copy_nonoverlapping(self.bytes.get().cast::<u8>(), out.as_mut_ptr(), length) };
        &out[..length]
    }

    /// The text with anything that is not UTF-8 or is a control character replaced. Allocates.
    pub fn get(&self) -> String {
        let mut bytes = vec![0; N];
        let text = String::from_utf8_lossy(self.read(&mut bytes)).into_owned();
        text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
    }

    /// The bytes as they are. Allocates.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; N];
        let length = self.read(&mut bytes).len();
        bytes.truncate(length);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<const N: usize>() -> Text<N> {
        Text { length: AtomicU32::new(0), bytes: UnsafeCell::new([0; N]) }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let cell = text::<4>();
        cell.set("abcé");
        assert_eq!(cell.get(), "abc");
        cell.set("ab");
        assert_eq!(cell.get(), "ab");
        cell.clear();
        assert!(cell.is_empty());
    }

    #[test]
    fn a_length_that_was_scribbled_over_is_not_believed() {
        let cell = text::<4>();
        cell.set("abcd");
        cell.length.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(cell.bytes(), b"abcd");
        let mut small = [0; 2];
        assert_eq!(cell.read(&mut small), b"ab");
    }

    #[test]
    fn what_is_no_text_is_made_one() {
        let cell = text::<8>();
        cell.set_bytes(b"a\x00\xffb");
        assert_eq!(cell.get(), "a\u{fffd}\u{fffd}b");
    }
}
