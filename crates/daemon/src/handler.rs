//! The fault handler of a worker: the gate first, one record, then it waits to be killed.
//!
//! In: SEGV, BUS, ILL, FPE, ABRT, TRAP, SYS on any thread. Out: the record on the board and a wake-up for the supervisor.
//! Promise: no allocation, no lock of ours, no log; nothing is acknowledged after its first instruction; a thread that
//! faults a second time ends the process, and the process ends two seconds later in any case.
//!
//! The crate `crash-handler` installs the handler, with all fatal signals blocked while it runs, and hands over the registers
//! as `minidump-writer` wants them. Threads have alternate stacks from the standard library. What the crate does not do and
//! is done here: SIGSYS, and the time limit, since its own way out re-raises the signal and waits for nobody.

use crash_handler::{CrashContext, CrashEventResult, CrashHandler, make_crash_event};
use hydron_board::crash::{STACK_BYTES, Stage};
use hydron_board::{Board, Mark};
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The supervisor kills a worker long before this.
const BACK_STOP: Duration = Duration::from_secs(2);

struct Target {
    board: &'static Board,
    wake: RawFd,
}

static TARGET: OnceLock<Target> = OnceLock::new();

/// Watches all threads of this process, for its life. `wake`: an eventfd of the supervisor.
pub fn install(board: &'static Board, wake: RawFd) -> Result<(), String> {
    if TARGET.set(Target { board, wake }).is_err() {
        return Ok(());
    }
    // A debugger that the supervisor starts may look at this process, and nobody else.
    // SAFETY: changes an attribute of this process only.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::getppid() as libc::c_ulong, 0, 0, 0) };
    // SAFETY: the closure keeps to what a signal handler may do.
    let event = unsafe {
        make_crash_event(|context: &CrashContext| {
            crashed(context);
            CrashEventResult::Handled(true)
        })
    };
    let handler = CrashHandler::attach(event).map_err(|e| format!("cannot install the fault handler: {e}"))?;
    std::mem::forget(handler);
    // SAFETY: installs a handler that keeps to what a signal handler may do.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = bad_system_call as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&mut action.sa_mask);
        libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut());
    }
    Ok(())
}

fn crashed(context: &CrashContext) {
    let Some(Target { board, wake }) = TARGET.get() else { return };
    board.worker().set_crashed();
    let info = &context.siginfo;
    let fault = Fault {
        signal: info.ssi_signo as i32,
        code: info.ssi_code,
        address: address(context),
        pc: pc(context),
        sp: sp(context),
    };
    record(board, *wake, &fault, Some(context));
}

unsafe extern "C" fn bad_system_call(signal: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let Some(Target { board, wake }) = TARGET.get() else { return };
    board.worker().set_crashed();
    // SAFETY: the kernel passes a valid siginfo.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as u64) };
    record(board, *wake, &Fault { signal, code, address, pc: address, sp: 0 }, None);
}

struct Fault {
    signal: i32,
    code: i32,
    address: u64,
    pc: u64,
    sp: u64,
}

fn record(board: &Board, wake: RawFd, fault: &Fault, context: Option<&CrashContext>) {
    let crash = board.crash();
    // SAFETY: takes no arguments and cannot fail.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    if !crash.claim(tid) {
        end(fault.signal);
    }
    crash.pid.store(std::process::id(), Ordering::Relaxed);
    crash.signal.store(fault.signal, Ordering::Relaxed);
    crash.si_code.store(fault.code, Ordering::Relaxed);
    crash.address.store(fault.address, Ordering::Relaxed);
    crash.pc.store(fault.pc, Ordering::Relaxed);
    crash.sp.store(fault.sp, Ordering::Relaxed);
    crash.monotonic_ns.store(clock(libc::CLOCK_MONOTONIC), Ordering::Relaxed);
    crash.wall_us.store((clock(libc::CLOCK_REALTIME) / 1_000) as i64, Ordering::Relaxed);
    crash.set_query(Mark::current().query_index());
    let mut name = [0u8; 16];
    // SAFETY: writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let length = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    crash.thread_name.set_bytes(&name[..length]);
    crash.reach(Stage::Recorded);
    // The client waits for this.
    // SAFETY: writes eight bytes to an eventfd, which never blocks before 2^64 - 1.
    unsafe { libc::write(wake, (&raw const ONE).cast(), 8) };

    if let Some(context) = context {
        let bytes = context.as_bytes();
        // SAFETY: the bytes of a live value, by the thread that claimed the record.
        unsafe { crash.set_context(bytes.as_ptr(), bytes.len()) };
        keep_stack(crash, fault.sp);
    }
    crash.reach(Stage::Stacked);
    end(fault.signal);
}

static ONE: u64 = 1;

/// Copies the stack from its pointer up. The end of the stack is not known: the kernel copies as far as there is memory.
fn keep_stack(crash: &hydron_board::Crash, sp: u64) {
    if sp == 0 {
        return;
    }
    // Below the pointer lies the red zone, which a leaf function may use.
    let from = sp.saturating_sub(128);
    crash.copy_stack(from, |target| {
        let local = libc::iovec { iov_base: target.cast(), iov_len: STACK_BYTES };
        let mut pieces = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; STACK_BYTES / PAGE + 1];
        // Pages are separate pieces: one that is not there ends the copy and not the attempt.
        let mut at = from;
        let mut left = STACK_BYTES;
        let mut count = 0;
        while left > 0 && count < pieces.len() {
            let length = (PAGE - (at as usize % PAGE)).min(left);
            pieces[count] = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: length };
            (at, left, count) = (at + length as u64, left - length, count + 1);
        }
        // SAFETY: writes at most STACK_BYTES into the buffer; what cannot be read is not read.
        let n =
            unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, pieces.as_ptr(), count as libc::c_ulong, 0) };
        usize::try_from(n).unwrap_or(0)
    });
}

const PAGE: usize = 4_096;

/// Waits to be killed; ends the process when nobody does.
fn end(signal: i32) -> ! {
    let wait = libc::timespec { tv_sec: BACK_STOP.as_secs() as i64, tv_nsec: 0 };
    // SAFETY: sleeps, then ends the process without running anything more of it.
    unsafe {
        libc::nanosleep(&wait, std::ptr::null_mut());
        libc::_exit(128 + signal)
    }
}

fn clock(which: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec.
    unsafe { libc::clock_gettime(which, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(target_arch = "x86_64")]
fn pc(context: &CrashContext) -> u64 {
    context.context.uc_mcontext.gregs[libc::REG_RIP as usize] as u64
}

#[cfg(target_arch = "x86_64")]
fn sp(context: &CrashContext) -> u64 {
    context.context.uc_mcontext.gregs[libc::REG_RSP as usize] as u64
}

/// What a memory access was at; for other faults the instruction.
#[cfg(target_arch = "x86_64")]
fn address(context: &CrashContext) -> u64 {
    match context.siginfo.ssi_signo as i32 {
        libc::SIGSEGV | libc::SIGBUS => context.context.uc_mcontext.gregs[libc::REG_CR2 as usize] as u64,
        _ => pc(context),
    }
}

#[cfg(target_arch = "aarch64")]
fn address(context: &CrashContext) -> u64 {
    match context.siginfo.ssi_signo as i32 {
        libc::SIGSEGV | libc::SIGBUS => context.context.uc_mcontext.fault_address,
        _ => pc(context),
    }
}

#[cfg(target_arch = "aarch64")]
fn pc(context: &CrashContext) -> u64 {
    context.context.uc_mcontext.pc
}

#[cfg(target_arch = "aarch64")]
fn sp(context: &CrashContext) -> u64 {
    context.context.uc_mcontext.sp
}
