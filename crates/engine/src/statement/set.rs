//! SET and USE; settings clauses of any statement.

use super::{Answer, Context, answer};
use crate::session::Session;
use hydron_base::{Result, Settings};
use hydron_sql::ast::{Literal, Query, QueryBody, Setting, SettingValue};
use std::sync::Arc;

/// `SET a = 1, b = 'x'`: changes the session.
pub fn set(session: &mut Session, list: &[Setting]) -> Result<Answer> {
    let mut settings = session.settings.clone();
    apply(&mut settings, list)?;
    session.settings = settings;
    Ok(answer::nothing())
}

/// Changes `settings` as a SET or SETTINGS list says; all or nothing is the caller's choice.
pub fn apply(settings: &mut Settings, list: &[Setting]) -> Result<()> {
    for setting in list {
        match value_text(&setting.value) {
            Some(text) => settings.set(&setting.name, &text)?,
            None => settings.reset(&setting.name),
        }
    }
    Ok(())
}

/// The value as text; `None` for DEFAULT.
pub fn value_text(value: &SettingValue) -> Option<String> {
    Some(match value {
        SettingValue::Default => return None,
        SettingValue::Literal(literal) => literal_text(literal),
        SettingValue::Expr(expr) => match expr.as_literal() {
            Some(literal) => literal_text(literal),
            None => expr.to_string(),
        },
    })
}

fn literal_text(literal: &Literal) -> String {
    match literal {
        Literal::Null => "NULL".to_string(),
        Literal::Bool(b) => b.to_string(),
        Literal::UInt(v) => v.to_string(),
        Literal::Int(v) => v.to_string(),
        Literal::BigInt(text) => text.to_string(),
        Literal::Float(v) => v.0.to_string(),
        Literal::String(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// The SETTINGS clause of the last SELECT of a query, which holds for the whole query.
pub fn of_query(query: &Query) -> &[Setting] {
    let mut body = match query.pipe.last() {
        Some(last) => &last.body,
        None => &query.body,
    };
    loop {
        match body {
            QueryBody::Select(select) => return &select.settings,
            QueryBody::Nested(inner) => body = &inner.body,
            QueryBody::Set(set) => match set.rest.last() {
                Some((_, last)) => body = last,
                None => body = &set.first,
            },
        }
    }
}

/// `USE db`: changes the session. Errors: UNKNOWN_DATABASE.
pub fn use_database(cx: Context, session: &mut Session, name: &str) -> Result<Answer> {
    if name != crate::system::DATABASE {
        cx.engine.catalog.snapshot().database(name)?;
    }
    session.database = Arc::from(name);
    Ok(answer::nothing())
}
