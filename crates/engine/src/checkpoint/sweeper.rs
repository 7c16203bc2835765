//! What is kept of queries that nobody goes on with is removed after a while.

use crate::engine::Inner;
use hydron_store::checkpoint::Sweep;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The shortest time between two looks.
const TICK_MIN: Duration = Duration::from_secs(1);

/// Looks until the engine is gone.
pub async fn run(engine: Weak<Inner>, every: Duration) {
    let every = every.max(TICK_MIN);
    loop {
        tokio::time::sleep(every).await;
        let Some(engine) = engine.upgrade() else { return };
        let swept = tokio::task::spawn_blocking(move || sweep(&engine)).await;
        match swept {
            Ok(Ok(0)) => {}
            Ok(Ok(removed)) => tracing::info!("the state of {removed} queries was removed: nobody went on with them"),
            Ok(Err(e)) => tracing::warn!("old checkpoints were not removed: {e}"),
            Err(e) => tracing::warn!("old checkpoints were not removed: {e}"),
        }
    }
}

fn sweep(engine: &Arc<Inner>) -> hydron_base::Result<usize> {
    let options = &engine.options.checkpoint;
    let sweep = Sweep {
        now: engine.options.clock.now(),
        unused: options.last_access_ttl,
        deleted: options.delete_grace_interval,
    };
    let running = engine.keepers.running();
    let in_use = |id: &str| running.iter().any(|k| k.id() == id) || crate::view::is_view_id(engine, id);
    Ok(engine.checkpoints.sweep(sweep, &in_use)?)
}
