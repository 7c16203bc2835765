//! Whether the user of a connection is still there.
//!
//! In: changes of users. Out: the error with which a connection ends whose user was dropped. Promise: a user made again under the
//! name of one that was dropped is another user.

use crate::engine::Engine;
use crate::session::Session;
use hydron_access::Access;
use hydron_base::{Code, Error};
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

pub struct Presence {
    access: Arc<Access>,
    changes: watch::Receiver<u64>,
    user: Arc<str>,
    /// `None`: nobody was told of users.
    id: Option<Uuid>,
}

impl Presence {
    /// Of the user of a session, who has come in just now.
    pub fn of(engine: &Engine, session: &Session) -> Presence {
        let changes = engine.inner().access_changes.subscribe();
        let id = engine.enabled(session).id;
        Presence { access: Arc::clone(engine.access()), changes, user: Arc::clone(&session.user), id }
    }

    fn is_over(&self) -> bool {
        self.id.is_some() && self.access.enabled(&self.user, None).id != self.id
    }

    /// Waits until the user is no more, for ever where it stays. Dropping this loses nothing.
    pub async fn over(&mut self) -> Error {
        while !self.is_over() {
            if self.changes.changed().await.is_err() {
                // The engine is gone: whoever closes it ends the connections.
                std::future::pending::<()>().await;
            }
        }
        Error::new(Code::UNKNOWN_USER, format!("user {} was dropped", self.user))
    }
}
