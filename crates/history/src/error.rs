//! Errors across the border to DataFusion: ours travel through it unchanged, its own become ours.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use hydron_base::{Code, Error};
use std::any::Any;
use std::error::Error as StdError;

/// Our error, to travel through DataFusion.
pub fn outward(e: Error) -> DataFusionError {
    DataFusionError::External(Box::new(e))
}

/// What DataFusion answers, as our error: ours where one is inside, at whatever depth.
pub fn inward(e: DataFusionError) -> Error {
    if let Some(ours) = ours(&e) {
        return ours;
    }
    let root = e.find_root();
    match root {
        // An operator was refused memory, wanted to spill, and may not.
        DataFusionError::ResourcesExhausted(m) if m.contains("DiskManager is disabled") => {
            let message = "memory limit exceeded: what the query has to keep does not fit (max_memory_usage)";
            Error::new(Code::MEMORY_LIMIT_EXCEEDED, message)
                .hint("a larger max_memory_usage, or max_bytes_before_external_group_by over 0: the rest goes to disk")
        }
        DataFusionError::ResourcesExhausted(m) => Error::new(
            Code::MEMORY_LIMIT_EXCEEDED,
            if m.starts_with("memory limit") { m.clone() } else { format!("memory limit of the query exceeded: {m}") },
        ),
        DataFusionError::NotImplemented(m) => Error::new(Code::NOT_IMPLEMENTED, m.clone()),
        DataFusionError::ObjectStore(e) => {
            Error::new(Code::CANNOT_READ_ALL_DATA, format!("a part cannot be read: {e}"))
        }
        DataFusionError::ParquetError(e) => {
            Error::new(Code::CANNOT_READ_ALL_DATA, format!("a part cannot be read: {e}"))
        }
        DataFusionError::IoError(e) => Error::new(Code::CANNOT_READ_ALL_DATA, e.to_string()),
        DataFusionError::ArrowError(e, _) => from_arrow(e),
        DataFusionError::ExecutionJoin(e) if e.is_panic() => Error::bug(format!("the query panicked: {e}")),
        DataFusionError::ExecutionJoin(e) => Error::bug(format!("a task of the query ended: {e}")),
        other => Error::bug(format!("historical execution: {other}")),
    }
}

fn from_arrow(e: &ArrowError) -> Error {
    match e {
        ArrowError::DivideByZero => Error::new(Code::ILLEGAL_DIVISION, "division by zero"),
        ArrowError::ArithmeticOverflow(m) => Error::new(Code::DECIMAL_OVERFLOW, m.clone()),
        ArrowError::OffsetOverflowError(n) => {
            Error::new(Code::TOO_LARGE_STRING_SIZE, format!("a batch would hold {n} bytes or elements in one column"))
        }
        ArrowError::MemoryError(m) => Error::new(Code::CANNOT_ALLOCATE_MEMORY, m.clone()),
        other => Error::bug(format!("columnar kernel: {other}")),
    }
}

/// Our error somewhere in the chain of causes.
fn ours(e: &DataFusionError) -> Option<Error> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(e);
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours.clone());
        }
        cause = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::Context(_, inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            Some(DataFusionError::Collection(all)) => all.first().map(|e| e as &(dyn StdError + 'static)),
            _ => match error.downcast_ref::<ArrowError>() {
                Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                _ => error.source(),
            },
        };
    }
    None
}

/// The error of a panic in `what`: one query ends, the process goes on.
pub fn panicked(what: &str, payload: &(dyn Any + Send)) -> Error {
    let mut error = Error::panicked(payload);
    error.message = format!("{} (in {what})", error.message);
    error
}
