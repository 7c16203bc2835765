//! The lines of a run against the gates that a release must hold.
//!
//! In: lines of JSON as [`crate::report`] writes them. Out: a table of each gate and each fault, and a verdict. Promise:
//! nothing but the lines is read, so that whoever has them comes to the same figures; what was not measured holds no gate
//! and misses none.

use crate::fault::{FAULTS, Fault};
use crate::figures::Figures;
use serde_json::Value;
use std::fmt;

/// Limits in the units of the measure.
#[derive(Clone, Copy, Debug)]
pub struct Gates {
    pub error_p50_ms: f64,
    pub error_p99_ms: f64,
    pub error_max_ms: f64,
    pub ready_p50_ms: f64,
    pub ready_p99_ms: f64,
    pub kill_error_ms: f64,
    pub kill_error_ms_per_gib: f64,
    pub idle_kept_percent: f64,
    pub inflight_typed_percent: f64,
    pub supervisor_kib: f64,
}

impl Gates {
    /// docs/design/faults.md, "Goals".
    pub fn release() -> Gates {
        Gates {
            error_p50_ms: 5.0,
            error_p99_ms: 50.0,
            error_max_ms: 250.0,
            ready_p50_ms: 250.0,
            ready_p99_ms: 500.0,
            kill_error_ms: 50.0,
            kill_error_ms_per_gib: 100.0,
            idle_kept_percent: 99.9,
            inflight_typed_percent: 99.0,
            supervisor_kib: 8_192.0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every gate that was measured holds.
    Held,
    Missed,
    /// Some cycles could not measure their fault.
    NotMeasured,
    /// The harness or the server failed in a way that ended the run.
    Broken,
}

impl Verdict {
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Held => 0,
            Verdict::Missed => 1,
            Verdict::NotMeasured | Verdict::Broken => 2,
        }
    }
}

/// One gate and what was measured.
#[derive(Clone, Debug)]
pub struct Gate {
    pub name: &'static str,
    pub n: u64,
    pub measured: String,
    pub limit: String,
    /// `None`: not measured.
    pub holds: Option<bool>,
}

const SENT_TO_ERROR: &str = "/t_sent_to_error_ms";

/// What is printed with its spread.
const MEASURES: &[(&str, &str)] = &[
    ("fault to error, round trip taken off", "/t_fault_to_error_ms"),
    ("query sent to error", SENT_TO_ERROR),
    ("fault to last bystander's answer", "/inflight_wait_max_ms"),
    ("fault to process gone", "/t_fault_to_dead_ms"),
    ("fault to next query answered", "/t_fault_to_ready_ms"),
    ("longest wait of a new connection", "/connect_wait_max_ms"),
    ("fault to row in system.crash_log", "/crash_log_ms"),
];

/// Of the crashes, how many have it; no gates.
const SHARES: &[(&str, &str)] =
    &[("right function among the top three", "/right_top3"), ("minidump", "/minidump"), ("standby waited", "/standby")];

/// One fault's figures.
#[derive(Clone, Debug)]
struct FaultRow {
    name: &'static str,
    cycles: usize,
    error: Figures,
    dead: Figures,
    ready: Figures,
    failed: usize,
}

#[derive(Clone, Debug)]
pub struct Summary {
    pub gates: Vec<Gate>,
    faults: Vec<FaultRow>,
    measures: Vec<(&'static str, Figures)>,
    shares: Vec<(&'static str, u64, u64)>,
    cycles: usize,
    not_measured: usize,
    rss_mib: Figures,
    pub verdict: Verdict,
}

impl Summary {
    pub fn of(lines: &[Value], gates: &Gates) -> Summary {
        let all: Vec<&Value> = lines.iter().filter(|l| l["cycle"].is_u64()).collect();
        let cycles: Vec<&Value> = all.iter().copied().filter(|l| l["verdict"] != "not_measured").collect();
        let ends: Vec<&Value> = lines.iter().filter_map(|l| l.get("end")).collect();
        let gates: Vec<Gate> =
            [errors(&cycles, gates), readiness(&cycles, gates), bystanders(&cycles, gates), rows(&cycles, &ends)]
                .concat();
        let faults = FAULTS.iter().map(|fault| fault_row(fault, &cycles)).filter(|row| row.cycles > 0).collect();
        let crashes = select(&cycles, crashed);
        let measures = MEASURES.iter().map(|(name, pointer)| (*name, figures(&crashes, pointer))).collect();
        let of = |pointer: &str, value: bool| count(&crashes, |l| l.pointer(pointer) == Some(&Value::Bool(value)));
        let shares = SHARES.iter().map(|(name, p)| (*name, of(p, true), of(p, true) + of(p, false))).collect();
        let not_measured = all.len() - cycles.len();
        let verdict = match () {
            () if all.is_empty() => Verdict::NotMeasured,
            () if gates.iter().any(|g| g.holds == Some(false)) => Verdict::Missed,
            () if not_measured > 0 => Verdict::NotMeasured,
            () => Verdict::Held,
        };
        let rss_mib = figures(&cycles, "/rss_mib");
        Summary { gates, faults, measures, shares, cycles: all.len(), not_measured, rss_mib, verdict }
    }
}

fn fault_of(line: &Value) -> Option<Fault> {
    Fault::named(line["fault"].as_str()?)
}

fn crashed(line: &Value) -> bool {
    line["crashed"] == true
}

fn figures(lines: &[&Value], pointer: &str) -> Figures {
    Figures::of(lines.iter().filter_map(|l| l.pointer(pointer)?.as_f64()))
}

fn sum(lines: &[&Value], pointer: &str) -> u64 {
    lines.iter().filter_map(|l| l.pointer(pointer)?.as_u64()).sum()
}

fn count(lines: &[&Value], holds: impl Fn(&Value) -> bool) -> u64 {
    lines.iter().filter(|l| holds(l)).count() as u64
}

fn select<'a>(lines: &[&'a Value], wanted: impl Fn(&Value) -> bool) -> Vec<&'a Value> {
    lines.iter().copied().filter(|l| wanted(l)).collect()
}

/// The victim: how soon, and whether it was told what happened.
fn errors(cycles: &[&Value], gates: &Gates) -> Vec<Gate> {
    let own = select(cycles, |l| crashed(l) && fault_of(l).is_some_and(|f| f.is_by_query()));
    let handled = select(cycles, |l| crashed(l) && fault_of(l).is_some_and(|f| f.has_handler()));
    let killed = select(cycles, |l| crashed(l) && fault_of(l).is_some_and(|f| !f.has_handler()));
    let told = count(&own, |l| l["error_code"] == "SERVER_CRASHED" && l["has_query_id"] == true);
    // The whole time counts, the way of the query to the server too: on a busy machine a round trip of its own is longer
    // than the crash takes.
    let error = figures(&handled, SENT_TO_ERROR);
    let got = count(&handled, |l| l["t_sent_to_error_ms"].is_f64());
    let caught = select(cycles, |l| !crashed(l));
    let kept = count(&caught, |l| l["victim_kept"] == true);
    let in_time = count(&killed, |l| is_within_budget(l, gates));
    vec![
        at_most("error p50", &error, 50.0, gates.error_p50_ms),
        at_most("error p99", &error, 99.0, gates.error_p99_ms),
        at_most("error max", &error, 100.0, gates.error_max_ms),
        share("error came", got, handled.len() as u64, 100.0),
        share("error has code and query id", told, own.len() as u64, 100.0),
        at_most("caught panic: error p99", &figures(&caught, SENT_TO_ERROR), 99.0, gates.error_p99_ms),
        share("caught panic: connection kept", kept, caught.len() as u64, 100.0),
        share("SIGKILL: error within its budget", in_time, killed.len() as u64, 99.0),
    ]
}

/// Without a handler the error comes when the process is gone, which takes time by its size.
fn is_within_budget(line: &Value, gates: &Gates) -> bool {
    let gib = line["rss_mib"].as_f64().unwrap_or(0.0) / 1_024.0;
    let budget_ms = gates.kill_error_ms + gates.kill_error_ms_per_gib * gib;
    line["t_sent_to_error_ms"].as_f64().is_some_and(|t| t <= budget_ms)
}

fn readiness(cycles: &[&Value], gates: &Gates) -> Vec<Gate> {
    let crashes = select(cycles, crashed);
    let ready = figures(&crashes, "/t_fault_to_ready_ms");
    let came_back = count(&crashes, |l| l["t_fault_to_ready_ms"].is_f64());
    vec![
        at_most("next query answered p50", &ready, 50.0, gates.ready_p50_ms),
        at_most("next query answered p99", &ready, 99.0, gates.ready_p99_ms),
        share("server came back", came_back, crashes.len() as u64, 100.0),
        none(
            "process alive 3 s after the fault",
            count(&crashes, |l| l["handler_alive_3s"] == true),
            crashes.len() as u64,
        ),
        share("crash record complete", count(&crashes, |l| l["record"] == "full"), crashes.len() as u64, 100.0),
    ]
}

fn bystanders(cycles: &[&Value], gates: &Gates) -> Vec<Gate> {
    let refused: u64 = ["/connect_refused", "/connect_reset", "/connect_hung"].iter().map(|p| sum(cycles, p)).sum();
    let sockets = sum(cycles, "/orphan_sockets") + sum(cycles, "/connect_stayed_open");
    let own = figures(cycles, "/supervisor_anon_kib");
    let supervisor = Gate {
        name: "memory of the supervisor, max",
        n: own.n() as u64,
        measured: own.max().map_or("-".to_string(), |kib| format!("{kib} KiB")),
        limit: format!("<= {} KiB", gates.supervisor_kib),
        holds: own.max().map(|kib| kib <= gates.supervisor_kib),
    };
    vec![
        none("new connections refused, reset or hung", refused, sum(cycles, "/connect_tried")),
        share("idle connections kept", sum(cycles, "/idle/kept"), sum(cycles, "/idle/n"), gates.idle_kept_percent),
        share(
            "in flight: typed answer",
            sum(cycles, "/inflight/typed"),
            sum(cycles, "/inflight/n"),
            gates.inflight_typed_percent,
        ),
        none("sockets orphaned or not closed", sockets, cycles.len() as u64),
        supervisor,
    ]
}

fn rows(cycles: &[&Value], ends: &[&Value]) -> Vec<Gate> {
    let in_cycles = |key: &str| sum(cycles, &format!("/inserts/{key}"));
    let at_end = |key: &str| sum(ends, &format!("/rows/{key}"));
    // The count at the end sees each row of the cycles again.
    let worst = |key: &str| in_cycles(key).max(at_end(key));
    let acked = worst("acked");
    let streams = sum(cycles, "/streams/lost_rows") + sum(cycles, "/streams/dup_rows");
    let stops = ends.len() as u64;
    vec![
        none("acknowledged rows lost", worst("lost"), acked),
        none("rows doubled", worst("dup"), acked),
        none("phantom rows", worst("phantom"), acked),
        none("rows left out or repeated by streams", streams, sum(cycles, "/streams/rows")),
        share("SIGTERM at the end: exit 0", count(ends, |l| l["stop_code"] == 0), stops, 100.0),
        none("connections the harness left out", sum(ends, "/left_out"), stops),
    ]
}

fn fault_row(fault: &Fault, cycles: &[&Value]) -> FaultRow {
    let lines = select(cycles, |l| l["fault"] == fault.name);
    FaultRow {
        name: fault.name,
        cycles: lines.len(),
        error: figures(&lines, SENT_TO_ERROR),
        dead: figures(&lines, "/t_fault_to_dead_ms"),
        ready: figures(&lines, "/t_fault_to_ready_ms"),
        failed: count(&lines, |l| l["verdict"] == "fail") as usize,
    }
}

fn at_most(name: &'static str, figures: &Figures, percent: f64, limit: f64) -> Gate {
    let value = figures.percentile(percent);
    Gate {
        name,
        n: figures.n() as u64,
        measured: value.map_or("-".to_string(), |v| format!("{v:.1} ms")),
        limit: format!("<= {limit} ms"),
        holds: value.map(|v| v <= limit),
    }
}

fn share(name: &'static str, good: u64, of: u64, limit: f64) -> Gate {
    let percent = 100.0 * good as f64 / of.max(1) as f64;
    Gate {
        name,
        n: of,
        measured: if of == 0 { "-".to_string() } else { format!("{percent:.2} %") },
        limit: format!(">= {limit} %"),
        holds: (of > 0).then_some(percent >= limit),
    }
}

fn none(name: &'static str, bad: u64, of: u64) -> Gate {
    Gate {
        name,
        n: of,
        measured: if of == 0 { "-".to_string() } else { bad.to_string() },
        limit: "0".to_string(),
        holds: (of > 0).then_some(bad == 0),
    }
}

/// p50, p99 and the greatest.
fn spread(figures: &Figures) -> [String; 3] {
    [50.0, 99.0, 100.0].map(|p| figures.percentile(p).map_or("-".to_string(), |v| format!("{v:.1}")))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:38} {:>9} {:>14} {:>12}", "gate", "N", "measured", "limit")?;
        for gate in &self.gates {
            let word = gate.holds.map_or("not measured", |h| if h { "holds" } else { "MISSED" });
            writeln!(f, "{:38} {:>9} {:>14} {:>12}  {word}", gate.name, gate.n, gate.measured, gate.limit)?;
        }
        writeln!(f, "\n{:38} {:>9} {:>9} {:>9} {:>9}", "of the crashes, ms", "N", "p50", "p99", "max")?;
        for (name, figures) in &self.measures {
            let [p50, p99, max] = spread(figures);
            writeln!(f, "{name:38} {:>9} {p50:>9} {p99:>9} {max:>9}", figures.n())?;
        }
        for (name, good, all) in &self.shares {
            writeln!(f, "{name:38} {all:>9} {good:>9}")?;
        }
        let title = "p50 / p99 / max, ms";
        writeln!(f, "\n{:20} {:>3} {:>24} {:>24} {:>24} {:>6}", "fault", "N", "error", "dead", "ready", "failed")?;
        writeln!(f, "{:20} {:>3} {title:>24} {title:>24} {title:>24}", "", "")?;
        for row in &self.faults {
            let (error, dead, ready) =
                (spread(&row.error).join(" / "), spread(&row.dead).join(" / "), spread(&row.ready).join(" / "));
            writeln!(f, "{:20} {:>3} {error:>24} {dead:>24} {ready:>24} {:>6}", row.name, row.cycles, row.failed)?;
        }
        let rss = self.rss_mib.percentile(50.0).unwrap_or(0.0);
        let (cycles, none) = (self.cycles, self.not_measured);
        writeln!(f, "\n{cycles} cycles, {none} of them not measured; resident {rss} MiB (p50): {:?}", self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(fault: &str, error_ms: f64) -> Value {
        json!({"cycle": 1, "fault": fault, "crashed": true, "verdict": "pass", "rss_mib": 1024,
            "t_sent_to_error_ms": error_ms, "t_fault_to_ready_ms": 100.0, "error_code": "SERVER_CRASHED",
            "has_query_id": true, "handler_alive_3s": false, "record": "full", "connect_tried": 50, "connect_refused": 0,
            "idle": {"n": 8, "kept": 8}, "inflight": {"n": 7, "typed": 7}, "streams": {"rows": 9, "lost_rows": 0},
            "inserts": {"acked": 100, "lost": 0, "dup": 0, "phantom": 0}, "orphan_sockets": 0,
            "supervisor_anon_kib": 900})
    }

    fn missed(lines: &[Value]) -> Vec<&'static str> {
        let summary = Summary::of(lines, &Gates::release());
        summary.gates.iter().filter(|g| g.holds == Some(false)).map(|g| g.name).collect()
    }

    #[test]
    fn a_clean_run_holds_every_gate_it_measures() {
        let summary = Summary::of(&[line("abort", 1.0), line("sigkill", 149.0)], &Gates::release());
        assert_eq!(summary.verdict, Verdict::Held, "{summary}");
        assert_eq!(summary.verdict.exit_code(), 0);
        let unmeasured: Vec<_> = summary.gates.iter().filter(|g| g.holds.is_none()).map(|g| g.name).collect();
        let of_the_end = ["SIGTERM at the end: exit 0", "connections the harness left out"];
        let of_panics = ["caught panic: error p99", "caught panic: connection kept"];
        assert_eq!(unmeasured, [of_panics, of_the_end].concat());
    }

    #[test]
    fn each_miss_has_its_gate() {
        let cases: &[(&str, Value, &[&str])] = &[
            ("/t_sent_to_error_ms", json!(300.0), &["error p50", "error p99", "error max"]),
            ("/t_sent_to_error_ms", Value::Null, &["error came"]),
            ("/error_code", json!("untyped: reset"), &["error has code and query id"]),
            ("/has_query_id", json!(false), &["error has code and query id"]),
            ("/t_fault_to_ready_ms", json!(501.0), &["next query answered p50", "next query answered p99"]),
            ("/t_fault_to_ready_ms", Value::Null, &["server came back"]),
            ("/connect_refused", json!(1), &["new connections refused, reset or hung"]),
            ("/idle/kept", json!(7), &["idle connections kept"]),
            ("/inflight/typed", json!(6), &["in flight: typed answer"]),
            ("/streams/lost_rows", json!(1), &["rows left out or repeated by streams"]),
            ("/inserts/lost", json!(1), &["acknowledged rows lost"]),
            ("/inserts/dup", json!(1), &["rows doubled"]),
            ("/inserts/phantom", json!(1), &["phantom rows"]),
            ("/record", json!("partial"), &["crash record complete"]),
            ("/handler_alive_3s", json!(true), &["process alive 3 s after the fault"]),
            ("/orphan_sockets", json!(1), &["sockets orphaned or not closed"]),
            ("/supervisor_anon_kib", json!(9_000), &["memory of the supervisor, max"]),
        ];
        for (pointer, value, gates) in cases {
            let mut bad = line("abort", 1.0);
            *bad.pointer_mut(pointer).unwrap() = value.clone();
            assert_eq!(missed(&[bad]), *gates, "{pointer} = {value}");
        }
    }

    #[test]
    fn a_kill_has_a_budget_by_size() {
        assert_eq!(missed(&[line("sigkill", 151.0)]), ["SIGKILL: error within its budget"]);
        let mut small = line("sigkill", 149.0);
        small["rss_mib"] = json!(100);
        assert_eq!(missed(&[small]).len(), 1);
    }

    #[test]
    fn the_last_count_weighs_as_much_as_the_cycles() {
        let end = json!({"run": "r", "end": {"rows": {"acked": 100, "lost": 2}, "stop_code": 0, "left_out": 0}});
        assert_eq!(missed(&[line("abort", 1.0), end]), ["acknowledged rows lost"]);
    }

    #[test]
    fn a_fault_that_did_not_happen_is_not_measured() {
        let mut line = line("abort", 1.0);
        line["verdict"] = json!("not_measured");
        let summary = Summary::of(&[line], &Gates::release());
        assert_eq!(summary.verdict, Verdict::NotMeasured);
        assert_eq!(Summary::of(&[], &Gates::release()).verdict.exit_code(), 2);
    }
}
