//! What a query may ask of the server it runs in, through [`ServerFacts`].
//!
//! Without a server (an expression of a test) these functions answer NOT_IMPLEMENTED (48).

use super::column::{Texts, bools, try_texts, uint64s};
use super::define::{Call, define, define_seeing_nulls};
use crate::call::{BoundCall, Datum, EvalContext, ServerFacts, Volatility};
use crate::nulls::null_array;
use crate::registry::Registry;
use hydron_base::{Code, Error, Result};
use hydron_types::column::array_of;
use hydron_types::{LogicalType, Value};
use std::sync::Arc;

fn server(call: &Call<'_>) -> Result<Arc<dyn ServerFacts>> {
    let name = call.name;
    call.cx.server.clone().ok_or_else(|| Error::not_implemented(format!("{name}() where there is no server")))
}

/// A call without arguments that answers alike for all rows, but not for all queries.
fn constant(call: &Call<'_>, ty: LogicalType, value: Value) -> Result<BoundCall> {
    call.arity(0..=0)?;
    let array = array_of(&value, &ty, 1)?;
    Ok(BoundCall::new(ty, move |_: &EvalContext, _: &[Datum], _| Ok(Datum::Scalar(array.clone()))))
}

pub fn register(registry: &mut Registry) {
    for name in ["query_id", "initial_query_id"] {
        define(registry, name, |call| constant(call, LogicalType::String, Value::string(server(call)?.query_id())));
        registry.fold_case(name);
    }
    registry.fold_case("connection_id");
    // Connections are not numbered for their clients, as in Proton over HTTP.
    define(registry, "connection_id", |call| constant(call, LogicalType::UInt64, Value::UInt(0)));
    define(registry, "server_uuid", |call| constant(call, LogicalType::Uuid, Value::Uuid(server(call)?.server_uuid())));
    define(registry, "uptime", |call| {
        call.arity(0..=0)?;
        let server = server(call)?;
        let bound = BoundCall::new(LogicalType::UInt32, move |_: &EvalContext, _: &[Datum], _| {
            let seconds = Value::UInt(u64::from(server.uptime_seconds()));
            Ok(Datum::Scalar(array_of(&seconds, &LogicalType::UInt32, 1)?))
        });
        Ok(bound.volatility(Volatility::Stable))
    });
    define(registry, "tcp_port", |call| {
        let port = server(call)?.port("tcp_port").unwrap_or(0);
        constant(call, LogicalType::UInt16, Value::UInt(port.into()))
    });
    registry.fold_case("tcp_port");
    define(registry, "get_server_port", |call| {
        call.arity(1..=1)?;
        let name = String::from_utf8_lossy(call.constant_text(0)?).into_owned();
        let port = server(call)?.port(&name).ok_or_else(|| {
            Error::new(Code::CLUSTER_DOESNT_EXIST, format!("the server has no port \"{name}\""))
                .hint("tcp_port, http_port")
        })?;
        constant(&Call { args: &[], ..*call }, LogicalType::UInt16, Value::UInt(port.into()))
    });
    define(registry, "get_macro", |call| {
        call.arity(1..=1)?;
        let name = String::from_utf8_lossy(call.constant_text(0)?).into_owned();
        Err(Error::new(Code::NO_ELEMENTS_IN_CONFIG, format!("no macro \"{name}\" is configured")))
    });
    for (name, place) in [("filesystem_capacity", 0), ("filesystem_unreserved", 1), ("filesystem_available", 2)] {
        define(registry, name, move |call| {
            let server = server(call)?;
            call.arity(0..=0)?;
            let bound = call.returns(LogicalType::UInt64, move |_, rows| {
                let space = server.disk_space()?[place];
                Ok(uint64s(rows, |_| space))
            })?;
            Ok(bound.volatility(Volatility::Stable))
        });
    }
    define(registry, "has_thread_fuzzer", |call| constant(call, LogicalType::Bool, Value::Bool(false)));
    define(registry, "global_variable", global_variable);
    registry.fold_case("global_variable");
    define(registry, "has_column_in_table", has_column);
    define_seeing_nulls(registry, "file", file);
    define_seeing_nulls(registry, "format_row", |call| format_row(call, true));
    define_seeing_nulls(registry, "format_row_no_newline", |call| format_row(call, false));
}

/// Variables that clients of MySQL ask for; 0 for all others.
fn global_variable(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=1)?;
    let name = String::from_utf8_lossy(call.constant_text(0)?).to_ascii_lowercase();
    let (ty, value) = match name.as_str() {
        "max_allowed_packet" => (LogicalType::Int32, Value::Int(67_108_864)),
        "version" => (LogicalType::String, Value::string("5.7.30")),
        "version_comment" => (LogicalType::String, Value::string("")),
        "transaction_isolation" => (LogicalType::String, Value::string("READ-UNCOMMITTED")),
        "query_cache_size" | "query_cache_type" | "auto_increment_increment" => (LogicalType::Int32, Value::Int(0)),
        _ => (LogicalType::Int32, Value::Int(0)),
    };
    constant(&Call { args: &[], ..*call }, ty, value)
}

/// `has_column_in_table(database, stream, column)`.
fn has_column(call: &Call<'_>) -> Result<BoundCall> {
    if (4..=6).contains(&call.args.len()) {
        return Err(Error::not_implemented("has_column_in_table() of another server"));
    }
    call.arity(3..=3)?;
    let text = |i: usize| Ok::<_, Error>(String::from_utf8_lossy(call.constant_text(i)?).into_owned());
    let (database, stream) = (text(0)?, text(1)?);
    call.need_string(2)?;
    let server = server(call)?;
    let bound = call.returns(LogicalType::Bool, move |args, rows| {
        let names = Texts::of(&args[2])?;
        let found = (0..rows)
            .map(|row| server.has_column(&database, &stream, &String::from_utf8_lossy(names.at(row))))
            .collect::<Result<Vec<bool>>>()?;
        Ok(bools(rows, |row| found[row]))
    })?;
    Ok(bound.volatility(Volatility::Stable))
}

/// `file(path[, default])`: the bytes of a file; the default where it cannot be read.
fn file(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=2)?;
    call.need_string(0)?;
    let server = server(call)?;
    let fallback = match call.args.get(1) {
        None => None,
        Some(arg) if *arg.ty.bare() == LogicalType::Nothing => Some(Value::Null),
        Some(_) => Some(Value::string(call.constant_text(1)?)),
    };
    let nullable = fallback.as_ref().is_some_and(Value::is_null);
    let ty = if nullable { LogicalType::nullable(LogicalType::String) } else { LogicalType::String };
    let read = move |path: &[u8]| server.user_file(&String::from_utf8_lossy(path));
    let out = ty.clone();
    let bound = call.returns(ty, move |args, rows| {
        let paths = Texts::of(&args[0])?;
        let Some(fallback) = &fallback else {
            return try_texts(rows, |row, out| {
                out.extend_from_slice(&read(paths.at(row))?);
                Ok(())
            });
        };
        if rows == 0 {
            return Ok(null_array(&out, 0));
        }
        let mut builder = hydron_types::ColumnBuilder::new(&out);
        for row in 0..rows {
            builder.append(&read(paths.at(row)).map_or_else(|_| fallback.clone(), Value::Bytes))?;
        }
        builder.finish()
    })?;
    Ok(bound.volatility(Volatility::Stable))
}

/// `format_row('format', x, y, …)`: each row as a format writes it.
fn format_row(call: &Call<'_>, newline: bool) -> Result<BoundCall> {
    call.arity(2..=usize::MAX)?;
    let format = String::from_utf8_lossy(call.constant_text(0)?).into_owned();
    let server = server(call)?;
    let fields: Vec<(Arc<str>, LogicalType)> = call.args[1..].iter().map(|a| (a.text.clone(), a.ty.clone())).collect();
    // An unknown format is an error of the statement, not of its first row.
    server.format_rows(&format, &fields, &[], 0, &mut |_| {})?;
    call.returns(LogicalType::String, move |args, rows| {
        let columns = args[1..].iter().map(|a| a.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let mut lines: Vec<Vec<u8>> = Vec::with_capacity(rows);
        server.format_rows(&format, &fields, &columns, rows, &mut |line| {
            let line = if newline { line } else { line.strip_suffix(b"\n").unwrap_or(line) };
            lines.push(line.to_vec());
        })?;
        super::column::texts(rows, |row, out| out.extend_from_slice(&lines[row]))
    })
}
