//! One block: what stands before its columns, and when it is complete.
//!
//! In: a batch, or bytes cut anywhere. Out: the other one. Promise: a block is read to its last byte and no further; what is
//! damaged, too large or not known is an error before anything is kept for it.

use super::decode::Column;
use super::encode::{self, column_head, wire_type};
use super::input::{Input, Text, Varint, damaged, push_varint};
use super::json;
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_types::{Batch, Field, LogicalType, Schema, TypeNames, parse_type_lenient};
use std::sync::Arc;

/// Bytes of one block, when it is read. A client that has more rows sends several blocks.
pub const BLOCK_BYTES_MAX: usize = 128 << 20;

/// Columns of one block.
pub const COLUMNS_MAX: u64 = 10_000;

// Names come from statements, which are longer than this only when they are generated.
const NAME_BYTES_MAX: usize = 64 << 10;

// An enum may have 65,536 names.
const TYPE_BYTES_MAX: usize = 4 << 20;

/// From here on a dictionary is sent as one; older readers get plain values.
const REVISION_WITH_DICTIONARIES: u64 = 54_405;

/// From here on each column says whether it is serialized in a form of its own.
const REVISION_WITH_CUSTOM_SERIALIZATION: u64 = 54_454;

/// How blocks look to one peer.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeOptions {
    /// The protocol revision that both sides know. 0: the plain format, without what stands before the columns.
    pub revision: u64,
    pub names: TypeNames,
}

/// Appends the block of `batch`. A batch without rows gives the names and types alone.
///
/// Errors: NOT_IMPLEMENTED for types whose bytes are not known here; nothing was appended then.
pub fn write_block(batch: &Batch, options: &NativeOptions, out: &mut Vec<u8>) -> Result<()> {
    batch.schema.fields.iter().try_for_each(|f| encode::check(&f.ty))?;
    write_start(batch.columns.len(), batch.rows(), options, out);
    let dictionaries = options.revision == 0 || options.revision >= REVISION_WITH_DICTIONARIES;
    for (field, array) in batch.schema.fields.iter().zip(&batch.columns) {
        let ty = wire_type(&field.ty, dictionaries);
        column_head(&field.name, &options.names.of(&ty), out);
        if options.revision >= REVISION_WITH_CUSTOM_SERIALIZATION {
            out.push(0);
        }
        if batch.rows() == 0 {
            continue;
        }
        if ty == LogicalType::Json {
            json::write(array, options.names, out)?;
        } else {
            encode::prefix(&ty, out);
            encode::values(array, &ty, out)?;
        }
    }
    Ok(())
}

/// Appends a block of `schema` without rows.
pub fn write_header(schema: &Arc<Schema>, options: &NativeOptions, out: &mut Vec<u8>) -> Result<()> {
    write_block(&Batch::empty(Arc::clone(schema)), options, out)
}

/// Appends a block without columns: the end of data.
pub fn write_end(options: &NativeOptions, out: &mut Vec<u8>) {
    write_start(0, 0, options, out);
}

fn write_start(columns: usize, rows: usize, options: &NativeOptions, out: &mut Vec<u8>) {
    if options.revision > 0 {
        // Field 1: rows beyond a limit of groups, no. Field 2: the bucket of an aggregation, none. Then the end.
        out.extend_from_slice(&[1, 0, 2]);
        out.extend_from_slice(&(-1_i32).to_le_bytes());
        out.push(0);
    }
    push_varint(columns as u64, out);
    push_varint(rows as u64, out);
}

/// What comes next.
enum Stage {
    InfoField,
    InfoValue(u64, usize),
    Columns,
    Rows,
    Name,
    Type(String),
    Custom(Field),
    Prefix(Field, Box<Column>),
    Values(Field, Box<Column>),
}

/// Reads blocks from bytes cut anywhere.
pub struct BlockDecoder {
    options: NativeOptions,
    stage: Stage,
    number: Varint,
    name: Text,
    type_name: Text,
    /// Bytes of this block so far.
    bytes: usize,
    columns: u64,
    rows: usize,
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl BlockDecoder {
    pub fn new(options: NativeOptions) -> BlockDecoder {
        BlockDecoder {
            options,
            stage: first(&options),
            number: Varint::default(),
            name: Text::new("the name of a column", NAME_BYTES_MAX),
            type_name: Text::new("the type of a column", TYPE_BYTES_MAX),
            bytes: 0,
            columns: 0,
            rows: 0,
            fields: Vec::new(),
            arrays: Vec::new(),
        }
    }

    /// Whether no block has begun that is not complete.
    pub fn is_between_blocks(&self) -> bool {
        self.bytes == 0
    }

    /// Takes bytes of `piece`, which then begins after them. Answers a block as soon as its last byte is there.
    ///
    /// Errors: INCORRECT_DATA for what is damaged; UNKNOWN_TYPE; MSG_SIZE_TOO_LARGE beyond [`BLOCK_BYTES_MAX`];
    /// NOT_IMPLEMENTED. The decoder must not be used after an error.
    pub fn feed(&mut self, piece: &mut &[u8]) -> Result<Option<Batch>> {
        let mut input = Input { bytes: piece };
        let complete = self.run(&mut input)?;
        self.bytes += piece.len() - input.bytes.len();
        *piece = input.bytes;
        if self.bytes > BLOCK_BYTES_MAX {
            let text = format!("a block is longer than {BLOCK_BYTES_MAX} bytes");
            return Err(Error::new(Code::MSG_SIZE_TOO_LARGE, text).hint("send the rows in several blocks"));
        }
        if !complete {
            return Ok(None);
        }
        self.bytes = 0;
        let schema = Arc::new(Schema::new(std::mem::take(&mut self.fields)));
        Ok(Some(Batch::new(schema, std::mem::take(&mut self.arrays), self.rows)))
    }

    fn run(&mut self, input: &mut Input<'_>) -> Result<bool> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::InfoField) {
                Stage::InfoField => match self.number.fill(input)? {
                    None => return self.wait(Stage::InfoField),
                    Some(0) => Stage::Columns,
                    Some(1) => Stage::InfoValue(1, 1),
                    Some(2) => Stage::InfoValue(2, 4),
                    Some(other) => return Err(damaged(format!("field {other} of the block info is unknown"))),
                },
                Stage::InfoValue(field, missing) => match missing - input.take(missing).len() {
                    0 => Stage::InfoField,
                    missing => return self.wait(Stage::InfoValue(field, missing)),
                },
                Stage::Columns => match self.number.fill(input)? {
                    None => return self.wait(Stage::Columns),
                    Some(columns) if columns > COLUMNS_MAX => {
                        return Err(damaged(format!("{columns} columns, the limit is {COLUMNS_MAX}")));
                    }
                    Some(columns) => {
                        self.columns = columns;
                        Stage::Rows
                    }
                },
                Stage::Rows => match self.number.fill(input)? {
                    None => return self.wait(Stage::Rows),
                    // Every row of every column takes a byte at least.
                    Some(rows) if rows > BLOCK_BYTES_MAX as u64 || rows > 0 && self.columns == 0 => {
                        return Err(damaged(format!("{rows} rows in {} columns", self.columns)));
                    }
                    Some(rows) => {
                        self.rows = rows as usize;
                        if self.columns == 0 {
                            return self.complete();
                        }
                        Stage::Name
                    }
                },
                Stage::Name => match self.name.fill(input)? {
                    None => return self.wait(Stage::Name),
                    Some(name) => Stage::Type(name),
                },
                Stage::Type(name) => match self.type_name.fill(input)? {
                    None => return self.wait(Stage::Type(name)),
                    Some(text) => {
                        let ty = parse_type_lenient(&text).map_err(|e| e.context(format!("column '{name}'")))?;
                        let field = Field::new(name, ty);
                        match self.options.revision >= REVISION_WITH_CUSTOM_SERIALIZATION {
                            true => Stage::Custom(field),
                            false => start(field)?,
                        }
                    }
                },
                Stage::Custom(field) => match input.byte() {
                    None => return self.wait(Stage::Custom(field)),
                    Some(0) => start(field)?,
                    Some(_) => {
                        let text = format!("a serialization of its own for column '{}'", field.name);
                        return Err(Error::not_implemented(text));
                    }
                },
                Stage::Prefix(field, mut column) => match self.rows == 0 || column.prefix(input)? {
                    true => Stage::Values(field, column),
                    false => return self.wait(Stage::Prefix(field, column)),
                },
                Stage::Values(field, mut column) => {
                    let named = |e: Error| e.context(format!("column '{}'", field.name));
                    if self.rows > 0 && !column.values(self.rows, input).map_err(named)? {
                        return self.wait(Stage::Values(field, column));
                    }
                    let array = match self.rows {
                        0 => arrow::array::new_empty_array(&hydron_types::physical::arrow_type(&field.ty)),
                        rows => column.finish(rows).map_err(named)?,
                    };
                    self.arrays.push(array);
                    self.fields.push(field);
                    if self.fields.len() as u64 == self.columns {
                        return self.complete();
                    }
                    Stage::Name
                }
            };
        }
    }

    fn wait(&mut self, stage: Stage) -> Result<bool> {
        self.stage = stage;
        Ok(false)
    }

    fn complete(&mut self) -> Result<bool> {
        self.stage = first(&self.options);
        Ok(true)
    }
}

fn first(options: &NativeOptions) -> Stage {
    if options.revision > 0 { Stage::InfoField } else { Stage::Columns }
}

fn start(field: Field) -> Result<Stage> {
    let column = Column::new(&field.ty).map_err(|e| e.context(format!("column '{}'", field.name)))?;
    Ok(Stage::Prefix(field, Box::new(column)))
}
