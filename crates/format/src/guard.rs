//! Readers of others that panic where bytes are damaged: their panic becomes the error it should have been.

use hydron_base::{Code, Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `read` answers. A reader that has panicked is not asked again.
///
/// Errors: its own; INCORRECT_DATA for a panic, with its text.
pub(crate) fn guarded<T>(format: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Err(Error::new(Code::INCORRECT_DATA, format!("cannot read {format}: {text}")))
    })
}

/// The batches of `batches` up to the first that cannot be read.
pub(crate) struct Guarded<I> {
    format: &'static str,
    batches: Option<I>,
}

impl<I> Guarded<I> {
    pub(crate) fn new(format: &'static str, batches: I) -> Guarded<I> {
        Guarded { format, batches: Some(batches) }
    }
}

impl<T, I: Iterator<Item = Result<T>>> Iterator for Guarded<I> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let mut batches = self.batches.take()?;
        let next = guarded(self.format, || batches.next().transpose()).transpose();
        if matches!(next, Some(Ok(_))) {
            self.batches = Some(batches);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_the_end() {
        let batches = (0..3).map(|n| if n == 1 { panic!("bad byte {n}") } else { Ok(n) });
        let mut guarded = Guarded::new("Arrow", batches);
        assert_eq!(guarded.next().unwrap().unwrap(), 0);
        let error = guarded.next().unwrap().unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::INCORRECT_DATA, "cannot read Arrow: bad byte 1"));
        assert!(guarded.next().is_none());
    }
}
