//! CREATE, DROP and SHOW DICTIONARY.
//!
//! In: the syntax tree. Out: a view over the source, in the catalog, which functions ask by key. Promise: what the layout cannot hold
//! is refused here; the source need not exist before the dictionary is asked. A statement that asks a dictionary sees the source as it
//! is then: a lifetime and a reload have nothing to do.

use super::create::{Place, place};
use super::{Answer, Context, answer};
use crate::catalog::{Object, Temporary, View, record};
use crate::engine::Inner;
use hydron_base::{Code, Error, Result};
use hydron_plan::dictionary::{Attribute, DictionaryInfo};
use hydron_plan::{ViewInfo, bind::source_names};
use hydron_sql::ast::{
    self, CreateDictionary, DictionaryBlock, DictionaryValue, DropObjects, ExprKind, ObjectName, StatementKind,
};
use hydron_types::{LogicalType, parse_type};
use std::sync::Arc;
use uuid::Uuid;

/// Layouts with a whole number as key; each has a `complex_key_` one, but for `flat`.
const SIMPLE: &[&str] =
    &["flat", "hashed", "sparse_hashed", "hashed_array", "cache", "ssd_cache", "direct", "range_hashed"];

const OTHER_LAYOUTS: &[&str] =
    &["polygon", "polygon_simple", "polygon_index_each", "polygon_index_cell", "regexp_tree"];

const OTHER_SOURCES: &[&str] = &[
    "http",
    "mysql",
    "postgresql",
    "mongodb",
    "redis",
    "cassandra",
    "odbc",
    "jdbc",
    "executable",
    "executable_pool",
    "library",
    "mssql",
];

/// Errors: INCORRECT_DICTIONARY_DEFINITION (489), UNKNOWN_ELEMENT_IN_CONFIG (137), BAD_ARGUMENTS (36), NOT_IMPLEMENTED (48),
/// STREAM_ALREADY_EXISTS (57).
pub async fn create(cx: Context, create: CreateDictionary) -> Result<Answer> {
    // A dictionary outlives the session, so it sees nothing of it.
    let cx = Context { temporary: Temporary::default(), ..cx };
    let (database, name) = cx.full_name(&create.name);
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    state.database(&database).map_err(|e| cx.place(e, create.name.span))?;
    let replaceable = |o: &Object| matches!(o, Object::View(view) if view.dictionary.is_some());
    let asked = (create.or_replace, create.if_not_exists);
    let uuid = match place(&cx, &state, (&database, &name), asked, create.name.span, replaceable)? {
        Place::Free => Uuid::new_v4(),
        Place::Replaced(old) => old.uuid(),
        Place::Left => return Ok(answer::nothing()),
    };
    let (info, read) = definition(&create, &database, &name, uuid, &cx)?;
    let mut reads: Vec<(Arc<str>, Arc<str>)> = match hydron_sql::parse_statement(&info.view.select)?.statement.kind {
        StatementKind::Query(query) => source_names(&query, &cx.lookup())
            .into_iter()
            .map(|(database, name)| (Arc::from(database), Arc::from(name)))
            .collect(),
        _ => return Err(Error::bug("the source of a dictionary is no query")),
    };
    reads.extend(read.filter(|read| !reads.contains(read)));
    let mut normalized = create;
    normalized.name.database = Some(database.to_string());
    (normalized.or_replace, normalized.if_not_exists) = (false, false);
    let create_text = super::text::multi_line(StatementKind::CreateDictionary(Box::new(normalized)));
    let view = View { info: Arc::clone(&info.view), create_text, reads, dictionary: Some(Arc::new(info)) };
    let engine = Arc::clone(&cx.engine);
    super::blocking(&cx.engine, move || {
        let object = record::dictionary_properties(&view);
        engine.catalog_store.put(Inner::entry(
            record::DICTIONARY,
            uuid,
            &database,
            &name,
            &view.create_text,
            object,
        ))?;
        engine.catalog.update(|state| {
            if let Some(db) = state.databases.get_mut(&database) {
                db.objects.insert(name, Object::View(Arc::new(view)));
            }
        });
        Ok(answer::nothing())
    })
    .await
}

fn wrong(why: impl Into<String>) -> Error {
    Error::new(Code::INCORRECT_DICTIONARY_DEFINITION, why.into())
}

/// What a dictionary is, and the stream that it reads, if it is one.
fn definition(
    create: &CreateDictionary,
    database: &Arc<str>,
    name: &Arc<str>,
    uuid: Uuid,
    cx: &Context,
) -> Result<(DictionaryInfo, Option<(Arc<str>, Arc<str>)>)> {
    let layout_block = create.layout.as_ref().ok_or_else(|| wrong("a dictionary needs LAYOUT"))?;
    let layout = layout_block.name.to_lowercase();
    let bare = layout.strip_prefix("complex_key_").unwrap_or(&layout);
    let is_known = SIMPLE.contains(&bare) && (bare == layout || bare != "flat") || layout == "ip_trie";
    if OTHER_LAYOUTS.contains(&layout.as_str()) {
        return Err(Error::not_implemented(format!("the layout {layout} of a dictionary")));
    }
    if !is_known {
        let error =
            Error::new(Code::UNKNOWN_ELEMENT_IN_CONFIG, format!("the layout {layout} of a dictionary is unknown"));
        return Err(error.hint("flat, hashed, cache, direct, range_hashed, ip_trie, complex_key_hashed"));
    }
    if create.primary_key.is_empty() {
        return Err(wrong("a dictionary needs a PRIMARY KEY"));
    }
    if create.lifetime.is_none() && bare != "direct" {
        return Err(wrong("a dictionary needs LIFETIME"));
    }
    let mut keys = Vec::new();
    for key in &create.primary_key {
        let found = create.attributes.iter().find(|a| a.name == *key);
        let found = found.ok_or_else(|| wrong(format!("the key '{key}' is not among the attributes")))?;
        keys.push((Arc::from(key.as_str()), parse_type(&found.ty.to_string())?));
    }
    let is_simple = layout == bare && layout != "ip_trie";
    if is_simple && keys.len() > 1 {
        return Err(Error::bad_arguments(format!("the layout {layout} takes one key, given {}", keys.len()))
            .hint(format!("complex_key_{layout}")));
    }
    if is_simple && !keys[0].1.bare().is_integer() {
        return Err(Error::bad_arguments(format!(
            "the key of the layout {layout} is a whole number, not {}",
            keys[0].1
        ))
        .hint(format!("complex_key_{layout}")));
    }
    if layout == "ip_trie" && (keys.len() != 1 || *keys[0].1.bare() != LogicalType::String) {
        return Err(Error::bad_arguments("the key of the layout ip_trie is one string, a prefix"));
    }
    let range = match (&create.range, bare == "range_hashed") {
        (Some((min, max)), true) => {
            let bound = |name: &str| {
                let found = create.attributes.iter().find(|a| a.name == name);
                let found = found.ok_or_else(|| wrong(format!("'{name}' of RANGE is not among the attributes")))?;
                Ok::<_, Error>((Arc::<str>::from(name), parse_type(&found.ty.to_string())?))
            };
            Some([bound(min)?, bound(max)?])
        }
        (None, true) => return Err(Error::bad_arguments(format!("the layout {layout} needs RANGE"))),
        (Some(_), false) => return Err(Error::bad_arguments(format!("the layout {layout} has no RANGE"))),
        (None, false) => None,
    };
    let is_range = |name: &str| range.iter().flatten().any(|(n, _)| &**n == name);
    let mut attributes = Vec::new();
    let others = create.attributes.iter().filter(|a| !create.primary_key.contains(&a.name) && !is_range(&a.name));
    for attribute in others {
        attributes.push(Attribute {
            name: Arc::from(attribute.name.as_str()),
            ty: parse_type(&attribute.ty.to_string())?,
            default: attribute.default.as_ref().map(ToString::to_string),
            hierarchical: attribute.hierarchical,
        });
    }
    if attributes.is_empty() && range.is_none() && create.attributes.len() < create.primary_key.len() {
        return Err(wrong("a dictionary needs attributes"));
    }
    let source = create.source.as_ref().ok_or_else(|| wrong("a dictionary needs SOURCE"))?;
    let (from, read) = source_text(create, source, &cx.database)?;
    let column = |a: &ast::DictionaryAttribute| {
        let value = match &a.expression {
            Some(expression) => expression.to_string(),
            None => format!("`{}`", a.name),
        };
        format!("cast({value}, {}) AS `{}`", ast::Expr::string(a.ty.to_string()), a.name)
    };
    let columns: Vec<String> = create.attributes.iter().map(column).collect();
    let names: Vec<String> = create.primary_key.iter().map(|k| format!("`{k}`")).collect();
    let unique = match range.is_none() && layout != "ip_trie" {
        true => format!(" LIMIT 1 BY {}", names.join(", ")),
        false => String::new(),
    };
    let select = format!("SELECT {} FROM {from}{unique} SETTINGS query_mode = 'table'", columns.join(", "));
    let view = ViewInfo {
        database: Arc::clone(database),
        name: Arc::clone(name),
        uuid,
        select,
        columns: Vec::new(),
        comment: create.comment.clone().unwrap_or_default(),
        owner: Some(Arc::clone(&cx.user)),
    };
    let layout = Arc::from(layout);
    Ok((DictionaryInfo { view: Arc::new(view), layout, keys, range, attributes }, read))
}

/// FROM of the query that reads the source, and the stream in it.
fn source_text(
    create: &CreateDictionary,
    source: &DictionaryBlock,
    session_database: &str,
) -> Result<(String, Option<(Arc<str>, Arc<str>)>)> {
    let kind = source.name.to_lowercase();
    let text = |key: &str| -> Option<String> {
        let entry = source.entries.iter().find(|e| e.key.eq_ignore_ascii_case(key))?;
        match &entry.value {
            DictionaryValue::Expr(e) => Some(match &e.kind {
                ExprKind::Literal(l) => l.as_str().map_or_else(|| e.to_string(), str::to_string),
                ExprKind::Identifier(name) => name.full(),
                _ => e.to_string(),
            }),
            DictionaryValue::Nested(_) | DictionaryValue::None => None,
        }
    };
    let columns = create.attributes.iter().filter(|a| a.expression.is_none());
    let structure: Vec<String> = columns.map(|a| format!("`{}` {}", a.name, a.ty)).collect();
    let structure = ast::Expr::string(structure.join(", "));
    match kind.as_str() {
        "clickhouse" | "timeplus" | "proton" => {
            if let Some(host) = text("host").filter(|h| !matches!(h.as_str(), "localhost" | "127.0.0.1" | "::1" | "")) {
                return Err(Error::not_implemented(format!("a dictionary of the server {host}")));
            }
            if let Some(query) = text("query") {
                let query = query.trim().trim_end_matches(';').to_string();
                hydron_sql::parse_statement(&query)?;
                return Ok((format!("({query})"), None));
            }
            let table = text("table").filter(|t| !t.is_empty());
            let table = table.ok_or_else(|| wrong("the source CLICKHOUSE needs TABLE or QUERY"))?;
            let database = text("db").filter(|d| !d.is_empty()).unwrap_or_else(|| session_database.to_string());
            let filter = match text("where").filter(|w| !w.trim().is_empty()) {
                Some(filter) => {
                    hydron_sql::parse_expression(&filter)?;
                    format!(" WHERE {filter}")
                }
                None => String::new(),
            };
            Ok((format!("`{database}`.`{table}`{filter}"), Some((Arc::from(database), Arc::from(table)))))
        }
        "file" => {
            let need =
                |key: &str| text(key).ok_or_else(|| wrong(format!("the source FILE needs {}", key.to_uppercase())));
            let (path, format) = (ast::Expr::string(need("path")?), ast::Expr::string(need("format")?));
            Ok((format!("file({path}, {format}, {structure})"), None))
        }
        "null" => Ok((format!("null({structure})"), None)),
        other if OTHER_SOURCES.contains(&other) => {
            Err(Error::not_implemented(format!("the source {} of a dictionary", source.name)))
        }
        _ => {
            let message = format!("the source {} of a dictionary is unknown", source.name);
            Err(Error::new(Code::UNKNOWN_ELEMENT_IN_CONFIG, message).hint("CLICKHOUSE, FILE or NULL"))
        }
    }
}

/// The dictionary of a name. Errors: UNKNOWN_STREAM (60) when there is none.
pub fn existing(cx: &Context, name: &ObjectName) -> Result<Arc<View>> {
    let (database, of) = cx.full_name(name);
    match cx.engine.catalog.snapshot().object(&database, &of) {
        Some(Object::View(view)) if view.dictionary.is_some() => Ok(Arc::clone(view)),
        _ => {
            let error = Error::new(Code::UNKNOWN_STREAM, format!("dictionary {database}.{of} does not exist"));
            Err(cx.place(error, name.span))
        }
    }
}

/// DROP DICTIONARY. Errors: UNKNOWN_STREAM (60), HAVE_DEPENDENT_OBJECTS (630).
pub async fn drop(cx: Context, drop: DropObjects) -> Result<Answer> {
    for name in &drop.names {
        let engine = Arc::clone(&cx.engine);
        let _changes = engine.catalog.lock_changes().await;
        let view = match existing(&cx, name) {
            Err(e) if drop.if_exists && e.code == Code::UNKNOWN_STREAM => continue,
            found => found?,
        };
        let (database, of) = (Arc::clone(&view.info.database), Arc::clone(&view.info.name));
        super::remove::check_dependents(&cx, &database, &of)?;
        let removal = Arc::clone(&engine);
        super::blocking(&cx.engine, move || {
            removal.catalog_store.remove(view.info.uuid)?;
            removal.catalog.update(|state| {
                if let Some(db) = state.databases.get_mut(&database) {
                    db.objects.remove(&of);
                }
            });
            Ok(())
        })
        .await?;
    }
    Ok(answer::nothing())
}

/// Names of the dictionaries of a database.
pub fn names(cx: &Context, database: &str) -> Result<Vec<String>> {
    let state = cx.engine.catalog.snapshot();
    let objects = &state.database(database)?.objects;
    let is_dictionary = |o: &Object| matches!(o, Object::View(view) if view.dictionary.is_some());
    Ok(objects.iter().filter(|(_, o)| is_dictionary(o)).map(|(n, _)| n.to_string()).collect())
}
