//! Flags of the clients.

use super::tls::TlsArgs;
use clap::Args;
use hydron_base::{Code, Error, Result};
use std::path::PathBuf;

#[derive(Args)]
pub struct CommonArgs {
    /// A statement to run; then the program ends. May be given several times.
    #[arg(short, long)]
    pub query: Vec<String>,
    /// A file of statements; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub queries_file: Option<PathBuf>,
    /// Accepted: statements may have several lines.
    #[arg(short, long, hide = true)]
    pub multiline: bool,
    /// The query text holds several statements.
    #[arg(short = 'n', long)]
    pub multiquery: bool,
    /// Output format of answers without FORMAT.
    #[arg(short, long)]
    pub format: Option<String>,
    /// Answers as Vertical.
    #[arg(short = 'E', long)]
    pub vertical: bool,
    #[arg(short, long, default_value = "")]
    pub database: String,
    /// Print the time of each statement to standard error.
    #[arg(short, long)]
    pub time: bool,
    /// Show how far each statement is on standard error; without it only INSERTs of files and pipes, at a terminal.
    #[arg(long)]
    pub progress: bool,
    /// Go on with the next statement after an error.
    #[arg(long)]
    pub ignore_error: bool,
    /// Statements are cases of a test suite: `-- { serverError N }` after one says which error it must give.
    #[arg(long, hide = true)]
    pub testmode: bool,
    /// A setting for all statements.
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = pair)]
    pub settings: Vec<(String, String)>,
}

impl CommonArgs {
    pub fn is_interactive(&self) -> bool {
        self.query.is_empty() && self.queries_file.is_none()
    }

    /// The format of answers that name none.
    pub fn default_format(&self, interactive: bool) -> &str {
        match (&self.format, self.vertical) {
            (Some(format), _) => format,
            (None, true) => "Vertical",
            (None, false) if interactive => "PrettyCompact",
            (None, false) => "TabSeparated",
        }
    }
}

#[derive(Args)]
pub struct ClientArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    /// Speak HTTP instead of the native protocol.
    #[arg(long)]
    pub http: bool,
    /// Send and receive rows uncompressed.
    #[arg(long, conflicts_with = "http")]
    pub no_compression: bool,
}

/// A server, and who asks it.
#[derive(Args)]
pub struct TargetArgs {
    #[arg(short = 'h', long, default_value = "127.0.0.1")]
    pub host: String,
    /// Print help.
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The server's native port: without it 8463, with --secure 9440; with --http 8123, with both 8443.
    #[arg(long)]
    pub port: Option<u16>,
    #[arg(short, long, default_value = "default")]
    pub user: String,
    #[arg(long, default_value = "", env = "HYDRON_PASSWORD", hide_env_values = true)]
    pub password: String,
    #[command(flatten)]
    pub tls: TlsArgs,
}

impl TargetArgs {
    pub fn native_port(&self) -> u16 {
        self.port.unwrap_or(if self.tls.secure { 9440 } else { 8463 })
    }

    pub fn http_port(&self) -> u16 {
        self.port.unwrap_or(if self.tls.secure { 8443 } else { 8123 })
    }
}

#[derive(Args)]
pub struct LocalArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Keep everything in this directory; without it a temporary one is used and removed.
    #[arg(long)]
    pub path: Option<PathBuf>,
}

/// `host:port`, an IPv6 address in brackets.
pub fn address(host: &str, port: u16) -> String {
    match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// `NAME=VALUE` of a flag.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=').map(|(k, v)| (k.to_string(), v.to_string()));
    split.ok_or_else(|| format!("'{text}' has no '='"))
}

/// Puts the statements of flags and file together.
pub fn statements(args: &CommonArgs) -> Result<String> {
    let mut text = args.query.join(";\n");
    if let Some(file) = &args.queries_file {
        let read = if file.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(file)
        };
        let read =
            read.map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot read {}: {e}", file.display())))?;
        if !text.is_empty() {
            text.push_str(";\n");
        }
        text.push_str(&read);
    }
    Ok(text)
}
