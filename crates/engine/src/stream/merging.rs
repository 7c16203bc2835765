//! What the engines of the MergeTree family make of rows with equal keys, and a Join table of several rows of a key.
//!
//! In: rows, oldest first. Out: the rows that count, in the order of the key. Promise: a pure function of the rows: merging what
//! was merged changes nothing, and merging in pieces gives what merging at once gives.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::Int8Type;
use hydron_base::{Code, Error, Result};
use hydron_func::call::arrow_error;
use hydron_func::scalar::rows::encode_columns;
use hydron_func::{ArgInfo, BindContext, EvalContext, Registry};
use hydron_plan::bind::bind_scalar_expr;
use hydron_plan::{Catalog, ColumnInfo, Expr, JoinEngine, StreamInfo};
use hydron_types::cast::{CastOptions, cast};
use hydron_types::{Batch, LogicalType, Schema};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// What becomes of the rows of one key.
#[derive(Clone, Debug)]
enum Kind {
    /// The first row counts, or the last; they stay where they are. A key with NULL has no row.
    First,
    Last,
    /// As First, and NULL is a value like others.
    Distinct,
    /// The row of the greatest version counts, of equal ones the last.
    Replacing {
        version: Option<usize>,
    },
    /// A row and the one that withdraws it go.
    Collapsing {
        sign: usize,
    },
    /// As Collapsing, with the version in the key, in any order.
    VersionedCollapsing {
        sign: usize,
    },
    /// Columns are added up; rows that are zero in all of these go.
    Summing {
        columns: Vec<usize>,
    },
    /// States are merged.
    Aggregating,
}

/// How the rows of one table are merged.
#[derive(Clone)]
pub struct MergeRule {
    kind: Kind,
    /// Over the stored columns.
    keys: Vec<Expr>,
    /// Rows of different partitions are not merged in the store.
    partition: Option<Expr>,
    schema: Arc<Schema>,
    cx: BindContext,
}

/// What the rows are merged for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Store,
    /// FINAL: what is withdrawn but not yet there is not shown.
    Read,
}

/// Names of engines whose rows are merged by key.
const MERGING: &[&str] = &[
    "ReplacingMergeTree",
    "CollapsingMergeTree",
    "VersionedCollapsingMergeTree",
    "SummingMergeTree",
    "AggregatingMergeTree",
];

/// Whether rows of the engine are merged when parts are.
pub fn is_merging(engine: &str) -> bool {
    MERGING.contains(&engine)
}

/// Checks the arguments of an engine of the MergeTree family.
///
/// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), NO_SUCH_COLUMN_IN_STREAM (16), BAD_TYPE_OF_FIELD (169), BAD_ARGUMENTS (36).
pub fn check_arguments(info: &StreamInfo) -> Result<()> {
    if !is_merging(&info.engine) {
        return Ok(());
    }
    let (engine, args) = (&info.engine, &info.engine_args);
    let count = |takes: Range<usize>, what: &str| match takes.contains(&args.len()) {
        true => Ok(()),
        false => {
            let message = format!("engine {engine} takes {what}, given {} arguments", args.len());
            Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, message))
        }
    };
    let wrong = |column: &ColumnInfo, what: &str| {
        let message = format!("column '{}' of engine {engine} is {}, it must be {what}", column.name, column.ty);
        Err(Error::new(Code::BAD_TYPE_OF_FIELD, message))
    };
    let sign = |at: usize| match column_of(info, &args[at])? {
        column if column.ty == LogicalType::Int8 => Ok(()),
        column => wrong(column, "int8"),
    };
    let version = |at: usize| match column_of(info, &args[at])? {
        column if column.ty.is_integer() || column.ty.is_date_or_time() => Ok(()),
        column => wrong(column, "an integer, a date or a time"),
    };
    match &**engine {
        "ReplacingMergeTree" => {
            count(0..2, "a version or nothing")?;
            (0..args.len()).try_for_each(version)?;
        }
        "CollapsingMergeTree" => {
            count(1..2, "a sign")?;
            sign(0)?;
        }
        "VersionedCollapsingMergeTree" => {
            count(2..3, "a sign and a version")?;
            sign(0)?;
            version(1)?;
        }
        "SummingMergeTree" => {
            count(0..2, "a list of columns or nothing")?;
            let key: HashSet<String> = names_of(&info.order_by)?;
            for name in args.iter().map(|a| list_of(a)).collect::<Result<Vec<_>>>()?.into_iter().flatten() {
                let column = column_of(info, &name)?;
                if key.contains(&*column.name) {
                    return Err(Error::bad_arguments(format!("column '{name}' is in the key and cannot be summed")));
                }
            }
            if let Some(map) = info
                .columns
                .iter()
                .find(|c| c.name.split('.').next().is_some_and(|n| n.ends_with("Map")) && c.name.contains('.'))
            {
                return Err(Error::not_implemented(format!(
                    "a nested map ('{}') in engine SummingMergeTree",
                    map.name
                )));
            }
        }
        _ => count(0..1, "nothing")?,
    }
    if info.order_by.is_empty() {
        return Err(Error::bad_arguments(format!("engine {engine} needs ORDER BY")));
    }
    Ok(())
}

fn column_of<'a>(info: &'a StreamInfo, arg: &str) -> Result<&'a ColumnInfo> {
    let name = arg.trim_matches('`');
    let found = info.columns.iter().find(|c| &*c.name == name && c.is_stored());
    found.ok_or_else(|| {
        let message = format!("column '{name}' of engine {} is no column of {}", info.engine, info.name);
        Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message)
    })
}

/// The elements of `a` or `(a, b)`.
pub fn list_of(text: &str) -> Result<Vec<String>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let expr = hydron_sql::parse_expression(text)?;
    Ok(match expr.as_function().filter(|f| f.name == "tuple") {
        Some(tuple) => tuple.args.iter().map(ToString::to_string).collect(),
        None => vec![expr.to_string()],
    })
}

/// Names of the columns that an expression reads.
pub fn names_of(text: &str) -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    if !text.is_empty() {
        hydron_sql::parse_expression(text)?.walk(&mut |e| {
            names.extend(e.as_identifier().map(|i| i.full()));
        });
    }
    Ok(names)
}

impl MergeRule {
    /// The rule of a table; `None` where all rows count.
    pub fn of(
        info: &StreamInfo,
        schema: &Arc<Schema>,
        catalog: &dyn Catalog,
        cx: &BindContext,
    ) -> Result<Option<MergeRule>> {
        if let Some(engine) = JoinEngine::of(info).transpose()? {
            let kind = if engine.takes_last { Kind::Last } else { Kind::First };
            let keys: Vec<String> = engine.keys.iter().map(|k| format!("`{k}`")).collect();
            let rule = MergeRule::new(kind, &keys, "", schema, catalog, cx)?;
            return Ok(engine.is_unique().then_some(rule));
        }
        if !is_merging(&info.engine) {
            return Ok(None);
        }
        let at = |arg: &str| {
            let found = schema.index_of(arg.trim_matches('`'));
            found.ok_or_else(|| Error::bug(format!("column '{arg}' of engine {} is gone", info.engine)))
        };
        let mut keys = list_of(&info.order_by)?;
        let kind = match &*info.engine {
            "ReplacingMergeTree" => Kind::Replacing { version: info.engine_args.first().map(|v| at(v)).transpose()? },
            "CollapsingMergeTree" => Kind::Collapsing { sign: at(&info.engine_args[0])? },
            "VersionedCollapsingMergeTree" => {
                keys.push(info.engine_args[1].clone());
                Kind::VersionedCollapsing { sign: at(&info.engine_args[0])? }
            }
            "SummingMergeTree" => Kind::Summing { columns: summed(info, schema)? },
            _ => Kind::Aggregating,
        };
        MergeRule::new(kind, &keys, &info.partition_by, schema, catalog, cx).map(Some)
    }

    /// Of rows with equal values of `columns` the first counts.
    pub fn distinct(
        columns: &[String],
        info: &StreamInfo,
        schema: &Arc<Schema>,
        catalog: &dyn Catalog,
        cx: &BindContext,
    ) -> Result<MergeRule> {
        let keys: Vec<String> = columns.iter().map(|c| format!("`{c}`")).collect();
        MergeRule::new(Kind::Distinct, &keys, &info.partition_by, schema, catalog, cx)
    }

    fn new(
        kind: Kind,
        keys: &[String],
        partition: &str,
        schema: &Arc<Schema>,
        catalog: &dyn Catalog,
        cx: &BindContext,
    ) -> Result<MergeRule> {
        let bind = |text: &str| bind_scalar_expr(&hydron_sql::parse_expression(text)?, schema, catalog, cx);
        Ok(MergeRule {
            kind,
            keys: keys.iter().map(|k| bind(k)).collect::<Result<_>>()?,
            partition: if partition.is_empty() { None } else { Some(bind(partition)?) },
            schema: Arc::clone(schema),
            cx: cx.clone(),
        })
    }

    /// The rows that count.
    pub fn merge(&self, rows: &RecordBatch, eval: &EvalContext, purpose: Purpose) -> Result<RecordBatch> {
        if rows.num_rows() == 0 {
            return Ok(rows.clone());
        }
        let batch = Batch::new(Arc::clone(&self.schema), rows.columns().to_vec(), rows.num_rows());
        let apart = self.partition.iter().filter(|_| purpose == Purpose::Store);
        let keys = self.keys.iter().chain(apart).map(|k| k.eval_to_array(eval, &batch));
        let mut keys = keys.collect::<Result<Vec<ArrayRef>>>()?;
        if keys.is_empty() {
            // ORDER BY tuple(): all rows have one key.
            keys.push(Arc::new(UInt32Array::from(vec![0; rows.num_rows()])));
        }
        if matches!(self.kind, Kind::First | Kind::Last | Kind::Distinct) {
            return self.unique(rows, &keys);
        }
        let encoded = encode_columns(&keys)?;
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by(|a, b| encoded.row(*a as usize).cmp(&encoded.row(*b as usize)));
        let same = |a: u32, b: u32| encoded.row(a as usize) == encoded.row(b as usize);
        let runs: Vec<&[u32]> = order.chunk_by(|a, b| same(*a, *b)).collect();
        match &self.kind {
            Kind::Replacing { version } => {
                let versions = version.map(|at| encode_columns(&[Arc::clone(rows.column(at))])).transpose()?;
                let newest = |run: &&[u32]| match &versions {
                    Some(v) => run.iter().copied().max_by(|a, b| v.row(*a as usize).cmp(&v.row(*b as usize))),
                    None => run.last().copied(),
                };
                take(rows, runs.iter().filter_map(newest).collect())
            }
            Kind::Collapsing { sign } => {
                let signs = signs(rows, *sign)?;
                take(rows, runs.iter().flat_map(|run| collapsed(run, signs, purpose)).collect())
            }
            Kind::VersionedCollapsing { sign } => {
                let signs = signs(rows, *sign)?;
                take(rows, runs.iter().flat_map(|run| cancelled(run, signs)).collect())
            }
            Kind::Summing { columns } => self.folded(rows, &runs, columns, eval),
            _ => self.folded(rows, &runs, &[], eval),
        }
    }

    /// One row of each key without NULL, where it stands.
    fn unique(&self, rows: &RecordBatch, keys: &[ArrayRef]) -> Result<RecordBatch> {
        let has_null = |row: usize| keys.iter().any(|k| k.is_null(row));
        let all = matches!(self.kind, Kind::Distinct);
        let encoded = encode_columns(keys)?;
        let mut places: HashMap<arrow::row::Row<'_>, u32> = HashMap::with_capacity(rows.num_rows());
        for row in (0..rows.num_rows()).filter(|row| all || !has_null(*row)) {
            let place = places.entry(encoded.row(row)).or_insert(row as u32);
            if matches!(self.kind, Kind::Last) {
                *place = row as u32;
            }
        }
        let mut kept: Vec<u32> = places.into_values().collect();
        kept.sort_unstable();
        take(rows, kept)
    }

    /// One row for each run: sums, merged states, and of other columns the first value.
    fn folded(&self, rows: &RecordBatch, runs: &[&[u32]], summed: &[usize], eval: &EvalContext) -> Result<RecordBatch> {
        let first: Vec<u32> = runs.iter().map(|run| run[0]).collect();
        let first = take(rows, first)?;
        let mut groups = vec![0_u32; rows.num_rows()];
        for (group, run) in runs.iter().enumerate() {
            run.iter().for_each(|row| groups[*row as usize] = group as u32);
        }
        let all: Vec<u32> = (0..runs.len() as u32).collect();
        let mut columns: Vec<ArrayRef> = first.columns().to_vec();
        let mut is_zero = vec![!summed.is_empty(); runs.len()];
        for (at, field) in self.schema.fields.iter().enumerate() {
            let (name, is_state) = match field.ty.without_low_cardinality() {
                LogicalType::AggregateFunction { name, .. } => {
                    // Parameters are known from the type of the states.
                    let name = name.split_once('(').map_or(&**name, |(name, _)| name);
                    (format!("{name}_merge_state"), true)
                }
                LogicalType::SimpleAggregateFunction { name, .. } => (name.to_string(), false),
                _ if summed.contains(&at) => ("sum".to_string(), false),
                _ => continue,
            };
            let arg = match &field.ty {
                LogicalType::SimpleAggregateFunction { arg, .. } => (**arg).clone(),
                ty => ty.clone(),
            };
            let bound = Registry::builtin().bind_aggregate(&name, &self.cx, &[ArgInfo::column(arg.clone())], false);
            let bound = bound.map_err(|e| e.context(format!("column '{}'", field.name)))?;
            let mut state = bound.aggregate.new_state();
            state.resize(runs.len());
            state.update(&groups, &[Arc::clone(rows.column(at))], None)?;
            let values = state.finish(&all)?;
            columns[at] = match is_state || bound.ty == arg {
                true => values,
                false => cast(&values, &bound.ty, &arg, &CastOptions::wrap(eval.zone))?,
            };
            if !summed.is_empty() {
                let default = hydron_types::column::array_of(&hydron_types::Value::default_of(&arg), &arg, 1)?;
                let (values, zero) = (encode_columns(&[Arc::clone(&columns[at])])?, encode_columns(&[default])?);
                let equal = |group: usize| !is_state && values.row(group).as_ref() == zero.row(0).as_ref();
                is_zero.iter_mut().enumerate().for_each(|(group, z)| *z &= equal(group));
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(runs.len()));
        let merged = RecordBatch::try_new_with_options(rows.schema(), columns, &options).map_err(arrow_error)?;
        let keep = is_zero.into_iter().map(|zero| !zero).collect::<Vec<bool>>().into();
        filter_record_batch(&merged, &keep).map_err(arrow_error)
    }
}

/// The columns that a SummingMergeTree adds up: those it names, else all numbers that are in no key.
fn summed(info: &StreamInfo, schema: &Schema) -> Result<Vec<usize>> {
    let named = info.engine_args.iter().map(|a| list_of(a)).collect::<Result<Vec<_>>>()?.concat();
    let mut keys = names_of(&info.order_by)?;
    keys.extend(names_of(&info.partition_by)?);
    let is_summed = |(_, field): &(usize, &hydron_types::Field)| {
        let chosen = named.is_empty() || named.iter().any(|n| *n.trim_matches('`') == *field.name);
        chosen && !keys.contains(&*field.name) && field.ty.bare().is_number()
    };
    Ok(schema.fields.iter().enumerate().filter(is_summed).map(|(at, _)| at).collect())
}

fn signs(rows: &RecordBatch, at: usize) -> Result<&[i8]> {
    let signs = rows.column(at).as_primitive_opt::<Int8Type>();
    signs.map(|s| s.values().as_ref()).ok_or_else(|| Error::bug("the sign of a table is not int8"))
}

/// The rows of one key that stay: a withdrawal of what came before, an addition that counts, or both.
fn collapsed(run: &[u32], signs: &[i8], purpose: Purpose) -> Vec<u32> {
    let is_added = |row: &&u32| signs[**row as usize] > 0;
    let added = run.iter().filter(is_added).count();
    let withdrawn = run.len() - added;
    let last_is_added = run.last().as_ref().is_some_and(is_added);
    if added == withdrawn && !last_is_added {
        return Vec::new();
    }
    let mut kept = Vec::new();
    if added <= withdrawn && purpose == Purpose::Store {
        kept.extend(run.iter().find(|r| !is_added(r)));
    }
    if added >= withdrawn {
        kept.extend(run.iter().rfind(is_added));
    }
    kept
}

/// The rows of one key and version that no other one cancels.
fn cancelled(run: &[u32], signs: &[i8]) -> Vec<u32> {
    let mut kept: Vec<u32> = Vec::new();
    for row in run {
        match kept.last() {
            Some(last) if (signs[*last as usize] > 0) != (signs[*row as usize] > 0) => drop(kept.pop()),
            _ => kept.push(*row),
        }
    }
    kept
}

fn take(rows: &RecordBatch, at: Vec<u32>) -> Result<RecordBatch> {
    take_record_batch(rows, &UInt32Array::from(at)).map_err(arrow_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_withdrawal_cancels_what_came_before() {
        let rows = |signs: &[i8], purpose| collapsed(&(0..signs.len() as u32).collect::<Vec<_>>(), signs, purpose);
        assert_eq!(rows(&[1, -1], Purpose::Store), Vec::<u32>::new());
        assert_eq!(rows(&[1, -1, 1], Purpose::Store), [2]);
        assert_eq!(rows(&[-1], Purpose::Store), [0]);
        assert_eq!(rows(&[-1], Purpose::Read), Vec::<u32>::new());
        assert_eq!(rows(&[-1, 1], Purpose::Store), [0, 1], "what it withdraws may still come");
        assert_eq!(rows(&[-1, 1], Purpose::Read), [1]);
        assert_eq!(rows(&[1, 1], Purpose::Read), [1]);
    }

    #[test]
    fn equal_versions_cancel_in_any_order() {
        let rows = |signs: &[i8]| cancelled(&(0..signs.len() as u32).collect::<Vec<_>>(), signs);
        assert_eq!(rows(&[-1, 1]), Vec::<u32>::new());
        assert_eq!(rows(&[1, 1, -1]), [0]);
        assert_eq!(rows(&[-1, -1]), [0, 1]);
    }
}
