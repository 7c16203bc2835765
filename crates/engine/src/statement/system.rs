//! SYSTEM: commands to the server.
//!
//! Those that only make sense for another storage succeed and do nothing, so that scripts run unchanged.

use super::{Answer, Context, answer};
use hydron_base::{Code, Error, Result};
use hydron_board::Board;
use hydron_sql::ast::{Literal, System};

pub async fn run(cx: Context, system: System) -> Result<Answer> {
    const NOTHING_TO_DO: &[&str] = &[
        "FLUSH LOGS",
        "STOP MERGES",
        "START MERGES",
        "STOP TTL MERGES",
        "START TTL MERGES",
        "DROP MARK CACHE",
        "DROP UNCOMPRESSED CACHE",
        "DROP COMPILED EXPRESSION CACHE",
        "DROP DNS CACHE",
        "DROP MMAP CACHE",
        "DROP QUERY CACHE",
        "DROP SCHEMA CACHE",
        "DROP FORMAT SCHEMA CACHE",
        "DROP FILESYSTEM CACHE",
        "SYNC FILE CACHE",
        "FLUSH ASYNC INSERT QUEUE",
        "RELOAD FUNCTIONS",
        "RELOAD MODELS",
        "RELOAD SYMBOLS",
        "RELOAD USERS",
        "STOP REPLICATED SENDS",
        "START REPLICATED SENDS",
        "STOP REPLICATION QUEUES",
        "START REPLICATION QUEUES",
        "STOP DISTRIBUTED SENDS",
        "START DISTRIBUTED SENDS",
        "RELOAD CONFIG",
        "STOP MOVES",
        "START MOVES",
        "STOP FETCHES",
        "START FETCHES",
    ];
    const OF_VIEWS: &str = " MATERIALIZED VIEW";
    match system.command.as_str() {
        "LIFT QUARANTINE" => lift(Board::current(), &what_to_lift(&system)?)?,
        "LEAVE SAFE MODE" => {
            if let Some(board) = Board::current() {
                board.worker().set_safe_mode(false);
            }
        }
        command if command.ends_with(OF_VIEWS) => {
            let verb = command.trim_end_matches(OF_VIEWS);
            let Some(name) = &system.target else {
                let message = format!("SYSTEM {command} takes the name of a view");
                return Err(Error::new(Code::SYNTAX_ERROR, message));
            };
            return super::materialized::system(cx, verb, name).await;
        }
        "RELOAD DICTIONARIES" | "RELOAD EMBEDDED DICTIONARIES" => {}
        // A statement reads a dictionary as it is then: there is nothing old to drop.
        "RELOAD DICTIONARY" => match &system.target {
            Some(name) => drop(super::dictionary::existing(&cx, name)?),
            None => {
                return Err(Error::new(Code::SYNTAX_ERROR, "SYSTEM RELOAD DICTIONARY takes the name of a dictionary"));
            }
        },
        command if NOTHING_TO_DO.contains(&command) => {
            if let Some(name) = &system.target {
                let (database, name) = cx.full_name(name);
                cx.catalog().existing(&database, &name)?;
            }
        }
        command => return Err(Error::not_implemented(format!("SYSTEM {command}"))),
    }
    Ok(answer::nothing())
}

#[derive(Debug, PartialEq, Eq)]
enum Lift {
    All,
    /// An incident, or the hash of a query in hexadecimal.
    One(String),
}

fn what_to_lift(system: &System) -> Result<Lift> {
    match (&system.target, system.args.as_slice()) {
        (Some(name), []) if name.database.is_none() && name.name.eq_ignore_ascii_case("all") => Ok(Lift::All),
        (None, [arg]) if let Some(Literal::String(bytes)) = arg.as_literal() => {
            Ok(Lift::One(String::from_utf8_lossy(bytes).into_owned()))
        }
        _ => Err(Error::new(Code::SYNTAX_ERROR, "SYSTEM LIFT QUARANTINE takes one string, or the word ALL")
            .hint("the columns incident_id and query_hash of system.quarantine")),
    }
}

/// Errors: BAD_ARGUMENTS when no query is refused under that name.
fn lift(board: Option<&Board>, what: &Lift) -> Result<()> {
    let places = board.map_or(&[][..], Board::quarantine);
    let wanted = places.iter().filter(|q| match (q.hash(), what) {
        (None, _) => false,
        (Some(_), Lift::All) => true,
        (Some(hash), Lift::One(name)) => format!("{hash:016x}").eq_ignore_ascii_case(name) || q.incident.get() == *name,
    });
    let lifted = wanted.map(|q| q.lift()).count();
    match what {
        Lift::One(name) if lifted == 0 => {
            let message = format!("no query is quarantined under '{name}'");
            Err(Error::bad_arguments(message).hint("select * from system.quarantine"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_sql::ast::StatementKind;

    fn parsed(text: &str) -> Result<Lift> {
        match hydron_sql::parse_statement(text)?.statement.kind {
            StatementKind::System(system) => what_to_lift(&system),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_a_statement_names() {
        assert_eq!(parsed("SYSTEM LIFT QUARANTINE ALL").unwrap(), Lift::All);
        assert_eq!(parsed("system lift quarantine 'ab'").unwrap(), Lift::One("ab".to_owned()));
        assert_eq!(parsed("SYSTEM LIFT QUARANTINE").unwrap_err().code, Code::SYNTAX_ERROR);
        assert_eq!(parsed("SYSTEM LIFT QUARANTINE 1").unwrap_err().code, Code::SYNTAX_ERROR);
    }

    #[test]
    fn a_quarantine_is_lifted_by_incident_by_hash_or_with_all() {
        let board = Board::create().unwrap();
        let put = || {
            for (at, incident) in ["a", "b", "c"].iter().enumerate() {
                board.quarantine()[at].incident.set(incident);
                board.quarantine()[at].set(at as u64 + 0xab);
            }
        };
        let left = || (0xab..0xae).filter(|h| board.quarantined(*h).is_some()).collect::<Vec<u64>>();
        let one = |name: &str| Lift::One(name.to_owned());
        put();
        lift(Some(board), &one("b")).unwrap();
        assert_eq!(left(), [0xab, 0xad]);
        lift(Some(board), &one("00000000000000AD")).unwrap();
        assert_eq!(left(), [0xab]);
        assert_eq!(lift(Some(board), &one("d")).unwrap_err().code, Code::BAD_ARGUMENTS);
        put();
        lift(Some(board), &Lift::All).unwrap();
        assert!(left().is_empty());
        lift(None, &Lift::All).unwrap();
    }
}
