//! The record of a fault: written by the handler, read by the supervisor and by the process that writes the dump.

use crate::text::Text;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering};

/// Bytes of the faulting thread's stack that are kept, from its stack pointer up.
pub const STACK_BYTES: usize = 64 << 10;

/// Registers and signal information as the platform has them.
pub const CONTEXT_BYTES: usize = 4_096;

/// How far the handler came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Stage {
    None = 0,
    /// A thread has faulted and nothing is known yet.
    Claimed = 1,
    /// Signal, address and query stand in the record.
    Recorded = 2,
    /// Registers and stack too.
    Stacked = 3,
}

#[repr(C, align(64))]
pub struct Crash {
    stage: AtomicU32,
    /// Thread that faulted first; others wait.
    tid: AtomicU32,
    pub pid: AtomicU32,
    pub signal: AtomicI32,
    pub si_code: AtomicI32,
    /// The query that the thread worked for, plus one.
    query: AtomicU32,
    pub address: AtomicU64,
    pub pc: AtomicU64,
    pub sp: AtomicU64,
    pub monotonic_ns: AtomicU64,
    pub wall_us: AtomicI64,
    /// Threads that faulted while the first one was handled.
    pub others: AtomicU32,
    context_length: AtomicU32,
    pub stack_address: AtomicU64,
    stack_length: AtomicU32,
    pub thread_name: Text<32>,
    context: UnsafeCell<[u8; CONTEXT_BYTES]>,
    stack: UnsafeCell<[u8; STACK_BYTES]>,
}

// SAFETY: the buffers are written by the one thread that claimed the record, and read as bytes of unknown content.
unsafe impl Sync for Crash {}

impl Crash {
    /// Before a worker starts.
    pub fn reset(&self) {
        self.stage.store(Stage::None as u32, Ordering::Release);
        self.tid.store(0, Ordering::Release);
        self.others.store(0, Ordering::Relaxed);
        self.query.store(0, Ordering::Relaxed);
        self.context_length.store(0, Ordering::Relaxed);
        self.stack_length.store(0, Ordering::Relaxed);
        self.signal.store(0, Ordering::Relaxed);
        self.address.store(0, Ordering::Relaxed);
        self.pc.store(0, Ordering::Relaxed);
        self.thread_name.clear();
    }

    /// True for the first thread that faults.
    pub fn claim(&self, tid: u32) -> bool {
        if self.tid.compare_exchange(0, tid, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.others.fetch_add(1, Ordering::AcqRel);
            return false;
        }
        self.stage.store(Stage::Claimed as u32, Ordering::Release);
        true
    }

    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Acquire)
    }

    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::None,
            1 => Stage::Claimed,
            2 => Stage::Recorded,
            _ => Stage::Stacked,
        }
    }

    pub fn reach(&self, stage: Stage) {
        self.stage.store(stage as u32, Ordering::Release);
    }

    pub fn query(&self) -> Option<usize> {
        (self.query.load(Ordering::Acquire) as usize).checked_sub(1)
    }

    pub fn set_query(&self, query: Option<usize>) {
        self.query.store(query.map_or(0, |q| q as u32 + 1), Ordering::Release);
    }

    /// # Safety
    /// `bytes` readable; only by the thread that claimed the record.
    pub unsafe fn set_context(&self, bytes: *const u8, length: usize) {
        let length = length.min(CONTEXT_BYTES);
        // SAFETY: within the buffer; readable by the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(bytes, self.context.get().cast::<u8>(), length) };
        self.context_length.store(length as u32, Ordering::Release);
    }

    /// Keeps what `copy` puts into the buffer of [`STACK_BYTES`] for the memory from `from` on; it answers how much that was.
    /// Only for the thread that claimed the record.
    pub fn copy_stack(&self, from: u64, copy: impl FnOnce(*mut u8) -> usize) {
        let length = copy(self.stack.get().cast::<u8>()).min(STACK_BYTES);
        self.stack_address.store(from, Ordering::Relaxed);
        self.stack_length.store(length as u32, Ordering::Release);
    }

    /// Allocates.
    pub fn context(&self) -> Vec<u8> {
        let length = (self.context_length.load(Ordering::Acquire) as usize).min(CONTEXT_BYTES);
        // SAFETY: within the buffer.
        unsafe { std::slice::from_raw_parts(self.context.get().cast::<u8>(), length).to_vec() }
    }

    /// Allocates.
    pub fn stack(&self) -> Vec<u8> {
        let length = (self.stack_length.load(Ordering::Acquire) as usize).min(STACK_BYTES);
        // SAFETY: within the buffer.
        unsafe { std::slice::from_raw_parts(self.stack.get().cast::<u8>(), length).to_vec() }
    }
}
