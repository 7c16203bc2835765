//! Error codes to HTTP statuses, as ClickHouse maps them.

use ::http::StatusCode;
use hydron_base::Code;

pub(crate) fn of(code: Code) -> StatusCode {
    match code {
        Code::REQUIRED_PASSWORD => StatusCode::UNAUTHORIZED,
        Code::TIMEOUT_EXCEEDED => StatusCode::REQUEST_TIMEOUT,
        Code::AUTHENTICATION_FAILED
        | Code::UNKNOWN_USER
        | Code::WRONG_PASSWORD
        | Code::IP_ADDRESS_NOT_ALLOWED
        | Code::SET_NON_GRANTED_ROLE
        | Code::ACCESS_DENIED => StatusCode::FORBIDDEN,
        Code::SYNTAX_ERROR
        | Code::CANNOT_PARSE_TEXT
        | Code::CANNOT_PARSE_ESCAPE_SEQUENCE
        | Code::CANNOT_PARSE_QUOTED_STRING
        | Code::CANNOT_PARSE_DATE
        | Code::CANNOT_PARSE_DATETIME
        | Code::CANNOT_PARSE_NUMBER
        | Code::CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING
        | Code::CANNOT_PARSE_IPV4
        | Code::CANNOT_PARSE_IPV6
        | Code::CANNOT_PARSE_INPUT_ASSERTION_FAILED
        | Code::UNKNOWN_ELEMENT_IN_AST
        | Code::UNKNOWN_TYPE_OF_AST_NODE
        | Code::TOO_DEEP_AST
        | Code::TOO_BIG_AST
        | Code::INCORRECT_DATA
        | Code::TYPE_MISMATCH
        | Code::BAD_REQUEST_PARAMETER
        | Code::BAD_ARGUMENTS
        | Code::UNKNOWN_QUERY_PARAMETER
        | Code::BAD_QUERY_PARAMETER
        | Code::INVALID_SETTING_VALUE
        | Code::INVALID_SESSION_TIMEOUT
        | Code::VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE => StatusCode::BAD_REQUEST,
        Code::UNKNOWN_STREAM
        | Code::UNKNOWN_FUNCTION
        | Code::UNKNOWN_IDENTIFIER
        | Code::UNKNOWN_TYPE
        | Code::UNKNOWN_STORAGE
        | Code::UNKNOWN_DATABASE
        | Code::UNKNOWN_SETTING
        | Code::UNKNOWN_AGGREGATE_FUNCTION
        | Code::UNKNOWN_FORMAT
        | Code::UNKNOWN_DATABASE_ENGINE
        | Code::UNKNOWN_ROLE
        | Code::SESSION_NOT_FOUND => StatusCode::NOT_FOUND,
        Code::TOO_MANY_BYTES => StatusCode::PAYLOAD_TOO_LARGE,
        Code::NOT_IMPLEMENTED => StatusCode::NOT_IMPLEMENTED,
        Code::SOCKET_TIMEOUT
        | Code::CANNOT_OPEN_FILE
        | Code::NO_FREE_CONNECTION
        | Code::ABORTED
        | Code::SERVER_RESTARTED
        | Code::SERVER_STARTING
        | Code::SERVER_STOPPING
        | Code::SERVER_IN_SAFE_MODE => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
