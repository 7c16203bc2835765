//! What the kernel tells about a process: children, memory, sockets, its end.
//!
//! In: process ids. Out: facts from `/proc` and from a pidfd. Promise: a process that is gone is an empty answer, never an
//! error.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Children of all threads of `pid`.
pub fn children(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().filter_map(|p| p.parse().ok()).collect::<Vec<i32>>())
        .collect()
}

pub fn arguments(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|b| *b == 0).filter(|a| !a.is_empty()).map(|a| String::from_utf8_lossy(a).to_string()).collect()
}

/// Names of its threads, each once.
pub fn thread_names(pid: i32) -> HashSet<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim_end().to_string()).collect()
}

/// A number of `/proc/PID/status`: `Threads`, or `VmRSS` in KiB.
pub fn status(pid: i32, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

pub fn rss_mib(pid: i32) -> u64 {
    status(pid, "VmRSS").unwrap_or(0) / 1_024
}

/// MiB of huge pages that the process has.
pub fn huge_pages_mib(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("AnonHugePages:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// Inodes of the sockets that `pid` holds.
pub fn sockets(pid: i32) -> HashSet<u64> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    fds.filter_map(|fd| fs::read_link(fd.path()).ok())
        .filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// One line of `/proc/net/tcp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    pub local_port: u16,
    pub remote_port: u16,
    pub state: u8,
    pub inode: u64,
}

/// `TCP_LISTEN` of the kernel.
const LISTEN: u8 = 10;

pub fn tcp() -> Vec<Tcp> {
    fs::read_to_string("/proc/net/tcp").map(|text| parse_tcp(&text)).unwrap_or_default()
}

fn parse_tcp(text: &str) -> Vec<Tcp> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = |at: usize| u16::from_str_radix(fields.get(at)?.rsplit(':').next()?, 16).ok();
        Some(Tcp {
            local_port: port(1)?,
            remote_port: port(2)?,
            state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
            inode: fields.get(9)?.parse().ok()?,
        })
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// Connections to `port` in `held` whose other end is no longer open in this process: nobody will ever read from them.
pub fn orphans(port: u16, held: &HashSet<u64>) -> HashSet<u64> {
    let own = sockets(std::process::id() as i32);
    orphans_of(&tcp(), port, held, &own)
}

fn orphans_of(table: &[Tcp], port: u16, held: &HashSet<u64>, own: &HashSet<u64>) -> HashSet<u64> {
    let open: HashSet<u16> =
        table.iter().filter(|t| t.remote_port == port && own.contains(&t.inode)).map(|t| t.local_port).collect();
    let held = table.iter().filter(|t| t.local_port == port && t.state != LISTEN && held.contains(&t.inode));
    held.filter(|t| !open.contains(&t.remote_port)).map(|t| t.inode).collect()
}

/// A process whose end can be awaited without being its parent.
pub struct Watched {
    pidfd: OwnedFd,
}

impl Watched {
    pub fn open(pid: i32) -> io::Result<Watched> {
        // SAFETY: makes a descriptor, which is ours from here, or fails.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        Ok(Watched { pidfd: unsafe { OwnedFd::from_raw_fd(fd as i32) } })
    }

    /// When the process ended; `None` when it still runs at `deadline`.
    pub fn ended_by(&self, deadline: Instant) -> Option<Instant> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut poll = libc::pollfd { fd: self.pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // One more millisecond than is left, so that the last look is not before the deadline.
            let millis = i32::try_from(left.as_millis()).unwrap_or(i32::MAX - 1) + 1;
            // SAFETY: polls one descriptor that we own.
            let ready = unsafe { libc::poll(&mut poll, 1, millis) };
            if ready > 0 {
                return Some(Instant::now());
            }
            if left.is_zero() {
                return None;
            }
        }
    }
}

pub fn signal(pid: i32, signal: i32) {
    // SAFETY: signals one process by its id; callers pass ids of the server under test.
    unsafe { libc::kill(pid, signal) };
}

/// How busy the machine was since the last look.
pub struct Load {
    total: u64,
    steal: u64,
}

impl Load {
    pub fn begin() -> Load {
        let (total, steal) = cpu_ticks(&fs::read_to_string("/proc/stat").unwrap_or_default());
        Load { total, steal }
    }

    /// `loadavg 1.4, steal 0.3 %`.
    pub fn end(&self) -> String {
        let now = Load::begin();
        let average = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let average = average.split(' ').next().unwrap_or("?").to_string();
        let total = now.total.saturating_sub(self.total).max(1) as f64;
        format!("loadavg {average}, steal {:.1} %", 100.0 * now.steal.saturating_sub(self.steal) as f64 / total)
    }
}

/// All ticks and stolen ticks of the first line of `/proc/stat`.
fn cpu_ticks(text: &str) -> (u64, u64) {
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    (ticks.iter().take(8).sum(), ticks.get(7).copied().unwrap_or(0))
}

/// Sleeps between two looks at something that gives no event, such as a line of `/proc`.
pub fn await_until(deadline: Instant, mut is_true: impl FnMut() -> bool) -> bool {
    loop {
        if is_true() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1FBB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 10 1 0 100 0 0 10 0
   1: 0100007F:1FBB 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 11 1 0 20 4 30 10 -1
   2: 0100007F:9C40 0100007F:1FBB 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1
   3: 0100007F:1FBB 0100007F:9C42 08 00000000:00000000 00:00000000 00000000     0        0 13 1 0 20 4 30 10 -1
";

    #[test]
    fn a_held_connection_without_a_client_is_an_orphan() {
        let table = parse_tcp(TABLE);
        assert_eq!(table[1], Tcp { local_port: 8123, remote_port: 40_000, state: 1, inode: 11 });
        let held = HashSet::from([10, 11, 13]);
        assert_eq!(orphans_of(&table, 8123, &held, &HashSet::from([12])), HashSet::from([13]));
        assert_eq!(orphans_of(&table, 8123, &held, &HashSet::new()), HashSet::from([11, 13]));
    }

    #[test]
    fn ticks_of_the_machine_are_read() {
        assert_eq!(cpu_ticks("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1\n"), (36, 8));
        assert_eq!(cpu_ticks(""), (0, 0));
    }

    #[test]
    fn the_end_of_a_process_is_an_event() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        let watched = Watched::open(pid).unwrap();
        let is_named = || arguments(pid).last().is_some_and(|a| a == "60");
        assert!(await_until(Instant::now() + Duration::from_secs(10), is_named));
        assert!(watched.ended_by(Instant::now()).is_none());
        signal(pid, libc::SIGKILL);
        assert!(watched.ended_by(Instant::now() + Duration::from_secs(10)).is_some());
        child.wait().unwrap();
        assert_eq!(status(pid, "Threads"), None);
    }
}
