//! Who asks, in which database, with which settings. A connection or an HTTP session holds one.

use crate::catalog::Temporary;
use hydron_base::Settings;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Session {
    pub user: Arc<str>,
    pub database: Arc<str>,
    /// Settings of the user's profile, under those of the session. A `readonly` here cannot be lifted.
    pub profile: Arc<Settings>,
    /// Changed by SET; a query adds its own SETTINGS for its time.
    pub settings: Settings,
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
            temporary: Temporary::default(),
        }
    }
}
