//! Call stacks from registers and memory: addresses first, names later.
//!
//! In: where a process has its program and libraries, the registers of a thread, some of its stack. Out: return addresses,
//! innermost first, and `function at file:line` for each. Promise: reads another process or copied bytes, and never
//! this process's own stack; a stack that makes no sense ends early.

use framehop::{ExplicitModuleSectionInfo, FrameAddress, Unwinder};
use object::{Object, ObjectSection};
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Frames of one stack; a deeper one is a recursion, of which the top tells enough.
const FRAMES_MAX: usize = 256;

/// Bytes of a living thread's stack that are read.
const STACK_BYTES_MAX: usize = 256 << 10;

/// A program or library as it is loaded.
pub struct Module {
    path: PathBuf,
    range: Range<u64>,
    /// Loaded address minus address in the file.
    base: u64,
    /// The file itself: its name may belong to another one by now.
    file: Arc<File>,
    is_program: bool,
}

/// What unwinding starts from.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    pub pc: u64,
    pub sp: u64,
    pub bp: u64,
    /// Where there is a link register.
    pub lr: u64,
}

impl Registers {
    #[cfg(target_arch = "x86_64")]
    pub fn of(context: &crash_handler::CrashContext) -> Registers {
        let register = |r: i32| context.context.uc_mcontext.gregs[r as usize] as u64;
        Registers { pc: register(libc::REG_RIP), sp: register(libc::REG_RSP), bp: register(libc::REG_RBP), lr: 0 }
    }

    #[cfg(target_arch = "aarch64")]
    pub fn of(context: &crash_handler::CrashContext) -> Registers {
        let m = &context.context.uc_mcontext;
        Registers { pc: m.pc, sp: m.sp, bp: m.regs[29], lr: m.regs[30] }
    }
}

impl Module {
    /// The files that a process has code of.
    pub fn of(pid: u32) -> Vec<Module> {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let mut modules: Vec<Module> = Vec::new();
        for line in maps.lines() {
            let Some((range, offset, path)) = mapping(line) else { continue };
            match modules.last_mut() {
                Some(last) if last.path == path => last.range.end = range.end,
                _ if offset == 0 => {
                    // The running program may have been replaced on the disk; the kernel still has the one that runs.
                    let is_program = modules.is_empty();
                    let file = if is_program { PathBuf::from(format!("/proc/{pid}/exe")) } else { path.clone() };
                    let Ok(file) = File::open(&file) else { continue };
                    modules.push(Module { path, base: range.start, range, file: Arc::new(file), is_program });
                }
                _ => {}
            }
        }
        modules
    }

    /// Names for addresses in it; this process runs the same program.
    fn loader(&self) -> Option<addr2line::Loader> {
        if self.is_program {
            addr2line::Loader::new("/proc/self/exe").ok()
        } else {
            addr2line::Loader::new(&self.path).ok()
        }
    }

    fn framehop(&self) -> Option<framehop::Module<&'static [u8]>> {
        let file = object::File::parse(map(&self.file)?).ok()?;
        let section = |name: &str| {
            let section = file.section_by_name(name)?;
            Some((section.address()..section.address() + section.size(), section.data().ok()?))
        };
        let (text, eh_frame, eh_frame_hdr, got) =
            (section(".text"), section(".eh_frame"), section(".eh_frame_hdr"), section(".got"));
        Some(framehop::Module::new(
            self.path.display().to_string(),
            self.range.clone(),
            self.base,
            ExplicitModuleSectionInfo {
                base_svma: 0,
                text_svma: text.as_ref().map(|s| s.0.clone()),
                text: text.map(|s| s.1),
                got_svma: got.map(|s| s.0),
                eh_frame_svma: eh_frame.as_ref().map(|s| s.0.clone()),
                eh_frame: eh_frame.map(|s| s.1),
                eh_frame_hdr_svma: eh_frame_hdr.as_ref().map(|s| s.0.clone()),
                eh_frame_hdr: eh_frame_hdr.map(|s| s.1),
                ..Default::default()
            },
        ))
    }
}

/// The bytes of a file, mapped for the rest of this process's life: it looks at one stack, or at the threads of one process,
/// and ends.
fn map(file: &File) -> Option<&'static [u8]> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let length = usize::try_from(file.metadata().ok()?.len()).ok().filter(|n| *n > 0)?;
    // SAFETY: a new private mapping at an address of the kernel's choice, never unmapped.
    unsafe {
        let at = mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0).ok()?;
        Some(std::slice::from_raw_parts(at.cast::<u8>(), length))
    }
}

/// `55d0-55e0 r-xp 0000 08:01 123 /usr/bin/x`; `None` for memory without a file.
fn mapping(line: &str) -> Option<(Range<u64>, u64, PathBuf)> {
    let mut fields = line.split_ascii_whitespace();
    let (from, to) = fields.next()?.split_once('-')?;
    let offset = fields.nth(1)?;
    let path = fields.nth(2)?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    path.starts_with('/').then_some(())?;
    Some((number(from)?..number(to)?, number(offset)?, PathBuf::from(path)))
}

/// Unwinds stacks of one process.
pub struct Walker {
    #[cfg(target_arch = "x86_64")]
    unwinder: framehop::x86_64::UnwinderX86_64<&'static [u8]>,
    #[cfg(target_arch = "x86_64")]
    cache: framehop::x86_64::CacheX86_64,
    #[cfg(target_arch = "aarch64")]
    unwinder: framehop::aarch64::UnwinderAarch64<&'static [u8]>,
    #[cfg(target_arch = "aarch64")]
    cache: framehop::aarch64::CacheAarch64,
}

impl Walker {
    pub fn new(modules: &[Module]) -> Walker {
        #[cfg(target_arch = "x86_64")]
        let (mut unwinder, cache) = (framehop::x86_64::UnwinderX86_64::new(), framehop::x86_64::CacheX86_64::new());
        #[cfg(target_arch = "aarch64")]
        let (mut unwinder, cache) = (framehop::aarch64::UnwinderAarch64::new(), framehop::aarch64::CacheAarch64::new());
        modules.iter().filter_map(Module::framehop).for_each(|m| unwinder.add_module(m));
        Walker { unwinder, cache }
    }

    /// Return addresses, the program counter first. `stack`: the memory from `stack_at` on.
    pub fn walk(&mut self, from: Registers, stack_at: u64, stack: &[u8]) -> Vec<u64> {
        let mut read = |address: u64| {
            let at = usize::try_from(address.checked_sub(stack_at).ok_or(())?).map_err(|_| ())?;
            let word = stack.get(at..at.checked_add(8).ok_or(())?).ok_or(())?;
            Ok(u64::from_le_bytes(word.try_into().map_err(|_| ())?))
        };
        #[cfg(target_arch = "x86_64")]
        let registers = framehop::x86_64::UnwindRegsX86_64::new(from.pc, from.sp, from.bp);
        #[cfg(target_arch = "aarch64")]
        let registers = framehop::aarch64::UnwindRegsAarch64::new(from.lr, from.sp, from.bp);
        let mut frames = self.unwinder.iter_frames(from.pc, registers, &mut self.cache, &mut read);
        let mut addresses = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            addresses.push(match frame {
                FrameAddress::InstructionPointer(pc) => pc,
                // The call, not the instruction after it.
                FrameAddress::ReturnAddress(after) => u64::from(after) - 1,
            });
            if addresses.len() >= FRAMES_MAX {
                break;
            }
        }
        addresses
    }
}

/// One stack.
pub fn walk(modules: &[Module], from: Registers, stack_at: u64, stack: &[u8]) -> Vec<u64> {
    Walker::new(modules).walk(from, stack_at, stack)
}

/// `function at file:line`, or the module and the offset in it; inlined functions have lines of their own.
pub fn names(modules: &[Module], addresses: &[u64]) -> Vec<String> {
    let loaders: Vec<_> = modules.iter().map(|m| (m, m.loader())).collect();
    let mut names = Vec::new();
    for address in addresses {
        let Some((module, loader)) = loaders.iter().find(|(m, _)| m.range.contains(address)) else {
            names.push(format!("{address:#x}"));
            continue;
        };
        let offset = address - module.base;
        let before = names.len();
        if let Some(loader) = loader
            && let Ok(mut frames) = loader.find_frames(offset)
        {
            while let Ok(Some(frame)) = frames.next() {
                let Some(function) = frame.function.as_ref().and_then(|f| f.demangle().ok().map(|n| n.into_owned()))
                else {
                    continue;
                };
                let mut line = function;
                if let Some((file, number)) = frame.location.and_then(|l| Some((l.file?, l.line?))) {
                    let _ = write!(line, " at {file}:{number}");
                }
                names.push(line);
            }
        }
        if names.len() == before {
            let symbol = loader.as_ref().and_then(|l| l.find_symbol(offset));
            let demangled = symbol.map(|s| addr2line::demangle_auto(s.into(), None).into_owned());
            let file = module.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            names.push(demangled.unwrap_or_else(|| format!("{file}+{offset:#x}")));
        }
    }
    names
}

/// All threads of a living process: stopped one after the other, for as long as it takes to copy registers and stack.
pub struct Stacks(Vec<Thread>);

struct Thread {
    tid: i32,
    name: String,
    registers: Registers,
    stack: Vec<u8>,
}

impl Stacks {
    /// Errors: when the process cannot be looked at.
    pub fn of(pid: u32) -> io::Result<Stacks> {
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mut threads = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let Some(tid) = entry?.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
            let name = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/comm")).unwrap_or_default();
            // A thread that has ended meanwhile is none.
            let Ok(registers) = stopped(tid, || {
                let registers = registers_of(tid)?;
                let mut stack = vec![0; STACK_BYTES_MAX];
                let mut length = 0;
                // The end of the stack is not known; the first page that is not there is behind it.
                while length < STACK_BYTES_MAX {
                    let page = 4_096 - (registers.sp as usize + length) % 4_096;
                    let page = page.min(STACK_BYTES_MAX - length);
                    match memory.read_at(&mut stack[length..length + page], registers.sp + length as u64) {
                        Ok(n) if n > 0 => length += n,
                        _ => break,
                    }
                }
                stack.truncate(length);
                Ok((registers, stack))
            }) else {
                continue;
            };
            threads.push(Thread { tid, name: name.trim().to_string(), registers: registers.0, stack: registers.1 });
        }
        if threads.is_empty() {
            return Err(io::Error::other(format!("no thread of {pid} can be looked at")));
        }
        threads.sort_by_key(|t| t.tid);
        Ok(Stacks(threads))
    }

    pub fn text(&self, modules: &[Module]) -> String {
        let mut walker = Walker::new(modules);
        let mut out = String::new();
        for thread in &self.0 {
            let _ = writeln!(out, "thread {} '{}'", thread.tid, thread.name);
            let trace = walker.walk(thread.registers, thread.registers.sp, &thread.stack);
            for name in names(modules, &trace) {
                let _ = writeln!(out, "    {name}");
            }
        }
        out
    }
}

/// Runs `look` while a thread is stopped, and lets it go on.
fn stopped<T>(tid: i32, look: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let call = |request: libc::c_uint| {
        // SAFETY: a request about another process, without memory of ours.
        match unsafe { libc::ptrace(request, tid, 0, 0) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    call(libc::PTRACE_SEIZE)?;
    let looked = call(libc::PTRACE_INTERRUPT).and_then(|()| wait_stopped(tid)).and_then(|()| look());
    let _ = call(libc::PTRACE_DETACH);
    looked
}

/// Waits until an interrupted thread stands; one in the kernel's own work for long is given up.
fn wait_stopped(tid: i32) -> io::Result<()> {
    for _ in 0..100 {
        let mut status = 0;
        // SAFETY: writes one number.
        match unsafe { libc::waitpid(tid, &mut status, libc::__WALL | libc::WNOHANG) } {
            0 => std::thread::sleep(std::time::Duration::from_millis(1)),
            -1 => return Err(io::Error::last_os_error()),
            _ if libc::WIFSTOPPED(status) => return Ok(()),
            _ => return Err(io::Error::other("the thread has ended")),
        }
    }
    Err(io::Error::other("the thread does not stop"))
}

#[cfg(target_arch = "x86_64")]
fn registers_of(tid: i32) -> io::Result<Registers> {
    // SAFETY: writes one structure of ours about a thread that stands.
    unsafe {
        let mut all: libc::user_regs_struct = std::mem::zeroed();
        if libc::ptrace(libc::PTRACE_GETREGS, tid, 0, &raw mut all) == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Registers { pc: all.rip, sp: all.rsp, bp: all.rbp, lr: 0 })
    }
}

#[cfg(target_arch = "aarch64")]
fn registers_of(tid: i32) -> io::Result<Registers> {
    const NT_PRSTATUS: usize = 1;
    // SAFETY: writes one structure of ours about a thread that stands.
    unsafe {
        let mut all: libc::user_regs_struct = std::mem::zeroed();
        let mut room = libc::iovec { iov_base: (&raw mut all).cast(), iov_len: size_of_val(&all) };
        if libc::ptrace(libc::PTRACE_GETREGSET, tid, NT_PRSTATUS, &raw mut room) == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Registers { pc: all.pc, sp: all.sp, bp: all.regs[29], lr: all.regs[30] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps_are_read() {
        let line = "7f00-7f10 r-xp 00001000 08:01 123                        /usr/lib/libc.so.6";
        assert_eq!(mapping(line), Some((0x7f00..0x7f10, 0x1000, PathBuf::from("/usr/lib/libc.so.6"))));
        assert_eq!(mapping("7f00-7f10 rw-p 00000000 00:00 0                          [heap]"), None);
        assert_eq!(mapping("7f00-7f10 rw-p 00000000 00:00 0"), None);
    }

    #[test]
    fn the_stack_of_a_sleeping_child_is_walked() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        // Until it has become another program it has the stack of this one.
        let is_sleep = || std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap().trim() == "sleep";
        while !is_sleep() {
            std::thread::yield_now();
        }
        let modules = Module::of(child.id());
        let stacks = Stacks::of(child.id());
        let _ = child.kill();
        let _ = child.wait();
        let text = stacks.unwrap().text(&modules);
        assert!(text.contains("'sleep'"), "{text}");
        assert!(text.lines().count() >= 2, "{text}");
    }
}
