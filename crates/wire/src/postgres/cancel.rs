//! Keys by which a client stops its query over another connection.
//!
//! In: a number and a secret for each connection, told to its client alone. Out: the query that runs there, stopped. Promise: who
//! does not know the secret stops nothing, and does not learn whether there was something to stop.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What a client is told at its login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub process: i32,
    pub secret: i32,
}

struct Entry {
    secret: i32,
    running: Option<CancellationToken>,
}

#[derive(Default)]
pub struct Keys(Mutex<HashMap<i32, Entry>>);

/// A connection's key as long as it is open.
pub struct KeyGuard {
    keys: Arc<Keys>,
    pub key: Key,
}

impl Keys {
    /// A new key; `number` makes numbers that nobody can guess.
    pub fn issue(self: &Arc<Keys>, mut number: impl FnMut() -> u32) -> KeyGuard {
        let mut entries = self.0.lock();
        let process = loop {
            // Drivers print it as a process id: it is positive.
            let process = (number() >> 1) as i32;
            if process != 0 && !entries.contains_key(&process) {
                break process;
            }
        };
        let secret = number() as i32;
        entries.insert(process, Entry { secret, running: None });
        KeyGuard { keys: Arc::clone(self), key: Key { process, secret } }
    }

    /// The key of a connection that outlived its process. `None`: another one has it already.
    pub fn again(self: &Arc<Keys>, key: Key) -> Option<KeyGuard> {
        let mut entries = self.0.lock();
        if entries.contains_key(&key.process) {
            return None;
        }
        entries.insert(key.process, Entry { secret: key.secret, running: None });
        Some(KeyGuard { keys: Arc::clone(self), key })
    }

    /// Stops what runs at `process` when `secret` is its own.
    pub fn cancel(&self, process: i32, secret: &[u8]) {
        use subtle::ConstantTimeEq;
        let entries = self.0.lock();
        let entry = entries.get(&process);
        let own = entry.map_or(0, |e| e.secret).to_be_bytes();
        if bool::from(own.ct_eq(secret))
            && let Some(running) = entry.and_then(|e| e.running.as_ref())
        {
            running.cancel();
        }
    }
}

impl KeyGuard {
    /// `token` stops what runs now; `None`: nothing runs.
    pub fn set_running(&self, token: Option<CancellationToken>) {
        if let Some(entry) = self.keys.0.lock().get_mut(&self.key.process) {
            entry.running = token;
        }
    }
}

impl Drop for KeyGuard {
    fn drop(&mut self) {
        self.keys.0.lock().remove(&self.key.process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secret_stops() {
        let keys = Arc::new(Keys::default());
        let mut numbers = [8, 5].into_iter();
        let guard = keys.issue(|| numbers.next().unwrap());
        assert_eq!(guard.key, Key { process: 4, secret: 5 });
        let token = CancellationToken::new();
        guard.set_running(Some(token.clone()));
        keys.cancel(4, &6i32.to_be_bytes());
        keys.cancel(9, &0i32.to_be_bytes());
        keys.cancel(4, b"");
        assert!(!token.is_cancelled());
        assert!(keys.again(guard.key).is_none());
        keys.cancel(4, &5i32.to_be_bytes());
        assert!(token.is_cancelled());
        drop(guard);
        assert!(keys.again(Key { process: 4, secret: 1 }).is_some());
    }
}
