//! All cycles of a run: the server with its streams, the bystanders, one fault after another, and the last count.

use crate::cycle::Stage;
use crate::fault::Fault;
use crate::idle::{self, Idle};
use crate::ledger::Tally;
use crate::protocol::{Endpoint, Protocol};
use crate::random::Random;
use crate::report::{Report, ms};
use crate::server::{Abilities, Server};
use crate::visitors::Visitors;
use crate::writers::Writers;
use serde_json::json;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub struct Options {
    /// Stands in each line.
    pub run: String,
    pub server: PathBuf,
    /// Where the server keeps its data and its messages; must be there and should be empty.
    pub dir: PathBuf,
    pub faults: Vec<Fault>,
    /// What the victim, the queries in flight and the idle connections speak; writers and visitors speak HTTP.
    pub protocol: Protocol,
    pub cycles: u64,
    pub seed: u64,
    /// The worker is at least so large when the fault hits.
    pub rss_gib: f64,
    pub rss_patience: Duration,
    pub streams: usize,
    /// Bytes of log that no part holds, which each new worker must read.
    pub tail_mib: u64,
    pub idle: usize,
    pub writers: usize,
    pub insert_pause: Duration,
    pub connects_per_second: u64,
    /// From the begin of one cycle to that of the next, at least.
    pub pace: Duration,
}

impl Options {
    /// A small run over every fault.
    pub fn new(server: PathBuf, dir: PathBuf) -> Options {
        Options {
            run: "crashbench".to_string(),
            server,
            dir,
            faults: crate::fault::FAULTS.to_vec(),
            protocol: Protocol::Http,
            cycles: crate::fault::FAULTS.len() as u64,
            seed: 1,
            rss_gib: 0.0,
            rss_patience: Duration::from_secs(60),
            streams: 4,
            tail_mib: 0,
            idle: 8,
            writers: 2,
            insert_pause: Duration::from_millis(2),
            connects_per_second: 50,
            pace: Duration::from_secs(1),
        }
    }
}

/// What is known when all cycles are over.
#[derive(Clone, Debug)]
pub struct End {
    /// Every row of the run, read by a server that was stopped and started once more.
    pub rows: Tally,
    pub stop_ms: f64,
    /// `None`: it had to be killed.
    pub stop_code: Option<i32>,
    /// Inserts whose fate was asked for again with the token of the answer.
    pub resolved: u64,
    /// Connections that the harness could not make in time.
    pub left_out: usize,
}

impl End {
    pub fn line(&self, run: &str) -> String {
        let r = &self.rows;
        let rows = json!({"acked": r.acked, "lost": r.lost, "dup": r.dup, "phantom": r.phantom, "unknown": r.unknown, "examples": r.examples});
        let end = json!({"rows": rows, "stop_ms": self.stop_ms, "stop_code": self.stop_code, "resolved": self.resolved, "left_out": self.left_out});
        format!("{{\"run\":{},\"end\":{end}}}", json!(run))
    }
}

/// Runs every cycle. `each`: gets each report as it is made. Errors: the server or the harness failed in a way that no
/// further cycle can be measured; the reports so far have been handed over.
pub fn run(options: &Options, mut each: impl FnMut(&Report)) -> io::Result<End> {
    let mut stage = set_up(options)?;
    let mut order: Vec<Fault> = Vec::new();
    for number in 0..options.cycles {
        let begun = Instant::now();
        if order.is_empty() {
            order.clone_from(&options.faults);
            stage.random.shuffle(&mut order);
        }
        let Some(fault) = order.pop() else { break };
        each(&stage.cycle(options, number, fault)?);
        thread::sleep(options.pace.saturating_sub(begun.elapsed()));
    }
    tear_down(options, stage)
}

fn set_up(options: &Options) -> io::Result<Stage> {
    let abilities = Abilities::of(&options.server)?;
    let server = Server::start_on(&options.server, &options.dir, &abilities.flags(), options.protocol)?;
    // Parts are made all the time, so that crashes meet them half made too.
    server.must(
        "create stream written (writer uint32, seq uint64) settings flush_threshold_ms = 500, flush_threshold_count = 2000",
    )?;
    server.must("create stream anchor (x int32)")?;
    server.must("insert into anchor (x) values (1)")?;
    server.must("create stream sink (x uint8)")?;
    server.must(&format!("create database {}", idle::DATABASE))?;
    make_tail(&server, options)?;
    let writers = Writers::start(server.port, "written", options.writers, options.insert_pause)?;
    let visitors = Visitors::start(server.port, options.connects_per_second)?;
    // A resource of REST has no session, but the same port takes SQL with one.
    let with_sessions = match server.endpoint.protocol {
        Protocol::Rest => Endpoint::from(server.endpoint.port),
        _ => server.endpoint,
    };
    let idle = Idle::open(with_sessions, options.idle)?;
    let version = std::process::Command::new(&options.server).arg("version").output()?;
    Ok(Stage {
        idle,
        visitors,
        writers,
        random: Random::seeded(options.seed),
        build_id: String::from_utf8_lossy(&version.stdout).trim().to_string(),
        checked: vec![0; options.writers],
        has_standby: server.workers().len() > 1,
        server,
    })
}

/// Writes bytes that stay in the log: nothing makes a part of them, and random digits do not compress well.
fn make_tail(server: &Server, options: &Options) -> io::Result<()> {
    if options.tail_mib == 0 {
        return Ok(());
    }
    server.must(
        "create stream tail (n uint64, pad string) settings flush_threshold_ms = 86400000, \
         flush_threshold_count = 1000000000, flush_threshold_bytes = 100000000000",
    )?;
    let mut random = Random::seeded(options.seed ^ 0x7a11);
    let mut number = 0_u64;
    for _ in 0..options.tail_mib {
        let mut body = String::with_capacity((1 << 20) + 1_024);
        body.push_str("insert into tail (n, pad) format CSV\n");
        while body.len() < 1 << 20 {
            body.push_str(&format!("{number},"));
            (0..32).for_each(|_| body.push_str(&format!("{:016x}", random.draw())));
            body.push('\n');
            number += 1;
        }
        server.must(&body)?;
    }
    Ok(())
}

fn tear_down(options: &Options, mut stage: Stage) -> io::Result<End> {
    stage.writers.stop();
    let resolved = stage.writers.resolved();
    let left_out = stage.visitors.left_out();
    let (took, status) = stage.server.stop();
    let abilities = Abilities::of(&options.server)?;
    stage.server = Server::start_on(&options.server, &options.dir, &abilities.flags(), options.protocol)?;
    let rows = stage.check_all_rows()?;
    Ok(End { rows, stop_ms: ms(took), stop_code: status.and_then(|s| s.code()), resolved, left_out })
}
