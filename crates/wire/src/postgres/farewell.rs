//! The last word over PostgreSQL's protocol: an error, which may stand wherever a message may, and that the client may ask again.

use super::reply::{self, Report, Severity, Transaction};
use super::state::sqlstate;
use crate::farewell::{Ending, Farewell, Notice, message};
use hydron_board::connection::{LAST, REQUEST_READ};

pub struct PostgresFarewell;

impl Farewell for PostgresFarewell {
    fn write(&self, flags: u32, notice: &Notice<'_>, out: &mut Vec<u8>) -> Ending {
        let mut text = String::with_capacity(1_024);
        message(notice, &mut text);
        let ending = ending(flags);
        let report = Report {
            severity: if ending == Ending::Open { Severity::Error } else { Severity::Fatal },
            sqlstate: sqlstate(notice.code),
            message: text.trim_end(),
            detail: Some(notice.token).filter(|token| !token.is_empty()),
            hint: notice.retry.then_some("it is safe to ask again"),
            position: None,
        };
        report.write(out);
        if ending == Ending::Open {
            reply::ready(Transaction::Idle, out);
        }
        ending
    }

    fn write_committed(&self, flags: u32, _: &str, out: &mut Vec<u8>) -> Ending {
        reply::warning("01000", "the rows are stored; the server was restarted before it had counted them", out);
        reply::complete("INSERT 0 0", out);
        reply::ready(Transaction::Idle, out);
        ending(flags)
    }
}

/// A message that is still on its way would be taken for the next request by the next worker.
fn ending(flags: u32) -> Ending {
    if flags & LAST == 0 && flags & REQUEST_READ != 0 { Ending::Open } else { Ending::Last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_base::Code;

    #[test]
    fn the_word_is_an_error_and_the_client_may_go_on() {
        let notice = Notice {
            code: Code::SERVER_CRASHED,
            text: "the query crashed the server",
            query_id: "q",
            incident: "i",
            retry: false,
            token: "",
        };
        let mut out = Vec::new();
        assert_eq!(PostgresFarewell.write(REQUEST_READ, &notice, &mut out), Ending::Open);
        let text = String::from_utf8_lossy(&out);
        assert!(text.starts_with('E') && text.contains("SERROR\0") && text.contains("C57P02\0"), "{text}");
        assert!(text.contains("query id: q, incident: i. (SERVER_CRASHED)\0"), "{text}");
        assert!(out.ends_with(b"Z\0\0\0\x05I"));
        let mut last = Vec::new();
        assert_eq!(PostgresFarewell.write(0, &notice, &mut last), Ending::Last);
        assert!(String::from_utf8_lossy(&last).contains("SFATAL\0"));
        assert!(!last.ends_with(b"Z\0\0\0\x05I"));
    }
}
