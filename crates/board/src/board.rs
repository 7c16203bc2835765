//! The whole board, mapped: made by a supervisor, inherited by its workers.

use crate::connection::Connection;
use crate::crash::Crash;
use crate::log_lines::LogLines;
use crate::mark::Mark;
use crate::outbox::{OUTBOX_BYTES, Outbox};
use crate::quarantine::Quarantined;
use crate::query::Query;
use crate::session::SavedSession;
use crate::text::Text;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// 2 KiB each when they are used.
pub const CONNECTIONS_MAX: usize = 16_384;
/// 6 KiB each when they are used.
pub const QUERIES_MAX: usize = 8_192;
pub const SESSIONS_MAX: usize = 4_096;
pub const QUARANTINED_MAX: usize = 64;

const MAGIC: u64 = 0x6879_6472_6f6e_0002;

/// What a worker tells of itself, and what it is told.
#[repr(C, align(64))]
pub struct Worker {
    pub pid: AtomicU32,
    /// Counts the workers of this board.
    pub generation: AtomicU32,
    /// Not 0: a thread has faulted, and nothing may be acknowledged any more.
    crashed: AtomicU32,
    /// Writes, DDL aside, are refused.
    safe_mode: AtomicU32,
    /// Milliseconds of the monotonic clock at which the socket threads last showed that they live.
    pub beat_ms: AtomicU64,
    /// The same of the computing threads.
    pub compute_beat_ms: AtomicU64,
    /// Where the program is loaded.
    pub load_base: AtomicU64,
    /// Bytes that queries hold.
    pub memory_tracked: AtomicU64,
    /// Microseconds since 1970-01-01 UTC.
    pub started_us: AtomicI64,
    /// Not 0: a write or a sync has failed, so what the page cache shows may not be what the disk holds.
    disk_fault: AtomicU32,
    /// What failed.
    pub disk_fault_text: Text<252>,
    /// How the disk is to fail; only where traps are allowed.
    disk_trap: AtomicU32,
}

/// What `trap` asks of the disk of the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DiskTrap {
    None = 0,
    /// The next sync fails, and only that one.
    SyncFails = 1,
    /// There is no room.
    Full = 2,
}

/// Places below these were used at least once. The others are never looked at: looking would cost their memory.
#[repr(C, align(64))]
struct Used {
    connections: AtomicU32,
    queries: AtomicU32,
    sessions: AtomicU32,
}

#[repr(C)]
struct Layout {
    magic: u64,
    worker: Worker,
    crash: Crash,
    log_lines: LogLines,
    used: Used,
    quarantine: [Quarantined; QUARANTINED_MAX],
    connections: [Connection; CONNECTIONS_MAX],
    queries: [Query; QUERIES_MAX],
    sessions: [SavedSession; SESSIONS_MAX],
}

const OUTBOXES_AT: usize = size_of::<Layout>().next_multiple_of(4_096);
const BYTES: usize = OUTBOXES_AT + CONNECTIONS_MAX * OUTBOX_BYTES;

/// Shared memory of one supervisor and its workers. Pages cost memory when they are first written.
pub struct Board {
    base: *mut u8,
    fd: OwnedFd,
}

// SAFETY: all that is reached through it is atomic, or bytes of unknown content that are only copied.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

static CURRENT: OnceLock<&'static Board> = OnceLock::new();

impl Board {
    pub fn create() -> io::Result<&'static Board> {
        let fd = memfd_create("hydron-board", MemfdFlags::CLOEXEC)?;
        ftruncate(&fd, BYTES as u64)?;
        let board = Board::map(fd)?;
        // SAFETY: the mapping is that large and zeroed; nobody else has it yet.
        unsafe { std::ptr::write(board.base.cast::<u64>(), MAGIC) };
        Ok(board)
    }

    /// Maps the board that a supervisor has handed over.
    pub fn inherit(fd: OwnedFd) -> io::Result<&'static Board> {
        if rustix::fs::fstat(&fd)?.st_size as usize != BYTES {
            return Err(io::Error::other("the board was made by another version"));
        }
        let board = Board::map(fd)?;
        // SAFETY: the mapping is that large.
        match unsafe { std::ptr::read_volatile(board.base.cast::<u64>()) } {
            MAGIC => Ok(board),
            _ => Err(io::Error::other("the board was made by another version")),
        }
    }

    fn map(fd: OwnedFd) -> io::Result<&'static Board> {
        // SAFETY: a new mapping of a file of that size, at an address of the kernel's choice.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::NORESERVE,
                fd.as_fd(),
                0,
            )?
        };
        // A core or a minidump needs none of it: what matters is in the crash record.
        // SAFETY: our own mapping.
        let _ = unsafe { madvise(base, BYTES, Advice::LinuxDontDump) };
        Ok(Box::leak(Box::new(Board { base: base.cast(), fd })))
    }

    /// The board of this process, if it has a supervisor.
    pub fn current() -> Option<&'static Board> {
        CURRENT.get().copied()
    }

    /// Makes it the board of this process, once.
    pub fn install(&'static self) {
        let _ = CURRENT.set(self);
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    fn layout(&self) -> &Layout {
        // SAFETY: mapped for the life of the process; zeroed memory is valid for all of it.
        unsafe { &*self.base.cast::<Layout>() }
    }

    pub fn worker(&self) -> &Worker {
        &self.layout().worker
    }

    pub fn crash(&self) -> &Crash {
        &self.layout().crash
    }

    pub fn log_lines(&self) -> &LogLines {
        &self.layout().log_lines
    }

    pub fn connections(&self) -> &[Connection] {
        &self.layout().connections
    }

    /// Those that were ever used.
    pub fn used_connections(&self) -> &[Connection] {
        used(&self.layout().used.connections, &self.layout().connections)
    }

    /// A place that is going to be used.
    pub fn use_connection(&self, index: usize) -> &Connection {
        self.layout().used.connections.fetch_max(index as u32 + 1, Ordering::AcqRel);
        &self.layout().connections[index]
    }

    pub fn connection(&self, index: usize) -> Option<&Connection> {
        self.layout().connections.get(index)
    }

    pub fn queries(&self) -> &[Query] {
        &self.layout().queries
    }

    /// Those that were ever used.
    pub fn used_queries(&self) -> &[Query] {
        used(&self.layout().used.queries, &self.layout().queries)
    }

    /// A place that is going to be used.
    pub fn use_query(&self, index: usize) -> &Query {
        self.layout().used.queries.fetch_max(index as u32 + 1, Ordering::AcqRel);
        &self.layout().queries[index]
    }

    pub fn query(&self, index: usize) -> Option<&Query> {
        self.layout().queries.get(index)
    }

    /// Those that were ever used.
    pub fn used_sessions(&self) -> &[SavedSession] {
        used(&self.layout().used.sessions, &self.layout().sessions)
    }

    /// A place that is going to be used.
    pub fn use_session(&self, index: usize) -> &SavedSession {
        self.layout().used.sessions.fetch_max(index as u32 + 1, Ordering::AcqRel);
        &self.layout().sessions[index]
    }

    pub fn quarantine(&self) -> &[Quarantined] {
        &self.layout().quarantine
    }

    /// The refusal of queries with this hash.
    pub fn quarantined(&self, hash: u64) -> Option<&Quarantined> {
        self.quarantine().iter().find(|q| q.hash() == Some(hash))
    }

    pub fn outbox(&self, connection: usize) -> Option<Outbox<'_>> {
        let place = self.connection(connection)?;
        // SAFETY: each connection has its own room behind the layout, within the mapping.
        Some(unsafe { Outbox::new(place, self.base.add(OUTBOXES_AT + connection * OUTBOX_BYTES)) })
    }

    /// Gives back the memory of an outbox.
    pub fn free_outbox(&self, connection: usize) {
        if connection < CONNECTIONS_MAX {
            // SAFETY: within the mapping; the place is free and nobody reads it.
            let room = unsafe { self.base.add(OUTBOXES_AT + connection * OUTBOX_BYTES) };
            // SAFETY: as above. Not being able to give memory back is not an error.
            let _ = unsafe { madvise(room.cast(), OUTBOX_BYTES, Advice::LinuxRemove) };
        }
    }

    /// The query that the calling thread works for.
    pub fn current_query(&self) -> Option<&Query> {
        self.query(Mark::current().query_index()?)
    }
}

fn used<'a, T>(count: &AtomicU32, all: &'a [T]) -> &'a [T] {
    &all[..(count.load(Ordering::Acquire) as usize).min(all.len())]
}

impl Worker {
    /// Shuts the gate: from here on nothing is acknowledged.
    pub fn set_crashed(&self) {
        self.crashed.store(1, Ordering::SeqCst);
    }

    pub fn is_crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst) != 0
    }

    pub fn is_safe_mode(&self) -> bool {
        self.safe_mode.load(Ordering::Acquire) != 0
    }

    pub fn set_safe_mode(&self, on: bool) {
        self.safe_mode.store(u32::from(on), Ordering::Release);
    }

    /// A log cannot be written any more: the worker has to be replaced.
    pub fn set_disk_fault(&self, text: &str) {
        if self.disk_fault.load(Ordering::Acquire) == 0 {
            self.disk_fault_text.set(text);
        }
        self.disk_fault.store(1, Ordering::Release);
    }

    pub fn has_disk_fault(&self) -> bool {
        self.disk_fault.load(Ordering::Acquire) != 0
    }

    /// What the disk holds was read anew.
    pub fn clear_disk_fault(&self) {
        self.disk_fault.store(0, Ordering::Release);
    }

    pub fn set_disk_trap(&self, trap: DiskTrap) {
        self.disk_trap.store(trap as u32, Ordering::Release);
    }

    pub fn is_disk_full(&self) -> bool {
        self.disk_trap.load(Ordering::Acquire) == DiskTrap::Full as u32
    }

    /// True once for each time that a sync was to fail.
    pub fn take_sync_trap(&self) -> bool {
        let (armed, none) = (DiskTrap::SyncFails as u32, DiskTrap::None as u32);
        self.disk_trap.compare_exchange(armed, none, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Before a worker starts. What became of the disk stays: the next one has to know.
    pub fn reset(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.beat_ms.store(0, Ordering::Relaxed);
        self.compute_beat_ms.store(0, Ordering::Relaxed);
        self.set_disk_trap(DiskTrap::None);
        self.memory_tracked.store(0, Ordering::Relaxed);
        self.crashed.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{Protocol, State};

    #[test]
    fn what_one_process_writes_another_reads() {
        let ours = Board::create().unwrap();
        let theirs = Board::inherit(ours.fd().try_clone().unwrap()).unwrap();
        ours.connections()[7].open(Protocol::Http);
        ours.queries()[3].open(Some(7), 42);
        ours.queries()[3].text.set("select 1");
        assert_eq!(theirs.connection(7).map(Connection::state), Some(State::Idle));
        assert_eq!((theirs.queries()[3].connection(), theirs.queries()[3].started_us()), (Some(7), 42));
        assert_eq!(theirs.queries()[3].text.get(), "select 1");
        let outbox = ours.outbox(CONNECTIONS_MAX - 1).unwrap();
        outbox.note([b"abc".as_slice()].into_iter(), 1);
        let mut out = [0; 8];
        assert_eq!(theirs.outbox(CONNECTIONS_MAX - 1).unwrap().peek(&mut out), b"bc");
        ours.free_outbox(CONNECTIONS_MAX - 1);
    }

    #[test]
    fn a_disk_fault_outlives_its_worker_and_keeps_its_first_text() {
        let board = Board::create().unwrap();
        let worker = board.worker();
        worker.set_disk_trap(DiskTrap::SyncFails);
        assert!(worker.take_sync_trap() && !worker.take_sync_trap());
        worker.set_disk_fault("cannot sync a");
        worker.set_disk_fault("cannot sync b");
        worker.set_disk_trap(DiskTrap::Full);
        worker.reset();
        assert!(worker.has_disk_fault() && !worker.is_disk_full());
        assert_eq!(worker.disk_fault_text.get(), "cannot sync a");
        worker.clear_disk_fault();
        assert!(!worker.has_disk_fault());
    }

    #[test]
    fn a_file_that_is_no_board_is_refused() {
        let fd = memfd_create("other", MemfdFlags::CLOEXEC).unwrap();
        assert!(Board::inherit(fd).is_err());
    }

    #[test]
    fn a_quarantined_query_is_found_by_its_hash() {
        let board = Board::create().unwrap();
        assert!(board.quarantined(0).is_none());
        board.quarantine()[0].set(9);
        assert!(board.quarantined(9).is_some());
        board.quarantine()[0].lift();
        assert!(board.quarantined(9).is_none());
    }
}
