//! What the store answers when it cannot do as asked: which object, which value, which limit, and whether the bytes may
//! be on disk all the same.

use hydron_base::{Code, Error};
use std::io;
use std::path::Path;
use std::sync::Arc;

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Cloneable, because one failed sync is the answer of many waiting writers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was stored; the object stays usable and a later try may succeed.
    #[error(
        "not enough space for {object}: {wanted_bytes} bytes wanted, {free_bytes} free, {reserve_bytes} kept in reserve"
    )]
    NotEnoughSpace { object: String, wanted_bytes: u64, free_bytes: u64, reserve_bytes: u64 },
    /// Nothing was stored.
    #[error("record of {bytes} bytes is larger than the limit of {limit_bytes} bytes")]
    TooLarge { bytes: u64, limit_bytes: u64 },
    /// Nothing was stored: writers are faster than the disk and the caller did not want to wait.
    #[error("write queue is full: {queued_bytes} of {limit_bytes} bytes")]
    QueueFull { queued_bytes: u64, limit_bytes: u64 },
    /// The write or its sync failed: the record may or may not be there after a restart. Resend with the same
    /// idempotency key.
    #[error("{log} could not make a record durable, whether it is stored shows after a restart: {cause}")]
    OutcomeUnknown { log: String, cause: String },
    /// Nothing was stored: an earlier write or sync failed, and a failed sync must not be tried again.
    #[error("{log} takes no records until restart, an earlier write failed: {cause}")]
    Poisoned { log: String, cause: String },
    /// Bytes that were once good are not any more. They are left as they are.
    #[error("{file} is damaged at byte {offset}: {why}")]
    Damaged { file: String, offset: u64, why: String },
    /// The position has been removed by retention.
    #[error("{log} starts at sequence {first}, sequence {wanted} is already removed")]
    Trimmed { log: String, wanted: u64, first: u64 },
    #[error("{object} is closed")]
    Closed { object: String },
    #[error("{object} is not open twice: another holder has it")]
    AlreadyOpen { object: String },
    /// Somebody else committed first: read again, decide again.
    #[error("{object}: version {version} is already committed by another writer")]
    Conflict { object: String, version: u64 },
    #[error("{object} already exists")]
    Exists { object: String },
    #[error("{object} does not exist")]
    NotFound { object: String },
    #[error("{log} has a record of schema version {version}, which its stream does not know")]
    UnknownSchema { log: String, version: u16 },
    #[error("another server instance in same directory is already running: {path}")]
    Locked { path: String },
    #[error("{0}")]
    BadArgument(String),
    #[error("{0} is not implemented")]
    NotImplemented(String),
    /// Arrow or Parquet refused the rows.
    #[error("{object}: {cause}")]
    Rows { object: String, cause: String },
    #[error("cannot {action} {path}: {source}")]
    Disk { action: &'static str, path: String, source: Arc<io::Error> },
    #[error("cannot {action} {path}: {cause}")]
    Objects { action: &'static str, path: String, cause: String },
}

impl StoreError {
    pub(crate) fn disk(action: &'static str, path: &Path, source: io::Error) -> StoreError {
        StoreError::Disk { action, path: path.display().to_string(), source: Arc::new(source) }
    }

    pub(crate) fn damaged(file: &Path, offset: u64, why: impl Into<String>) -> StoreError {
        StoreError::Damaged { file: file.display().to_string(), offset, why: why.into() }
    }

    pub(crate) fn rows(object: impl Into<String>, cause: impl ToString) -> StoreError {
        StoreError::Rows { object: object.into(), cause: cause.to_string() }
    }

    /// Proton's code for it.
    pub fn code(&self) -> Code {
        match self {
            StoreError::NotEnoughSpace { .. } => Code::NOT_ENOUGH_SPACE,
            StoreError::TooLarge { .. } => Code::TOO_LARGE_RECORD,
            StoreError::QueueFull { .. } => Code::INTERNAL_INGEST_BUFFER_FULL,
            StoreError::OutcomeUnknown { .. } => Code::CANNOT_FLUSH_FILE,
            StoreError::Poisoned { .. } => Code::DWAL_FATAL_ERROR,
            StoreError::Damaged { .. } => Code::DATA_CORRUPTION,
            StoreError::Trimmed { .. } => Code::SEQUENCE_OUT_OF_RANGE,
            StoreError::Closed { .. } => Code::ABORTED,
            StoreError::AlreadyOpen { .. } => Code::LOG_ALREADY_EXISTS,
            StoreError::Conflict { .. } => Code::ABORTED,
            StoreError::Exists { .. } => Code::RESOURCE_ALREADY_EXISTS,
            StoreError::NotFound { .. } => Code::RESOURCE_NOT_FOUND,
            StoreError::UnknownSchema { .. } => Code::INVALID_RECORD,
            StoreError::Locked { .. } => Code::CANNOT_OPEN_FILE,
            StoreError::BadArgument(_) => Code::BAD_ARGUMENTS,
            StoreError::NotImplemented(_) => Code::NOT_IMPLEMENTED,
            StoreError::Rows { .. } => Code::INCORRECT_DATA,
            StoreError::Disk { source, .. } if crate::log::is_full(source) => Code::NOT_ENOUGH_SPACE,
            StoreError::Disk { action, .. } => match *action {
                "read" => Code::CANNOT_READ_FROM_FILE_DESCRIPTOR,
                "sync" => Code::CANNOT_FLUSH_FILE,
                "open" | "create" | "list" => Code::CANNOT_OPEN_FILE,
                _ => Code::CANNOT_WRITE_TO_FILE_DESCRIPTOR,
            },
            StoreError::Objects { .. } => Code::CANNOT_OPEN_FILE,
        }
    }
}

impl From<StoreError> for Error {
    fn from(e: StoreError) -> Error {
        let out = Error::new(e.code(), e.to_string());
        match e {
            StoreError::NotEnoughSpace { .. } => out.hint("free space or shorten the retention of streams"),
            StoreError::QueueFull { .. } => out.hint("send again later"),
            StoreError::OutcomeUnknown { .. } => out.hint("send again with the same idempotent_id after the restart"),
            StoreError::TooLarge { .. } => out.hint("insert fewer rows at once"),
            _ => out,
        }
    }
}
