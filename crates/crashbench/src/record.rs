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

/// Judges the text of a record file. The record is full when it names signal, query and build.
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
    let needed = ["signal", "build_id", "pid"];
    let absent: Vec<&str> = needed.into_iter().filter(|key| record[*key].is_null()).collect();
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
    let frames = ["stack", "trace", "trace_full", "frames"].iter().find_map(|key| record[*key].as_array())?;
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

    #[test]
    fn a_record_is_held_to_the_known_truth() {
        let record = judged("segv_null", r#"{"signal":11,"query_id":"q-1","build_id":"b","pid":7}"#);
        assert_eq!((record.state, record.right_signal, record.right_query), ("full", Some(true), Some(true)));
        let record = judged("segv_null", r#"{"signal":"SIGABRT","query_id":"q-2","build_id":"b","pid":7}"#);
        assert_eq!((record.state, record.right_signal, record.right_query), ("partial", Some(false), Some(false)));
        let stacked = |frames: &str| {
            let text = format!(r#"{{"signal":11,"query_id":"q-1","build_id":"b","pid":7,"stack":{frames}}}"#);
            judged("segv_null", &text).right_top3
        };
        assert_eq!(stacked(r#"["a", {"function": "hydron_func::read_null"}]"#), Some(true));
        assert_eq!(stacked(r#"["a", "b", "c", "read_null"]"#), Some(false));
        assert_eq!(stacked("[]"), None);
        assert_eq!(judged("sigkill", r#"{"signal":"SIGKILL","build_id":"b","pid":7}"#).state, "full");
        assert_eq!(judged("segv_null", "{").state, "partial");
        assert!(judged("segv_null", r#"{"signal":11,"query_id":"q-1","pid":7}"#).note.unwrap().contains("build_id"));
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
