//! Functions in JavaScript, run by QuickJS.
//!
//! In reading order: [`memory`] (what an engine may take), [`machine`] (one engine and its limits), [`value`] (columns to
//! JavaScript and back), [`scalar`], [`aggregate`] with [`blueprint`] (the object that defines one).
//!
//! An engine works for one thread at a time. A scalar function has as many as threads call it at once; all groups of one
//! aggregate function of a query live in one.

pub mod aggregate;
mod blueprint;
mod machine;
mod memory;
pub mod scalar;
mod value;

#[cfg(test)]
mod tests;

use hydron_base::world::Stop;
use hydron_base::{Budget, Code, Error, Result};
use hydron_func::BindContext;
use hydron_types::LogicalType;
use std::sync::Arc;
use std::time::Duration;

/// What one engine may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `javascript_max_memory_bytes`.
    pub memory_bytes_max: usize,
    /// The query's, which what the engine has counts for.
    pub memory: Arc<Budget>,
    /// `javascript_max_execution_ms`: for one batch of rows; `None`: no limit.
    pub patience: Option<Duration>,
    pub stop: Stop,
}

impl Limits {
    /// While a function is created: its code must be small and must not do anything yet.
    pub fn validation() -> Limits {
        Limits {
            memory_bytes_max: 10 << 20,
            memory: Budget::alone(0),
            patience: Some(Duration::from_secs(1)),
            stop: Stop::default(),
        }
    }

    pub fn of(cx: &BindContext) -> Limits {
        let settings = &cx.settings;
        let patience = settings.uint("javascript_max_execution_ms");
        Limits {
            memory_bytes_max: usize::try_from(settings.uint("javascript_max_memory_bytes")).unwrap_or(usize::MAX),
            patience: (patience > 0).then(|| Duration::from_millis(patience)),
            memory: Arc::clone(&cx.memory),
            stop: cx.stop.clone(),
        }
    }
}

/// Errors: NOT_IMPLEMENTED (48) for a type that JavaScript cannot be given or asked for.
pub fn check_type(ty: &LogicalType) -> Result<()> {
    use LogicalType::*;
    match ty {
        Bool | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Float32 | Float64 | String
        | FixedString(_) | Date | Date32 | DateTime(_) | DateTime64(..) => Ok(()),
        Nullable(inner) | LowCardinality(inner) | Array(inner) => check_type(inner),
        Tuple(elements) => elements.iter().try_for_each(|(_, ty)| check_type(ty)),
        other => {
            Err(Error::new(Code::NOT_IMPLEMENTED, format!("type {other} in a JavaScript function is not implemented"))
                .hint("numbers, bool, string, dates and times, arrays and tuples of these"))
        }
    }
}
