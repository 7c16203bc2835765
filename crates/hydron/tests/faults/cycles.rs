//! Every fault once or more, under ingest, streams, readers, idle and new connections.

use crate::{alone, binary};
use hydron_crashbench::fault::FAULTS;
use hydron_crashbench::run::{Options, run};
use hydron_crashbench::summary::{Gates, Summary, Verdict};

/// What any machine must hold, however busy and in a build without optimizations: an error within 250 ms, the server back
/// within 5 s, nothing lost, nobody refused, everything recorded.
fn gates() -> Gates {
    Gates {
        error_p50_ms: 250.0,
        error_p99_ms: 250.0,
        error_max_ms: 250.0,
        ready_p50_ms: 5_000.0,
        ready_p99_ms: 5_000.0,
        kill_error_ms: 250.0,
        // A build without optimizations has larger tables to relocate.
        supervisor_kib: 16_384.0,
        ..Gates::release()
    }
}

#[test]
fn every_fault_is_told_recorded_and_survived() {
    let alone = alone();
    let rounds = 2;
    let options = Options {
        run: "faults".to_string(),
        cycles: rounds * FAULTS.len() as u64,
        ..Options::new(binary().to_path_buf(), alone.dir.path().to_path_buf())
    };
    let mut lines = Vec::new();
    let end = run(&options, |report| lines.push(report.line())).unwrap();
    lines.push(end.line("faults"));
    let values: Vec<_> = lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let summary = Summary::of(&values, &gates());
    let failed: Vec<_> = lines.iter().filter(|l| l.contains(r#""verdict":"fail""#)).map(String::as_str).collect();
    assert_eq!(summary.verdict, Verdict::Held, "{summary}\n{}\n{}", failed.join("\n"), alone.said());
}
