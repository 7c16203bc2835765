//! Tables and values that come with a query and live as long as it does: ClickHouse's external data and its scalars.
//!
//! In: a name, columns, rows. Out: a value for `__get_scalar`, or a table that the query alone sees, before everything else of that name in its database.

use super::temporary::DATABASE;
use hydron_base::{Code, Error, Result};
use hydron_plan::{ColumnInfo, StreamInfo, StreamKind, StreamMode};
use hydron_types::column::value_at;
use hydron_types::{Batch, Field, LogicalType, Schema, Value, parse_type_lenient};
use std::sync::Arc;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct GivenTable {
    pub info: Arc<StreamInfo>,
    pub batches: Vec<Batch>,
}

impl GivenTable {
    /// `batches` have the columns of `schema`, in its order.
    pub fn new(name: &str, schema: &Schema, batches: Vec<Batch>) -> GivenTable {
        let columns = schema.fields.iter().map(|f| ColumnInfo::new(Arc::clone(&f.name), f.ty.clone())).collect();
        let info = StreamInfo {
            database: Arc::from(DATABASE),
            name: Arc::from(name),
            uuid: Uuid::new_v4(),
            kind: StreamKind::System,
            mode: StreamMode::Append,
            columns,
            primary_key: Vec::new(),
            order_by: String::new(),
            partition_by: String::new(),
            version_column: None,
            shards: 1,
            sharding_expr: String::new(),
            engine: Arc::from("Memory"),
            engine_args: Vec::new(),
            sample_by: String::new(),
            settings: Vec::new(),
            comment: String::new(),
        };
        GivenTable { info: Arc::new(info), batches }
    }

    /// What its rows take.
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(Batch::bytes).sum()
    }
}

/// A value that a client has named, for `__get_scalar('name')`.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenScalar {
    pub name: Arc<str>,
    pub ty: LogicalType,
    pub value: Value,
}

impl GivenScalar {
    /// Several columns are one tuple. Errors: INCORRECT_DATA (117) unless the block has one row.
    pub fn of_block(name: &str, block: &Batch) -> Result<GivenScalar> {
        let wrong = || {
            let text = format!("scalar '{name}' has {} rows in {} columns", block.rows(), block.columns.len());
            Error::new(Code::INCORRECT_DATA, text).hint("one row")
        };
        if block.rows() != 1 || block.columns.is_empty() {
            return Err(wrong());
        }
        let column = |(array, field): (_, &Field)| value_at(array, &field.ty, 0);
        let mut values: Vec<Value> = block.columns.iter().zip(&block.schema.fields).map(column).collect();
        let (ty, value) = match values.len() {
            1 => (block.schema.fields[0].ty.clone(), values.remove(0)),
            _ => {
                let elements = block.schema.fields.iter().map(|f| (None, f.ty.clone())).collect();
                (LogicalType::Tuple(elements), Value::Tuple(values))
            }
        };
        Ok(GivenScalar { name: Arc::from(name), ty, value })
    }
}

/// Columns of `a int32, b array(string)`; `parse` knows the names of types.
pub fn columns_of_structure(text: &str, parse: fn(&str) -> Result<LogicalType>) -> Result<Vec<Field>> {
    let column = |piece: &str| {
        let (name, ty) = piece.split_once(char::is_whitespace).ok_or_else(|| {
            Error::new(Code::BAD_ARGUMENTS, format!("'{piece}' is not a column of a structure"))
                .hint("a int32, b string")
        })?;
        Ok(Field::new(name.trim_matches('`'), parse(ty.trim())?))
    };
    pieces(text).into_iter().map(column).collect()
}

/// Columns `_1`, `_2`, … of `int32, array(string)`, or of ClickHouse's names.
pub fn columns_of_types(text: &str) -> Result<Vec<Field>> {
    let column = |(i, piece): (usize, &str)| Ok(Field::new(format!("_{}", i + 1), parse_type_lenient(piece)?));
    pieces(text).into_iter().enumerate().map(column).collect()
}

/// What stands between the commas that are not inside of parentheses.
fn pieces(text: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0_i32, 0);
    let mut pieces = Vec::new();
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                pieces.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    pieces.push(text[start..].trim());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_types::parse_type;

    #[test]
    fn a_structure_names_columns_and_types() {
        assert!(columns_of_structure("a int32, `b c` x", parse_type).is_err());
        let fields = columns_of_structure("a int32, b map(string, uint8)", parse_type).unwrap();
        let texts: Vec<String> = fields.iter().map(|f| format!("{} {}", f.name, f.ty)).collect();
        assert_eq!(texts, ["a int32", "b map(string, uint8)"]);
        let fields = columns_of_types("UInt8, Array(String)").unwrap();
        let texts: Vec<String> = fields.iter().map(|f| format!("{} {}", f.name, f.ty)).collect();
        assert_eq!(texts, ["_1 uint8", "_2 array(string)"]);
    }
}
