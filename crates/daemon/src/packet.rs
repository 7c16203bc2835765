//! Packets between a supervisor and its children: one message each, some with sockets.
//!
//! In: bytes and descriptors. Out: what they say. Promise: a packet that is none of ours is nothing, and its descriptors are
//! closed.

use crate::custodian::HandOver;
use hydron_wire::custody::HOLD;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, send as send_bytes, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// To a worker: begin.
pub const START: &[u8] = b"start";

/// To a worker: a changed configuration follows.
pub const CONFIG: &str = "config ";

/// To a worker: connections to go on with, their places follow, with their sockets.
const ADOPT: &[u8] = b"adopt ";

/// Sockets in one packet; the kernel allows 253.
const SOCKETS_MAX: usize = 64;

/// The longest packet: a configuration.
const BYTES_MAX: usize = 128 << 10;

/// A child that does not read its packets is given up after this.
const SEND_PATIENCE: Duration = Duration::from_secs(1);

/// What a child says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A worker answers on its ports.
    Ready,
    /// A worker cannot start.
    Failed { code: u16, message: String },
    /// The stacks of the dying worker are saved: it may be killed.
    Walked,
}

pub enum Packet {
    Hold {
        index: usize,
        generation: u32,
        socket: OwnedFd,
    },
    Report(Report),
    /// There is none, or none that makes sense.
    Nothing,
}

/// The next packet of a child. Never waits.
pub fn receive(control: &OwnedFd) -> Packet {
    let mut bytes = [0u8; 4_096];
    let Ok((length, mut sockets)) = receive_raw(control.as_fd(), &mut bytes, RecvFlags::DONTWAIT) else {
        return Packet::Nothing;
    };
    let bytes = &bytes[..length];
    if let Some([a, b, c, d, e, f, g, h]) = bytes.strip_prefix(HOLD) {
        return match sockets.pop() {
            Some(socket) => Packet::Hold {
                index: u32::from_le_bytes([*a, *b, *c, *d]) as usize,
                generation: u32::from_le_bytes([*e, *f, *g, *h]),
                socket,
            },
            None => Packet::Nothing,
        };
    }
    match std::str::from_utf8(bytes).ok().and_then(report) {
        Some(report) => Packet::Report(report),
        None => Packet::Nothing,
    }
}

fn report(text: &str) -> Option<Report> {
    match text {
        "ready" => return Some(Report::Ready),
        "walked" => return Some(Report::Walked),
        _ => {}
    }
    let (code, message) = text.strip_prefix("failed ")?.split_once(' ')?;
    Some(Report::Failed { code: code.parse().ok()?, message: message.to_string() })
}

impl Report {
    pub fn text(&self) -> String {
        match self {
            Report::Ready => "ready".to_string(),
            Report::Walked => "walked".to_string(),
            Report::Failed { code, message } => {
                let end = message.floor_char_boundary(4_000);
                format!("failed {code} {}", &message[..end])
            }
        }
    }
}

/// Sends one packet. Errors: when the other side does not take it in time.
pub fn send(control: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    patiently(|| send_bytes(control, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map(drop))
}

/// Sends connections to the worker that goes on with them.
pub fn hand_over(control: &OwnedFd, connections: &[HandOver<'_>]) -> io::Result<()> {
    for some in connections.chunks(SOCKETS_MAX) {
        let mut bytes = ADOPT.to_vec();
        some.iter().for_each(|c| bytes.extend_from_slice(&c.index.to_le_bytes()));
        let sockets: Vec<BorrowedFd<'_>> = some.iter().map(|c| c.socket.as_fd()).collect();
        patiently(|| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&sockets));
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            sendmsg(control, &[IoSlice::new(&bytes)], &mut ancillary, flags).map(drop)
        })?;
    }
    Ok(())
}

fn patiently(mut send: impl FnMut() -> Result<(), Errno>) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match send() {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if begun.elapsed() < SEND_PATIENCE => std::thread::sleep(Duration::from_micros(200)),
            Err(e) => return Err(e.into()),
        }
    }
}

/// What a worker is told.
pub enum Order {
    Adopt(Vec<(usize, OwnedFd)>),
    Start,
    Config(String),
}

/// Waits for the next order. `None`: the supervisor is gone.
pub fn order(control: &OwnedFd) -> Option<Order> {
    let mut bytes = vec![0u8; BYTES_MAX];
    loop {
        let (length, sockets) = match receive_raw(control.as_fd(), &mut bytes, RecvFlags::empty()) {
            Ok((0, _)) => return None,
            Ok(received) => received,
            Err(Errno::INTR) => continue,
            Err(_) => return None,
        };
        let bytes = &bytes[..length];
        if bytes == START {
            return Some(Order::Start);
        }
        if let Some(places) = bytes.strip_prefix(ADOPT) {
            let places = places.chunks_exact(4).map(|p| u32::from_le_bytes([p[0], p[1], p[2], p[3]]) as usize);
            return Some(Order::Adopt(places.zip(sockets).collect()));
        }
        if let Some(text) = std::str::from_utf8(bytes).ok().and_then(|t| t.strip_prefix(CONFIG)) {
            return Some(Order::Config(text.to_string()));
        }
    }
}

fn receive_raw(control: BorrowedFd<'_>, bytes: &mut [u8], flags: RecvFlags) -> Result<(usize, Vec<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(control, &mut [IoSliceMut::new(bytes)], &mut ancillary, flags)?;
    let mut sockets = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            sockets.extend(fds);
        }
    }
    if received.bytes == 0 && flags.contains(RecvFlags::DONTWAIT) {
        return Err(Errno::AGAIN);
    }
    Ok((received.bytes, sockets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn reports_are_read_as_they_were_said() {
        let (ours, theirs) = pair();
        let failed = Report::Failed { code: 76, message: "cannot open\nit".to_string() };
        for report in [Report::Ready, failed, Report::Walked] {
            send(&theirs, report.text().as_bytes()).unwrap();
            assert!(matches!(receive(&ours), Packet::Report(r) if r == report));
        }
        send(&theirs, b"nonsense").unwrap();
        assert!(matches!(receive(&ours), Packet::Nothing));
        drop(theirs);
        assert!(matches!(receive(&ours), Packet::Nothing));
    }

    #[test]
    fn connections_arrive_with_their_places() {
        let (ours, theirs) = pair();
        let sockets: Vec<OwnedFd> = (0..100).map(|_| pair().0).collect();
        let list: Vec<HandOver<'_>> =
            sockets.iter().enumerate().map(|(i, socket)| HandOver { index: i as u32 + 7, socket }).collect();
        hand_over(&ours, &list).unwrap();
        send(&ours, START).unwrap();
        let mut places = Vec::new();
        while let Some(Order::Adopt(some)) = order(&theirs) {
            places.extend(some.into_iter().map(|(i, _)| i));
        }
        assert_eq!(places, (7..107).collect::<Vec<_>>());
        drop(ours);
        assert!(order(&theirs).is_none());
    }
}
