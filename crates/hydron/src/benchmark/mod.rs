//! `hydron benchmark`: statements run against a server again and again, and how fast it was.
//!
//! In: statements, how many at once, for how long. Out: rates and times at percentiles, as text and as JSON. Promise: memory
//! does not grow with the number of statements; a statement that was not answered to its end is in no figure.
//!
//! In reading order: [`args`] (flags), [`statements`] (what is run), [`times`] and [`tally`] (what was measured),
//! [`runner`] (one connection at its work), [`report`] (figures as text and JSON).

mod args;
mod report;
mod runner;
mod statements;
mod tally;
mod times;

pub use args::BenchmarkArgs;

use crate::client::connection::Target;
use crate::client::interrupt;
use hydron_base::{Code, Error, Result};
use report::Report;
use runner::Job;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tally::Tally;

const CLIENT_NAME: &str = "hydron benchmark";

/// How often it is looked whether it is time to report or to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs until the iterations are done, time is up, Ctrl-C, or an error. Answers the first error behind the report.
pub fn run(args: BenchmarkArgs) -> Result<i32> {
    let statements = statements::read(&args)?;
    let target = Target::new(&args.target, &args.database, CLIENT_NAME)?;
    let address = target.address();
    let job = Job::new(&args, target, statements);
    interrupt::install();
    let threads = args.concurrency;
    let (total, elapsed) = std::thread::scope(|scope| {
        let runners: Vec<_> = (0..threads)
            .map(|_| std::thread::Builder::new().name("runner".to_string()).spawn_scoped(scope, || job.run()))
            .collect();
        let watched = watch(&args, &job, &address, || runners.iter().flatten().all(|r| r.is_finished()));
        if let Some(e) = runners.iter().find_map(|r| r.as_ref().err()) {
            job.fail(Error::new(Code::SYSTEM_ERROR, format!("cannot start {threads} threads: {e}")));
        }
        watched
    });
    let failure = job.take_failure();
    let report = Report { address: &address, tally: &total, elapsed, connections: threads };
    match args.json.as_deref() {
        Some(path) if path.as_os_str() == "-" => println!("{}", report.json()),
        Some(path) => {
            print!("{}", report.text());
            std::fs::write(path, report.json() + "\n").map_err(|e| {
                Error::new(Code::CANNOT_OPEN_FILE, format!("cannot write the report to {}: {e}", path.display()))
            })?;
        }
        None => print!("{}", report.text()),
    }
    match failure {
        Some(e) => Err(e),
        None => Ok(0),
    }
}

/// Reports meanwhile and ends the job when it is time. Answers all that was counted, and how long it took.
fn watch(args: &BenchmarkArgs, job: &Job, address: &str, is_done: impl Fn() -> bool) -> (Tally, Duration) {
    let started = Instant::now();
    let time_limit = (args.timelimit > 0.0).then(|| Duration::from_secs_f64(args.timelimit));
    let delay = (args.delay > 0.0).then(|| Duration::from_secs_f64(args.delay));
    let mut total = Tally::default();
    let (mut interval, mut reported) = (Tally::default(), started);
    loop {
        // Asked before the last of what they have counted is taken.
        let is_done = is_done();
        interval.add(job.take_tally());
        if is_done {
            total.add(interval);
            return (total, started.elapsed());
        }
        if interrupt::is_set() || time_limit.is_some_and(|limit| started.elapsed() >= limit) {
            job.stop.store(true, Ordering::SeqCst);
        }
        if delay.is_some_and(|delay| reported.elapsed() >= delay) {
            total.add(interval.clone());
            let (tally, elapsed) = match args.cumulative {
                true => (&total, started.elapsed()),
                false => (&interval, reported.elapsed()),
            };
            let report = Report { address, tally, elapsed, connections: args.concurrency };
            eprint!("{}\n{}", job.progress(), report.text());
            (interval, reported) = (Tally::default(), Instant::now());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
