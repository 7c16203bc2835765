//! Who asks, in which database, with which settings. A connection or an HTTP session holds one.

use crate::catalog::Temporary;
use hydron_base::Settings;
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Session {
    pub user: Arc<str>,
    pub database: Arc<str>,
    /// Settings of the user's profile, under those of the session. A `readonly` here cannot be lifted.
    pub profile: Arc<Settings>,
    /// Changed by SET; a query adds its own SETTINGS for its time.
    pub settings: Settings,
    /// Chosen by SET ROLE; `None`: the user's default roles.
    pub roles: Option<Arc<BTreeSet<Uuid>>>,
    /// Streams that this session alone sees.
    pub temporary: Temporary,
}

impl Session {
    pub fn new(user: impl Into<Arc<str>>, database: impl Into<Arc<str>>) -> Session {
        Session {
            user: user.into(),
            database: database.into(),
            profile: Arc::default(),
            settings: Settings::default(),
            roles: None,
            temporary: Temporary::default(),
        }
    }

    /// The roles as text, for whoever keeps a session beyond its process; empty: the default ones.
    pub fn roles_text(&self) -> String {
        let Some(roles) = &self.roles else { return String::new() };
        let ids: Vec<String> = roles.iter().map(Uuid::to_string).collect();
        format!("={}", ids.join(","))
    }

    /// Errors: none; `false` for a text that [`Session::roles_text`] did not write.
    pub fn set_roles_text(&mut self, text: &str) -> bool {
        let Some(ids) = text.strip_prefix('=') else {
            self.roles = None;
            return text.is_empty();
        };
        let ids: Result<BTreeSet<Uuid>, _> = ids.split(',').filter(|i| !i.is_empty()).map(Uuid::parse_str).collect();
        self.roles = ids.ok().map(Arc::new);
        self.roles.is_some()
    }
}
