//! Patterns over events in time: `(?1)` an event, `.` any, `.*` any number of them, `(?t<=10)` the time since the last one.
//!
//! In: a pattern as text, events as bits of conditions with a time, sorted. Out: whether it matches, how often. Promise: a
//! pattern without times is matched in one pass; with times it gives up with TOO_SLOW after a million steps.

use hydron_base::{Code, Error, Result};

const STEPS_MAX: usize = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    AtMost,
    Less,
    AtLeast,
    More,
    Equal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Event(u32),
    Any,
    Star,
    Time(Order, i64),
}

/// Time and conditions of an event.
type Event = (i64, u64);

#[derive(Debug)]
pub struct Pattern {
    actions: Vec<Action>,
    /// Conditions that must come at all.
    needed: u64,
    timed: bool,
}

impl Pattern {
    /// Errors: SYNTAX_ERROR (62), BAD_ARGUMENTS (36) for an event that is none of `events`.
    pub fn parse(text: &str, events: usize) -> Result<Pattern> {
        let mut pattern = Pattern { actions: vec![Action::Star], needed: 0, timed: false };
        let mut rest = text;
        let wrong = |what: &str, rest: &str| {
            let at = text.len() - rest.len();
            Error::new(Code::SYNTAX_ERROR, format!("{what} at position {at} of the pattern '{text}'"))
        };
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("(?t") {
                let orders = [
                    ("<=", Order::AtMost),
                    ("<", Order::Less),
                    (">=", Order::AtLeast),
                    (">", Order::More),
                    ("==", Order::Equal),
                ];
                let found = orders.iter().find_map(|(sign, o)| Some((after.strip_prefix(sign)?, *o)));
                let Some((after, order)) = found else { return Err(wrong("an unknown comparison of times", after)) };
                let (duration, after) = number(after).ok_or_else(|| wrong("no number", after))?;
                if matches!(pattern.actions.last(), Some(Action::Time(..))) {
                    return Err(Error::bad_arguments("a time in a pattern must come after an event"));
                }
                pattern.timed = true;
                pattern.actions.push(Action::Time(order, i64::try_from(duration).unwrap_or(i64::MAX)));
                rest = after.strip_prefix(')').ok_or_else(|| wrong("no closing parenthesis", after))?;
            } else if let Some(after) = rest.strip_prefix("(?") {
                let (event, after) = number(after).ok_or_else(|| wrong("no number", after))?;
                if event == 0 || event > events as u64 {
                    let text = format!("event {event} of the pattern '{text}' is none of the {events} conditions");
                    return Err(Error::bad_arguments(text));
                }
                pattern.actions.push(Action::Event(event as u32 - 1));
                pattern.needed |= 1 << (event - 1);
                rest = after.strip_prefix(')').ok_or_else(|| wrong("no closing parenthesis", after))?;
            } else if let Some(after) = rest.strip_prefix(".*") {
                pattern.actions.push(Action::Star);
                rest = after;
            } else if let Some(after) = rest.strip_prefix('.') {
                pattern.actions.push(Action::Any);
                rest = after;
            } else {
                return Err(wrong("nothing that a pattern has", rest));
            }
        }
        Ok(pattern)
    }

    /// Whether some events in order are as the pattern says.
    pub fn matches(&self, events: &[Event]) -> Result<bool> {
        if !self.can_match(events) {
            return Ok(false);
        }
        if self.timed {
            let mut at = 0;
            return self.walk(events, &mut at);
        }
        Ok(self.pass(events))
    }

    /// How many times the pattern matches, each from where the one before ended.
    pub fn count(&self, events: &[Event]) -> Result<u64> {
        if !self.can_match(events) {
            return Ok(0);
        }
        let (mut at, mut found) = (0, 0);
        while at < events.len() && self.walk(events, &mut at)? {
            found += 1;
        }
        Ok(found)
    }

    fn can_match(&self, events: &[Event]) -> bool {
        let met = events.iter().fold(0, |a, (_, bits)| a | bits);
        met & self.needed == self.needed
    }

    /// Without times: the states that may be reached, event by event. State `i` has done `i` of the events.
    fn pass(&self, events: &[Event]) -> bool {
        let mut wanted: Vec<Option<u32>> = Vec::new();
        let mut star = vec![false];
        for action in &self.actions {
            match action {
                Action::Star => star[wanted.len()] = true,
                Action::Event(e) => {
                    wanted.push(Some(*e));
                    star.push(false);
                }
                Action::Any => {
                    wanted.push(None);
                    star.push(false);
                }
                Action::Time(..) => {}
            }
        }
        let last = wanted.len();
        let mut active = vec![false; last + 1];
        active[0] = true;
        for (_, bits) in events {
            if active[last] {
                break;
            }
            let mut next = vec![false; last + 1];
            for state in (0..=last).filter(|s| active[*s]) {
                next[state] |= star[state];
                if let Some(wanted) = wanted.get(state) {
                    next[state + 1] |= wanted.is_none_or(|e| bits >> e & 1 == 1);
                }
            }
            active = next;
        }
        active[last]
    }

    /// With times: tries, and goes back to the last choice where it fails. Leaves `at` behind the match.
    fn walk(&self, events: &[Event], at: &mut usize) -> Result<bool> {
        let begin = *at;
        let mut action = 0;
        let mut base = begin;
        // Where else to go on: an action, the event it was tried at, the event before.
        let mut choices: Vec<(usize, usize, usize)> = Vec::new();
        let mut steps = 0;
        while action < self.actions.len() && *at < events.len() {
            let passed = events[*at].0.saturating_sub(events[base].0);
            let (goes_on, is_choice) = match self.actions[action] {
                Action::Event(e) => (events[*at].1 >> e & 1 == 1, false),
                Action::Any => (true, false),
                Action::Star => (true, true),
                Action::Time(Order::AtMost, d) => (passed <= d, true),
                Action::Time(Order::Less, d) => (passed < d, true),
                Action::Time(Order::AtLeast, d) => (passed >= d, true),
                Action::Time(Order::More, d) => (passed > d, true),
                Action::Time(Order::Equal, d) => (passed == d, true),
            };
            if goes_on {
                if is_choice {
                    choices.push((action, *at, base));
                }
                base = *at;
                action += 1;
                *at += usize::from(!is_choice);
            } else {
                // A time that may still come is waited for before going back.
                let waits =
                    matches!(self.actions[action], Action::Time(Order::AtLeast | Order::More | Order::Equal, _));
                if waits {
                    *at += 1;
                }
                if !(waits && *at < events.len()) {
                    let other = loop {
                        match choices.pop() {
                            Some((a, tried, b)) if tried + 1 < events.len() => break Some((a, tried + 1, b)),
                            Some(_) => {}
                            None => break None,
                        }
                    };
                    let Some((a, next, b)) = other else { break };
                    (action, *at, base) = (a, next, b);
                }
            }
            steps += 1;
            if steps > STEPS_MAX {
                let text = format!("matching a pattern took more than {STEPS_MAX} steps");
                return Err(Error::new(Code::TOO_SLOW, text));
            }
        }
        let empty = |a: &Action| {
            matches!(a, Action::Star | Action::Time(Order::AtMost | Order::Less, _) | Action::Time(Order::AtLeast, 0))
        };
        action += self.actions[action..].iter().take_while(|a| empty(a)).count();
        if *at == begin {
            *at += 1;
        }
        Ok(action == self.actions.len())
    }
}

/// The number a text begins with, and what is left.
fn number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_events_in_order() {
        // Conditions 1, 2 and 3 at these times.
        let events = [(1, 0b001), (2, 0b010), (3, 0b100), (4, 0b001), (10, 0b010)];
        for (text, matches, count) in [
            ("(?1)(?2)", true, 2),
            ("(?1)(?3)", false, 0),
            ("(?1).*(?3)", true, 1),
            ("(?1).(?3)", true, 1),
            ("(?3)(?t<=1)(?1)", true, 1),
            ("(?1)(?t>=3)(?2)", true, 1),
            ("(?1)(?t>100)(?2)", false, 0),
            ("(?2)(?2)", false, 0),
        ] {
            let pattern = Pattern::parse(text, 3).unwrap();
            assert_eq!(pattern.matches(&events).unwrap(), matches, "{text}");
            assert_eq!(pattern.count(&events).unwrap(), count, "{text}");
        }
        assert_eq!(Pattern::parse("(?4)", 3).unwrap_err().code, Code::BAD_ARGUMENTS);
        assert_eq!(Pattern::parse("(?1", 3).unwrap_err().code, Code::SYNTAX_ERROR);
        assert_eq!(Pattern::parse("x", 3).unwrap_err().code, Code::SYNTAX_ERROR);
    }
}
