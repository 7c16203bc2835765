//! Whether a worker that gives no sign of life is stuck, or only busy.
//!
//! In: when each kind of its threads last showed that it lives, and what the kernel says of these threads. Out: a hang, with
//! what hangs. Promise: threads that compute, that want to or that wait for the disk are busy, and have the longer patience;
//! the kernel is asked only about threads that are silent.

use std::time::{Duration, Instant};

/// Silent for less, and nobody looks closer: signs of life come twice a second.
const CLOSER_AFTER: Duration = Duration::from_secs(1);

/// Threads that used less than this part of the time since the last look were waiting: one in twenty.
const BUSY_PART: u32 = 20;

/// A unit of processor time in `/proc`: 100 a second, on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// How long threads may be silent; zero: for ever.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// While they wait for something.
    pub blocked: Duration,
    /// While they compute.
    pub busy: Duration,
}

/// What the kernel says of some threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Threads {
    /// Processor time that they have used since they began.
    pub used: Duration,
    /// One of them runs, would if it were let, or waits for the disk.
    pub is_running: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hang {
    /// The threads' name.
    pub threads: &'static str,
    pub is_busy: bool,
    pub silent: Duration,
}

impl std::fmt::Display for Hang {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.is_busy { "compute without a pause" } else { "wait for something that does not come" };
        write!(f, "threads '{}' have shown no sign of life for {:?}: they {what}", self.threads, self.silent)
    }
}

/// Follows the threads of one name.
pub struct Pulse {
    threads: &'static str,
    /// Since when they are looked at closer.
    since: Option<Instant>,
    looked: Option<(Instant, Threads)>,
    /// When they were last seen at work.
    busy_at: Option<Instant>,
}

impl Pulse {
    pub fn of(threads: &'static str) -> Pulse {
        Pulse { threads, since: None, looked: None, busy_at: None }
    }

    /// `silent`: the age of their last sign of life. `look` is called when it is worth it.
    pub fn check(
        &mut self,
        silent: Duration,
        now: Instant,
        limits: Limits,
        look: impl FnOnce(&'static str) -> Threads,
    ) -> Option<Hang> {
        if silent < CLOSER_AFTER {
            (self.since, self.looked, self.busy_at) = (None, None, None);
            return None;
        }
        // Who was stopped together with them, as a machine is that is paused, has seen nothing of their silence.
        let since = *self.since.get_or_insert(now);
        let silent = silent.min(CLOSER_AFTER + now.saturating_duration_since(since));
        let seen = look(self.threads);
        let has_worked = self.looked.is_some_and(|(at, before)| {
            let used = seen.used.saturating_sub(before.used);
            !used.is_zero() && used * BUSY_PART >= now.saturating_duration_since(at)
        });
        self.looked = Some((now, seen));
        if seen.is_running || has_worked {
            self.busy_at = Some(now);
        }
        let waiting = self.busy_at.map_or(silent, |at| silent.min(now.saturating_duration_since(at)));
        let exceeds = |age: Duration, limit: Duration| !limit.is_zero() && age >= limit;
        let hang = |is_busy| Some(Hang { threads: self.threads, is_busy, silent });
        if exceeds(waiting, limits.blocked) {
            return hang(false);
        }
        if exceeds(silent, limits.busy) { hang(true) } else { None }
    }
}

/// What the kernel says of the threads of `pid` that have this name.
pub fn threads_of(pid: u32, name: &str) -> Threads {
    let mut all = Threads::default();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        // A thread that has ended meanwhile is none.
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let Some((state, ticks)) = stat_of(&stat, name) else { continue };
        all.is_running |= matches!(state, 'R' | 'D');
        all.used += TICK * u32::try_from(ticks).unwrap_or(u32::MAX);
    }
    all
}

/// State and ticks of processor time, from a line as `7 (compute) S 1 …`; `None`: another thread.
fn stat_of(stat: &str, name: &str) -> Option<(char, u64)> {
    // A name may hold anything but ends with the last bracket.
    let (head, rest) = stat.rsplit_once(") ")?;
    let (_, found) = head.split_once('(')?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    // Fields 14 and 15 of proc_pid_stat(5), user and system; the state is field 3.
    let (user, system) = (fields.nth(10)?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    (found == name).then_some((state, user + system))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { blocked: Duration::from_secs(4), busy: Duration::from_secs(60) };

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Looks every half second at threads that `at` describes; answers when they hang.
    fn first_hang(limits: Limits, at: impl Fn(Duration) -> Threads) -> Option<Hang> {
        let begun = Instant::now();
        let mut pulse = Pulse::of("compute");
        (0..200).find_map(|n| pulse.check(ms(500 * n), begun + ms(500 * n), limits, |_| at(ms(500 * n))))
    }

    fn idle(_: Duration) -> Threads {
        Threads { used: ms(70), is_running: false }
    }

    #[test]
    fn threads_that_wait_hang_soon() {
        let hang = first_hang(LIMITS, idle).unwrap();
        assert_eq!((hang.is_busy, hang.silent), (false, ms(4_000)));
        assert!(hang.to_string().contains("'compute'"), "{hang}");
    }

    #[test]
    fn threads_that_compute_hang_late() {
        let busy = |at| Threads { used: at, is_running: false };
        let hang = first_hang(LIMITS, busy).unwrap();
        assert_eq!((hang.is_busy, hang.silent), (true, ms(60_000)));
        assert_eq!(first_hang(Limits { busy: Duration::ZERO, ..LIMITS }, busy), None);
        // On a machine that gives them no time.
        let starved = |_| Threads { used: ms(70), is_running: true };
        assert_eq!(first_hang(LIMITS, starved).unwrap().silent, ms(60_000));
    }

    #[test]
    fn threads_that_stop_computing_hang_from_there() {
        let hang = first_hang(LIMITS, |at| Threads { used: at.min(ms(6_000)), is_running: false }).unwrap();
        assert_eq!((hang.is_busy, hang.silent), (false, ms(10_000)));
    }

    #[test]
    fn a_thread_that_wakes_and_finds_nothing_is_not_busy() {
        let hang = first_hang(LIMITS, |at| Threads { used: at / 50, is_running: false }).unwrap();
        assert_eq!((hang.is_busy, hang.silent), (false, ms(4_000)));
    }

    #[test]
    fn a_sign_of_life_begins_anew_and_zero_is_never() {
        let (begun, mut pulse) = (Instant::now(), Pulse::of("io"));
        for n in 0..100 {
            // Silent for up to three seconds, again and again.
            assert_eq!(pulse.check(ms(n % 7 * 500), begun + ms(n * 500), LIMITS, |_| idle(ms(0))), None);
        }
        let never = Limits { blocked: Duration::ZERO, busy: Duration::ZERO };
        assert_eq!(first_hang(never, idle), None);
    }

    #[test]
    fn a_silence_that_nobody_has_watched_is_none() {
        let (begun, mut pulse) = (Instant::now(), Pulse::of("io"));
        assert_eq!(pulse.check(ms(3_600_000), begun, LIMITS, |_| idle(ms(0))), None, "the machine was paused");
        assert_eq!(pulse.check(ms(0), begun + ms(100), LIMITS, |_| idle(ms(0))), None);
        assert_eq!(pulse.check(ms(3_600_000), begun + ms(200), LIMITS, |_| idle(ms(0))), None);
        let hang = pulse.check(ms(3_603_000), begun + ms(3_200), LIMITS, |_| idle(ms(0))).unwrap();
        assert_eq!(hang.silent, ms(4_000));
    }

    #[test]
    fn threads_are_found_by_their_name() {
        let line = "77 (a) (b) R 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 1";
        assert_eq!(stat_of(line, "a) (b"), Some(('R', 42)));
        assert_eq!(stat_of(line, "a"), None);
        assert_eq!(stat_of("77 (a) R 1", "a"), None);
        let (told, wait) = std::sync::mpsc::channel::<()>();
        let (began, begin) = std::sync::mpsc::channel();
        let work = move || {
            let since = Instant::now();
            while since.elapsed() < ms(60) {
                std::hint::black_box(since);
            }
            let _ = began.send(());
            let _ = wait.recv();
        };
        let thread = std::thread::Builder::new().name("pulse-test".to_string()).spawn(work).unwrap();
        begin.recv().unwrap();
        assert!(threads_of(std::process::id(), "pulse-test").used >= TICK);
        assert_eq!(threads_of(std::process::id(), "nobody"), Threads::default());
        drop(told);
        thread.join().unwrap();
    }
}
