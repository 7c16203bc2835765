//! The statement of a subscription, as it is kept with its state.

use hydron_base::{Code, Error, Result, Settings};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The SELECT, normalized.
    pub text: String,
    pub database: String,
    pub user: String,
    /// Those that were changed.
    pub settings: Vec<(String, String)>,
}

impl Definition {
    pub fn new(text: String, database: &str, user: &str, settings: &Settings) -> Definition {
        // How a query is run belongs to the statement that runs it.
        let kept = settings.changed().filter(|(name, _)| *name != "exec_mode");
        let settings = kept.map(|(n, v)| (n.to_string(), v.to_string())).collect();
        Definition { text, database: database.to_string(), user: user.to_string(), settings }
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::bug(format!("a subscription cannot be written: {e}")))
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Definition> {
        serde_json::from_slice(bytes).map_err(|e| {
            Error::new(Code::CORRUPTED_DATA, format!("the statement of a subscription cannot be read: {e}"))
        })
    }

    /// Settings that this version does not know any more are left out.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in &self.settings {
            if let Err(e) = settings.set(name, value) {
                tracing::warn!("a subscription goes on without its setting {name}: {e}");
            }
        }
        settings
    }
}
