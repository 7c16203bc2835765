//! Opening a directory again: what was there is there.

use crate::kit::World;
use hydron_types::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_object_of_every_database_is_there_each_time() {
    let mut world = World::open();
    for database in ["a", "b", "c"] {
        world.run(&format!("create database {database}")).await.unwrap();
        for n in 0..4 {
            world.run(&format!("create stream {database}.s{n} (i int)")).await.unwrap();
        }
    }
    let sql = "select count() from system.tables where database in ('a', 'b', 'c')";
    // Entries are loaded by several threads at once, which may end in any order.
    for time in 0..30 {
        assert_eq!(world.run(sql).await.unwrap(), vec![vec![Value::UInt(12)]], "opened {time} times");
        world.reopen().await;
    }
}
