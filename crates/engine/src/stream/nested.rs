//! Columns of one nested structure, `n.x` and `n.y`: arrays of equal lengths in each row.
//!
//! In: the stored columns of rows, and which of them an INSERT gives. Out: arrays that fit. Promise: a column that is not given has
//! defaults, as many as the others have elements; given ones that differ are an error.

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::datatypes::DataType;
use hydron_base::{Code, Error, Result};
use hydron_types::column::array_of;
use hydron_types::{LogicalType, Schema, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The positions of the arrays of each nested structure that has several.
pub fn groups(schema: &Schema) -> Vec<Vec<usize>> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, field) in schema.fields.iter().enumerate() {
        if let (Some((name, _)), LogicalType::Array(_)) = (field.name.split_once('.'), &field.ty) {
            by_name.entry(name).or_default().push(at);
        }
    }
    by_name.into_values().filter(|columns| columns.len() > 1).collect()
}

/// Makes the arrays of one structure fit. `is_given`: by position, whether the INSERT gives values.
///
/// Errors: SIZES_OF_ARRAYS_DOESNT_MATCH (190).
pub fn fit(group: &[usize], columns: &mut [ArrayRef], schema: &Schema, is_given: &dyn Fn(usize) -> bool) -> Result<()> {
    let first = group.iter().copied().find(|at| is_given(*at)).unwrap_or(group[0]);
    let Some(of) = columns[first].as_list_opt::<i32>().cloned() else { return Ok(()) };
    for at in group.iter().copied().filter(|at| *at != first) {
        let Some(list) = columns[at].as_list_opt::<i32>() else { continue };
        let differs = (0..of.len()).find(|row| of.value_length(*row) != list.value_length(*row));
        let Some(row) = differs else { continue };
        if is_given(at) {
            let message = format!(
                "'{}' has {} elements and '{}' {} in row {}, they are one nested structure",
                schema.fields[first].name,
                of.value_length(row),
                schema.fields[at].name,
                list.value_length(row),
                row + 1
            );
            return Err(Error::new(Code::SIZES_OF_ARRAYS_DOESNT_MATCH, message));
        }
        columns[at] = defaults(&of, list, &schema.fields[at].ty)?;
    }
    Ok(())
}

/// Arrays of defaults, as long as those of `of`.
fn defaults(of: &ListArray, like: &ListArray, ty: &LogicalType) -> Result<ArrayRef> {
    let (LogicalType::Array(element), DataType::List(field)) = (ty, like.data_type()) else {
        return Err(Error::bug("a nested column is no array"));
    };
    let lengths = (0..of.len()).map(|row| of.value_length(row) as usize);
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    let count = offsets.last().map_or(0, |last| *last as usize);
    let values = array_of(&Value::default_of(element), element, count)?;
    Ok(Arc::new(ListArray::new(Arc::clone(field), offsets, values, None)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Int64Type;
    use hydron_types::Field;

    fn list(rows: &[usize]) -> ArrayRef {
        let rows = rows.iter().map(|n| Some(vec![Some(7_i64); *n]));
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
    }

    #[test]
    fn arrays_of_one_structure_are_of_one_length() {
        let ty = LogicalType::array(LogicalType::Int64);
        let schema = Schema::new(vec![Field::new("n.x", ty.clone()), Field::new("n.y", ty)]);
        assert_eq!(groups(&schema), [[0, 1]]);
        let mut columns = vec![list(&[1, 2]), list(&[1, 0])];
        let error = fit(&[0, 1], &mut columns, &schema, &|_| true).unwrap_err();
        assert_eq!(error.code, Code::SIZES_OF_ARRAYS_DOESNT_MATCH);
        fit(&[0, 1], &mut columns, &schema, &|at| at == 0).unwrap();
        assert_eq!(columns[1].as_list::<i32>().value_length(1), 2);
    }
}
