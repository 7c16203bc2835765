//! What one cycle has missed by itself; percentiles are for [`crate::summary`].

use crate::fault::Fault;
use crate::report::{Report, Streams};

/// An error later than this misses the gate by itself, whatever the percentiles say.
const ERROR_MAX_MS: f64 = 250.0;

/// Sets `verdict` and adds to `missed`.
pub fn judge(report: &mut Report, fault: &Fault) {
    if !report.crashed && !fault.is_caught() {
        report.verdict = "not_measured";
        report.missed.push(format!("the fault did not happen: {}", report.error_code.clone().unwrap_or_default()));
        return;
    }
    let mut missed = std::mem::take(&mut report.missed);
    let mut miss = |is_missed: bool, what: String| {
        if is_missed {
            missed.push(what);
        }
    };
    let said = report.error_code.clone().unwrap_or_default();
    if fault.is_caught() {
        miss(report.crashed, "a panic ended the process".to_string());
        miss(!report.victim_kept, "a caught panic cost its connection".to_string());
        miss(said.starts_with("SERVER_"), format!("the victim was told: {said}"));
    } else if fault.is_by_query() {
        miss(said != "SERVER_CRASHED", format!("the victim was told: {said}"));
        miss(!report.has_query_id, "the error does not name the query".to_string());
    }
    miss(report.error_ms.is_none(), format!("the victim got no error: {said}"));
    if fault.has_handler() {
        miss(report.sent_to_error_ms.is_some_and(|t| t > ERROR_MAX_MS), "the error came late".to_string());
    }
    miss(report.handler_alive_3s, "the dying process was alive after 3 s".to_string());
    let c = &report.connects;
    let bad = c.refused + c.reset + c.hung;
    miss(bad > 0, format!("{bad} of {} new connections were refused, reset or hung", c.tried));
    let f = &report.inflight;
    miss(f.typed < f.n, format!("{} of {} in flight had no typed answer", f.n - f.typed, f.n));
    let i = &report.inserts;
    miss(!i.is_clean(), format!("{} lost, {} doubled, {} phantom rows", i.lost, i.dup, i.phantom));
    let Streams { lost_rows, dup_rows, .. } = report.streams;
    miss(lost_rows + dup_rows > 0, format!("a stream left out {lost_rows} and repeated {dup_rows} rows"));
    miss(report.orphan_sockets > 0, format!("{} orphan sockets", report.orphan_sockets));
    if let Some(record) = &report.record {
        miss(
            record.state != "full",
            format!("the record is {}: {}", record.state, record.note.clone().unwrap_or_default()),
        );
    }
    report.verdict = if missed.is_empty() { "pass" } else { "fail" };
    report.missed = missed;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{InFlight, RecordFound};

    fn crashed() -> Report {
        let record = RecordFound { state: "full", ..RecordFound::default() };
        Report {
            crashed: true,
            error_ms: Some(1.0),
            error_code: Some("SERVER_CRASHED".to_string()),
            has_query_id: true,
            record: Some(record),
            ..Report::default()
        }
    }

    fn judged(fault: &str, mut report: Report) -> (&'static str, String) {
        judge(&mut report, &Fault::named(fault).unwrap());
        (report.verdict, report.missed.join("; "))
    }

    #[test]
    fn a_crash_that_is_told_and_recorded_passes() {
        assert_eq!(judged("abort", crashed()), ("pass", String::new()));
        let of_another = Report { error_code: Some("SERVER_RESTARTED".to_string()), has_query_id: false, ..crashed() };
        assert_eq!(judged("sigkill", of_another.clone()), ("pass", String::new()));
        assert_eq!(judged("abort", of_another).0, "fail");
    }

    #[test]
    fn a_panic_must_be_caught_and_any_other_fault_must_happen() {
        let caught = Report {
            error_ms: Some(1.0),
            error_code: Some("LOGICAL_ERROR".to_string()),
            victim_kept: true,
            ..Report::default()
        };
        assert_eq!(judged("panic", caught.clone()), ("pass", String::new()));
        assert_eq!(judged("abort", caught.clone()).0, "not_measured");
        assert_eq!(judged("panic", Report { victim_kept: false, ..caught }).0, "fail");
        assert!(judged("panic", crashed()).1.contains("ended the process"));
    }

    #[test]
    fn what_bystanders_lose_is_named() {
        let mut report = crashed();
        report.inflight = InFlight { n: 3, typed: 2, untyped: 1, hung: 0 };
        report.inserts.lost = 1;
        report.connects.refused = 1;
        report.sent_to_error_ms = Some(251.0);
        let (verdict, missed) = judged("abort", report);
        assert_eq!(verdict, "fail");
        for part in ["1 of 3 in flight", "1 lost", "1 of 0 new connections", "came late"] {
            assert!(missed.contains(part), "{part}: {missed}");
        }
    }
}
