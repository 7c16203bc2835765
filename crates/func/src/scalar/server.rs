//! What a query may ask about its surroundings, and functions that return what they are given.

use super::column::{Floats, Ints, numbers, uint64s};
use super::define::{Call, define, define_seeing_nulls, define_seeing_types};
use crate::call::{BoundCall, Datum, EvalContext, Identity, Volatility};
use crate::registry::Registry;
use arrow::datatypes::{Int64Type, UInt8Type, UInt32Type};
use hydron_base::{Code, Error, Result};
use hydron_types::column::array_of;
use hydron_types::{LogicalType, Value};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// The longest one batch may be held up by `sleep`.
const SLEEP_SECONDS_MAX: f64 = 3.0;

pub fn register(registry: &mut Registry) {
    define_seeing_types(registry, "materialize", |call| {
        call.arity(1..=1)?;
        let bound = call.returns(call.ty(0).clone(), |args, rows| args[0].to_array(rows))?;
        // Not folded: the column must look like any other to what follows.
        Ok(bound.volatility(Volatility::Stable))
    });
    define_seeing_nulls(registry, "identity", |call| {
        call.arity(1..=1)?;
        Ok(BoundCall::new(call.ty(0).clone(), |_: &EvalContext, args: &[Datum], _| Ok(args[0].clone())))
    });
    define_seeing_nulls(registry, "ignore", |call| {
        call.returns(LogicalType::UInt8, |_, rows| Ok(numbers::<UInt8Type>(rows, |_| 0)))
    });
    define_seeing_nulls(registry, "is_constant", |call| {
        call.arity(1..=1)?;
        let constant = call.args[0].constant.is_some();
        constant_of(call, LogicalType::Bool, Value::Bool(constant))
    });
    define(registry, "sleep", |call| sleep(call, false));
    define(registry, "sleep_each_row", |call| sleep(call, true));
    define(registry, "throw_if", throw_if);
    register_block(registry);
    register_names(registry);
}

fn constant_of(call: &Call<'_>, ty: LogicalType, value: Value) -> Result<BoundCall> {
    let _ = call;
    let result = ty.clone();
    Ok(BoundCall::new(ty, move |_: &EvalContext, _: &[Datum], _| Ok(Datum::Scalar(array_of(&value, &result, 1)?))))
}

fn sleep(call: &Call<'_>, each_row: bool) -> Result<BoundCall> {
    call.arity(1..=1)?;
    call.need(0, |t| t.is_integer() || t.is_float())?;
    let seconds = call.constant(0)?.as_f64().unwrap_or(0.0);
    if !seconds.is_finite() || seconds < 0.0 {
        return Err(Error::bad_arguments(format!("cannot sleep {seconds} seconds")));
    }
    let bound = call.returns(LogicalType::UInt8, move |_, rows| {
        let total = if each_row { seconds * rows as f64 } else { seconds };
        if total > SLEEP_SECONDS_MAX {
            return Err(Error::new(
                Code::TOO_SLOW,
                format!("a batch may sleep {SLEEP_SECONDS_MAX} seconds, asked for {total}"),
            ));
        }
        if rows > 0 {
            std::thread::sleep(Duration::from_secs_f64(total));
        }
        Ok(numbers::<UInt8Type>(rows, |_| 0))
    })?;
    Ok(bound.volatility(Volatility::Volatile))
}

/// `throw_if(condition[, message])`.
fn throw_if(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=2)?;
    call.need_number(0)?;
    let message = match call.args.len() {
        2 => String::from_utf8_lossy(call.constant_text(1)?).into_owned(),
        _ => "value passed to function \"throw_if\" is not zero".to_owned(),
    };
    let ty = call.ty(0).clone();
    call.returns(LogicalType::UInt8, move |args, rows| {
        let values = Floats::of(&args[0], &ty)?;
        if (0..rows).any(|i| values.at(i) != 0.0) {
            return Err(Error::new(Code::FUNCTION_THROW_IF_VALUE_IS_NON_ZERO, message.clone()));
        }
        Ok(numbers::<UInt8Type>(rows, |_| 0))
    })
}

fn register_block(registry: &mut Registry) {
    define(registry, "row_number_in_block", |call| {
        call.arity(0..=0)?;
        // Nothing but the rows of a batch decides, so it is asked for each.
        let bound = call.returns(LogicalType::UInt64, |_, rows| Ok(uint64s(rows, |i| i as u64)))?;
        Ok(bound.volatility(Volatility::Volatile))
    });
    // Each use in a query counts for itself, in the order in which rows come.
    define(registry, "monotonic", |call| {
        call.arity(0..=1)?;
        let step = if call.args.is_empty() { 1 } else { call.constant_int(0)? };
        let next = AtomicI64::new(0);
        let bound = call.returns(LogicalType::Int64, move |_, rows| {
            let first = next.fetch_add(step.wrapping_mul(rows as i64), Ordering::Relaxed);
            Ok(numbers::<Int64Type>(rows, |i| first.wrapping_add(step.wrapping_mul(i as i64))))
        })?;
        Ok(bound.volatility(Volatility::Stateful))
    });
    define(registry, "block_size", |call| {
        call.arity(0..=0)?;
        Ok(call
            .returns(LogicalType::UInt64, |_, rows| Ok(uint64s(rows, |_| rows as u64)))?
            .volatility(Volatility::Volatile))
    });
    // Each use in a query counts the blocks that it sees.
    define(registry, "block_number", |call| {
        call.arity(0..=0)?;
        let next = AtomicI64::new(0);
        let bound = call.returns(LogicalType::UInt64, move |_, rows| {
            let block = next.fetch_add(1, Ordering::Relaxed) as u64;
            Ok(uint64s(rows, |_| block))
        })?;
        Ok(bound.volatility(Volatility::Stateful))
    });
    define(registry, "tid", |call| {
        call.arity(0..=0)?;
        Ok(call.returns(LogicalType::UInt64, |_, rows| Ok(uint64s(rows, |_| 0)))?.volatility(Volatility::Stable))
    });
    for (name, value) in [("shard_num", 0), ("shard_count", 0)] {
        define(registry, name, move |call| {
            call.arity(0..=0)?;
            call.returns(LogicalType::UInt32, move |_, rows| Ok(numbers::<UInt32Type>(rows, |_| value)))
        });
    }
    define(registry, "error_code_to_name", |call| {
        call.arity(1..=1)?;
        call.need_integer(0)?;
        let ty = call.ty(0).clone();
        call.returns(LogicalType::String, move |args, rows| {
            let codes = Ints::of(&args[0], &ty)?;
            super::column::texts(rows, |row, out| {
                let code = u16::try_from(codes.at(row)).ok();
                let name = match code {
                    Some(0) => "OK",
                    other => other.and_then(Code::from_number).map_or("", Code::name),
                };
                out.extend_from_slice(name.as_bytes());
            })
        })
    });
}

/// The name of this machine, as its kernel tells it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    name.map_or_else(|| "localhost".to_owned(), |n| n.trim().to_owned())
}

fn register_names(registry: &mut Registry) {
    let texts: [(&str, fn(&Call<'_>) -> String); 8] = [
        ("hostname", |_| host_name()),
        ("fqdn", |_| host_name()),
        ("version", |_| env!("CARGO_PKG_VERSION").to_owned()),
        ("edition", |_| "oss".to_owned()),
        ("current_database", |call| call.cx.database.to_string()),
        ("current_user", |call| call.cx.user.to_string()),
        ("display_name", |_| host_name()),
        ("get_os_kernel_version", |_| {
            let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
            format!("Linux {}", release.trim()).trim().to_owned()
        }),
    ];
    for (name, value) in texts {
        define(registry, name, move |call| {
            call.arity(0..=0)?;
            constant_of(call, LogicalType::String, Value::string(value(call)))
        });
    }
    let lists: [(&str, fn(&Identity) -> &[String]); 6] = [
        ("current_roles", |i| &i.current_roles),
        ("enabled_roles", |i| &i.enabled_roles),
        ("default_roles", |i| &i.default_roles),
        ("current_profiles", |i| &i.current_profiles),
        ("enabled_profiles", |i| &i.enabled_profiles),
        ("default_profiles", |i| &i.default_profiles),
    ];
    for (name, list) in lists {
        define(registry, name, move |call| {
            call.arity(0..=0)?;
            let names = list(&call.cx.identity).iter().map(Value::string).collect();
            constant_of(call, LogicalType::array(LogicalType::String), Value::Array(names))
        });
    }
    for (alias, name) in [
        ("user", "current_user"),
        ("database", "current_database"),
        ("full_host_name", "fqdn"),
        ("host_name", "hostname"),
    ] {
        registry.add_alias(alias, name);
        registry.fold_case(alias);
    }
    // What drivers of ClickHouse ask when they connect, in its spelling.
    for (alias, name) in
        [("currentUser", "current_user"), ("currentDatabase", "current_database"), ("hostName", "hostname")]
    {
        registry.add_alias(alias, name);
    }
    for name in ["current_user", "version", "hostname", "current_database"] {
        registry.fold_case(name);
    }
    define(registry, "revision", |call| {
        call.arity(0..=0)?;
        // The revision of the protocol that this server speaks.
        constant_of(call, LogicalType::UInt32, Value::UInt(23))
    });
    define(registry, "build_id", |call| {
        call.arity(0..=0)?;
        constant_of(
            call,
            LogicalType::String,
            Value::string(concat!(env!("CARGO_PKG_NAME"), "-", env!("CARGO_PKG_VERSION"))),
        )
    });
    // As ClickHouse's servers ask each other for what a subquery gave.
    define(registry, "__get_scalar", |call| {
        call.arity(1..=1)?;
        let name = String::from_utf8_lossy(call.constant_text(0)?).into_owned();
        let found = call.cx.server.as_ref().and_then(|s| s.scalar(&name));
        let (ty, value) = found.ok_or_else(|| {
            let error = Error::bad_arguments(format!("scalar '{name}' did not come with the query"));
            error.hint("a Scalar packet of the native protocol")
        })?;
        constant_of(call, ty, value)
    });
    registry.add_alias("__getScalar", "__get_scalar");
    define(registry, "get_setting", |call| {
        call.arity(1..=1)?;
        let name = String::from_utf8_lossy(call.constant_text(0)?).into_owned();
        if !hydron_base::setting::is_known(&name) && !call.cx.settings.is_changed(&name) {
            return Err(Error::new(Code::UNKNOWN_SETTING, format!("setting '{name}' is unknown")));
        }
        let value = call.cx.settings.text(&name).to_owned();
        constant_of(call, LogicalType::String, Value::string(value))
    });
}
