//! Tables of engines that say which rows count, after a restart and after OPTIMIZE.

use crate::kit::World;
use hydron_base::Code;
use hydron_types::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_are_the_same_after_a_restart() {
    let mut world = World::open();
    for sql in [
        "create stream j (k uint64, s string) engine = Join(ANY, LEFT, k) settings join_any_take_last_row = 1",
        "insert into j values (1, 'a'), (2, 'b')",
        "insert into j values (1, 'newer')",
        "create stream c (k int, s int8) engine = CollapsingMergeTree(s) order by k",
        "insert into c values (1, 1), (2, 1)",
        "insert into c values (1, -1)",
        "create stream x (k uint64) engine = Set",
        "insert into x values (2)",
        "create stream b (k int) engine = Buffer(current_database(), later, 1, 1, 1, 1, 1, 1, 1)",
        "insert into b values (7)",
    ] {
        world.run(sql).await.unwrap();
    }
    for time in 0..3 {
        let asked = world.run("select join_get(j, 's', to_uint64(1))").await.unwrap();
        assert_eq!(asked, vec![vec![Value::string("newer")]], "opened {time} times");
        let kept = world.run("select k from c final").await.unwrap();
        assert_eq!(kept, vec![vec![Value::Int(2)]], "opened {time} times");
        let found = world.run("select number from numbers(4) where number in x").await.unwrap();
        assert_eq!(found, vec![vec![Value::UInt(2)]], "opened {time} times");
        let waiting = world.run("select k from b").await.unwrap();
        assert_eq!(waiting, vec![vec![Value::Int(7)]], "opened {time} times");
        if time == 1 {
            world.run("optimize stream c final").await.unwrap();
            world.run("optimize stream j").await.unwrap();
            assert_eq!(world.run("select count() from c").await.unwrap(), vec![vec![Value::UInt(1)]]);
        }
        world.reopen().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_merged_in_memory_counts_as_the_querys() {
    let mut world = World::open();
    world.run("create stream r (k uint64, s string) engine = ReplacingMergeTree order by k").await.unwrap();
    world.run("insert into r select number, repeat('x', 1000) from numbers(20000)").await.unwrap();
    let refused = world.run("select count() from r final settings max_memory_usage = 1000000").await.unwrap_err();
    assert_eq!(refused.code, Code::MEMORY_LIMIT_EXCEEDED);
    let refused = world.run("optimize stream r final settings max_memory_usage = 1000000").await;
    assert!(refused.is_ok() || refused.unwrap_err().code == Code::MEMORY_LIMIT_EXCEEDED);
    assert_eq!(world.run("select count() from r final").await.unwrap(), vec![vec![Value::UInt(20000)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temporary_stream_goes_with_its_session() {
    let mut world = World::open();
    world.run("create temporary stream t (a int)").await.unwrap();
    world.run("insert into t values (1)").await.unwrap();
    let logs = |world: &World| std::fs::read_dir(world.data_dir().join("history")).unwrap().count();
    assert_eq!(logs(&world), 1);
    let mine = std::mem::replace(&mut world.session, world.engine.session("me", ""));
    assert_eq!(world.run("select * from t").await.unwrap_err().code, Code::UNKNOWN_STREAM);
    let theirs = std::mem::replace(&mut world.session, mine);
    assert_eq!(world.run("select * from t").await.unwrap(), vec![vec![Value::Int(1)]]);
    world.session = theirs;
    // The files are removed on another thread.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while logs(&world) > 0 {
        assert!(std::time::Instant::now() < deadline, "the files of the session's stream stay");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_temporary_streams_and_their_files() {
    let mut world = World::open();
    world.run("create temporary stream t (a int)").await.unwrap();
    world.run("insert into t values (1)").await.unwrap();
    world.reopen().await;
    assert_eq!(std::fs::read_dir(world.data_dir().join("history")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dictionary_is_there_after_a_restart() {
    let mut world = World::open();
    for sql in [
        "create stream s (id uint64, name string) engine = Memory",
        "insert into s values (1, 'one')",
        "create dictionary d (id uint64, name string default 'none') primary key id \
         source(clickhouse(table 's')) lifetime(0) layout(flat())",
    ] {
        world.run(sql).await.unwrap();
    }
    world.reopen().await;
    let asked = world.run("select dict_get('d', 'name', 1), dict_get('d', 'name', 2)").await.unwrap();
    assert_eq!(asked, vec![vec![Value::string("one"), Value::string("none")]]);
    let refused = world.run("drop stream s").await.unwrap_err();
    assert_eq!(refused.code, Code::HAVE_DEPENDENT_OBJECTS);
    world.run("drop dictionary d").await.unwrap();
    world.reopen().await;
    assert_eq!(world.run("exists dictionary d").await.unwrap(), vec![vec![Value::UInt(0)]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_moved_are_where_they_were_after_a_restart() {
    let mut world = World::open();
    for sql in [
        "create stream a (p int, v int) engine = MergeTree partition by p order by v",
        "create stream b (p int, v int) engine = MergeTree partition by p order by v",
        "insert into a values (1, 1), (2, 2)",
        "insert into b values (3, 9)",
        "alter stream a move partition 1 to table b",
        "alter stream b replace partition 3 from a",
        "alter stream b freeze with name 'kept'",
    ] {
        world.run(sql).await.unwrap();
    }
    world.reopen().await;
    let pair = |p, v| vec![Value::Int(p), Value::Int(v)];
    assert_eq!(world.run("select p, v from a").await.unwrap(), vec![pair(2, 2)]);
    assert_eq!(world.run("select p, v from b").await.unwrap(), vec![pair(1, 1)]);
    let frozen = std::fs::read_dir(world.data_dir().join("shadow/kept")).unwrap().next().unwrap().unwrap();
    let names: Vec<String> =
        std::fs::read_dir(frozen.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().any(|n| n == "create.sql") && names.iter().any(|n| n.ends_with(".parquet")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn detached_rows_come_back_after_a_restart_and_go_with_their_stream() {
    let mut world = World::open();
    for sql in [
        "create stream a (p int, v int) engine = MergeTree partition by p order by v",
        "insert into a values (1, 1), (2, 2)",
        "alter stream a detach partition 1",
    ] {
        world.run(sql).await.unwrap();
    }
    world.reopen().await;
    assert_eq!(world.run("select v from a").await.unwrap(), vec![vec![Value::Int(2)]]);
    world.run("alter stream a attach partition 1").await.unwrap();
    let all = world.run("select v from a order by v").await.unwrap();
    assert_eq!(all, vec![vec![Value::Int(1)], vec![Value::Int(2)]]);
    world.run("drop stream a").await.unwrap();
    assert_eq!(std::fs::read_dir(world.data_dir().join("history")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_asked_by_key_counts_as_the_querys_memory() {
    let mut world = World::open();
    for sql in [
        "create stream j (k uint64, s string) engine = Join(ANY, LEFT, k)",
        "insert into j select number, repeat('x', 100) from numbers(20000)",
        "create dictionary d (k uint64, s string) primary key k source(clickhouse(table 'r')) lifetime(0) layout(flat())",
        "create stream r (k uint64, s string) engine = Memory",
        "insert into r select number, repeat('x', 100) from numbers(20000)",
    ] {
        world.run(sql).await.unwrap();
    }
    for asked in ["join_get('j', 's', number)", "dict_get('d', 's', number)"] {
        let sql =
            |max: u64| format!("select count() from numbers(3) where {asked} = '' settings max_memory_usage = {max}");
        let refused = world.run(&sql(100_000)).await.unwrap_err();
        assert_eq!(refused.code, Code::MEMORY_LIMIT_EXCEEDED, "{asked}");
        assert_eq!(world.run(&sql(1 << 30)).await.unwrap(), vec![vec![Value::UInt(0)]], "{asked}");
    }
}
