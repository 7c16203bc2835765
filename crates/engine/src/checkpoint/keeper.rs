//! One kept query: asks for cuts when they are due, writes them, tells how far it is.
//!
//! In: cuts as they come among the answers. Out: epochs on disk. Promise: a cut is written only after everything before it was
//! handed on by the caller; a failed write is told and tried again, and the query goes on meanwhile.

use super::coordinator::{Action, Coordinator, Interval};
use super::epoch;
use hydron_base::world::{Clock, WallTime};
use hydron_base::{Error, Result, Settings};
use hydron_flow::host::{CutAnswer, CutAsker};
use hydron_store::checkpoint::{CheckpointStore, EPOCHS_KEPT, Manifest, OutputPosition};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How far the state of a query is kept.
#[derive(Clone, Debug, Default)]
pub struct KeptAt {
    /// Of the newest epoch on disk; 0: none yet.
    pub epoch: u64,
    pub committed: Option<WallTime>,
    pub manifest: Option<Arc<Manifest>>,
    /// Cuts that were answered, whether they were written or unchanged.
    pub answered: u64,
    /// Why the last write failed.
    pub error: Option<Error>,
}

pub struct Keeper {
    id: String,
    store: Arc<CheckpointStore>,
    clock: Arc<dyn Clock>,
    cpu: Handle,
    fingerprint: String,
    sources: Vec<(String, Uuid)>,
    coordinator: Mutex<Coordinator>,
    told: Notify,
    /// Number and manifest of the epochs on disk, oldest first.
    kept: Mutex<VecDeque<(u64, Arc<Manifest>)>>,
    next_number: Mutex<u64>,
    at: watch::Sender<KeptAt>,
    /// Nobody takes cuts any more.
    ended: CancellationToken,
}

/// The interval that the settings of a query ask for.
pub fn interval(settings: &Settings, default: Duration) -> Interval {
    match settings.uint("checkpoint_interval") {
        0 => Interval::Automatic { at_most: default },
        seconds => Interval::Fixed(Duration::from_secs(seconds)),
    }
}

impl Keeper {
    /// `from`: the epoch that the query goes on from. `is_ahead`: it has gone further before, so that the next epoch is due at
    /// once: a server that crashes again and again must not have more to do again each time.
    pub fn new(
        id: &str,
        store: &Arc<CheckpointStore>,
        clock: &Arc<dyn Clock>,
        cpu: &Handle,
        interval: Interval,
        fingerprint: String,
        sources: Vec<(String, Uuid)>,
        from: Option<(u64, Manifest)>,
        is_ahead: bool,
    ) -> Result<Arc<Keeper>> {
        let last = store.epoch_numbers(id)?.last().copied();
        let next_number = from.as_ref().map(|(n, _)| *n).max(last).unwrap_or(0) + 1;
        let kept: VecDeque<_> = from.into_iter().map(|(n, m)| (n, Arc::new(m))).collect();
        let at = kept.back().map_or_else(KeptAt::default, |(n, m)| KeptAt {
            epoch: *n,
            manifest: Some(Arc::clone(m)),
            ..KeptAt::default()
        });
        let mut coordinator = Coordinator::new(interval, clock.now());
        if !kept.is_empty() && !is_ahead {
            coordinator.unchanged(clock.now());
        }
        Ok(Arc::new(Keeper {
            id: id.to_string(),
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            cpu: cpu.clone(),
            fingerprint,
            sources,
            coordinator: Mutex::new(coordinator),
            told: Notify::new(),
            kept: Mutex::new(kept),
            next_number: Mutex::new(next_number),
            at: watch::Sender::new(at),
            ended: CancellationToken::new(),
        }))
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn watch(&self) -> watch::Receiver<KeptAt> {
        self.at.subscribe()
    }

    /// Manifests of the epochs on disk, oldest first.
    pub fn manifests(&self) -> Vec<Arc<Manifest>> {
        self.kept.lock().iter().map(|(_, m)| Arc::clone(m)).collect()
    }

    /// Asks the query for cuts until it ends or the value is dropped.
    pub fn ask(self: &Arc<Self>, asker: CutAsker) -> Asking {
        let keeper = Arc::clone(self);
        let task = self.cpu.spawn(async move {
            loop {
                let now = keeper.clock.now();
                let action = keeper.coordinator.lock().next(now);
                match action {
                    Action::Ask => {
                        let oldest = keeper.kept.lock().front().map_or(0, |(_, m)| m.step + 1);
                        if asker.ask(oldest).await.is_err() {
                            return;
                        }
                    }
                    Action::WaitUntil(at) => {
                        let wait = Duration::from_micros(at.0.saturating_sub(now.0).max(0) as u64);
                        tokio::select! {
                            () = tokio::time::sleep(wait) => {}
                            () = keeper.told.notified() => {}
                        }
                    }
                    Action::Wait => keeper.told.notified().await,
                }
            }
        });
        Asking { task, keeper: Arc::clone(self) }
    }

    /// Writes a cut, in the background. All that came before it is handed on already; `output` says where to.
    pub fn on_cut(
        self: &Arc<Self>,
        answer: CutAnswer,
        output: Option<OutputPosition>,
    ) -> Option<JoinHandle<Result<()>>> {
        let checkpoint = match answer {
            CutAnswer::At(checkpoint) => *checkpoint,
            CutAnswer::Unchanged => {
                self.coordinator.lock().unchanged(self.clock.now());
                self.told.notify_one();
                self.at.send_modify(|at| at.answered += 1);
                return None;
            }
        };
        self.coordinator.lock().taken(self.clock.now());
        let keeper = Arc::clone(self);
        Some(self.cpu.spawn_blocking(move || {
            let number = {
                let mut next = keeper.next_number.lock();
                *next += 1;
                *next - 1
            };
            let stored = epoch::to_stored(number, &keeper.fingerprint, &keeper.sources, checkpoint, output);
            let written = keeper.store.commit(&keeper.id, &stored, keeper.clock.now());
            keeper.written(number, stored.manifest, written.map_err(Error::from))
        }))
    }

    fn written(&self, number: u64, manifest: Manifest, written: Result<()>) -> Result<()> {
        let now = self.clock.now();
        match &written {
            Ok(()) => {
                let manifest = Arc::new(manifest);
                let mut kept = self.kept.lock();
                kept.push_back((number, Arc::clone(&manifest)));
                while kept.len() > EPOCHS_KEPT {
                    kept.pop_front();
                }
                let oldest_unit = kept.front().and_then(|(_, m)| m.output.as_ref()).map(|o| o.next_unit);
                drop(kept);
                if let Some(unit) = oldest_unit
                    && let Err(e) = self.store.forget_outboxes(&self.id, unit)
                {
                    tracing::warn!("old output of {} was not removed: {e}", self.id);
                }
                self.coordinator.lock().committed(now);
                self.at.send_modify(|at| {
                    *at = KeptAt {
                        epoch: number,
                        committed: Some(now),
                        manifest: Some(manifest),
                        answered: at.answered + 1,
                        error: None,
                    };
                });
            }
            Err(e) => {
                tracing::warn!("the state of query {} was not written: {e}", self.id);
                self.coordinator.lock().failed(now);
                self.at.send_modify(|at| at.error = Some(e.clone()));
            }
        }
        self.told.notify_one();
        written
    }

    /// Takes a last checkpoint and waits for it until the deadline, or until the query has ended. True if all is kept.
    pub async fn flush(&self, deadline: tokio::time::Instant) -> bool {
        let mut at = self.at.subscribe();
        let before = at.borrow_and_update().answered;
        self.coordinator.lock().hurry(self.clock.now());
        self.told.notify_one();
        let answered = at.wait_for(|at| at.answered > before);
        tokio::select! {
            answered = tokio::time::timeout_at(deadline, answered) => matches!(answered, Ok(Ok(_))),
            () = self.ended.cancelled() => false,
        }
    }
}

/// The task that asks. Dropping it ends it.
pub struct Asking {
    task: JoinHandle<()>,
    keeper: Arc<Keeper>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
        self.keeper.ended.cancel();
    }
}

/// All kept queries that run.
#[derive(Default)]
pub struct Keepers(Mutex<Vec<Weak<Keeper>>>);

impl Keepers {
    pub fn add(&self, keeper: &Arc<Keeper>) {
        let mut all = self.0.lock();
        all.retain(|k| k.strong_count() > 0);
        all.push(Arc::downgrade(keeper));
    }

    pub fn running(&self) -> Vec<Arc<Keeper>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// A last checkpoint of all. Returns how many were not written in time.
    pub async fn flush(&self, patience: Duration) -> usize {
        let deadline = tokio::time::Instant::now() + patience;
        let running = self.running();
        let flushed = futures::future::join_all(running.iter().map(|k| k.flush(deadline))).await;
        flushed.iter().filter(|f| !**f).count()
    }
}
