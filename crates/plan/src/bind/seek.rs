//! `seek_to`: where a streaming read starts, as the setting says.

use super::Binder;
use crate::catalog::{StreamInfo, StreamKind};
use crate::node::Seek;
use hydron_base::{Code, Error, Result};
use hydron_types::cast::{CastOptions, cast};
use hydron_types::column::{array_of, value_at};
use hydron_types::time::{LocalTime, add_ticks};
use hydron_types::{LogicalType, Value, Zone};

/// One entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Latest,
    Earliest,
    Sequence(i64),
    Time(i64),
}

impl<'a> Binder<'a> {
    /// Errors: BAD_ARGUMENTS (36) for a text that is no position and for another number of positions than shards,
    /// UNSUPPORTED (997) for positions of different kinds, NOT_IMPLEMENTED (48) for several times.
    pub(super) fn seek_setting(&self, text: &str, info: &StreamInfo) -> Result<Seek> {
        if text.is_empty() {
            return Ok(Seek::Latest);
        }
        let entries = text.split(',').map(|t| self.seek_entry(t.trim())).collect::<Result<Vec<_>>>()?;
        if let [one] = entries.as_slice() {
            return Ok(match one {
                Entry::Latest => Seek::Latest,
                Entry::Earliest => Seek::Earliest,
                Entry::Sequence(n) => Seek::Sequence(vec![*n]),
                Entry::Time(t) => Seek::EventTime(*t),
            });
        }
        let times = entries.iter().filter(|e| matches!(e, Entry::Time(_))).count();
        if times == entries.len() {
            return Err(Error::not_implemented("seek_to with a time for each shard"));
        }
        if times > 0 {
            return Err(Error::new(Code::UNSUPPORTED, format!("seek_to '{text}' mixes times and sequence numbers")));
        }
        // How many shards an external stream has is known when it is read.
        if entries.len() != info.shards as usize && info.kind != StreamKind::External {
            let text =
                format!("seek_to has {} positions, stream \"{}\" has {} shards", entries.len(), info.name, info.shards);
            return Err(Error::bad_arguments(text));
        }
        let position = |e: &Entry| match e {
            Entry::Latest => i64::MAX,
            Entry::Earliest => i64::MIN,
            Entry::Sequence(n) | Entry::Time(n) => *n,
        };
        let positions: Vec<i64> = entries.iter().map(position).collect();
        let plain = entries.iter().all(|e| matches!(e, Entry::Sequence(_)));
        Ok(if plain { Seek::Sequence(positions) } else { Seek::Shards(positions) })
    }

    fn seek_entry(&self, text: &str) -> Result<Entry> {
        match text {
            "latest" => return Ok(Entry::Latest),
            "earliest" => return Ok(Entry::Earliest),
            _ => {}
        }
        if let Ok(n) = text.parse::<i64>() {
            if n < 0 {
                return Err(Error::bad_arguments(format!("seek_to '{text}': a sequence number is 0 or more")));
            }
            return Ok(Entry::Sequence(n));
        }
        if let Some(time) = self.relative(text)? {
            return Ok(Entry::Time(time));
        }
        self.time(text).map(Entry::Time)
    }

    /// `-10s` from now.
    fn relative(&self, text: &str) -> Result<Option<i64>> {
        let body = text.trim_start_matches(['-', '+']);
        let digits = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
        let (number, unit) = body.split_at(digits);
        let (Ok(number), Some(unit)) = (number.parse::<i64>(), unit_of(unit)) else { return Ok(None) };
        if !text.starts_with('-') {
            return Err(Error::bad_arguments(format!("seek_to '{text}' is in the future")).hint(format!("-{body}")));
        }
        let now = self.now.now.0;
        Ok(Some(add_ticks(now, 6, unit, -number, &LocalTime::new(self.cx.zone))))
    }

    fn time(&self, text: &str) -> Result<i64> {
        let ty = LogicalType::DateTime64(6, Some(Zone::UTC));
        let one = array_of(&Value::string(text), &LogicalType::String, 1)?;
        let options = CastOptions { best_effort: true, ..CastOptions::wrap(self.cx.zone) };
        let read = cast(&one, &LogicalType::String, &ty, &options).map_err(|_| {
            Error::bad_arguments(format!("seek_to '{text}' is no position")).hint("latest, earliest, -10s, a time or 0")
        })?;
        match value_at(&read, &ty, 0) {
            Value::Time(t) => Ok(t),
            _ => Err(Error::bad_arguments(format!("seek_to '{text}' is no position"))),
        }
    }
}

fn unit_of(text: &str) -> Option<hydron_types::IntervalUnit> {
    use hydron_types::IntervalUnit as U;
    Some(match text {
        "ns" => U::Nanosecond,
        "us" => U::Microsecond,
        "ms" => U::Millisecond,
        "s" => U::Second,
        "m" => U::Minute,
        "h" => U::Hour,
        "d" => U::Day,
        "w" => U::Week,
        "M" => U::Month,
        "q" => U::Quarter,
        "y" => U::Year,
        _ => return None,
    })
}
