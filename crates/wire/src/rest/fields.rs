//! Bodies that are JSON objects: read within a limit, their fields checked.
//!
//! Promise: a field that is missing or of the wrong kind is an error that names it; fields that nobody asks for are
//! passed over.

use super::call::Call;
use crate::http::source::BodySource;
use bytes::BytesMut;
use hydron_base::{Code, Error, Result};
use hydron_engine::ByteSource;
use hyper::body::Incoming;
use serde_json::{Map, Value};

/// Bytes of a body that is no rows: the code of a function is the longest.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;

pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Errors: TOO_MANY_BYTES past [`BODY_BYTES_MAX`], INCORRECT_DATA for what is no JSON object, those of the body.
    pub(super) async fn read(call: &Call<'_>, body: Incoming) -> Result<Fields> {
        let mut source = BodySource::new(body, call.request.encoding, &call.app.options, call.seat.clone())?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = source.next().await? {
            if bytes.len() + piece.len() > BODY_BYTES_MAX {
                return Err(Error::new(
                    Code::TOO_MANY_BYTES,
                    format!("the body is longer than {BODY_BYTES_MAX} bytes"),
                ));
            }
            bytes.extend_from_slice(&piece);
        }
        Fields::parse(&bytes)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Fields> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Fields(map)),
            Ok(_) => Err(Error::new(Code::INCORRECT_DATA, "the body must be a JSON object")),
            Err(e) => Err(Error::new(Code::INCORRECT_DATA, format!("the body is not JSON: {e}"))),
        }
    }

    /// All fields, as they came.
    pub(super) fn into_map(self) -> Map<String, Value> {
        self.0
    }

    /// The value of a field; `null` counts as missing.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    /// Errors: BAD_REQUEST_PARAMETER when it is missing or no text.
    pub(super) fn text(&self, name: &str) -> Result<&str> {
        self.opt_text(name)?.ok_or_else(|| missing(name))
    }

    /// As [`Fields::text`], and not empty.
    pub(super) fn name(&self, name: &str) -> Result<&str> {
        match self.text(name)? {
            "" => Err(wrong(name, "a text that is not empty")),
            text => Ok(text),
        }
    }

    pub(super) fn opt_text(&self, name: &str) -> Result<Option<&str>> {
        let text = |v| Value::as_str(v).ok_or_else(|| wrong(name, "a text"));
        self.get(name).map(text).transpose()
    }

    pub(super) fn opt_int(&self, name: &str) -> Result<Option<i64>> {
        let int = |v| Value::as_i64(v).ok_or_else(|| wrong(name, "an integer"));
        self.get(name).map(int).transpose()
    }

    pub(super) fn opt_bool(&self, name: &str) -> Result<Option<bool>> {
        let flag = |v| Value::as_bool(v).ok_or_else(|| wrong(name, "true or false"));
        self.get(name).map(flag).transpose()
    }

    /// The object under `name`.
    pub(super) fn opt_object(&self, name: &str) -> Result<Option<Fields>> {
        let object = |v: &Value| v.as_object().cloned().map(Fields).ok_or_else(|| wrong(name, "an object"));
        self.get(name).map(object).transpose()
    }

    /// The texts in the array under `name`.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&str>> {
        let list = self.get(name).ok_or_else(|| missing(name))?;
        let list = list.as_array().ok_or_else(|| wrong(name, "an array"))?;
        list.iter().map(|v| v.as_str().ok_or_else(|| wrong(name, "an array of texts"))).collect()
    }

    /// The objects in the array under `name`.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Fields>> {
        let list = self.get(name).ok_or_else(|| missing(name))?;
        let list = list.as_array().ok_or_else(|| wrong(name, "an array"))?;
        let object = |v: &Value| v.as_object().cloned().map(Fields).ok_or_else(|| wrong(name, "an array of objects"));
        list.iter().map(object).collect()
    }
}

fn missing(name: &str) -> Error {
    Error::new(Code::BAD_REQUEST_PARAMETER, format!("field '{name}' is missing"))
}

pub(super) fn wrong(name: &str, expected: &str) -> Error {
    Error::new(Code::BAD_REQUEST_PARAMETER, format!("field '{name}' must be {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_checked() {
        let fields = Fields::parse(br#"{"a": "x", "n": 3, "l": ["p"], "o": [{"b": true}], "z": null}"#).unwrap();
        assert_eq!(fields.text("a").unwrap(), "x");
        assert_eq!(fields.opt_int("n").unwrap(), Some(3));
        assert_eq!(fields.texts("l").unwrap(), ["p"]);
        assert_eq!(fields.objects("o").unwrap()[0].opt_bool("b").unwrap(), Some(true));
        assert_eq!(fields.opt_text("z").unwrap(), None);
        let message = |e: Option<Error>| e.map(|e| (e.code, e.message)).unwrap();
        let (code, text) = message(fields.text("b").err());
        assert_eq!((code, text.as_str()), (Code::BAD_REQUEST_PARAMETER, "field 'b' is missing"));
        assert_eq!(message(fields.text("n").err()).1, "field 'n' must be a text");
        assert_eq!(Fields::parse(b"[1]").err().map(|e| e.code), Some(Code::INCORRECT_DATA));
        assert_eq!(Fields::parse(b"{").err().map(|e| e.code), Some(Code::INCORRECT_DATA));
    }
}
