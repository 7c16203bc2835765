//! The time that stands in a row of a log.

/// Milliseconds since 1970 of `2024-01-02 03:04:05.678`, in UTC: year, month and day, hour, minute and second, perhaps a fraction, with
/// anything between them that is no digit. `None` for any other text.
pub fn millis_of(text: &str) -> Option<i64> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty());
    let mut next = |low: i64, high: i64| -> Option<i64> {
        let n: i64 = numbers.next()?.parse().ok()?;
        (low..=high).contains(&n).then_some(n)
    };
    let (year, month, day) = (next(1_970, 2_299)?, next(1, 12)?, next(1, 31)?);
    let (hour, minute, second) = (next(0, 23)?, next(0, 59)?, next(0, 60)?);
    let fraction = numbers.next().map_or(Some(0), |digits| {
        let three: String = digits.chars().chain("000".chars()).take(3).collect();
        three.parse::<i64>().ok()
    })?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000 + fraction)
}

/// Days since 1970-01-01, of the Gregorian calendar: years begin in March, so that the day of leap is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_usual_forms_are_read() {
        assert_eq!(millis_of("1970.01.01 00:00:00.0"), Some(0));
        assert_eq!(millis_of("2024.02.29 12:30:15.5"), Some(1_709_209_815_500));
        assert_eq!(millis_of("2024-02-29T12:30:15Z"), Some(1_709_209_815_000));
        assert_eq!(millis_of("2024/03/01 00:00:00,123456"), Some(1_709_251_200_123));
        assert_eq!(millis_of("13/10/2024"), None);
        assert_eq!(millis_of("no time"), None);
    }
}
