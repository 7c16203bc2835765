//! What stands in an answer beside its rows.

use crate::server::Server;

#[test]
fn extremes_and_rows_before_the_limit_follow_the_rows() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    let rows = "select x, s, (x, s) as t from values('x uint8, s string', (3, 'b'), (1, 'a'), (2, 'c'))";
    let query = format!("{rows} order by x settings extremes = 1");
    assert_eq!(server.ask(&query), "1\ta\t(1,'a')\n2\tc\t(2,'c')\n3\tb\t(3,'b')\n\n1\ta\t(1,'a')\n3\tc\t(3,'c')\n");
    assert_eq!(
        server.ask("select array_join([nan, 2, NULL, 1.5]) as x settings extremes = 1"),
        "nan\n2\n\\N\n1.5\n\n1.5\n2\n"
    );
    assert_eq!(server.ask("select 1 where 0 settings extremes = 1"), "");

    server.ask("create stream s (i int32)");
    server.ask("insert into s (i) select to_int32(number) from numbers(100)");
    let parameters = [("output_format_write_statistics", "0"), ("extremes", "1")];
    let (_, answer) = server
        .try_ask("select i from table(s) where i >= 10 order by i limit 2 format JSON", &parameters)
        .expect("the server answers");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["rows"], 2);
    assert_eq!(answer["rows_before_limit_at_least"], 90);
    assert_eq!((&answer["extremes"]["min"]["i"], &answer["extremes"]["max"]["i"]), (&10.into(), &11.into()));
    let without = server.ask("select i from table(s) where i < 2 format JSON");
    assert!(!without.contains("rows_before_limit"), "{without}");
}
