//! ALTER STREAM … DELETE WHERE, UPDATE … WHERE and DROP PARTITION.
//!
//! In: conditions and new values. Out: the history without these rows, or with other values in them. Promise: the statement
//! returns when it has happened to every row that was acknowledged before it began; rows for which a condition is NULL stay.

use super::{apply, stream_of};
use crate::statement::Context;
use crate::stream::mutate::Change;
use crate::stream::{Stream, StreamStore, keyed};
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{filter_record_batch, not};
use hydron_base::{Code, Error, Result};
use hydron_func::EvalContext;
use hydron_func::call::arrow_error;
use hydron_plan::bind::{bind_condition, bind_scalar_expr, cast_expr};
use hydron_plan::join_engine::JOIN;
use hydron_plan::{ColumnDefault, Expr, StreamInfo};
use hydron_sql::ast::{self, Alter, AlterCommand, Assignment, Partition};
use hydron_types::Batch;
use std::sync::Arc;

/// Whether a command changes rows rather than columns.
pub fn is_of_rows(command: &AlterCommand) -> bool {
    use AlterCommand as A;
    matches!(
        command,
        A::Delete { .. } | A::Update { .. } | A::DropPartition { .. } | A::ClearColumn { partition: Some(_), .. }
    )
}

pub async fn run(cx: &Context, alter: Alter) -> Result<()> {
    let stream = stream_of(cx, &cx.catalog(), &alter)?;
    let store = Arc::clone(stream.stored()?);
    if keyed::is_keyed(&stream.info) {
        // Without its newest row a key would have an older one again.
        return Err(Error::not_implemented(format!(
            "a change of the rows of {} stream {}",
            stream.info.mode.name(),
            stream.info.name
        )));
    }
    if &*stream.info.engine == JOIN {
        if alter.commands.iter().any(|c| matches!(c, AlterCommand::Update { .. })) {
            return Err(Error::not_implemented(format!("UPDATE of the Join table {}", stream.info.name)));
        }
        // A row that another one of its key hides must not come back when that one is deleted.
        crate::statement::remove::merge(cx, &stream, None).await?;
    }
    for command in &alter.commands {
        let Some(command) = within_partition(&stream.info, command)? else { continue };
        let change = {
            let (stream, store) = (Arc::clone(&stream), Arc::clone(&store));
            let (lookup, bind_cx, eval) = (cx.lookup(), cx.bind_context(false), cx.eval_context());
            move || {
                let bind = |e: &ast::Expr| bind_condition(e, &store.schema, &lookup, &bind_cx);
                let value = |a: &Assignment| -> Result<(usize, Expr)> {
                    let at = assigned(&stream, &store, &a.column)?;
                    let bound = bind_scalar_expr(&a.expr, &store.schema, &lookup, &bind_cx)?;
                    let bound = cast_expr(bound, &store.schema.fields[at].ty, bind_cx.zone);
                    Ok((at, bound.map_err(|e| e.context(format!("column '{}'", a.column)))?))
                };
                change_of(&stream, &store, &command, eval, bind, value)
            }
        };
        let change = crate::statement::blocking(&cx.engine, change).await?;
        store.mutate(change).await?;
    }
    Ok(())
}

/// `IN PARTITION` as a part of the condition; CLEAR COLUMN there as an UPDATE. `None`: IF EXISTS, and there is none.
///
/// Errors: BAD_ARGUMENTS (36) for a column that is set twice, NOT_FOUND_COLUMN_IN_BLOCK (10).
fn within_partition(info: &StreamInfo, command: &AlterCommand) -> Result<Option<AlterCommand>> {
    let within = |partition: &Partition, filter: &ast::Expr| -> Result<ast::Expr> {
        Ok(ast::Expr::call("and", vec![partition_condition(info, partition)?, filter.clone()]))
    };
    if let AlterCommand::Update { assignments, .. } = command {
        for (at, assignment) in assignments.iter().enumerate() {
            if assignments[..at].iter().any(|other| other.column == assignment.column) {
                return Err(Error::bad_arguments(format!("column '{}' is set twice", assignment.column)));
            }
        }
    }
    Ok(Some(match command {
        AlterCommand::Update { assignments, partition: Some(partition), filter } => AlterCommand::Update {
            assignments: assignments.clone(),
            partition: None,
            filter: within(partition, filter)?,
        },
        AlterCommand::Delete { partition: Some(partition), filter } => {
            AlterCommand::Delete { partition: None, filter: within(partition, filter)? }
        }
        AlterCommand::ClearColumn { if_exists, name, partition: Some(partition) } => {
            let Some(column) = info.columns.iter().find(|c| *c.name == **name) else {
                if *if_exists {
                    return Ok(None);
                }
                let message = format!("stream {} has no column '{name}'", info.name);
                return Err(Error::new(Code::NOT_FOUND_COLUMN_IN_BLOCK, message));
            };
            let expr = match &column.default {
                ColumnDefault::Default(text) => hydron_sql::parse_expression(text)?,
                _ => {
                    let ty = ast::Expr::string(column.ty.to_string());
                    ast::Expr::call("default_value_of_type_name", vec![ty])
                }
            };
            AlterCommand::Update {
                assignments: vec![Assignment { column: name.clone(), expr }],
                partition: None,
                filter: partition_condition(info, partition)?,
            }
        }
        other => other.clone(),
    }))
}

fn change_of(
    stream: &Stream,
    store: &Arc<StreamStore>,
    command: &AlterCommand,
    eval: EvalContext,
    bind: impl Fn(&ast::Expr) -> Result<Expr>,
    value: impl Fn(&Assignment) -> Result<(usize, Expr)>,
) -> Result<Change> {
    let schema = Arc::clone(&store.schema);
    let batch_of = move |rows: &RecordBatch| Batch::new(Arc::clone(&schema), rows.columns().to_vec(), rows.num_rows());
    match command {
        AlterCommand::Delete { partition: None, filter } => Ok(deletes(bind(filter)?, eval, batch_of)),
        AlterCommand::DropPartition { detached: false, part: false, partition: Partition::All } => {
            Ok(Arc::new(|rows| Ok(Some(rows.slice(0, 0)))))
        }
        AlterCommand::DropPartition { detached: false, part: false, partition } => {
            Ok(deletes(bind(&partition_condition(&stream.info, partition)?)?, eval, batch_of))
        }
        AlterCommand::Update { assignments, partition: None, filter } => {
            let condition = bind(filter)?;
            let values = assignments.iter().map(value).collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(move |rows| {
                let batch = batch_of(rows);
                let mask = condition.eval_filter(&eval, &batch)?;
                if mask.true_count() == 0 {
                    return Ok(None);
                }
                let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
                for (at, value) in &values {
                    let value = value.eval_to_array(&eval, &batch)?;
                    columns[*at] = zip(&mask, &value, &columns[*at]).map_err(arrow_error)?;
                }
                let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
                RecordBatch::try_new_with_options(rows.schema(), columns, &options).map(Some).map_err(arrow_error)
            }))
        }
        other => Err(Error::not_implemented(format!("ALTER STREAM … {} in this form", apply::name_of(other)))),
    }
}

/// A condition that is true for the rows of a partition.
///
/// Errors: BAD_ARGUMENTS (36) for a partition of a stream without a partition key.
pub fn partition_condition(info: &StreamInfo, partition: &Partition) -> Result<ast::Expr> {
    let by = info.partition_by.as_str();
    let text = match partition {
        Partition::All => "true".to_string(),
        Partition::Id(id) if by.is_empty() && id == "all" => "true".to_string(),
        Partition::Expr(of) if by.is_empty() && of.to_string() == "tuple()" => "true".to_string(),
        _ if by.is_empty() => {
            return Err(Error::bad_arguments(format!("stream {} has no partition key", info.name)));
        }
        Partition::Expr(of) => format!("equals({}, {of})", hydron_sql::parse_expression(by)?),
        Partition::Id(id) => {
            let elements = crate::stream::merging::list_of(by)?.join(", ");
            format!("equals(partition_id({elements}), {})", ast::Expr::string(id))
        }
    };
    hydron_sql::parse_expression(&text)
}

/// Leaves the rows for which a condition is true.
pub fn keeps(
    condition: Expr,
    eval: EvalContext,
    batch_of: impl Fn(&RecordBatch) -> Batch + Send + Sync + 'static,
) -> Change {
    Arc::new(move |rows| {
        let mask: BooleanArray = condition.eval_filter(&eval, &batch_of(rows))?;
        filter_record_batch(rows, &mask).map(Some).map_err(arrow_error)
    })
}

/// Leaves the rows for which a condition is not true.
pub fn deletes(
    condition: Expr,
    eval: EvalContext,
    batch_of: impl Fn(&RecordBatch) -> Batch + Send + Sync + 'static,
) -> Change {
    Arc::new(move |rows| {
        let mask: BooleanArray = condition.eval_filter(&eval, &batch_of(rows))?;
        if mask.true_count() == 0 {
            return Ok(None);
        }
        let keep = not(&mask).map_err(arrow_error)?;
        filter_record_batch(rows, &keep).map(Some).map_err(arrow_error)
    })
}

/// The position of a column that UPDATE sets. Errors: NO_SUCH_COLUMN_IN_STREAM (16), CANNOT_UPDATE_COLUMN (420).
fn assigned(stream: &Stream, store: &StreamStore, name: &str) -> Result<usize> {
    let at = crate::ingest::position_of(&stream.info.name, &store.schema, name)?;
    let info = &stream.info;
    let refused = |why: &str| {
        let message = format!("column '{name}' of stream {} cannot be updated: {why}", info.name);
        Err(Error::new(Code::CANNOT_UPDATE_COLUMN, message))
    };
    if store.sort_columns.iter().any(|c| c == name) || matches!(name, "_tp_time" | "_tp_delta") {
        return refused("rows stand where it says");
    }
    for column in &info.columns {
        let ColumnDefault::Materialized(text) = &column.default else { continue };
        if &*column.name == name {
            return refused("it is MATERIALIZED");
        }
        let expr = hydron_sql::parse_expression(text)?;
        if expr.any(&mut |e| e.as_identifier().is_some_and(|i| i.full() == name)) {
            return refused(&format!("MATERIALIZED column '{}' was worked out from it", column.name));
        }
    }
    Ok(at)
}
