//! What external streams have read and written, all of them together, since the server started.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Counters {
    pub read_messages: AtomicU64,
    pub read_rows: AtomicU64,
    pub read_bytes: AtomicU64,
    /// Messages that did not parse.
    pub failed_messages: AtomicU64,
    pub written_messages: AtomicU64,
    pub written_rows: AtomicU64,
    pub written_bytes: AtomicU64,
}

impl Counters {
    pub fn add(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// Name, what it counts, and how many.
    pub fn list(&self) -> [(&'static str, &'static str, u64); 7] {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        [
            ("external_stream_read_messages_total", "messages read from external streams", get(&self.read_messages)),
            ("external_stream_read_rows_total", "rows read from external streams", get(&self.read_rows)),
            ("external_stream_read_bytes_total", "bytes read from external streams", get(&self.read_bytes)),
            ("external_stream_failed_messages_total", "messages that did not parse", get(&self.failed_messages)),
            (
                "external_stream_written_messages_total",
                "messages handed to external streams",
                get(&self.written_messages),
            ),
            ("external_stream_written_rows_total", "rows written to external streams", get(&self.written_rows)),
            ("external_stream_written_bytes_total", "bytes written to external streams", get(&self.written_bytes)),
        ]
    }
}
