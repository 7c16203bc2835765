//! Sessions that live from one request to the next, by user and id.
//!
//! Promise: one query at a time in each; a session that was idle for its time is gone.

use super::request::SessionRequest;
use hydron_base::{Code, Error, Result};
use hydron_engine::Session;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;

// Expired sessions are looked for at most so often; each is checked when it is asked for in any case.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Sessions {
    by_id: Mutex<ById>,
}

#[derive(Default)]
struct ById {
    kept: HashMap<(String, String), Kept>,
    swept: Option<Instant>,
}

struct Kept {
    session: Arc<tokio::sync::Mutex<Session>>,
    patience: Duration,
    /// When it was last asked for; a session in use does not age.
    used: Instant,
}

impl Kept {
    /// Idle for longer than it may be. A session in use is locked and does not expire.
    fn has_expired(&self, now: Instant) -> bool {
        now.duration_since(self.used) >= self.patience && self.session.try_lock().is_ok()
    }
}

/// The session of one request: its own, or one that is kept and locked for it.
pub(super) enum Lease {
    Own(Session),
    Kept { guard: OwnedMutexGuard<Session>, key: (String, String), sessions: Arc<Sessions> },
}

impl Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        match self {
            Lease::Own(session) => session,
            Lease::Kept { guard, .. } => guard,
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Session {
        match self {
            Lease::Own(session) => session,
            Lease::Kept { guard, .. } => guard,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Lease::Kept { key, sessions, .. } = self
            && let Some(kept) = sessions.by_id.lock().kept.get_mut(key)
        {
            kept.used = Instant::now();
        }
    }
}

impl Sessions {
    /// The session of `request`, made by `make` when there is none.
    ///
    /// Errors: SESSION_IS_LOCKED while another request uses it, SESSION_NOT_FOUND when it must exist and does not.
    pub(super) fn lease(
        self: &Arc<Sessions>,
        user: &str,
        request: &SessionRequest,
        patience: Duration,
        sessions_max: usize,
        make: impl FnOnce() -> Session,
    ) -> Result<Lease> {
        let key = (user.to_string(), request.id.clone());
        let now = Instant::now();
        let mut by_id = self.by_id.lock();
        let sweeps =
            by_id.swept.is_none_or(|at| now.duration_since(at) >= SWEEP_PAUSE) || by_id.kept.len() >= sessions_max;
        if sweeps {
            by_id.kept.retain(|_, kept| !kept.has_expired(now));
            by_id.swept = Some(now);
        } else if by_id.kept.get(&key).is_some_and(|kept| kept.has_expired(now)) {
            by_id.kept.remove(&key);
        }
        let by_id = &mut by_id.kept;
        if !by_id.contains_key(&key) {
            if request.check {
                let text = format!("session '{}' does not exist or has expired", request.id);
                return Err(Error::new(Code::SESSION_NOT_FOUND, text));
            }
            if by_id.len() >= sessions_max {
                let text = format!("{sessions_max} sessions are open, which is the limit");
                return Err(Error::new(Code::TOO_MANY_SIMULTANEOUS_QUERIES, text).hint("a shorter session_timeout"));
            }
        }
        let kept = by_id.entry(key.clone()).or_insert_with(|| Kept {
            session: Arc::new(tokio::sync::Mutex::new(make())),
            patience,
            used: now,
        });
        kept.patience = patience;
        kept.used = now;
        match Arc::clone(&kept.session).try_lock_owned() {
            Ok(guard) => Ok(Lease::Kept { guard, key, sessions: Arc::clone(self) }),
            Err(_) => {
                let text = format!("session '{}' is used by another query", request.id);
                Err(Error::new(Code::SESSION_IS_LOCKED, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(sessions: &Arc<Sessions>, id: &str, check: bool, patience: Duration) -> Result<Lease> {
        let request = SessionRequest { id: id.into(), timeout: None, check };
        sessions.lease("default", &request, patience, 2, || Session::new("default", "default"))
    }

    #[test]
    fn a_session_serves_one_query_at_a_time_and_expires() {
        let sessions = Arc::new(Sessions::default());
        let minute = Duration::from_secs(60);
        assert_eq!(lease(&sessions, "a", true, minute).err().map(|e| e.code), Some(Code::SESSION_NOT_FOUND));
        let mut first = lease(&sessions, "a", false, minute).unwrap();
        first.database = "other".into();
        assert_eq!(lease(&sessions, "a", false, minute).err().map(|e| e.code), Some(Code::SESSION_IS_LOCKED));
        drop(first);
        assert_eq!(&*lease(&sessions, "a", true, Duration::ZERO).unwrap().database, "other");
        assert_eq!(lease(&sessions, "a", true, minute).err().map(|e| e.code), Some(Code::SESSION_NOT_FOUND));
    }
}
