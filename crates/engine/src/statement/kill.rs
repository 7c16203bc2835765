//! KILL QUERY WHERE …: ends queries that match.

use super::{Answer, Context, answer};
use crate::query::QueryInfo;
use hydron_access::{Object, Privilege};
use hydron_base::{Code, Error, Result};
use hydron_plan::bind::bind_scalar_expr;
use hydron_sql::ast::{Kill, KillMode, KillObject};
use hydron_types::{Batch, LogicalType, Value};
use std::sync::Arc;
use std::time::Duration;

/// How long SYNC waits for a query to free what it held.
const SYNC_WAIT: Duration = Duration::from_secs(10);

pub async fn run(cx: Context, kill: Kill) -> Result<Answer> {
    match kill.what {
        KillObject::Query => {}
        KillObject::Mutation => return Err(Error::not_implemented("KILL MUTATION")),
        other => return Err(Error::not_implemented(format!("KILL {other:?}"))),
    }
    let mut all: Vec<Arc<QueryInfo>> = cx.engine.queries.running();
    // Everyone may end their own queries.
    if !cx.access.rights.has(Privilege::KILL_QUERY.into(), &Object::ANY) {
        all.retain(|q| q.user == cx.user);
    }
    let candidates = crate::system::processes(&all)?;
    let wanted = matching(&cx, &kill, &candidates)?;
    let mut rows = Vec::new();
    for (query, _) in all.iter().zip(&wanted).filter(|(_, w)| **w) {
        if *query.query_id == *cx.info.query_id {
            continue;
        }
        let status = match kill.mode {
            KillMode::Test => "waiting",
            KillMode::Async => {
                query.cancel.cancel();
                "waiting"
            }
            KillMode::Sync => {
                query.cancel.cancel();
                match tokio::time::timeout(SYNC_WAIT, query.wait_ended()).await {
                    Ok(()) => "finished",
                    Err(_) => "waiting",
                }
            }
        };
        rows.push(vec![
            Value::string(status),
            Value::string(&*query.query_id),
            Value::string(&*query.user),
            Value::string(&*query.text),
        ]);
    }
    let columns = ["kill_status", "query_id", "user", "query"].map(|c| (c, LogicalType::String));
    Ok(answer::batch(answer::rows_of(&columns, rows)?))
}

/// Which rows of `system.processes` satisfy the condition.
fn matching(cx: &Context, kill: &Kill, processes: &Batch) -> Result<Vec<bool>> {
    let condition = bind_scalar_expr(&kill.filter, &processes.schema, &cx.lookup(), &cx.bind_context(false))?;
    if *condition.ty.bare() != LogicalType::Bool && !condition.ty.bare().is_integer() {
        let message = format!("the condition of KILL QUERY has type {}, not bool", condition.ty);
        return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, message));
    }
    let mask = condition.eval_filter(&cx.eval_context(), processes)?;
    Ok((0..processes.rows()).map(|i| mask.value(i)).collect())
}
