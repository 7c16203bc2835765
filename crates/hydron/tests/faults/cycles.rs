//! Every fault once or more, under ingest, streams, readers, idle and new connections.

use crate::{Alone, alone, binary};
use hydron_crashbench::fault::{FAULTS, Fault};
use hydron_crashbench::protocol::Protocol;
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
    hold(Protocol::Http, "all", 2 * FAULTS.len() as u64);
}

#[test]
fn clients_of_the_native_port_hear_as_much() {
    hold(Protocol::Native, "segv_null,stack_overflow,panic,sigkill", 8);
}

#[test]
fn clients_of_the_rest_port_hear_as_much() {
    hold(Protocol::Rest, "segv_null,stack_overflow,panic,sigkill", 8);
}

fn hold(protocol: Protocol, faults: &str, cycles: u64) {
    let alone = alone();
    let (summary, evidence) = crash(&alone, protocol, faults, cycles, 1);
    let missed: Vec<_> = summary.gates.iter().filter(|g| g.holds == Some(false)).collect();
    // A time may be missed because others had the processor: it gets one more try. Nothing else does.
    let summary = match missed.iter().all(|g| g.limit.ends_with("ms")) {
        true if !missed.is_empty() => crash(&alone, protocol, faults, cycles, 2).0,
        _ => summary,
    };
    assert_eq!(summary.verdict, Verdict::Held, "{summary}\n{evidence}");
}

/// Crashes the server in these ways; answers the figures and the lines of the cycles that failed.
fn crash(alone: &Alone, protocol: Protocol, faults: &str, cycles: u64, seed: u64) -> (Summary, String) {
    let dir = alone.dir.path().join(seed.to_string());
    std::fs::create_dir(&dir).unwrap();
    let options = Options {
        run: "faults".to_string(),
        seed,
        cycles,
        protocol,
        faults: Fault::parse_list(faults).unwrap(),
        ..Options::new(binary().into(), dir)
    };
    let mut lines = Vec::new();
    let end = run(&options, |report| lines.push(report.line())).unwrap();
    lines.push(end.line("faults"));
    let values: Vec<_> = lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let failed: Vec<_> = lines.iter().filter(|l| l.contains(r#""verdict":"fail""#)).map(String::as_str).collect();
    (Summary::of(&values, &gates()), failed.join("\n"))
}
