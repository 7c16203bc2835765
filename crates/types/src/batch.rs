//! Columns of values: the unit that travels through the engine.

use crate::column::ColumnBuilder;
use crate::logical::LogicalType;
use crate::physical::arrow_field;
use crate::value::Value;
use arrow::array::{Array, ArrayRef, Int8Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use hydron_base::{Error, Result};
use std::sync::Arc;

/// A named, typed column of a schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    pub name: Arc<str>,
    pub ty: LogicalType,
}

impl Field {
    pub fn new(name: impl Into<Arc<str>>, ty: LogicalType) -> Field {
        Field { name: name.into(), ty }
    }
}

/// Columns in order. Names need not be unique: a query may return two columns of one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Schema {
    pub fields: Vec<Field>,
}

impl Schema {
    pub fn new(fields: Vec<Field>) -> Schema {
        Schema { fields }
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| &*f.name == name)
    }

    /// The Arrow schema of batches of this schema: same names, nullable exactly where the logical type is.
    pub fn arrow(&self) -> SchemaRef {
        Arc::new(ArrowSchema::new(self.fields.iter().map(|f| arrow_field(&f.name, &f.ty)).collect::<Vec<_>>()))
    }
}

/// Rows as columns, with their logical schema. Cheap to clone. May have rows without columns.
#[derive(Clone, Debug)]
pub struct Batch {
    pub schema: Arc<Schema>,
    pub columns: Vec<ArrayRef>,
    rows: usize,
}

impl Batch {
    /// A batch of `rows` rows. Every array must have the layout of its field and `rows` values.
    pub fn new(schema: Arc<Schema>, columns: Vec<ArrayRef>, rows: usize) -> Batch {
        debug_assert_eq!(schema.len(), columns.len());
        debug_assert!(columns.iter().all(|c| c.len() == rows), "column lengths differ from {rows} rows");
        Batch { schema, columns, rows }
    }

    /// A batch of rows, each with one value for each field.
    ///
    /// Errors: LOGICAL_ERROR for a row of another width, and what a value that does not fit its field gives.
    pub fn of_rows(schema: Arc<Schema>, rows: impl IntoIterator<Item = Vec<Value>>) -> Result<Batch> {
        let mut builders: Vec<ColumnBuilder> = schema.fields.iter().map(|f| ColumnBuilder::new(&f.ty)).collect();
        let mut count = 0;
        for row in rows {
            if row.len() != builders.len() {
                return Err(Error::bug(format!("a row of {} values for {} columns", row.len(), builders.len())));
            }
            for (builder, value) in builders.iter_mut().zip(&row) {
                builder.append(value)?;
            }
            count += 1;
        }
        let arrays = builders.iter_mut().map(|b| b.finish()).collect::<Result<_>>()?;
        Ok(Batch::new(schema, arrays, count))
    }

    pub fn empty(schema: Arc<Schema>) -> Batch {
        let columns =
            schema.fields.iter().map(|f| arrow::array::new_empty_array(&crate::physical::arrow_type(&f.ty))).collect();
        Batch { schema, columns, rows: 0 }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn column(&self, index: usize) -> &ArrayRef {
        &self.columns[index]
    }

    /// Rows `offset .. offset + len`, without copying.
    pub fn slice(&self, offset: usize, len: usize) -> Batch {
        Batch {
            schema: Arc::clone(&self.schema),
            columns: self.columns.iter().map(|c| c.slice(offset, len)).collect(),
            rows: len,
        }
    }

    /// Bytes held by the arrays, shared buffers counted in full.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(|c| c.get_array_memory_size()).sum()
    }

    /// The columns at `indices`, in that order, under `schema`.
    pub fn project(&self, schema: Arc<Schema>, indices: &[usize]) -> Batch {
        Batch { schema, columns: indices.iter().map(|i| Arc::clone(&self.columns[*i])).collect(), rows: self.rows }
    }

    /// The same columns under another schema of the same layout.
    pub fn with_schema(self, schema: Arc<Schema>) -> Batch {
        Batch { schema, ..self }
    }

    /// As an Arrow record batch (for DataFusion, IPC and Parquet).
    pub fn to_arrow(&self) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        RecordBatch::try_new_with_options(self.schema.arrow(), self.columns.clone(), &options)
            .map_err(|e| Error::bug(format!("a batch does not fit its schema: {e}")))
    }

    /// From an Arrow record batch whose columns have the layout of `schema`.
    pub fn from_arrow(schema: Arc<Schema>, batch: &RecordBatch) -> Batch {
        Batch { schema, columns: batch.columns().to_vec(), rows: batch.num_rows() }
    }
}

/// Rows that are added or withdrawn. `None`: every row is added.
#[derive(Clone, Debug)]
pub struct Delta {
    pub rows: Batch,
    /// +1 or -1 for each row. A withdrawal carries the old values and precedes its replacement.
    pub signs: Option<Int8Array>,
}

impl Delta {
    pub fn insert(rows: Batch) -> Delta {
        Delta { rows, signs: None }
    }
}
