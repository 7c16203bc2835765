//! One external stream: what its settings say, and the connection that its writers share.
//!
//! Promise: it can be opened whatever its settings say and whether or not the other side is there; who reads or writes is told.

use super::counters::Counters;
use super::definition::{Definition, Kind};
use hydron_base::{Error, Result};
use hydron_external::kafka::{KafkaWriter, Sink};
use hydron_plan::StreamInfo;
use parking_lot::Mutex;
use std::sync::Arc;

pub struct External {
    info: Arc<StreamInfo>,
    pub counters: Arc<Counters>,
    /// Made for the first INSERT.
    writer: Mutex<Option<Arc<dyn Sink>>>,
}

impl External {
    pub fn new(info: Arc<StreamInfo>, counters: Arc<Counters>) -> External {
        External { info, counters, writer: Mutex::default() }
    }

    /// Reads its `config_file`, if it has one: blocks.
    pub fn definition(&self) -> Result<Arc<Definition>> {
        let of_stream = |e: Error| e.context(format!("external stream {}", self.info.name));
        Definition::of(&self.info).map(Arc::new).map_err(of_stream)
    }

    /// The connection for writing. The first call blocks until a broker has answered.
    ///
    /// Errors: CANNOT_WRITE_TO_KAFKA; NOT_IMPLEMENTED for streams that are only read.
    pub fn writer(&self) -> Result<Arc<dyn Sink>> {
        let mut writer = self.writer.lock();
        if let Some(writer) = &*writer {
            return Ok(Arc::clone(writer));
        }
        let settings = match &self.definition()?.kind {
            Kind::Kafka(settings) => settings.clone(),
            Kind::Log(_) => {
                let what = format!("INSERT into external stream {} of log files", self.info.name);
                return Err(Error::not_implemented(what));
            }
        };
        let opened: Arc<dyn Sink> = Arc::new(KafkaWriter::open(&settings)?);
        *writer = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// The connection has failed for good: the next writer makes another one.
    pub fn forget_writer(&self) {
        self.writer.lock().take();
    }
}
