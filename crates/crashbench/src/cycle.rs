//! One cycle: bystanders are busy, a fault hits, and everything that clients see of it is measured.
//!
//! In: a running [`Stage`], a fault. Out: a [`Report`]. Promise: what could not be measured says so and counts as neither
//! good nor bad.

use crate::answer::Outcome;
use crate::client::{Answer, Connection, TAIL_BYTES, ask_keeping, request};
use crate::fault::{Fault, Means};
use crate::flights::{Flights, Kind, Landed, Plan};
use crate::idle::Idle;
use crate::ledger::{self, Tally};
use crate::process::{self, Load, Watched, await_until};
use crate::random::Random;
use crate::record::{self, Truth};
use crate::report::{InFlight, RecordFound, Report, Streams, ms};
use crate::run::Options;
use crate::server::Server;
use crate::visitors::{Visit, Visitors, visit};
use crate::writers::{InsertEnd, Writers};
use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// An answer that has not come by then is a hang.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long the server may take until it answers again; beyond it the run ends.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// A dying process that still runs after this is a handler that hangs.
const HANDLER_PATIENCE: Duration = Duration::from_secs(3);

/// A fault that was caught leaves the process alive; this long one looks.
const CAUGHT_PATIENCE: Duration = Duration::from_millis(300);

/// The prober begins when the victim has its error, or after this.
const PROBE_AFTER: Duration = Duration::from_millis(20);

const PROBE_PAUSE: Duration = Duration::from_millis(2);

/// `SELECT 1` by the victim before the fault: the middle one is its round trip.
const ROUND_TRIPS: usize = 5;

/// Rows of one check of the inserts: some 20 bytes each.
const CHECK_BYTES_MAX: usize = 256 << 20;

/// Sockets without a client must be gone after this; the server itself sweeps every 100 ms.
const ORPHAN_PATIENCE: Duration = Duration::from_millis(1_500);

/// An error later than this misses the gate by itself, whatever the percentiles say.
const ERROR_MAX_MS: f64 = 250.0;

/// Its name, the query mode, and what the victim asks meanwhile; `{}` is the trap.
type Moment = (&'static str, &'static str, &'static str);

const TRAPPED_AT: &[Moment] = &[
    ("mid_select", "table", "select {}"),
    ("mid_read", "table", "select {} from table(anchor)"),
    ("mid_stream", "streaming", "select {} from anchor settings seek_to = 'earliest'"),
    ("mid_insert", "table", "insert into sink (x) select {}"),
];

const SIGNALLED_AT: Moment = ("mid_stream", "streaming", "select x from anchor");

/// The server and everybody who uses it.
pub struct Stage {
    pub server: Server,
    pub idle: Idle,
    pub visitors: Visitors,
    pub writers: Writers,
    pub random: Random,
    pub build_id: String,
    /// For each writer: rows below this have been compared with what is stored.
    pub checked: Vec<u64>,
    pub has_standby: bool,
}

/// What the fault itself has shown.
struct Strike {
    at: Instant,
    round_trip: Duration,
    answer: Answer,
    /// The worker's end.
    dead: Option<Instant>,
    /// The first new query answered by the next worker.
    ready: Option<Instant>,
    probes: Vec<Visit>,
    victim: Connection,
}

impl Stage {
    /// Errors: the server does not come back, or could not be used before the fault: the run cannot go on.
    pub fn cycle(&mut self, options: &Options, number: u64, fault: Fault) -> io::Result<Report> {
        let load = Load::begin();
        let worker = self.settle()?;
        let begun = Instant::now();
        let flights = Flights::launch(self.server.port, self.plans(options, number))?;
        let broken = |what: &str| io::Error::other(format!("cycle {number}: {what}"));
        if !flights.have_begun_by(Instant::now() + PATIENCE) {
            return Err(broken("a streaming query did not begin to answer"));
        }
        let wanted = (options.rss_gib * 1_024.0) as u64;
        if !await_until(Instant::now() + options.rss_patience, || process::rss_mib(worker) >= wanted) {
            return Err(broken(&format!("the worker has {} MiB resident, not {wanted}", process::rss_mib(worker))));
        }
        thread::sleep(Duration::from_millis(20 + self.random.below(60)));
        if flights.ended() > 0 {
            return Err(broken("a bystander's query ended before the fault"));
        }
        let moment = self.moment(&fault);
        let query_id = format!("victim-{number}-{:08x}", self.random.draw() as u32);
        let incidents = record::incidents(&self.server.data());
        let mut report = Report {
            run: options.run.clone(),
            cycle: number,
            seed: options.seed,
            build_id: self.build_id.clone(),
            fault: fault.name,
            moment: moment.0,
            rss_mib: process::rss_mib(worker),
            thp: process::huge_pages_mib(worker) > 0,
            standby: self.server.workers().len() > 1,
            ..Report::default()
        };
        let mut strike = self.strike(&fault, moment, &query_id, worker)?;
        report.crashed = strike.dead.is_some();
        self.note_error(&mut report, &strike, &query_id);
        let give_up = if report.crashed { strike.at + PATIENCE } else { Instant::now() };
        note_landed(&mut report, &flights.finish(give_up), &self.writers);
        if report.crashed && strike.ready.is_none() {
            report.missed.push(format!("no query was answered within {READY_PATIENCE:?}"));
        }
        self.note_aftermath(&mut report, &mut strike, begun, number)?;
        if report.crashed {
            let truth = Truth { fault: &fault, query_id: &query_id };
            report.record = Some(self.record(&report, &truth, &incidents, strike.at));
        }
        report.load = load.end();
        judge(&mut report, &fault);
        self.has_standby |= report.standby;
        Ok(report)
    }

    /// Waits until the server serves and a standby waits, and returns the worker.
    fn settle(&mut self) -> io::Result<i32> {
        let since = Instant::now();
        let deadline = since + READY_PATIENCE;
        if !await_until(deadline, || self.writers.acknowledged_since(since)) {
            return Err(io::Error::other("no insert is acknowledged any more"));
        }
        if self.has_standby {
            await_until(since + HANDLER_PATIENCE, || self.server.workers().len() > 1);
        }
        self.server.find_worker().ok_or_else(|| io::Error::other("the supervisor has no worker"))
    }

    fn plans(&self, options: &Options, number: u64) -> Vec<Plan> {
        let mut plans = Vec::new();
        // With a hundred streams a few show each row; the others count.
        let row_streams = if options.streams > 8 { options.streams / 16 } else { options.streams.div_ceil(2) };
        for stream in 0..options.streams {
            let (kind, sql) = match stream < row_streams {
                true => (Kind::Rows, "select writer, seq from written".to_string()),
                false => (Kind::Stream, "select count(), max(seq) from written emit periodic 500ms".to_string()),
            };
            plans.push(Plan { kind, sql, query_id: format!("stream-{number}-{stream}") });
        }
        // Reads what no filter can skip, on one thread: the second core is for everybody else.
        let sql = "select count() from numbers(1000000000000) where number % 7 = 8 settings max_threads = 1";
        plans.push(Plan { kind: Kind::Read, sql: sql.to_string(), query_id: format!("read-{number}") });
        // Sorted rows wait in memory for a client that reads them slowly.
        let rows = ((options.rss_gib * f64::from(1 << 20)) as u64).max(1 << 16);
        let sql = format!("select number, repeat('x', 1000) as pad from numbers({rows}) order by number desc");
        plans.push(Plan { kind: Kind::LargeResult, sql, query_id: format!("large-{number}") });
        plans
    }

    fn moment(&mut self, fault: &Fault) -> Moment {
        match fault.is_by_query() {
            true => TRAPPED_AT[self.random.below(TRAPPED_AT.len() as u64) as usize],
            false => SIGNALLED_AT,
        }
    }

    /// Brings the fault about and follows the victim, the process and the first new query.
    fn strike(&mut self, fault: &Fault, moment: Moment, query_id: &str, worker: i32) -> io::Result<Strike> {
        let port = self.server.port;
        let mut victim = Connection::open(port, PATIENCE)?;
        let round_trip = round_trip(&mut victim)?;
        let watched = Watched::open(worker)?;
        let (dead, quit) = (Mutex::new(None), AtomicBool::new(false));
        let (tell_prober, told) = channel();
        let (dead, quit) = (&dead, &quit);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| watch(&watched, dead, quit));
            let prober = scope.spawn(move || probe(port, &told, dead, quit));
            let begun = begin(&mut victim, fault, moment, query_id, worker);
            quit.store(begun.is_err(), Ordering::SeqCst);
            let (at, sent) = begun?;
            // Fails only when the prober has ended, which it does not before it is told.
            let _ = tell_prober.send(());
            let answer = victim.answer(TAIL_BYTES, at, at + PATIENCE);
            drop(tell_prober);
            if sent.is_err() && answer.outcome == Outcome::Hung {
                quit.store(true, Ordering::SeqCst);
                return Err(io::Error::other("the victim could not send its query"));
            }
            if fault.is_by_query() && !is_of_the_server(&answer.outcome) {
                let deadline = Instant::now() + if fault.is_caught() { CAUGHT_PATIENCE } else { HANDLER_PATIENCE };
                if !await_until(deadline, || lock(dead).is_some()) {
                    quit.store(true, Ordering::SeqCst);
                }
            }
            let died = watcher.join().ok().flatten();
            if died.is_none() {
                quit.store(true, Ordering::SeqCst);
            }
            let (probes, ready) = prober.join().unwrap_or_default();
            let visitors = died.and_then(|died| self.visitors.first_answer(at, died));
            let ready = ready.into_iter().chain(visitors).min();
            Ok(Strike { at, round_trip, answer, dead: died, ready, probes, victim })
        })
    }

    fn note_error(&self, report: &mut Report, strike: &Strike, query_id: &str) {
        let since = |at: Instant| at.saturating_duration_since(strike.at);
        let error = strike.answer.outcome.error();
        if let Some(error) = error {
            report.sent_to_error_ms = Some(ms(since(strike.answer.ended)));
            report.error_ms = Some(ms(since(strike.answer.ended).saturating_sub(strike.round_trip)));
            report.error_text = Some(error.text.chars().take(1_000).collect());
            report.incident = error.incident.clone();
        }
        let head = strike.answer.head.as_ref();
        let in_header = head.and_then(|h| h.family("query-id")).is_some_and(|id| id == query_id);
        report.has_query_id = error.is_some_and(|e| e.text.contains(query_id) || in_header);
        report.error_code = Some(strike.answer.outcome.label());
        report.dead_ms = strike.dead.map(|at| ms(since(at)));
        report.handler_alive_3s = match strike.dead {
            Some(dead) => since(dead) > HANDLER_PATIENCE,
            None => is_of_the_server(&strike.answer.outcome),
        };
        report.ready_ms = strike.ready.map(|at| ms(since(at)));
    }

    /// Everything that is looked at when the server answers again.
    fn note_aftermath(
        &mut self,
        report: &mut Report,
        strike: &mut Strike,
        begun: Instant,
        number: u64,
    ) -> io::Result<()> {
        report.idle = self.idle.check(number)?;
        report.victim_kept = strike.victim.is_usable && strike.victim.ask("select 1", &[], PATIENCE).is_ok();
        if report.idle.kept < report.idle.n {
            report.missed.push(format!("idle: {}", report.idle.example.clone().unwrap_or_default()));
        }
        let back = Instant::now();
        if !await_until(back + READY_PATIENCE, || self.writers.acknowledged_since(back)) {
            report.missed.push("no insert was acknowledged after the crash".to_string());
        }
        let now = Instant::now();
        let mut visits = self.visitors.take_until(now);
        visits.retain(|v| v.ended >= begun);
        visits.append(&mut strike.probes);
        note_visits(report, &visits, strike.at);
        note_inserts(report, &self.writers.take_ends(), strike.at);
        report.inserts = self.check_rows()?;
        report.orphan_sockets = self.orphans() as u64;
        Ok(())
    }

    /// Compares the rows that were settled since the last check.
    fn check_rows(&mut self) -> io::Result<Tally> {
        let below = self.writers.ledger().settled();
        let tally = self.compare(&self.checked, &below)?;
        self.checked = below;
        Ok(tally)
    }

    /// Compares every row that was ever sent.
    pub fn check_all_rows(&mut self) -> io::Result<Tally> {
        let below = self.writers.ledger().settled();
        self.compare(&vec![0; below.len()], &below)
    }

    fn compare(&self, from: &[u64], below: &[u64]) -> io::Result<Tally> {
        let ranges: Vec<String> = (0..below.len())
            .map(|w| format!("(writer = {w} and seq >= {} and seq < {})", from[w], below[w]))
            .chain([format!("writer >= {}", below.len())])
            .collect();
        let sql = format!("select writer, seq from table(written) where {} format TSV", ranges.join(" or "));
        let answer =
            ask_keeping(self.server.port, &sql, &[("query_mode", "table")], CHECK_BYTES_MAX, READY_PATIENCE * 4)?;
        if !answer.is_ok() {
            return Err(io::Error::other(format!("{sql}: {}: {}", answer.outcome.label(), answer.text())));
        }
        let text = answer.text();
        Ok(self.writers.ledger().check(from, below, text.lines().filter_map(ledger::row)))
    }

    /// Connections that the supervisor or the worker still hold although their client has gone.
    fn orphans(&self) -> usize {
        let look = || {
            let mut held = process::sockets(self.server.pid());
            self.server.workers().into_iter().for_each(|pid| held.extend(process::sockets(pid)));
            process::orphans(self.server.port, &held)
        };
        // Visitors come and go: only what stays without a client over the whole time is an orphan.
        let mut orphans = look();
        await_until(Instant::now() + ORPHAN_PATIENCE, || {
            let still = look();
            orphans.retain(|inode| still.contains(inode));
            orphans.is_empty()
        });
        orphans.len()
    }

    fn record(&self, report: &Report, truth: &Truth, before: &HashSet<String>, at: Instant) -> RecordFound {
        let data = self.server.data();
        let missing =
            |note: &str| RecordFound { state: "missing", note: Some(note.to_string()), ..RecordFound::default() };
        let new = record::incidents(&data).difference(before).max().cloned();
        let Some(incident) = report.incident.clone().or(new) else { return missing("no record was written") };
        let Ok(text) = std::fs::read_to_string(record::path(&data, &incident)) else {
            return missing(&format!("there is no file of incident {incident}"));
        };
        let mut found = record::judge(&text, truth);
        let sql = "select * from system.crash_log format JSONEachRow";
        let mut said = String::new();
        let is_logged = await_until(at + PATIENCE, || {
            let Ok(answer) = ask_keeping(self.server.port, sql, &[("query_mode", "table")], 16 << 20, PATIENCE) else {
                return false;
            };
            said = format!("{}: {}", answer.outcome.label(), answer.text().chars().take(200).collect::<String>());
            answer.is_ok() && record::log_has(&answer.text(), &incident, truth)
        });
        match is_logged {
            true => found.crash_log_ms = Some(ms(at.elapsed())),
            false => {
                found.state = "partial";
                found.note.get_or_insert(format!("system.crash_log does not show {incident} as it was: {said}"));
            }
        }
        found.minidump = Some(record::has_minidump(&data, &incident));
        found
    }
}

/// The middle of some round trips on the victim's connection.
fn round_trip(victim: &mut Connection) -> io::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let answer = victim.ask("select 1", &[], PATIENCE);
        if !answer.is_ok() {
            return Err(io::Error::other(format!("the victim's select 1: {}", answer.outcome.label())));
        }
        times.push(answer.took());
    }
    times.sort();
    Ok(times[ROUND_TRIPS / 2])
}

/// Sends the fault; answers when, and how that went.
fn begin(
    victim: &mut Connection,
    fault: &Fault,
    (_, mode, sql): Moment,
    query_id: &str,
    worker: i32,
) -> io::Result<(Instant, io::Result<()>)> {
    let parameters = [("query_id", query_id), ("query_mode", mode)];
    match fault.means {
        Means::Trap(trap) => {
            let bytes = request(&sql.replace("{}", &format!("trap('{trap}')")), &parameters, true);
            let at = Instant::now();
            Ok((at, victim.send(&bytes, PATIENCE)))
        }
        Means::Signal(signal) => {
            victim.send(&request(sql, &parameters, true), PATIENCE)?;
            // Its answer has begun when a byte can be read.
            victim.socket.set_read_timeout(Some(PATIENCE))?;
            victim.socket.peek(&mut [0])?;
            let at = Instant::now();
            process::signal(worker, signal);
            Ok((at, Ok(())))
        }
    }
}

fn is_of_the_server(outcome: &Outcome) -> bool {
    outcome.error().is_some_and(|e| e.is_of_the_server())
}

/// Waits for the end of the worker, until told to quit.
fn watch(watched: &Watched, dead: &Mutex<Option<Instant>>, quit: &AtomicBool) -> Option<Instant> {
    let deadline = Instant::now() + PATIENCE;
    while !quit.load(Ordering::SeqCst) && Instant::now() < deadline {
        if let Some(at) = watched.ended_by(Instant::now() + Duration::from_millis(20)) {
            *lock(dead) = Some(at);
            return Some(at);
        }
    }
    None
}

/// Asks for a row over and over, on a new connection each time, until the next worker answers.
fn probe(
    port: u16,
    told: &Receiver<()>,
    dead: &Mutex<Option<Instant>>,
    quit: &AtomicBool,
) -> (Vec<Visit>, Option<Instant>) {
    let mut visits = Vec::new();
    if told.recv().is_err() {
        return (visits, None);
    }
    // The sender hangs up when the victim has its answer; either way it is time.
    let _ = told.recv_timeout(PROBE_AFTER);
    let deadline = Instant::now() + READY_PATIENCE;
    while !quit.load(Ordering::SeqCst) && Instant::now() < deadline {
        let visit = visit(port, "select x from table(anchor)", false, READY_PATIENCE);
        let is_by_next = lock(dead).is_some_and(|dead| visit.ended > dead);
        let ready = (visit.is_answered() && is_by_next).then_some(visit.ended);
        visits.push(visit);
        if ready.is_some() {
            return (visits, ready);
        }
        thread::sleep(PROBE_PAUSE);
    }
    (visits, None)
}

fn note_landed(report: &mut Report, landed: &[Landed], writers: &Writers) {
    let ledger = writers.ledger();
    for flight in landed {
        // After a fault that was caught, a query that still runs is as it should be.
        let is_good = if report.crashed { flight.outcome.is_typed() } else { flight.ended.is_none() };
        let is_hung = report.crashed && flight.outcome == Outcome::Hung;
        count(&mut report.inflight, is_good, is_hung);
        if !is_good {
            example(&mut report.inflight_examples, &format!("{:?}", flight.kind), &flight.outcome);
        }
        if flight.kind.is_stream() {
            report.streams.n += 1;
            report.streams.typed += u64::from(is_good);
            report.streams.rows += flight.sequences.rows;
            report.streams.dup_rows += flight.sequences.dup;
            report.streams.lost_rows += flight.sequences.lost(&ledger);
        }
    }
}

fn note_visits(report: &mut Report, visits: &[Visit], at: Instant) {
    for visit in visits {
        let connects = &mut report.connects;
        connects.tried += 1;
        connects.refused += u64::from(visit.is_refused());
        connects.reset += u64::from(visit.is_reset());
        connects.hung += u64::from(visit.is_hung());
        connects.stayed_open += u64::from(visit.stayed_open);
        connects.wait_max_ms = connects.wait_max_ms.max(ms(visit.ended - visit.started));
        if visit.started < at && visit.ended > at {
            let is_typed = matches!(&visit.end, crate::visitors::VisitEnd::Outcome(o) if o.is_typed());
            count(&mut report.inflight, is_typed, visit.is_hung());
        }
        if visit.is_refused() || visit.is_reset() || visit.is_hung() {
            report.inflight_examples.push(format!("new connection: {}", visit.label()));
        }
    }
    report.inflight_examples.truncate(EXAMPLES_MAX);
}

fn note_inserts(report: &mut Report, ends: &[InsertEnd], at: Instant) {
    for end in ends {
        if end.sent < at && end.ended > at {
            count(&mut report.inflight, end.is_typed(), end.outcome == Outcome::Hung);
            if !end.is_typed() {
                example(&mut report.inflight_examples, "insert", &end.outcome);
            }
        }
        report.inserts_unknown += u64::from(end.is_unknown());
    }
}

const EXAMPLES_MAX: usize = 5;

fn example(examples: &mut Vec<String>, what: &str, outcome: &Outcome) {
    if examples.len() < EXAMPLES_MAX {
        examples.push(format!("{what}: {}", outcome.label()));
    }
}

fn count(inflight: &mut InFlight, is_typed: bool, is_hung: bool) {
    inflight.n += 1;
    inflight.typed += u64::from(is_typed);
    inflight.hung += u64::from(is_hung);
    inflight.untyped += u64::from(!is_typed && !is_hung);
}

/// Writes down what the cycle has missed by itself; percentiles are for the summary.
fn judge(report: &mut Report, fault: &Fault) {
    if report.crashed == fault.is_caught() {
        report.verdict = "not_measured";
        report.missed.push(format!("the fault did not happen: {}", report.error_code.clone().unwrap_or_default()));
        return;
    }
    let mut missed = std::mem::take(&mut report.missed);
    let mut miss = |is_missed: bool, what: String| {
        if is_missed {
            missed.push(what);
        }
    };
    let said = report.error_code.clone().unwrap_or_default();
    if !report.crashed {
        miss(!report.victim_kept, "a caught panic cost its connection".to_string());
        miss(said.starts_with("SERVER_"), format!("the victim was told: {said}"));
    } else if fault.is_by_query() {
        miss(said != "SERVER_CRASHED", format!("the victim was told: {said}"));
        miss(!report.has_query_id, "the error does not name the query".to_string());
    }
    miss(report.error_ms.is_none(), format!("the victim got no error: {said}"));
    if fault.has_handler() {
        miss(report.error_ms.is_some_and(|t| t > ERROR_MAX_MS), "the error came late".to_string());
    }
    miss(report.handler_alive_3s, "the dying process was alive after 3 s".to_string());
    let c = &report.connects;
    let bad = c.refused + c.reset + c.hung;
    miss(bad > 0, format!("{bad} of {} new connections were refused, reset or hung", c.tried));
    let f = &report.inflight;
    miss(f.typed < f.n, format!("{} of {} in flight had no typed answer", f.n - f.typed, f.n));
    let i = &report.inserts;
    miss(!i.is_clean(), format!("{} lost, {} doubled, {} phantom rows", i.lost, i.dup, i.phantom));
    let Streams { lost_rows, dup_rows, .. } = report.streams;
    miss(lost_rows + dup_rows > 0, format!("a stream left out {lost_rows} and repeated {dup_rows} rows"));
    miss(report.orphan_sockets > 0, format!("{} orphan sockets", report.orphan_sockets));
    if let Some(record) = &report.record {
        miss(
            record.state != "full",
            format!("the record is {}: {}", record.state, record.note.clone().unwrap_or_default()),
        );
    }
    report.verdict = if missed.is_empty() { "pass" } else { "fail" };
    report.missed = missed;
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
