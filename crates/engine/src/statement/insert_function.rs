//! INSERT INTO FUNCTION: rows for `null`, which forgets them, and for `file`, which writes a new file.
//!
//! In: the function, and rows as they arrive. Out: an answer without columns, after everything is written. Promise: a file
//! appears under its name when it is whole; a file that is there already is left alone.

use super::insert::{background, evaluator};
use super::{Answer, Context};
use crate::query::{Input, Item, Progress};
use crate::stream::file::{NewFile, new_file};
use bytes::Bytes;
use futures::StreamExt;
use hydron_base::{Code, Error, Result};
use hydron_format::{FormatOptions, OutputFormat};
use hydron_sql::ast::{Function, Insert, InsertSource, Literal};
use hydron_types::{Batch, Field, Schema, parse_type};
use std::sync::Arc;

/// Where rows go.
enum Sink {
    Nothing,
    File { file: NewFile, writer: Box<dyn OutputFormat>, bytes: Vec<u8> },
}

/// Bytes of text that are gathered before they are written.
const PIECE_BYTES: usize = 1 << 20;

impl Sink {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let Sink::File { file, writer, bytes } = self else { return Ok(()) };
        writer.batch(batch, bytes)?;
        if bytes.len() >= PIECE_BYTES {
            file.write(bytes)?;
            bytes.clear();
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let Sink::File { mut file, mut writer, mut bytes } = self else { return Ok(()) };
        writer.suffix(&hydron_format::ResultStats::default(), &mut bytes)?;
        file.write(&bytes)?;
        file.finish()
    }
}

pub async fn run(cx: Context, insert: Insert, f: Function, data: Option<Bytes>, input: Input) -> Result<Answer> {
    let (schema, sink_of) = target(&cx, &f)?;
    match insert.source {
        InsertSource::Select(query) => {
            let width = (!schema.is_empty()).then(|| schema.len());
            let bound_width = width;
            let answer = super::select::start(&cx, *query, bound_width).await?;
            let found = answer.schema.clone().ok_or_else(|| Error::bug("a SELECT without columns"))?;
            let schema = if schema.is_empty() { found.clone() } else { schema };
            let casts = hydron_plan::bind::cast_columns(&found, &schema, super::zone(&cx.settings))?;
            let mut sink = sink_of(&cx, &schema)?;
            let eval = cx.eval_context();
            let mut items = answer.items;
            let streaming = answer.streaming;
            let mut done = background(&cx, async move {
                while let Some(item) = items.next().await {
                    if let Item::Rows(batch) = item? {
                        let columns = casts
                            .iter()
                            .map(|c| c.eval(&eval, &batch)?.to_array(batch.rows()))
                            .collect::<Result<_>>()?;
                        sink.write(&Batch::new(Arc::clone(&schema), columns, batch.rows()))?;
                    }
                }
                sink.finish()
            });
            done.streaming = streaming;
            Ok(done)
        }
        source => {
            let format = match source {
                InsertSource::Format(format) => format,
                InsertSource::Values => "Values".to_string(),
                _ => return Err(Error::not_implemented("INSERT INTO FUNCTION without a format")),
            };
            if schema.is_empty() {
                let text = format!("{} needs a structure for rows that are no SELECT", f.name);
                return Err(Error::bad_arguments(text));
            }
            let mut sink = sink_of(&cx, &schema)?;
            let options = FormatOptions::from_settings(&cx.settings, super::zone(&cx.settings));
            let mut reader = hydron_format::input(&format, Arc::clone(&schema), &options, Some(evaluator(&cx)))?;
            let progress = Arc::clone(&cx.info.progress);
            Ok(background(&cx, async move {
                let mut source = match input {
                    Input::Bytes(source) => Some(source),
                    Input::Batches(_) => {
                        return Err(Error::not_implemented("INSERT INTO FUNCTION of rows a client has decoded"));
                    }
                    _ => None,
                };
                let mut piece = data;
                loop {
                    let bytes = match (piece.take(), &mut source) {
                        (Some(bytes), _) => Some(bytes),
                        (None, Some(source)) => source.next().await?,
                        (None, None) => None,
                    };
                    let last = bytes.is_none();
                    let bytes = bytes.unwrap_or_default();
                    Progress::add(&progress.read_bytes, bytes.len());
                    for batch in reader.feed(&bytes, last)? {
                        sink.write(&batch.batch)?;
                    }
                    if last {
                        return sink.finish();
                    }
                }
            }))
        }
    }
}

type MakeSink = Box<dyn FnOnce(&Context, &Arc<Schema>) -> Result<Sink> + Send>;

/// The columns the function is told (none: those of the SELECT), and how its sink is made.
fn target(cx: &Context, f: &Function) -> Result<(Arc<Schema>, MakeSink)> {
    let text = |i: usize| f.args.get(i).and_then(|a| a.as_literal()).and_then(Literal::as_str);
    let structure = |text: Option<&str>| -> Result<Arc<Schema>> {
        let Some(text) = text.filter(|t| *t != "auto") else { return Ok(Arc::default()) };
        let fields: Vec<Field> = crate::catalog::given::columns_of_structure(text, parse_type)?;
        Ok(Arc::new(Schema::new(fields)))
    };
    let wrong = |what: &str| {
        Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, format!("{} takes {what}, given {}", f.name, f.args.len()))
    };
    match f.name.as_str() {
        "null" if f.args.len() == 1 => {
            let wanted = text(0).ok_or_else(|| Error::bad_arguments("null takes a structure such as 'a int8'"))?;
            Ok((structure(Some(wanted))?, Box::new(|_, _| Ok(Sink::Nothing))))
        }
        "null" => Err(wrong("a structure")),
        "file" if (1..=3).contains(&f.args.len()) => {
            let path = text(0).ok_or_else(|| Error::bad_arguments("file takes a path"))?.to_string();
            let format = match text(1).filter(|t| *t != "auto") {
                Some(format) => format.to_string(),
                None => crate::stream::file::format_of(&path)?.to_string(),
            };
            let schema = structure(text(2))?;
            let root = cx.engine.options.user_files.clone();
            let make: MakeSink = Box::new(move |cx, schema| {
                let options = FormatOptions::from_settings(&cx.settings, super::zone(&cx.settings));
                let mut writer = hydron_format::output(&format, Arc::clone(schema), &options)?;
                let mut bytes = Vec::new();
                writer.prefix(&mut bytes)?;
                Ok(Sink::File { file: new_file(root.as_deref(), &path)?, writer, bytes })
            });
            Ok((schema, make))
        }
        "file" => Err(wrong("a path, a format and a structure")),
        other => Err(Error::not_implemented(format!("INSERT INTO FUNCTION {other}"))),
    }
}
