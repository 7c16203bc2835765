//! The memory of one engine: counted exactly, refused past its own limit or the query's.

use hydron_base::{Budget, Error};
use parking_lot::Mutex;
use rquickjs::allocator::{Allocator, RustAllocator};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

// What the query's budget is asked for at a time: an engine allocates a few bytes at a time, and the budget is everybody's.
const SHARE_BYTES: usize = 64 << 10;

// An engine that has given back this much gives it back to the query too.
const SPARE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub struct Memory {
    limit: usize,
    used: AtomicUsize,
    /// Something was refused, whether or not the code noticed.
    exceeded: AtomicBool,
    /// The query's, which counts `counted` bytes for this engine.
    query: Arc<Budget>,
    counted: AtomicUsize,
    /// Why the query's budget has refused.
    refusal: Mutex<Option<Error>>,
}

impl Memory {
    pub fn new(limit: usize, query: Arc<Budget>) -> Arc<Memory> {
        Arc::new(Memory {
            limit,
            used: AtomicUsize::new(0),
            exceeded: AtomicBool::new(false),
            query,
            counted: AtomicUsize::new(0),
            refusal: Mutex::default(),
        })
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// What the query's budget said when it refused; `None`: it was the engine's own limit.
    pub fn refusal(&self) -> Option<Error> {
        self.refusal.lock().clone()
    }

    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether `bytes` more may be taken.
    fn permits(&self, bytes: usize) -> bool {
        let permitted = match self.used().checked_add(bytes) {
            Some(sum) if sum <= self.limit => self.is_counted(sum),
            _ => false,
        };
        if !permitted {
            self.exceeded.store(true, Ordering::Relaxed);
        }
        permitted
    }

    /// Whether the query's budget counts `sum` bytes for this engine, or does so now.
    fn is_counted(&self, sum: usize) -> bool {
        let counted = self.counted.load(Ordering::Relaxed);
        if sum <= counted {
            return true;
        }
        let missing = sum - counted;
        // Near its limit a query still gets what is really needed.
        let may_grow = |bytes: &usize| {
            let refusal = self.query.try_grow(*bytes as u64).err();
            let granted = refusal.is_none();
            *self.refusal.lock() = refusal;
            granted
        };
        let grown = [missing.next_multiple_of(SHARE_BYTES), missing].into_iter().find(may_grow);
        let Some(grown) = grown else { return false };
        self.counted.fetch_add(grown, Ordering::Relaxed);
        true
    }

    /// Takes what was given back off the query's account, when it is worth it.
    fn gave_back(&self) {
        let (used, counted) = (self.used(), self.counted.load(Ordering::Relaxed));
        let kept = used.next_multiple_of(SHARE_BYTES);
        if counted.saturating_sub(kept) > SPARE_BYTES_MAX {
            self.counted.store(kept, Ordering::Relaxed);
            self.query.shrink((counted - kept) as u64);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.query.shrink(*self.counted.get_mut() as u64);
    }
}

/// What the engine asks for memory. One engine works on one thread at a time, so that counts do not race.
pub struct Counted(pub Arc<Memory>);

impl Counted {
    fn taken(&self, memory: *mut u8) -> *mut u8 {
        if !memory.is_null() {
            // SAFETY: `memory` came from RustAllocator just now.
            let bytes = unsafe { RustAllocator::usable_size(memory) };
            self.0.used.fetch_add(bytes, Ordering::Relaxed);
        }
        memory
    }
}

// SAFETY: every region is RustAllocator's, handed on as it is; what is refused is null, as the engine expects.
unsafe impl Allocator for Counted {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        if !self.0.permits(size) {
            return std::ptr::null_mut();
        }
        self.taken(RustAllocator.alloc(size))
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        match count.checked_mul(size) {
            Some(bytes) if self.0.permits(bytes) => self.taken(RustAllocator.calloc(count, size)),
            _ => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&mut self, ptr: *mut u8) {
        if ptr.is_null() {
            return;
        }
        // SAFETY: the caller gives back what came from here, which is RustAllocator's.
        unsafe {
            self.0.used.fetch_sub(RustAllocator::usable_size(ptr), Ordering::Relaxed);
            RustAllocator.dealloc(ptr);
        }
        self.0.gave_back();
    }

    unsafe fn realloc(&mut self, ptr: *mut u8, new_size: usize) -> *mut u8 {
        if ptr.is_null() {
            return self.alloc(new_size);
        }
        // SAFETY: the caller's region came from here, which is RustAllocator's; it stays valid where null is answered.
        unsafe {
            let before = RustAllocator::usable_size(ptr);
            if !self.0.permits(new_size.saturating_sub(before)) {
                return std::ptr::null_mut();
            }
            let memory = RustAllocator.realloc(ptr, new_size);
            if !memory.is_null() {
                self.0.used.fetch_sub(before, Ordering::Relaxed);
            }
            self.taken(memory)
        }
    }

    unsafe fn usable_size(ptr: *mut u8) -> usize {
        // SAFETY: as above.
        unsafe { RustAllocator::usable_size(ptr) }
    }
}
