//! Partitions that were detached: a hidden stream beside each stream that has some.
//!
//! In: a stream. Out: the one with its detached rows. Promise: it is in the catalog, so that detached rows are there after any stop; it
//! goes with its stream.

use super::Context;
use crate::catalog::{CatalogState, Object, temporary};
use crate::stream::Stream;
use hydron_base::{Error, Result};
use hydron_plan::StreamInfo;
use std::sync::Arc;
use uuid::Uuid;

/// Hidden, as other inner streams are.
fn name_of(info: &StreamInfo) -> Arc<str> {
    Arc::from(format!(".inner.detached.{}", info.uuid))
}

/// The stream with the detached rows of another one, if it ever had some.
pub fn of(state: &CatalogState, info: &StreamInfo) -> Option<Arc<Stream>> {
    state.object(&info.database, &name_of(info)).and_then(Object::as_stream).cloned()
}

/// As [`of`], made where there is none yet.
///
/// Errors: NOT_IMPLEMENTED (48) for a temporary stream.
pub async fn of_or_new(cx: &Context, stream: &Arc<Stream>) -> Result<Arc<Stream>> {
    if &*stream.info.database == temporary::DATABASE {
        return Err(Error::not_implemented(format!("DETACH of the temporary stream {}", stream.info.name)));
    }
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    if let Some(found) = of(&engine.catalog.snapshot(), &stream.info) {
        super::alter::check_alike(stream, &found)?;
        return Ok(found);
    }
    let info = StreamInfo { name: name_of(&stream.info), uuid: Uuid::new_v4(), ..(*stream.info).clone() };
    let text = super::rename::renamed_text(&stream.create_text, &info.name)?;
    let engine = Arc::clone(&cx.engine);
    super::blocking(&cx.engine, move || super::create::store(&engine, info, text, None)).await
}
