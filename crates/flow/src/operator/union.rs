//! Several inputs as one: rows as they come, control once all inputs agree.

use super::{FREE_LANE, Msg, Operator, Output, PAST_LANE, Rows};
use crate::state::{StateReader, StateWriter};
use hydron_base::Result;
use hydron_func::EvalContext;
use hydron_types::{Batch, Delta, Schema};
use std::sync::Arc;

/// Rows pass at once. A backfill starts with the first input's and ends with the last one's; the end is the last one's.
/// Watermarks and ticks stop here: whoever needs them has a stamper of its own behind.
pub struct Union {
    schema: Arc<Schema>,
    /// Added to the lanes of each input, so that they are told apart behind; `None` for an input without lanes.
    lanes_before: Vec<Option<u32>>,
    ended: Vec<bool>,
    backfilling: Vec<bool>,
}

impl Union {
    /// `lanes` counts the lanes of each input.
    pub fn new(lanes: &[usize], schema: Arc<Schema>) -> Union {
        let inputs = lanes.len();
        let before = lanes.iter().scan(0, |sum, n| {
            *sum += *n as u32;
            Some((*n > 0).then_some(*sum - *n as u32))
        });
        Union { schema, lanes_before: before.collect(), ended: vec![false; inputs], backfilling: vec![false; inputs] }
    }
}

impl Operator for Union {
    fn on_msg(&mut self, _: &EvalContext, input: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match msg {
            Msg::Rows(Rows { delta, lane }) => {
                let lane = match self.lanes_before[input] {
                    Some(_) if lane == PAST_LANE => PAST_LANE,
                    Some(before) => lane.saturating_add(before),
                    None => FREE_LANE,
                };
                let rows = delta.rows.rows();
                let batch = Batch::new(Arc::clone(&self.schema), delta.rows.columns, rows);
                out.push(Msg::Rows(Rows { delta: Delta { rows: batch, signs: delta.signs }, lane }))
            }
            Msg::BackfillStart => {
                let first = !self.backfilling.contains(&true);
                self.backfilling[input] = true;
                if first { out.push(Msg::BackfillStart) } else { Ok(()) }
            }
            Msg::BackfillEnd => {
                let was = std::mem::replace(&mut self.backfilling[input], false);
                if was && !self.backfilling.contains(&true) { out.push(Msg::BackfillEnd) } else { Ok(()) }
            }
            Msg::End => {
                let already = std::mem::replace(&mut self.ended[input], true);
                if std::mem::replace(&mut self.backfilling[input], false) && !self.backfilling.contains(&true) {
                    out.push(Msg::BackfillEnd)?;
                }
                if !already && self.ended.iter().all(|e| *e) { out.push(Msg::End) } else { Ok(()) }
            }
            // All inputs are pushed by one host between two messages, so the first barrier is aligned.
            Msg::Barrier(_) if input > 0 => Ok(()),
            Msg::Barrier(epoch) => out.push(Msg::Barrier(epoch)),
            Msg::Watermark(_) | Msg::Tick | Msg::Timeout => Ok(()),
        }
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        self.ended.iter().chain(&self.backfilling).for_each(|b| w.put_bool(*b));
        Ok(())
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        self.ended.iter_mut().chain(&mut self.backfilling).try_for_each(|b| r.bool().map(|saved| *b |= saved))
    }
}
