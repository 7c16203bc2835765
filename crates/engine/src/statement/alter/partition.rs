//! ALTER STREAM … MOVE, REPLACE, ATTACH, DETACH PARTITION, FREEZE and UNFREEZE.
//!
//! In: a partition and another table. Out: its rows there. Promise: both tables are alike before a row moves; a REPLACE happens in one
//! commit, a MOVE or ATTACH wholly or not at all, whatever happens meanwhile.

use super::rows::{deletes, keeps, partition_condition};
use super::stream_of;
use crate::catalog::Object;
use crate::ingest::Ingest;
use crate::statement::{Context, detached};
use crate::stream::transfer::Transfer;
use crate::stream::{Stream, StreamStore};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::Bytes;
use hydron_base::{Code, Error, Result};
use hydron_func::call::arrow_error;
use hydron_plan::Expr;
use hydron_plan::bind::bind_condition;
use hydron_sql::ast::{Alter, AlterCommand, MoveTarget, ObjectName, Partition};
use hydron_types::Batch;
use std::path::PathBuf;
use std::sync::Arc;

/// Whether a command is about whole partitions.
pub fn is_of_partitions(command: &AlterCommand) -> bool {
    use AlterCommand as A;
    match command {
        A::MovePartition { part, to, .. } => !part && matches!(to, MoveTarget::Stream(_)),
        A::AttachPartition { part, .. } | A::DetachPartition { part, .. } => !part,
        A::DropPartition { detached: true, part, .. } => !part,
        A::Freeze { .. } => true,
        A::Unfreeze { partition, .. } => partition.is_none(),
        A::ReplacePartition { .. } => true,
        _ => false,
    }
}

pub async fn run(cx: &Context, alter: Alter) -> Result<()> {
    let stream = stream_of(cx, &cx.catalog(), &alter)?;
    if crate::stream::keyed::is_keyed(&stream.info) {
        let what = format!("a change of partitions of {} stream {}", stream.info.mode.name(), stream.info.name);
        return Err(Error::not_implemented(what));
    }
    for command in &alter.commands {
        match command {
            AlterCommand::MovePartition { partition, to: MoveTarget::Stream(to), .. } => {
                let to = other(cx, &stream, to)?;
                check_granularity(&stream, &to)?;
                move_to(cx, &stream, &to, partition).await?;
            }
            AlterCommand::AttachPartition { partition, from: Some(from), .. } => {
                let from = other(cx, &stream, from)?;
                check_granularity(&from, &stream)?;
                copy(cx, &from, &stream, partition).await?;
            }
            AlterCommand::ReplacePartition { partition, from } => {
                let from = other(cx, &stream, from)?;
                check_granularity(&from, &stream)?;
                let rows = chosen(cx, &from, partition).await?;
                let store = stream.stored()?;
                let condition = condition(cx, &stream, partition).await?;
                store.replace(deletes(condition, cx.eval_context(), batch_of(store)), rows).await?;
            }
            AlterCommand::DetachPartition { partition, .. } => {
                let apart = detached::of_or_new(cx, &stream).await?;
                move_to(cx, &stream, &apart, partition).await?;
            }
            AlterCommand::AttachPartition { partition, from: None, .. } => {
                if let Some(apart) = detached::of(&cx.catalog(), &stream.info) {
                    check_alike(&stream, &apart)?;
                    move_to(cx, &apart, &stream, partition).await?;
                }
            }
            AlterCommand::DropPartition { partition, .. } => {
                if let Some(apart) = detached::of(&cx.catalog(), &stream.info) {
                    let condition = condition(cx, &apart, partition).await?;
                    let store = apart.stored()?;
                    store.mutate(deletes(condition, cx.eval_context(), batch_of(store))).await?;
                }
            }
            AlterCommand::Freeze { partition, with_name } => {
                freeze(cx, &stream, partition.as_ref(), with_name.as_deref()).await?;
            }
            AlterCommand::Unfreeze { with_name, .. } => unfreeze(cx, &stream, with_name.as_deref()).await?,
            other => return Err(Error::not_implemented(format!("ALTER STREAM … {}", super::apply::name_of(other)))),
        }
    }
    Ok(())
}

fn batch_of(store: &StreamStore) -> impl Fn(&RecordBatch) -> Batch + Send + Sync + 'static {
    let schema = Arc::clone(&store.schema);
    move |rows| Batch::new(Arc::clone(&schema), rows.columns().to_vec(), rows.num_rows())
}

/// The other table of a command, which must be like this one.
///
/// Errors: UNKNOWN_STREAM (60), INCOMPATIBLE_COLUMNS (122), BAD_ARGUMENTS (36) for other keys.
fn other(cx: &Context, stream: &Stream, name: &ObjectName) -> Result<Arc<Stream>> {
    let (database, of) = cx.full_name(name);
    let found = match cx.catalog().existing(&database, &of).map_err(|e| cx.place(e, name.span))? {
        Object::Stream(other) => Arc::clone(other),
        _ => return Err(Error::not_implemented(format!("partitions of the view {of}"))),
    };
    if found.info.uuid == stream.info.uuid {
        return Err(Error::bad_arguments(format!("{of} is on both sides")));
    }
    check_alike(stream, &found)?;
    for (what, a, b) in [
        ("ORDER BY", &stream.info.order_by, &found.info.order_by),
        ("PARTITION BY", &stream.info.partition_by, &found.info.partition_by),
    ] {
        if a != b {
            let message = format!("{} and {of} have different {what}: '{a}' and '{b}'", stream.info.name);
            return Err(Error::bad_arguments(message));
        }
    }
    Ok(found)
}

/// Errors: INCOMPATIBLE_COLUMNS (122).
pub fn check_alike(stream: &Stream, other: &Stream) -> Result<()> {
    let (a, b) = (&stream.stored()?.schema, &other.stored()?.schema);
    let alike = a.len() == b.len() && a.fields.iter().zip(&b.fields).all(|(a, b)| a.name == b.name && a.ty == b.ty);
    if alike {
        return Ok(());
    }
    let message = format!("{} and {} have different columns", stream.info.name, other.info.name);
    Err(Error::new(Code::INCOMPATIBLE_COLUMNS, message))
}

/// A table with granules of a fixed number of rows takes none of another kind, as in ClickHouse.
///
/// Errors: BAD_ARGUMENTS (36).
fn check_granularity(from: &Stream, to: &Stream) -> Result<()> {
    let is_fixed = |s: &Stream| s.info.settings.iter().any(|(k, v)| &**k == "index_granularity_bytes" && v == "0");
    match is_fixed(to) && !is_fixed(from) {
        true => Err(Error::bad_arguments(format!(
            "{} has index_granularity_bytes = 0, {} has not",
            to.info.name, from.info.name
        ))),
        false => Ok(()),
    }
}

/// True for the rows of a partition.
async fn condition(cx: &Context, stream: &Arc<Stream>, partition: &Partition) -> Result<Expr> {
    let condition = partition_condition(&stream.info, partition)?;
    let schema = Arc::clone(&stream.stored()?.schema);
    let (lookup, bind_cx) = (cx.lookup(), cx.bind_context(false));
    crate::statement::blocking(&cx.engine, move || bind_condition(&condition, &schema, &lookup, &bind_cx)).await
}

/// The rows of a partition as of now.
async fn chosen(cx: &Context, stream: &Arc<Stream>, partition: &Partition) -> Result<RecordBatch> {
    let keep = condition(cx, stream, partition).await?;
    let (store, eval) = (Arc::clone(stream.stored()?), cx.eval_context());
    let (memory, cpu) = (cx.info.memory(), cx.engine.cpu.handle().clone());
    crate::statement::blocking(&cx.engine, move || {
        let keeps = keeps(keep, eval, batch_of(&store));
        let (mut rows, mut held) = (Vec::new(), Vec::new());
        store.each_block(&store.view(), &cpu, |batch, _| {
            if let Some(batch) = keeps(&batch)?.filter(|b| b.num_rows() > 0) {
                held.push(memory.reserve(2 * batch.get_array_memory_size())?);
                rows.push(batch);
            }
            Ok(())
        })?;
        concat_batches(&store.schema.arrow(), &rows).map_err(arrow_error)
    })
    .await
}

/// Writes rows of `from` into `to`, as records with this stamp, and returns when they are durable.
async fn write(cx: &Context, to: &Arc<Stream>, from: &Arc<Stream>, rows: Vec<RecordBatch>, stamp: Bytes) -> Result<()> {
    let (lookup, bind_cx) = (cx.lookup(), cx.bind_context(false));
    let progress = Arc::clone(&cx.info.progress);
    let mut ingest =
        Ingest::new(Arc::clone(to), &[], true, &lookup, &bind_cx, cx.eval_context(), progress, cx.info.memory())?;
    ingest.mark(stamp);
    let schema = Arc::clone(&from.stored()?.schema);
    let given: Vec<usize> =
        (0..schema.len()).filter(|i| ingest.input.index_of(&schema.fields[*i].name).is_some()).collect();
    let part = Arc::new(hydron_types::Schema::new(given.iter().map(|i| schema.fields[*i].clone()).collect()));
    for batch in rows.iter().filter(|b| b.num_rows() > 0) {
        let columns = given.iter().map(|i| Arc::clone(batch.column(*i))).collect();
        ingest.write_named(&Batch::new(Arc::clone(&part), columns, batch.num_rows())).await?;
    }
    ingest.finish().await
}

async fn move_to(cx: &Context, from: &Arc<Stream>, to: &Arc<Stream>, partition: &Partition) -> Result<()> {
    let store = from.stored()?;
    let condition = condition(cx, from, partition).await?;
    let chosen = keeps(condition.clone(), cx.eval_context(), batch_of(store));
    let others = deletes(condition, cx.eval_context(), batch_of(store));
    let giver = Some((from.info.uuid, store));
    let mut transfer = Transfer::begin(&cx.engine, (to.info.uuid, to.stored()?), giver).await?;
    let Some(mut leaving) = transfer.leaving(chosen, others).await? else { return Ok(()) };
    let rows = std::mem::take(&mut leaving.rows);
    let work = async {
        transfer.intend(Some(&leaving)).await?;
        write(cx, to, from, rows, transfer.stamp()).await?;
        transfer.leave(leaving).await
    };
    ended(work.await, transfer).await
}

/// Copies the rows of a partition.
async fn copy(cx: &Context, from: &Arc<Stream>, to: &Arc<Stream>, partition: &Partition) -> Result<()> {
    let rows = chosen(cx, from, partition).await?;
    if rows.num_rows() == 0 {
        return Ok(());
    }
    let mut transfer = Transfer::begin(&cx.engine, (to.info.uuid, to.stored()?), None).await?;
    let work = async {
        transfer.intend(None).await?;
        write(cx, to, from, vec![rows], transfer.stamp()).await
    };
    ended(work.await, transfer).await
}

/// The end of a transfer, or of what it has done so far.
async fn ended(done: Result<()>, transfer: Transfer) -> Result<()> {
    let Err(e) = done else { return transfer.end().await };
    if let Err(left) = transfer.undo().await {
        // It is tried again until it is done.
        tracing::error!("what an ALTER that failed has written is not taken back yet: {left}");
    }
    Err(e)
}

/// Where the snapshot of a name is: `shadow/name` under the data directory.
///
/// Errors: BAD_ARGUMENTS (36) for a name that is no plain name of a directory.
fn shadow(cx: &Context, name: &str) -> Result<PathBuf> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) || name.len() > 200 {
        let error = Error::bad_arguments(format!("'{name}' is no name of a snapshot"));
        return Err(error.hint("letters, digits, '_', '-' and '.'"));
    }
    Ok(cx.engine.options.data_dir.join("shadow").join(name))
}

/// Links the files of a stream's history under `shadow/name/<uuid of the stream>`, with its CREATE statement. Of one partition, which
/// has no files of its own, one is written.
async fn freeze(cx: &Context, stream: &Arc<Stream>, partition: Option<&Partition>, name: Option<&str>) -> Result<()> {
    let root = cx.engine.options.data_dir.join("shadow");
    let dir = match name {
        Some(name) => shadow(cx, name)?,
        None => {
            // The first number that nobody uses.
            let free = (1_u64..).map(|n| root.join(n.to_string())).find(|dir| !dir.exists());
            free.ok_or_else(|| Error::bug("all numbers of snapshots are used"))?
        }
    };
    let target = dir.join(stream.info.uuid.to_string());
    if target.exists() {
        let message = format!("stream {} has a snapshot {} already", stream.info.name, dir.display());
        return Err(Error::bad_arguments(message).hint("another name, or UNFREEZE"));
    }
    match partition {
        None | Some(Partition::All) => {
            let source = cx.engine.streams.parts_dir(stream.info.uuid);
            stream.stored()?.freeze(source, target.clone()).await?;
        }
        Some(partition) => {
            let rows = chosen(cx, stream, partition).await?;
            let (store, target) = (Arc::clone(stream.stored()?), target.clone());
            crate::statement::blocking(&cx.engine, move || store.write_frozen(rows, &target)).await?;
        }
    }
    let text = stream.create_text.clone();
    crate::statement::blocking(&cx.engine, move || {
        let path = target.join("create.sql");
        std::fs::write(&path, text)
            .map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot write {}: {e}", path.display())))
    })
    .await
}

async fn unfreeze(cx: &Context, stream: &Arc<Stream>, name: Option<&str>) -> Result<()> {
    let name = name.ok_or_else(|| Error::bad_arguments("UNFREEZE needs WITH NAME"))?;
    let dir = shadow(cx, name)?;
    let target = dir.join(stream.info.uuid.to_string());
    if !target.exists() {
        let message = format!("stream {} has no snapshot '{name}'", stream.info.name);
        return Err(Error::new(Code::FILE_DOESNT_EXIST, message));
    }
    crate::statement::blocking(&cx.engine, move || {
        let failed = |e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot remove {}: {e}", target.display()));
        std::fs::remove_dir_all(&target).map_err(failed)?;
        // Only when no other stream has one of that name.
        let _ = std::fs::remove_dir(dir);
        Ok(())
    })
    .await
}
