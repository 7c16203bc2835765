//! SQLSTATE of each error, by which clients of PostgreSQL tell them apart.
//!
//! The classes are those of PostgreSQL's appendix A; a code that has no like there keeps its blame: `XX000` is ours, `58000`
//! something outside, `22000` the rows, `42000` the statement.

use hydron_base::Code;
use hydron_base::error::Blame;

pub fn sqlstate(code: Code) -> &'static str {
    match code {
        Code::SYNTAX_ERROR => "42601",
        Code::UNKNOWN_IDENTIFIER | Code::NO_SUCH_COLUMN_IN_STREAM => "42703",
        Code::UNKNOWN_STREAM => "42P01",
        Code::UNKNOWN_FUNCTION | Code::UNKNOWN_AGGREGATE_FUNCTION => "42883",
        Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH | Code::ILLEGAL_TYPE_OF_ARGUMENT => "42883",
        Code::UNKNOWN_DATABASE => "3D000",
        Code::STREAM_ALREADY_EXISTS => "42P07",
        Code::DATABASE_ALREADY_EXISTS => "42P04",
        Code::UNKNOWN_TYPE => "42704",
        Code::TYPE_MISMATCH | Code::NO_COMMON_TYPE => "42804",
        Code::AMBIGUOUS_IDENTIFIER | Code::AMBIGUOUS_COLUMN_NAME => "42702",
        Code::NOT_AN_AGGREGATE => "42803",
        Code::NOT_IMPLEMENTED | Code::UNSUPPORTED => "0A000",
        Code::AUTHENTICATION_FAILED | Code::WRONG_PASSWORD => "28P01",
        Code::IP_ADDRESS_NOT_ALLOWED | Code::UNKNOWN_USER => "28000",
        Code::ACCESS_DENIED | Code::READONLY => "42501",
        Code::UNKNOWN_SETTING => "42704",
        Code::INVALID_SETTING_VALUE => "22023",
        Code::QUERY_WAS_CANCELLED | Code::TIMEOUT_EXCEEDED => "57014",
        Code::MEMORY_LIMIT_EXCEEDED => "53200",
        Code::NOT_ENOUGH_SPACE => "53100",
        Code::NO_FREE_CONNECTION => "53300",
        Code::TOO_MANY_SIMULTANEOUS_QUERIES | Code::TOO_MANY_ROWS | Code::TOO_MANY_BYTES => "53400",
        Code::TOO_MANY_ROWS_OR_BYTES | Code::MSG_SIZE_TOO_LARGE => "54000",
        Code::UNKNOWN_PACKET_FROM_CLIENT | Code::UNEXPECTED_PACKET_FROM_CLIENT => "08P01",
        Code::NETWORK_ERROR | Code::SOCKET_TIMEOUT => "08006",
        Code::CANNOT_PARSE_TEXT | Code::CANNOT_PARSE_NUMBER | Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED => "22P02",
        Code::CANNOT_PARSE_DATE | Code::CANNOT_PARSE_DATETIME => "22007",
        Code::ILLEGAL_DIVISION => "22012",
        Code::DECIMAL_OVERFLOW | Code::ARGUMENT_OUT_OF_BOUND => "22003",
        Code::CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN => "23502",
        Code::VIOLATED_CONSTRAINT => "23514",
        Code::SERVER_CRASHED | Code::SERVER_RESTARTED => "57P02",
        Code::SERVER_STOPPING => "57P01",
        Code::SERVER_STARTING => "57P03",
        Code::QUERY_QUARANTINED => "55000",
        other => match other.blame() {
            Blame::User => "42000",
            Blame::Data => "22000",
            Blame::Outside => "58000",
            Blame::Us => "XX000",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_five_characters() {
        for number in 0..5_000 {
            if let Some(code) = Code::from_number(number) {
                assert_eq!(sqlstate(code).len(), 5, "{}", code.name());
            }
        }
        assert_eq!(sqlstate(Code::LOGICAL_ERROR), "XX000");
    }
}
