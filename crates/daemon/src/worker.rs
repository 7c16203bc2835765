//! The process that does the work: the engine, the ports, and the way out.
//!
//! In: a configuration, ports, the board, connections of the worker before; signals. Out: answers, and an exit code. Promise:
//! it touches no data before it is told to begin; it says "ready" when the ports answer; on a signal it stops within its
//! deadlines with everything acknowledged on disk.

use crate::config::{CheckpointConfig, Config, users_of};
use crate::handler;
use crate::listeners::{Entrance, LISTENERS_VARIABLE, Listeners};
use crate::packet::{self, Order, Report};
use crate::shutdown::{Ladder, Step};
use crate::signals::{self, Signals};
use crate::supervisor::{BOARD_VARIABLE, CALLERS_VARIABLE, ENTRANCES_VARIABLE, USERS_VARIABLE, WAKE_VARIABLE};
use hydron_base::{Code, Error, Result};
use hydron_board::{Board, Callers};
use hydron_engine::{CheckpointOptions, Engine, EngineOptions};
use hydron_wire::clickhouse::TcpOptions;
use hydron_wire::custody::{Adopted, Custody, Insides};
use hydron_wire::http::{HttpOptions, Surface};
use hydron_wire::users::Users;
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Names the descriptor of the socket to the supervisor.
pub const CONTROL_VARIABLE: &str = "HYDRON_CONTROL";

/// Carries the configuration, checked and whole, as JSON.
pub const CONFIG_VARIABLE: &str = "HYDRON_CONFIG";

/// The hidden subcommand that a worker is.
pub const WORKER_COMMAND: &str = "worker";

/// Threads that serve sockets.
const IO_THREADS: usize = 2;

/// Their name.
pub const IO_NAME: &str = "io";

/// The threads show that they live so often.
const BEAT: Duration = Duration::from_millis(500);

/// Runs as the child of a supervisor: everything it needs is in the environment.
pub fn run_inherited() -> i32 {
    signals::block();
    let _ = rustix::thread::set_name(c"worker");
    let outcome = Handed::take().and_then(|handed| {
        let control = handed.control.try_clone();
        run(handed).inspect_err(|e| {
            let report = Report::Failed { code: e.code.number(), message: e.message.clone() };
            if let Ok(control) = control {
                let _ = packet::send(&control, report.text().as_bytes());
            }
        })
    });
    match outcome {
        Ok(code) => code,
        // Exit codes have eight bits; a code that is a multiple of 256 must not look like success.
        Err(e) => match e.code.number() % 256 {
            0 => 1,
            code => i32::from(code),
        },
    }
}

/// What a supervisor hands to its worker.
struct Handed {
    config: Config,
    listeners: Listeners,
    board: &'static Board,
    insides: Option<Insides>,
    control: OwnedFd,
    wake: RawFd,
    users: File,
}

impl Handed {
    fn take() -> Result<Handed> {
        let variable = |name: &str| {
            std::env::var(name)
                .map_err(|_| Error::bug(format!("a worker is started by a supervisor: {name} is not set")))
        };
        let fd = |name: &str| variable(name)?.parse::<RawFd>().map_err(|e| Error::bug(format!("{name}: {e}")));
        let entrances = Entrance::read(&variable(ENTRANCES_VARIABLE)?)?;
        // SAFETY: the supervisor passes each descriptor once, for this process to own.
        let owned = |name: &str| fd(name).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        let insides = match entrances.is_empty() {
            true => None,
            false => {
                let callers = Callers::inherit_to_read(owned(CALLERS_VARIABLE)?);
                let callers = callers.map_err(|e| Error::bug(e.to_string()))?;
                Some(Insides { callers, ports: entrances.iter().map(|e| e.inside.port()).collect() })
            }
        };
        let (board, control, users) = (owned(BOARD_VARIABLE)?, owned(CONTROL_VARIABLE)?, owned(USERS_VARIABLE)?);
        Ok(Handed {
            config: serde_json::from_str(&variable(CONFIG_VARIABLE)?).map_err(|e| Error::bug(e.to_string()))?,
            listeners: Listeners::inherit(&variable(LISTENERS_VARIABLE)?)?,
            board: Board::inherit(board).map_err(|e| Error::bug(e.to_string()))?,
            insides,
            control,
            wake: fd(WAKE_VARIABLE)?,
            users: File::from(users),
        })
    }
}

/// Milliseconds of the clock that all processes of the machine share.
pub fn monotonic_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}

/// The options of the engine that a configuration asks for.
pub fn engine_options(config: &Config) -> EngineOptions {
    let user_files = match config.user_files_path.as_str() {
        "" => config.path.join("user_files"),
        path => path.into(),
    };
    let user_scripts = match config.user_scripts_path.as_str() {
        "" => config.path.join("user_scripts"),
        path => path.into(),
    };
    EngineOptions {
        user_files: Some(user_files),
        user_scripts: Some(user_scripts),
        cpu_threads: config.cpu_threads,
        memory_bytes_max: config.max_server_memory_usage,
        queries_max: config.max_concurrent_queries,
        segment_bytes: config.log.segment_bytes,
        flush_rows: config.log.flush_threshold_count,
        flush_bytes: config.log.flush_threshold_bytes,
        flush_ms: config.log.flush_threshold_ms,
        display_name: display_name(config),
        synced: config.log.sync,
        allow_trap: config.crash.allow_trap,
        profile: config.profile_settings().unwrap_or_default(),
        checkpoint: checkpoint_options(&config.checkpoint),
        ports: vec![
            ("http_port", config.http_port),
            ("tcp_port", config.tcp_port),
            ("rest_port", config.rest_port),
            ("https_port", config.https_port),
            ("tcp_port_secure", config.tcp_port_secure),
            ("rest_port_secure", config.rest_port_secure),
        ],
        ..EngineOptions::at(&config.path)
    }
}

fn checkpoint_options(config: &CheckpointConfig) -> CheckpointOptions {
    let seconds = Duration::from_secs;
    CheckpointOptions {
        dir: Some(&config.path).filter(|p| !p.is_empty()).map(Into::into),
        interval: seconds(config.interval.max(1)),
        last_access_ttl: seconds(config.last_access_ttl),
        last_access_check_interval: seconds(config.last_access_check_interval),
        delete_grace_interval: seconds(config.delete_grace_interval),
        teardown_flush_timeout: seconds(config.teardown_flush_timeout),
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

/// Waits to be told to begin, opens the engine, serves the ports and returns the exit code after a graceful stop.
fn run(handed: Handed) -> Result<i32> {
    let Handed { config, mut listeners, board, insides, control, wake, users } = handed;
    let failed = |what: &str, e: std::io::Error| Error::new(Code::SYSTEM_ERROR, format!("cannot {what}: {e}"));
    crate::logging::start(&config);
    handler::install(board, wake).map_err(|e| Error::new(Code::SYSTEM_ERROR, e))?;
    board.install();
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name(IO_NAME)
        .enable_all()
        .build()
        .map_err(|e| failed("start io threads", e))?;
    let signals = Signals::open().map_err(|e| failed("listen to signals", e))?;
    hydron_engine::engine::warm_up();

    let Some(adopted) = wait_for_start(&control, board) else { return Ok(0) };
    crate::logging::keep_on(board);
    let users = Arc::new(kept_users(&users)?);
    board.worker().load_base.store(load_base(), Ordering::Relaxed);
    let custody = Custody::new(board, control.try_clone().map_err(|e| failed("copy a socket", e))?, adopted, insides);
    let engine = Engine::open(EngineOptions { lock: false, ..engine_options(&config) })?;
    let stop = CancellationToken::new();
    let servers = io.block_on(async {
        tokio::spawn(beat(&board.worker().beat_ms));
        serve(&users, &engine, &mut listeners, &custody, &stop)
    })?;
    engine.inner().cpu.handle().spawn(beat(&board.worker().compute_beat_ms));
    let _ = packet::send(&control, Report::Ready.text().as_bytes());
    obey(control, users)?;

    let queries = Duration::from_millis(config.shutdown.queries_ms);
    let total = Duration::from_millis(config.shutdown.total_ms);
    let (drained, done) = std::sync::mpsc::channel::<i32>();
    let stopping = stop.clone();
    std::thread::Builder::new()
        .name("stop".to_string())
        .spawn(move || {
            let mut ladder = Ladder::default();
            loop {
                let signal = signals.wait();
                if !matches!(signal, libc::SIGTERM | libc::SIGINT) {
                    continue;
                }
                match ladder.signal(queries, total) {
                    Step::Drain { total, .. } => {
                        stopping.cancel();
                        deadline(total);
                    }
                    // SAFETY: ends the process without running anything more of it, which is what was asked for.
                    Step::ExitNow => unsafe { libc::_exit(128 + signal) },
                }
                // The main thread drains from here on.
                let _ = drained.send(0);
            }
        })
        .map_err(|e| failed("start a thread", e))?;

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

/// Serves each open port. Must be called inside a runtime.
fn serve(
    users: &Arc<Users>,
    engine: &Engine,
    listeners: &mut Listeners,
    custody: &Arc<Custody>,
    stop: &CancellationToken,
) -> Result<Vec<tokio::task::JoinHandle<()>>> {
    let mut http = HttpOptions::default().guarded(Arc::clone(custody));
    http.users = Arc::clone(users);
    let tcp = TcpOptions { users: Arc::clone(users), custody: Some(Arc::clone(custody)), ..TcpOptions::default() };
    let mut servers = Vec::new();
    for name in ["http", "https"] {
        if let Some(listener) = listeners.take(name) {
            let served = hydron_wire::http::serve(engine.clone(), listener, http.clone(), stop.clone())?;
            servers.push(tokio::spawn(served));
        }
    }
    for name in ["tcp", "tcp_secure"] {
        if let Some(listener) = listeners.take(name) {
            let served = hydron_wire::clickhouse::serve(engine.clone(), listener, tcp.clone(), stop.clone())?;
            servers.push(tokio::spawn(served));
        }
    }
    for name in ["postgres", "postgres_secure"] {
        if let Some(listener) = listeners.take(name) {
            let served = hydron_wire::postgres::serve(engine.clone(), listener, tcp.clone(), stop.clone())?;
            servers.push(tokio::spawn(served));
        }
    }
    // Both ports answer for what was begun on either.
    http.surface = Surface::Rest(Arc::default());
    for name in ["rest", "rest_secure"] {
        if let Some(listener) = listeners.take(name) {
            let served = hydron_wire::rest::serve(engine.clone(), listener, http.clone(), stop.clone())?;
            servers.push(tokio::spawn(served));
        }
    }
    Ok(servers)
}

/// Shows the supervisor that the threads of this runtime live.
async fn beat(at: &'static AtomicU64) {
    loop {
        at.store(monotonic_ms(), Ordering::Relaxed);
        tokio::time::sleep(BEAT).await;
    }
}

/// A standby waits here. `None`: the supervisor is gone, or wants another one.
fn wait_for_start(control: &OwnedFd, board: &Board) -> Option<Vec<Adopted>> {
    let mut adopted = Vec::new();
    loop {
        match packet::order(control)? {
            Order::Start => return Some(adopted),
            Order::Adopt(connections) => adopted.extend(connections.into_iter().filter_map(|(index, socket)| {
                let protocol = board.connection(index)?.protocol()?;
                Some(Adopted { socket, index, protocol })
            })),
            Order::Config(_) => {}
        }
    }
}

/// The users as the supervisor last found them good: their file may be damaged by now.
fn kept_users(file: &File) -> Result<Users> {
    use std::os::unix::fs::FileExt;
    let read = || {
        let mut bytes = vec![0; file.metadata()?.len() as usize];
        file.read_exact_at(&mut bytes, 0)?;
        String::from_utf8(bytes).map_err(std::io::Error::other)
    };
    users_of(&read().map_err(|e| Error::new(Code::SYSTEM_ERROR, format!("cannot read the users: {e}")))?)
}

/// Listens to the supervisor for the rest of the process's life.
fn obey(control: OwnedFd, users: Arc<Users>) -> Result<()> {
    let listen = move || {
        while let Some(order) = packet::order(&control) {
            if let Order::Config(text) = order
                && let Ok(config) = serde_json::from_str::<Config>(&text)
            {
                crate::logging::reload(&config);
                match config.users_text().and_then(|text| users_of(&text)) {
                    Ok(changed) => users.replace(changed),
                    Err(e) => tracing::error!("the users are kept as they were: {e}"),
                }
            }
        }
    };
    let spawned = std::thread::Builder::new().name("control".to_string()).spawn(listen);
    spawned.map(drop).map_err(|e| Error::new(Code::SYSTEM_ERROR, format!("cannot start a thread: {e}")))
}

/// Where this program is loaded: the first mapping of its file.
fn load_base() -> u64 {
    let program = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let first = maps.lines().find(|l| l.ends_with(&*program.to_string_lossy()));
    first.and_then(|l| u64::from_str_radix(l.split('-').next()?, 16).ok()).unwrap_or(0)
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
