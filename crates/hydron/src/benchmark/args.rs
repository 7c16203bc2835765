//! Flags of the benchmark, named as those of `clickhouse-benchmark`.

use crate::client::args::{TargetArgs, pair};
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct BenchmarkArgs {
    /// A statement to run; may be given several times. Without it and --queries-file they come from standard input.
    #[arg(short, long)]
    pub query: Vec<String>,
    /// A file of statements: separated by semicolons, or one on each line of a file that has none. `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub queries_file: Option<PathBuf>,
    /// Connections that each run one statement at a time.
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub concurrency: u32,
    /// Statements to run altogether; 0: no limit.
    #[arg(short, long, default_value_t = 0)]
    pub iterations: u64,
    /// Seconds after which no more statements are begun and those that run are cancelled; 0: no limit.
    #[arg(short, long, default_value_t = 0.0, value_parser = seconds)]
    pub timelimit: f64,
    /// Seconds between two reports on standard error; 0: none but the last.
    #[arg(short, long, default_value_t = 1.0, value_parser = seconds)]
    pub delay: f64,
    /// Reports are of all statements so far, not of those since the one before.
    #[arg(long)]
    pub cumulative: bool,
    /// Take statements at random instead of one after the other.
    #[arg(short, long)]
    pub randomize: bool,
    /// Go on after an error.
    #[arg(long)]
    pub continue_on_errors: bool,
    /// A new connection for each statement.
    #[arg(long)]
    pub reconnect: bool,
    /// Write the figures as JSON to this file; `-` is standard output, instead of the text.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Database of names without one.
    #[arg(long, default_value = "")]
    pub database: String,
    /// A setting for all statements.
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
    pub settings: Vec<(String, String)>,
    /// Rows travel uncompressed.
    #[arg(long)]
    pub no_compression: bool,
    #[command(flatten)]
    pub target: TargetArgs,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("'{text}' is no number of seconds"))?;
    match number.is_finite() && (0.0..1e9).contains(&number) {
        true => Ok(number),
        false => Err(format!("'{text}' is no number of seconds")),
    }
}
