//! SET and USE.

use super::{Answer, Context, answer};
use crate::session::Session;
use hydron_base::{Code, Error, Result};
pub use hydron_plan::bind::{apply_settings, query_settings};
use hydron_sql::ast::Setting;
use std::sync::Arc;

/// `SET a = 1, b = 'x'`: changes the session, all or nothing.
pub fn set(cx: &Context, session: &mut Session, list: &[Setting]) -> Result<Answer> {
    if !cx.settings.bool("allow_ddl")
        && let Some(setting) = list.iter().find(|s| s.name == "allow_ddl")
    {
        let error = Error::new(Code::QUERY_IS_PROHIBITED, "allow_ddl cannot be changed while DDL is not permitted");
        return Err(cx.place(error, setting.span));
    }
    let mut settings = session.settings.clone();
    apply_settings(&mut settings, list, cx.text())?;
    if !cx.access.constraints.is_empty() {
        let mut after = (*cx.settings).clone();
        after.overlay(&settings);
        cx.access.constraints.check(&cx.settings, &after)?;
    }
    session.settings = settings;
    Ok(answer::nothing())
}

/// `USE db`: changes the session. Errors: UNKNOWN_DATABASE.
pub fn use_database(cx: Context, session: &mut Session, name: &str) -> Result<Answer> {
    if name != crate::system::DATABASE {
        cx.engine.catalog.snapshot().database(name)?;
    }
    session.database = Arc::from(name);
    Ok(answer::nothing())
}
