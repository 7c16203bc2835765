//! What the bystanders of a fault have seen, counted into the report.

use crate::answer::Outcome;
use crate::flights::Landed;
use crate::ledger::Ledger;
use crate::report::{InFlight, Report, ms};
use crate::visitors::{Visit, VisitEnd};
use crate::writers::InsertEnd;
use std::time::Instant;

/// Of what went wrong, for the report.
const EXAMPLES_MAX: usize = 5;

/// Queries that were running at the fault, `at`.
pub fn landed(report: &mut Report, landed: &[Landed], at: Instant, ledger: &Ledger) {
    for flight in landed {
        if flight.ended.is_some_and(|ended| ended < at) {
            let label = flight.outcome.label();
            report.missed.push(format!("{} ended before the fault: {label}: {}", flight.query_id, flight.tail));
            continue;
        }
        // After a fault that was caught, a query that still runs is as it should be.
        let is_good = if report.crashed { flight.outcome.is_typed() } else { flight.ended.is_none() };
        let is_good = is_good && !flight.answered_twice;
        let is_hung = report.crashed && flight.outcome == Outcome::Hung;
        count(&mut report.inflight, is_good, is_hung);
        if !is_good {
            let twice = if flight.answered_twice { " and once more" } else { "" };
            example(&mut report.inflight_examples, &format!("{:?}{twice}", flight.kind), &flight.outcome);
        }
        if let Some(ended) = flight.ended {
            report.inflight_wait_max_ms = report.inflight_wait_max_ms.max(ms(ended - at));
        }
        if flight.kind.is_stream() {
            report.streams.n += 1;
            report.streams.typed += u64::from(is_good);
            report.streams.rows += flight.sequences.rows;
            report.streams.dup_rows += flight.sequences.dup;
            report.streams.lost_rows += flight.sequences.lost(ledger);
        }
    }
}

/// New connections, before the fault and after it.
pub fn visits(report: &mut Report, visits: &[Visit], at: Instant) {
    for visit in visits {
        let connects = &mut report.connects;
        connects.tried += 1;
        connects.refused += u64::from(visit.is_refused());
        connects.reset += u64::from(visit.is_reset());
        connects.hung += u64::from(visit.is_hung());
        connects.stayed_open += u64::from(visit.stayed_open);
        connects.wait_max_ms = connects.wait_max_ms.max(ms(visit.ended - visit.started));
        if visit.started < at && visit.ended > at {
            let is_typed = matches!(&visit.end, VisitEnd::Outcome(o) if o.is_typed());
            count(&mut report.inflight, is_typed, visit.is_hung());
        }
        if visit.is_refused() || visit.is_reset() || visit.is_hung() {
            report.inflight_examples.push(format!("new connection: {}", visit.label()));
        }
    }
    report.inflight_examples.truncate(EXAMPLES_MAX);
}

/// Inserts that have ended since the last cycle.
pub fn inserts(report: &mut Report, ends: &[InsertEnd], at: Instant) {
    for end in ends {
        if end.sent < at && end.ended > at {
            count(&mut report.inflight, end.is_typed(), end.outcome == Outcome::Hung);
            if !end.is_typed() {
                example(&mut report.inflight_examples, "insert", &end.outcome);
            }
        }
        report.inserts_unknown += u64::from(end.is_unknown());
    }
}

fn example(examples: &mut Vec<String>, what: &str, outcome: &Outcome) {
    if examples.len() < EXAMPLES_MAX {
        examples.push(format!("{what}: {}", outcome.label()));
    }
}

fn count(inflight: &mut InFlight, is_typed: bool, is_hung: bool) {
    inflight.n += 1;
    inflight.typed += u64::from(is_typed);
    inflight.hung += u64::from(is_hung);
    inflight.untyped += u64::from(!is_typed && !is_hung);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Ending;
    use crate::flights::Kind;
    use crate::http::End;
    use crate::ledger::Sequences;
    use std::io::ErrorKind;
    use std::time::Duration;

    fn flight(ended: Option<Instant>, outcome: Outcome) -> Landed {
        Landed {
            kind: Kind::Stream,
            query_id: "q".to_string(),
            ended,
            outcome,
            sequences: Sequences::default(),
            tail: String::new(),
            body_bytes: 0,
            answered_twice: false,
        }
    }

    #[test]
    fn only_what_was_open_at_the_fault_was_in_flight() {
        let at = Instant::now();
        let later = at + Duration::from_millis(7);
        let list = [
            flight(Some(at - Duration::from_millis(1)), Outcome::Answered),
            flight(Some(later), Outcome::Answered),
            flight(Some(later), Outcome::Untyped(Ending::Http(End::CutOff))),
            flight(None, Outcome::Hung),
            Landed { answered_twice: true, ..flight(Some(later), Outcome::Answered) },
        ];
        let mut report = Report { crashed: true, ..Report::default() };
        landed(&mut report, &list, at, &Ledger::new(1));
        assert_eq!(report.inflight, InFlight { n: 4, typed: 1, untyped: 2, hung: 1 });
        assert_eq!((report.streams.n, report.streams.typed, report.inflight_wait_max_ms), (4, 1, 7.0));
        assert_eq!(report.missed.len(), 1, "one ended before the fault");
    }

    #[test]
    fn a_query_that_still_runs_after_a_caught_fault_is_as_it_should_be() {
        let at = Instant::now();
        let mut report = Report::default();
        landed(&mut report, &[flight(None, Outcome::Hung), flight(Some(at), Outcome::Answered)], at, &Ledger::new(1));
        assert_eq!(report.inflight, InFlight { n: 2, typed: 1, untyped: 1, hung: 0 });
    }

    #[test]
    fn connections_are_counted_by_how_they_ended() {
        let at = Instant::now();
        let visit = |before_ms: u64, end| Visit {
            started: at - Duration::from_millis(before_ms),
            ended: at + Duration::from_millis(3),
            end,
            stayed_open: false,
        };
        let mut report = Report::default();
        let reset = VisitEnd::Outcome(Outcome::Untyped(Ending::Reset));
        let list = [
            visit(1, VisitEnd::Outcome(Outcome::Answered)),
            visit(2, reset),
            visit(0, VisitEnd::Refused(ErrorKind::ConnectionRefused)),
            visit(0, VisitEnd::Outcome(Outcome::Hung)),
        ];
        visits(&mut report, &list, at);
        let c = &report.connects;
        assert_eq!((c.tried, c.refused, c.reset, c.hung, c.wait_max_ms), (4, 1, 1, 1, 5.0));
        assert_eq!(report.inflight, InFlight { n: 2, typed: 1, untyped: 1, hung: 0 });
    }
}
