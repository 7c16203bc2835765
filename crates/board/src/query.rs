//! One running statement: who asked what, and how far it is.

use crate::text::Text;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Bytes of a query's text that a crash record keeps.
pub const TEXT_BYTES_MAX: usize = 4_096;

/// What a client loses when the server dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Changes nothing: it may be asked again at once.
    Read = 1,
    /// Adds rows; its outcome is looked up in the log.
    Insert = 2,
    /// An answer without end.
    Stream = 3,
    /// Changes the catalog or a setting; the client must look.
    Other = 4,
}

/// How far a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    Parse = 1,
    Plan = 2,
    Run = 3,
    Merge = 4,
    Recovery = 5,
}

impl Phase {
    pub fn name(number: u32) -> &'static str {
        match number {
            1 => "parse",
            2 => "plan",
            3 => "run",
            4 => "merge",
            5 => "recovery",
            _ => "",
        }
    }
}

const FREE: u32 = 0;
const RUNNING: u32 = 1;
/// Its worker is dead; the next one finds out what became of it.
const ORPHANED: u32 = 2;

#[repr(C, align(64))]
pub struct Query {
    state: AtomicU32,
    kind: AtomicU32,
    phase: AtomicU32,
    /// The connection that waits for the answer, plus one; 0: none.
    connection: AtomicU32,
    started_us: AtomicI64,
    /// Hash of the text, for the fingerprint of a crash; the same for every run of one text.
    pub hash: AtomicU64,
    /// Of an INSERT: how many records were handed to the log, and whether those were all.
    pub records: AtomicU32,
    pub all_submitted: AtomicU32,
    /// Of an INSERT: the stream.
    pub stream: Text<16>,
    /// Of an INSERT: the id that each of its log records carries.
    pub insert: Text<16>,
    pub id: Text<128>,
    pub user: Text<64>,
    pub database: Text<64>,
    pub interface: Text<16>,
    pub client: Text<64>,
    /// The client's idempotency key.
    pub token: Text<128>,
    /// Settings that are not at their defaults.
    pub settings: Text<1_024>,
    /// Secrets are masked already.
    pub text: Text<TEXT_BYTES_MAX>,
}

impl Query {
    pub fn is_free(&self) -> bool {
        self.state.load(Ordering::Acquire) == FREE
    }

    pub fn is_running(&self) -> bool {
        self.state.load(Ordering::Acquire) == RUNNING
    }

    pub fn is_orphaned(&self) -> bool {
        self.state.load(Ordering::Acquire) == ORPHANED
    }

    /// Takes a free place. The texts are set afterwards, one by one.
    pub fn open(&self, connection: Option<usize>, started_us: i64) {
        for cell in [&self.kind, &self.phase, &self.records, &self.all_submitted] {
            cell.store(0, Ordering::Relaxed);
        }
        self.hash.store(0, Ordering::Relaxed);
        self.started_us.store(started_us, Ordering::Relaxed);
        self.connection.store(connection.map_or(0, |c| c as u32 + 1), Ordering::Relaxed);
        self.stream.clear();
        self.insert.clear();
        self.token.clear();
        self.id.clear();
        self.user.clear();
        self.database.clear();
        self.interface.clear();
        self.client.clear();
        self.settings.clear();
        self.text.clear();
        self.state.store(RUNNING, Ordering::Release);
    }

    pub fn close(&self) {
        self.state.store(FREE, Ordering::Release);
    }

    /// Its worker is dead, and its client still waits.
    pub fn orphan(&self) {
        self.state.store(ORPHANED, Ordering::Release);
    }

    /// Nobody waits for it any more, and some of its work goes on.
    pub fn detach(&self) {
        self.connection.store(0, Ordering::Release);
    }

    pub fn connection(&self) -> Option<usize> {
        (self.connection.load(Ordering::Acquire) as usize).checked_sub(1)
    }

    pub fn kind(&self) -> Kind {
        match self.kind.load(Ordering::Acquire) {
            1 => Kind::Read,
            2 => Kind::Insert,
            3 => Kind::Stream,
            _ => Kind::Other,
        }
    }

    pub fn set_kind(&self, kind: Kind) {
        self.kind.store(kind as u32, Ordering::Release);
    }

    pub fn phase(&self) -> &'static str {
        Phase::name(self.phase.load(Ordering::Relaxed))
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::Relaxed);
    }

    /// Microseconds since 1970-01-01 UTC.
    pub fn started_us(&self) -> i64 {
        self.started_us.load(Ordering::Relaxed)
    }
}
