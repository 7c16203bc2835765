//! Which query a thread works for at this moment, so that a fault can be told to the one who asked.
//!
//! A mark is a number in a thread's own memory: setting it costs one store, and a signal handler may read it. Futures wear
//! their mark while they are polled.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

thread_local! {
    /// Index of the query plus one; 0: none.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

/// Work for one query, or for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark(u32);

impl Mark {
    pub const NONE: Mark = Mark(0);

    /// `query`: its index on the board.
    pub fn query(query: usize) -> Mark {
        Mark(query as u32 + 1)
    }

    /// What the calling thread works for.
    pub fn current() -> Mark {
        // A thread that is ending has no memory of its own any more; it works for nobody.
        CURRENT.try_with(Cell::get).map_or(Mark::NONE, Mark)
    }

    pub fn query_index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }

    /// Wears the mark until the guard is dropped.
    pub fn enter(self) -> Entered {
        let before = CURRENT.try_with(|c| c.replace(self.0)).unwrap_or(0);
        Entered { before }
    }

    /// A future that wears the mark whenever it is polled, and when it is dropped.
    pub fn on<F>(self, future: F) -> Marked<F> {
        Marked { mark: self, future: Some(future) }
    }
}

#[must_use]
pub struct Entered {
    before: u32,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = CURRENT.try_with(|c| c.set(self.before));
    }
}

pub struct Marked<F> {
    mark: Mark,
    /// `None` only while it is dropped.
    future: Option<F>,
}

impl<F: Future> Future for Marked<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _entered = self.mark.enter();
        // SAFETY: the inner future is structurally pinned: it is never moved out, only dropped in place.
        let future = unsafe { self.map_unchecked_mut(|m| &mut m.future) };
        match future.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Marked<F> {
    fn drop(&mut self) {
        let _entered = self.mark.enter();
        // Assigning drops the inner future in place.
        self.future = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_worn_and_taken_off() {
        assert_eq!(Mark::current(), Mark::NONE);
        {
            let _outer = Mark::query(3).enter();
            let _inner = Mark::query(4).enter();
            assert_eq!(Mark::current().query_index(), Some(4));
        }
        assert_eq!(Mark::current(), Mark::NONE);
    }

    #[test]
    fn a_future_wears_its_mark_while_it_is_polled_and_dropped() {
        struct Tell(std::sync::mpsc::Sender<Mark>);
        impl Drop for Tell {
            fn drop(&mut self) {
                let _ = self.0.send(Mark::current());
            }
        }
        let (sender, heard) = std::sync::mpsc::channel();
        let tell = Tell(sender);
        let future = Mark::query(1).on(async move {
            let _ = tell.0.send(Mark::current());
            std::future::pending::<()>().await;
            drop(tell);
        });
        let mut future = Box::pin(future);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_pending());
        assert_eq!(Mark::current(), Mark::NONE);
        drop(future);
        assert_eq!(heard.iter().collect::<Vec<_>>(), [Mark::query(1), Mark::query(1)]);
    }
}
