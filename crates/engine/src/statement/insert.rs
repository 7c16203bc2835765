//! INSERT: VALUES, FORMAT, SELECT, and batches that a protocol has decoded.
//!
//! In: a statement and its data as it arrives. Out: an answer without columns, after everything is durable. Promise: rows
//! are stored while later ones still arrive; an error says which row, and what came before it stays stored.

use super::{Answer, Context, answer};
use crate::catalog::Object;
use crate::ingest::Ingest;
use crate::query::{Input, Item};
use crate::stream::Stream;
use crate::stream::partition::PartitionKey;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use hydron_base::{Code, Error, Result};
use hydron_board::Phase;
use hydron_format::{Evaluator, FormatOptions};
use hydron_plan::StreamKind;
use hydron_plan::bind::bind_scalar_expr;
use hydron_sql::ast::{ColumnTransformer, Expr, ExprKind, Insert, InsertSource, InsertTarget, Query, TableExprKind};
use hydron_types::column::value_at;
use hydron_types::{Field, Schema};
use std::collections::BTreeMap;
use std::sync::Arc;

pub async fn run(cx: Context, insert: Insert, data: Option<Bytes>, input: Input) -> Result<Answer> {
    if let Some(infile) = &insert.infile {
        let message = format!("FROM INFILE '{}' is read by the client, the server does not", infile.path);
        return Err(Error::new(Code::NOT_IMPLEMENTED, message));
    }
    let name = match &insert.target {
        InsertTarget::Stream(name) => name,
        InsertTarget::Function(f) => {
            let function = (**f).clone();
            return super::insert_function::run(cx, insert, function, data, input).await;
        }
    };
    let span = name.span;
    let (database, name) = cx.full_name(name);
    let stream = match cx.catalog().existing(&database, &name).map_err(|e| cx.place(e, span))? {
        Object::Stream(s) => Arc::clone(s),
        Object::View(_) | Object::MaterializedView(_) => {
            return Err(Error::not_implemented(format!("INSERT into view {database}.{name}")));
        }
    };
    if stream.info.kind == StreamKind::Random {
        return Err(Error::not_implemented(format!("INSERT into random stream {name}")));
    }
    if &*stream.info.engine == "File" && stream.info.engine_args.len() > 1 {
        return Err(Error::not_implemented(format!("INSERT into {name}, which reads a file,")));
    }
    if let Some(external) = stream.external().cloned() {
        // The first one waits for a broker; those behind it find the connection made.
        super::blocking(&cx.engine, move || external.writer().map(drop)).await?;
    }
    cx.info.uses.lock().push((database, name));
    let mut columns = column_names(&cx, &stream, &insert.columns)?;
    let stream = match destination(&cx, &stream)? {
        Some(target) => {
            if columns.is_empty() {
                columns = select_columns(&stream);
            }
            target
        }
        None => stream,
    };
    check_parts(&cx, &stream).await?;
    super::permit::insert(&cx, &stream, &columns)?;
    match insert.source {
        InsertSource::Select(query) if query.names_input() => {
            let format = insert.input_format.as_deref().unwrap_or("TabSeparated");
            let query = with_input(*query, format, data, input).await?;
            select_into(cx, stream, columns, query).await
        }
        InsertSource::Select(query) => select_into(cx, stream, columns, *query).await,
        InsertSource::Values => from_bytes(cx, stream, columns, "Values".to_string(), data, input).await,
        InsertSource::Format(format) => from_bytes(cx, stream, columns, format, data, input).await,
        InsertSource::None => match input {
            Input::Batches(batches) => from_batches(cx, stream, columns, batches).await,
            input => {
                let format = match cx.settings.text("default_format") {
                    "" => "TabSeparated",
                    name => name,
                };
                let format = format.to_string();
                from_bytes(cx, stream, columns, format, data, input).await
            }
        },
    }
}

/// The settings `max_parts_in_total` and `parts_to_throw_insert` of a table that has them.
///
/// Errors: TOO_MANY_PARTS (252).
async fn check_parts(cx: &Context, stream: &Arc<Stream>) -> Result<()> {
    let limit = |name: &str| -> Option<u64> {
        let found = stream.info.settings.iter().rfind(|(k, _)| &**k == name);
        found.and_then(|(_, v)| v.parse().ok()).filter(|max| *max > 0)
    };
    let (in_total, in_one) = (limit("max_parts_in_total"), limit("parts_to_throw_insert"));
    if stream.info.kind != StreamKind::Table || in_total.is_none() && in_one.is_none() {
        return Ok(());
    }
    let (of, store, eval) = (Arc::clone(stream), Arc::clone(stream.stored()?), cx.eval_context());
    let (lookup, bind_cx, cpu) = (cx.lookup(), cx.bind_context(false), cx.engine.cpu.handle().clone());
    let parts = super::blocking(&cx.engine, move || {
        let key = PartitionKey::of(&of.info.partition_by, &store.schema, &lookup, &bind_cx)?;
        store.parts_of_partitions(&key, &eval, &cpu)
    });
    let parts = parts.await?;
    let mut by_partition: BTreeMap<&str, u64> = BTreeMap::new();
    for (partition, _) in parts.keys() {
        *by_partition.entry(partition).or_default() += 1;
    }
    let most = by_partition.values().copied().max().unwrap_or(0);
    let name = &stream.info.name;
    for (what, setting, count, max) in [
        ("parts", "max_parts_in_total", parts.len() as u64, in_total),
        ("parts in one partition", "parts_to_throw_insert", most, in_one),
    ] {
        if let Some(max) = max.filter(|max| count >= *max) {
            let message = format!("{name} has {count} {what}, {setting} is {max}");
            return Err(Error::new(Code::TOO_MANY_PARTS, message).hint(format!("OPTIMIZE STREAM {name}")));
        }
    }
    Ok(())
}

/// Where the rows of a Buffer go: at once, so that what is acknowledged is durable there. Without a destination they wait in
/// the Buffer. `None` for any other table.
fn destination(cx: &Context, buffer: &Stream) -> Result<Option<Arc<Stream>>> {
    let ("Buffer", [database, table, ..]) = (&*buffer.info.engine, buffer.info.engine_args.as_slice()) else {
        return Ok(None);
    };
    let name = |text: &str| text.trim_matches(['\'', '`']).to_string();
    match cx.catalog().object(&name(database), &name(table)) {
        Some(Object::Stream(target)) if target.info.uuid != buffer.info.uuid && &*target.info.engine != "Buffer" => {
            Ok(Some(Arc::clone(target)))
        }
        _ => Ok(None),
    }
}

/// The column list as names; `*` means all, `* EXCEPT (…)` all but some. Empty: no list was written.
fn column_names(cx: &Context, stream: &Stream, list: &[Expr]) -> Result<Vec<String>> {
    let known = crate::stream::completion::insertable(&stream.info);
    let mut names = Vec::new();
    for item in list {
        match &item.kind {
            ExprKind::Identifier(name) => {
                let name = name.full();
                crate::ingest::position_of(&stream.info.name, &known, &name).map_err(|e| cx.place(e, item.span))?;
                names.push(name);
            }
            ExprKind::Asterisk(asterisk) => {
                let mut all: Vec<String> = stream.info.columns.iter().map(|c| c.name.to_string()).collect();
                all.retain(|n| n != "_tp_time");
                for transformer in &asterisk.transformers {
                    match transformer {
                        ColumnTransformer::Except { columns, .. } => all.retain(|n| !columns.contains(n)),
                        _ => return Err(Error::not_implemented("transformers but EXCEPT in the columns of an INSERT")),
                    }
                }
                names.append(&mut all);
            }
            _ => {
                let message = format!("'{item}' is not a column of an INSERT");
                return Err(cx.place(Error::new(Code::SYNTAX_ERROR, message), item.span));
            }
        }
    }
    Ok(names)
}

fn ingest(cx: &Context, stream: &Arc<Stream>, columns: &[String], named: bool) -> Result<Ingest> {
    let progress = Arc::clone(&cx.info.progress);
    let bind_cx = cx.bind_context(false);
    let stream = Arc::clone(stream);
    let stream_is_stored = stream.store().is_some();
    let mut ingest =
        Ingest::new(stream, columns, named, &cx.lookup(), &bind_cx, cx.eval_context(), progress, cx.info.memory())?;
    if let Some(place) = &cx.info.place
        && stream_is_stored
    {
        ingest.track(place.query());
    }
    Ok(ingest)
}

/// Formats whose rows name their columns (or may), so that a column left out is no error.
fn names_columns(format: &str) -> bool {
    format.contains("EachRow") && !format.contains("Compact")
        || format.contains("WithNames")
        || ["Protobuf", "Avro", "Arrow", "Template", "JSONColumns"].iter().any(|f| format.starts_with(f))
        || ["TSKV", "Parquet", "JSON"].contains(&format)
}

async fn from_bytes(
    cx: Context,
    stream: Arc<Stream>,
    columns: Vec<String>,
    format: String,
    data: Option<Bytes>,
    input: Input,
) -> Result<Answer> {
    if let Input::Batches(batches) = input {
        return from_batches(cx, stream, columns, batches).await;
    }
    let mut ingest = ingest(&cx, &stream, &columns, names_columns(&format))?;
    let options = FormatOptions::from_settings(&cx.settings, super::zone(&cx.settings));
    let mut reader = hydron_format::input(&format, Arc::clone(&ingest.input), &options, Some(evaluator(&cx)))?;
    let progress = Arc::clone(&cx.info.progress);
    Ok(background(&cx, async move {
        let mut source = match input {
            Input::Bytes(source) => Some(source),
            _ => None,
        };
        let mut piece = data;
        loop {
            let bytes = match piece.take() {
                Some(bytes) => Some(bytes),
                None => match &mut source {
                    Some(source) => ingest.waiting(source.next()).await??,
                    None => None,
                },
            };
            let last = bytes.is_none();
            let bytes = bytes.unwrap_or_default();
            crate::query::Progress::add(&progress.read_bytes, bytes.len());
            let batches = reader.feed(&bytes, last);
            // Rows before the bad one are stored: the error says where to go on.
            let (batches, error) = match batches {
                Ok(batches) => (batches, None),
                Err(e) => (Vec::new(), Some(e)),
            };
            for batch in batches {
                crate::query::Progress::add(&progress.read_rows, batch.batch.rows());
                if let Err(e) = ingest.write(batch).await {
                    // What came before stays stored; that this fails too is not the first thing to tell.
                    let _ = ingest.settle().await;
                    return Err(e);
                }
            }
            if let Some(e) = error {
                ingest.settle().await?;
                return Err(e);
            }
            if last {
                if let Some(source) = &mut source {
                    ingest.submit().await?;
                    source.submitted();
                }
                return ingest.finish().await;
            }
        }
    }))
}

/// Evaluates an expression that stands where VALUES expects a literal.
pub(super) fn evaluator(cx: &Context) -> Evaluator {
    let lookup = cx.lookup();
    let bind_cx = cx.bind_context(false);
    let eval_cx = cx.eval_context();
    let nothing = Arc::new(Schema::default());
    Box::new(move |field: &Field, text: &str| {
        let (expr, consumed) = hydron_sql::parse_expression_prefix(text)?;
        let bound = bind_scalar_expr(&expr, &nothing, &lookup, &bind_cx)?;
        let one = hydron_types::Batch::new(Arc::clone(&nothing), Vec::new(), 1);
        let array = bound.eval(&eval_cx, &one)?.to_array(1)?;
        let options = hydron_types::cast::CastOptions::wrap(bind_cx.zone);
        if !hydron_types::cast::decimal_holds_whole(&value_at(&array, &bound.ty, 0), field.ty.bare()) {
            let text = format!("the value has more digits before its point than {} holds", field.ty);
            return Err(Error::new(Code::ARGUMENT_OUT_OF_BOUND, text));
        }
        // NULL for a column without NULL is the reader's to decide.
        let target = if value_at(&array, &bound.ty, 0).is_null() {
            hydron_types::LogicalType::nullable(field.ty.clone())
        } else {
            field.ty.clone()
        };
        let array = hydron_types::cast::cast(&array, &bound.ty, &target, &options)?;
        Ok((value_at(&array, &target, 0), consumed))
    })
}

async fn from_batches(
    cx: Context,
    stream: Arc<Stream>,
    columns: Vec<String>,
    mut batches: stream::BoxStream<'static, Result<hydron_types::Batch>>,
) -> Result<Answer> {
    let mut ingest = ingest(&cx, &stream, &columns, true)?;
    *cx.info.insert_header.lock() = Some(ingest.header(columns.is_empty()));
    Ok(background(&cx, async move {
        while let Some(batch) = ingest.waiting(batches.next()).await? {
            ingest.write_named(&batch?).await?;
        }
        ingest.finish().await
    }))
}

/// INSERT … SELECT, bounded or not: rows are matched by position.
pub async fn select_into(cx: Context, stream: Arc<Stream>, columns: Vec<String>, query: Query) -> Result<Answer> {
    let columns = if columns.is_empty() { select_columns(&stream) } else { columns };
    let mut ingest = ingest(&cx, &stream, &columns, false)?;
    let answer = super::select::start(&cx, query, Some(ingest.input.len())).await?;
    let streaming = answer.streaming;
    let mut items = answer.items;
    let mut done = background(&cx, async move {
        while let Some(item) = ingest.waiting(items.next()).await? {
            if let Item::Rows(batch) = item? {
                ingest.write_positional(&batch).await?;
                if streaming {
                    ingest.settle().await?;
                }
            }
        }
        ingest.finish().await
    });
    done.streaming = streaming;
    Ok(done)
}

// What `input` reads is a constant of its query until it is read.
const INPUT_BYTES_MAX: usize = 64 << 20;

/// `input('structure')` as what it stands for: the data that came with the statement, in its format.
///
/// Errors: LIMIT_EXCEEDED (290) for more than 64 MiB, BAD_ARGUMENTS (36) for two of them.
async fn with_input(mut query: Query, format: &str, data: Option<Bytes>, input: Input) -> Result<Query> {
    let mut all = data.map(|d| d.to_vec()).unwrap_or_default();
    match input {
        Input::Bytes(mut source) => {
            while let Some(bytes) = source.next().await? {
                all.extend_from_slice(&bytes);
                if all.len() > INPUT_BYTES_MAX {
                    break;
                }
            }
            source.submitted();
        }
        Input::Batches(_) => return Err(Error::not_implemented("the table function input over the native protocol")),
        _ => {}
    }
    if all.len() > INPUT_BYTES_MAX {
        let message = format!("input reads at most {INPUT_BYTES_MAX} bytes");
        return Err(Error::new(Code::LIMIT_EXCEEDED, message).hint("INSERT into a table, and SELECT from it"));
    }
    let mut count = 0;
    query.for_sources(&mut |table| {
        let TableExprKind::Function(function) = &mut table.kind else { return };
        if !function.name.eq_ignore_ascii_case("input") {
            return;
        }
        count += 1;
        function.name = "format".to_string();
        function.args.insert(0, Expr::string(format));
        function.args.push(Expr::string(std::mem::take(&mut all)));
    });
    match count {
        1 => Ok(query),
        _ => Err(Error::bad_arguments("a query reads the rows that come with it once: there are two of input")),
    }
}

/// Columns that INSERT … SELECT without a list fills.
fn select_columns(stream: &Stream) -> Vec<String> {
    let usual = stream.info.columns.iter().filter(|c| c.is_stored() && &*c.name != "_tp_time");
    usual
        .filter(|c| !matches!(c.default, hydron_plan::ColumnDefault::Materialized(_)))
        .map(|c| c.name.to_string())
        .collect()
}

/// Runs `work` on the computing threads while the answer is awaited; dropping the answer ends it.
pub(super) fn background(cx: &Context, work: impl Future<Output = Result<()>> + Send + 'static) -> Answer {
    cx.info.set_phase(Phase::Run);
    let task = AbortOnDrop(cx.engine.cpu.handle().spawn(cx.info.mark().on(work)));
    let done = async move {
        let mut task = task;
        match (&mut task.0).await {
            Ok(Ok(())) => None,
            Ok(Err(e)) => Some(Err(e)),
            Err(e) if e.is_panic() => Some(Err(Error::panicked(&*e.into_panic()))),
            Err(_) => Some(Err(Error::new(Code::QUERY_WAS_CANCELLED, "the insert was cancelled"))),
        }
    };
    let items = stream::once(done).filter_map(futures::future::ready).boxed();
    Answer { items, ..answer::nothing() }
}

struct AbortOnDrop(tokio::task::JoinHandle<Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
