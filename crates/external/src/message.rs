//! Messages of one shard, one after the other, in one piece of memory.

/// Bytes in a chunk's memory.
type Span = (u32, u32);

/// Messages that follow each other in one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    pub shard: u32,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<(Span, Span)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    offset: i64,
    time_ms: i64,
    key: Option<Span>,
    payload: Option<Span>,
    /// Positions in `headers`.
    headers: Span,
}

/// One message. `payload: None` is a message without a value, which deletes in a compacted topic.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub offset: i64,
    pub time_ms: i64,
    pub key: Option<&'a [u8]>,
    pub payload: Option<&'a [u8]>,
    chunk: &'a Chunk,
    headers: Span,
}

impl<'a> Message<'a> {
    /// Names and values.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let chunk = self.chunk;
        let of_message = &chunk.headers[self.headers.0 as usize..self.headers.1 as usize];
        of_message.iter().map(|(name, value)| (chunk.span(*name), chunk.span(*value)))
    }
}

impl Chunk {
    pub fn new(shard: u32) -> Chunk {
        Chunk { shard, ..Chunk::default() }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Offset of the last message.
    pub fn last_offset(&self) -> Option<i64> {
        self.entries.last().map(|e| e.offset)
    }

    pub fn push<'h>(
        &mut self,
        offset: i64,
        time_ms: i64,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    ) {
        let first = self.headers.len() as u32;
        for (name, value) in headers {
            let pair = (self.put(name), self.put(value));
            self.headers.push(pair);
        }
        let headers = (first, self.headers.len() as u32);
        let key = key.map(|k| self.put(k));
        let payload = payload.map(|p| self.put(p));
        self.entries.push(Entry { offset, time_ms, key, payload, headers });
    }

    pub fn messages(&self) -> impl ExactSizeIterator<Item = Message<'_>> {
        self.entries.iter().map(|e| Message {
            offset: e.offset,
            time_ms: e.time_ms,
            key: e.key.map(|s| self.span(s)),
            payload: e.payload.map(|s| self.span(s)),
            chunk: self,
            headers: e.headers,
        })
    }

    /// Puts the messages of `other` behind.
    pub fn append(&mut self, other: &Chunk) {
        for m in other.messages() {
            self.push(m.offset, m.time_ms, m.key, m.payload, m.headers());
        }
    }

    /// The messages up to `offset`, and those behind it.
    pub fn split_after(&self, offset: i64) -> (Chunk, Chunk) {
        let (mut before, mut behind) = (Chunk::new(self.shard), Chunk::new(self.shard));
        for m in self.messages() {
            let side = if m.offset <= offset { &mut before } else { &mut behind };
            side.push(m.offset, m.time_ms, m.key, m.payload, m.headers());
        }
        (before, behind)
    }

    fn put(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        (start, self.bytes.len() as u32)
    }

    fn span(&self, (start, end): Span) -> &[u8] {
        &self.bytes[start as usize..end as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were_also_split_and_joined() {
        let mut chunk = Chunk::new(3);
        let headers: [(&[u8], &[u8]); 2] = [(b"a", b"1"), (b"b", b"")];
        chunk.push(5, 10, Some(b"k"), Some(b"one"), headers.into_iter());
        chunk.push(7, 11, None, None, std::iter::empty());
        chunk.push(8, 12, None, Some(b""), std::iter::empty());
        let (mut before, behind) = chunk.split_after(6);
        assert_eq!((before.len(), behind.len(), behind.last_offset()), (1, 2, Some(8)));
        let first = before.messages().next().unwrap();
        assert_eq!((first.key, first.payload), (Some(&b"k"[..]), Some(&b"one"[..])));
        assert_eq!(first.headers().collect::<Vec<_>>(), headers);
        before.append(&behind);
        let offsets = |c: &Chunk| c.messages().map(|m| (m.offset, m.payload.map(<[u8]>::to_vec))).collect::<Vec<_>>();
        assert_eq!(offsets(&before), offsets(&chunk));
        assert_eq!(chunk.messages().nth(1).unwrap().payload, None);
    }
}
