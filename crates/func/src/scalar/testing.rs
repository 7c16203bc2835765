//! Tables of calls and answers: `function | arguments | answer`, each argument as `type:value`.
//!
//! Every call runs with its arguments as constants and as columns of three rows; both must agree with the table.

use crate::call::{ArgInfo, BindContext, Datum, EvalContext};
use crate::registry::Registry;
use hydron_base::world::WallTime;
use hydron_base::{Code, Result};
use hydron_types::column::{ColumnBuilder, array_of, value_at};
use hydron_types::text::{Style, TextOptions, read_text, write_text};
use hydron_types::{LogicalType, Value};

const ROWS: usize = 3;

/// `type:value`, the value as in a TSV field; `NULL` for a NULL.
fn argument(text: &str) -> (LogicalType, Value) {
    let (ty, value) = text.trim().split_once(':').expect("an argument is type:value");
    if ty == "null" {
        return (LogicalType::Nothing, Value::Null);
    }
    let ty = hydron_types::parse::parse_type(ty).expect("a type");
    if value == "NULL" {
        return (ty, Value::Null);
    }
    let mut builder = ColumnBuilder::new(&ty);
    read_text(value.as_bytes(), Style::Escaped, &TextOptions::default(), &mut builder).expect("a value of the type");
    let array = builder.finish().expect("one value");
    (ty.clone(), value_at(&array, &ty, 0))
}

fn arguments(text: &str) -> Vec<(LogicalType, Value)> {
    if text.trim().is_empty() { Vec::new() } else { text.split(" ; ").map(argument).collect() }
}

/// Evaluates a call; `constant` tells how the arguments are given. The answer is `type:value`.
fn answer(function: &str, args: &[(LogicalType, Value)], constant: &[bool]) -> Result<String> {
    let infos: Vec<ArgInfo> = args
        .iter()
        .zip(constant)
        .map(|((t, v), c)| if *c { ArgInfo::constant(t.clone(), v.clone()) } else { ArgInfo::column(t.clone()) })
        .collect();
    let bound = Registry::builtin().bind_scalar(function, &BindContext::default(), &infos)?;
    let datums = args
        .iter()
        .zip(constant)
        .map(
            |((t, v), c)| {
                if *c { Ok(Datum::Scalar(array_of(v, t, 1)?)) } else { Ok(Datum::Array(array_of(v, t, ROWS)?)) }
            },
        )
        .collect::<Result<Vec<_>>>()?;
    let result = bound.kernel.eval(&EvalContext::at(WallTime(0)), &datums, ROWS)?.to_array(ROWS)?;
    assert_eq!(result.len(), ROWS, "{function} answered another number of rows");
    assert_eq!(
        *result.data_type(),
        hydron_types::physical::arrow_type(&bound.ty),
        "{function} answered another layout"
    );
    let mut texts = (0..ROWS).map(|row| {
        let mut out = Vec::new();
        write_text(&result, &bound.ty, row, Style::Plain, &TextOptions::default(), &mut out)
            .map(|()| String::from_utf8_lossy(&out).into_owned())
    });
    let first = texts.next().expect("three rows")?;
    for other in texts {
        assert_eq!(other?, first, "{function} answered differently for equal rows");
    }
    Ok(format!("{}:{first}", bound.ty))
}

/// Checks `answers`, one line for each call: `function | argument ; argument | type:value`. Arguments marked with `!` stay
/// constant; all others are also given as columns.
pub fn check(answers: &str) {
    let mut wrong = Vec::new();
    for line in answers.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [function, text, wanted] = parts[..] else { panic!("not function | arguments | answer: {line}") };
        let fixed: Vec<bool> = text.split(" ; ").map(|a| a.trim_start().starts_with('!')).collect();
        let args = arguments(&text.replace('!', ""));
        let all = vec![true; args.len()];
        let mut manners = vec![all.clone()];
        if !args.is_empty() {
            manners.push((0..args.len()).map(|i| fixed[i]).collect());
            manners.push((0..args.len()).map(|i| fixed[i] || i > 0).collect());
            manners.push((0..args.len()).map(|i| fixed[i] || i == 0).collect());
        }
        for constant in manners {
            let got = answer(function.trim(), &args, &constant).unwrap_or_else(|e| e.to_string());
            if got != wanted.trim() {
                wrong.push(format!("{line}\n    constant {constant:?}: {got}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Checks that calls fail: `function | argument ; argument | CODE_NAME`.
pub fn check_errors(answers: &str) {
    for line in answers.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [function, text, wanted] = parts[..] else { panic!("not function | arguments | code: {line}") };
        let args = arguments(text);
        let code = answer(function.trim(), &args, &vec![true; args.len()]).map_err(|e| e.code);
        assert_eq!(code, Err(Code::from_name(wanted.trim()).expect("a code")), "{line}");
    }
}
