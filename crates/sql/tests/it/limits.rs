//! Hostile text: deep nesting ends in an error, long flat text does not, on the stack of a server task.

use hydron_base::Code;
use hydron_sql::{parse_expression, parse_statement};

/// The stack of a task of the runtime.
const STACK: usize = 2 << 20;

fn on_small_stack(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(body).expect("a thread starts");
    thread.join().expect("the body holds");
}

fn refused(sql: &str) {
    let code = parse_statement(sql).expect_err("too deep").code;
    assert_eq!(code, Code::TOO_DEEP_RECURSION, "{}", &sql[..40]);
}

#[test]
fn ten_thousand_levels_are_refused() {
    on_small_stack(|| {
        let n = 10_000;
        let around =
            |open: &str, middle: &str, close: &str| format!("SELECT {}{middle}{}", open.repeat(n), close.repeat(n));
        refused(&around("(", "1", ")"));
        refused(&around("[", "1", "]"));
        refused(&around("f(", "1", ")"));
        refused(&around("(SELECT ", "1", ")"));
        refused(&around("- ", "a", ""));
        refused(&around("NOT ", "a", ""));
        refused(&around("a -> ", "1", ""));
        refused(&around("a ? 1 : ", "1", ""));
        refused(&around("CASE WHEN ", "1", " THEN 1 END"));
        refused(&around("1 + (", "1", ")"));
        refused(&around("INTERVAL ", "1", " DAY"));
        refused(&around("cast(", "1", " AS int8)"));
        refused(&format!("SELECT a{}", "[1]".repeat(n)));
        refused(&format!("SELECT a{}", ".1".repeat(n)));
        refused(&format!("SELECT a{}", " LIKE 'x'".repeat(n)));
        refused(&format!("SELECT a{}", " IS NULL".repeat(n)));
        refused(&format!("SELECT a{}", "::int8".repeat(n)));
        refused(&format!("SELECT x::{}int8{}", "array(".repeat(n), ")".repeat(n)));
        refused(&format!("SELECT * FROM {}t{}", "(SELECT * FROM ".repeat(n), ")".repeat(n)));
        refused(&format!("SELECT * FROM {}t{}", "table(".repeat(n), ")".repeat(n)));
        refused(&format!("{}SELECT 1{}", "(".repeat(n), ")".repeat(n)));
        refused(&format!("{}SELECT 1", "EXPLAIN ".repeat(n)));
    });
}

#[test]
fn the_deepest_accepted_trees_can_be_used() {
    on_small_stack(|| {
        let deepest = |open: &str, middle: &str, close: &str| {
            let text = |n: usize| format!("SELECT {}{middle}{}", open.repeat(n), close.repeat(n));
            let n = (1..500).take_while(|n| parse_statement(&text(*n)).is_ok()).last().expect("one level is accepted");
            (n, text(n))
        };
        for (open, middle, close) in [
            ("(", "1", ")"),
            ("f(", "1", ")"),
            ("[", "1", "]"),
            ("1 + (2 * (", "1", "))"),
            ("(SELECT ", "1", ")"),
            ("(SELECT a FROM t WHERE x IN ", "(1)", ")"),
            ("NOT ", "a", ""),
            ("CASE WHEN a THEN ", "1", " END"),
            ("f(x -> ", "1", ")"),
            ("(SELECT x FROM (SELECT y FROM t WHERE z = ", "1", "))"),
        ] {
            let (n, text) = deepest(open, middle, close);
            assert!(n >= 20, "{open}: only {n} levels");
            let parsed = parse_statement(&text).expect("accepted before");
            let copy = parsed.clone();
            assert_eq!(copy, parsed);
            let printed = parsed.statement.to_string();
            assert!(parsed.statement.pretty().len() >= printed.len());
            if let hydron_sql::ast::StatementKind::Query(q) = &parsed.statement.kind
                && let hydron_sql::ast::QueryBody::Select(s) = &q.body
            {
                assert!(!s.projection[0].canonical_name().is_empty());
                let mut count = 0;
                s.projection[0].walk(&mut |_| count += 1);
                assert!(count > 0);
            }
            println!("{open:40} {n} levels");
        }
    });
}

#[test]
fn fifty_thousand_terms_are_flat() {
    on_small_stack(|| {
        let n = 50_000;
        let chain = |operator: &str| vec!["a"; n].join(operator);
        let texts = [
            chain(" + "),
            chain(" * "),
            chain(" = "),
            chain(" AND "),
            chain(" OR "),
            chain(" || "),
            format!("[{}]", chain(", ")),
            format!("x IN ({})", chain(", ")),
            format!("f({})", chain(", ")),
            format!("CASE {} ELSE 1 END", "WHEN a THEN 1 ".repeat(n)),
            chain(" + b - "),
        ];
        for text in texts {
            let tree = parse_expression(&text).unwrap_or_else(|e| panic!("{e}: {}", &text[..40]));
            let copy = tree.clone();
            assert_eq!(copy, tree);
            assert!(!tree.column_name().is_empty());
            let printed = tree.to_string();
            assert_eq!(parse_expression(&printed).expect("printed text parses"), tree);
            let mut count = 0;
            tree.walk(&mut |_| count += 1);
            assert!(count >= n);
            let mapped = tree.map(&mut |e| e);
            assert_eq!(mapped, copy);
        }
        let union = vec!["SELECT 1"; n].join(" UNION ALL ");
        let parsed = parse_statement(&union).expect("flat");
        assert_eq!(parse_statement(&parsed.statement.to_string()).expect("flat").statement, parsed.statement);
    });
}

#[test]
fn too_many_nodes_are_refused() {
    let text = format!("SELECT {}", vec!["1"; 600_000].join(","));
    assert_eq!(parse_statement(&text).expect_err("too big").code, Code::TOO_BIG_AST);
    let doubling = format!("SELECT {}1{}", "(".repeat(40), " BETWEEN 1 AND 2)".repeat(40));
    assert_eq!(parse_statement(&doubling).expect_err("too big").code, Code::TOO_BIG_AST);
}

#[test]
fn hostile_text_takes_linear_time() {
    let start = std::time::Instant::now();
    let size = 200_000;
    for piece in [
        "$a1$",
        "'a' ",
        "/* ",
        "`",
        "(",
        "interval ",
        "a:b ",
        "1s ",
        "a AS ",
        "[",
        "{a:",
        "WITH ",
        "x -> ",
        "interval +,",
    ] {
        let text = format!("SELECT {}", piece.repeat(size / piece.len()));
        let _ = parse_statement(&text);
    }
    // A quadratic parser takes minutes here, a linear one a second even without optimization.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

/// Prints the speed; a build without optimization is some twenty times slower than the 50 ms that a release build has.
#[test]
fn a_megabyte_parses_at_once() {
    let query = "SELECT a.id, sum(b.value * 1.5 + 2) AS total, if(x = 'abc', [1, 2, 3], []) FROM t AS a INNER JOIN u AS b ON a.id = b.id \
                 WHERE a.ts > now() - INTERVAL 5 MINUTE AND b.name LIKE '%x%' GROUP BY a.id HAVING total > 10 ORDER BY total DESC LIMIT 10";
    let text = vec![query; (1 << 20) / query.len()].join(" UNION ALL ");
    let start = std::time::Instant::now();
    parse_statement(&text).expect("parses");
    let took = start.elapsed();
    println!("{} bytes in {took:?}", text.len());
    assert!(took.as_millis() < if cfg!(debug_assertions) { 5_000 } else { 500 });
}
