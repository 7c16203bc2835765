//! What functions are told about the server they run in.

use crate::kit::World;
use hydron_base::Code;
use hydron_types::Value;

async fn one(world: &mut World, expression: &str) -> Value {
    let mut rows = world.run(&format!("select {expression}")).await.expect(expression);
    rows.remove(0).remove(0)
}

async fn code(world: &mut World, expression: &str) -> Code {
    world.run(&format!("select {expression}")).await.expect_err(expression).code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_ask_their_server() {
    let mut world = World::open();
    let text = |t: &str| Value::string(t);
    assert_eq!(one(&mut world, "get_server_port('tcp_port')").await, Value::UInt(8463));
    assert_eq!(one(&mut world, "TCP_Port()").await, Value::UInt(8463));
    assert_eq!(code(&mut world, "get_server_port('no_port')").await, Code::CLUSTER_DOESNT_EXIST);
    assert_ne!(one(&mut world, "query_id()").await, text(""));
    assert_eq!(one(&mut world, "filesystem_capacity() >= filesystem_available()").await, Value::Bool(true));

    let files = world.data_dir().join("user_files");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("a.txt"), "hello").unwrap();
    std::fs::write(world.data_dir().join("secret"), "secret").unwrap();
    assert_eq!(one(&mut world, "file('a.txt')").await, text("hello"));
    assert_eq!(code(&mut world, "file('none.txt')").await, Code::FILE_DOESNT_EXIST);
    assert_eq!(code(&mut world, "file('../secret')").await, Code::DATABASE_ACCESS_DENIED);
    assert_eq!(one(&mut world, "file('none.txt', 'default')").await, text("default"));
    assert_eq!(one(&mut world, "file('none.txt', NULL)").await, Value::Null);

    world.run("create stream facts (x int, name string)").await.unwrap();
    assert_eq!(one(&mut world, "has_column_in_table('default', 'facts', 'name')").await, Value::Bool(true));
    assert_eq!(one(&mut world, "has_column_in_table('default', 'facts', 'none')").await, Value::Bool(false));
    assert_eq!(one(&mut world, "has_column_in_table('system', 'tables', 'name')").await, Value::Bool(true));
    assert_eq!(code(&mut world, "has_column_in_table('default', 'none', 'x')").await, Code::UNKNOWN_STREAM);

    assert_eq!(one(&mut world, "format_row('CSVWithNames', 1, 'a\"b')").await, text("1,\"a\"\"b\"\n"));
    assert_eq!(one(&mut world, "format_row_no_newline('JSONEachRow', 1)").await, text("{\"1\":1}"));
    assert_eq!(code(&mut world, "format_row('Pretty', 1)").await, Code::BAD_ARGUMENTS);
    assert_eq!(code(&mut world, "format_row('NoFormat', 1)").await, Code::UNKNOWN_FORMAT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_found_in_any_case() {
    let mut world = World::open();
    assert_eq!(one(&mut world, "To_String(1)").await, Value::string("1"));
    assert_eq!(one(&mut world, "COUNT_IF(number > 1) from numbers(4)").await, Value::UInt(2));
    assert_eq!(one(&mut world, "VAR_SAMP(number) from numbers(3)").await, Value::Float64(1.0));
    assert_eq!(one(&mut world, "Array_Join([7])").await, Value::UInt(7));
    assert_eq!(code(&mut world, "toString(1)").await, Code::UNKNOWN_FUNCTION);
}
