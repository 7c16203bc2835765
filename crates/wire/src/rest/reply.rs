//! Answers: JSON with the id of the request, and errors with code and status.

use crate::http::route::{Body, json, put};
use crate::http::status;
use ::http::{HeaderValue, Response, StatusCode, header};
use hydron_base::{Blame, Code, Error};
use serde_json::Value;

/// An error and the status it is answered with.
#[derive(Debug)]
pub(super) struct Failure {
    pub error: Error,
    pub status: StatusCode,
}

impl Failure {
    pub(super) fn with(status: StatusCode, error: Error) -> Failure {
        Failure { error, status }
    }

    /// Of a request that says what it may not: 400, except where the status is about something else.
    pub(super) fn of_request(error: Error) -> Failure {
        let failure = Failure::from(error);
        match failure.status {
            StatusCode::NOT_FOUND => Failure { status: StatusCode::BAD_REQUEST, ..failure },
            _ => failure,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let status = match error.code {
            Code::AUTHENTICATION_FAILED | Code::REQUIRED_PASSWORD | Code::WRONG_PASSWORD | Code::UNKNOWN_USER => {
                StatusCode::UNAUTHORIZED
            }
            Code::TOO_MANY_SIMULTANEOUS_QUERIES | Code::INTERNAL_INGEST_BUFFER_FULL => StatusCode::SERVICE_UNAVAILABLE,
            code => match status::of(code) {
                StatusCode::INTERNAL_SERVER_ERROR if code.blame() == Blame::User => StatusCode::BAD_REQUEST,
                status => status,
            },
        };
        Failure { error, status }
    }
}

/// `body` with the `request_id`.
pub(super) fn success(mut body: Value, request_id: &str) -> Response<Body> {
    if let Value::Object(map) = &mut body {
        map.insert("request_id".to_string(), Value::from(request_id));
    }
    raw(&body.to_string(), request_id)
}

/// A JSON text as it is.
pub(super) fn raw(text: &str, request_id: &str) -> Response<Body> {
    let mut response = json(text);
    put(&mut response, "query-id", request_id);
    response
}

pub(super) fn failure(failure: &Failure, request_id: &str) -> Response<Body> {
    let Failure { error, status } = failure;
    let body = serde_json::json!({
        "error_msg": error.to_string(),
        "code": error.code.number(),
        "request_id": request_id,
    });
    let mut response = raw(&body.to_string(), request_id);
    *response.status_mut() = *status;
    put(&mut response, "exception-code", &error.code.number().to_string());
    if *status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hydron\""));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_who_can_do_something_about_it() {
        let status = |code| Failure::from(Error::new(code, "x")).status.as_u16();
        assert_eq!(status(Code::AUTHENTICATION_FAILED), 401);
        assert_eq!(status(Code::SYNTAX_ERROR), 400);
        assert_eq!(status(Code::NO_SUCH_COLUMN_IN_STREAM), 400);
        assert_eq!(status(Code::UNKNOWN_STREAM), 404);
        assert_eq!(status(Code::TOO_MANY_BYTES), 413);
        assert_eq!(status(Code::NOT_IMPLEMENTED), 501);
        assert_eq!(status(Code::ABORTED), 503);
        assert_eq!(status(Code::LOGICAL_ERROR), 500);
        assert_eq!(Failure::of_request(Error::new(Code::UNKNOWN_STREAM, "x")).status.as_u16(), 400);
    }
}
