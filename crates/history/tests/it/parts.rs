//! Scans: Parquet parts and rows in memory as one table.

use crate::kit::*;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use hydron_history::{ExecOptions, PartFile, Parts, ScanData, explain};
use hydron_plan::node::Grouping;
use hydron_plan::{Plan, SortKey};
use hydron_types::Value;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A part of `rows` rows from `from` on in row groups of 1000; strings carry the text annotation.
fn part(objects: &Arc<dyn ObjectStore>, name: &str, from: i64, rows: i64, lacks: Vec<usize>) -> PartFile {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + rows));
    let mut columns: Vec<(&str, ArrayRef, bool)> = vec![("id", ids, false)];
    if lacks.is_empty() {
        let names: ArrayRef =
            Arc::new(StringArray::from_iter_values((from..from + rows).map(|i| format!("n{}", i % 8))));
        columns.push(("name", names, false));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1000)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    // No two stores have files of one name: what is known of a file is kept by it.
    static FILES: AtomicU64 = AtomicU64::new(0);
    let path = Path::from(format!("parts/{name}-{}.parquet", FILES.fetch_add(1, Ordering::Relaxed)));
    let size = bytes.len() as u64;
    runtime().block_on(objects.put(&path, bytes.into())).unwrap();
    PartFile { path, bytes: size, rows: rows as u64, lacks, nan_free: Vec::new() }
}

fn columns() -> Plan {
    scan(&[("id", "int64"), ("name", "string")])
}

fn tables(
    files: impl FnOnce(&Arc<dyn ObjectStore>) -> Vec<PartFile>,
    tail: &[Vec<Value>],
    defaults: Vec<Value>,
) -> Tables {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let files = files(&objects);
    let batches = vec![batch(&schema(&[("id", "int64"), ("name", "string")]), tail)];
    let parts = Parts { objects, files, pin: Arc::new(()) };
    Tables(Mutex::new(vec![ScanData { parts: Some(parts), batches, defaults, ..ScanData::default() }]))
}

#[test]
fn parts_then_the_tail_in_order() {
    let source =
        tables(|o| vec![part(o, "a", 0, 2, vec![]), part(o, "b", 2, 1, vec![])], &[vec![int(3), text("tail")]], vec![]);
    let lines = lines(&collect(&columns(), &source, &options()).unwrap());
    assert_eq!(lines, ["0, 'n0'", "1, 'n1'", "2, 'n2'", "3, 'tail'"]);
}

#[test]
fn a_part_without_a_column_has_its_default() {
    let files = |o: &Arc<dyn ObjectStore>| vec![part(o, "old", 0, 1, vec![1]), part(o, "new", 1, 1, vec![])];
    let source = tables(files, &[], vec![]);
    assert_eq!(lines(&collect(&columns(), &source, &options()).unwrap()), ["0, ''", "1, 'n1'"]);
    let source = tables(files, &[], vec![int(0), text("unknown")]);
    assert_eq!(lines(&collect(&columns(), &source, &options()).unwrap()), ["0, 'unknown'", "1, 'n1'"]);
}

#[test]
fn row_groups_outside_of_a_range_are_not_read() {
    let plan = columns();
    let narrow = call("less", vec![col(&plan, "id"), lit("uint8", Value::UInt(10))]);
    let plan = plan.filter(narrow);
    let count =
        group(plan.clone(), vec![], vec![agg("count", vec![]), agg("sum", vec![col(&plan, "id")])], Grouping::Plain);
    let source = tables(|o| vec![part(o, "a", 0, 5000, vec![])], &[], vec![]);
    let rt = runtime();
    let mut run = start(&count, &source, &options(), &rt).unwrap();
    let metrics = Arc::clone(&run.metrics);
    let batches: Vec<_> = rt.block_on(async { futures::StreamExt::collect(&mut run.rows).await });
    let batches = batches.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(lines(&batches), ["10, 45"]);
    assert_eq!(metrics.rows_read(), 1000);
    assert!(metrics.bytes_read() > 0);
}

/// The answer of a plan, and how many rows left the sources for it.
fn read_for(plan: &Plan, source: &Tables) -> (Vec<String>, u64) {
    let rt = runtime();
    let mut run = start(plan, source, &ExecOptions { threads: 2, ..options() }, &rt).unwrap();
    let metrics = Arc::clone(&run.metrics);
    let batches: Vec<_> = rt.block_on(async { futures::StreamExt::collect(&mut run.rows).await });
    let batches = batches.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    (lines(&batches), metrics.rows_read())
}

#[test]
fn for_the_first_rows_only_the_parts_that_may_have_them_are_read() {
    const ROWS: i64 = 100_000;
    let files = |o: &Arc<dyn ObjectStore>| (0..5).map(|i| part(o, "p", i * ROWS, ROWS, vec![])).collect();
    for (descending, first) in [(true, 5 * ROWS), (false, 0)] {
        // A row of the tail is one of the first; the filter and the projection leave the column what it is.
        let tail = [vec![int(if descending { 5 * ROWS } else { -1 }), text("tail")]];
        let plan = columns().filter(call("greater", vec![col(&columns(), "id"), lit("int64", int(-10))]));
        let (name, id) = (col(&plan, "name"), col(&plan, "id"));
        let plan = plan.project(vec![(Arc::from("name"), name), (Arc::from("id"), id)]);
        let key = SortKey { expr: col(&plan, "id"), descending, nulls_first: false };
        let top = plan.sort(vec![key], Some(3)).limit(0, Some(3), vec![]);
        let (answer, read) = read_for(&top, &tables(files, &tail, vec![]));
        let second = if descending { 5 * ROWS - 1 } else { 0 };
        assert_eq!(answer[0], format!("'tail', {}", if descending { first } else { -1 }));
        assert_eq!(answer[1], format!("'n{}', {second}", second % 8));
        assert!(read <= 3 * ROWS as u64, "{read} of {} rows were read", 5 * ROWS);
    }
}

#[test]
fn numbers_without_nan_are_cut_off_early_and_a_nan_is_last() {
    let plan = scan(&[("f", "float64")]);
    let schema = schema(&[("f", "float64")]);
    let key = SortKey { expr: col(&plan, "f"), descending: true, nulls_first: false };
    let top = plan.clone().sort(vec![key], Some(2)).limit(0, Some(2), vec![]);
    let ask = |values: [f64; 3]| {
        let rows: Vec<Vec<Value>> = values.iter().map(|v| vec![Value::Float64(*v)]).collect();
        let source = Tables(Mutex::new(vec![ScanData { batches: vec![batch(&schema, &rows)], ..ScanData::default() }]));
        lines(&collect(&top, &source, &options()).unwrap())
    };
    assert_eq!(ask([1.0, 3.0, 2.0]), ["3", "2"]);
    assert_eq!(ask([1.0, f64::NAN, 2.0]), ["2", "1"]);
    assert_eq!(ask([f64::NAN, -f64::NAN, 2.0]), ["2", "NaN"]);
    let said = |values: &[f64]| {
        let rows: Vec<Vec<Value>> = values.iter().map(|v| vec![Value::Float64(*v)]).collect();
        ScanData { batches: vec![batch(&schema, &rows)], ..ScanData::default() }.is_free_of_nan(0)
    };
    assert!(said(&[1.0, 2.0]) && !said(&[1.0, f64::NAN]));
}

#[test]
fn only_the_columns_that_are_used_are_read() {
    let plan = columns();
    let sum = group(plan.clone(), vec![], vec![agg("sum", vec![col(&plan, "id")])], Grouping::Plain);
    let source = tables(|o| vec![part(o, "a", 0, 10, vec![])], &[], vec![]);
    let text = runtime().block_on(explain(&sum, &source, &options())).unwrap();
    assert!(text.contains("projection=[id"), "{text}");
    assert!(!text.contains("name"), "{text}");
}

#[test]
fn many_rows_are_grouped_by_all_threads() {
    let plan = columns();
    let aggs = vec![agg("count", vec![]), agg("max", vec![col(&plan, "id")])];
    let grouped = group(plan.clone(), vec![col(&plan, "name")], aggs, Grouping::Plain);
    let source = tables(|o| vec![part(o, "a", 0, 300_000, vec![])], &[vec![int(7), text("tail")]], vec![]);
    let lines = sorted(lines(&collect(&grouped, &source, &options()).unwrap()));
    assert_eq!(lines.len(), 9);
    assert_eq!(lines[0], "'n0', 37500, 299992");
    assert_eq!(lines[8], "'tail', 1, 7");
}
