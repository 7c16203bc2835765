//! DataFusion's own tasks wear the mark of the query that starts them, so that a fault in an operator is told to it.

use datafusion::common::runtime::{JoinSetTracer, set_join_set_tracer};
use futures::future::BoxFuture;
use hydron_board::{Board, Mark};
use std::any::Any;
use std::sync::Once;

struct Marker;

impl JoinSetTracer for Marker {
    fn trace_future(&self, future: BoxFuture<'static, Box<dyn Any + Send>>) -> BoxFuture<'static, Box<dyn Any + Send>> {
        Box::pin(Mark::current().on(future))
    }

    fn trace_block(
        &self,
        work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> Box<dyn FnOnce() -> Box<dyn Any + Send> + Send> {
        let mark = Mark::current();
        Box::new(move || {
            let _entered = mark.enter();
            work()
        })
    }
}

/// Called before anything runs. Without a board there are no marks to hand on.
pub fn install() {
    static INSTALLED: Once = Once::new();
    if Board::current().is_some() {
        // Someone else's tracer would stay: then only tasks of ours are marked.
        INSTALLED.call_once(|| drop(set_join_set_tracer(&Marker)));
    }
}
