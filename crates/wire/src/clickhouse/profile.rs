//! Profile events of an INSERT: what each block has added, as clients from revision 54456 on wait for after every block.

use super::data::DataEncoder;
use super::packet::server;
use hydron_base::Result;
use hydron_engine::Progress;
use hydron_format::native::NativeOptions;
use hydron_types::{Batch, ColumnBuilder, EnumNames, Field, LogicalType, Schema, Value};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Events of one INSERT, told as what is new.
pub(super) struct ProfileEvents {
    host: String,
    rows: u64,
    bytes: u64,
    blocks: u64,
}

impl ProfileEvents {
    pub(super) fn new(host: &str) -> ProfileEvents {
        ProfileEvents { host: host.to_string(), rows: 0, bytes: 0, blocks: 0 }
    }

    /// Appends the packet. Its block is never compressed.
    pub(super) fn write(
        &mut self,
        blocks: u64,
        progress: &Progress,
        options: NativeOptions,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (rows, bytes) = (Progress::get(&progress.written_rows), Progress::get(&progress.written_bytes));
        let news = [
            ("InsertedRows", rows.saturating_sub(self.rows)),
            ("InsertedBytes", bytes.saturating_sub(self.bytes)),
            ("InsertedBlocks", blocks.saturating_sub(self.blocks)),
        ];
        (self.rows, self.bytes, self.blocks) = (rows, bytes, blocks);
        let block = self.block(&news)?;
        DataEncoder::new(options, None).write(server::PROFILE_EVENTS, Some(&block), out)
    }

    fn block(&self, news: &[(&str, u64)]) -> Result<Batch> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        let kinds = EnumNames { pairs: vec![("increment".into(), 1), ("gauge".into(), 2)] };
        let fields = vec![
            Field::new("host_name", LogicalType::String),
            Field::new("current_time", LogicalType::DateTime(None)),
            Field::new("thread_id", LogicalType::UInt64),
            Field::new("type", LogicalType::Enum8(Arc::new(kinds))),
            Field::new("name", LogicalType::String),
            Field::new("value", LogicalType::Int64),
        ];
        let mut builders: Vec<_> = fields.iter().map(|f| ColumnBuilder::new(&f.ty)).collect();
        for (name, value) in news {
            let row = [
                Value::string(&self.host),
                Value::Time(now),
                Value::UInt(0),
                Value::Int(1),
                Value::string(name),
                Value::Int(i64::try_from(*value).unwrap_or(i64::MAX)),
            ];
            builders.iter_mut().zip(&row).try_for_each(|(builder, value)| builder.append(value))?;
        }
        let columns = builders.iter_mut().map(ColumnBuilder::finish).collect::<Result<Vec<_>>>()?;
        Ok(Batch::new(Arc::new(Schema::new(fields)), columns, news.len()))
    }
}
