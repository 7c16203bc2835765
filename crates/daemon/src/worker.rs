//! The process that does the work: the engine, the ports, and the way out.
//!
//! In: a configuration, ports, signals. Out: answers, and an exit code. Promise: it says "ready" when the ports answer; on
//! a signal it stops within its deadlines with everything acknowledged on disk.

use crate::config::Config;
use crate::listeners::{LISTENERS_VARIABLE, Listeners};
use crate::shutdown::{Ladder, Step};
use crate::signals;
use crate::supervisor::{CONFIG_VARIABLE, CONTROL_VARIABLE};
use hydron_base::{Code, Error, Result};
use hydron_engine::{Engine, EngineOptions};
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, RawFd};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Threads that serve sockets.
const IO_THREADS: usize = 2;

/// Runs as the child of a supervisor: everything it needs is in the environment.
pub fn run_inherited() -> i32 {
    let mut control = control();
    let outcome = environment().and_then(|(config, listeners)| run(&config, listeners, || say(&mut control, "ready")));
    match outcome {
        Ok(code) => code,
        Err(e) => {
            let message = e.message.replace('\n', "\\n");
            say(&mut control, &format!("failed {} {message}", e.code.number()));
            // Exit codes have eight bits; a code that is a multiple of 256 must not look like success.
            match e.code.number() % 256 {
                0 => 1,
                code => i32::from(code),
            }
        }
    }
}

fn environment() -> Result<(Config, Listeners)> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| Error::bug(format!("a worker is started by a supervisor: {name} is not set")))
    };
    let config = serde_json::from_str(&variable(CONFIG_VARIABLE)?).map_err(|e| Error::bug(e.to_string()))?;
    Ok((config, Listeners::inherit(&variable(LISTENERS_VARIABLE)?)?))
}

fn control() -> Option<File> {
    let fd: RawFd = std::env::var(CONTROL_VARIABLE).ok()?.parse().ok()?;
    // SAFETY: the supervisor passes this descriptor once, for this process to own.
    Some(unsafe { File::from_raw_fd(fd) })
}

fn say(control: &mut Option<File>, line: &str) {
    if let Some(file) = control {
        // A supervisor that is gone takes this process with it; there is nobody else to tell.
        let _ = writeln!(file, "{line}");
    }
}

/// The options of the engine that a configuration asks for.
pub fn engine_options(config: &Config) -> EngineOptions {
    let user_files = match config.user_files_path.as_str() {
        "" => config.path.join("user_files"),
        path => path.into(),
    };
    EngineOptions {
        user_files: Some(user_files),
        cpu_threads: config.cpu_threads,
        memory_bytes_max: config.max_server_memory_usage,
        queries_max: config.max_concurrent_queries,
        segment_bytes: config.log.segment_bytes,
        flush_rows: config.log.flush_threshold_count,
        flush_bytes: config.log.flush_threshold_bytes,
        flush_ms: config.log.flush_threshold_ms,
        display_name: display_name(config),
        synced: config.log.sync,
        profile: config.profile_settings().unwrap_or_default(),
        ..EngineOptions::at(&config.path)
    }
}

fn display_name(config: &Config) -> String {
    if !config.display_name.is_empty() {
        return config.display_name.clone();
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "hydron".to_string(),
        name => name.to_string(),
    }
}

/// Opens the engine, serves the ports and returns the exit code after a graceful stop. `ready` is called when the ports
/// answer.
pub fn run(config: &Config, listeners: Listeners, mut ready: impl FnMut()) -> Result<i32> {
    signals::block();
    start_logging(config);
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("io")
        .enable_all()
        .build()
        .map_err(|e| Error::new(Code::SYSTEM_ERROR, format!("cannot start io threads: {e}")))?;
    let engine = Engine::open(engine_options(config))?;
    let stop = CancellationToken::new();
    let servers = io.block_on(async {
        let mut servers = Vec::new();
        if let Some(listener) = listeners.http {
            let options = hydron_wire::http::HttpOptions::default();
            let served = hydron_wire::http::serve(engine.clone(), listener, options, stop.clone())?;
            servers.push(tokio::spawn(served));
        }
        Ok::<_, Error>(servers)
    })?;
    let (sender, inbox) = std::sync::mpsc::channel();
    signals::forward(sender, |signal| signal)
        .map_err(|e| Error::new(Code::SYSTEM_ERROR, format!("cannot start the signal thread: {e}")))?;
    ready();

    let queries = Duration::from_millis(config.shutdown.queries_ms);
    let total = Duration::from_millis(config.shutdown.total_ms);
    let mut ladder = Ladder::default();
    let (drained, done) = std::sync::mpsc::channel::<i32>();
    std::thread::Builder::new()
        .name("stop".to_string())
        .spawn(move || {
            for signal in inbox {
                if signal == libc::SIGHUP {
                    continue;
                }
                match ladder.signal(queries, total) {
                    Step::Drain { total, .. } => {
                        stop.cancel();
                        deadline(total);
                    }
                    // SAFETY: ends the process without running anything more of it, which is what was asked for.
                    Step::ExitNow => unsafe { libc::_exit(128 + signal) },
                }
                // The main thread drains from here on.
                let _ = drained.send(0);
            }
        })
        .map_err(|e| Error::new(Code::SYSTEM_ERROR, format!("cannot start a thread: {e}")))?;

    let code = done.recv().unwrap_or(0);
    tracing::info!("stopping");
    io.block_on(async {
        let left = engine.close(queries).await;
        if left > 0 {
            tracing::warn!("{left} queries had not ended after {queries:?}");
        }
        // Connections see the end of their query before the server goes.
        let all = futures_join(servers);
        let _ = tokio::time::timeout(queries, all).await;
    });
    io.shutdown_timeout(Duration::from_millis(200));
    tracing::info!("stopped");
    Ok(code)
}

async fn futures_join(tasks: Vec<tokio::task::JoinHandle<()>>) {
    for task in tasks {
        let _ = task.await;
    }
}

/// Ends the process when the last deadline passes, whatever it waits for.
fn deadline(total: Duration) {
    let spawned = std::thread::Builder::new().name("deadline".to_string()).spawn(move || {
        std::thread::sleep(total);
        let _ = writeln!(
            std::io::stderr(),
            "the server did not stop within {total:?} and ends now; what it acknowledged is on disk"
        );
        // SAFETY: as above.
        unsafe { libc::_exit(0) };
    });
    if spawned.is_err() {
        // Without a thread for it there would be no deadline: end at once.
        // SAFETY: as above.
        unsafe { libc::_exit(0) };
    }
}

fn start_logging(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.logger.level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second call in one process (a test) keeps the first subscriber.
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).try_init();
}
