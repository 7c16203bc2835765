//! What a running query was permitted on, so that it can be asked again when rights change.
//!
//! In: each permission and row condition that a query was let in with. Out: whether it would be let in today, in the same way.
//! Promise: a query that goes on has every right that it began with and sees the rows that it would see if it began now; one that
//! has not is told why.

use hydron_access::{Access, Enabled, Object, Privilege};
use hydron_base::{Code, Error, Result};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

/// Grounds of one query that are kept; those beyond it are named by no query that anybody writes.
const GROUNDS_MAX: usize = 10_000;

/// Who asks in a query: the user of a statement with its roles, or the owner of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    pub user: Arc<str>,
    /// As SET ROLE has chosen them; `None`: the default ones.
    pub roles: Option<Arc<BTreeSet<Uuid>>>,
    /// `None`: nobody was told of users when it began.
    id: Option<Uuid>,
}

impl Reader {
    pub fn of(enabled: &Enabled, roles: Option<Arc<BTreeSet<Uuid>>>) -> Reader {
        Reader { user: Arc::from(enabled.user.as_str()), roles, id: enabled.id }
    }

    /// What the same user may do now. Errors: ACCESS_DENIED (497) for one that is no more, even if another has its name.
    fn now(&self, access: &Access) -> Result<Arc<Enabled>> {
        let now = access.enabled(&self.user, self.roles.as_deref());
        match self.id.is_some() && now.id != self.id {
            true => Err(Error::new(Code::ACCESS_DENIED, format!("user {} was dropped", self.user))),
            false => Ok(now),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ground {
    /// The user is there.
    User,
    /// A privilege on columns of a stream; of none: on any of it.
    Columns { privilege: Privilege, on: Object, columns: Vec<String> },
    /// A privilege on all of a thing.
    Whole { privilege: Privilege, on: Object },
    /// The condition on rows of a stream, as text.
    Rows { database: Arc<str>, stream: Arc<str>, condition: Option<String> },
}

#[derive(Default)]
pub struct Grounds {
    all: Mutex<Vec<(Reader, Ground)>>,
    /// Nothing more is kept.
    closed: AtomicBool,
}

impl Grounds {
    fn add(&self, reader: &Reader, ground: Ground) {
        let mut all = self.all.lock();
        let is_known = all.iter().any(|(r, g)| *g == ground && r == reader);
        if !is_known && !self.closed.load(Ordering::Relaxed) && all.len() < GROUNDS_MAX {
            all.push((reader.clone(), ground));
        }
    }

    /// The query ends with its user, whatever it reads.
    pub fn user(&self, reader: &Reader) {
        self.add(reader, Ground::User);
    }

    /// The query is not asked again: a materialized view.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.all.lock().clear();
    }

    pub fn columns(&self, reader: &Reader, privilege: Privilege, on: &Object, columns: &[&str]) {
        let columns = columns.iter().map(|c| (*c).to_string()).collect();
        self.add(reader, Ground::Columns { privilege, on: on.clone(), columns });
    }

    pub fn whole(&self, reader: &Reader, privilege: Privilege, on: &Object) {
        self.add(reader, Ground::Whole { privilege, on: on.clone() });
    }

    pub fn rows(&self, reader: &Reader, database: &Arc<str>, stream: &Arc<str>, condition: Option<String>) {
        let (database, stream) = (Arc::clone(database), Arc::clone(stream));
        self.add(reader, Ground::Rows { database, stream, condition });
    }

    /// Whether all of it holds now.
    ///
    /// Errors: ACCESS_DENIED (497) with what is missing, or with the stream whose row policies have changed.
    pub fn check(&self, access: &Access) -> Result<()> {
        for (reader, ground) in &*self.all.lock() {
            let now = reader.now(access)?;
            match ground {
                Ground::User => {}
                Ground::Whole { privilege, on } => now.check(*privilege, on)?,
                Ground::Columns { privilege, on, columns } => {
                    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                    now.check_columns(*privilege, on, &columns)?;
                }
                Ground::Rows { database, stream, condition } => {
                    if now.row_filter(database, stream) != *condition {
                        let text = format!("row policies of {database}.{stream} have changed for {}", reader.user);
                        return Err(Error::new(Code::ACCESS_DENIED, text).hint("ask again"));
                    }
                }
            }
        }
        Ok(())
    }
}
