//! CREATE VIEW: a SELECT kept as text and bound anew at each use.

use super::create::{Place, place};
use super::{Answer, Context, answer};
use crate::catalog::{Object, Temporary, View, record};
use crate::engine::Inner;
use hydron_base::{Code, Error, Result};
use hydron_plan::ViewInfo;
use hydron_plan::bind::{bind_select_in, source_names};
use hydron_sql::ast::CreateView;
use std::sync::Arc;
use uuid::Uuid;

pub async fn run(cx: Context, create: CreateView) -> Result<Answer> {
    // A view outlives the session, so it sees nothing of it.
    let cx = Context { temporary: Temporary::default(), ..cx };
    let (database, name) = cx.full_name(&create.name);
    let engine = Arc::clone(&cx.engine);
    let _changes = engine.catalog.lock_changes().await;
    let state = engine.catalog.snapshot();
    state.database(&database).map_err(|e| cx.place(e, create.name.span))?;
    let replaceable = |o: &Object| matches!(o, Object::View(view) if view.dictionary.is_none());
    let asked = (create.or_replace, create.if_not_exists);
    let uuid = match place(&cx, &state, (&database, &name), asked, create.name.span, replaceable)? {
        Place::Free => Uuid::new_v4(),
        Place::Replaced(old) => old.uuid(),
        Place::Left => return Ok(answer::nothing()),
    };
    let columns: Vec<Arc<str>> =
        create.columns.iter().flat_map(|c| &c.columns).map(|c| Arc::from(c.name.as_str())).collect();
    let reads: Vec<(Arc<str>, Arc<str>)> = source_names(&create.query, &cx.lookup())
        .into_iter()
        .map(|(database, name)| (Arc::from(database), Arc::from(name)))
        .collect();
    if reads.iter().any(|(d, n)| *d == database && *n == name) {
        let message = format!("view {database}.{name} reads itself");
        return Err(Error::new(Code::BAD_ARGUMENTS, message));
    }
    let info = ViewInfo {
        database: Arc::clone(&database),
        name: Arc::clone(&name),
        uuid,
        select: create.query.to_string(),
        columns,
        comment: create.comment.clone().unwrap_or_default(),
        owner: Some(Arc::clone(&cx.user)),
    };
    let mut normalized = create.clone();
    normalized.name.database = Some(database.to_string());
    (normalized.or_replace, normalized.if_not_exists) = (false, false);
    let create_text = super::text::multi_line(hydron_sql::ast::StatementKind::CreateView(Box::new(normalized)));
    let view = View { info: Arc::new(info), create_text, reads, dictionary: None };
    super::blocking(&cx.engine, {
        let engine = Arc::clone(&cx.engine);
        let lookup = cx.lookup();
        let bind_cx = cx.bind_context(false);
        let as_streams = (cx.settings.text("query_mode") == "table").then(|| {
            let mut settings = (*cx.settings).clone();
            settings.reset("query_mode");
            hydron_func::BindContext { settings: Arc::new(settings), ..cx.bind_context(true) }
        });
        let statement = Arc::clone(&cx.info.text);
        let whole = cx.text().is_some();
        move || {
            // A view that cannot be bound now could not be read later.
            let text = whole.then_some(&*statement);
            let bound = bind_select_in(&create.query, text, &lookup, &bind_cx);
            // It may be one that only streams can have, to be read by others than this session.
            let bound = match (bound, as_streams) {
                (Err(e), Some(cx)) => bind_select_in(&create.query, text, &lookup, &cx).map_err(|_| e)?,
                (bound, _) => bound?,
            };
            super::permit::reads(&lookup, Some(&bound.plan))?;
            if !view.info.columns.is_empty() && view.info.columns.len() != bound.plan.schema.len() {
                let message = format!(
                    "view {database}.{name} lists {} columns, its SELECT returns {}",
                    view.info.columns.len(),
                    bound.plan.schema.len()
                );
                return Err(Error::new(Code::NUMBER_OF_COLUMNS_DOESNT_MATCH, message));
            }
            let object = record::view_properties(&view.info, &view.reads);
            engine.catalog_store.put(Inner::entry(record::VIEW, uuid, &database, &name, &view.create_text, object))?;
            engine.catalog.update(|state| {
                if let Some(db) = state.databases.get_mut(&database) {
                    db.objects.insert(name, Object::View(Arc::new(view)));
                }
            });
            Ok(())
        }
    })
    .await?;
    Ok(answer::nothing())
}
