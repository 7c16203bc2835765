//! SHOW, EXISTS and DESCRIBE: the catalog as small tables.

use super::{Answer, Context, answer, dictionary};
use crate::catalog::Object;
use crate::system;
use hydron_base::{Code, Error, Result};
use hydron_plan::bind::bind_select;
use hydron_plan::{ColumnDefault, ColumnInfo};
use hydron_sql::ast::{self, Describe, Exists, LikePattern, Show, ShowFilter, ShowObject, TableExprKind};
use hydron_sql::secret::mask;
use hydron_types::{Batch, LogicalType, TypeNames, Value};

pub async fn run(cx: Context, show: Show) -> Result<Answer> {
    match show {
        Show::Databases(filter) => {
            let mut names: Vec<String> = cx.engine.catalog.snapshot().databases.keys().map(|n| n.to_string()).collect();
            names.push(system::DATABASE.to_string());
            names.sort();
            filtered(&cx, "name", names, &filter)
        }
        Show::Streams { temporary: true, filter, .. } => filtered(&cx, "name", cx.temporary.names(), &filter),
        Show::Streams { from, filter, full, .. } => {
            let database = from.as_deref().unwrap_or(&cx.database).to_string();
            streams(&cx, &database, &filter, full)
        }
        Show::Functions(filter) => {
            let names = hydron_func::Registry::builtin().names().into_iter().map(|f| f.name.to_string());
            let state = cx.catalog();
            let mut names: Vec<String> = names.chain(state.functions.keys().map(|n| n.to_string())).collect();
            names.sort();
            filtered(&cx, "name", names, &filter)
        }
        Show::Settings { changed, filter } => settings(&cx, changed, &filter),
        Show::ProcessList => Ok(answer::batch(system::processes(&cx.engine, &cx.engine.queries.running())?)),
        Show::Dictionaries { from, filter } => {
            let names = dictionary::names(&cx, from.as_deref().unwrap_or(&cx.database))?;
            filtered(&cx, "name", names, &filter)
        }
        Show::FormatSchemas { .. } => answer::strings("name", []),
        Show::Create { object: ShowObject::Database, name, .. } => {
            let state = cx.catalog();
            state.database(&name.name).map_err(|e| cx.place(e, name.span))?;
            let text = format!("CREATE DATABASE {}\nENGINE = Atomic", hydron_types::logical::identifier(&name.name));
            answer::strings("statement", [text])
        }
        Show::Create { object: ShowObject::Dictionary, name, .. } => {
            let view = dictionary::existing(&cx, &name)?;
            answer::strings("statement", [mask(&view.create_text).into_owned()])
        }
        Show::Create { name, temporary: true, .. } if cx.temporary.get(&name.name).is_none() => {
            let message = format!("temporary stream {} does not exist", name.name);
            Err(cx.place(Error::new(Code::UNKNOWN_STREAM, message), name.span))
        }
        Show::Create { name, object, .. } => {
            let span = name.span;
            let (database, name) = cx.full_name(&name);
            let state = cx.catalog();
            let found = state.existing(&database, &name).map_err(|e| cx.place(e, span))?;
            if object == ShowObject::View && found.as_stream().is_some() {
                return Err(Error::new(Code::BAD_ARGUMENTS, format!("{database}.{name} is a stream, not a view")));
            }
            answer::strings("statement", [mask(found.create_text()).into_owned()])
        }
        Show::CreateFunction(name) => {
            let state = cx.catalog();
            let function = state.functions.get(name.as_str()).ok_or_else(|| {
                Error::new(Code::UNKNOWN_FUNCTION, format!("function {name} was not made by CREATE FUNCTION"))
            })?;
            answer::strings("statement", [mask(&function.create_text).into_owned()])
        }
        Show::CreateFormatSchema { name, .. } => {
            Err(Error::new(Code::UNKNOWN_FORMAT_SCHEMA, format!("format schema {name} does not exist")))
        }
        Show::List { what, .. } => Err(Error::not_implemented(format!("SHOW {what}"))),
        Show::Clusters(_) | Show::Cluster(_) => Err(Error::not_implemented("SHOW CLUSTERS")),
        Show::CreateAccess { .. } | Show::Grants { .. } => Err(Error::not_implemented("access control by SQL")),
    }
}

fn streams(cx: &Context, database: &str, filter: &ShowFilter, full: bool) -> Result<Answer> {
    let state = cx.catalog();
    let names: Vec<(String, &str)> = if database == system::DATABASE {
        system::table_names().into_iter().map(|n| (n, "SYSTEM")).collect()
    } else {
        let db = state.database(database)?;
        let kind = |o: &Object| match o {
            Object::Stream(_) => "STREAM",
            Object::View(view) if view.dictionary.is_some() => "DICTIONARY",
            Object::View(_) => "VIEW",
            Object::MaterializedView(_) => "MATERIALIZED VIEW",
        };
        db.objects.iter().map(|(n, o)| (n.to_string(), kind(o))).collect()
    };
    let inner = cx.settings.bool("include_internal_streams");
    let names = names.into_iter().filter(|(n, _)| inner || !n.starts_with(".inner."));
    if full {
        let columns = [("name", LogicalType::String), ("type", LogicalType::String)];
        let rows = names.map(|(n, k)| vec![Value::string(n), Value::string(k)]);
        return select(cx, answer::rows_of(&columns, rows)?, filter);
    }
    filtered(cx, "name", names.map(|(n, _)| n).collect(), filter)
}

fn settings(cx: &Context, changed: bool, filter: &ShowFilter) -> Result<Answer> {
    let columns = [("name", LogicalType::String), ("type", LogicalType::String), ("value", LogicalType::String)];
    let rows =
        hydron_base::setting::definitions().iter().filter(|d| !changed || cx.settings.is_changed(d.name)).map(|d| {
            vec![Value::string(d.name), Value::string(format!("{:?}", d.kind)), Value::string(cx.settings.text(d.name))]
        });
    select(cx, answer::rows_of(&columns, rows)?, filter)
}

fn filtered(cx: &Context, column: &str, names: Vec<String>, filter: &ShowFilter) -> Result<Answer> {
    let rows = names.into_iter().map(|n| vec![Value::string(n)]);
    select(cx, answer::rows_of(&[(column, LogicalType::String)], rows)?, filter)
}

/// LIKE on the first column, WHERE and LIMIT.
fn select(cx: &Context, batch: Batch, filter: &ShowFilter) -> Result<Answer> {
    let mut keep = vec![true; batch.rows()];
    if let Some(LikePattern { not, case_insensitive, pattern }) = &filter.like {
        for (i, keep) in keep.iter_mut().enumerate() {
            let value = hydron_types::column::value_at(batch.column(0), &batch.schema.fields[0].ty, i);
            let name = String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).into_owned();
            *keep = super::text::like(&name, pattern, *case_insensitive) != *not;
        }
    }
    if let Some(condition) = &filter.filter {
        let bound =
            hydron_plan::bind::bind_scalar_expr(condition, &batch.schema, &cx.lookup(), &cx.bind_context(false))?;
        let mask = bound.eval_filter(&cx.eval_context(), &batch)?;
        keep.iter_mut().enumerate().for_each(|(i, k)| *k &= mask.value(i));
    }
    let mask = arrow::array::BooleanArray::from(keep);
    let columns = batch.columns.iter().map(|c| arrow::compute::filter(c, &mask)).collect::<Result<Vec<_>, _>>();
    let columns = columns.map_err(hydron_func::call::arrow_error)?;
    let rows = mask.true_count();
    let kept = Batch::new(batch.schema, columns, rows);
    let limit = filter.limit.as_ref().and_then(|e| e.as_literal()?.as_u64());
    Ok(answer::batch(match limit {
        Some(n) if (n as usize) < rows => kept.slice(0, n as usize),
        _ => kept,
    }))
}

pub fn exists(cx: Context, exists: Exists) -> Result<Answer> {
    let (database, name) = cx.full_name(&exists.name);
    let state = cx.catalog();
    let found = match exists.object {
        ShowObject::Database => state.databases.contains_key(&*exists.name.name) || &*name == system::DATABASE,
        ShowObject::Dictionary => {
            matches!(state.object(&database, &name), Some(Object::View(view)) if view.dictionary.is_some())
        }
        ShowObject::View => {
            matches!(state.object(&database, &name), Some(Object::View(_) | Object::MaterializedView(_)))
        }
        ShowObject::Any | ShowObject::Stream if exists.temporary => cx.temporary.get(&name).is_some(),
        ShowObject::Any | ShowObject::Stream => {
            state.object(&database, &name).is_some()
                || (&*database == system::DATABASE && system::table(&name).is_some())
        }
    };
    let rows = [vec![Value::UInt(u64::from(found))]];
    Ok(answer::batch(answer::rows_of(&[("result", LogicalType::UInt8)], rows)?))
}

/// `DESCRIBE s`, `DESCRIBE (SELECT …)`, `DESCRIBE table_function(…)`.
pub async fn describe(cx: Context, describe: Describe) -> Result<Answer> {
    let names = TypeNames::parse(cx.settings.text("type_names"));
    let described = |c: &ColumnInfo| described(c, names);
    let rows = match &describe.target.kind {
        TableExprKind::Name(name) => {
            let (database, name) = cx.full_name(name);
            if &*database == system::DATABASE {
                let table = system::table(&name).ok_or_else(|| {
                    let error = Error::new(Code::UNKNOWN_STREAM, format!("stream {database}.{name} does not exist"));
                    cx.place(error, describe.target.span)
                })?;
                table.columns.iter().map(described).collect()
            } else {
                let state = cx.catalog();
                match state.existing(&database, &name).map_err(|e| cx.place(e, describe.target.span))? {
                    Object::Stream(s) => s.info.columns.iter().map(described).collect(),
                    Object::MaterializedView(v) => state.target(v)?.info.columns.iter().map(described).collect(),
                    Object::View(_) => bound_columns(&cx, &describe, names).await?,
                }
            }
        }
        _ => bound_columns(&cx, &describe, names).await?,
    };
    let columns =
        ["name", "type", "default_type", "default_expression", "comment", "codec_expression", "ttl_expression"]
            .map(|c| (c, LogicalType::String));
    Ok(answer::batch(answer::rows_of(&columns, rows)?))
}

async fn bound_columns(cx: &Context, describe: &Describe, names: TypeNames) -> Result<Vec<Vec<Value>>> {
    let query = all_of(describe.target.clone());
    let (lookup, bind_cx) = (cx.lookup(), cx.bind_context(false));
    let schema = super::blocking(&cx.engine, move || Ok(bind_select(&query, &lookup, &bind_cx)?.schema)).await?;
    let column = |f: &hydron_types::Field| ColumnInfo::new(std::sync::Arc::clone(&f.name), f.ty.clone());
    let plain = schema.fields.iter().map(|f| described(&column(f), names));
    Ok(plain.collect())
}

/// `SELECT * FROM target`.
fn all_of(target: ast::TableExpr) -> ast::Query {
    let select = ast::Select {
        projection: vec![ast::ExprKind::Asterisk(Box::default()).into()],
        from: Some(ast::FromClause { first: Some(target), rest: Vec::new() }),
        ..ast::Select::default()
    };
    ast::Query { body: ast::QueryBody::Select(Box::new(select)), pipe: Vec::new(), span: ast::Span::default() }
}

fn described(c: &ColumnInfo, names: TypeNames) -> Vec<Value> {
    let (kind, expr) = match &c.default {
        ColumnDefault::None => ("", ""),
        ColumnDefault::Default(e) => ("DEFAULT", e.as_str()),
        ColumnDefault::Materialized(e) => ("MATERIALIZED", e.as_str()),
        ColumnDefault::Alias(e) => ("ALIAS", e.as_str()),
        ColumnDefault::Ephemeral(e) => ("EPHEMERAL", e.as_deref().unwrap_or_default()),
    };
    [&c.name, &*names.of(&c.ty), kind, expr, &c.comment, &c.codec, &c.ttl].map(Value::string).to_vec()
}
