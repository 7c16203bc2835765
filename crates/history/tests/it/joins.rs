//! Joins: every kind and strictness over the same two tables.

use crate::kit::*;
use hydron_plan::Plan;
use hydron_plan::node::{AsofOrder, Join, JoinKind, JoinStrictness, Node};
use hydron_types::{Field, LogicalType, Schema, Value};
use std::sync::Arc;

fn left() -> Plan {
    table(
        &[("k", "nullable(int32)"), ("l", "string")],
        &[vec![int(2), text("b")], vec![int(1), text("a")], vec![Value::Null, text("n")], vec![int(9), text("z")]],
    )
}

fn right() -> Plan {
    table(
        &[("k", "nullable(int32)"), ("r", "int64")],
        &[
            vec![int(1), int(10)],
            vec![int(2), int(20)],
            vec![int(2), int(21)],
            vec![Value::Null, int(30)],
            vec![int(7), int(70)],
        ],
    )
}

fn join(kind: JoinKind, strictness: JoinStrictness) -> Plan {
    let (left, right) = (left(), right());
    let on = if kind == JoinKind::Cross { vec![] } else { vec![(col(&left, "k"), col(&right, "k"))] };
    let fields: Vec<Field> = left.schema.fields.iter().chain(&right.schema.fields).cloned().collect();
    let node = Node::Join(Join {
        left: Box::new(left),
        right: Box::new(right),
        kind,
        strictness,
        on,
        filter: None,
        asof: None,
        range: None,
        align: None,
        use_nulls: false,
    });
    Plan { node, schema: Arc::new(Schema::new(fields)), ..Plan::one_row() }
}

#[test]
fn inner_keeps_the_order_of_the_left_side() {
    assert_eq!(rows(&join(JoinKind::Inner, JoinStrictness::All)), ["2, 'b', 2, 20", "2, 'b', 2, 21", "1, 'a', 1, 10"]);
}

#[test]
fn outer_sides_have_defaults() {
    assert_eq!(
        rows(&join(JoinKind::Left, JoinStrictness::All)),
        ["2, 'b', 2, 20", "2, 'b', 2, 21", "1, 'a', 1, 10", "NULL, 'n', NULL, 0", "9, 'z', NULL, 0"]
    );
    assert_eq!(
        sorted(rows(&join(JoinKind::Right, JoinStrictness::All))),
        ["1, 'a', 1, 10", "2, 'b', 2, 20", "2, 'b', 2, 21", "NULL, '', 7, 70", "NULL, '', NULL, 30"]
    );
    assert_eq!(rows(&join(JoinKind::Full, JoinStrictness::All)).len(), 7);
    assert_eq!(rows(&join(JoinKind::Cross, JoinStrictness::All)).len(), 20);
}

#[test]
fn nulls_where_they_are_asked_for() {
    let mut plan = join(JoinKind::Left, JoinStrictness::All);
    if let Node::Join(join) = &mut plan.node {
        join.use_nulls = true;
    }
    let mut fields = plan.schema.fields.clone();
    fields[3].ty = LogicalType::nullable(fields[3].ty.clone());
    plan.schema = Arc::new(Schema::new(fields));
    assert_eq!(rows(&plan)[4], "9, 'z', NULL, NULL");
}

#[test]
fn one_match_or_none() {
    assert_eq!(
        rows(&join(JoinKind::Left, JoinStrictness::Any)),
        ["2, 'b', 2, 20", "1, 'a', 1, 10", "NULL, 'n', NULL, 0", "9, 'z', NULL, 0"]
    );
    assert_eq!(rows(&join(JoinKind::Left, JoinStrictness::Semi)), ["2, 'b', 2, 20", "1, 'a', 1, 10"]);
    // The key without a match stands on both sides.
    assert_eq!(rows(&join(JoinKind::Left, JoinStrictness::Anti)), ["NULL, 'n', NULL, 0", "9, 'z', 9, 0"]);
    assert_eq!(rows(&join(JoinKind::Inner, JoinStrictness::Latest)), ["2, 'b', 2, 21", "1, 'a', 1, 10"]);
}

#[test]
fn asof_takes_the_nearest() {
    let quotes = table(
        &[("t", "int32"), ("p", "int32")],
        &[vec![int(1), int(100)], vec![int(5), int(500)], vec![int(9), int(900)]],
    );
    let trades = table(
        &[("t", "int32"), ("n", "string")],
        &[vec![int(6), text("x")], vec![int(5), text("y")], vec![int(0), text("z")]],
    );
    let fields: Vec<Field> = trades.schema.fields.iter().chain(&quotes.schema.fields).cloned().collect();
    let asof = (col(&trades, "t"), col(&quotes, "t"), AsofOrder::GreaterOrEqual);
    let one = lit("uint8", Value::UInt(1));
    let node = Node::Join(Join {
        left: Box::new(trades),
        right: Box::new(quotes),
        kind: JoinKind::Left,
        strictness: JoinStrictness::Asof,
        on: vec![(one.clone(), one)],
        filter: None,
        asof: Some(asof),
        range: None,
        align: None,
        use_nulls: false,
    });
    let plan = Plan { node, schema: Arc::new(Schema::new(fields)), ..Plan::one_row() };
    assert_eq!(rows(&plan), ["6, 'x', 5, 500", "5, 'y', 5, 500", "0, 'z', 0, 0"]);
}
