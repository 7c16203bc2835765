//! Whether a crash left the record that it must leave, and whether the record is true.
//!
//! In: the directory of crash records, rows of `system.crash_log`, what is known of the fault. Out: a [`RecordFound`].

use crate::fault::{Fault, signal_name};
use crate::report::RecordFound;
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What the harness knows about the fault that the record describes.
pub struct Truth<'a> {
    pub fault: &'a Fault,
    /// Of the query that brought it about.
    pub query_id: &'a str,
}

/// Names of the records in the directory, `<incident>.json` without the ending.
pub fn incidents(data: &Path) -> HashSet<String> {
    let files = fs::read_dir(data.join("crash")).into_iter().flatten().flatten();
    files.filter_map(|f| f.file_name().to_str()?.strip_suffix(".json").map(str::to_string)).collect()
}

pub fn path(data: &Path, incident: &str) -> PathBuf {
    data.join("crash").join(format!("{incident}.json"))
}

/// Whether a minidump of the incident is there.
pub fn has_minidump(data: &Path, incident: &str) -> bool {
    let files = fs::read_dir(data.join("crash")).into_iter().flatten().flatten();
    files.filter_map(|f| f.file_name().into_string().ok()).any(|n| n.starts_with(incident) && n.ends_with(".dmp"))
}

/// What a record must tell. Without a handler nobody knows where the process was; a signal from outside has no query.
fn needed(fault: &Fault) -> Vec<&'static str> {
    let mut keys = vec!["incident_id", "signal", "wall_us", "pid", "version", "build_id"];
    if fault.has_handler() {
        keys.extend(["pc", "tid", "trace"]);
    }
    if fault.is_by_query() {
        keys.extend(["query_id", "query"]);
    }
    keys
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Bool(_) | Value::Object(_) => false,
    }
}

/// Judges the text of a record file. The record is full when it tells what it must, and signal and query are the right ones.
pub fn judge(text: &str, truth: &Truth) -> RecordFound {
    let Ok(record) = serde_json::from_str::<Value>(text) else {
        return RecordFound {
            state: "partial",
            note: Some("the record is no JSON".to_string()),
            ..RecordFound::default()
        };
    };
    let right_signal = ["signal", "signal_name"].iter().any(|key| names_signal(&record[*key], truth.fault.signals));
    // A signal from outside has no query of its own.
    let right_query = truth.fault.is_by_query().then(|| record["query_id"] == truth.query_id);
    let right_top3 = top_functions(&record)
        .map(|top| top.iter().take(3).any(|name| truth.fault.functions.iter().any(|f| name.contains(f))));
    let absent: Vec<&str> = needed(truth.fault).into_iter().filter(|key| is_empty(&record[*key])).collect();
    let is_full = absent.is_empty() && right_signal && right_query != Some(false);
    let note = match (absent.is_empty(), is_full) {
        (_, true) => None,
        (false, _) => Some(format!("the record lacks {}", absent.join(", "))),
        (true, _) => Some(format!("signal {}, query id {}", record["signal"], record["query_id"])),
    };
    RecordFound {
        state: if is_full { "full" } else { "partial" },
        right_signal: Some(right_signal),
        right_query,
        right_top3: right_top3.filter(|_| !truth.fault.functions.is_empty()),
        note,
        ..RecordFound::default()
    }
}

/// Names of functions in the record's stack, innermost first; `None` when it was not symbolized.
fn top_functions(record: &Value) -> Option<Vec<String>> {
    let frames = ["trace_full", "stack", "frames"].iter().find_map(|key| record[*key].as_array())?;
    let name = |frame: &Value| match frame {
        Value::String(text) => Some(text.clone()),
        Value::Object(map) => map.get("function").and_then(Value::as_str).map(str::to_string),
        _ => None,
    };
    let names: Vec<String> = frames.iter().filter_map(name).collect();
    (!names.is_empty()).then_some(names)
}

/// `11`, `"SIGSEGV"` or an object with either.
fn names_signal(value: &Value, signals: &[i32]) -> bool {
    match value {
        Value::Number(n) => signals.iter().any(|s| n.as_i64() == Some(i64::from(*s))),
        Value::String(text) => signals.iter().any(|s| text.contains(signal_name(*s)) || *text == s.to_string()),
        Value::Object(map) => map.values().any(|v| names_signal(v, signals)),
        _ => false,
    }
}

/// Whether one of the rows (JSON, one a line) is of the incident and tells the same signal and query as the truth.
pub fn log_has(rows: &str, incident: &str, truth: &Truth) -> bool {
    rows.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()).any(|row| {
        let Value::Object(row) = row else { return false };
        let is_of_it = row.values().any(|v| v == incident);
        let signal = row.get("signal").is_some_and(|s| names_signal(s, truth.fault.signals));
        let query = !truth.fault.is_by_query() || row.get("query_id").is_some_and(|q| q == truth.query_id);
        is_of_it && signal && query
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(name: &str) -> (Fault, &'static str) {
        (Fault::named(name).unwrap(), "q-1")
    }

    fn judged(name: &str, text: &str) -> RecordFound {
        let (fault, query_id) = truth(name);
        judge(text, &Truth { fault: &fault, query_id })
    }

    const FULL: &str = r#"{"incident_id":"i","signal":11,"wall_us":1,"pid":7,"version":"1","build_id":"b","pc":1,"tid":8,
        "trace":[1],"query_id":"q-1","query":"select 1","trace_full":["a","hydron_func::read_null"]}"#;

    #[test]
    fn a_record_is_held_to_the_known_truth() {
        let record = judged("segv_null", FULL);
        assert_eq!((record.state, record.right_signal, record.right_query), ("full", Some(true), Some(true)));
        assert_eq!((record.right_top3, record.note), (Some(true), None));
        let wrong = judged("segv_null", &FULL.replace("q-1", "q-2").replace("11,", "6,"));
        assert_eq!((wrong.state, wrong.right_signal, wrong.right_query), ("partial", Some(false), Some(false)));
        assert_eq!(judged("segv_null", "{").state, "partial");
        let top3 =
            |frames: &str| judged("segv_null", &FULL.replace(r#"["a","hydron_func::read_null"]"#, frames)).right_top3;
        assert_eq!(top3(r#"["a", "b", "c", "read_null"]"#), Some(false));
        assert_eq!(top3("[]"), None);
    }

    #[test]
    fn what_a_record_must_tell_depends_on_the_fault() {
        let without = |name: &str, part: &str| judged(name, &FULL.replace(part, r#""x":0"#)).note.unwrap_or_default();
        assert!(without("segv_null", r#""build_id":"b""#).contains("build_id"));
        assert!(without("segv_null", r#""pc":1"#).contains("pc"));
        let of_a_kill = r#"{"incident_id":"i","signal":9,"signal_name":"SIGKILL","wall_us":1,"pid":7,"version":"1","build_id":"b"}"#;
        assert_eq!(judged("sigkill", of_a_kill).state, "full");
    }

    #[test]
    fn a_row_of_the_log_must_be_of_the_incident() {
        let (fault, query_id) = truth("abort");
        let truth = Truth { fault: &fault, query_id };
        let row = r#"{"incident_id":"i-1","signal":6,"query_id":"q-1"}"#;
        assert!(log_has(&format!("{{}}\n{row}\n"), "i-1", &truth));
        assert!(!log_has(row, "i-2", &truth));
        assert!(!log_has(r#"{"incident_id":"i-1","signal":11,"query_id":"q-1"}"#, "i-1", &truth));
    }
}
