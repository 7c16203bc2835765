//! An INSERT is seen whole or not at all.

use crate::kit::{World, row_of};
use futures::stream::{StreamExt, unfold};
use hydron_engine::{Engine, Input, Item, QueryOptions};
use hydron_types::{Batch, ColumnBuilder, Field, LogicalType, Schema, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

async fn count(engine: &Engine, text: &str) -> u64 {
    let mut session = engine.session("me", "");
    let mut running =
        engine.execute(&mut session, text.to_string(), Input::None, QueryOptions::default()).await.unwrap();
    let mut found = 0;
    while let Some(item) = running.next().await.unwrap() {
        if let Item::Rows(batch) = item
            && batch.rows() > 0
        {
            found = match row_of(&batch, 0)[0] {
                Value::UInt(n) => n,
                ref other => panic!("{other:?}"),
            };
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_insert_over_several_shards_is_seen_whole() {
    let mut world = World::open();
    world.run("create stream s (i int64) settings shards = 4, sharding_expr = 'to_uint64(i)'").await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (engine, stop) = (world.engine.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut seen = 0;
                while !stop.load(Ordering::Relaxed) {
                    let now = count(&engine, "select count() from table(s)").await;
                    assert!(now % 40 == 0 && now >= seen, "{now} rows are seen after {seen}");
                    seen = now;
                }
            })
        })
        .collect();
    let values: Vec<String> = (0..40).map(|i| format!("({i})")).collect();
    for n in 1..=100 {
        world.run(&format!("insert into s (i) values {}", values.join(", "))).await.unwrap();
        assert_eq!(count(&world.engine, "select count() from table(s)").await, n * 40);
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.expect("no part of an INSERT was seen");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_that_come_slowly_are_stored_while_later_ones_arrive() {
    let mut world = World::open();
    world.run("create stream s (i int64)").await.unwrap();
    let (sender, sends) = mpsc::channel(1);
    let engine = world.engine.clone();
    let insert = tokio::spawn(async move {
        let mut session = engine.session("me", "");
        let blocks = unfold(sends, |mut sends: mpsc::Receiver<Batch>| async move {
            let block = sends.recv().await?;
            Some((Ok(block), sends))
        });
        let input = Input::Batches(blocks.boxed());
        let text = "insert into s (i) values".to_string();
        let mut running = engine.execute(&mut session, text, input, QueryOptions::default()).await?;
        while running.next().await?.is_some() {}
        Ok::<(), hydron_base::Error>(())
    });
    let mut session = world.engine.session("me", "");
    let tail = world.engine.execute(&mut session, "select i from s".to_string(), Input::None, QueryOptions::default());
    let mut tail = tail.await.unwrap();
    for n in 1..=3_u64 {
        let mut column = ColumnBuilder::new(&LogicalType::Int64);
        column.append(&Value::Int(7)).unwrap();
        let schema = Schema::new(vec![Field::new("i", LogicalType::Int64)]);
        sender.send(Batch::new(Arc::new(schema), vec![column.finish().unwrap()], 1)).await.unwrap();
        let wait = async {
            while let Ok(Some(item)) = tail.next().await {
                if matches!(item, Item::Rows(batch) if batch.rows() > 0) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .expect("the row is there before the next one is sent");
        assert_eq!(count(&world.engine, "select count() from table(s)").await, n);
    }
    drop(sender);
    insert.await.unwrap().unwrap();
    assert_eq!(count(&world.engine, "select count() from table(s)").await, 3);
}
