//! What one cycle has measured, and its line of JSON.
//!
//! The keys are those of `docs/design/faults.md`; a value that was not measured is null. Every published figure is computed
//! from these lines, see [`crate::summary`].

use crate::idle::Kept;
use crate::ledger::Tally;
use serde_json::{Value, json};

/// Requests that were unanswered at the fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    pub n: u64,
    pub typed: u64,
    pub untyped: u64,
    pub hung: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    pub n: u64,
    pub typed: u64,
    /// Went on through the crash.
    pub resumed: u64,
    pub rows: u64,
    pub lost_rows: u64,
    pub dup_rows: u64,
}

/// New connections of the cycle.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connects {
    pub tried: u64,
    pub refused: u64,
    pub reset: u64,
    pub hung: u64,
    pub wait_max_ms: f64,
    /// Were to be closed by the server and were not.
    pub stayed_open: u64,
}

/// The crash record, as [`crate::record`] judges it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordFound {
    /// `full`, `partial` or `missing`.
    pub state: &'static str,
    pub right_signal: Option<bool>,
    pub right_query: Option<bool>,
    pub right_top3: Option<bool>,
    pub minidump: Option<bool>,
    /// From the fault until `system.crash_log` shows it.
    pub crash_log_ms: Option<f64>,
    pub note: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Report {
    pub run: String,
    pub cycle: u64,
    pub seed: u64,
    pub build_id: String,
    pub fault: &'static str,
    /// What the victim spoke.
    pub proto: &'static str,
    pub moment: &'static str,
    pub rss_mib: u64,
    pub thp: bool,
    pub standby: bool,
    /// The process died; a fault may be caught and become an error of its query alone.
    pub crashed: bool,
    /// From the fault: the round trip of a `SELECT 1` of the victim is taken off.
    pub error_ms: Option<f64>,
    /// From just before the query, or the signal, was sent.
    pub sent_to_error_ms: Option<f64>,
    pub error_code: Option<String>,
    pub error_text: Option<String>,
    pub has_query_id: bool,
    pub incident: Option<String>,
    /// The victim's connection answers again afterwards.
    pub victim_kept: bool,
    pub dead_ms: Option<f64>,
    pub handler_alive_3s: bool,
    pub ready_ms: Option<f64>,
    pub connects: Connects,
    pub idle: Kept,
    pub inflight: InFlight,
    /// From the fault to the last answer of a streaming or reading bystander.
    pub inflight_wait_max_ms: f64,
    /// What the untyped ones looked like.
    pub inflight_examples: Vec<String>,
    pub streams: Streams,
    pub inserts: Tally,
    /// Answered with `outcome=UNKNOWN` or not at all, before any retry.
    pub inserts_unknown: u64,
    pub record: Option<RecordFound>,
    pub orphan_sockets: u64,
    /// Memory of the supervisor that is its own, and all that is resident of it, shared pages included.
    pub supervisor_anon_kib: u64,
    pub supervisor_rss_kib: u64,
    pub load: String,
    pub verdict: &'static str,
    pub missed: Vec<String>,
}

/// Milliseconds with three digits: microseconds are the resolution that the clock and the scheduler leave.
pub fn ms(duration: std::time::Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

impl Report {
    /// One line of JSON, without the line break.
    pub fn line(&self) -> String {
        let record = self.record.clone().unwrap_or_default();
        let state = self.record.as_ref().map(|r| r.state);
        let mut line = Line::default();
        line.put("run", json!(self.run));
        line.put("cycle", json!(self.cycle));
        line.put("seed", json!(self.seed));
        line.put("build_id", json!(self.build_id));
        line.put("fault", json!(self.fault));
        line.put("moment", json!(self.moment));
        line.put("proto", json!(self.proto));
        line.put("rss_mib", json!(self.rss_mib));
        line.put("thp", json!(self.thp));
        line.put("standby", json!(self.standby));
        line.put("crashed", json!(self.crashed));
        line.put("t_fault_to_error_ms", json!(self.error_ms));
        line.put("t_sent_to_error_ms", json!(self.sent_to_error_ms));
        line.put("error_code", json!(self.error_code));
        line.put("error_text", json!(self.error_text));
        line.put("has_query_id", json!(self.has_query_id));
        line.put("incident", json!(self.incident));
        line.put("victim_kept", json!(self.victim_kept));
        line.put("t_fault_to_dead_ms", json!(self.dead_ms));
        line.put("handler_alive_3s", json!(self.handler_alive_3s));
        line.put("t_fault_to_ready_ms", json!(self.ready_ms));
        line.put("connect_tried", json!(self.connects.tried));
        line.put("connect_refused", json!(self.connects.refused));
        line.put("connect_reset", json!(self.connects.reset));
        line.put("connect_hung", json!(self.connects.hung));
        line.put("connect_wait_max_ms", json!(self.connects.wait_max_ms));
        line.put("connect_stayed_open", json!(self.connects.stayed_open));
        line.put(
            "idle",
            json!({"n": self.idle.n, "kept": self.idle.kept, "session_lost": self.idle.session_lost, "example": self.idle.example}),
        );
        let f = &self.inflight;
        line.put("inflight", json!({"n": f.n, "typed": f.typed, "untyped": f.untyped, "hung": f.hung}));
        line.put("inflight_wait_max_ms", json!(self.inflight_wait_max_ms));
        line.put("inflight_examples", json!(self.inflight_examples));
        let s = &self.streams;
        line.put(
            "streams",
            json!({"n": s.n, "typed": s.typed, "resumed": s.resumed, "rows": s.rows, "lost_rows": s.lost_rows, "dup_rows": s.dup_rows}),
        );
        let i = &self.inserts;
        line.put(
            "inserts",
            json!({"acked": i.acked, "lost": i.lost, "dup": i.dup, "phantom": i.phantom, "unknown": self.inserts_unknown, "examples": i.examples}),
        );
        line.put("record", json!(state));
        line.put("right_signal", json!(record.right_signal));
        line.put("right_query", json!(record.right_query));
        line.put("right_top3", json!(record.right_top3));
        line.put("minidump", json!(record.minidump));
        line.put("crash_log_ms", json!(record.crash_log_ms));
        line.put("record_note", json!(record.note));
        line.put("orphan_sockets", json!(self.orphan_sockets));
        line.put("supervisor_anon_kib", json!(self.supervisor_anon_kib));
        line.put("supervisor_rss_kib", json!(self.supervisor_rss_kib));
        line.put("load", json!(self.load));
        line.put("verdict", json!(self.verdict));
        line.put("missed", json!(self.missed));
        line.end()
    }
}

/// An object whose keys stay in the order in which they were put.
#[derive(Default)]
struct Line(String);

impl Line {
    fn put(&mut self, key: &str, value: Value) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&format!("\"{key}\":{value}"));
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_with_its_keys_in_order() {
        let report = Report { run: "r\"1".to_string(), cycle: 4, error_ms: Some(0.9), ..Report::default() };
        let line = report.line();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["run"], "r\"1");
        assert_eq!(value["t_fault_to_error_ms"], 0.9);
        assert!(value["t_fault_to_ready_ms"].is_null() && value["record"].is_null());
        assert!(line.starts_with(r#"{"run":"r\"1","cycle":4,"seed":0"#), "{line}");
        assert!(!line.contains('\n'));
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!(ms(std::time::Duration::from_nanos(1_234_567)), 1.235);
    }
}
