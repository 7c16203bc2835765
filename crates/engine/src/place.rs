//! The place of a running statement on the board: what a crash of this process leaves behind about it.
//!
//! In: who asks what, over which connection. Out: a place, filled as the statement goes on, and the mark that its threads
//! wear. Promise: without a supervisor there is no board and none of this does anything; when no place is free the statement
//! runs without one.

use crate::query::QueryOptions;
use crate::session::Session;
use hydron_base::Settings;
use hydron_board::board::QUERIES_MAX;
use hydron_board::connection::{COMMITTED, UNSURE};
use hydron_board::query::TEXT_BYTES_MAX;
use hydron_board::{Board, Connection, Kind, Mark, Query};
use hydron_sql::secret::mask;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use twox_hash::XxHash3_64;

const WORDS: usize = QUERIES_MAX / 64;

/// Places that this process has taken, a bit each. Others may still belong to a worker that died.
static TAKEN: Mutex<[u64; WORDS]> = Mutex::new([0; WORDS]);

/// Number that stands for the text of a statement in fingerprints of crashes and in the list of refused queries: the same
/// in every process.
pub fn text_hash(text: &str) -> u64 {
    XxHash3_64::oneshot(text.as_bytes())
}

/// How many values of [`Place`] there are of each: work that cannot be stopped may outlive its query.
static HOLDS: [AtomicU32; QUERIES_MAX] = [const { AtomicU32::new(0) }; QUERIES_MAX];

/// One place, free again when the last value of it is dropped.
pub struct Place {
    board: &'static Board,
    index: usize,
}

impl Place {
    /// The lowest free place, filled with what is known before the text is parsed.
    pub fn take(
        query_id: &str,
        session: &Session,
        text: &str,
        options: &QueryOptions,
        started_us: i64,
    ) -> Option<Place> {
        Place::take_on(Board::current()?, query_id, session, text, options, started_us)
    }

    fn take_on(
        board: &'static Board,
        query_id: &str,
        session: &Session,
        text: &str,
        options: &QueryOptions,
        started_us: i64,
    ) -> Option<Place> {
        let place = Place { board, index: lowest_free(board)? };
        let query = place.query();
        query.open(options.connection, started_us);
        query.hash.store(text_hash(text), Ordering::Relaxed);
        query.id.set(query_id);
        query.user.set(&session.user);
        query.database.set(&session.database);
        query.interface.set(options.interface);
        query.client.set(&options.client_address);
        query.text.set(&mask(&text[..text.floor_char_boundary(TEXT_BYTES_MAX)]));
        if let Some(connection) = options.connection.and_then(|c| board.connection(c)) {
            connection.set_resume(-1);
            connection.set_query(Some(place.index));
        }
        Some(place)
    }

    /// The place of the query that the calling thread works for, kept as long as the value lives. Only for work that the
    /// query itself starts.
    pub fn of_current() -> Option<Place> {
        let index = Mark::current().query_index()?;
        let place = Place { board: Board::current()?, index };
        HOLDS[index].fetch_add(1, Ordering::Relaxed);
        Some(place)
    }

    pub fn query(&self) -> &'static Query {
        &self.board.queries()[self.index]
    }

    /// The connection that waits for the answer.
    pub fn connection(&self) -> Option<&'static Connection> {
        self.board.connection(self.query().connection()?)
    }

    pub fn mark(&self) -> Mark {
        Mark::query(self.index)
    }

    /// Settings that are not at their defaults, `name = value` a line.
    pub fn set_settings(&self, settings: &Settings) {
        let mut text = String::new();
        for (name, value) in settings.changed() {
            text.extend([name, " = '", value, "'\n"]);
        }
        self.query().settings.set(mask(text.trim_end()).as_ref());
        let token = ["idempotent_id", "insert_deduplication_token"].map(|n| settings.text(n));
        if let Some(token) = token.into_iter().find(|t| !t.is_empty()) {
            self.query().token.set(token);
        }
    }

    /// The statement is at its end, `completed` or given up. Its answer may still be on the way: what it has changed is noted
    /// first, so that nobody is told to repeat it.
    pub fn leave_connection(&self, completed: bool) {
        let query = self.query();
        if let Some(connection) = query.connection().and_then(|c| self.board.connection(c))
            && connection.query() == Some(self.index)
        {
            if matches!(query.kind(), Kind::Insert | Kind::Other) {
                connection.set(if completed { COMMITTED } else { UNSURE });
            }
            connection.set_query(None);
        }
        query.detach();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if HOLDS[self.index].fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        self.query().close();
        TAKEN.lock()[self.index / 64] &= !(1 << (self.index % 64));
    }
}

fn lowest_free(board: &Board) -> Option<usize> {
    let mut taken = TAKEN.lock();
    for (at, word) in taken.iter_mut().enumerate() {
        let mut free = !*word;
        while free != 0 {
            let bit = free.trailing_zeros() as usize;
            if board.queries()[at * 64 + bit].is_free() {
                *word |= 1 << bit;
                let index = at * 64 + bit;
                HOLDS[index].store(1, Ordering::Relaxed);
                board.use_query(index);
                return Some(index);
            }
            free &= free - 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_board::Protocol;

    #[test]
    fn a_place_is_filled_and_given_back() {
        let board = Board::create().unwrap();
        // As a worker that died has left it.
        board.queries()[0].open(None, 1);
        board.queries()[0].orphan();
        board.connections()[5].open(Protocol::Http);
        let session = Session::new("me", "db");
        let options = QueryOptions { connection: Some(5), interface: "http", ..QueryOptions::default() };
        let take = || Place::take_on(board, "id", &session, "select 1", &options, 7).unwrap();
        let (first, second) = (take(), take());
        assert_eq!((first.index, second.index), (1, 2));
        let query = first.query();
        assert!(query.is_running());
        assert_eq!([&query.user.get(), &query.database.get(), &query.text.get()], ["me", "db", "select 1"]);
        assert_eq!(board.connections()[5].query(), Some(2));
        second.query().set_kind(Kind::Insert);
        second.leave_connection(true);
        assert!(board.connections()[5].has(COMMITTED));
        assert_eq!(board.connections()[5].query(), None);
        drop(first);
        assert!(board.queries()[1].is_free());
        assert_eq!(take().index, 1);
    }
}
