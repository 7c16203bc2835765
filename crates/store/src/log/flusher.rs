//! One thread that writes for all logs of a volume: takes everything that waits, writes it, syncs each touched file
//! once (several files at the same time), answers everybody.
//!
//! In: jobs from any thread, those of several logs at once where they belong together. Out: answers on their tickets. Promise:
//! jobs of one log keep their order; what was queued together is synced in one group and shown to readers of several logs at
//! one moment; while one group syncs, the next one gathers. The queue has a limit; past it writers wait.

use super::shard::Log;
use super::writer::{Job, Pass};
use crate::error::{Result, StoreError};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::Notify;

// A file system lets syncs of several files share one commit of its journal, if they come at the same time. Starting a
// thread costs a fifth of a sync, so it pays from two logs on; past eight at once little is gained.
const SYNC_THREADS_MAX: usize = 8;

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    work: Condvar,
    room: Condvar,
    room_async: Notify,
    bytes_max: usize,
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<(Arc<Log>, Job)>,
    bytes: usize,
    /// No new jobs; the flusher ends when those here are done.
    closed: bool,
}

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Arc<Queue> {
        Arc::new(Queue {
            waiting: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            room_async: Notify::new(),
            bytes_max,
        })
    }

    /// Queues the job, or gives it back with the bytes that wait already.
    fn offer(&self, log: &Arc<Log>, job: Job, bytes: usize) -> Result<(), (Job, StoreError)> {
        let mut waiting = self.waiting.lock();
        if let Err(e) = self.has_room(&waiting, log, bytes) {
            return Err((job, e));
        }
        waiting.bytes += bytes;
        waiting.jobs.push((log.clone(), job));
        self.work.notify_one();
        Ok(())
    }

    fn has_room(&self, waiting: &Waiting, log: &Log, bytes: usize) -> Result<()> {
        if waiting.closed {
            return Err(StoreError::Closed { object: log.name().to_owned() });
        }
        // An empty queue takes any job, however large.
        if waiting.bytes > 0 && waiting.bytes + bytes > self.bytes_max {
            let (queued_bytes, limit_bytes) = (waiting.bytes as u64, self.bytes_max as u64);
            return Err(StoreError::QueueFull { queued_bytes, limit_bytes });
        }
        Ok(())
    }

    /// Queues all jobs or none. Errors: `QueueFull`, `Closed`; nothing is stored then.
    pub(super) fn try_push_all(&self, jobs: Vec<(Arc<Log>, Job)>, bytes: usize) -> Result<()> {
        let Some((first, _)) = jobs.first() else { return Ok(()) };
        let mut waiting = self.waiting.lock();
        if let Err(e) = self.has_room(&waiting, first, bytes) {
            drop(waiting);
            return Err(jobs.into_iter().fold(e, |e, (_, job)| refuse(job, e)));
        }
        waiting.bytes += bytes;
        waiting.jobs.extend(jobs);
        self.work.notify_one();
        Ok(())
    }

    /// Errors: `QueueFull`, `Closed`; nothing is stored then.
    pub(super) fn try_push(&self, log: &Arc<Log>, job: Job, bytes: usize) -> Result<()> {
        self.offer(log, job, bytes).map_err(|(job, e)| refuse(job, e))
    }

    /// Waits for room on the thread.
    pub(super) fn push_blocking(&self, log: &Arc<Log>, mut job: Job, bytes: usize) -> Result<()> {
        loop {
            match self.offer(log, job, bytes) {
                Ok(()) => return Ok(()),
                Err((back, StoreError::QueueFull { .. })) => job = back,
                Err((back, e)) => return Err(refuse(back, e)),
            }
            let mut waiting = self.waiting.lock();
            if waiting.bytes > 0 && waiting.bytes + bytes > self.bytes_max && !waiting.closed {
                self.room.wait(&mut waiting);
            }
        }
    }

    /// Waits for room in the task.
    pub(super) async fn push(&self, log: &Arc<Log>, mut job: Job, bytes: usize) -> Result<()> {
        loop {
            let mut room = pin!(self.room_async.notified());
            room.as_mut().enable();
            match self.offer(log, job, bytes) {
                Ok(()) => return Ok(()),
                Err((back, StoreError::QueueFull { .. })) => job = back,
                Err((back, e)) => return Err(refuse(back, e)),
            }
            room.await;
        }
    }

    /// All that waits; nothing once the queue is closed and empty.
    fn take(&self) -> Option<Vec<(Arc<Log>, Job)>> {
        let mut waiting = self.waiting.lock();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return None;
            }
            self.work.wait(&mut waiting);
        }
        waiting.bytes = 0;
        let jobs = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        self.room.notify_all();
        self.room_async.notify_waiters();
        Some(jobs)
    }

    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.work.notify_all();
        self.room.notify_all();
        self.room_async.notify_waiters();
    }

    /// What is left when the flusher is gone for good; dropping a job answers it.
    fn abandon(&self) {
        self.close();
        let jobs = std::mem::take(&mut self.waiting.lock().jobs);
        drop(jobs);
    }
}

fn refuse(job: Job, e: StoreError) -> StoreError {
    job.answer().give(Err(e.clone()));
    e
}

/// The body of the flusher thread. Returns when the queue is closed and empty.
pub(super) fn run(queue: &Queue) {
    /// Even if the thread unwinds, nobody waits forever.
    struct Last<'a>(&'a Queue);
    impl Drop for Last<'_> {
        fn drop(&mut self) {
            self.0.abandon();
        }
    }
    let _last = Last(queue);
    while let Some(jobs) = queue.take() {
        flush_group(by_log(jobs));
    }
}

/// Jobs of each log, in their order; logs in the order of their first job.
fn by_log(jobs: Vec<(Arc<Log>, Job)>) -> Vec<(Arc<Log>, Vec<Job>)> {
    let mut groups: Vec<(Arc<Log>, Vec<Job>)> = Vec::new();
    let mut place_of: HashMap<*const Log, usize> = HashMap::new();
    for (log, job) in jobs {
        let place = *place_of.entry(Arc::as_ptr(&log)).or_insert_with(|| {
            groups.push((log, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(job);
    }
    groups
}

fn flush_group(groups: Vec<(Arc<Log>, Vec<Job>)>) {
    let mut passes: Vec<(Arc<Log>, Pass)> = Vec::with_capacity(groups.len());
    for (log, jobs) in groups {
        let mut pass = log.writer().write(&log, jobs);
        log.show_written();
        for (answer, at) in pass.written.drain(..) {
            answer.give(Ok(at));
        }
        passes.push((log, pass));
    }
    let threads = passes.len().min(SYNC_THREADS_MAX);
    let together = Mutex::new(Vec::new());
    let passes = Mutex::new(passes);
    std::thread::scope(|scope| {
        let work = || {
            while let Some((log, mut pass)) = { passes.lock().pop() } {
                let outcome = log.writer().sync(&log, &mut pass);
                match pass.together {
                    true => together.lock().push((log, pass, outcome)),
                    false => {
                        show(&log, &outcome);
                        answer(pass, &outcome);
                    }
                }
            }
        };
        // A thread that cannot be started is not missed: this one takes all that is left.
        for _ in 1..threads {
            let _ = std::thread::Builder::new().name("log-sync".to_owned()).spawn_scoped(scope, work);
        }
        work();
    });
    let together = together.into_inner();
    if let Some((first, ..)) = together.first() {
        // Whoever reads several logs sees all of this or nothing.
        let _shown = first.common.shown.write();
        together.iter().for_each(|(log, _, outcome)| show(log, outcome));
    }
    for (_, pass, outcome) in together {
        answer(pass, &outcome);
    }
}

fn show(log: &Log, outcome: &Result<()>) {
    if outcome.is_ok() {
        log.show_synced();
    }
}

fn answer(pass: Pass, outcome: &Result<()>) {
    for (answer, at) in pass.to_sync {
        answer.give(outcome.clone().map(|()| at));
    }
}
