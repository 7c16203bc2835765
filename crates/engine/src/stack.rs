//! The stacks of threads that compute: deep enough for what the parser lets through, and cheap to run out of.
//!
//! In: a thread that begins. Out: nothing. Promise: a stack that is not used deeply costs the small pages that it touched; one
//! that a recursion without end fills is full in a few large steps, since its client waits for the fault at its end.

/// Four times what the deepest statements of the tests take (2.2 MiB, and 4.1 MiB without optimizations): what is deeper is bound
/// on a larger stack of its own.
pub const BYTES: usize = if cfg!(debug_assertions) { 16 << 20 } else { 8 << 20 };

/// The shallow end stays in small pages: nearly all threads use no more, and there may be hundreds of them.
const SHALLOW_BYTES: usize = 1 << 20;

/// Asks for huge pages below the shallow end of the calling thread's stack. Filling 8 MiB page by page takes 2,048 faults, and
/// several times as long where others want the processor too.
pub fn prepare() {
    // SAFETY: reads where the calling thread's stack is into memory of ours, then gives advice about memory that is this
    // stack's: advice changes no contents.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return;
        }
        let (mut lowest, mut bytes) = (std::ptr::null_mut(), 0);
        let found = libc::pthread_attr_getstack(&attributes, &mut lowest, &mut bytes);
        libc::pthread_attr_destroy(&mut attributes);
        if found == 0 && bytes > SHALLOW_BYTES {
            // A kernel without huge pages refuses, and all is as before.
            libc::madvise(lowest, bytes - SHALLOW_BYTES, libc::MADV_HUGEPAGE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that a recursion without end takes before its fault are touched here without one.
    #[test]
    fn a_deep_stack_is_filled_in_few_steps() {
        fn faults() -> i64 {
            // SAFETY: writes one structure of ours.
            unsafe {
                let mut usage: libc::rusage = std::mem::zeroed();
                libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
                usage.ru_minflt
            }
        }
        #[inline(never)]
        fn fill(depth: usize) -> u8 {
            let mut room = [1_u8; 4_096];
            std::hint::black_box(&mut room);
            if depth == 0 { room[7] } else { fill(depth - 1) + std::hint::black_box(&room)[8] - 1 }
        }
        let fill_in_a_thread = |is_prepared: bool| {
            let work = move || {
                if is_prepared {
                    prepare();
                }
                let before = faults();
                fill(1_800);
                faults() - before
            };
            std::thread::Builder::new().stack_size(8 << 20).spawn(work).unwrap().join().unwrap()
        };
        let small = fill_in_a_thread(false);
        let large = fill_in_a_thread(true);
        let modes = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        // A machine may have none to give, or gives them to everyone.
        if modes.contains("[madvise]") {
            assert!(large < small / 2, "{large} faults with the advice, {small} without");
        }
    }
}
