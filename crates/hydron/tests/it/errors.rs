//! Bad input gets Proton's code and name, with the place in the query, and the server goes on.

use crate::server::Server;

#[test]
fn bad_input_is_answered_with_code_name_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    server.ask("create stream s (i int32, t string)");
    // statement | code and name | place
    let cases = [
        ("selec 1", "Code: 62.", "SYNTAX_ERROR", "(line 1, column 1)"),
        ("select 1 +", "Code: 62.", "SYNTAX_ERROR", "(line 1, column 11)"),
        ("select\n  nothing_here from s", "Code: 47.", "UNKNOWN_IDENTIFIER", "(line 2, column 3)"),
        ("select no_such_function(1)", "Code: 46.", "UNKNOWN_FUNCTION", "(line 1, column 8)"),
        ("select plus(1, 'a')", "Code: 43.", "ILLEGAL_TYPE_OF_ARGUMENT", "(line 1, column 8)"),
        ("select length()", "Code: 42.", "NUMBER_OF_ARGUMENTS_DOESNT_MATCH", "(line 1, column 8)"),
        ("select i, count() from table(s)", "Code: 215.", "NOT_AN_AGGREGATE", "(line 1, column 8)"),
        (
            "select i + 1, count()\n, i from table(s) group by i + 1",
            "Code: 215.",
            "NOT_AN_AGGREGATE",
            "(line 2, column 3)",
        ),
        ("select sum(i) from table(s) order by t", "Code: 215.", "NOT_AN_AGGREGATE", "(line 1, column 38)"),
        ("select * from no_such_stream", "Code: 60.", "UNKNOWN_STREAM", "(line 1, column 15)"),
        ("drop stream\n no_such_stream", "Code: 60.", "UNKNOWN_STREAM", "(line 2, column 2)"),
        ("show create stream no_such_stream", "Code: 60.", "UNKNOWN_STREAM", "(line 1, column 20)"),
        ("describe no_such_stream", "Code: 60.", "UNKNOWN_STREAM", "(line 1, column 10)"),
        ("rename stream no_such_stream to x", "Code: 60.", "UNKNOWN_STREAM", "(line 1, column 15)"),
        ("create view v as select * from no_such_stream", "Code: 60.", "UNKNOWN_STREAM", "(line 1, column 32)"),
        ("create stream s (i int32)", "Code: 57.", "STREAM_ALREADY_EXISTS", "(line 1, column 15)"),
        ("create stream no_such_database.s (i int32)", "Code: 81.", "UNKNOWN_DATABASE", "(line 1, column 15)"),
        ("create stream x (i no_such_type)", "Code: 50.", "UNKNOWN_TYPE", "(line 1, column 18)"),
        ("create stream x (i int32, j int32 default k + 1)", "Code: 47.", "UNKNOWN_IDENTIFIER", "(line 1, column 43)"),
        ("create stream x (i int32, i int32)", "Code: 15.", "DUPLICATE_COLUMN", "(line 1, column 27)"),
        ("insert into no_such_stream values (1)", "Code: 60.", "UNKNOWN_STREAM", "(line 1, column 13)"),
        (
            "insert into s (i, no_such_column) values (1)",
            "Code: 16.",
            "NO_SUCH_COLUMN_IN_STREAM",
            "(line 1, column 19)",
        ),
        ("set no_such_setting = 1", "Code: 115.", "UNKNOWN_SETTING", "(line 1, column 5)"),
        (
            "select 1 settings max_threads = 'x'",
            "Code: 27.",
            "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
            "(line 1, column 19)",
        ),
    ];
    for (statement, code, name, place) in cases {
        let (status, body) = server.try_ask(statement, &[]).expect("the server answers");
        assert_ne!(status, 200, "{statement}: {body}");
        for expected in [code, name, place] {
            assert!(body.contains(expected), "{statement}: '{expected}' is not in: {body}");
        }
    }
    assert_eq!(server.ask("select 1").trim(), "1");
}

#[test]
fn depth_and_length_give_an_answer_or_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    let sum = format!("select {}", vec!["1"; 50_000].join("+"));
    let either = format!("select {}", vec!["1 = 1"; 50_000].join(" or "));
    let nested = format!("select {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    for statement in [sum, either, nested] {
        let (_, body) = server.try_ask(&statement, &[]).expect("the server answers");
        assert!(!body.is_empty());
    }
    assert_eq!(server.ask("select 1").trim(), "1");
}
