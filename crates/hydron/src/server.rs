//! `hydron server`: configuration from file, environment and flags, then the supervisor.

use clap::Args;
use hydron_base::{Code, Error, Result};
use hydron_daemon::detach::{PidFile, Side, Starter, detach};
use hydron_daemon::supervisor::Owner;
use hydron_daemon::{Config, supervisor};
use std::io::Write;
use std::path::PathBuf;

#[derive(Args)]
pub struct ServerArgs {
    /// YAML configuration; without it every key has its default.
    #[arg(short = 'C', long)]
    config_file: Option<PathBuf>,
    /// Where everything is kept (key `path`).
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// 0 is off.
    #[arg(long)]
    http_port: Option<u16>,
    /// 0 is off.
    #[arg(long)]
    tcp_port: Option<u16>,
    /// 0 is off.
    #[arg(long)]
    rest_port: Option<u16>,
    /// 0 is off.
    #[arg(long)]
    postgres_port: Option<u16>,
    /// Goes to the background, and returns when the ports answer.
    #[arg(long)]
    daemon: bool,
    /// Keeps the process's number there while the server runs.
    #[arg(short = 'P', long)]
    pid_file: Option<PathBuf>,
    /// Allows the function `trap`, which crashes the worker on purpose (key `crash.allow_trap`).
    #[arg(long)]
    allow_trap: bool,
    /// Any key of the configuration: `--set log.sync=false`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub fn run(args: ServerArgs) -> Result<i32> {
    let config = args.load()?;
    let starter = match args.daemon {
        false => None,
        true => match detach(&args.daemon_log(&config))? {
            Side::Starter(outcome) => return outcome,
            Side::Server(starter) => Some(starter),
        },
    };
    let mut owner = Terminal { path: config.path.clone(), pid_file: args.pid_file.clone(), args, starter };
    let outcome = owner.pid_file.take().map(|p| PidFile::write(&p)).transpose();
    let outcome = outcome.and_then(|_pid_file| supervisor::run(&config, &mut owner));
    if let (Err(e), Some(starter)) = (&outcome, &mut owner.starter) {
        starter.failed(e);
    }
    outcome
}

impl ServerArgs {
    /// The configuration as file, environment and flags say now.
    fn load(&self) -> Result<Config> {
        let yaml = self.config_file.as_ref().map(|path| {
            std::fs::read_to_string(path)
                .map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot read {}: {e}", path.display())))
        });
        Config::load(yaml.transpose()?.as_deref(), std::env::vars(), &flags(self)?)
    }

    /// Where a server without a terminal writes what it would print there.
    fn daemon_log(&self, config: &Config) -> PathBuf {
        match config.logger.log.as_str() {
            "" => config.path.join("server.log"),
            path => PathBuf::from(path),
        }
    }
}

/// Tells standard output what becomes of the server.
struct Terminal {
    args: ServerArgs,
    path: PathBuf,
    pid_file: Option<PathBuf>,
    /// Whoever has started a server in the background.
    starter: Option<Starter>,
}

impl Owner for Terminal {
    fn ready(&mut self, worker: u32, ports: &[(&'static str, String)]) {
        let ports: Vec<String> = ports.iter().map(|(name, address)| format!("{name} {address}")).collect();
        let line = format!(
            "hydron {} is ready: {} (worker {worker}, data in {})",
            env!("CARGO_PKG_VERSION"),
            ports.join(", "),
            self.path.display()
        );
        if let Some(starter) = &mut self.starter {
            starter.ready(&line);
        }
        // Whoever read the first line may be gone when a later worker is ready.
        let _ = writeln!(std::io::stdout(), "{line}");
    }

    fn reload(&mut self) -> Result<Config> {
        self.args.load()
    }
}

fn flags(args: &ServerArgs) -> Result<Vec<(String, String)>> {
    let mut flags = Vec::new();
    for pair in &args.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Error::new(Code::BAD_ARGUMENTS, format!("--set {pair} has no '='")).hint("--set key=value")
        })?;
        flags.push((key.to_string(), value.to_string()));
    }
    if let Some(dir) = &args.data_dir {
        flags.push(("path".to_string(), dir.display().to_string()));
    }
    if args.allow_trap {
        flags.push(("crash.allow_trap".to_string(), "true".to_string()));
    }
    let ports = [
        ("http_port", args.http_port),
        ("tcp_port", args.tcp_port),
        ("rest_port", args.rest_port),
        ("postgres_port", args.postgres_port),
    ];
    flags.extend(ports.into_iter().filter_map(|(k, p)| Some((k.to_string(), p?.to_string()))));
    Ok(flags)
}
