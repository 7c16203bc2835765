//! Scans: Parquet parts and rows in memory as one table.

use crate::kit::*;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use hydron_history::{PartFile, Parts, ScanData, explain};
use hydron_plan::Plan;
use hydron_plan::node::Grouping;
use hydron_types::Value;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
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
    let path = Path::from(format!("parts/{name}.parquet"));
    let size = bytes.len() as u64;
    runtime().block_on(objects.put(&path, bytes.into())).unwrap();
    PartFile { path, bytes: size, rows: rows as u64, lacks }
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
