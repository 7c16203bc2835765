//! The contract of readers: bytes in at any cut, batches out.

use arrow::array::BooleanArray;
use hydron_base::Result;
use hydron_types::{Batch, Field, Value};

/// Rows that were read, and where they did not say what a column holds.
#[derive(Debug)]
pub struct InputBatch {
    /// Every column of the target schema.
    pub batch: Batch,
    /// For each column: `None` when the input gave every value, else true in the rows that take the column's DEFAULT
    /// (the field was omitted, empty, or NULL where the column has none). The batch holds the type's default there.
    pub defaults: Vec<Option<BooleanArray>>,
}

/// Evaluates the expression at the start of a text for a column of VALUES. Returns its value, cast to the type of the
/// column, and the number of bytes it takes; the text may go on after it.
pub type Evaluator = Box<dyn FnMut(&Field, &str) -> Result<(Value, usize)> + Send>;

/// An incremental parser. Bytes may be cut anywhere, inside a quoted field or a character too.
pub trait InputFormat: Send {
    /// Takes the next bytes and returns the batches that became full; with `last`, also the rows that remain.
    ///
    /// Errors name the row, the column and the text. After an error the reader must not be fed again; batches that were
    /// returned before stay valid.
    fn feed(&mut self, bytes: &[u8], last: bool) -> Result<Vec<InputBatch>>;

    /// The complete rows that no batch was full enough to carry; for callers that do not want them to wait.
    fn flush(&mut self) -> Result<Option<InputBatch>> {
        Ok(None)
    }

    /// Takes one whole document, and keeps its rows until [`InputFormat::flush`] or until a batch is full of them. Returns how many
    /// they are; `None` where the format cannot read one document after another, and has read nothing.
    ///
    /// Errors: as of `feed`; the document has given no row then, and the next one may follow.
    fn feed_document(&mut self, bytes: &[u8]) -> Result<Option<usize>> {
        let _ = bytes;
        Ok(None)
    }

    /// Rows that did not parse and were skipped, as `input_format_allow_errors_num` and `_ratio` permit.
    fn rows_skipped(&self) -> u64 {
        0
    }
}
