//! CHECK STREAM: every row is read, so that what the disk has lost is found now.
//!
//! Out: one number, or with `check_query_single_value_result = 0` a row for each part of a partition.

use super::{Answer, Context, answer};
use crate::catalog::Object;
use crate::stream::partition::PartitionKey;
use hydron_base::{Error, Result};
use hydron_sql::ast::{ObjectName, Partition};
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

/// Errors: UNKNOWN_STREAM (60), NOT_IMPLEMENTED (48) for what stores no rows.
pub async fn run(cx: Context, name: ObjectName, partition: Option<Partition>) -> Result<Answer> {
    let (database, of) = cx.full_name(&name);
    let state = cx.catalog();
    let stream = match state.existing(&database, &of).map_err(|e| cx.place(e, name.span))? {
        Object::Stream(stream) => Arc::clone(stream),
        Object::MaterializedView(view) => state.target(view)?,
        Object::View(_) => return Err(Error::not_implemented(format!("CHECK of the view {of}"))),
    };
    let store = Arc::clone(stream.stored()?);
    let single = cx.settings.bool("check_query_single_value_result");
    let (lookup, bind_cx, eval) = (cx.lookup(), cx.bind_context(false), cx.eval_context());
    let cpu = cx.engine.cpu.handle().clone();
    let found = super::blocking(&cx.engine, move || {
        let key = PartitionKey::of(&stream.info.partition_by, &store.schema, &lookup, &bind_cx)?;
        let wanted = partition.map(|p| id_of(&p, &stream.info.partition_by, &lookup, &bind_cx)).transpose()?.flatten();
        // What cannot be read is the answer, not an error.
        Ok((store.parts_of_partitions(&key, &eval, &cpu), wanted))
    });
    let (parts, wanted) = found.await?;
    if single {
        let rows = [vec![Value::UInt(u64::from(parts.is_ok()))]];
        return Ok(answer::batch(answer::rows_of(&[("result", LogicalType::UInt8)], rows)?));
    }
    let row = |path: &str, passed: bool, message: &str| {
        vec![Value::string(path), Value::UInt(u64::from(passed)), Value::string(message)]
    };
    let rows = match parts {
        Ok(parts) => {
            let of_partition = parts.into_iter().filter(|((id, _), _)| wanted.as_ref().is_none_or(|w| w == id));
            of_partition.map(|(_, (name, _))| row(&name, true, "")).collect()
        }
        Err(e) => vec![row(&of, false, &e.message)],
    };
    let columns =
        [("part_path", LogicalType::String), ("is_passed", LogicalType::UInt8), ("message", LogicalType::String)];
    Ok(answer::batch(answer::rows_of(&columns, rows)?))
}

/// The name of a partition as a statement writes it; `None`: all.
fn id_of(
    partition: &Partition,
    partition_by: &str,
    lookup: &crate::catalog::lookup::Lookup,
    cx: &hydron_func::BindContext,
) -> Result<Option<String>> {
    let value = match partition {
        Partition::All => return Ok(None),
        Partition::Id(id) => return Ok(Some(id.clone())),
        Partition::Expr(value) => value,
    };
    if partition_by.is_empty() {
        return Ok(None);
    }
    let call = hydron_sql::parse_expression(&format!("partition_id({value})"))?;
    let nothing = Arc::new(hydron_types::Schema::default());
    let bound = hydron_plan::bind::bind_scalar_expr(&call, &nothing, lookup, cx)?;
    match bound.as_literal() {
        Some(Value::Bytes(id)) => Ok(Some(String::from_utf8_lossy(id).into_owned())),
        _ => Err(Error::bad_arguments(format!("partition '{value}' is not constant"))),
    }
}
