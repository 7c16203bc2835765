//! The last word over the native protocol: an exception packet, which may stand wherever a packet may.

use super::packet::{Exception, server};
use crate::farewell::{Ending, Farewell, Notice, message};
use hydron_board::connection::{LAST, REQUEST_READ};
use hydron_format::native::push_varint;

pub struct NativeFarewell;

impl Farewell for NativeFarewell {
    fn write(&self, flags: u32, notice: &Notice<'_>, out: &mut Vec<u8>) -> Ending {
        let mut text = String::with_capacity(1_024);
        message(notice, &mut text);
        let exception = Exception {
            code: i32::from(notice.code.number()),
            name: "DB::Exception".to_string(),
            // The code has a field of its own.
            message: text.split_once(". ").map_or(text.as_str(), |(_, m)| m).trim_end().to_string(),
            stack: String::new(),
            cause: None,
        };
        exception.write(out);
        ending(flags)
    }

    fn write_committed(&self, flags: u32, _: &str, out: &mut Vec<u8>) -> Ending {
        push_varint(server::END_OF_STREAM, out);
        ending(flags)
    }
}

/// Blocks of an INSERT that are still on their way would be taken for packets by the next worker.
fn ending(flags: u32) -> Ending {
    if flags & LAST == 0 && flags & REQUEST_READ != 0 { Ending::Open } else { Ending::Last }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_base::Code;

    #[test]
    fn the_word_is_an_exception_packet() {
        let notice = Notice {
            code: Code::SERVER_CRASHED,
            text: "the query crashed the server",
            query_id: "q",
            incident: "i",
            retry: false,
            token: "",
        };
        let mut out = Vec::new();
        assert_eq!(NativeFarewell.write(REQUEST_READ, &notice, &mut out), Ending::Open);
        assert_eq!(out[0], 2);
        assert_eq!(i32::from_le_bytes(out[1..5].try_into().unwrap()), 2_900);
        let text = String::from_utf8_lossy(&out);
        assert!(
            text.contains("DB::Exception") && text.contains("query id: q, incident: i. (SERVER_CRASHED)"),
            "{text}"
        );
        assert_eq!(NativeFarewell.write(0, &notice, &mut out), Ending::Last);
    }
}
