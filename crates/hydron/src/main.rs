//! `hydron`: one binary for the server, its clients and its demonstration.
//!
//! In reading order: [`flags`] (as others write them), [`server`], [`crash`], [`demo`], [`client`], [`benchmark`].

mod benchmark;
mod client;
mod crash;
mod demo;
mod flags;
mod server;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use hydron_base::Error;
use std::ffi::OsString;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Streaming and time-series SQL database.
#[derive(Parser)]
#[command(name = "hydron", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the server.
    Server(server::ServerArgs),
    /// Talks to a server: interactive, or with --query.
    #[command(disable_help_flag = true)]
    Client(client::ClientArgs),
    /// Runs statements against a server again and again, and says how fast it was.
    #[command(disable_help_flag = true)]
    Benchmark(benchmark::BenchmarkArgs),
    /// Runs statements in this process, over files too; no server is needed.
    Local(client::LocalArgs),
    /// Starts a whole server in a temporary directory, replays real flights and shows a live query.
    Demo(demo::DemoArgs),
    /// What is known of a server's crashes.
    Crash(crash::CrashArgs),
    /// Prints the version.
    Version,
    /// What a server starts to do its work; not for use by hand.
    #[command(name = hydron_daemon::worker::WORKER_COMMAND, hide = true)]
    Worker,
    /// What a server starts for its TLS ports; not for use by hand.
    #[command(name = hydron_daemon::door::DOOR_COMMAND, hide = true)]
    Door,
    /// What a server starts to look at a worker from outside; not for use by hand.
    #[command(name = hydron_daemon::dump::DUMP_COMMAND, hide = true)]
    Dump,
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == "server") {
        // Before its heap grows.
        hydron_daemon::supervisor::stay_small();
    }
    let outcome = match parse().command {
        Command::Server(args) => server::run(args),
        Command::Client(args) => client::client(args),
        Command::Benchmark(args) => benchmark::run(args),
        Command::Local(args) => client::local(args),
        Command::Demo(args) => demo::run(args),
        Command::Crash(args) => crash::run(args),
        Command::Version => {
            println!("hydron {}", env!("CARGO_PKG_VERSION"));
            Ok(0)
        }
        Command::Worker => Ok(hydron_daemon::worker::run_inherited()),
        Command::Door => Ok(hydron_daemon::door::run_inherited()),
        Command::Dump => Ok(hydron_daemon::dump::run_inherited()),
    };
    match outcome {
        Ok(code) => ExitCode::from(code.clamp(0, 255) as u8),
        Err(e) => fail(&e),
    }
}

/// The program's flags.
fn command() -> clap::Command {
    Cli::command()
}

/// What the arguments say; ends the process where they cannot be understood.
fn parse() -> Cli {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Where a path is not UTF-8 nothing is translated, so that it stays what it is.
    let texts: Option<Vec<String>> = arguments.iter().map(|a| a.to_str().map(str::to_string)).collect();
    let matches = match texts {
        Some(texts) => command().get_matches_from(flags::translate(texts, &command())),
        None => command().get_matches_from(arguments),
    };
    Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit())
}

/// Prints an error and turns its code into an exit code, which has eight bits and is never 0.
fn fail(e: &Error) -> ExitCode {
    eprintln!("{e}");
    match e.code.number() % 256 {
        0 => ExitCode::FAILURE,
        code => ExitCode::from(code as u8),
    }
}
