//! EMIT AFTER SESSION CLOSE: groups that answer once, when they are over.

use super::sql::told;

#[test]
fn a_group_is_over_when_it_is_too_long_or_silent() {
    told(
        "SELECT k, count(), sum(i) FROM s GROUP BY k EMIT AFTER SESSION CLOSE IDENTIFIED BY t WITH MAXSPAN 5s AND TIMEOUT 2s",
        "
        rows 0s a 1, 1s b 5         | nothing
        rows 5s a 2                 | nothing
        rows 6s a 4, 7s a 8, 2s b 1 | a 3 7
        after 2s                    | a 1 8; b 2 6
        after 5s                    | nothing
        rows 9s a 1                 | nothing
        rows 10s a 1, 0s b 3        | nothing
        after 2s                    | a 2 2; b 1 3
        ",
    );
}

#[test]
fn only_long_groups_answer_where_that_is_asked() {
    told(
        "SELECT k, count() FROM s GROUP BY k EMIT AFTER KEY EXPIRE IDENTIFIED BY t WITH ONLY MAXSPAN 500ms AND TIMEOUT 1s",
        "
        rows 0s a, 0s b | nothing
        after 1s        | nothing
        rows 0s a, 0s b | nothing
        rows 2s a       | a 2
        after 2s        | nothing
        ",
    );
}

#[test]
fn conditions_start_and_end_groups() {
    let select = "SELECT k, count(), sum(i) FROM s GROUP BY k EMIT AFTER SESSION CLOSE IDENTIFIED BY (t, i = 1, i = 9) WITH MAXSPAN 1h";
    told(
        select,
        "
        rows 0s a 5, 0s a 1, 0s a 2, 0s a 9, 0s a 3 | a 3 12
        rows 0s a 9, 0s b 1, 0s b 9, 0s b 1, 0s b 9 | b 2 10 / b 2 10
        rows 0s a 1, 0s a 2                         | nothing
        rows 0s a 1, 0s a 9                         | a 2 3 / a 2 10
        ",
    );
    told(
        &format!("{select} SETTINGS merge_open_sessions = 1, include_session_end = 0"),
        "
        rows 0s a 1, 0s a 2, 0s a 1, 0s a 9 | a 3 4
        ",
    );
}

#[test]
fn a_session_below_another_aggregation_is_a_row_like_others() {
    told(
        "SELECT count(), max(c) FROM (SELECT k, count() AS c FROM s GROUP BY k EMIT AFTER SESSION CLOSE IDENTIFIED BY t WITH MAXSPAN 1s) EMIT ON UPDATE",
        "
        rows 0s a, 0s b, 2s a | 1 2
        rows 2s b, 4s a       | 2 2
        rows 9s a             | 3 2
        ",
    );
}

#[test]
fn the_end_closes_what_is_open() {
    let select = "SELECT k, count() FROM s GROUP BY k EMIT AFTER SESSION CLOSE IDENTIFIED BY t WITH MAXSPAN 5s";
    told(select, "rows 0s a, 0s b, 1s a | nothing\nend | a 2; b 1");
}

#[test]
fn what_is_over_takes_no_room_and_what_is_open_stays() {
    let rows: String = (0..40).map(|n| format!("rows {} | nothing\n", many(n))).collect();
    told(
        "SELECT count(), max(c) FROM (SELECT k, count() AS c FROM s GROUP BY k EMIT AFTER SESSION CLOSE IDENTIFIED BY (t, i > 0, i = 9) WITH MAXSPAN 5s) EMIT PERIODIC 10s",
        &format!("rows 0s keep 1 | nothing\n{rows}rows 9s keep 0 | nothing\nafter 10s | 2401 2"),
    );
}

/// Sixty keys that nobody has seen before, each with one row that ends its session.
fn many(n: usize) -> String {
    (0..60).map(|i| format!("0s k{} 9", n * 60 + i)).collect::<Vec<_>>().join(", ")
}
