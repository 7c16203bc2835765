//! What a server that has crashed does not run again: queries that crashed it, and in safe mode whatever writes rows.

use crate::place::text_hash;
use hydron_base::{Code, Error, Result};
use hydron_board::Board;
use hydron_sql::ast::{CreateSource, StatementKind};

/// Errors: QUERY_QUARANTINED when this text has crashed the server more than once.
pub fn quarantined(text: &str) -> Result<()> {
    match Board::current() {
        // The text may be long: it is summed up only where there is something to compare with.
        Some(board) if board.quarantine().iter().any(|q| q.is_set()) => check_text(board, text_hash(text)),
        _ => Ok(()),
    }
}

fn check_text(board: &Board, hash: u64) -> Result<()> {
    let Some(quarantined) = board.quarantined(hash) else { return Ok(()) };
    let incident = quarantined.incident.get();
    let crashes = quarantined.crashes.load(std::sync::atomic::Ordering::Relaxed);
    let message = format!("this query has crashed the server {crashes} times and is refused, see incident {incident}");
    Err(Error::new(Code::QUERY_QUARANTINED, message)
        .hint(format!("SYSTEM LIFT QUARANTINE '{incident}' once the cause is known")))
}

/// Errors: SERVER_IN_SAFE_MODE for a statement that writes rows.
pub fn in_safe_mode(kind: &StatementKind) -> Result<()> {
    match Board::current() {
        Some(board) => check_kind(board, kind),
        None => Ok(()),
    }
}

fn check_kind(board: &Board, kind: &StatementKind) -> Result<()> {
    if !board.worker().is_safe_mode() || !writes_rows(kind) {
        return Ok(());
    }
    let message =
        "the server has crashed too often and is in safe mode: it reads and changes the catalog, it writes no rows";
    Err(Error::new(Code::SERVER_IN_SAFE_MODE, message)
        .hint("select * from system.crash_log for the cause, SYSTEM LEAVE SAFE MODE to go on"))
}

fn writes_rows(kind: &StatementKind) -> bool {
    match kind {
        StatementKind::Insert(_) | StatementKind::CreateMaterializedView(_) => true,
        StatementKind::CreateStream(create) => matches!(create.source, Some(CreateSource::Select(_))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_that_crashed_the_server_is_refused_by_its_text() {
        let board = Board::create().unwrap();
        let hash = text_hash("select 1");
        check_text(board, hash).unwrap();
        board.quarantine()[0].incident.set("i7");
        board.quarantine()[0].set(hash);
        let refused = check_text(board, hash).unwrap_err();
        assert_eq!(refused.code, Code::QUERY_QUARANTINED);
        assert!(refused.to_string().contains("SYSTEM LIFT QUARANTINE 'i7'"), "{refused}");
        check_text(board, text_hash("select 2")).unwrap();
    }

    #[test]
    fn safe_mode_refuses_rows_and_nothing_else() {
        let board = Board::create().unwrap();
        let check = |text: &str| check_kind(board, &hydron_sql::parse_statement(text).unwrap().statement.kind);
        check("insert into t values (1)").unwrap();
        board.worker().set_safe_mode(true);
        for text in ["insert into t values (1)", "insert into t select 1", "create stream t as select 1"] {
            assert_eq!(check(text).unwrap_err().code, Code::SERVER_IN_SAFE_MODE, "{text}");
        }
        for text in ["select 1", "create stream t (a int)", "drop stream t", "SYSTEM LEAVE SAFE MODE"] {
            check(text).unwrap();
        }
    }
}
