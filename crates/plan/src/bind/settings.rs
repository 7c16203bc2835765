//! SET and SETTINGS: what a list of settings in the text means.
//!
//! In: a list as parsed, the settings so far. Out: the settings with it. Promise: an error names the setting's place when
//! the text is given.

use hydron_base::{Code, Error, Result, Settings};
use hydron_sql::ast::{self, Query, QueryBody, Setting, SettingValue};

/// Changes `settings` as a list says; after an error they are changed in part. `text` is the text that was parsed.
///
/// Errors: UNKNOWN_SETTING (115), INVALID_SETTING_VALUE (471), BAD_ARGUMENTS (36) for a value that is no constant.
pub fn apply_settings(settings: &mut Settings, list: &[Setting], text: Option<&str>) -> Result<()> {
    for setting in list {
        let changed = match setting_text(setting) {
            Ok(Some(value)) => settings.set(&setting.name, &value),
            Ok(None) => {
                settings.reset(&setting.name);
                Ok(())
            }
            Err(e) => Err(e),
        };
        changed.map_err(|e| match text {
            Some(text) if setting.span.end > 0 => e.at(setting.span.position(text)),
            _ => e,
        })?;
    }
    Ok(())
}

/// The value as text; `None` for DEFAULT.
pub fn setting_text(setting: &Setting) -> Result<Option<String>> {
    Ok(Some(match &setting.value {
        SettingValue::Default => return Ok(None),
        SettingValue::Literal(literal) => literal_text(literal),
        SettingValue::Expr(expr) => match &expr.kind {
            ast::ExprKind::Identifier(identifier) => identifier.full(),
            ast::ExprKind::Literal(literal) => literal_text(literal),
            ast::ExprKind::Function(_) | ast::ExprKind::Chain(_) => expr.to_string(),
            _ => {
                let message = format!("setting '{}' must be a constant", setting.name);
                return Err(Error::new(Code::BAD_ARGUMENTS, message));
            }
        },
    }))
}

fn literal_text(literal: &ast::Literal) -> String {
    match literal {
        // As a query parameter this is NULL; no other setting has such a value.
        ast::Literal::Null => "\\N".to_string(),
        ast::Literal::Bool(b) => b.to_string(),
        ast::Literal::UInt(n) => n.to_string(),
        ast::Literal::Int(n) => n.to_string(),
        ast::Literal::BigInt(n) => n.to_string(),
        ast::Literal::Float(f) => f.0.to_string(),
        ast::Literal::String(s) => String::from_utf8_lossy(s).into_owned(),
    }
}

/// `base` with the SETTINGS that stand at the top level of a query, the last one counting.
pub fn query_settings(query: &Query, base: &Settings, text: Option<&str>) -> Result<Settings> {
    let mut settings = base.clone();
    top_settings(&query.body, &mut settings, text)?;
    for stage in &query.pipe {
        top_settings(&stage.body, &mut settings, text)?;
    }
    Ok(settings)
}

fn top_settings(body: &QueryBody, settings: &mut Settings, text: Option<&str>) -> Result<()> {
    match body {
        QueryBody::Select(select) => apply_settings(settings, &select.settings, text),
        QueryBody::Nested(query) => top_settings(&query.body, settings, text),
        QueryBody::Set(set) => {
            top_settings(&set.first, settings, text)?;
            set.rest.iter().try_for_each(|(_, body)| top_settings(body, settings, text))
        }
    }
}
