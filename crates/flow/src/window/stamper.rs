//! Watermarks, ticks and timeouts: how far time has come, as messages among the rows.
//!
//! In: rows of one or more lanes. Out: the same rows, then a watermark where it rose; ticks each period; a timeout when
//! rows stay away. Promise: watermarks never fall; a lane without rows holds them back unless a timeout is set, or a time
//! after which it counts as idle.

use super::span::{ticks_to_micros, wall_to_ticks};
use crate::operator::{EventTime, FREE_LANE, Msg, Operator, Output, PAST_LANE, Rows, Stats};
use crate::state::{StateReader, StateWriter};
use hydron_base::Result;
use hydron_base::world::WallTime;
use hydron_func::EvalContext;
use hydron_types::column::time_values;

/// What a stamper reads and sends.
#[derive(Clone, Debug)]
pub struct StamperSpec {
    /// `None`: no watermarks, only ticks.
    pub time: Option<TimeColumn>,
    /// The watermark stays so many ticks behind the newest event time.
    pub delay: i64,
    /// Shards of all sources together.
    pub lanes: usize,
    pub period_ms: Option<i64>,
    pub timeout_ms: Option<i64>,
    /// A lane without rows for so long does not hold the others back.
    pub idle_ms: Option<i64>,
}

/// Where the event time of a row is.
#[derive(Clone, Copy, Debug)]
pub struct TimeColumn {
    pub column: usize,
    pub digits: u8,
    /// Ticks between two neighbouring values: more than 1 where the type is coarser than its layout.
    pub step: i64,
    /// The wall clock at arrival instead of the column's value.
    pub processing_time: bool,
}

pub struct Stamper {
    spec: StamperSpec,
    lanes: Vec<Lane>,
    /// The newest time of rows of the past, for lanes without rows of their own.
    past: Option<i64>,
    sent: Option<i64>,
    next_tick: Option<WallTime>,
    /// When the last row came, until a timeout was sent for it.
    last_rows: Option<WallTime>,
    backfilling: bool,
}

#[derive(Clone, Copy, Default)]
struct Lane {
    newest: Option<i64>,
    /// Start of the query at first.
    last_rows: Option<WallTime>,
    /// Silent for the timeout: does not hold the others back.
    idle: bool,
}

impl Stamper {
    pub fn new(spec: StamperSpec) -> Stamper {
        let lanes = vec![Lane::default(); spec.lanes.max(1)];
        Stamper { spec, lanes, past: None, sent: None, next_tick: None, last_rows: None, backfilling: false }
    }

    fn see(&mut self, now: WallTime, rows: &Rows) {
        self.last_rows = Some(now);
        let Some(time) = self.spec.time.filter(|_| rows.lane != FREE_LANE) else { return };
        let newest = match time.processing_time {
            true => Some(wall_to_ticks(now, time.digits)),
            false => time_values(rows.batch().column(time.column)).iter().copied().max(),
        };
        if rows.lane == PAST_LANE {
            self.past = self.past.max(newest);
            return;
        }
        let at = rows.lane as usize;
        if at >= self.lanes.len() {
            self.lanes.resize(at + 1, Lane::default());
        }
        let lane = &mut self.lanes[at];
        lane.newest = lane.newest.max(newest);
        lane.last_rows = Some(now);
        lane.idle = false;
    }

    /// Sends the lowest of the lanes' newest times, less the delay, where it rose.
    fn stamp(&mut self, out: &mut dyn Output) -> Result<()> {
        let awake = self.lanes.iter().filter(|l| !l.idle);
        // `None` is below all times: a lane without a row yet holds everything back.
        let least = awake.map(|l| l.newest.or(self.past)).min();
        // Where all are idle none holds another one back.
        let newest = || self.lanes.iter().map(|l| l.newest.or(self.past)).max().flatten();
        let Some(mark) = least.unwrap_or_else(newest).map(|m| m.saturating_sub(self.spec.delay)) else {
            return Ok(());
        };
        if self.sent.is_some_and(|sent| sent >= mark) {
            return Ok(());
        }
        self.sent = Some(mark);
        out.push(Msg::Watermark(EventTime(mark)))
    }

    fn timeout_at(&self) -> Option<WallTime> {
        if self.backfilling {
            return None;
        }
        Some(self.last_rows?.plus_millis(self.spec.timeout_ms?))
    }

    /// When the lane stops holding the others back.
    fn idle_at(&self, lane: &Lane) -> Option<WallTime> {
        if lane.idle || self.lanes.len() == 1 || self.backfilling {
            return None;
        }
        Some(lane.last_rows?.plus_millis(self.spec.idle_ms.or(self.spec.timeout_ms)?))
    }
}

impl Operator for Stamper {
    fn start(&mut self, now: WallTime) {
        let first_tick = self.spec.period_ms.map(|p| now.plus_millis(p));
        self.next_tick = self.next_tick.or(first_tick);
        self.lanes.iter_mut().for_each(|l| l.last_rows = l.last_rows.or(Some(now)));
    }

    fn wake(&mut self, now: WallTime) {
        self.next_tick = self.spec.period_ms.map(|p| now.plus_millis(p));
        // Wall time went on while a restored query was down; silence counts anew from here.
        self.lanes.iter_mut().for_each(|l| l.last_rows = Some(now));
        self.last_rows = self.last_rows.map(|_| now);
    }

    fn on_msg(&mut self, cx: &EvalContext, _: usize, msg: Msg, out: &mut dyn Output) -> Result<()> {
        match msg {
            Msg::Rows(rows) if rows.is_empty() => out.push(Msg::Rows(rows)),
            Msg::Rows(rows) => {
                self.see(cx.now, &rows);
                out.push(Msg::Rows(rows))?;
                if self.spec.time.is_some() { self.stamp(out) } else { Ok(()) }
            }
            Msg::BackfillStart => {
                self.backfilling = true;
                out.push(Msg::BackfillStart)
            }
            Msg::BackfillEnd => {
                self.backfilling = false;
                // Silence is counted from here: the past was read at the pace of the disk.
                self.last_rows = self.last_rows.map(|_| cx.now);
                self.lanes.iter_mut().for_each(|l| l.last_rows = Some(cx.now));
                out.push(Msg::BackfillEnd)
            }
            // Those of a query below mean nothing to the windows above.
            Msg::Watermark(_) | Msg::Tick | Msg::Timeout => Ok(()),
            other => out.push(other),
        }
    }

    fn on_timer(&mut self, cx: &EvalContext, out: &mut dyn Output) -> Result<()> {
        let silent: Vec<usize> =
            (0..self.lanes.len()).filter(|i| self.idle_at(&self.lanes[*i]).is_some_and(|t| cx.now >= t)).collect();
        if !silent.is_empty() {
            silent.iter().for_each(|i| self.lanes[*i].idle = true);
            self.stamp(out)?;
        }
        if self.timeout_at().is_some_and(|t| cx.now >= t) {
            self.last_rows = None;
            out.push(Msg::Timeout)?;
        }
        if let (Some(tick), Some(period)) = (self.next_tick, self.spec.period_ms)
            && cx.now >= tick
        {
            let missed = (cx.now.0 - tick.0) / (period.max(1) * 1_000);
            self.next_tick = Some(tick.plus_millis(period.max(1) * (missed + 1)));
            out.push(Msg::Tick)?;
        }
        Ok(())
    }

    fn next_timer(&self) -> Option<WallTime> {
        let lane = self.lanes.iter().filter_map(|l| self.idle_at(l)).min();
        [self.next_tick, self.timeout_at(), lane].into_iter().flatten().min()
    }

    fn snapshot(&self, w: &mut StateWriter) -> Result<()> {
        let micros = |t: Option<WallTime>| t.map(|t| t.0);
        w.put_u64(self.lanes.len() as u64);
        for lane in &self.lanes {
            w.put_option(lane.newest);
            w.put_option(micros(lane.last_rows));
            w.put_bool(lane.idle);
        }
        w.put_option(self.past);
        w.put_option(self.sent);
        w.put_option(micros(self.next_tick));
        w.put_option(micros(self.last_rows));
        w.put_bool(self.backfilling);
        Ok(())
    }

    fn restore(&mut self, r: &mut StateReader) -> Result<()> {
        let lanes = r.u64()? as usize;
        for at in 0..lanes {
            let lane = Lane { newest: r.option()?, last_rows: r.option()?.map(WallTime), idle: r.bool()? };
            match self.lanes.get_mut(at) {
                Some(place) => *place = lane,
                None => self.lanes.push(lane),
            }
        }
        self.past = r.option()?;
        self.sent = r.option()?;
        self.next_tick = r.option()?.map(WallTime);
        self.last_rows = r.option()?.map(WallTime);
        self.backfilling = r.bool()?;
        Ok(())
    }

    fn stats(&self) -> Stats {
        let Some(time) = self.spec.time else { return Stats::default() };
        let micros = |t: i64| ticks_to_micros(t, time.digits);
        let newest = self.lanes.iter().filter_map(|l| l.newest).max().max(self.past);
        Stats { rows_late: 0, watermark_us: self.sent.map(micros), event_time_us_max: newest.map(micros) }
    }
}
