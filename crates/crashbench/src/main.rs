//! `crashbench`: runs crash cycles against a server binary, prints the table, ends with 1 when a gate is missed.

use clap::Parser;
use hydron_crashbench::fault::{FAULTS, Fault};
use hydron_crashbench::protocol::Protocol;
use hydron_crashbench::run::{Options, run};
use hydron_crashbench::summary::{Gates, Summary, Verdict};
use serde_json::Value;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Crashes a server in every known way and measures what its clients see.
#[derive(Parser)]
#[command(name = "crashbench", version)]
struct Cli {
    /// The binary under test.
    #[arg(long, required_unless_present = "summarize")]
    server: Option<PathBuf>,
    /// Faults by name, separated by commas.
    #[arg(long, default_value = "all")]
    faults: String,
    /// What the victim, the queries in flight and the idle connections speak: `http`, `native` or `rest`.
    #[arg(long, default_value = "http")]
    protocol: String,
    #[arg(long, default_value_t = 15)]
    cycles: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// GiB that the worker holds when the fault hits.
    #[arg(long, default_value_t = 0.1)]
    rss: f64,
    /// Streaming queries of each cycle.
    #[arg(long, default_value_t = 4)]
    streams: usize,
    /// MiB of log that no part holds.
    #[arg(long, default_value_t = 0)]
    tail_mib: u64,
    #[arg(long, default_value_t = 2)]
    writers: usize,
    /// Milliseconds between two inserts of a writer.
    #[arg(long, default_value_t = 2)]
    insert_pause_ms: u64,
    /// New connections a second.
    #[arg(long, default_value_t = 50)]
    connects: u64,
    /// Milliseconds from one cycle to the next, at least.
    #[arg(long, default_value_t = 1_000)]
    pace_ms: u64,
    /// Lines of JSON go here; they are added to what is there.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Name of the run in each line.
    #[arg(long, default_value = "crashbench")]
    run: String,
    /// Where the server keeps its data; a temporary directory, removed after a run without misses, when not given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Prints the table of lines that were written before, and runs nothing.
    #[arg(long, value_name = "FILE")]
    summarize: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match measure(Cli::parse()) {
        Ok(verdict) => ExitCode::from(verdict.exit_code()),
        Err(e) => {
            eprintln!("crashbench: {e}");
            ExitCode::from(Verdict::Broken.exit_code())
        }
    }
}

fn measure(cli: Cli) -> io::Result<Verdict> {
    let mut lines = Vec::new();
    for file in &cli.summarize {
        let text = std::fs::read_to_string(file)?;
        lines.extend(text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()));
    }
    let mut failure = None;
    if let Some(server) = cli.server.clone() {
        failure = crash(&cli, server, &mut lines)?;
    }
    let summary = Summary::of(&lines, &Gates::release());
    print!("{summary}");
    match failure {
        Some(e) => Err(e),
        None => Ok(summary.verdict),
    }
}

/// Runs the cycles; a failure in the middle leaves the lines so far.
fn crash(cli: &Cli, server: PathBuf, lines: &mut Vec<Value>) -> io::Result<Option<io::Error>> {
    let faults = Fault::parse_list(&cli.faults).map_err(io::Error::other)?;
    let dir = match &cli.dir {
        Some(dir) => dir.clone(),
        None => std::env::temp_dir().join(format!("crashbench-{}", std::process::id())),
    };
    std::fs::create_dir_all(&dir)?;
    let options = Options {
        run: cli.run.clone(),
        faults,
        protocol: Protocol::parse(&cli.protocol).map_err(io::Error::other)?,
        cycles: cli.cycles,
        seed: cli.seed,
        rss_gib: cli.rss,
        streams: cli.streams,
        tail_mib: cli.tail_mib,
        writers: cli.writers,
        insert_pause: Duration::from_millis(cli.insert_pause_ms),
        connects_per_second: cli.connects,
        pace: Duration::from_millis(cli.pace_ms),
        ..Options::new(server, dir.clone())
    };
    let mut out = cli.out.as_ref().map(|path| File::options().create(true).append(true).open(path)).transpose()?;
    let mut keep = |line: String, lines: &mut Vec<Value>| {
        if let Some(out) = &mut out
            && let Err(e) = writeln!(out, "{line}")
        {
            eprintln!("crashbench: cannot write a line: {e}");
        }
        lines.extend(serde_json::from_str::<Value>(&line));
    };
    let of = FAULTS.iter().map(|f| f.name.len()).max().unwrap_or(0);
    let result = run(&options, |report| {
        let time = |t: Option<f64>| t.map_or("-".to_string(), |t| format!("{t:.1}"));
        eprintln!(
            "{:>4} {:of$}  error {:>7} ms  dead {:>7} ms  ready {:>7} ms  {:>5} MiB  {}  {}",
            report.cycle,
            report.fault,
            time(report.sent_to_error_ms),
            time(report.dead_ms),
            time(report.ready_ms),
            report.rss_mib,
            report.verdict,
            report.missed.join("; ")
        );
        keep(report.line(), lines);
    });
    let failure = match result {
        Ok(end) => {
            keep(end.line(&options.run), lines);
            None
        }
        Err(e) => Some(e),
    };
    let is_clean = failure.is_none() && lines.iter().all(|l| l["verdict"] != "fail");
    if cli.dir.is_none() && is_clean {
        std::fs::remove_dir_all(&dir)?;
    } else {
        eprintln!("the server's data and messages are in {}", dir.display());
    }
    Ok(failure)
}
