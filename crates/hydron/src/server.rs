//! `hydron server`: configuration from file, environment and flags, then the supervisor.

use clap::Args;
use hydron_base::{Code, Error, Result};
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
    /// Allows the function `trap`, which crashes the worker on purpose (key `crash.allow_trap`).
    #[arg(long)]
    allow_trap: bool,
    /// Any key of the configuration: `--set log.sync=false`.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub fn run(args: ServerArgs) -> Result<i32> {
    let config = args.load()?;
    supervisor::run(&config, &mut Terminal { args, path: config.path.clone() })
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
}

/// Tells standard output what becomes of the server.
struct Terminal {
    args: ServerArgs,
    path: PathBuf,
}

impl Owner for Terminal {
    fn ready(&mut self, worker: u32, ports: &[(&'static str, String)]) {
        let ports: Vec<String> = ports.iter().map(|(name, address)| format!("{name} {address}")).collect();
        // Whoever read the first line may be gone when a later worker is ready.
        let _ = writeln!(
            std::io::stdout(),
            "hydron {} is ready: {} (worker {worker}, data in {})",
            env!("CARGO_PKG_VERSION"),
            ports.join(", "),
            self.path.display()
        );
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
