//! Who reads messages, and the thread he does it on.
//!
//! In: a source that blocks. Out: its messages, awaited by a query. Promise: at most [`CHUNKS_AHEAD`] lots of [`CHUNK_BYTES_MAX`] are
//! read ahead of the query; a query that is dropped ends the reading within [`POLL_PATIENCE`].

use crate::cut::Cuts;
use crate::message::Chunk;
use hydron_base::{Code, Error, Result};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::sync::mpsc;

/// Chunks that wait for the query: one in use, one in the making, and the others for the shards between them.
const CHUNKS_AHEAD: usize = 4;

/// Bytes gathered before they are handed on. More only makes the first row of them late.
const CHUNK_BYTES_MAX: usize = 4 << 20;

/// Messages gathered before they are handed on: as many as a batch has rows.
const CHUNK_MESSAGES_MAX: usize = 65_409;

/// How long a source waits for messages before it looks whether anybody still wants them.
pub const POLL_PATIENCE: Duration = Duration::from_millis(100);

/// Where reading begins in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    /// With the first message of this time or later, in milliseconds since 1970.
    Time(i64),
    Offset(i64),
    /// Behind a message that was read before.
    After(i64),
}

/// Where reading has begun in one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub shard: u32,
    /// Offset of the first message that is read.
    pub next: i64,
    /// Offset of the first message that did not exist then.
    pub head: i64,
}

/// What a source has read.
#[derive(Default)]
pub struct Gathered {
    chunks: BTreeMap<u32, Chunk>,
    bytes: usize,
    messages: usize,
    /// All that was there at the beginning has been read.
    pub caught_up: bool,
}

impl Gathered {
    pub fn push<'h>(
        &mut self,
        shard: u32,
        offset: i64,
        time_ms: i64,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) {
        let chunk = self.chunks.entry(shard).or_insert_with(|| Chunk::new(shard));
        let before = chunk.bytes();
        chunk.push(offset, time_ms, key, payload, headers);
        self.bytes += chunk.bytes() - before;
        self.messages += 1;
    }

    pub fn is_full(&self) -> bool {
        self.bytes >= CHUNK_BYTES_MAX || self.messages >= CHUNK_MESSAGES_MAX
    }

    fn take(&mut self) -> Vec<Chunk> {
        (self.bytes, self.messages) = (0, 0);
        std::mem::take(&mut self.chunks).into_values().collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Perhaps there are more.
    Open,
    /// All that was asked for has been read.
    End,
}

/// Something with messages. Called by one thread, which may block.
pub trait Source: Send + 'static {
    /// Gathers messages: waits for the first one up to `patience`, and for no other.
    fn poll(&mut self, patience: Duration, into: &mut Gathered) -> Result<Polled>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Messages(Chunk),
    /// All that was there when the reading began has been delivered.
    CaughtUp,
}

/// The messages of a source that is read by a thread of its own.
pub struct Incoming {
    events: mpsc::Receiver<Result<Event>>,
}

impl Incoming {
    /// Begins to read. Errors: SYSTEM_ERROR when there is no thread to be had.
    pub fn spawn(source: impl Source, cuts: Cuts) -> Result<Incoming> {
        let (sender, events) = mpsc::channel(CHUNKS_AHEAD);
        let read = move || {
            let all = std::panic::catch_unwind(AssertUnwindSafe(|| read(source, cuts, &sender)));
            if let Err(e) = all.unwrap_or_else(|panic| Err(Error::panicked(&*panic))) {
                // A query that is gone does not need the error.
                let _ = sender.blocking_send(Err(e));
            }
        };
        let thread = std::thread::Builder::new().name("external".to_owned()).spawn(read);
        thread.map_err(|e| Error::new(Code::SYSTEM_ERROR, format!("no thread for reading an external stream: {e}")))?;
        Ok(Incoming { events })
    }

    /// `None`: the end.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        self.events.recv().await.transpose()
    }

    /// As [`Incoming::next`], for a thread that may block.
    pub fn next_blocking(&mut self) -> Result<Option<Event>> {
        self.events.blocking_recv().transpose()
    }
}

fn read(mut source: impl Source, mut cuts: Cuts, events: &mpsc::Sender<Result<Event>>) -> Result<()> {
    let mut gathered = Gathered::default();
    let mut caught_up = false;
    loop {
        let polled = source.poll(POLL_PATIENCE, &mut gathered)?;
        for chunk in gathered.take() {
            for piece in cuts.pieces(chunk)? {
                if events.blocking_send(Ok(Event::Messages(piece))).is_err() {
                    return Ok(());
                }
            }
        }
        if gathered.caught_up && !std::mem::replace(&mut caught_up, true) {
            // Told once; that nobody listens is seen below.
            let _ = events.blocking_send(Ok(Event::CaughtUp));
        }
        if polled == Polled::End || events.is_closed() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets that are there at each poll.
    struct Values(Vec<Vec<(u32, i64)>>);

    impl Source for Values {
        fn poll(&mut self, _: Duration, into: &mut Gathered) -> Result<Polled> {
            if self.0.is_empty() {
                return Ok(Polled::End);
            }
            for (shard, offset) in self.0.remove(0) {
                into.push(shard, offset, 0, None, Some(b"x"), std::iter::empty());
            }
            into.caught_up = self.0.len() <= 1;
            Ok(Polled::Open)
        }
    }

    #[test]
    fn messages_come_shard_by_shard_and_the_past_ends_once() {
        let values = Values(vec![vec![(1, 0), (0, 4), (1, 1)], vec![(0, 5)], vec![(0, 6)]]);
        let mut incoming = Incoming::spawn(values, Cuts::default()).unwrap();
        let mut told = Vec::new();
        while let Some(event) = incoming.next_blocking().unwrap() {
            told.push(match event {
                Event::Messages(chunk) => (i64::from(chunk.shard), chunk.last_offset().unwrap()),
                Event::CaughtUp => (-1, -1),
            });
        }
        assert_eq!(told, [(0, 4), (1, 1), (0, 5), (-1, -1), (0, 6)]);
    }

    #[test]
    fn a_panic_of_the_source_is_an_error_and_no_end() {
        struct Broken;
        impl Source for Broken {
            fn poll(&mut self, _: Duration, _: &mut Gathered) -> Result<Polled> {
                panic!("of all things")
            }
        }
        let mut incoming = Incoming::spawn(Broken, Cuts::default()).unwrap();
        assert!(incoming.next_blocking().unwrap_err().message.contains("of all things"));
    }

    #[test]
    fn an_error_of_the_source_reaches_the_query() {
        struct Broken;
        impl Source for Broken {
            fn poll(&mut self, _: Duration, _: &mut Gathered) -> Result<Polled> {
                Err(Error::new(Code::NETWORK_ERROR, "gone"))
            }
        }
        let mut incoming = Incoming::spawn(Broken, Cuts::default()).unwrap();
        assert_eq!(incoming.next_blocking().unwrap_err().code, Code::NETWORK_ERROR);
        assert_eq!(incoming.next_blocking().unwrap(), None);
    }
}
