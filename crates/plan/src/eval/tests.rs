use super::*;
use crate::expr::Expr;
use arrow::array::{BooleanArray, Int64Array};
use arrow::datatypes::Int64Type;
use hydron_base::world::WallTime;
use hydron_func::{ArgInfo, BindContext, Kernel, Registry, Volatility};
use hydron_types::{LogicalType, Value};
use std::sync::atomic::{AtomicUsize, Ordering};

fn cx() -> EvalContext {
    EvalContext::at(WallTime(0))
}

fn call(name: &str, ty: LogicalType, args: Vec<Expr>, kernel: impl Kernel + 'static) -> Expr {
    let kind = ExprKind::Call { name: name.into(), kernel: Arc::new(kernel), args, volatility: Volatility::Immutable };
    Expr { kind, ty }
}

/// A built-in function.
fn builtin(name: &str, args: Vec<Expr>) -> Expr {
    let infos: Vec<ArgInfo> =
        args.iter().map(|a| ArgInfo { constant: a.as_literal().cloned(), ..ArgInfo::column(a.ty.clone()) }).collect();
    let bound = Registry::builtin().bind_scalar(name, &BindContext::default(), &infos).unwrap();
    let kind = ExprKind::Call { name: name.into(), kernel: bound.kernel, args, volatility: bound.volatility };
    Expr { kind, ty: bound.ty }
}

fn int(i: usize) -> Expr {
    Expr::column(i, LogicalType::Int64)
}

fn bool_column(i: usize) -> Expr {
    Expr::column(i, LogicalType::nullable(LogicalType::Bool))
}

/// Fails when a row is zero, and counts how many rows it saw.
fn fails_on_zero(seen: Arc<AtomicUsize>, ty: LogicalType, arg: Expr) -> Expr {
    let result = ty.clone();
    call("picky", ty, vec![arg], move |_: &EvalContext, args: &[Datum], rows: usize| {
        let array = args[0].to_array(rows)?;
        let values = array.as_primitive::<Int64Type>();
        seen.fetch_add(rows, Ordering::SeqCst);
        if values.values().contains(&0) {
            return Err(Error::bad_arguments("zero"));
        }
        Ok(Datum::Array(match result.bare() {
            LogicalType::Bool => {
                Arc::new(BooleanArray::from_iter(values.values().iter().map(|v| Some(*v > 1)))) as ArrayRef
            }
            _ => Arc::new(Int64Array::from_iter_values(values.values().iter().map(|v| v * 10))),
        }))
    })
}

#[test]
fn a_branch_sees_only_its_rows() {
    let seen = Arc::new(AtomicUsize::new(0));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(false), Some(true), None, Some(true)])),
        Arc::new(Int64Array::from(vec![0, 1, 0, 2])),
    ];
    let branch = fails_on_zero(Arc::clone(&seen), LogicalType::Int64, int(1));
    let choice = builtin("if", vec![bool_column(0), branch, int(1)]);
    let result = choice.eval_to_array_columns(&cx(), &columns, 4).unwrap();
    assert_eq!(result.as_primitive::<Int64Type>().values(), &[0, 10, 0, 20]);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[test]
fn and_stops_where_the_answer_is_known_and_null_stays_unknown() {
    let seen = Arc::new(AtomicUsize::new(0));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(false), Some(true), None, Some(true)])),
        Arc::new(Int64Array::from(vec![0, 1, 1, 2])),
    ];
    let right = fails_on_zero(Arc::clone(&seen), LogicalType::Bool, int(1));
    let both = builtin("and", vec![bool_column(0), right.clone()]);
    let result = both.eval_to_array_columns(&cx(), &columns, 4).unwrap();
    assert_eq!(result.as_boolean(), &BooleanArray::from(vec![Some(false), Some(false), Some(false), Some(true)]));
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    assert_eq!(both.eval_filter_columns(&cx(), &columns, 4).unwrap().true_count(), 1);
    assert!(builtin("or", vec![bool_column(0), right]).eval_columns(&cx(), &columns, 4).is_err());
}

#[test]
fn captured_columns_follow_the_rows_of_elements() {
    // x -> x + captured
    let sum = builtin("plus", vec![int(1), int(0)]);
    let ty = sum.ty.clone();
    let kind = ExprKind::Lambda { captures: vec![1], params: vec![LogicalType::Int64], body: Arc::new(sum) };
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![7, 7])), Arc::new(Int64Array::from(vec![100, 200]))];
    let Datum::Lambda(lambda) = (Expr { kind, ty }).eval_columns(&cx(), &columns, 2).unwrap() else {
        panic!("no lambda")
    };
    let elements: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let result = lambda.call(&cx(), &[elements], &[0, 1, 1], 3).unwrap();
    assert_eq!(result.as_primitive::<Int64Type>().values(), &[101, 202, 203]);
}

#[test]
fn what_a_projection_names_twice_is_computed_once() {
    let seen = Arc::new(AtomicUsize::new(0));
    let shared = fails_on_zero(Arc::clone(&seen), LogicalType::Int64, int(0));
    let exprs = [shared.clone(), builtin("plus", vec![shared.clone(), int(0)])];
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2]))];
    let result = eval_all(&exprs, &cx(), &columns, 2).unwrap();
    assert_eq!(result[1].as_primitive::<Int64Type>().values(), &[11, 22]);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    // In branches alone it stays there.
    let zero = Expr::literal(Value::Bool(false), LogicalType::Bool);
    let guarded = builtin("if", vec![zero, shared, int(0)]);
    let none: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![0]))];
    assert!(eval_all(&[guarded.clone(), guarded], &cx(), &none, 1).is_ok());
}
