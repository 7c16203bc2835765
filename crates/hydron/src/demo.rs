//! `hydron demo`: a whole server in a temporary directory, real flights replayed by event time, a live window query.
//!
//! In: a speed and a time. Out: each closed window as it closes, and a line of progress. Promise: everything goes through
//! the server's own port, as a user's rows and queries would; nothing is left behind unless `--keep` says so.

use bytes::Bytes;
use clap::Args;
use hydron_base::{Code, Error, Result};
use hydron_engine::{Engine, EngineOptions};
use hydron_format::FormatOptions;
use hydron_types::Batch;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// 400,000 flights of January 2001: see examples/NOTICE.
const FLIGHTS: &[u8] = include_bytes!("../../../examples/flights.parquet");

const CREATE: &str = "create stream flights (date datetime64(3), delay int32, distance int32, origin string, \
                      destination string) settings event_time_column = 'date'";

const QUERY: &str = "select window_start, origin, count(), avg(delay), max(delay) from tumble(flights, 1h) \
                     group by window_start, origin";

/// The port that the demo takes when it is free.
const USUAL_HTTP_PORT: u16 = 8123;

/// Flights sent at once; a pause between two sends keeps the pace.
const TICK: Duration = Duration::from_millis(50);

/// Rows shown of one window, the busiest airports first.
const ROWS_SHOWN: usize = 5;

#[derive(Args)]
pub struct DemoArgs {
    /// End after this long: `10s`, `2m`. Without it the demo ends with the flights or Ctrl-C.
    #[arg(long = "for", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Event time passes this many times faster than the clock: 3600 is an hour a second.
    #[arg(long, default_value_t = 3_600.0)]
    speed: f64,
    /// Show all rows of each window, not only the busiest airports.
    #[arg(long)]
    all: bool,
    /// Keep everything in this directory instead of a temporary one.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// 0: any free port. Without it 8123, or another one when that is taken.
    #[arg(long)]
    http_port: Option<u16>,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| format!("'{text}' is no duration; try 10s"))?;
    match &text[digits..] {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3_600)),
        unit => Err(format!("'{unit}' is no unit of time; try s, m or h")),
    }
}

/// What the replayer has done, for the line of progress.
#[derive(Default)]
struct Sent {
    rows: AtomicU64,
    /// Milliseconds of event time.
    newest: AtomicI64,
    done: AtomicBool,
}

pub fn run(args: DemoArgs) -> Result<i32> {
    if !(args.speed > 0.0 && args.speed.is_finite()) {
        return Err(Error::new(Code::BAD_ARGUMENTS, format!("speed {} is not above 0", args.speed)));
    }
    let temporary = match &args.keep {
        Some(_) => None,
        None => Some(
            tempfile::tempdir()
                .map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("no temporary directory: {e}")))?,
        ),
    };
    let dir = args.keep.clone().or_else(|| temporary.as_ref().map(|t| t.path().to_path_buf())).unwrap_or_default();
    let listener = bind(args.http_port)?;
    let address = listener.local_addr().map_err(|e| Error::new(Code::NETWORK_ERROR, e.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::new(Code::SYSTEM_ERROR, format!("cannot start threads: {e}")))?;
    let engine = Engine::open(EngineOptions::at(&dir))?;
    let stop = CancellationToken::new();
    let served = {
        let _inside = runtime.enter();
        hydron_wire::http::serve(engine.clone(), listener, Default::default(), stop.clone())?
    };
    let server = runtime.spawn(served);

    println!("A server runs on {address}, data in {}.", dir.display());
    println!("Try in another terminal:");
    println!("  hydron client --http --port {}", address.port());
    println!("  curl 'http://{address}/?query=select+count()+from+table(flights)'");
    println!("\n{CREATE}\n{QUERY}\n");
    let outcome = show(&args, &runtime, &address.to_string());

    let left = runtime.block_on(async {
        stop.cancel();
        let left = engine.close(Duration::from_secs(3)).await;
        let _ = tokio::time::timeout(Duration::from_secs(3), server).await;
        left
    });
    drop(engine);
    runtime.shutdown_timeout(Duration::from_millis(500));
    if left > 0 {
        eprintln!("{left} queries did not end in time");
    }
    if let Some(dir) = &args.keep {
        println!("Kept in {}: hydron server --data-dir {}", dir.display(), dir.display());
    }
    outcome.map(|()| 0)
}

fn bind(port: Option<u16>) -> Result<TcpListener> {
    let first = port.unwrap_or(USUAL_HTTP_PORT);
    let bound = TcpListener::bind(("127.0.0.1", first));
    let bound = if port.is_none() { bound.or_else(|_| TcpListener::bind(("127.0.0.1", 0))) } else { bound };
    bound.map_err(|e| Error::new(Code::NETWORK_ERROR, format!("cannot listen on 127.0.0.1:{first}: {e}")))
}

/// Runs replayer and query until the time, the flights or the patience of the user end.
fn show(args: &DemoArgs, runtime: &tokio::runtime::Runtime, address: &str) -> Result<()> {
    let http = Http::new(address);
    http.run("drop stream if exists flights")?;
    http.run(CREATE)?;
    let sent = Arc::new(Sent::default());
    let end = CancellationToken::new();
    // The query starts first, so that it sees every flight.
    let answer = http.open(&format!("{QUERY} format JSONCompactEachRow"), "query_mode=streaming&query_id=demo")?;
    let printer = std::thread::spawn({
        let all = args.all;
        move || print_windows(answer, all)
    });
    let replayer = std::thread::spawn({
        let (http, sent, end, speed) = (http.clone(), Arc::clone(&sent), end.clone(), args.speed);
        move || replay(&http, &sent, &end, speed)
    });
    let started = Instant::now();
    runtime.block_on(async {
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.tick().await;
        let mut before = 0;
        loop {
            let left = args.duration.map(|d| d.saturating_sub(started.elapsed()));
            let timeout = async {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => break,
                () = timeout => break,
                _ = tick.tick() => {
                    let rows = sent.rows.load(Ordering::Relaxed);
                    progress(&http, &sent, rows, rows - before);
                    before = rows;
                    if sent.done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
        }
    });
    end.cancel();
    let replayed = replayer.join().map_err(|_| Error::bug("the replayer panicked"))?;
    http.run("kill query where query_id = 'demo' sync")?;
    let windows = printer.join().map_err(|_| Error::bug("the printer panicked"))??;
    let rows = sent.rows.load(Ordering::Relaxed);
    let seconds = started.elapsed().as_secs_f64();
    println!("\n{rows} flights in {seconds:.1} s, {windows} windows closed.");
    replayed
}

/// One line: rows in, rows per second, watermark and how far it is behind the newest flight.
fn progress(http: &Http, sent: &Sent, rows: u64, rate: u64) {
    let text = http.run("select watermark, late_rows from system.processes where query_id = 'demo' format TSV");
    let text = text.unwrap_or_default();
    let mut fields = text.trim().split('\t');
    let watermark = fields.next().unwrap_or("-").trim_end_matches('Z').to_string();
    let late = fields.next().unwrap_or("0");
    let newest = sent.newest.load(Ordering::Relaxed);
    let lag = millis_of(&watermark).map_or("-".to_string(), |w| format!("{} min", (newest - w) / 60_000));
    eprintln!("-- {rows} rows in, {rate} rows/s, watermark {watermark}, lag {lag} of event time, {late} late");
}

/// `2001-01-01 05:00:00.000` as milliseconds since 1970.
fn millis_of(text: &str) -> Option<i64> {
    use hydron_types::{LogicalType, Style, TextOptions, Value};
    let ty = LogicalType::DateTime64(3, Some(hydron_types::Zone::UTC));
    let mut builder = hydron_types::column::ColumnBuilder::new(&ty);
    hydron_types::text::read_text(text.as_bytes(), Style::Plain, &TextOptions::default(), &mut builder).ok()?;
    match hydron_types::column::value_at(&builder.finish().ok()?, &ty, 0) {
        Value::Time(ms) => Some(ms),
        _ => None,
    }
}

/// Sends the flights at their pace until they end or are told to.
fn replay(http: &Http, sent: &Sent, end: &CancellationToken, speed: f64) -> Result<()> {
    let (batches, times) = flights()?;
    let Some(first) = times.first().copied() else { return Ok(()) };
    let started = Instant::now();
    let mut at = 0;
    while at < times.len() && !end.is_cancelled() {
        let reached = first + (started.elapsed().as_secs_f64() * speed * 1_000.0) as i64;
        let upto = at + times[at..].partition_point(|t| *t <= reached);
        if upto > at {
            http.insert(&slice(&batches, at, upto)?)?;
            sent.rows.store(upto as u64, Ordering::Relaxed);
            sent.newest.store(times[upto - 1], Ordering::Relaxed);
            at = upto;
        }
        std::thread::sleep(TICK);
    }
    sent.done.store(at == times.len(), Ordering::Relaxed);
    Ok(())
}

/// The flights, and the departure of each in milliseconds.
fn flights() -> Result<(Vec<Batch>, Vec<i64>)> {
    let schema = hydron_types::Schema::new(
        [
            ("date", hydron_types::LogicalType::DateTime64(3, None)),
            ("delay", hydron_types::LogicalType::Int32),
            ("distance", hydron_types::LogicalType::Int32),
            ("origin", hydron_types::LogicalType::String),
            ("destination", hydron_types::LogicalType::String),
        ]
        .map(|(n, t)| hydron_types::Field::new(n, t))
        .to_vec(),
    );
    let options = FormatOptions::default();
    let mut reader = hydron_format::input("Parquet", Arc::new(schema), &options, None)?;
    let batches: Vec<Batch> = reader.feed(FLIGHTS, true)?.into_iter().map(|b| b.batch).collect();
    let mut times = Vec::new();
    for batch in &batches {
        for row in 0..batch.rows() {
            match hydron_types::column::value_at(batch.column(0), &batch.schema.fields[0].ty, row) {
                hydron_types::Value::Time(ms) => times.push(ms),
                other => return Err(Error::bug(format!("a departure is {other:?}"))),
            }
        }
    }
    Ok((batches, times))
}

/// Rows `from..to` over all batches as CSV.
fn slice(batches: &[Batch], from: usize, to: usize) -> Result<Bytes> {
    let mut out = Vec::new();
    let mut start = 0;
    for batch in batches {
        let (low, high) = (from.max(start), to.min(start + batch.rows()));
        if low < high {
            let rows = batch.slice(low - start, high - low);
            let options = FormatOptions::default();
            hydron_format::output("CSV", Arc::clone(&rows.schema), &options)?.batch(&rows, &mut out)?;
        }
        start += batch.rows();
    }
    Ok(out.into())
}

/// Prints each window when its last row has arrived; returns how many there were.
fn print_windows(answer: impl Read, all: bool) -> Result<u64> {
    let mut windows = 0;
    let mut current = String::new();
    let mut rows: Vec<Vec<serde_json::Value>> = Vec::new();
    for line in BufReader::new(answer).lines() {
        let Ok(line) = line else { break };
        let Ok(row) = serde_json::from_str::<Vec<serde_json::Value>>(&line) else {
            // The server ends a killed query with an exception text.
            break;
        };
        let start = row.first().and_then(|v| v.as_str()).unwrap_or_default().to_string();
        if start != current && !rows.is_empty() {
            print_window(&current, &mut rows, all);
            windows += 1;
        }
        current = start;
        rows.push(row);
    }
    if !rows.is_empty() {
        print_window(&current, &mut rows, all);
        windows += 1;
    }
    Ok(windows)
}

fn print_window(start: &str, rows: &mut Vec<Vec<serde_json::Value>>, all: bool) {
    let number = |row: &[serde_json::Value], i: usize| {
        let value = row.get(i).cloned().unwrap_or_default();
        value.as_f64().or_else(|| value.as_str().and_then(|s| s.parse().ok())).unwrap_or(0.0)
    };
    rows.sort_by(|a, b| number(b, 2).total_cmp(&number(a, 2)));
    let flights: f64 = rows.iter().map(|r| number(r, 2)).sum();
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{start}  {flights} flights from {} airports", rows.len());
    let shown = if all { rows.len() } else { ROWS_SHOWN.min(rows.len()) };
    for row in &rows[..shown] {
        let origin = row.get(1).and_then(|v| v.as_str()).unwrap_or_default();
        let _ = writeln!(
            out,
            "    {origin:<4} {:>5} flights  avg delay {:>6.1} min  max {:>5} min",
            number(row, 2),
            number(row, 3),
            number(row, 4)
        );
    }
    rows.clear();
}

/// The server's HTTP port, as any client uses it.
#[derive(Clone)]
struct Http {
    base: String,
    agent: ureq::Agent,
}

impl Http {
    fn new(address: &str) -> Http {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Http { base: format!("http://{address}/"), agent: config.into() }
    }

    fn post(&self, parameters: &str, body: &[u8]) -> Result<ureq::Body> {
        let lost = |e: ureq::Error| Error::new(Code::NETWORK_ERROR, format!("the server did not answer: {e}"));
        let mut response = self.agent.post(format!("{}?{parameters}", self.base)).send(body).map_err(lost)?;
        if response.status().as_u16() == 200 {
            return Ok(response.into_body());
        }
        let text = response.body_mut().read_to_string().map_err(lost)?;
        Err(Error::new(Code::RECEIVED_ERROR_FROM_REMOTE_IO_SERVER, text.trim().to_string()))
    }

    fn run(&self, query: &str) -> Result<String> {
        let mut body = self.post("", query.as_bytes())?;
        body.read_to_string().map_err(|e| Error::new(Code::NETWORK_ERROR, e.to_string()))
    }

    fn open(&self, query: &str, parameters: &str) -> Result<impl Read + Send + use<>> {
        Ok(self.post(parameters, query.as_bytes())?.into_reader())
    }

    fn insert(&self, csv: &[u8]) -> Result<()> {
        self.post("query=insert%20into%20flights%20format%20CSV", csv).map(drop)
    }
}
