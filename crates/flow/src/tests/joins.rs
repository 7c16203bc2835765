//! Joins and changelogs: what a row of either side makes leave. Input 0 is the left side, input 1 the right one.

use super::sql::told;

#[test]
fn a_table_is_looked_up_once_it_is_complete() {
    told(
        "SELECT s.k, s.i, b.i FROM s JOIN table(r) AS b ON s.k = b.k",
        "
        rows@1 0s a 10, 0s b 20 | nothing
        rows 0s a 1             | nothing
        rows@1 0s a 11          | nothing
        end@1                   | a 1 10; a 1 11
        rows 0s b 2, 0s c 3     | b 2 20
        rows@1 0s c 30          | nothing
        rows 0s c 3             | nothing
        ",
    );
    told(
        "SELECT s.k, concat('(', b.k, ')'), b.i FROM s LEFT JOIN table(r) AS b ON s.i = b.i",
        "
        rows@1 0s x 1       | nothing
        end@1               | nothing
        rows 0s a 2, 0s b 1 | a () 0; b (x) 1
        ",
    );
    told(
        "SELECT s.i, b.i FROM s CROSS JOIN table(r) AS b",
        "
        rows@1 0s x 1, 0s x 2 | nothing
        end@1                 | nothing
        rows 0s a 7, 0s a 8   | 7 1; 7 2; 8 1; 8 2
        ",
    );
}

#[test]
fn any_and_asof_take_one_row_of_a_table() {
    told(
        "SELECT s.k, b.i FROM s ANY JOIN table(r) AS b ON s.k = b.k",
        "
        rows@1 0s a 1, 0s a 2 | nothing
        end@1                 | nothing
        rows 0s a             | a 1
        ",
    );
    told(
        "SELECT s.i, b.i FROM s ASOF LEFT JOIN table(r) AS b ON s.k = b.k AND s.i >= b.i",
        "
        rows@1 0s a 5, 0s a 1, 0s a 9   | nothing
        end@1                           | nothing
        rows 0s a 0, 0s a 5, 0s a 8     | 0 0; 5 5; 8 5
        ",
    );
}

#[test]
fn a_condition_on_the_left_of_a_left_join_decides_about_matches() {
    told(
        "SELECT s.i, b.i FROM s LEFT JOIN table(r) AS b ON s.k = b.k AND s.i > 1",
        "
        rows@1 0s a 10      | nothing
        end@1               | nothing
        rows 0s a 1, 0s a 2 | 1 0; 2 10
        ",
    );
}

#[test]
fn windows_of_the_left_side_close_behind_a_join() {
    told(
        "SELECT window_start, sum(b.i) FROM tumble(s, t, 5s) JOIN table(r) AS b ON s.k = b.k GROUP BY window_start",
        "
        rows@1 0s a 10      | nothing
        end@1               | nothing
        rows 0s a, 1s a     | nothing
        rows 4s c           | nothing
        rows 9s c           | 0s 20
        ",
    );
}

#[test]
fn two_appended_streams_meet_whoever_comes_first() {
    told(
        "SELECT s.i, r.i FROM s JOIN r ON s.k = r.k",
        "
        rows@0 0s a 1         | nothing
        rows@1 0s a 10        | 1 10
        rows@1 0s b 20, 0s a 11 | 1 11
        rows@0 0s a 2, 0s b 3 | 2 10; 2 11; 3 20
        rows@0 0s a 1         | 1 10; 1 11
        ",
    );
    told(
        "SELECT s.i, r.i FROM s LEFT JOIN r ON s.k = r.k",
        "
        rows@0 0s a 1         | 1 0
        rows@1 0s a 10        | 1 10
        rows@0 0s a 2         | 2 10
        ",
    );
}

#[test]
fn a_keyed_right_side_enriches_left_rows() {
    let story = "
        past@1                  | nothing
        rows@1 0s a 10, 0s b 20 | nothing
        rows@0 0s a 1           | nothing
        new@1                   | 1 10
        rows@1 0s a 11          | nothing
        rows@0 0s a 2, 0s c 3   | 2 11
        ";
    told("SELECT s.i, kv.i FROM s JOIN kv ON s.k = kv.k", story);
    told(
        "SELECT s.i, c.i FROM s LEFT JOIN changes AS c ON s.k = c.k",
        "
        rows@1 0s a 10          | nothing
        rows@0 0s a 1           | 1 10
        rows@1 -0s a 10         | nothing
        rows@0 0s a 2           | 2 0
        ",
    );
}

#[test]
fn asof_and_latest_of_two_streams() {
    told(
        "SELECT s.i, r.i FROM s ASOF JOIN r ON s.k = r.k AND s.i < r.i",
        "
        rows@1 0s a 1, 0s a 2 | nothing
        rows@0 0s a 0         | 0 1
        rows@1 0s a 4, 0s a 6 | nothing
        rows@0 0s a 0         | 0 2
        ",
    );
    told(
        "SELECT s.i, r.i FROM s LEFT LATEST JOIN r ON s.k = r.k",
        "
        rows@0 0s a 1         | 1 0
        rows@1 0s a 1, 0s a 2 | nothing
        rows@0 0s a 2         | 2 2
        ",
    );
}

#[test]
fn left_rows_wait_until_the_right_side_has_come_as_far() {
    told(
        "SELECT s.i, r.i FROM s LEFT ASOF JOIN r ON s.k = r.k AND s.t > r.t AND lag_behind(1ms, s.t, r.t) SETTINGS join_quiesce_threshold_ms = 20000",
        "
        rows@0 4s a 1          | nothing
        rows@1 6s a 10         | 1 0
        rows@0 5s a 2          | 2 0
        rows@0 8s a 3          | nothing
        rows@1 7s a 11         | nothing
        rows@0 9s a 4, 6s a 5  | 5 0
        rows@1 10s a 12        | 3 11 / 4 11
        rows@0 90s a 6         | nothing
        after 19s              | nothing
        rows@1 11s a 13        | nothing
        after 19s              | nothing
        after 20s              | 6 13
        ",
    );
    told(
        "SELECT s.i, r.i FROM s JOIN r ON s.k = r.k AND lag_behind(2s, s.t, r.t)",
        "
        rows@1 1s a 1  | nothing
        rows@0 3s a 1  | 1 1
        rows@0 9s a 2  | nothing
        after 1s       | 2 1
        rows@0 99s a 3 | nothing
        end@0          | 3 1
        ",
    );
}

#[test]
fn a_range_joins_rows_close_in_time() {
    told(
        "SELECT s.i, r.i FROM s JOIN r ON s.k = r.k AND date_diff_within(10s, s.t, r.t)",
        "
        rows@0 100s a 1                     | nothing
        rows@1 89s a 1, 90s a 2, 110s a 3   | 1 2; 1 3
        rows@1 111s a 4, 100s b 5           | nothing
        rows@0 101s a 2                     | 2 3; 2 4
        rows@1 500s a 6                     | nothing
        rows@0 500s a 3                     | 3 6
        rows@1 100s a 7                     | nothing
        ",
    );
    told(
        "SELECT s.i, r.i FROM s LEFT JOIN r ON s.k = r.k AND date_diff_within(10s, s.t, r.t)",
        "
        rows@0 100s a 1, 100s b 2, 105s a 3 | nothing
        rows@1 110s a 1                     | 1 1; 3 1
        rows@1 200s c 9                     | nothing
        rows@0 131s a 4                     | 2 0
        rows@0 180s a 5                     | 4 0
        rows@1 185s a 6                     | 5 6
        rows@0 50s a 7                      | 7 0
        rows@0 198s d 8                     | nothing
        end@1                               | nothing
        end@0                               | 8 0
        ",
    );
    // In ON date_diff(unit, a, b) is a - b.
    told(
        "SELECT s.i, r.i FROM s JOIN r ON s.k = r.k AND date_diff('second', s.t, r.t) > 0 AND date_diff('second', s.t, r.t) <= 9",
        "
        rows@0 100s a 1                              | nothing
        rows@1 90s a 1, 91s a 2, 99s a 3, 100s a 4   | 1 2; 1 3
        ",
    );
    told(
        "SELECT s.k, r.k FROM s JOIN r ON s.k = r.k AND r.i - s.i BETWEEN -1 AND 2",
        "
        rows@0 0s a 10                    | nothing
        rows@1 0s a 8, 0s a 9, 0s a 12    | a a; a a
        ",
    );
}

#[test]
fn two_changing_streams_make_a_changelog() {
    told(
        "SELECT c.i, o.i, _tp_delta FROM changes AS c JOIN others AS o ON c.k = o.k",
        "
        rows@0 0s a 1                | nothing
        rows@1 0s a 10, 0s a 11      | 1 10 1; 1 11 1
        rows@0 -0s a 1, 0s a 2       | 1 10 -1; 1 11 -1; 2 10 1; 2 11 1
        rows@1 -0s a 11              | 2 11 -1
        rows@1 -0s a 99              | nothing
        ",
    );
    told(
        "SELECT c.i, o.i, _tp_delta FROM changes AS c LEFT JOIN others AS o ON c.k = o.k",
        "
        rows@0 0s a 1   | 1 0 1
        rows@1 0s a 10  | 1 0 -1; 1 10 1
        rows@1 0s a 11  | 1 11 1
        rows@1 -0s a 10 | 1 10 -1
        rows@1 -0s a 11 | 1 0 1; 1 11 -1
        rows@0 -0s a 1  | 1 0 -1
        ",
    );
    told(
        "SELECT a.k, sum(a.i), count() FROM kv AS a JOIN kv AS b ON a.k = b.k GROUP BY a.k EMIT ON UPDATE",
        "
        rows@1 0s x 1 | nothing
        rows@0 0s x 4 | x 4 1
        rows@0 0s x 6 | x 6 1
        ",
    );
}

#[test]
fn rows_that_replace_each_other_are_withdrawn() {
    told(
        "SELECT k, i, _tp_delta FROM changelog(s, k)",
        "
        rows 0s a 1          | a 1 1
        rows 0s a 2, 0s b 1  | a 1 -1; a 2 1; b 1 1
        rows 0s a 3, 0s a 4  | a 2 -1; a 4 1
        ",
    );
    told(
        "SELECT k, i, _tp_delta FROM changelog(s, k, i, true)",
        "
        rows 0s a 5          | a 5 1
        rows 0s a 4          | nothing
        rows 0s a 5, 0s a 2  | a 5 -1; a 5 1
        ",
    );
    told(
        "SELECT count(), min(i), max(i) FROM kv EMIT ON UPDATE",
        "
        rows 0s a 1, 0s b 6  | 2 1 6
        rows 0s a 7          | 2 6 7
        ",
    );
    told(
        "SELECT count_distinct(i), count(DISTINCT k) FROM kv EMIT ON UPDATE",
        "
        rows 0s a 1, 0s b 1  | 1 2
        rows 0s a 7          | 2 2
        ",
    );
    told(
        "SELECT k, i FROM kv",
        "
        rows 0s a 1          | a 1
        rows 0s a 2          | a 2
        ",
    );
    told(
        "SELECT k, i, _tp_delta FROM kv WHERE i > 1",
        "
        rows 0s a 1          | nothing
        rows 0s a 2          | a 2 1
        rows 0s a 0          | a 2 -1
        ",
    );
    told(
        "SELECT i, count() FROM (SELECT i, k FROM kv WHERE i > 0) GROUP BY i EMIT ON UPDATE",
        "
        rows 0s a 1, 0s b 1  | 1 2
        rows 0s a 2          | 1 1; 2 1
        ",
    );
}

#[test]
fn emit_per_event_and_repeat() {
    told(
        "SELECT count() FROM s EMIT PER EVENT",
        "
        rows 0s a, 0s b | 1 / 2
        rows 0s a       | 3
        ",
    );
    told(
        "SELECT count() FROM s EMIT PERIODIC 1s REPEAT",
        "
        after 1s        | nothing
        rows 0s a       | nothing
        after 2s        | 1 / 1
        ",
    );
}

#[test]
fn a_row_that_takes_the_place_of_another_does_not_leave_the_left_one_alone() {
    told(
        "SELECT s.i, b.i, _tp_delta FROM changes AS s LEFT JOIN kv AS b ON s.k = b.k",
        "
        rows@0 0s a 1, 0s b 2 | 1 0 1; 2 0 1
        rows@1 0s a 10        | 1 0 -1; 1 10 1
        rows@1 0s a 11        | 1 10 -1; 1 11 1
        ",
    );
}

#[test]
fn joins_of_changing_streams_keep_the_rows_of_either_side() {
    told(
        "SELECT s.i, b.i, _tp_delta FROM changes AS s FULL JOIN others AS b ON s.k = b.k",
        "
        rows@0 0s a 1           | 1 0 1
        rows@1 0s a 10, 0s c 30 | 1 0 -1; 1 10 1; 0 30 1
        rows@0 0s c 3           | 0 30 -1; 3 30 1
        rows@0 -0s a 1          | 1 10 -1; 0 10 1
        rows@1 -0s a 10         | 0 10 -1
        ",
    );
    told(
        "SELECT s.i, b.i, _tp_delta FROM changes AS s RIGHT JOIN others AS b ON s.k = b.k",
        "
        rows@0 0s a 1           | nothing
        rows@1 0s a 10, 0s c 30 | 1 10 1; 0 30 1
        rows@0 -0s a 1          | 1 10 -1; 0 10 1
        ",
    );
    told(
        "SELECT count(), sum(s.i), sum(b.i) FROM changes AS s FULL JOIN others AS b ON s.k = b.k EMIT ON UPDATE",
        "
        rows@0 0s a 1           | 1 1 0
        rows@1 0s a 10, 0s c 30 | 2 1 40
        ",
    );
}
