//! What CREATE EXTERNAL STREAM checks before anything is written.
//!
//! Errors: what the settings answer; UNKNOWN_FORMAT; NETWORK_ERROR naming the brokers when none answers, RESOURCE_NOT_FOUND for a topic
//! that is not there, FILE_DOESNT_EXIST for a directory.

use super::definition::{Definition, Kind};
use super::encode::bind_text;
use hydron_base::{Code, Error, Result};
use hydron_format::FormatOptions;
use hydron_func::BindContext;
use hydron_plan::{Catalog, StreamInfo};
use hydron_types::{Field, Schema};
use std::sync::Arc;

/// How many shards the stream has. Blocks until a broker has answered.
pub fn check(info: &StreamInfo, catalog: &dyn Catalog, bind_cx: &BindContext) -> Result<u32> {
    let definition = Definition::of(info)?;
    let fields = |of: &dyn Fn(&hydron_plan::ColumnInfo) -> bool| {
        let columns = info.columns.iter().filter(|c| of(c));
        Arc::new(Schema::new(columns.map(|c| Field::new(Arc::clone(&c.name), c.ty.clone())).collect()))
    };
    let stored = fields(&|c| c.is_stored());
    let value = fields(&super::definition::is_of_value);
    if value.is_empty() {
        return Err(Error::bad_arguments("an external stream needs a column that is not the message's own"));
    }
    let options = FormatOptions::from_settings(&definition.overlay(&bind_cx.settings), hydron_types::Zone::UTC);
    // Their schemas are objects of the catalog, which a reader of messages does not ask yet.
    let lower = definition.format.to_ascii_lowercase();
    if lower.starts_with("avro") || lower.starts_with("protobuf") {
        return Err(Error::not_implemented(format!("data_format '{}' of an external stream", definition.format)));
    }
    hydron_format::input(&definition.format, Arc::clone(&value), &options, None)?;
    bind_text(definition.message_key.as_deref(), "message_key", &stored, catalog, bind_cx)?;
    bind_text(definition.sharding.as_deref(), "sharding_expr", &stored, catalog, bind_cx)?;
    match &definition.kind {
        Kind::Kafka(settings) => Ok(hydron_external::kafka::partitions(settings)?.len() as u32),
        Kind::Log(settings) if settings.dir.is_dir() => Ok(1),
        Kind::Log(settings) => {
            let message = format!("log_dir '{}' is no directory", settings.dir.display());
            Err(Error::new(Code::FILE_DOESNT_EXIST, message))
        }
    }
}
