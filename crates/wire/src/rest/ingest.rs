//! Rows into a stream.
//!
//! In: a body in one of several forms. Out: an answer when the rows are durable (`mode=sync`), or once they are on
//! their way with an id to ask for. Promise: the header `x-timeplus-idempotent-id` makes a repeated request store
//! nothing twice, also across a crash; a bad row is an error in every mode.

use super::call::Call;
use super::document::Document;
use super::fields::Fields;
use super::poll::Outcome;
use super::reply::Failure;
use crate::http::request::text;
use crate::http::route::Body;
use crate::http::source::BodySource;
use ::http::request::Parts;
use ::http::{Response, StatusCode, header};
use async_trait::async_trait;
use bytes::Bytes;
use hydron_base::{Code, Error, Result};
use hydron_engine::{ByteSource, Input, Running};
use hydron_sql::ast::{Expr, Insert, InsertSource, InsertTarget, ObjectName, StatementKind};
use hyper::body::Incoming;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The column that takes whole events, as Timeplus names it.
const EVENT_COLUMN: &str = "raw";

/// When a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// When the rows are durable.
    Sync,
    /// When they are on their way, in their order; the id tells the rest.
    Async,
    /// As `Async`, without an id.
    Forget,
}

impl Mode {
    pub(super) fn parse(text: Option<&str>) -> Result<Mode, Failure> {
        match text {
            Some("sync") => Ok(Mode::Sync),
            // Rows of one connection always keep their order.
            None | Some("" | "async" | "ordered") => Ok(Mode::Async),
            Some("fire_and_forget") => Ok(Mode::Forget),
            Some(other) => {
                let error = Error::new(Code::BAD_REQUEST_PARAMETER, format!("mode '{other}' is unknown"));
                Err(Failure::with(StatusCode::BAD_REQUEST, error.hint("sync, async, ordered or fire_and_forget")))
            }
        }
    }
}

/// How rows stand in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// `{"columns": […], "data": [[…], …]}`
    Document,
    /// Rows in a format of INSERT.
    Rows(String),
    /// Events that fill one column: the whole body, or each line.
    Event,
    Lines,
}

impl Form {
    /// The parameter `format`, else the content type. Errors: UNKNOWN_FORMAT.
    fn of(format: Option<&str>, content_type: Option<&str>) -> Result<Form> {
        if let Some(format) = format.filter(|f| !f.is_empty()) {
            return Ok(match format {
                "compact" => Form::Document,
                "streaming" | "ndjson" => Form::Rows("JSONEachRow".to_string()),
                "csv" => Form::Rows("CSV".to_string()),
                "raw" => Form::Event,
                "lines" => Form::Lines,
                name if hydron_format::registry::is_known(name) => Form::Rows(name.to_string()),
                name => {
                    return Err(Error::new(Code::UNKNOWN_FORMAT, format!("format {name} is unknown"))
                        .hint("compact, streaming, csv, raw, lines, or a format of INSERT"));
                }
            });
        }
        let mut words = content_type.unwrap_or_default().split(';').map(|w| w.trim().to_ascii_lowercase());
        let kind = words.next().unwrap_or_default();
        Ok(match kind.as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonlines" | "application/x-jsonlines" => {
                Form::Rows("JSONEachRow".to_string())
            }
            // RFC 4180: the first line may be a header.
            "text/csv" if words.any(|w| w == "header=present") => Form::Rows("CSVWithNames".to_string()),
            "text/csv" => Form::Rows("CSV".to_string()),
            "text/plain" | "application/octet-stream" => Form::Event,
            _ => Form::Document,
        })
    }
}

pub(super) async fn ingest(call: &Call<'_>, parts: &Parts, body: Incoming) -> Result<Response<Body>, Failure> {
    let mode = Mode::parse(call.param("mode"))?;
    let form = Form::of(call.param("format"), text(&parts.headers, header::CONTENT_TYPE.as_str()))?;
    let listed: Vec<String> =
        call.param("columns").map(|c| c.split(',').map(|n| n.trim().to_string()).collect()).unwrap_or_default();
    let (sender, submitted) = oneshot::channel();
    let body = BodySource::new(body, call.request.encoding, &call.app.options, call.seat.clone())?;
    let body = Watched { source: body, submitted: Some(sender) };
    let event_columns = |listed: Vec<String>| if listed.is_empty() { vec![EVENT_COLUMN.to_string()] } else { listed };
    let (columns, format, source): (_, _, Box<dyn ByteSource>) = match form {
        Form::Document => {
            let (columns, document) = Document::open(body).await.map_err(Failure::of_request)?;
            (columns, "JSONCompactEachRow".to_string(), Box::new(document))
        }
        Form::Rows(format) => (listed, format, Box::new(body)),
        Form::Event => (event_columns(listed), "RawBLOB".to_string(), Box::new(body)),
        Form::Lines => (event_columns(listed), "LineAsString".to_string(), Box::new(body)),
    };
    insert(call, mode, columns, format, source, submitted).await
}

/// Runs the INSERT of a request, and answers as its mode says.
pub(super) async fn insert(
    call: &Call<'_>,
    mode: Mode,
    columns: Vec<String>,
    format: String,
    source: Box<dyn ByteSource>,
    submitted: oneshot::Receiver<()>,
) -> Result<Response<Body>, Failure> {
    let insert = StatementKind::Insert(Box::new(Insert {
        target: InsertTarget::Stream(ObjectName::new(call.name("stream").unwrap_or_default())),
        columns: columns.into_iter().map(Expr::column).collect(),
        partition_by: None,
        settings: Vec::new(),
        infile: None,
        source: InsertSource::Format(format),
        input_format: None,
    }));
    let mut options = call.options()?;
    if !options.settings.is_changed("date_time_input_format") {
        options.settings.set("date_time_input_format", "best_effort")?;
    }
    let mut session = call.session();
    let running = call.app.engine.execute(&mut session, insert.to_string(), Input::Bytes(source), options).await?;
    match mode {
        Mode::Sync => {
            to_end(running).await?;
            call.success(json!({}))
        }
        Mode::Async | Mode::Forget => {
            let id = in_background(call, running, submitted).await?;
            match mode {
                Mode::Forget => call.success(json!({})),
                _ => call.success(json!({"poll_id": id, "channel": call.rest.polls.channel})),
            }
        }
    }
}

/// Lets an INSERT go on by itself; returns as soon as its rows are on their way, with the id of its outcome.
async fn in_background(call: &Call<'_>, running: Running, submitted: oneshot::Receiver<()>) -> Result<String, Failure> {
    let polls = Arc::clone(&call.rest.polls);
    let id = polls.begin(&call.user.name)?;
    let (sender, ended) = oneshot::channel();
    call.app.engine.inner().cpu.handle().spawn(async move {
        let outcome = to_end(running).await;
        polls.end(id, outcome.as_ref().map_or_else(|e| Outcome::Failed(e.clone()), |()| Outcome::Succeeded));
        // Nobody waits any more when the rows were on their way first.
        let _ = sender.send(outcome);
    });
    let lost = |_| Err(Error::bug("the task of an insert ended without an outcome"));
    tokio::select! {
        biased;
        outcome = ended => outcome.unwrap_or_else(lost)?,
        Ok(()) = submitted => {}
    }
    Ok(id.to_string())
}

async fn to_end(mut running: Running) -> Result<()> {
    while running.next().await?.is_some() {}
    Ok(())
}

/// A body that tells when all its rows are on their way.
struct Watched {
    source: BodySource,
    submitted: Option<oneshot::Sender<()>>,
}

#[async_trait]
impl ByteSource for Watched {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        self.source.next().await
    }

    fn submitted(&mut self) {
        if let Some(sender) = self.submitted.take() {
            // In mode `sync` nobody listens.
            let _ = sender.send(());
        }
    }
}

/// `{"channel": "…", "poll_ids": ["…"]}`
pub(super) async fn statuses(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let polls = &call.rest.polls;
    if fields.text("channel")? != polls.channel {
        let error = Error::new(Code::SEND_POLL_REQ_ERROR, "the channel is not one of this server since its last start");
        return Err(Failure::with(
            StatusCode::BAD_REQUEST,
            error.hint("the request again, with the same x-timeplus-idempotent-id"),
        ));
    }
    let mut status = Vec::new();
    for id in fields.texts("poll_ids")? {
        let (word, progress, error) = match polls.outcome(id, &call.user.name)? {
            None => ("Unknown", 0, None),
            Some(Outcome::Processing) => ("Processing", 0, None),
            Some(Outcome::Succeeded) => ("Succeeded", 100, None),
            Some(Outcome::Failed(e)) => ("Failed", 0, Some(e)),
        };
        let mut entry = json!({"poll_id": id, "status": word, "progress": progress});
        if let Some(error) = error {
            entry["code"] = error.code.number().into();
            entry["error_msg"] = error.to_string().into();
        }
        status.push(entry);
    }
    call.success(json!({ "status": status }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_parameter_then_content_type() {
        let rows = |name: &str| Form::Rows(name.to_string());
        assert_eq!(Form::of(None, None).unwrap(), Form::Document);
        assert_eq!(Form::of(None, Some("application/json; charset=utf-8")).unwrap(), Form::Document);
        assert_eq!(Form::of(None, Some("application/x-ndjson")).unwrap(), rows("JSONEachRow"));
        assert_eq!(Form::of(None, Some("Text/CSV")).unwrap(), rows("CSV"));
        assert_eq!(Form::of(None, Some("text/csv; header=present")).unwrap(), rows("CSVWithNames"));
        assert_eq!(Form::of(None, Some("text/plain")).unwrap(), Form::Event);
        assert_eq!(Form::of(Some("streaming"), Some("text/plain")).unwrap(), rows("JSONEachRow"));
        assert_eq!(Form::of(Some("lines"), None).unwrap(), Form::Lines);
        assert_eq!(Form::of(Some("Parquet"), None).unwrap(), rows("Parquet"));
        assert_eq!(Form::of(Some("nothing"), None).unwrap_err().code, Code::UNKNOWN_FORMAT);
    }
}
