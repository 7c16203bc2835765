//! The memory of one engine: counted exactly, refused past a limit.

use rquickjs::allocator::{Allocator, RustAllocator};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Debug)]
pub struct Memory {
    limit: usize,
    used: AtomicUsize,
    /// Something was refused, whether or not the code noticed.
    exceeded: AtomicBool,
}

impl Memory {
    pub fn new(limit: usize) -> Arc<Memory> {
        Arc::new(Memory { limit, used: AtomicUsize::new(0), exceeded: AtomicBool::new(false) })
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// Whether `bytes` more may be taken.
    fn permits(&self, bytes: usize) -> bool {
        let permitted = self.used().checked_add(bytes).is_some_and(|sum| sum <= self.limit);
        if !permitted {
            self.exceeded.store(true, Ordering::Relaxed);
        }
        permitted
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
