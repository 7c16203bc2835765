//! `trap(mode)`: faults on purpose, to see what becomes of a server that faults. Off unless the server allows it.
//!
//! In: the name of a fault, a constant. Out: 0, if the fault is one that is survived. Promise: each fault is what its name
//! says, made by the machine and not imitated by a signal; it happens when rows are computed, never while a query is bound.
//!
//! Source of the names: ClickHouse's function of this name, for those up to `dlopen`; the others are ours.

use super::column::numbers;
use super::define::{Call, define_seeing_nulls};
use crate::call::BoundCall;
use crate::registry::Registry;
use arrow::datatypes::UInt8Type;
use hydron_base::{Code, Error, Result};
use hydron_board::{Board, DiskTrap, Mark};
use hydron_types::{LogicalType, Value};
use std::alloc::Layout;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::panic::panic_any;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

/// Mappings that `mmap many` makes: a process may have 65,530, and other threads need some of them.
const MAPPINGS_MAX: usize = 16_384;

/// Threads of `8 threads` and of the storm of allocations.
const THREADS: usize = 8;

/// How long a second fault waits for the first one.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long `busy loop` computes without a pause: longer than a worker may be silent in the tests.
const SPIN: Duration = Duration::from_secs(6);

/// An address of user space where nothing is mapped.
const NOWHERE: usize = 0x5a5a_0000_1000;

/// What a mode does when rows are computed.
#[derive(Clone, Copy)]
enum Fault {
    /// It does not come back, or as if nothing had happened.
    Silent(fn()),
    /// It may answer with an error.
    Telling(fn() -> Result<()>),
}

use Fault::{Silent, Telling};

const MODES: &[(&str, Fault)] = &[
    ("read nullptr c++", Silent(read_null)),
    ("read nullptr asm", Silent(read_null_asm)),
    ("illegal instruction", Silent(illegal_instruction)),
    ("abort", Silent(|| std::process::abort())),
    ("std::terminate", Silent(unwind_over_a_border)),
    ("use after free", Silent(use_after_free)),
    ("use after scope", Silent(use_after_scope)),
    ("uninitialized memory", Silent(uninitialized_memory)),
    ("data race", Silent(data_race)),
    ("throw exception", Telling(throw)),
    ("access context", Telling(access_context)),
    ("stack overflow", Silent(|| _ = black_box(overflow_stack(0)))),
    ("harmful function", Silent(harmful_function)),
    ("mmap many", Telling(map_many)),
    ("dlopen", Telling(open_library)),
    ("wild write", Silent(write_wildly)),
    ("fpe", Silent(divide_by_zero)),
    ("bus", Telling(read_behind_a_file)),
    ("panic", Silent(|| panic_any("trap: a panic".to_owned()))),
    ("panic in drop", Silent(panic_twice)),
    ("panic in drop alone", Silent(|| drop(Bomb))),
    ("double fault", Silent(fault_twice)),
    ("allocator lock", Silent(fault_in_allocator)),
    ("8 threads", Silent(fault_together)),
    ("deadlock", Silent(wait_for_each_other)),
    ("busy loop", Silent(spin)),
    ("sync fails", Telling(|| arm_disk(DiskTrap::SyncFails))),
    ("disk full", Telling(|| arm_disk(DiskTrap::Full))),
    ("disk has room", Telling(|| arm_disk(DiskTrap::None))),
];

pub fn register(registry: &mut Registry) {
    define_seeing_nulls(registry, "trap", bind);
}

fn bind(call: &Call<'_>) -> Result<BoundCall> {
    call.arity(1..=1)?;
    if !call.cx.traps {
        let message = "function \"trap\" makes the server fault and is not allowed";
        return Err(Error::new(Code::FUNCTION_NOT_ALLOWED, message).hint("start the server with --allow-trap"));
    }
    let Some(Value::Bytes(mode)) = &call.args[0].constant else {
        let message = "the argument of function \"trap\" must be a constant string";
        return Err(Error::new(Code::ILLEGAL_COLUMN, message));
    };
    let known = MODES.iter().find(|(name, _)| name.as_bytes() == &**mode);
    let Some((_, fault)) = known.copied() else {
        let modes: Vec<String> = MODES.iter().map(|(name, _)| format!("'{name}'")).collect();
        let message = format!("function \"trap\" does not know '{}'", String::from_utf8_lossy(mode));
        return Err(Error::bad_arguments(message).hint(modes.join(", ")));
    };
    let bound = call.returns(LogicalType::UInt8, move |_, rows| {
        // A planner may ask for no rows at all.
        match fault {
            Silent(fault) if rows > 0 => fault(),
            Telling(fault) if rows > 0 => fault()?,
            _ => {}
        }
        Ok(numbers::<UInt8Type>(rows, |_| 0))
    })?;
    Ok(bound.volatility(crate::call::Volatility::Volatile))
}

#[inline(never)]
fn read_null() {
    // SAFETY: none, that is the point: the address is not mapped.
    black_box(unsafe { AtomicU8::from_ptr(black_box(null_mut())) }.load(Ordering::Relaxed));
}

#[inline(never)]
fn read_null_asm() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none, that is the point.
    unsafe {
        std::arch::asm!("xor {0:e}, {0:e}", "mov {0:e}, dword ptr [{0}]", out(reg) _);
    }
    #[cfg(not(target_arch = "x86_64"))]
    read_null();
}

#[inline(never)]
fn illegal_instruction() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none, that is the point.
    unsafe {
        std::arch::asm!("ud2");
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: none, that is the point.
    unsafe {
        std::arch::asm!("udf #0");
    }
}

#[inline(never)]
fn divide_by_zero() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: none, that is the point.
    unsafe {
        std::arch::asm!("xor edx, edx", "mov eax, 1", "xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
    }
    // Other processors answer 0 and go on.
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: a signal to this thread.
    unsafe {
        libc::raise(libc::SIGFPE);
    }
}

/// What C++ calls terminate: a panic that must not leave the function it is in.
#[inline(never)]
fn unwind_over_a_border() {
    extern "C" fn border() {
        panic_any("trap: a panic that nobody may catch".to_owned());
    }
    border();
}

#[inline(never)]
fn write_wildly() {
    // SAFETY: none, that is the point: the address is not mapped.
    unsafe { AtomicU8::from_ptr(black_box(without_provenance_mut(NOWHERE))) }.store(1, Ordering::Relaxed);
}

#[inline(never)]
fn overflow_stack(depth: u64) -> u64 {
    let mut room = [0_u8; 1_024];
    black_box(&mut room);
    match black_box(depth) {
        u64::MAX => 0,
        depth => overflow_stack(depth + 1) + u64::from(black_box(&room)[0]),
    }
}

fn use_after_free() {
    let freed = Box::into_raw(Box::new(7_u32));
    // SAFETY: it was a box until here.
    drop(unsafe { Box::from_raw(freed) });
    // SAFETY: none, that is the point. The page stays mapped, so a build without a sanitizer sees nothing.
    black_box(unsafe { black_box(freed).read_volatile() });
}

fn use_after_scope() {
    let gone: *const u32 = {
        let inner = black_box(7_u32);
        black_box(&raw const inner)
    };
    // SAFETY: none, that is the point. The stack stays mapped, so a build without a sanitizer sees nothing.
    black_box(unsafe { gone.read_volatile() });
}

fn uninitialized_memory() {
    let room = MaybeUninit::<u32>::uninit();
    // SAFETY: none, that is the point. What stands there goes nowhere.
    black_box(unsafe { black_box(&room).as_ptr().read_volatile() });
}

fn data_race() {
    struct Shared(*mut u32);
    // SAFETY: none, that is the point: two threads change one number without an order between them.
    unsafe impl Send for Shared {}
    let number = Box::into_raw(Box::new(0_u32));
    let race = |shared: Shared| {
        for _ in 0..1_000 {
            // SAFETY: the number lives until both threads have ended.
            unsafe { shared.0.write_volatile(shared.0.read_volatile().wrapping_add(1)) };
        }
    };
    std::thread::scope(|scope| {
        let (one, other) = (Shared(number), Shared(number));
        scope.spawn(move || race(one));
        scope.spawn(move || race(other));
    });
    // SAFETY: both threads have ended.
    drop(unsafe { Box::from_raw(number) });
}

fn throw() -> Result<()> {
    Err(Error::new(Code::STD_EXCEPTION, "std::out_of_range: trap: an exception was thrown"))
}

/// Reads the id of the query that this thread works for. Errors: LOGICAL_ERROR where a crash would be told to nobody.
fn access_context() -> Result<()> {
    let Some(board) = Board::current() else { return Ok(()) };
    match board.current_query().filter(|q| q.is_running()) {
        Some(query) => {
            black_box(query.id.get());
            Ok(())
        }
        None => Err(Error::bug("trap: this thread works for no query")),
    }
}

fn harmful_function() {
    // SAFETY: it changes a number of the C library that nobody else uses.
    black_box(unsafe { libc::drand48() });
}

/// Maps pages far from each other, so that no two of them become one mapping.
fn map_many() -> Result<()> {
    struct Pages(Vec<*mut libc::c_void>);
    impl Drop for Pages {
        fn drop(&mut self) {
            for page in &self.0 {
                // SAFETY: mapped below, and nobody else knows it.
                unsafe { libc::munmap(*page, 4_096) };
            }
        }
    }
    let mut pages = Pages(Vec::with_capacity(MAPPINGS_MAX));
    while pages.0.len() < MAPPINGS_MAX {
        let wish = without_provenance_mut(NOWHERE + pages.0.len() * (1 << 20));
        // SAFETY: a new mapping; the address is a wish.
        let page = unsafe { libc::mmap(wish, 4_096, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
        if page == libc::MAP_FAILED {
            break;
        }
        pages.0.push(page);
    }
    let message = format!("trap: {} pages were mapped, the limit is {MAPPINGS_MAX}", pages.0.len());
    Err(Error::new(Code::CANNOT_ALLOCATE_MEMORY, message))
}

fn open_library() -> Result<()> {
    // SAFETY: a library that is loaded already; its handle is closed again.
    unsafe {
        let library = libc::dlopen(c"libc.so.6".as_ptr(), libc::RTLD_LAZY);
        if library.is_null() {
            return Err(Error::new(Code::SYSTEM_ERROR, "trap: the C library could not be opened"));
        }
        libc::dlclose(library);
    }
    Ok(())
}

/// Reads a page of a file that has become shorter.
fn read_behind_a_file() -> Result<()> {
    let failed =
        |what: &str| Error::new(Code::SYSTEM_ERROR, format!("trap: {what}: {}", std::io::Error::last_os_error()));
    // SAFETY: a file and a mapping of our own.
    let page = unsafe {
        let file = libc::memfd_create(c"trap".as_ptr(), libc::MFD_CLOEXEC);
        if file < 0 || libc::ftruncate(file, 4_096) != 0 {
            return Err(failed("a file could not be made"));
        }
        let page = libc::mmap(null_mut(), 4_096, libc::PROT_READ, libc::MAP_SHARED, file, 0);
        if page == libc::MAP_FAILED || libc::ftruncate(file, 0) != 0 {
            return Err(failed("a file could not be mapped"));
        }
        page
    };
    // SAFETY: none, that is the point: there is nothing behind the page.
    black_box(unsafe { AtomicU8::from_ptr(black_box(page.cast())) }.load(Ordering::Relaxed));
    Ok(())
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any("trap: a panic in drop".to_owned());
    }
}

/// A panic in a destructor that runs because of another panic: nothing can go on from there.
fn panic_twice() {
    let _bomb = Bomb;
    panic_any("trap: a panic before a panic in drop".to_owned());
}

/// One thread faults, another one as soon as that is being handled.
fn fault_twice() {
    let mark = Mark::current();
    let started = Arc::new(Barrier::new(2));
    let other = Arc::clone(&started);
    std::thread::spawn(move || {
        let _entered = mark.enter();
        let since = Instant::now();
        other.wait();
        while Board::current().is_some_and(|b| b.crash().tid() == 0) && since.elapsed() < PATIENCE {
            std::hint::spin_loop();
        }
        illegal_instruction();
    });
    started.wait();
    read_null();
}

fn fault_together() {
    let mark = Mark::current();
    let start = Arc::new(Barrier::new(THREADS));
    for _ in 1..THREADS {
        let start = Arc::clone(&start);
        std::thread::spawn(move || {
            let _entered = mark.enter();
            start.wait();
            read_null();
        });
    }
    start.wait();
    read_null();
}

/// Frees what was never allocated while other threads allocate as fast as they can.
fn fault_in_allocator() {
    let mark = Mark::current();
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Arc::new(AtomicU32::new(0));
    for _ in 1..THREADS {
        let (stop, begun) = (Arc::clone(&stop), Arc::clone(&begun));
        std::thread::spawn(move || {
            let _entered = mark.enter();
            begun.fetch_add(1, Ordering::Relaxed);
            let (mut kept, mut turn) = (Vec::new(), 0_usize);
            while !stop.load(Ordering::Relaxed) {
                turn = turn.wrapping_add(1);
                kept.push(vec![0_u8; 16 + turn % 4_096]);
                if kept.len() > 256 {
                    kept.clear();
                }
            }
        });
    }
    let since = Instant::now();
    while begun.load(Ordering::Relaxed) + 1 < THREADS as u32 && since.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    // SAFETY: none, that is the point: no allocator knows the address.
    unsafe { std::alloc::dealloc(black_box(without_provenance_mut(NOWHERE + 64)), Layout::new::<[u8; 64]>()) };
    // An allocator that checks its pointers comes here.
    read_null();
    stop.store(true, Ordering::Relaxed);
}

/// Two threads, each of which has what the other one waits for.
#[inline(never)]
fn wait_for_each_other() {
    let locks = Arc::new((Mutex::new(()), Mutex::new(())));
    let both = Arc::new(Barrier::new(2));
    let (theirs, met) = (Arc::clone(&locks), Arc::clone(&both));
    std::thread::spawn(move || {
        let _second = theirs.1.lock();
        met.wait();
        drop(theirs.0.lock());
    });
    let _first = locks.0.lock();
    both.wait();
    drop(locks.1.lock());
}

/// Computes, and lets nobody else.
#[inline(never)]
fn spin() {
    let since = Instant::now();
    while since.elapsed() < SPIN {
        black_box(since);
    }
}

/// The disk of the logs fails from now on, or does so no more.
fn arm_disk(trap: DiskTrap) -> Result<()> {
    let Some(board) = Board::current() else {
        return Err(Error::new(Code::SYSTEM_ERROR, "trap: there is no server whose disk could fail"));
    };
    board.worker().set_disk_trap(trap);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{ArgInfo, BindContext, EvalContext};
    use hydron_base::world::WallTime;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn bound(arg: ArgInfo, traps: bool) -> Result<BoundCall> {
        let cx = BindContext { traps, ..BindContext::default() };
        bind(&Call { name: "trap", cx: &cx, args: &[arg] })
    }

    fn mode(text: &str) -> ArgInfo {
        ArgInfo::constant(LogicalType::String, Value::string(text))
    }

    fn run(text: &str) -> Result<()> {
        let call = bound(mode(text), true)?;
        call.kernel.eval(&EvalContext::at(WallTime(0)), &[], 0)?;
        call.kernel.eval(&EvalContext::at(WallTime(0)), &[], 1).map(drop)
    }

    #[test]
    fn what_is_refused() {
        let refused = bound(mode("panic"), false).err().unwrap();
        assert_eq!(refused.code, Code::FUNCTION_NOT_ALLOWED);
        assert!(refused.to_string().contains("--allow-trap"), "{refused}");
        assert_eq!(bound(ArgInfo::column(LogicalType::String), true).err().unwrap().code, Code::ILLEGAL_COLUMN);
        let number = ArgInfo::constant(LogicalType::UInt8, Value::UInt(1));
        assert_eq!(bound(number, true).err().unwrap().code, Code::ILLEGAL_COLUMN);
        let unknown = bound(mode("sigsegv"), true).err().unwrap();
        assert_eq!(unknown.code, Code::BAD_ARGUMENTS);
        assert!(unknown.to_string().contains("'stack overflow'"), "{unknown}");
    }

    #[test]
    fn what_is_survived() {
        for text in [
            "use after free",
            "use after scope",
            "uninitialized memory",
            "data race",
            "access context",
            "harmful function",
            "dlopen",
        ] {
            run(text).unwrap();
        }
        assert_eq!(run("throw exception").unwrap_err().code, Code::STD_EXCEPTION);
        assert_eq!(run("disk full").unwrap_err().code, Code::SYSTEM_ERROR, "there is no server");
        assert_eq!(run("mmap many").unwrap_err().code, Code::CANNOT_ALLOCATE_MEMORY);
        for text in ["panic", "panic in drop alone"] {
            assert!(catch_unwind(AssertUnwindSafe(|| run(text))).is_err(), "{text}");
        }
    }

    /// Each deadly mode in a process of its own: this test again, told by a variable which fault to make.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_kills_and_by_which_signal() {
        use std::os::unix::process::ExitStatusExt;
        const VARIABLE: &str = "HYDRON_TEST_TRAP";
        if let Ok(text) = std::env::var(VARIABLE) {
            // No core file for what is expected to die.
            // SAFETY: a limit of this process.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
            let _ = run(&text);
            return;
        }
        let deadly = [
            ("read nullptr c++", &[libc::SIGSEGV][..]),
            ("read nullptr asm", &[libc::SIGSEGV]),
            ("illegal instruction", &[libc::SIGILL]),
            ("abort", &[libc::SIGABRT]),
            ("std::terminate", &[libc::SIGABRT]),
            // The standard library's own handler, where it is installed, aborts.
            ("stack overflow", &[libc::SIGSEGV, libc::SIGABRT]),
            ("wild write", &[libc::SIGSEGV]),
            ("fpe", &[libc::SIGFPE]),
            ("bus", &[libc::SIGBUS]),
            ("panic in drop", &[libc::SIGABRT]),
            ("double fault", &[libc::SIGSEGV, libc::SIGILL]),
            ("allocator lock", &[libc::SIGSEGV, libc::SIGABRT]),
            ("8 threads", &[libc::SIGSEGV]),
        ];
        for (text, signals) in deadly {
            let test = "scalar::trap::tests::what_kills_and_by_which_signal";
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args([test, "--exact", "--test-threads=1"])
                .env(VARIABLE, text)
                .output()
                .unwrap();
            let signal = child.status.signal();
            assert!(signal.is_some_and(|s| signals.contains(&s)), "{text}: {:?}", child.status);
        }
    }
}
