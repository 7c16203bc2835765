//! CREATE, SHOW and DROP FORMAT SCHEMA, and how a query comes to the text of the schema it names.

use super::{Answer, Context, answer};
use crate::catalog::{CatalogState, FormatSchema, record};
use crate::engine::Inner;
use crate::stream::file::user_text;
use hydron_base::{Code, Error, Result, Settings};
use hydron_format::format_schema::{NamedSchema, SOURCE_SETTING, SchemaKind, check};
use hydron_sql::ast::{CreateFormatSchema, DropObjects};
use hydron_types::logical::identifier;
use hydron_types::{LogicalType, Value};
use std::sync::Arc;
use uuid::Uuid;

/// Schemas that a server keeps. Each is parsed when it is used, and may be named by every query.
const SCHEMAS_MAX: usize = 10_000;

pub async fn run(cx: Context, create: CreateFormatSchema) -> Result<Answer> {
    let kind = SchemaKind::parse(&create.ty)?;
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    let existing = state.format_schemas.iter().find(|s| *s.name == *create.name && s.kind == kind).cloned();
    if existing.is_some() && !create.or_replace {
        if create.if_not_exists {
            return Ok(answer::nothing());
        }
        let message = format!("format schema {} of type {} already exists", create.name, kind.name());
        return Err(Error::new(Code::FORMAT_SCHEMA_ALREADY_EXISTS, message));
    }
    if existing.is_none() && state.format_schemas.len() >= SCHEMAS_MAX {
        return Err(Error::bad_arguments(format!("there are {SCHEMAS_MAX} format schemas already")));
    }
    let schema = FormatSchema {
        name: Arc::from(create.name.as_str()),
        uuid: existing.map_or_else(Uuid::new_v4, |s| s.uuid),
        kind,
        source: create.source.clone(),
    };
    super::blocking(&cx.engine, {
        let engine = Arc::clone(&cx.engine);
        move || {
            check(kind, &schema.source).map_err(|e| e.context(format!("format schema {}", schema.name)))?;
            let object = serde_json::json!({ "type": kind.name(), "source": schema.source });
            let text = create_text(&schema);
            engine.catalog_store.put(Inner::entry(
                record::FORMAT_SCHEMA,
                schema.uuid,
                "",
                &schema.name,
                &text,
                object,
            ))?;
            engine.catalog.update(|state| match state.format_schemas.iter_mut().find(|s| s.uuid == schema.uuid) {
                Some(old) => *old = Arc::new(schema),
                None => state.format_schemas.push(Arc::new(schema)),
            });
            Ok(())
        }
    })
    .await?;
    Ok(answer::nothing())
}

pub async fn drop(cx: Context, drop: DropObjects) -> Result<Answer> {
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    for name in &drop.names {
        let state = engine.catalog.snapshot();
        let schema = match found(&state, &name.name, drop.schema_type.as_deref()) {
            Ok(schema) => schema,
            Err(e) if e.code == Code::UNKNOWN_FORMAT_SCHEMA && drop.if_exists => continue,
            Err(e) => return Err(e),
        };
        super::blocking(&cx.engine, {
            let engine = Arc::clone(&cx.engine);
            move || {
                engine.catalog_store.remove(schema.uuid)?;
                engine.catalog.update(|state| state.format_schemas.retain(|s| s.uuid != schema.uuid));
                Ok(())
            }
        })
        .await?;
    }
    Ok(answer::nothing())
}

/// `SHOW FORMAT SCHEMAS [TYPE t]`, oldest first.
pub fn show(cx: &Context, ty: Option<&str>) -> Result<Answer> {
    let kind = ty.map(SchemaKind::parse).transpose()?;
    let state = cx.engine.catalog.snapshot();
    let schemas = state.format_schemas.iter().filter(|s| kind.is_none_or(|k| k == s.kind));
    let rows: Vec<_> = schemas.map(|s| [&*s.name, s.kind.name()].map(Value::string).to_vec()).collect();
    let columns = [("name", LogicalType::String), ("type", LogicalType::String)];
    Ok(answer::batch(answer::rows_of(&columns, rows)?))
}

/// `SHOW CREATE FORMAT SCHEMA n [TYPE t]`.
pub fn show_create(cx: &Context, name: &str, ty: Option<&str>) -> Result<Answer> {
    let schema = found(&cx.engine.catalog.snapshot(), name, ty)?;
    answer::strings("statement", [create_text(&schema)])
}

fn create_text(schema: &FormatSchema) -> String {
    let (name, source, kind) = (identifier(&schema.name), schema.source.trim(), schema.kind.name());
    let mut tag = String::new();
    while source.contains(&format!("${tag}$")) {
        tag.push('x');
    }
    format!("CREATE FORMAT SCHEMA {name} AS\n${tag}$\n{source}\n${tag}$\nTYPE {kind}")
}

/// Errors: UNKNOWN_FORMAT_SCHEMA (2611); AMBIGUOUS_FORMAT_SCHEMA (2612) when several types have the name and none is given.
fn found(state: &CatalogState, name: &str, ty: Option<&str>) -> Result<Arc<FormatSchema>> {
    let kind = ty.map(SchemaKind::parse).transpose()?;
    let mut all = state.format_schemas.iter().filter(|s| *s.name == *name && kind.is_none_or(|k| k == s.kind));
    let first = all.next().ok_or_else(|| {
        let error = Error::new(Code::UNKNOWN_FORMAT_SCHEMA, format!("format schema {name} does not exist"));
        match crate::catalog::state::nearest(name, state.format_schemas.iter().map(|s| &*s.name)) {
            Some(near) => error.hint(format!("format schema {near}")),
            None => error,
        }
    })?;
    if all.next().is_some() {
        let message = format!("several format schemas have the name {name}");
        return Err(Error::new(Code::AMBIGUOUS_FORMAT_SCHEMA, message).hint("TYPE Protobuf or TYPE Avro"));
    }
    Ok(Arc::clone(first))
}

/// The settings of a query with the texts that its formats are shaped by: of the schema that `format_schema` names, and of the
/// files that `format_template_row` and `format_template_resultset` name.
///
/// `format` says which kind of schema is meant where two have the name. A name that is not known is an error of the format
/// only. Errors: FILE_DOESNT_EXIST (107) for a template.
pub async fn with_source(engine: &Arc<Inner>, settings: Arc<Settings>, format: Option<&str>) -> Result<Arc<Settings>> {
    let named = NamedSchema::from_settings(&settings);
    let templates = ["format_template_row", "format_template_resultset"];
    let templates = templates.map(|name| (name, settings.text(name).to_string()));
    let has_templates = templates.iter().any(|(_, path)| !path.is_empty());
    if !named.is_given() && !has_templates {
        return Ok(settings);
    }
    let mut settings = (*settings).clone();
    if named.is_given() {
        let kind = format.and_then(SchemaKind::of_format).map(SchemaKind::name);
        let source = match found(&engine.catalog.snapshot(), named.parts().0, kind) {
            Ok(schema) => schema.source.clone(),
            Err(e) if e.code == Code::UNKNOWN_FORMAT_SCHEMA => String::new(),
            Err(e) => return Err(e),
        };
        settings.set(SOURCE_SETTING, &source)?;
    }
    if has_templates {
        let texts = super::blocking(engine, {
            let engine = Arc::clone(engine);
            move || {
                let given = templates.into_iter().filter(|(_, path)| !path.is_empty());
                given.map(|(name, path)| Ok((name, user_text(&engine, &path)?))).collect::<Result<Vec<_>>>()
            }
        })
        .await?;
        for (name, text) in texts {
            // An editor ends the last line; the row does not.
            let text = if name == "format_template_row" { text.trim_end_matches('\n') } else { &text };
            settings.set(&format!("{name}_format"), text)?;
        }
    }
    Ok(Arc::new(settings))
}
