//! SHOW, EXISTS and DESCRIBE: the catalog as small tables.

use super::{Answer, Context, answer, dictionary};
use crate::catalog::Object as Named;
use crate::system;
use hydron_access::{Object, Privilege};
use hydron_base::{Code, Error, Result};
use hydron_plan::bind::bind_select;
use hydron_plan::{ColumnDefault, ColumnInfo};
use hydron_sql::ast::{self, Describe, Exists, LikePattern, Show, ShowFilter, ShowObject, TableExprKind};
use hydron_sql::secret::mask;
use hydron_types::{Batch, JsonShape, LogicalType, TypeNames, Value};
use std::sync::Arc;

pub async fn run(cx: Context, show: Show) -> Result<Answer> {
    match show {
        Show::Databases(filter) => {
            let mut names: Vec<String> = cx.engine.catalog.snapshot().databases.keys().map(|n| n.to_string()).collect();
            names.retain(|n| cx.access.rights.may_see(Privilege::SHOW_DATABASES, &Object::database(n)));
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
        Show::ProcessList => {
            let mut running = cx.engine.queries.running();
            running.retain(|q| super::permit::sees_query(&cx.access, &q.user));
            Ok(answer::batch(system::processes(&running)?))
        }
        Show::Dictionaries { from, filter } => {
            let names = dictionary::names(&cx, from.as_deref().unwrap_or(&cx.database))?;
            filtered(&cx, "name", names, &filter)
        }
        Show::FormatSchemas { ty } => super::format_schema::show(&cx, ty.as_deref()),
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
            if &*database == system::DATABASE
                && let Some(table) = system::table(&name)
            {
                let columns = table.columns.iter().map(|c| format!("  `{}` {}", c.name, c.ty)).collect::<Vec<_>>();
                let text = format!("CREATE STREAM system.{name}\n(\n{}\n)\nENGINE = System", columns.join(",\n"));
                return answer::strings("statement", [text]);
            }
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
        Show::CreateFormatSchema { name, ty } => super::format_schema::show_create(&cx, &name, ty.as_deref()),
        Show::List { what, on } => super::access::show_list(&cx, &what, on.as_ref()).await,
        Show::Clusters(_) | Show::Cluster(_) => Err(Error::not_implemented("SHOW CLUSTERS")),
        Show::CreateAccess { kind, names } => super::access::show_create(&cx, kind, &names),
        Show::Grants { of } => super::access::show_grants(&cx, of.as_ref()),
    }
}

fn streams(cx: &Context, database: &str, filter: &ShowFilter, full: bool) -> Result<Answer> {
    let state = cx.catalog();
    let names: Vec<(String, &str)> = if database == system::DATABASE {
        system::table_names().into_iter().map(|n| (n, "SYSTEM")).collect()
    } else if system::information_schema::is_database(database) {
        system::information_schema::table_names().into_iter().map(|n| (n, "VIEW")).collect()
    } else {
        let db = state.database(database)?;
        let kind = |o: &Named| match o {
            Named::Stream(_) => "STREAM",
            Named::View(view) if view.dictionary.is_some() => "DICTIONARY",
            Named::View(_) => "VIEW",
            Named::MaterializedView(_) => "MATERIALIZED VIEW",
        };
        let seen = |n: &str| cx.access.rights.may_see(Privilege::SHOW_TABLES, &Object::stream(database, n));
        db.objects.iter().filter(|(n, _)| seen(n)).map(|(n, o)| (n.to_string(), kind(o))).collect()
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
    let rows = hydron_base::setting::definitions()
        .iter()
        .filter(|d| !changed || cx.settings.is_changed(d.name))
        .map(|d| vec![Value::string(d.name), Value::string(d.kind.name()), Value::string(cx.settings.text(d.name))]);
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
            matches!(state.object(&database, &name), Some(Named::View(view)) if view.dictionary.is_some())
        }
        ShowObject::View => {
            matches!(state.object(&database, &name), Some(Named::View(_) | Named::MaterializedView(_)))
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
    let inner = cx.settings.bool("describe_include_subcolumns");
    let none = |_: &str| None;
    let rows = match &describe.target.kind {
        TableExprKind::Name(name) => {
            let (database, name) = cx.full_name(name);
            if &*database == system::DATABASE {
                let table = system::table(&name).ok_or_else(|| {
                    let error = Error::new(Code::UNKNOWN_STREAM, format!("stream {database}.{name} does not exist"));
                    cx.place(error, describe.target.span)
                })?;
                rows_of(&table.columns, names, inner, none)
            } else if system::information_schema::is_database(&database) {
                rows_of(&bound_columns(&cx, &describe).await?, names, inner, none)
            } else {
                let state = cx.catalog();
                let stream = match state.existing(&database, &name).map_err(|e| cx.place(e, describe.target.span))? {
                    Named::Stream(s) => Some(Arc::clone(s)),
                    Named::MaterializedView(v) => Some(state.target(v)?),
                    Named::View(_) => None,
                };
                match stream {
                    Some(s) => {
                        let shape = |column: &str| s.store()?.json_shape(column);
                        rows_of(&s.info.columns, names, inner, shape)
                    }
                    None => rows_of(&bound_columns(&cx, &describe).await?, names, inner, none),
                }
            }
        }
        _ => rows_of(&bound_columns(&cx, &describe).await?, names, inner, none),
    };
    let mut columns =
        ["name", "type", "default_type", "default_expression", "comment", "codec_expression", "ttl_expression"]
            .map(|c| (c, LogicalType::String))
            .to_vec();
    if inner {
        columns.push(("is_subcolumn", LogicalType::UInt8));
    }
    Ok(answer::batch(answer::rows_of(&columns, rows)?))
}

/// A row for each column; with `inner` then one for each name that leads into a column. `shape` knows json columns.
fn rows_of(
    columns: &[ColumnInfo],
    names: TypeNames,
    inner: bool,
    shape: impl Fn(&str) -> Option<Arc<JsonShape>>,
) -> Vec<Vec<Value>> {
    let mut rows: Vec<_> = columns.iter().map(|c| described(c, names)).collect();
    if !inner {
        return rows;
    }
    rows.iter_mut().for_each(|row| row.push(Value::UInt(0)));
    for column in columns {
        let mut found = Vec::new();
        subcolumns(&column.name, &column.ty, shape(&column.name).as_deref(), &mut found);
        for (name, ty) in found {
            // What makes up the whole says nothing of a part.
            let (name, default) = (Arc::from(name), ColumnDefault::None);
            let mut row = described(&ColumnInfo { name, ty, default, ..column.clone() }, names);
            row.push(Value::UInt(1));
            rows.push(row);
        }
    }
    rows
}

/// The names that lead into a column, with their types.
fn subcolumns(name: &str, ty: &LogicalType, shape: Option<&JsonShape>, found: &mut Vec<(String, LogicalType)>) {
    match ty {
        LogicalType::Json => {
            let leaves = shape.map(JsonShape::leaves).unwrap_or_default();
            found.extend(leaves.into_iter().map(|(path, ty)| (format!("{name}.{path}"), ty)));
        }
        LogicalType::Nullable(_) => found.push((format!("{name}.null"), LogicalType::UInt8)),
        LogicalType::Array(_) => found.push((format!("{name}.size0"), LogicalType::UInt64)),
        LogicalType::Map(key, value) => {
            found.push((format!("{name}.keys"), LogicalType::array((**key).clone())));
            found.push((format!("{name}.values"), LogicalType::array((**value).clone())));
        }
        LogicalType::Tuple(elements) => {
            for (at, (element, ty)) in elements.iter().enumerate() {
                let element = element.as_deref().map_or_else(|| (at + 1).to_string(), str::to_string);
                let name = format!("{name}.{element}");
                found.push((name.clone(), ty.clone()));
                subcolumns(&name, ty, None, found);
            }
        }
        _ => {}
    }
}

async fn bound_columns(cx: &Context, describe: &Describe) -> Result<Vec<ColumnInfo>> {
    let query = all_of(describe.target.clone());
    let (lookup, bind_cx) = (cx.lookup(), cx.bind_context(false));
    let schema = super::blocking(&cx.engine, move || {
        let bound = bind_select(&query, &lookup, &bind_cx)?;
        super::permit::reads(&lookup, Some(&bound.plan))?;
        Ok(bound.schema)
    })
    .await?;
    Ok(schema.fields.iter().map(|f| ColumnInfo::new(Arc::clone(&f.name), f.ty.clone())).collect())
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
