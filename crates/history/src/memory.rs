//! What DataFusion's operators may take: the query's budget, shared fairly among those that can spill.

use crate::error::outward;
use datafusion::common::Result as DfResult;
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};
use hydron_base::Budget;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Consumers that an error names.
const CONSUMERS_NAMED: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");

#[derive(Debug)]
pub struct QueryPool {
    shares: Box<dyn MemoryPool>,
    budget: Arc<Budget>,
    spills: bool,
}

/// The operator that deals rows out to partitions, as DataFusion 55.2 names it. When it is refused memory it spills, and then it and
/// those it deals to sometimes wait for each other for ever. What it holds is little, since its queues are short: it is counted
/// and not refused.
const DEALER: &str = "RepartitionExec";

impl QueryPool {
    /// `spills`: there is a disk for what does not fit, so nobody may take all; otherwise whoever comes first has it, and the
    /// query fails only when all of it is taken.
    pub fn new(budget: Arc<Budget>, spills: bool) -> QueryPool {
        let bytes = usize::try_from(budget.limit()).unwrap_or(usize::MAX);
        let shares: Box<dyn MemoryPool> = match spills {
            true => Box::new(TrackConsumersPool::new(FairSpillPool::new(bytes), CONSUMERS_NAMED)),
            false => Box::new(TrackConsumersPool::new(GreedyMemoryPool::new(bytes), CONSUMERS_NAMED)),
        };
        QueryPool { shares, budget, spills }
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.shares.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.shares.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.shares.grow(reservation, additional);
        self.budget.grow(additional as u64);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.shares.shrink(reservation, shrink);
        self.budget.shrink(shrink as u64);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> DfResult<()> {
        if self.spills && reservation.consumer().name().starts_with(DEALER) {
            self.grow(reservation, additional);
            return Ok(());
        }
        self.shares.try_grow(reservation, additional)?;
        self.budget.try_grow(additional as u64).map_err(|e| {
            self.shares.shrink(reservation, additional);
            exhausted(e)
        })
    }

    fn reserved(&self) -> usize {
        self.shares.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.shares.memory_limit()
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shares.fmt(f)
    }
}

/// An operator that can spill does so only when it is told in DataFusion's own words.
fn exhausted(e: hydron_base::Error) -> datafusion::error::DataFusionError {
    match e.code {
        hydron_base::Code::MEMORY_LIMIT_EXCEEDED => datafusion::error::DataFusionError::ResourcesExhausted(e.message),
        _ => outward(e),
    }
}
