//! One cycle: bystanders are busy, a fault hits, and everything that clients see of it is measured.
//!
//! In: a running [`Stage`], a fault. Out: a [`Report`]. Promise: what could not be measured says so and counts as neither
//! good nor bad.

use crate::client::ask_keeping;
use crate::fault::Fault;
use crate::flights::{Flights, Kind, Plan};
use crate::idle::Idle;
use crate::ledger::{self, Tally};
use crate::process::{self, Load, await_until};
use crate::random::Random;
use crate::record::{self, Truth};
use crate::report::{RecordFound, Report, ms};
use crate::run::Options;
use crate::server::Server;
use crate::strike::{self, Strike, is_of_the_server};
use crate::visitors::Visitors;
use crate::writers::Writers;
use crate::{judge, witness};
use std::collections::HashSet;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// How long the server may take until it answers again; beyond it the run ends.
pub const READY_PATIENCE: Duration = Duration::from_secs(30);

/// A dying process that still runs after this is a handler that hangs.
pub const HANDLER_PATIENCE: Duration = Duration::from_secs(3);

/// An answer that has not come by then is a hang.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Rows of one check of the inserts: some 20 bytes each.
const CHECK_BYTES_MAX: usize = 256 << 20;

/// Sockets without a client must be gone after this; the server itself sweeps every 100 ms.
const ORPHAN_PATIENCE: Duration = Duration::from_millis(1_500);

/// How long one waits for the names in a stack; they are no gate.
const SYMBOLS_PATIENCE: Duration = Duration::from_secs(2);

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

impl Stage {
    /// Errors: the server does not come back, or could not be used before the fault: the run cannot go on.
    pub fn cycle(&mut self, options: &Options, number: u64, fault: Fault) -> io::Result<Report> {
        let load = Load::begin();
        let worker = self.settle()?;
        let flights = Flights::launch(self.server.endpoint, self.plans(options, number))?;
        let broken = |what: &str| io::Error::other(format!("cycle {number}: {what}"));
        if !flights.have_begun_by(Instant::now() + options.rss_patience) {
            return Err(broken("a query did not begin to answer"));
        }
        let wanted = (options.rss_gib * 1_024.0) as u64;
        if !await_until(Instant::now() + options.rss_patience, || process::rss_mib(worker) >= wanted) {
            return Err(broken(&format!("the worker has {} MiB resident, not {wanted}", process::rss_mib(worker))));
        }
        thread::sleep(Duration::from_millis(20 + self.random.below(60)));
        let moment = strike::moment(&fault, &mut self.random);
        let query_id = format!("victim-{number}-{:08x}", self.random.draw() as u32);
        let incidents = record::incidents(&self.server.data());
        let mut report = Report {
            run: options.run.clone(),
            cycle: number,
            seed: options.seed,
            build_id: self.build_id.clone(),
            fault: fault.name,
            proto: self.server.endpoint.protocol.name(),
            moment: moment.0,
            rss_mib: process::rss_mib(worker),
            thp: process::huge_pages_mib(worker) > 0,
            standby: self.server.workers().len() > 1,
            ..Report::default()
        };
        let mut strike =
            strike::strike(self.server.endpoint, self.server.port, worker, &fault, moment, &query_id, &self.visitors)?;
        report.crashed = strike.dead.is_some();
        self.note_error(&mut report, &strike, &query_id);
        let give_up = if report.crashed { strike.at + PATIENCE } else { Instant::now() };
        witness::landed(&mut report, &flights.finish(give_up), strike.at, &self.writers.ledger());
        if report.crashed && strike.ready.is_none() {
            report.missed.push(format!("no query was answered within {READY_PATIENCE:?}"));
        }
        self.note_aftermath(&mut report, &mut strike, number)?;
        if report.crashed {
            let truth = Truth { fault: &fault, query_id: &query_id };
            report.record = Some(self.record(&report, &truth, &incidents, strike.at));
        }
        report.load = load.end();
        judge::judge(&mut report, &fault);
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
        let rows = ((options.rss_gib * f64::from(1 << 20)) as u64).max(1 << 14);
        let sql = format!("select number, repeat('x', 1000) as pad from numbers({rows}) order by number desc");
        plans.push(Plan { kind: Kind::LargeResult, sql, query_id: format!("large-{number}") });
        plans
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
    fn note_aftermath(&mut self, report: &mut Report, strike: &mut Strike, number: u64) -> io::Result<()> {
        report.idle = self.idle.check(number)?;
        report.victim_kept = strike.victim.is_usable && {
            let answer = strike.victim.ask("select 1", &[], PATIENCE);
            answer.is_ok() && answer.text() == "1"
        };
        if report.idle.kept < report.idle.n {
            report.missed.push(format!("idle: {}", report.idle.example.clone().unwrap_or_default()));
        }
        let back = Instant::now();
        if !await_until(back + READY_PATIENCE, || self.writers.acknowledged_since(back)) {
            report.missed.push("no insert was acknowledged after the crash".to_string());
        }
        let now = Instant::now();
        let mut visits = self.visitors.take_until(now);
        visits.append(&mut strike.probes);
        witness::visits(report, &visits, strike.at);
        witness::inserts(report, &self.writers.take_ends(), strike.at);
        report.inserts = self.check_rows()?;
        report.orphan_sockets = self.orphans() as u64;
        report.supervisor_anon_kib = process::status(self.server.pid(), "RssAnon").unwrap_or(0);
        report.supervisor_rss_kib = process::status(self.server.pid(), "VmRSS").unwrap_or(0);
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
            let mut orphans = process::orphans(self.server.port, &held);
            if self.server.endpoint.port != self.server.port {
                orphans.extend(process::orphans(self.server.endpoint.port, &held));
            }
            orphans
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
        let path = record::path(&data, &incident);
        let Ok(text) = std::fs::read_to_string(&path) else {
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
        // Names of functions and the dump come later, from a process of their own.
        if truth.fault.has_handler() {
            await_until(Instant::now() + SYMBOLS_PATIENCE, || {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                found.right_top3 = record::judge(&text, truth).right_top3;
                found.right_top3.is_some()
            });
        }
        found.minidump = Some(record::has_minidump(&data, &incident));
        found
    }
}
