//! Left messages that wait until the right side's past is complete.

use crate::operator::{Epoch, EventTime, Msg, Rows};
use crate::state::{StateReader, StateWriter};
use arrow::array::{ArrayRef, AsArray};
use hydron_base::{Code, Error, Result};
use hydron_types::{Batch, Delta, Schema};
use std::sync::Arc;

#[derive(Default)]
pub struct Held {
    msgs: Vec<Msg>,
    bytes: usize,
}

impl Held {
    pub fn push(&mut self, msg: Msg) {
        if let Msg::Rows(rows) = &msg {
            self.bytes += rows.batch().bytes();
        }
        self.msgs.push(msg);
    }

    /// All messages in the order they came.
    pub fn take(&mut self) -> Vec<Msg> {
        self.bytes = 0;
        std::mem::take(&mut self.msgs)
    }

    pub fn bytes(&self) -> usize {
        self.bytes + self.msgs.capacity() * size_of::<Msg>()
    }

    pub fn save(&self, w: &mut StateWriter) -> Result<()> {
        w.put_u64(self.msgs.len() as u64);
        for msg in &self.msgs {
            match msg {
                Msg::Rows(rows) => {
                    w.put_u64(0);
                    w.put_u64(u64::from(rows.lane));
                    w.put_columns(&rows.batch().columns, rows.len())?;
                    let signs: Vec<ArrayRef> =
                        rows.delta.signs.iter().map(|s| Arc::new(s.clone()) as ArrayRef).collect();
                    w.put_columns(&signs, rows.len())?;
                }
                Msg::BackfillStart => w.put_u64(1),
                Msg::BackfillEnd => w.put_u64(2),
                Msg::End => w.put_u64(3),
                Msg::Barrier(Epoch(n)) => {
                    w.put_u64(4);
                    w.put_u64(*n);
                }
                Msg::Watermark(EventTime(t)) => {
                    w.put_u64(5);
                    w.put_i64(*t);
                }
                Msg::Tick => w.put_u64(6),
                Msg::Timeout => w.put_u64(7),
            }
        }
        Ok(())
    }

    pub fn load(&mut self, schema: &Arc<Schema>, r: &mut StateReader) -> Result<()> {
        for _ in 0..r.u64()? {
            let msg = match r.u64()? {
                0 => {
                    let lane = u32::try_from(r.u64()?).unwrap_or(u32::MAX);
                    let (columns, rows) = r.columns()?;
                    let (signs, _) = r.columns()?;
                    let signs = signs.first().map(|s| s.as_primitive().clone());
                    Msg::Rows(Rows {
                        delta: Delta { rows: Batch::new(Arc::clone(schema), columns, rows), signs },
                        lane,
                    })
                }
                1 => Msg::BackfillStart,
                2 => Msg::BackfillEnd,
                3 => Msg::End,
                4 => Msg::Barrier(Epoch(r.u64()?)),
                5 => Msg::Watermark(EventTime(r.i64()?)),
                6 => Msg::Tick,
                7 => Msg::Timeout,
                other => {
                    let message = format!("the saved state of a join holds a message of kind {other}");
                    return Err(Error::new(Code::CANNOT_READ_ALL_DATA, message));
                }
            };
            self.push(msg);
        }
        Ok(())
    }
}
