//! Columnar files on disk: their rows a batch at a time.
//!
//! Parquet and Arrow files are read from their end, so a stream of bytes would have to be kept whole; a file need not be.

use crate::arrow_check::check_file;
use crate::arrow_ipc::cannot_read;
use crate::foreign::adopt;
use crate::guard::{Guarded, guarded};
#[cfg(feature = "parquet")]
use crate::parquet_file;
use crate::{FormatOptions, InputBatch};
use arrow::ipc::reader::{FileReader, StreamReader};
use hydron_base::{Code, Error, Result};
use hydron_types::Schema;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

/// Batches of one file.
pub type FileBatches = Box<dyn Iterator<Item = Result<InputBatch>> + Send>;

/// The rows of a columnar file in the columns of `schema`; `None` for formats that are read by feeding bytes.
///
/// Columns of the file that `schema` does not name are not read. Errors: CANNOT_OPEN_FILE; INCORRECT_DATA
/// for a damaged file; TYPE_MISMATCH for a column that cannot become what `schema` says.
pub fn file_batches(
    format: &str,
    path: &Path,
    schema: &Arc<Schema>,
    options: &FormatOptions,
) -> Result<Option<FileBatches>> {
    let (schema, options) = (Arc::clone(schema), options.clone());
    Ok(Some(match format {
        #[cfg(feature = "parquet")]
        "Parquet" => parquet_file::batches(open(path)?, schema, options)?,
        "Arrow" => {
            let mut file = BufReader::new(open(path)?);
            check_file(&mut file)?;
            let reader = guarded("Arrow", || FileReader::try_new(file, None).map_err(cannot_read))?;
            let batches = reader.map(move |batch| adopt(&batch.map_err(cannot_read)?, &schema, &options));
            Box::new(Guarded::new("Arrow", batches))
        }
        "ArrowStream" => {
            let file = BufReader::new(open(path)?);
            let reader = guarded("Arrow", || StreamReader::try_new(file, None).map_err(cannot_read))?;
            let batches = reader.map(move |batch| adopt(&batch.map_err(cannot_read)?, &schema, &options));
            Box::new(Guarded::new("Arrow", batches))
        }
        _ => return Ok(None),
    }))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::new(Code::CANNOT_OPEN_FILE, format!("cannot open '{}': {e}", path.display())))
}
