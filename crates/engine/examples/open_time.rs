//! How long an engine takes to open after it was killed: `open_time [streams] [MiB of log tail] [times]`.
//!
//! The first half of the times as the first worker of a supervisor, which reads the device, the second half as one that
//! follows another, which believes the page cache.
//!
//! A child process fills the logs and kills itself; then one child after the other opens them, tells how long that took
//! and kills itself, so that each finds what a crash leaves.

use hydron_board::Board;
use hydron_engine::{Engine, EngineOptions, Input, QueryOptions};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: usize| args.get(at).and_then(|a| a.parse().ok()).unwrap_or(default);
    match args.get(1).map(String::as_str) {
        Some("fill") => fill(Path::new(&args[2]), number(3, 0), number(4, 0)),
        Some("open") => open(Path::new(&args[2]), number(3, 1)),
        _ => measure(number(1, 100), number(2, 64), number(3, 5)),
    }
}

fn measure(streams: usize, mib: usize, times: usize) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let child = |args: &[&str]| {
        let program = std::env::current_exe().expect("this program has a path");
        Command::new(program).args(args).status().expect("this program runs");
    };
    let path = dir.path().to_str().expect("a path of letters");
    child(&["fill", path, &streams.to_string(), &mib.to_string()]);
    for generation in ["1", "2"] {
        for _ in 0..times {
            child(&["open", path, generation]);
        }
    }
}

fn options(dir: &Path) -> EngineOptions {
    // Nothing becomes a part: the whole log stays to be read.
    EngineOptions { flush_ms: 3_600_000, flush_rows: u64::MAX, flush_bytes: u64::MAX, ..EngineOptions::at(dir) }
}

fn fill(dir: &Path, streams: usize, mib: usize) {
    let engine = Engine::open(options(dir)).expect("the engine opens");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut session = engine.session("default", "");
        let mut run = async |text: String| {
            let query = engine.execute(&mut session, text, Input::None, QueryOptions::default()).await;
            let mut running = query.expect("the statement runs");
            while running.next().await.expect("the statement goes well").is_some() {}
        };
        // Numbers that do not compress, 16 bytes a row with the event time.
        let rows = (mib << 20) / streams / 16;
        for n in 0..streams {
            run(format!("create stream s{n} (a uint64)")).await;
            run(format!("insert into s{n} (a) select int_hash64(number) from numbers({rows})")).await;
        }
    });
    kill();
}

fn open(dir: &Path, generation: usize) {
    let board = Board::create().expect("shared memory");
    (0..generation).for_each(|_| board.worker().reset());
    board.install();
    let since = Instant::now();
    let engine = Engine::open(options(dir)).expect("the engine opens");
    println!("worker {generation}: {:.1} ms", since.elapsed().as_secs_f64() * 1e3);
    kill();
    drop(engine);
}

/// Ends this process as a crash does.
fn kill() {
    let pid = std::process::id().to_string();
    Command::new("kill").args(["-9", &pid]).status().expect("kill runs");
    loop {
        std::thread::park();
    }
}
