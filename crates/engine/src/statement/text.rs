//! Small texts: times for people, LIKE patterns.

use hydron_base::world::WallTime;

/// `2026-01-31 12:00:00`, in UTC.
pub fn utc(time: WallTime) -> String {
    let moment = chrono::DateTime::from_timestamp_micros(time.0).unwrap_or_default();
    moment.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A statement as SHOW CREATE prints it: one clause a line, columns indented by two.
pub fn multi_line(kind: hydron_sql::ast::StatementKind) -> String {
    kind.pretty()
}

/// SQL LIKE: `%` any run, `_` any character, `\` quotes. Iterative, so a long pattern cannot exhaust the stack.
pub fn like(text: &str, pattern: &str, ignore_case: bool) -> bool {
    let fold = |s: &str| if ignore_case { s.to_lowercase() } else { s.to_string() };
    let text: Vec<char> = fold(text).chars().collect();
    let mut wanted = Vec::new();
    let folded = fold(pattern);
    let mut chars = folded.chars();
    while let Some(c) = chars.next() {
        wanted.push(match c {
            '%' => Wanted::Any,
            '_' => Wanted::One,
            '\\' => Wanted::Exactly(chars.next().unwrap_or('\\')),
            c => Wanted::Exactly(c),
        });
    }
    let (mut t, mut p, mut star) = (0, 0, None);
    while t < text.len() {
        match wanted.get(p) {
            Some(Wanted::Any) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Wanted::One) => (t, p) = (t + 1, p + 1),
            Some(Wanted::Exactly(c)) if *c == text[t] => (t, p) = (t + 1, p + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    wanted[p..].iter().all(|w| matches!(w, Wanted::Any))
}

enum Wanted {
    Any,
    One,
    Exactly(char),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_follows_sql() {
        assert!(like("flights", "fl%s", false));
        assert!(like("Flights", "f_ight_", true));
        assert!(!like("flights", "fl", false));
        assert!(like("50%", r"50\%", false));
        assert!(!like("505", r"50\%", false));
    }

    #[test]
    fn times_are_printed_in_utc() {
        assert_eq!(utc(WallTime(1_700_000_000_000_000)), "2023-11-14 22:13:20");
    }
}
