//! Sessions that live from one request to the next, by user and id.
//!
//! Promise: one query at a time in each; a session that was idle for its time is gone. Where there is a board, sessions
//! outlive their worker; one that could not be kept is an error once, and never silently a fresh one.

use super::request::SessionRequest;
use hydron_base::{Code, Error, Result};
use hydron_board::Board;
use hydron_board::board::SESSIONS_MAX;
use hydron_board::session::{SETTINGS_BYTES_MAX, Saved};
use hydron_engine::Session;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::OwnedMutexGuard;

// Expired sessions are looked for at most so often; each is checked when it is asked for in any case.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// In the place of a setting's name: the roles that SET ROLE has chosen.
const ROLES: &str = "SET ROLE";

pub(crate) struct Sessions {
    by_id: Mutex<ById>,
    board: Option<&'static Board>,
}

#[derive(Default)]
struct ById {
    kept: HashMap<(String, String), Kept>,
    /// Their worker died, and what they held is not known.
    lost: HashSet<(String, String)>,
    swept: Option<Instant>,
    /// Places of the board that nobody uses.
    places: Vec<usize>,
}

struct Kept {
    session: Arc<tokio::sync::Mutex<Session>>,
    patience: Duration,
    /// When it was last asked for; a session in use does not age.
    used: Instant,
    /// Where it is on the board.
    place: Option<usize>,
}

impl Kept {
    /// Idle for longer than it may be. A session in use is locked and does not expire.
    fn has_expired(&self, now: Instant) -> bool {
        now.duration_since(self.used) >= self.patience && self.session.try_lock().is_ok()
    }
}

/// The session of one request: its own, or one that is kept and locked for it.
pub(crate) enum Lease {
    Own(Session),
    Kept { guard: OwnedMutexGuard<Session>, key: (String, String), sessions: Arc<Sessions>, closes: bool },
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
        let Lease::Kept { key, sessions, guard, closes } = self else { return };
        let by_id = &mut *sessions.by_id.lock();
        if *closes {
            // Whoever comes next under this id has a fresh one.
            if let Some(place) = by_id.kept.remove(key).and_then(|kept| kept.place) {
                if let Some(board) = sessions.board {
                    board.use_session(place).set(Saved::No, 0, 0);
                }
                by_id.places.push(place);
            }
        } else if let Some(kept) = by_id.kept.get_mut(key) {
            kept.used = Instant::now();
            if let (Some(board), Some(place)) = (sessions.board, kept.place) {
                save(board, place, key, guard, kept.patience);
            }
        }
    }
}

/// Puts a session on the board. One whose settings do not fit there is known by name only.
fn save(board: &Board, place: usize, (user, id): &(String, String), session: &Session, patience: Duration) {
    let saved = board.use_session(place);
    saved.begin_change();
    saved.user.set(user);
    saved.id.set(id);
    saved.database.set(&session.database);
    let mut settings = String::new();
    if session.roles.is_some() {
        settings.extend([ROLES, "\0", &session.roles_text(), "\0"]);
    }
    for (name, value) in session.settings.changed() {
        settings.extend([name, "\0", value, "\0"]);
    }
    saved.settings.set(&settings);
    let fits = settings.len() <= SETTINGS_BYTES_MAX
        && saved.database.get() == *session.database
        // They are gone with the worker: whoever asks for them is to hear of it.
        && session.temporary.is_empty();
    let patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    saved.set(if fits { Saved::Whole } else { Saved::Lost }, patience, now_us());
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64)
}

impl Sessions {
    /// The sessions that a worker before this one has left on the board.
    pub(super) fn restore(board: Option<&'static Board>) -> Sessions {
        let mut by_id = ById::default();
        let used = board.map(Board::used_sessions).unwrap_or_default();
        if board.is_some() {
            by_id.places.extend((used.len()..SESSIONS_MAX).rev());
        }
        for (place, saved) in used.iter().enumerate().rev() {
            let key = (saved.user.get(), saved.id.get());
            let patience = Duration::from_millis(saved.patience_ms().into());
            let idle = Duration::from_micros(now_us().saturating_sub(saved.used_us()).max(0) as u64);
            match (saved.saved(), Instant::now().checked_sub(idle)) {
                (Saved::Whole, Some(used)) if idle < patience => {
                    let mut session = Session::new(key.0.as_str(), saved.database.get());
                    let settings = saved.settings.bytes();
                    let mut fields = settings.split(|b| *b == 0).map(String::from_utf8_lossy);
                    let mut whole = true;
                    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
                        whole &= match &*name {
                            ROLES => session.set_roles_text(&value),
                            name => session.settings.set(name, &value).is_ok(),
                        };
                    }
                    if whole {
                        let session = Arc::new(tokio::sync::Mutex::new(session));
                        by_id.kept.insert(key, Kept { session, patience, used, place: Some(place) });
                        continue;
                    }
                    by_id.lost.insert(key);
                }
                (Saved::Lost, _) if !key.1.is_empty() => {
                    by_id.lost.insert(key);
                }
                _ => {}
            }
            saved.set(Saved::No, 0, 0);
            by_id.places.push(place);
        }
        Sessions { by_id: Mutex::new(by_id), board }
    }

    /// The session of `request`, made by `make` when there is none.
    ///
    /// Errors: SESSION_IS_LOCKED while another request uses it, SESSION_NOT_FOUND when it must exist and does not,
    /// SERVER_RESTARTED once when it was lost with its worker.
    pub(crate) fn lease(
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
        let ById { kept: by_id, lost, swept, places } = &mut *by_id;
        let mut give_back = |kept: &Kept| {
            if let (Some(board), Some(place)) = (self.board, kept.place) {
                board.use_session(place).set(Saved::No, 0, 0);
                places.push(place);
            }
        };
        if sweeps {
            by_id.retain(|_, kept| {
                let has_expired = kept.has_expired(now);
                if has_expired {
                    give_back(kept);
                }
                !has_expired
            });
            *swept = Some(now);
        } else if by_id.get(&key).is_some_and(|kept| kept.has_expired(now))
            && let Some(expired) = by_id.remove(&key)
        {
            give_back(&expired);
        }
        if lost.remove(&key) {
            let text = format!("session '{}' was lost when the server was restarted", request.id);
            return Err(Error::new(Code::SERVER_RESTARTED, text).hint("the same request again begins a new session"));
        }
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
            place: places.pop(),
        });
        kept.patience = patience;
        kept.used = now;
        match Arc::clone(&kept.session).try_lock_owned() {
            Ok(guard) => Ok(Lease::Kept { guard, key, sessions: Arc::clone(self), closes: request.closes }),
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
        let request = SessionRequest { id: id.into(), timeout: None, check, closes: id == "closes" };
        sessions.lease("default", &request, patience, 2, || Session::new("default", "default"))
    }

    #[test]
    fn a_session_serves_one_query_at_a_time_and_expires() {
        let sessions = Arc::new(Sessions::restore(None));
        let minute = Duration::from_secs(60);
        assert_eq!(lease(&sessions, "a", true, minute).err().map(|e| e.code), Some(Code::SESSION_NOT_FOUND));
        let mut first = lease(&sessions, "a", false, minute).unwrap();
        first.database = "other".into();
        assert_eq!(lease(&sessions, "a", false, minute).err().map(|e| e.code), Some(Code::SESSION_IS_LOCKED));
        drop(first);
        assert_eq!(&*lease(&sessions, "a", true, Duration::ZERO).unwrap().database, "other");
        assert_eq!(lease(&sessions, "a", true, minute).err().map(|e| e.code), Some(Code::SESSION_NOT_FOUND));
    }

    #[test]
    fn a_session_that_was_closed_is_gone() {
        let board = Board::create().unwrap();
        let minute = Duration::from_secs(60);
        let sessions = Arc::new(Sessions::restore(Some(board)));
        lease(&sessions, "closes", false, minute).unwrap().database = "other".into();
        assert_eq!(lease(&sessions, "closes", true, minute).err().map(|e| e.code), Some(Code::SESSION_NOT_FOUND));
        let later = Arc::new(Sessions::restore(Some(board)));
        assert_eq!(lease(&later, "closes", true, minute).err().map(|e| e.code), Some(Code::SESSION_NOT_FOUND));
    }

    #[test]
    fn a_session_outlives_its_worker() {
        let board = Board::create().unwrap();
        let minute = Duration::from_secs(60);
        let first = Arc::new(Sessions::restore(Some(board)));
        let mut session = lease(&first, "a", false, minute).unwrap();
        session.database = "other".into();
        session.settings.set("max_threads", "3").unwrap();
        drop(session);
        let mut large = lease(&first, "b", false, minute).unwrap();
        large.database = "d".repeat(500).into();
        drop(large);
        let second = Arc::new(Sessions::restore(Some(board)));
        let session = lease(&second, "a", true, minute).unwrap();
        assert_eq!((&*session.database, session.settings.uint("max_threads")), ("other", 3));
        assert_eq!(lease(&second, "b", false, minute).err().map(|e| e.code), Some(Code::SERVER_RESTARTED));
        assert_eq!(&*lease(&second, "b", false, minute).unwrap().database, "default");
    }
}
