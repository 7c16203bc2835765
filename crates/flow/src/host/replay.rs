//! Steps that a query took before it was stopped, taken again.
//!
//! In: the steps, the items of the sources as they come. Out: for each step its item. Promise: an item that comes before its
//! turn waits in its order; what is left when all steps are taken comes before anything newer.

use super::feed::{Arrived, Inbox};
use super::source::SourceItem;
use hydron_base::{Code, Error, Result};
use std::collections::VecDeque;
use std::time::Duration;

/// How long an item may take that was there before: the disk has it.
const REREAD_PATIENCE: Duration = Duration::from_secs(60);

/// Items that came early.
#[derive(Default)]
pub struct Ahead(VecDeque<Arrived>);

impl Ahead {
    pub fn pop(&mut self) -> Option<Arrived> {
        self.0.pop_front()
    }

    pub fn push(&mut self, item: Arrived) {
        self.0.push_back(item);
    }

    /// Where the first item of a source is.
    pub fn first_of(&self, source: usize) -> Option<usize> {
        self.0.iter().position(|(s, _)| *s == source)
    }

    pub fn get(&self, at: usize) -> Option<&Arrived> {
        self.0.get(at)
    }

    pub fn remove(&mut self, at: usize) -> Option<Arrived> {
        self.0.remove(at)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next rows of a shard.
    ///
    /// Errors: RECOVER_CHECKPOINT_FAILED when the next record is not `sequence`: the source is not what it was.
    pub async fn rows(&mut self, inbox: &mut Inbox, source: usize, shard: u32, sequence: i64) -> Result<SourceItem> {
        let of_shard = |item: &SourceItem| match item {
            SourceItem::Rows { shard: s, .. } | SourceItem::Part { shard: s, .. } => *s == shard,
            _ => false,
        };
        let item = self.take(inbox, source, of_shard).await?;
        let found = match &item {
            SourceItem::Rows { sequence, .. } => *sequence,
            SourceItem::Part { sequence, .. } => Some(*sequence),
            _ => None,
        };
        if found == Some(sequence) {
            return Ok(item);
        }
        let message = format!(
            "shard {shard} of source {source} gave record {} where record {sequence} was read before",
            found.map_or("none".to_string(), |f| f.to_string())
        );
        Err(Error::new(Code::RECOVER_CHECKPOINT_FAILED, message))
    }

    pub async fn past_end(&mut self, inbox: &mut Inbox, source: usize) -> Result<SourceItem> {
        self.take(inbox, source, |item| matches!(item, SourceItem::BackfillEnd)).await
    }

    pub async fn end(&mut self, inbox: &mut Inbox, source: usize) -> Result<SourceItem> {
        self.take(inbox, source, |item| matches!(item, SourceItem::End)).await
    }

    /// The first item of a source that is wanted. Errors: of the source.
    async fn take(
        &mut self,
        inbox: &mut Inbox,
        source: usize,
        wanted: impl Fn(&SourceItem) -> bool,
    ) -> Result<SourceItem> {
        let is_it = |(of, item): &(usize, Result<SourceItem>)| match item {
            Ok(item) => *of == source && wanted(item),
            Err(_) => *of == source,
        };
        if let Some(at) = self.0.iter().position(is_it)
            && let Some((_, item)) = self.0.remove(at)
        {
            return item;
        }
        let read = async {
            while let Some(next) = inbox.recv().await {
                if is_it(&next) {
                    return next.1;
                }
                self.0.push_back(next);
            }
            let message = format!("source {source} ended before the rows that the query has read already");
            Err(Error::new(Code::RECOVER_CHECKPOINT_FAILED, message))
        };
        tokio::time::timeout(REREAD_PATIENCE, read).await.unwrap_or_else(|_| {
            let message =
                format!("source {source} did not give what the query has read already in {REREAD_PATIENCE:?}");
            Err(Error::new(Code::RECOVER_CHECKPOINT_FAILED, message))
        })
    }
}
