//! All materialized views of an engine: each on a task of its own that starts it again when it fails.
//!
//! Promise: a view that fails holds up nobody: neither those who write to its sources nor the start of the server.

use super::run::Job;
use super::status::{State, Status};
use crate::catalog::MaterializedView;
use crate::engine::Inner;
use futures::FutureExt;
use hydron_base::world::WallTime;
use hydron_base::{Code, Error, Result};
use hydron_board::Board;
use hydron_flow::host::RecordId;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a DROP or a stop waits for a run to end.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Before a record that failed is tried again, where it will be passed over in the end.
const BEST_EFFORT_PAUSE: Duration = Duration::from_millis(50);

/// Between two looks at a server in safe mode.
const SAFE_MODE_PAUSE: Duration = Duration::from_secs(1);

/// A view and the task that runs it.
pub struct ViewRun {
    pub view: Arc<MaterializedView>,
    status: watch::Sender<Status>,
    stop: CancellationToken,
    /// Try again, or look whether it is still paused.
    nudge: Notify,
    /// Ends the run that is on, not the task.
    run: Mutex<CancellationToken>,
    ended: watch::Sender<bool>,
    failing: Mutex<Failing>,
}

/// Records at which a view fails again and again.
#[derive(Default)]
struct Failing {
    /// The last one, with the error and how often it came.
    last: Option<(RecordId, Error, u64)>,
    /// Those that are passed over (`recovery_policy = 'best_effort'`).
    skipped: BTreeSet<RecordId>,
}

impl Failing {
    /// Notes that a run failed. `retries`: how often the same error at the same record is tried again before the record is passed
    /// over. True: it now is.
    fn note(&mut self, record: Option<RecordId>, error: &Error, retries: u64) -> bool {
        let Some(record) = record else {
            self.last = None;
            return false;
        };
        let before = match &self.last {
            Some((r, e, n)) if *r == record && e.code == error.code && e.message == error.message => *n,
            _ => 0,
        };
        self.last = Some((record, error.clone(), before + 1));
        if before + 1 < retries.max(1) {
            return false;
        }
        self.last = None;
        self.skipped.insert(record)
    }
}

#[derive(Default)]
pub struct Views {
    all: Mutex<HashMap<Uuid, Arc<ViewRun>>>,
}

impl Views {
    pub fn start(&self, engine: &Arc<Inner>, view: &Arc<MaterializedView>) -> Arc<ViewRun> {
        let run = Arc::new(ViewRun {
            view: Arc::clone(view),
            status: watch::Sender::new(Status::default()),
            stop: CancellationToken::new(),
            nudge: Notify::new(),
            run: Mutex::new(CancellationToken::new()),
            ended: watch::Sender::new(false),
            failing: Mutex::default(),
        });
        self.all.lock().insert(view.info.uuid, Arc::clone(&run));
        engine.cpu.handle().spawn(supervise(Arc::downgrade(engine), Arc::clone(&run)));
        run
    }

    pub fn get(&self, view: Uuid) -> Option<Arc<ViewRun>> {
        self.all.lock().get(&view).cloned()
    }

    /// Ends a view for good and waits for it.
    pub async fn remove(&self, view: Uuid) {
        let Some(run) = self.all.lock().remove(&view) else { return };
        run.stop().await;
    }

    /// Ends all views; none is started again.
    pub async fn close(&self, patience: Duration) {
        let all: Vec<_> = self.all.lock().values().cloned().collect();
        let _ = tokio::time::timeout(patience, futures::future::join_all(all.iter().map(|v| v.stop()))).await;
    }
}

impl ViewRun {
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    async fn stop(&self) {
        self.stop.cancel();
        let mut ended = self.ended.subscribe();
        let _ = tokio::time::timeout(END_PATIENCE, ended.wait_for(|e| *e)).await;
    }

    /// Waits until its state is on disk for the first time, so that from then on no row is missed. After `patience` it goes on
    /// in the background. Errors: of its first failure.
    pub async fn wait_kept(&self, patience: Duration) -> Result<()> {
        let mut status = self.status.subscribe();
        let known = status.wait_for(|s| s.kept.epoch > 0 || s.failures_total > 0);
        match tokio::time::timeout(patience, known).await {
            Ok(Ok(status)) => match &status.error {
                Some((error, _)) if status.kept.epoch == 0 => Err(error.clone()),
                _ => Ok(()),
            },
            Ok(Err(_)) => Err(crate::query::stopping()),
            Err(_) => Ok(()),
        }
    }

    /// Ends the run that is on; whether another one follows is for the view to say.
    pub fn interrupt(&self) {
        self.run.lock().cancel();
        self.nudge.notify_one();
    }

    /// Notes that somebody has stopped it.
    pub fn abort(&self, now: WallTime) {
        let error = Error::new(Code::ABORTED, format!("view {} was aborted", self.view.info.name))
            .hint("SYSTEM RECOVER MATERIALIZED VIEW");
        self.status.send_modify(|s| s.error = Some((error, now)));
    }

    /// Tries a failed view again at once.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    fn is_paused(&self) -> bool {
        self.view.paused.load(Ordering::Acquire)
    }
}

/// How often a record is tried that fails; `None`: for ever.
fn retries_of(engine: &Arc<Inner>, view: &MaterializedView) -> Option<u64> {
    let settings = super::run::settings_of(engine, view).ok()?;
    (settings.text("recovery_policy") == "best_effort").then(|| settings.uint("recovery_retry_for_sn_failure"))
}

async fn supervise(engine: Weak<Inner>, run: Arc<ViewRun>) {
    tokio::select! {
        () = run.stop.cancelled() => {}
        () = keep_running(engine, &run) => {}
    }
    run.ended.send_replace(true);
}

async fn keep_running(engine: Weak<Inner>, run: &Arc<ViewRun>) {
    loop {
        if run.is_paused() {
            run.status.send_modify(|s| s.enter(State::Paused));
            run.nudge.notified().await;
            continue;
        }
        if Board::current().is_some_and(|b| b.worker().is_safe_mode()) {
            // What crashes the server may be this very view.
            run.status.send_modify(|s| s.enter(State::Paused));
            tokio::time::sleep(SAFE_MODE_PAUSE).await;
            continue;
        }
        let Some(engine) = engine.upgrade() else { return };
        let stop = CancellationToken::new();
        *run.run.lock() = stop.clone();
        let (failed_at, skip) = (Mutex::new(None), run.failing.lock().skipped.clone());
        let job = Job { engine: &engine, view: &run.view, status: &run.status, failed_at: &failed_at, skip: &skip };
        let result = tokio::select! {
            biased;
            () = stop.cancelled() => continue,
            result = AssertUnwindSafe(job.run()).catch_unwind() => result,
        };
        let error = match result {
            Ok(Ok(never)) => match never {},
            Ok(Err(e)) => e,
            Err(panic) => Error::panicked(&*panic),
        };
        let now = engine.options.clock.now();
        let mut pause = Duration::ZERO;
        run.status.send_modify(|s| pause = s.failed(error.clone(), now));
        let info = &run.view.info;
        // A state that has outgrown its budget is not the fault of the record that comes next.
        let record = failed_at.into_inner().filter(|_| error.code != Code::MEMORY_LIMIT_EXCEEDED);
        if let Some(retries) = retries_of(&engine, &run.view) {
            pause = if record.is_some() { BEST_EFFORT_PAUSE } else { pause };
            if let (true, Some(at)) = (run.failing.lock().note(record, &error, retries), record) {
                run.status.send_modify(|s| s.records_skipped += 1);
                tracing::error!(
                    "view {}.{} passes over record {} of shard {} of its source {}: {error}",
                    info.database,
                    info.name,
                    at.sequence,
                    at.shard,
                    at.source
                );
            }
        }
        tracing::warn!("view {}.{} failed and is tried again in {pause:?}: {error}", info.database, info.name);
        drop(engine);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = run.nudge.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_passed_over_after_the_same_failure_so_many_times() {
        let mut failing = Failing::default();
        let record = |sequence| Some(RecordId { source: 0, shard: 1, sequence });
        let error = |what: &str| Error::new(Code::BAD_ARGUMENTS, what.to_string());
        assert!(!failing.note(record(7), &error("a"), 3));
        assert!(!failing.note(record(7), &error("a"), 3));
        // Another error, or another record, counts from the beginning.
        assert!(!failing.note(record(7), &error("b"), 3));
        assert!(!failing.note(record(8), &error("b"), 3));
        assert!(!failing.note(record(8), &error("b"), 3));
        assert!(!failing.note(None, &error("disk"), 3));
        assert!(!failing.note(record(8), &error("b"), 3));
        assert!(!failing.note(record(8), &error("b"), 3));
        assert!(failing.note(record(8), &error("b"), 3));
        assert_eq!(failing.skipped.len(), 1);
        assert!(failing.note(record(9), &error("c"), 1));
    }
}
