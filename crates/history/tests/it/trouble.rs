//! What goes wrong: errors keep their code, a panic ends one query, memory has a limit, a reader may leave.

use crate::kit::*;
use futures::StreamExt;
use hydron_base::{Budget, Code, Error};
use hydron_func::call::BoundCall;
use hydron_func::{Datum, EvalContext, Volatility};
use hydron_history::ExecOptions;
use hydron_plan::node::Grouping;
use hydron_plan::{Expr, ExprKind, Plan};
use hydron_types::LogicalType;
use std::sync::Arc;

/// `number` through a kernel of the test's own.
fn through<F>(kernel: F) -> Plan
where
    F: Fn(&EvalContext, &[Datum], usize) -> hydron_base::Result<Datum> + Send + Sync + 'static,
{
    let input = numbers(0, Some(10));
    let bound = BoundCall::new(LogicalType::UInt64, kernel);
    let kind = ExprKind::Call {
        name: Arc::from("trouble"),
        kernel: bound.kernel,
        args: vec![col(&input, "number")],
        volatility: Volatility::Immutable,
    };
    input.project(vec![("x".into(), Expr { kind, ty: LogicalType::UInt64 })])
}

#[test]
fn an_error_of_a_function_keeps_its_code() {
    let plan = through(|_, _, _| Err(Error::new(Code::ILLEGAL_DIVISION, "division by zero")));
    assert_eq!(code(&plan, &options()), (153, "division by zero".into()));
    let grouped = group(plan.clone(), vec![], vec![agg("sum", vec![col(&plan, "x")])], Grouping::Plain);
    assert_eq!(code(&grouped, &options()).0, 153);
}

#[test]
fn a_panic_is_the_error_of_its_query() {
    let plan = through(|_, _, _| panic!("the kernel broke"));
    let (number, message) = code(&plan, &options());
    assert_eq!(number, 49);
    assert!(message.contains("the kernel broke"), "{message}");
}

#[test]
fn memory_has_a_limit() {
    let many = numbers(0, Some(2_000_000));
    let distinct = group(many.clone(), vec![col(&many, "number")], vec![agg("count", vec![])], Grouping::Plain);
    let options = ExecOptions { memory: Budget::alone(4 << 20), ..options() };
    assert_eq!(code(&distinct, &options).0, 241);
}

#[test]
fn a_reader_that_leaves_ends_the_query() {
    let rt = runtime();
    let endless = numbers(0, None);
    let mut run = start(&endless, &Tables::default(), &options(), &rt).unwrap();
    let first = rt.block_on(run.rows.next()).expect("a batch").unwrap();
    assert!(first.rows() > 0);
    drop(run);
    // The runtime ends although the numbers do not.
    drop(rt);
}
