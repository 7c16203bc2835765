//! A stop at each step of a transfer.

use super::*;
use crate::query::{Input, Item, QueryOptions};
use crate::stream::Stream;
use crate::{Engine, EngineOptions};
use arrow::array::{BooleanArray, Int64Array};
use arrow::compute::{filter_record_batch, not};
use hydron_types::Batch;
use hydron_types::column::value_at;
use std::path::Path;

/// Where the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Begun,
    Intended,
    HalfWritten,
    Written,
    Left,
    Ended,
}

const STEPS: [Step; 6] = [Step::Begun, Step::Intended, Step::HalfWritten, Step::Written, Step::Left, Step::Ended];

fn open(dir: &Path) -> Engine {
    Engine::open(EngineOptions { cpu_threads: 2, segment_bytes: 1 << 20, ..EngineOptions::at(dir) }).unwrap()
}

async fn run(engine: &Engine, text: &str) -> String {
    let mut session = engine.session("default", "");
    session.settings.set("query_mode", "table").unwrap();
    let running = engine.execute(&mut session, text.to_string(), Input::None, QueryOptions::default()).await;
    let mut running = running.unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut rows = Vec::new();
    while let Some(item) = running.next().await.unwrap_or_else(|e| panic!("{text}: {e}")) {
        if let Item::Rows(batch) = item {
            let cell = |row: usize| value_at(batch.column(0), &batch.schema.fields[0].ty, row).as_i64().unwrap();
            rows.extend((0..batch.rows()).map(|row| cell(row).to_string()));
        }
    }
    rows.join(" ")
}

fn stream(engine: &Engine, name: &str) -> Arc<Stream> {
    Arc::clone(engine.inner().catalog.snapshot().object("default", name).unwrap().as_stream().unwrap())
}

/// True for rows whose first column is 1.
fn is_first(rows: &RecordBatch) -> BooleanArray {
    let column = rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
    BooleanArray::from_iter(column.values().iter().map(|p| Some(*p == 1)))
}

async fn write(to: &Arc<StreamStore>, rows: &RecordBatch, stamp: Bytes) {
    let batch = Batch::new(Arc::clone(&to.schema), rows.columns().to_vec(), rows.num_rows());
    to.submit(0, &batch, None, Some(stamp)).unwrap().await.unwrap();
}

/// Moves partition 1 of `src` to `dst`, or copies it, up to a step.
async fn go_until(engine: &Engine, step: Step, copies: bool) {
    let (src, dst) = (stream(engine, "src"), stream(engine, "dst"));
    let (from, to) = (src.stored().unwrap(), dst.stored().unwrap());
    let giver = (!copies).then_some((src.info.uuid, from));
    let mut transfer = Transfer::begin(engine.inner(), (dst.info.uuid, to), giver).await.unwrap();
    let chosen: Change = Arc::new(|rows| Ok(Some(filter_record_batch(rows, &is_first(rows)).unwrap())));
    let others: Change = Arc::new(|rows| {
        let mask = is_first(rows);
        let all = || Ok(Some(filter_record_batch(rows, &not(&mask).unwrap()).unwrap()));
        if mask.true_count() == 0 { Ok(None) } else { all() }
    });
    let (leaving, rows) = match copies {
        true => {
            let mut rows = Vec::new();
            from.each_block(&from.view(), engine.inner().cpu.handle(), |batch, _| {
                rows.extend(chosen(&batch)?);
                Ok(())
            })
            .unwrap();
            (None, rows)
        }
        false => {
            let leaving = transfer.leaving(chosen, others).await.unwrap().unwrap();
            let rows = leaving.rows.clone();
            (Some(leaving), rows)
        }
    };
    if step >= Step::Intended {
        transfer.intend(leaving.as_ref()).await.unwrap();
    }
    let all = arrow::compute::concat_batches(&to.schema.arrow(), &rows).unwrap();
    let half = all.num_rows() / 2;
    if step >= Step::HalfWritten {
        write(to, &all.slice(0, half), transfer.stamp()).await;
    }
    if step >= Step::Written {
        write(to, &all.slice(half, all.num_rows() - half), transfer.stamp()).await;
    }
    if step >= Step::Left
        && let Some(leaving) = leaving
    {
        transfer.leave(leaving).await.unwrap();
    }
    match step {
        Step::Ended => transfer.end().await.unwrap(),
        // A process that is killed drops nothing.
        _ => std::mem::forget(transfer),
    }
}

async fn prepare(engine: &Engine) {
    for name in ["src", "dst"] {
        let table = "(p int64, v int64) engine = MergeTree partition by p order by v";
        run(engine, &format!("create stream {name} {table}")).await;
    }
    run(engine, "insert into src values (1, 1), (2, 2), (1, 3), (1, 5), (2, 6), (1, 7)").await;
    run(engine, "insert into dst values (1, 100)").await;
    run(engine, "insert into dst values (3, 101)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_any_step_leaves_all_of_it_or_nothing() {
    for copies in [false, true] {
        for step in STEPS {
            let dir = tempfile::tempdir().unwrap();
            let engine = open(dir.path());
            prepare(&engine).await;
            go_until(&engine, step, copies).await;
            engine.close(Duration::from_secs(10)).await;
            for again in 0..2 {
                let engine = open(dir.path());
                let found = (
                    run(&engine, "select v from src order by v").await,
                    run(&engine, "select v from dst order by v").await,
                );
                let all = "1 2 3 5 6 7".to_string();
                let wanted = match (copies, step >= Step::Left) {
                    (false, true) => ("2 6".to_string(), "1 3 5 7 100 101".to_string()),
                    (true, _) if step == Step::Ended => (all, "1 3 5 7 100 101".to_string()),
                    _ => (all, "100 101".to_string()),
                };
                assert_eq!(found, wanted, "{step:?}, copies: {copies}, start {again}");
                let open = engine.inner().catalog_store.list().iter().filter(|e| e.kind == record::TRANSFER).count();
                assert_eq!(open, 0, "{step:?}: nothing is left to be settled");
                engine.close(Duration::from_secs(10)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_is_dropped_is_taken_back_and_the_tables_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    prepare(&engine).await;
    let (src, dst) = (stream(&engine, "src"), stream(&engine, "dst"));
    let (from, to) = (src.stored().unwrap(), dst.stored().unwrap());
    for undone in [false, true] {
        let mut transfer =
            Transfer::begin(engine.inner(), (dst.info.uuid, to), Some((src.info.uuid, from))).await.unwrap();
        let chosen: Change = Arc::new(|rows| Ok(Some(filter_record_batch(rows, &is_first(rows)).unwrap())));
        let leaving = transfer.leaving(Arc::clone(&chosen), chosen).await.unwrap().unwrap();
        transfer.intend(Some(&leaving)).await.unwrap();
        write(to, &leaving.rows[0], transfer.stamp()).await;
        match undone {
            true => transfer.undo().await.unwrap(),
            false => drop(transfer),
        }
        // The next one waits until it is settled.
        let next = Transfer::begin(engine.inner(), (src.info.uuid, from), Some((dst.info.uuid, to))).await.unwrap();
        assert_eq!(run(&engine, "select v from dst order by v").await, "100 101");
        assert_eq!(run(&engine, "select v from src order by v").await, "1 2 3 5 6 7");
        drop(next);
    }
    assert!(engine.inner().catalog_store.list().iter().all(|e| e.kind != record::TRANSFER));
    run(&engine, "alter stream src move partition 1 to table dst").await;
    assert_eq!(run(&engine, "select v from dst order by v").await, "1 3 5 7 100 101");
    assert_eq!(run(&engine, "select v from src order by v").await, "2 6");
    engine.close(Duration::from_secs(10)).await;
}
