//! What one query uses of its user's quota, counted as it goes.
//!
//! In: the counters of the query. Out: an error when a limit is passed. Promise: each row, byte and second is counted once.

use crate::query::Progress;
use hydron_access::entity::{QuotaKey, Resource};
use hydron_access::{Access, Enabled, Entity};
use hydron_base::world::Clock;
use hydron_base::{Code, Error, Result};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What grows while a query runs, in the order in which it is counted.
const GROWING: [Resource; 6] = [
    Resource::ResultRows,
    Resource::ResultBytes,
    Resource::ReadRows,
    Resource::ReadBytes,
    Resource::WrittenBytes,
    Resource::ExecutionTime,
];

pub struct Meter {
    access: Arc<Access>,
    clock: Arc<dyn Clock>,
    user: Arc<str>,
    /// The quota, and the key it is counted under.
    quota: (Arc<Entity>, String),
    counted: Mutex<[f64; GROWING.len()]>,
}

impl Meter {
    /// `None`: the user has no quota, or one without intervals.
    ///
    /// Errors: QUOTA_REQUIRES_CLIENT_KEY (496).
    pub fn of(
        access: &Arc<Access>,
        enabled: &Enabled,
        clock: &Arc<dyn Clock>,
        client_address: &str,
        quota_key: &str,
    ) -> Result<Option<Meter>> {
        let Some((entity, quota)) = enabled.quota().filter(|(_, q)| !q.intervals.is_empty()) else { return Ok(None) };
        let mut key = String::new();
        // `client_key, user_name` means the user where the client names no key.
        let or_else = quota.keyed_by.len() > 1 && quota.keyed_by[0] == QuotaKey::ClientKey;
        for kind in &quota.keyed_by {
            match kind {
                QuotaKey::UserName => key.push_str(&enabled.user),
                QuotaKey::IpAddress | QuotaKey::ForwardedIpAddress => key.push_str(client_address),
                QuotaKey::ClientKey if quota_key.is_empty() && !or_else => {
                    let message = format!("Quota `{}` requires a client supplied key", entity.name);
                    return Err(Error::new(Code::QUOTA_REQUIRES_CLIENT_KEY, message).hint("quota_key"));
                }
                QuotaKey::ClientKey => key.push_str(quota_key),
            }
            if or_else && !key.is_empty() {
                break;
            }
        }
        Ok(Some(Meter {
            access: Arc::clone(access),
            clock: Arc::clone(clock),
            user: Arc::from(enabled.user.as_str()),
            quota: (Arc::clone(entity), key),
            counted: Mutex::default(),
        }))
    }

    /// A query begins. Errors: QUOTA_EXCEEDED (201).
    pub fn begin(&self, kind: &str) -> Result<()> {
        let mut amounts = vec![(Resource::Queries, 1.0)];
        match kind {
            "Select" => amounts.push((Resource::QuerySelects, 1.0)),
            "Insert" => amounts.push((Resource::QueryInserts, 1.0)),
            _ => {}
        }
        self.count(&amounts)
    }

    /// Counts what has grown. Errors: QUOTA_EXCEEDED (201).
    pub fn progress(&self, progress: &Progress, elapsed: Duration) -> Result<()> {
        let now = [
            Progress::get(&progress.result_rows) as f64,
            Progress::get(&progress.result_bytes) as f64,
            Progress::get(&progress.read_rows) as f64,
            Progress::get(&progress.read_bytes) as f64,
            Progress::get(&progress.written_bytes) as f64,
            elapsed.as_secs_f64(),
        ];
        let mut counted = self.counted.lock();
        let grown = GROWING.iter().zip(now.iter().zip(counted.iter())).map(|(r, (now, before))| (*r, now - before));
        let grown: Vec<(Resource, f64)> = grown.filter(|(_, amount)| *amount > 0.0).collect();
        *counted = now;
        drop(counted);
        self.count(&grown)
    }

    /// The query has ended: what was used counts, whatever the limits say now.
    pub fn finish(&self, progress: &Progress, elapsed: Duration, failed: bool) {
        let _ = self.progress(progress, elapsed);
        if failed {
            let _ = self.count(&[(Resource::Errors, 1.0)]);
        }
    }

    fn count(&self, amounts: &[(Resource, f64)]) -> Result<()> {
        self.access.count(self.clock.now(), &self.quota, amounts, &self.user)
    }
}
