//! A run of a view INTO an external stream.
//!
//! The other side keeps no stamps, so nothing tells how far it has come: a run begins with the newest checkpoint, and what it had
//! written since then it writes again. Promise: an epoch is kept only when every row before it is with the brokers, so that no row is
//! lost; after a stop those since the last epoch come a second time.

use super::run::{Job, ended};
use super::target::Target;
use super::unit::Unit;
use crate::checkpoint::Keeper;
use crate::query::Progress;
use hydron_base::world::Clock;
use hydron_base::{Error, Result};
use hydron_flow::QueryHandle;
use hydron_flow::host::{CutAnswer, Event};
use std::convert::Infallible;
use std::sync::Arc;

pub struct Outward<'a> {
    pub job: &'a Job<'a>,
    pub keeper: Arc<Keeper>,
    pub target: &'a mut Target,
    pub clock: Arc<dyn Clock>,
    pub progress: Arc<Progress>,
}

impl Outward<'_> {
    pub async fn drive(mut self, mut handle: QueryHandle) -> Result<Infallible> {
        let mut kept = self.keeper.watch();
        let now = kept.borrow_and_update().clone();
        self.job.noted(&self.keeper, now);
        loop {
            let event = tokio::select! {
                biased;
                changed = kept.changed() => {
                    if changed.is_ok() {
                        let now = kept.borrow_and_update().clone();
                        self.job.noted(&self.keeper, now);
                    }
                    continue;
                }
                event = handle.next_event() => event?.ok_or_else(|| ended(&self.job.view.info.name))?,
            };
            let mut behind = None;
            match event {
                Event::Cut(answer) => behind = Some(answer),
                Event::Answer { answer, held, steps, .. } => {
                    let mut unit = Unit::default();
                    unit.push(answer, held, steps)?;
                    // What is there already goes out together.
                    while !unit.is_large() && behind.is_none() {
                        match handle.try_event() {
                            Some(Event::Answer { answer, held, steps, .. }) => unit.push(answer, held, steps)?,
                            Some(Event::Cut(answer)) => behind = Some(answer),
                            None => break,
                        }
                    }
                    self.write(unit).await?;
                }
            }
            if let Some(answer) = behind {
                self.cut(answer).await?;
            }
        }
    }

    async fn write(&mut self, unit: Unit) -> Result<()> {
        let rows = unit.rows();
        self.target.write(&unit.answers, self.clock.now()).await?;
        Progress::add(&self.progress.written_rows, rows);
        self.job.count(rows);
        Ok(())
    }

    async fn cut(&mut self, answer: CutAnswer) -> Result<()> {
        self.target.settle().await?;
        let is_first = self.keeper.manifests().is_empty();
        let written = self.keeper.on_cut(answer, None);
        if let Some(written) = written.filter(|_| is_first) {
            written.await.map_err(|e| Error::bug(format!("the first checkpoint of a view: {e}")))??;
        }
        Ok(())
    }
}
