//! What functions have in common whose code runs elsewhere: batches go out as bytes, a column comes back.
//!
//! Promise: a thread that computes never waits for them itself (others take over its work meanwhile); the wait ends with the
//! query.

use crate::signature::{Casts, Signature};
use arrow::array::{Array, ArrayRef};
use hydron_base::world::Stop;
use hydron_base::{Code, Error, Result, Settings};
use hydron_format::FormatOptions;
use hydron_func::{ArgInfo, BindContext, BoundCall, Datum, EvalContext, Kernel, Volatility};
use hydron_types::gather::join_columns;
use hydron_types::{Batch, ColumnBuilder, Field, LogicalType, Schema, Zone};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, RuntimeFlavor};

/// How often a wait looks whether its query was ended.
const LOOK: Duration = Duration::from_millis(20);

/// The name of the column that comes back.
pub const RESULT: &str = "result";

/// Code that runs elsewhere.
pub trait Outside: Send + Sync {
    /// The answers for `rows` rows, as one column of any length.
    fn call(&self, signature: &Signature, columns: Vec<ArrayRef>, rows: usize, stop: &Stop) -> Result<ArrayRef>;
}

/// Binds a call of `outside` with these arguments.
pub fn bind(
    signature: &Arc<Signature>,
    outside: Arc<dyn Outside>,
    cx: &BindContext,
    args: &[ArgInfo],
) -> Result<BoundCall> {
    let casts = signature.casts(args, cx.zone)?;
    let kernel = OutsideKernel { signature: Arc::clone(signature), outside, casts, stop: cx.stop.clone() };
    Ok(BoundCall { ty: signature.returns.clone(), kernel: Arc::new(kernel), volatility: Volatility::Stable })
}

struct OutsideKernel {
    signature: Arc<Signature>,
    outside: Arc<dyn Outside>,
    casts: Casts,
    stop: Stop,
}

impl Kernel for OutsideKernel {
    fn eval(&self, _: &EvalContext, args: &[Datum], rows: usize) -> Result<Datum> {
        if rows == 0 {
            return Ok(Datum::Array(ColumnBuilder::new(&self.signature.returns).finish()?));
        }
        let columns = self.casts.arrays(args, rows)?;
        self.stop.check()?;
        let result = aside(|| self.outside.call(&self.signature, columns, rows, &self.stop))?;
        if result.len() != rows {
            let text = format!("function \"{}\" answered {} values for {rows} rows", self.signature.name, result.len());
            return Err(Error::new(Code::UDF_INTERNAL_ERROR, text));
        }
        Ok(Datum::Array(result))
    }
}

/// Runs `work`, which may take long. On a thread of a runtime with several, another one goes on with its tasks meanwhile.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// The next message of a helper thread; `None` at the deadline.
///
/// Errors: QUERY_WAS_CANCELLED (394) when the query ends; LOGICAL_ERROR (49) for a helper that ended without a word.
pub fn wait_for<T>(helper: &Receiver<T>, deadline: Instant, stop: &Stop) -> Result<Option<T>> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match helper.recv_timeout(left.min(LOOK)) {
            Ok(message) => return Ok(Some(message)),
            Err(RecvTimeoutError::Disconnected) => return Err(Error::bug("a helper thread ended without an answer")),
            Err(RecvTimeoutError::Timeout) => {
                stop.check()?;
                if left.is_zero() {
                    return Ok(None);
                }
            }
        }
    }
}

/// How formats write and read here: as they do by default, and NULL is no default.
pub fn format_options() -> FormatOptions {
    let mut options = FormatOptions::from_settings(&Settings::default(), Zone::UTC);
    options.text.null_as_default = false;
    options
}

/// The arguments as a batch under the names of the function's arguments.
pub fn batch_of(signature: &Signature, columns: Vec<ArrayRef>, rows: usize) -> Batch {
    Batch::new(schema_of(signature), columns, rows)
}

pub fn schema_of(signature: &Signature) -> Arc<Schema> {
    let fields = signature.args.iter().map(|(name, ty)| Field::new(Arc::clone(name), ty.clone())).collect();
    Arc::new(Schema::new(fields))
}

/// `batch` in a format.
pub fn encode(format: &str, batch: &Batch) -> Result<Vec<u8>> {
    let mut writer = hydron_format::output(format, Arc::clone(&batch.schema), &format_options())?;
    let mut bytes = Vec::new();
    writer.prefix(&mut bytes)?;
    writer.batch(batch, &mut bytes)?;
    writer.suffix(&hydron_format::ResultStats::default(), &mut bytes)?;
    Ok(bytes)
}

/// The column of `ty` that `bytes` hold in a format.
pub fn decode(format: &str, ty: &LogicalType, bytes: &[u8]) -> Result<ArrayRef> {
    let schema = Arc::new(Schema::new(vec![Field::new(RESULT, ty.clone())]));
    let mut reader = hydron_format::input(format, schema, &format_options(), None)?;
    let batches = reader.feed(bytes, true)?;
    // A value that is not given would be a default, which nobody has answered.
    let lacks = |b: &hydron_format::InputBatch| {
        b.defaults.first().is_some_and(|d| d.as_ref().is_some_and(|d| d.true_count() > 0))
    };
    if batches.iter().any(lacks) {
        return Err(Error::new(Code::INCORRECT_DATA, format!("a row has no column '{RESULT}'")));
    }
    let parts: Vec<&dyn Array> = batches.iter().filter_map(|b| b.batch.columns.first()).map(|c| c.as_ref()).collect();
    match parts.is_empty() {
        true => ColumnBuilder::new(ty).finish(),
        false => join_columns(&parts),
    }
}
