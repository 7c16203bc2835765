//! Callers: who is on the far side of a connection that came through the door.
//!
//! TLS ends in a process of its own, the door, which opens a connection to the worker over loopback for each of its clients. In:
//! the local port of that connection and the client's address, before it is opened. Out: the same, to any worker, as long as the
//! connection lives. Promise: a port that the door does not use has no caller; nothing here allocates, locks or waits.

use rustix::fs::{MemfdFlags, fstat, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// One for each port there is.
const PLACES: usize = 1 << 16;
const BYTES: usize = PLACES * size_of::<Caller>();

/// In the word of a place: there is a caller.
const IS_SET: u64 = 1 << 63;

#[repr(C)]
struct Caller {
    /// [`IS_SET`] and the client's port.
    word: AtomicU64,
    high: AtomicU64,
    low: AtomicU64,
}

/// Shared memory of a door and the workers. Pages cost memory when they are first written.
pub struct Callers {
    base: *const Caller,
    fd: OwnedFd,
}

// SAFETY: all that is reached through it is atomic.
unsafe impl Send for Callers {}
// SAFETY: as above.
unsafe impl Sync for Callers {}

impl Callers {
    pub fn create() -> io::Result<&'static Callers> {
        let fd = memfd_create("hydron-callers", MemfdFlags::CLOEXEC)?;
        ftruncate(&fd, BYTES as u64)?;
        Callers::map(fd, ProtFlags::READ | ProtFlags::WRITE)
    }

    /// Maps the table that a supervisor has handed over to its door.
    pub fn inherit(fd: OwnedFd) -> io::Result<&'static Callers> {
        Callers::inherit_as(fd, ProtFlags::READ | ProtFlags::WRITE)
    }

    /// As [`Callers::inherit`], for a worker: it only reads, whatever happens to it.
    pub fn inherit_to_read(fd: OwnedFd) -> io::Result<&'static Callers> {
        Callers::inherit_as(fd, ProtFlags::READ)
    }

    fn inherit_as(fd: OwnedFd, access: ProtFlags) -> io::Result<&'static Callers> {
        match fstat(&fd)?.st_size as usize {
            BYTES => Callers::map(fd, access),
            _ => Err(io::Error::other("the table of callers was made by another version")),
        }
    }

    fn map(fd: OwnedFd, access: ProtFlags) -> io::Result<&'static Callers> {
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: a new mapping of a file of that size, at an address of the kernel's choice.
        let base = unsafe { mmap(std::ptr::null_mut(), BYTES, access, flags, fd.as_fd(), 0)? };
        Ok(Box::leak(Box::new(Callers { base: base.cast(), fd })))
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    fn place(&self, port: u16) -> &Caller {
        // SAFETY: mapped for the life of the process, with a place for every port; zeroed memory is valid for it.
        unsafe { &*self.base.add(port as usize) }
    }

    /// The connection from `port` is the one of `client`.
    pub fn set(&self, port: u16, client: SocketAddr) {
        let ip = match client.ip().to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let bits = ip.to_bits();
        let place = self.place(port);
        place.high.store((bits >> 64) as u64, Ordering::Relaxed);
        place.low.store(bits as u64, Ordering::Relaxed);
        place.word.store(IS_SET | u64::from(client.port()), Ordering::Release);
    }

    /// The connection from `port` has ended.
    pub fn clear(&self, port: u16) {
        self.place(port).word.store(0, Ordering::Release);
    }

    pub fn get(&self, port: u16) -> Option<SocketAddr> {
        let place = self.place(port);
        let word = place.word.load(Ordering::Acquire);
        if word & IS_SET == 0 {
            return None;
        }
        let (high, low) = (place.high.load(Ordering::Relaxed), place.low.load(Ordering::Relaxed));
        let ip = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low)).to_canonical();
        Some(SocketAddr::new(ip, word as u16))
    }

    /// The door that wrote them is gone, and its connections with it.
    pub fn clear_all(&self) {
        // A place that was never written is not written now: it would cost its memory.
        (0..=u16::MAX).filter(|port| self.get(*port).is_some()).for_each(|port| self.clear(port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_door_writes_a_worker_reads() {
        let door = Callers::create().unwrap();
        let worker = Callers::inherit_to_read(door.fd().try_clone().unwrap()).unwrap();
        for client in ["10.1.2.3:4567", "[2001:db8::7]:65535"] {
            door.set(40_000, client.parse().unwrap());
            assert_eq!(worker.get(40_000), Some(client.parse().unwrap()));
        }
        door.set(65_535, "[::ffff:10.0.0.1]:1".parse().unwrap());
        assert_eq!(worker.get(65_535), Some("10.0.0.1:1".parse().unwrap()));
        door.clear(40_000);
        assert_eq!((worker.get(40_000), worker.get(1)), (None, None));
        door.clear_all();
        assert_eq!(worker.get(65_535), None);
        assert!(Callers::inherit(memfd_create("other", MemfdFlags::CLOEXEC).unwrap()).is_err());
    }
}
