//! `parse(print(tree)) == tree` for generated text.

use hydron_sql::parse_expression;
use proptest::prelude::*;

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a"),
        Just("t.b"),
        Just("1"),
        Just("-1"),
        Just("1.5"),
        Just("0xff"),
        Just("18446744073709551616"),
        Just("'x\\'y'"),
        Just("NULL"),
        Just("true"),
        Just("5s"),
        Just("-10M"),
        Just("inf"),
        Just("`odd name`"),
        Just("*"),
        Just("{p:array(uint8)}"),
        Just("c:a.b[0]"),
        Just("1e30"),
        Just("t.1"),
        Just("(SELECT 1)"),
        Just("count(DISTINCT a)"),
        Just("INTERVAL 2 DAY"),
        Just("$$ b $$"),
        Just("DATE '2020-01-01'"),
    ]
    .prop_map(str::to_owned)
}

fn expression() -> impl Strategy<Value = String> {
    leaf().prop_recursive(5, 48, 4, |inner| {
        let binary = prop_oneof![
            Just("+"),
            Just("-"),
            Just("*"),
            Just("/"),
            Just("%"),
            Just("DIV"),
            Just("="),
            Just("!="),
            Just("<"),
            Just(">="),
            Just("<=>"),
            Just("AND"),
            Just("OR"),
            Just("||"),
            Just("LIKE"),
            Just("NOT ILIKE"),
        ];
        let one = || inner.clone();
        prop_oneof![
            (one(), binary, one()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            one().prop_map(|a| format!("({a})")),
            one().prop_map(|a| format!("(-({a}))")),
            one().prop_map(|a| format!("(NOT {a})")),
            one().prop_map(|a| format!("({a} AS z)")),
            one().prop_map(|a| format!("({a}) IS NOT NULL")),
            one().prop_map(|a| format!("({a})::array(nullable(int8))")),
            (one(), one()).prop_map(|(a, b)| format!("({a})[{b}]")),
            one().prop_map(|a| format!("({a}).1")),
            one().prop_map(|a| format!("({a}).name")),
            (one(), one()).prop_map(|(a, b)| format!("({a}) IN ({b}, 1)")),
            (one(), one()).prop_map(|(a, b)| format!("({a}) NOT IN ({b})")),
            (one(), one(), one()).prop_map(|(a, b, c)| format!("(({a}) BETWEEN ({b}) AND ({c}))")),
            (one(), one(), one()).prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
            (one(), one()).prop_map(|(a, b)| format!("CASE WHEN {a} THEN {b} END")),
            (one(), one()).prop_map(|(a, b)| format!("CASE {a} WHEN {b} THEN 1 ELSE 2 END")),
            (one(), one()).prop_map(|(a, b)| format!("f({a}, (x, y) -> {b})")),
            (one(), one()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (one(), one()).prop_map(|(a, b)| format!("({a}, {b})")),
            one().prop_map(|a| format!("(INTERVAL ({a}) MONTH)")),
            one().prop_map(|a| format!(
                "sum({a}) FILTER(WHERE {a}) OVER (PARTITION BY {a} ORDER BY {a} ROWS 1 PRECEDING)"
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printed_expressions_read_back(text in expression()) {
        if let Ok(tree) = parse_expression(&text) {
            let printed = tree.to_string();
            let again = parse_expression(&printed);
            prop_assert!(again.is_ok(), "{text}\n{printed}\n{again:?}");
            prop_assert_eq!(again.ok(), Some(tree), "{}\n{}", text, printed);
        }
    }

    #[test]
    fn any_text_gives_an_answer(text in "[ -~\n]{0,60}") {
        let _ = hydron_sql::parse_statement(&text);
        let _ = hydron_sql::parse_many(&text).count();
    }

    #[test]
    fn any_run_of_words_gives_an_answer(words in proptest::collection::vec(prop_oneof![
        Just("SELECT"), Just("FROM"), Just("("), Just(")"), Just("a"), Just(","), Just("'s'"), Just("WITH"), Just("AS"),
        Just("INTERVAL"), Just("1"), Just("UNION"), Just("."), Just("["), Just("]"), Just("->"), Just("INSERT INTO"),
        Just("VALUES"), Just(";"), Just("é"), Just("CASE"), Just("WHEN"), Just("END"), Just("*"), Just("EXCEPT"),
    ], 0..24)) {
        let text = words.join(" ");
        let _ = hydron_sql::parse_statement(&text);
        let _ = hydron_sql::parse_many(&text).count();
    }
}
