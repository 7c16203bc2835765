//! Aggregates in JavaScript, with a restart after every step: their states go through `serialize` and back.

use super::sql::{bound, told};
use hydron_func::Registry;
use hydron_types::LogicalType;
use hydron_udf::{Code, Definition, Signature};
use std::sync::{Arc, LazyLock};

/// All values in the order in which they came, with their signs over a changelog.
const LOG: &str = "{
    initialize: function() { this.log = ''; },
    process: function(v, d) { for (let i in v) this.log += (d === undefined ? '' : d[i] > 0 ? '+' : '-') + v[i]; },
    finalize: function() { return this.log; },
    serialize: function() { return JSON.stringify(this.log); },
    deserialize: function(s) { this.log = JSON.parse(s); },
    merge: function(s) { this.log += JSON.parse(s); }
}";

/// The sum of what came since the last zero, whenever a zero comes; twice, where it is more than ten.
const RUNS: &str = "{
    has_customized_emit: true,
    initialize: function() { this.sum = 0; this.out = []; },
    process: function(v) {
        for (let x of v) {
            if (x !== 0) { this.sum += x; continue; }
            this.out.push(this.sum);
            if (this.sum > 10) this.out.push(this.sum);
            this.sum = 0;
        }
        return this.out.length;
    },
    finalize: function() { const out = this.out; this.out = []; return out; },
    serialize: function() { return String(this.sum); },
    deserialize: function(s) { this.sum = Number(s); }
}";

const PLAIN: &str = "{
    initialize: function() { this.n = 0; },
    process: function(v) { this.n += v.length; },
    finalize: function() { return this.n; }
}";

pub fn functions() -> Arc<Registry> {
    static FUNCTIONS: LazyLock<Arc<Registry>> = LazyLock::new(|| {
        let mut registry = Registry::default();
        for (name, source, returns) in [
            ("log", LOG, LogicalType::String),
            ("runs", RUNS, LogicalType::Int64),
            ("plain", PLAIN, LogicalType::Int64),
        ] {
            let name: Arc<str> = Arc::from(format!("js_{name}"));
            let signature =
                Signature { name: Arc::clone(&name), args: vec![(Arc::from("i"), LogicalType::Int64)], returns };
            let code = Code::JavaScript { aggregate: true, source: Arc::from(source) };
            let definition = Definition { signature: Arc::new(signature), code };
            definition.check(None).unwrap();
            definition.function(None).unwrap().register(&name, &mut registry);
        }
        Arc::new(registry)
    });
    Arc::clone(&FUNCTIONS)
}

#[test]
fn global_aggregates_see_their_rows_in_order() {
    told(
        "SELECT k, js_log(i), count() FROM s GROUP BY k",
        "
        rows 0s a 1, 0s b 2, 0s a 3 | nothing
        after 2s                    | a 13 2; b 2 1
        rows 0s b 7, 0s a 0         | nothing
        after 2s                    | a 130 3; b 27 2
        ",
    );
    told("SELECT js_log(i) FROM s EMIT ON UPDATE", "rows 0s a 4, 0s b 5 | 45\nrows 0s a 6 | 456");
    told("SELECT js_log_if(i, k = 'b') FROM s EMIT ON UPDATE", "rows 0s a 4, 0s b 5 | 5\nrows 0s b 6 | 56");
}

#[test]
fn substreams_have_states_of_their_own() {
    told(
        "SELECT k, js_log(i) FROM s PARTITION BY k EMIT ON UPDATE",
        "
        rows 0s a 1, 0s b 2 | a 1; b 2
        rows 0s b 3         | b 23
        ",
    );
}

#[test]
fn windows_close_with_what_is_in_them() {
    told(
        "SELECT window_start, k, js_log(i) FROM tumble(s, t, 10s) GROUP BY window_start, k",
        "
        rows 1s a 1, 9s a 2, 2s b 3 | nothing
        rows 12s a 4                | 0s a 12; 0s b 3
        rows 20s a 5                | 10s a 4
        ",
    );
    // Every window has all its rows, in order, without the states of panes being put together.
    told(
        "SELECT window_start, js_log(i) FROM hop(s, t, 5s, 10s) GROUP BY window_start",
        "
        rows 1s a 1, 7s a 2, 3s a 3 | -5s 13
        rows 12s a 4                | 0s 123
        rows 16s a 5                | 5s 24
        ",
    );
    told(
        "SELECT k, js_log(i) FROM session(s, t, 5s) PARTITION BY k GROUP BY k, window_start, window_end",
        "
        rows 1s a 1, 2s b 2 | nothing
        rows 4s a 3         | nothing
        rows 20s a 4        | a 13
        ",
    );
}

#[test]
fn a_changelog_brings_signs() {
    told(
        "SELECT k, js_log(i) FROM changes GROUP BY k EMIT ON UPDATE",
        "
        rows 0s a 1, 0s b 2         | a +1; b +2
        rows -0s a 1, 0s a 5        | a +1-1+5
        rows 0s b 6                 | b +2+6
        ",
    );
    told("SELECT js_log(to_nullable(i)) FROM changes EMIT ON UPDATE", "rows 0s a 1, -0s a 1, 0s a 2 | +1-1+2");
    told(
        "SELECT k, js_log(i), _tp_delta FROM s GROUP BY k EMIT CHANGELOG ON UPDATE",
        "
        rows 0s a 1 | a 1 1
        rows 0s a 2 | a 1 -1; a 12 1
        ",
    );
}

#[test]
fn an_aggregate_with_its_own_emit_answers_when_it_says() {
    told(
        "SELECT k, js_runs(i) AS r FROM s GROUP BY k HAVING r != 4",
        "
        rows 0s a 1, 0s b 2, 0s a 3       | nothing
        rows 0s a 0, 0s b 5               | nothing
        rows 0s b 0                       | b 7
        rows 0s a 20, 0s a 0, 0s a 1, 0s a 0 | a 20; a 20; a 1
        after 10s                         | nothing
        ",
    );
    told(
        "SELECT sum(r) FROM (SELECT js_runs(i) AS r FROM s) EMIT ON UPDATE",
        "rows 0s a 1, 0s a 0 | 1\nrows 0s a 2, 0s a 0 | 3",
    );
}

#[test]
fn states_that_cannot_be_saved_still_answer() {
    let plan = bound("SELECT js_plain(i) FROM s EMIT ON UPDATE");
    let mut player = super::script::Player::new(plan, crate::build::BuildOptions::default());
    player.play("rows 0s a 1, 0s a 2 | 2\nrows 0s b 1 | 3", false);
    let error = player.pipeline.snapshot().unwrap_err();
    assert_eq!(error.code, hydron_base::Code::NOT_IMPLEMENTED, "{error}");
    let windows = bound("SELECT window_start, js_plain(i) FROM hop(s, t, 5s, 10s) GROUP BY window_start");
    let mut player = super::script::Player::new(windows, crate::build::BuildOptions::default());
    player.play("rows 1s a 1, 7s a 2 | -5s 1\nrows 12s a 4 | 0s 2", false);
}
