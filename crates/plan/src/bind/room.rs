//! Room on the stack for deep queries.
//!
//! Most queries are shallow and are bound where they are asked. One that turns out deep is bound again on a thread with a
//! large stack, so that no query text overflows the stack of whoever binds it.

use hydron_base::{Error, Result};

/// Queries in each other that are bound on the caller's stack: 12 take less than 1 MiB even without optimization.
pub(super) const QUERIES: usize = 12;

/// Levels of an expression that are bound on the caller's stack.
pub(super) const LEVELS: usize = 48;

/// Bytes for the deepest query that the limits admit; pages that are not touched cost nothing.
const STACK_BYTES: usize = 256 << 20;

/// Runs `bind(false)`; when it says that the caller's stack is too small, `bind(true)` on a large one.
pub(super) fn with_room<T: Send>(bind: impl Fn(bool) -> (Result<T>, bool) + Sync) -> Result<T> {
    let (result, needs_room) = bind(false);
    if !needs_room {
        return result;
    }
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("bind".to_string()).stack_size(STACK_BYTES);
        let thread = builder.spawn_scoped(scope, || bind(true).0);
        let thread = thread.map_err(|e| Error::bug(format!("no thread for a deep query: {e}")))?;
        // A panic goes on where the query was asked.
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
