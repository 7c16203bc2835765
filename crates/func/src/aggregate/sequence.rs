//! Events in the order of their time: retention, funnels, patterns and what comes next.
//!
//! Conditions are arguments; what is asked of them are constants after the last of them: `window_funnel(time, a, b, 3600)`,
//! `sequence_match(time, a, b, '(?1).*(?2)')`, `sequence_next_node(time, event, base, a, b, 'forward', 'head')`.

use super::define::{AggCall, Last, Traits, define, define_as};
use super::fold::folded;
use super::kept::{condition_bits, kept};
use super::pattern::Pattern;
use crate::agg::BoundAgg;
use crate::registry::Registry;
use crate::scalar::column::Texts;
use crate::scalar::number::to_vec;
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};

/// Conditions one call may have, as in ClickHouse.
const CONDITIONS_MAX: usize = 32;

pub fn register(registry: &mut Registry) {
    define(registry, "retention", retention);
    let last = |last| Traits { params_last: Some(last), default_without_rows: true, ..Traits::default() };
    define_as(registry, "window_funnel", last(Last::BeforeTexts(1)), window_funnel);
    define_as(registry, "sequence_match", last(Last::Exactly(1)), |call| sequence(call, false));
    define_as(registry, "sequence_count", last(Last::Exactly(1)), |call| sequence(call, true));
    define_as(registry, "sequence_next_node", last(Last::Exactly(2)), next_node);
}

/// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), ILLEGAL_TYPE_OF_ARGUMENT (43) unless the arguments from `from` on are
/// conditions, at least `least` of them.
fn conditions(call: &AggCall<'_>, from: usize, least: usize) -> Result<()> {
    call.arity(from + least..=from + CONDITIONS_MAX)?;
    for i in from..call.args.len() {
        if !matches!(call.ty(i), LogicalType::UInt8 | LogicalType::Bool) {
            return Err(call.illegal(i));
        }
    }
    Ok(())
}

/// Errors: ILLEGAL_TYPE_OF_ARGUMENT (43) unless the first argument is a date, a time or an unsigned integer.
fn time_first(call: &AggCall<'_>) -> Result<()> {
    let pass = call.args.first().is_some_and(|a| a.ty.is_date_or_time() || a.ty.is_unsigned_integer());
    if pass { Ok(()) } else { Err(call.illegal(0)) }
}

fn text_param<'a>(call: &'a AggCall<'_>, position: usize) -> Result<&'a str> {
    let text = call.params.get(position).and_then(Value::as_bytes).and_then(|b| std::str::from_utf8(b).ok());
    text.ok_or_else(|| {
        Error::bad_arguments(format!("parameter {} of \"{}\" must be a constant string", position + 1, call.name))
    })
}

/// `retention(c1, c2, …)`: whether the first condition came, and with it each of the others.
fn retention(call: &AggCall<'_>) -> Result<BoundAgg> {
    conditions(call, 0, 2)?;
    let ty = LogicalType::Array(Box::new(LogicalType::UInt8));
    let types = call.types();
    let n = types.len();
    let read = move |args: &[ArrayRef]| Ok(condition_bits(args, &types)?.into_iter().map(Some).collect());
    // Only which conditions came at all is asked, so a row says nothing that another has not said.
    let answer = move |rows: &[u64]| {
        let met = rows.iter().fold(0, |a, b| a | b);
        let with_first = |i: usize| Value::UInt(u64::from(met & 1 == 1 && met >> i & 1 == 1));
        Ok(Value::Array((0..n).map(with_first).collect()))
    };
    call.returns(ty.clone(), folded(kept(ty, read, answer)))
}

/// How the events of a funnel may lie.
#[derive(Clone, Copy, Default)]
struct Strict {
    deduplication: bool,
    order: bool,
    increase: bool,
}

/// `window_funnel(time, c1, c2, …, window[, mode, …])`: how many conditions follow one another within the window.
fn window_funnel(call: &AggCall<'_>) -> Result<BoundAgg> {
    time_first(call)?;
    conditions(call, 1, 1)?;
    let window = call.params.first().and_then(Value::as_u64).ok_or_else(|| {
        Error::bad_arguments(format!("\"{}\" needs a window, a whole number, after its conditions", call.name))
    })?;
    let mut strict = Strict::default();
    for i in 1..call.params.len() {
        match text_param(call, i)? {
            "strict_deduplication" => strict.deduplication = true,
            "strict_order" => strict.order = true,
            "strict_increase" => strict.increase = true,
            "strict" => return Err(Error::bad_arguments("'strict' is called 'strict_deduplication'")),
            other => return Err(Error::bad_arguments(format!("\"{}\" has no mode '{other}'", call.name))),
        }
    }
    let types = call.types();
    let levels = types.len() - 1;
    let read = move |args: &[ArrayRef]| {
        let times = to_vec::<i64>(&args[0], &types[0])?;
        let bits = condition_bits(&args[1..], &types[1..])?;
        let row = |(time, bits): (i64, u64)| (strict.order || bits != 0).then_some((time, bits));
        Ok(times.into_iter().zip(bits).map(row).collect())
    };
    let answer = move |rows: &[(i64, u64)]| Ok(Value::UInt(funnel_level(rows, levels, window, strict) as u64));
    call.returns(LogicalType::UInt8, folded(kept(LogicalType::UInt8, read, answer)))
}

fn funnel_level(rows: &[(i64, u64)], levels: usize, window: u64, strict: Strict) -> usize {
    // Level 0 stands for a row without any event; a row with several is seen with its last one first.
    let mut events: Vec<(i64, usize)> = Vec::with_capacity(rows.len());
    for (time, bits) in rows {
        let before = events.len();
        events.extend((1..=levels).rev().filter(|i| bits >> (i - 1) & 1 == 1).map(|i| (*time, i)));
        if strict.order && events.len() == before {
            events.push((*time, 0));
        }
    }
    if events.is_empty() {
        return 0;
    }
    if !strict.order && levels == 1 {
        return 1;
    }
    if !events.is_sorted() {
        events.sort();
    }
    let window = i128::from(window);
    // For each level: when its chain began, and when it was reached.
    let mut reached: Vec<Option<(i64, i64)>> = vec![None; levels];
    let mut started = false;
    for (at, (time, event)) in events.iter().enumerate() {
        let Some(level) = event.checked_sub(1) else {
            if started {
                break;
            }
            continue;
        };
        if level == 0 {
            reached[0] = Some((*time, *time));
            started = true;
        } else if strict.deduplication && reached[level].is_some() {
            return events[at - 1].1;
        } else if strict.order && started && reached[level - 1].is_none() {
            return reached.iter().position(Option::is_none).unwrap_or(levels);
        } else if let Some((began, before)) = reached[level - 1] {
            let in_window = i128::from(*time) <= i128::from(began) + window;
            if in_window && (!strict.increase || before < *time) {
                reached[level] = Some((began, *time));
                if level + 1 == levels {
                    return levels;
                }
            }
        }
    }
    reached.iter().rposition(Option::is_some).map_or(0, |i| i + 1)
}

/// `sequence_match(time, c1, …, pattern)` and `sequence_count`, which counts matches that do not overlap.
fn sequence(call: &AggCall<'_>, count: bool) -> Result<BoundAgg> {
    time_first(call)?;
    conditions(call, 1, 1)?;
    if call.params.len() != 1 {
        let text = format!("\"{}\" takes one pattern after its conditions", call.name);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    }
    let pattern = Pattern::parse(text_param(call, 0)?, call.args.len() - 1)?;
    let types = call.types();
    let read = move |args: &[ArrayRef]| {
        let times = to_vec::<i64>(&args[0], &types[0])?;
        let bits = condition_bits(&args[1..], &types[1..])?;
        Ok(times.into_iter().zip(bits).map(|(time, bits)| (bits != 0).then_some((time, bits))).collect())
    };
    let answer = move |rows: &[(i64, u64)]| {
        let mut events = rows.to_vec();
        events.sort_by_key(|(time, _)| *time);
        Ok(if count { Value::UInt(pattern.count(&events)?) } else { Value::Bool(pattern.matches(&events)?) })
    };
    let ty = if count { LogicalType::UInt64 } else { LogicalType::Bool };
    call.returns(ty.clone(), folded(kept(ty, read, answer)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Head,
    Tail,
    FirstMatch,
    LastMatch,
}

/// `sequence_next_node(time, event, base condition, c1, …, direction, base)`: the event after a chain of events.
fn next_node(call: &AggCall<'_>) -> Result<BoundAgg> {
    time_first(call)?;
    conditions(call, 2, 1)?;
    if *call.ty(1) != LogicalType::String {
        return Err(call.illegal(1));
    }
    let forward = match text_param(call, 0)? {
        "forward" => true,
        "backward" => false,
        other => return Err(Error::bad_arguments(format!("'{other}' is no direction: 'forward' or 'backward'"))),
    };
    let base = match text_param(call, 1)? {
        "head" => Base::Head,
        "tail" => Base::Tail,
        "first_match" => Base::FirstMatch,
        "last_match" => Base::LastMatch,
        other => return Err(Error::bad_arguments(format!("'{other}' is no base of \"{}\"", call.name))),
    };
    if (base == Base::Head && !forward) || (base == Base::Tail && forward) {
        return Err(Error::bad_arguments("'head' goes with 'forward', 'tail' with 'backward'"));
    }
    let types = call.types();
    let steps = types.len() - 3;
    if steps == 0 && matches!(base, Base::FirstMatch | Base::LastMatch) {
        let text = format!("\"{}\" with a match as base needs a condition for it", call.name);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    }
    let read = move |args: &[ArrayRef]| {
        let times = to_vec::<i64>(&args[0], &types[0])?;
        let events = Texts::of_array(&args[1])?;
        let bits = condition_bits(&args[2..], &types[2..])?;
        Ok((0..times.len()).map(|row| Some((times[row], events.at(row).to_vec(), bits[row]))).collect())
    };
    let answer = move |rows: &[(i64, Vec<u8>, u64)]| {
        let mut events: Vec<&(i64, Vec<u8>, u64)> = rows.iter().collect();
        events.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let found = next_of_chain(&events, steps, forward, base);
        Ok(found.map_or(Value::Null, |at| Value::Bytes(events[at].1.clone())))
    };
    let ty = LogicalType::nullable(LogicalType::String);
    call.returns(ty.clone(), folded(kept(ty, read, answer)))
}

/// Bit 0 of an event: it can be the base; bit `i`: condition `i` holds.
fn next_of_chain(events: &[&(i64, Vec<u8>, u64)], steps: usize, forward: bool, base: Base) -> Option<usize> {
    let holds = |at: usize, bit: usize| events[at].2 >> bit & 1 == 1;
    if events.len() <= steps {
        return None;
    }
    let can_match = |at: &usize| holds(*at, 0) && holds(*at, 1);
    let base = match base {
        Base::Head => Some(0).filter(|at| holds(*at, 0)),
        Base::Tail => Some(events.len() - 1).filter(|at| holds(*at, 0)),
        Base::FirstMatch => (0..events.len()).find(can_match),
        Base::LastMatch => (0..events.len()).rev().find(can_match),
    }?;
    let place = |step: usize| if forward { base.checked_add(step) } else { base.checked_sub(step) };
    for step in 0..steps {
        if !place(step).is_some_and(|at| at < events.len() && holds(at, step + 1)) {
            return None;
        }
    }
    place(steps).filter(|at| *at < events.len())
}
