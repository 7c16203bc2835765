//! One file for each kind of statement.
//!
//! In: the text of one statement and the session. Out: a [`Running`] query. Promise: each statement is in the list of
//! queries from its first byte to its last, and every error is in the query log.
//!
//! In reading order: [`select`] with [`extremes`], [`subscribe`], [`insert`], [`create`] with [`storage_check`], [`table_engine`],
//! [`codec`] and [`index_check`], [`database`], [`view`], [`materialized`], [`dictionary`], [`function`], [`remove`], [`check`], [`detached`], [`alter`],
//! [`rename`], [`show`], [`explain`], [`analyze`], [`set`], [`kill`], [`system`], [`access`]; [`refuse`] and [`permit`] are asked
//! before any of them, [`answer`] makes small answers, [`text`] small texts, and [`facts`] tell functions about the server.

pub mod access;
pub mod alter;
pub mod analyze;
pub mod answer;
pub mod check;
pub mod codec;
pub mod create;
pub mod database;
pub mod detached;
pub mod dictionary;
pub mod explain;
pub mod extremes;
pub mod facts;
pub mod format_schema;
pub mod function;
pub mod index_check;
pub mod insert;
mod insert_function;
pub mod kill;
pub mod materialized;
pub mod permit;
pub mod refuse;
pub mod remove;
pub mod rename;
pub mod select;
pub mod set;
pub mod show;
pub mod storage_check;
pub mod subscribe;
pub mod system;
pub mod table_engine;
pub mod text;
pub mod view;

use crate::catalog::lookup::Lookup;
use crate::catalog::{CatalogState, Temporary, temporary};
use crate::engine::Inner;
use crate::grounds::Reader;
use crate::meter::Meter;
use crate::place::Place;
use crate::query::{Input, Item, QueryGuard, QueryInfo, QueryOptions, Running};
use crate::session::Session;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::BoxStream;
use hydron_access::Enabled;
use hydron_base::limit::QUERY_BYTES_MAX;
use hydron_base::world::{Stop, WallTime};
use hydron_base::{Budget, Code, Error, Result, Settings};
use hydron_board::{Kind, Mark, Phase};
use hydron_func::{BindContext, EvalContext};
use hydron_plan::bind::{apply_settings, query_settings};
use hydron_sql::ast::{
    CreateSource, DropObject, DropVerb, InsertSource, ObjectName, SetRole, Span, Statement, StatementKind,
};
use hydron_types::{Schema, Zone};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// One statement on its way: what it may use and what it is called.
pub struct Context {
    pub engine: Arc<Inner>,
    pub user: Arc<str>,
    /// What the user may do.
    pub access: Arc<Enabled>,
    /// Whose rights these are.
    pub reader: Reader,
    pub database: Arc<str>,
    /// Profile, session, query and SETTINGS clause together.
    pub settings: Arc<Settings>,
    pub info: Arc<QueryInfo>,
    pub now: WallTime,
    pub format: Option<String>,
    /// Streams of the session.
    pub temporary: Temporary,
}

/// What a statement answers with.
pub struct Answer {
    pub schema: Option<Arc<Schema>>,
    pub streaming: bool,
    pub items: BoxStream<'static, Result<Item>>,
}

pub async fn execute(
    engine: &Arc<Inner>,
    session: &mut Session,
    text: Bytes,
    input: Input,
    options: QueryOptions,
) -> Result<Running> {
    let utf8 = utf8_part(&text);
    let options = match recovered_id(utf8) {
        Some(query_id) => QueryOptions { query_id, ..options },
        None => options,
    };
    let mut guard = engine.queries.start(session, utf8, &options)?;
    let guard_mark = guard.info.mark();
    let work = run(engine, session, &text, utf8, input, &options, &mut guard);
    // A panic on the way to an answer is this query's error, and the session is as it was or as the statement left it.
    let work = AssertUnwindSafe(guard_mark.on(work)).catch_unwind().await;
    match work.unwrap_or_else(|panic| Err(Error::panicked(&*panic))) {
        Ok((answer, settings, format)) => {
            Ok(Running::new(guard, settings, answer.schema, format, answer.streaming, answer.items))
        }
        Err(e) => {
            let e = guard.info.told(e);
            guard.note_error(&e);
            Err(e)
        }
    }
}

/// A query that goes on runs under the id that it had.
fn recovered_id(text: &str) -> Option<String> {
    let start = text.trim_start();
    if !start.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("recover")) {
        return None;
    }
    match hydron_sql::parse_statement(text).ok()?.statement.kind {
        StatementKind::RecoverFrom(id) => Some(id),
        _ => None,
    }
}

/// The text up to the first byte that is not UTF-8: data of an INSERT may follow the statement.
fn utf8_part(text: &Bytes) -> &str {
    match std::str::from_utf8(text) {
        Ok(all) => all,
        Err(e) => std::str::from_utf8(&text[..e.valid_up_to()]).unwrap_or_default(),
    }
}

type Ran = (Answer, Arc<Settings>, Option<String>);

async fn run(
    engine: &Arc<Inner>,
    session: &mut Session,
    text: &Bytes,
    utf8: &str,
    input: Input,
    options: &QueryOptions,
    guard: &mut QueryGuard,
) -> Result<Ran> {
    guard.info.set_phase(Phase::Parse);
    refuse::quarantined(utf8)?;
    let parsed = parse(engine, utf8).await?;
    guard.info.set_phase(Phase::Plan);
    let insert_data = parsed.insert_data;
    let end = insert_data.unwrap_or(parsed.end);
    if end > QUERY_BYTES_MAX {
        let message = format!("query text has {end} bytes, the limit is {QUERY_BYTES_MAX}");
        return Err(Error::new(Code::SYNTAX_ERROR, message));
    }
    if insert_data.is_none() && !utf8[parsed.end..].trim().is_empty() {
        let rest = utf8[parsed.end..].trim();
        let near: String = rest.chars().take(40).collect();
        let position = hydron_base::Position::in_text(utf8, utf8.len() - utf8[parsed.end..].trim_start().len());
        let message = format!("one statement was expected, another one follows: {near}");
        return Err(Error::new(Code::SYNTAX_ERROR, message).at(position).hint("send one statement at a time"));
    }
    if insert_data.is_none() && utf8.len() < text.len() {
        return Err(Error::new(Code::SYNTAX_ERROR, format!("query text is not UTF-8 at byte {}", utf8.len())));
    }
    let statement = parsed.statement;

    let changes = *engine.access_changes.borrow();
    let access = engine.access.enabled(&session.user, session.roles.as_deref());
    if let Some(meter) =
        Meter::of(&engine.access, &access, &engine.options.clock, &options.client_address, &options.quota_key)?
    {
        let meter = guard.info.quota.get_or_init(|| meter);
        meter.begin(kind_name(&statement.kind))?;
    }
    let mut settings = engine.profile.clone();
    settings.overlay(&access.settings);
    settings.overlay(&session.profile);
    let before = (!access.constraints.is_empty()).then(|| settings.clone());
    let profile_readonly = settings.uint("readonly");
    check_profile(profile_readonly, &session.settings)?;
    settings.overlay(&session.settings);
    check_profile(profile_readonly, &options.settings)?;
    settings.overlay(&options.settings);
    if profile_readonly == 1 {
        settings.set("readonly", "1")?;
    }
    let fixed = (profile_readonly == 1).then(|| settings.clone());
    // What a front end has found, for a GET, the statement cannot lift either.
    let readonly = settings.uint("readonly");
    apply_settings(&mut settings, &statement.output.settings, Some(utf8))?;
    match &statement.kind {
        StatementKind::Insert(insert) => {
            apply_settings(&mut settings, &insert.settings, Some(utf8))?;
            if let InsertSource::Select(query) = &insert.source {
                settings = query_settings(query, &settings, Some(utf8))?;
                // What the INSERT says of itself counts more than what its SELECT says.
                apply_settings(&mut settings, &insert.settings, Some(utf8))?;
            }
        }
        StatementKind::CreateStream(create) => {
            if let Some(CreateSource::Select(query)) = &create.source {
                settings = query_settings(query, &settings, Some(utf8))?;
            }
        }
        StatementKind::Query(query) | StatementKind::SubscribeTo(query) => {
            settings = query_settings(query, &settings, Some(utf8))?;
        }
        _ => {}
    }
    if readonly > 0 && settings.uint("readonly") != readonly {
        return Err(readonly_error("readonly"));
    }
    if let Some(fixed) = fixed
        && let Some((name, _)) = settings.changed().find(|(n, v)| fixed.text(n) != *v && !OF_FRONT_ENDS.contains(n))
    {
        return Err(readonly_error(name));
    }
    if let Some(before) = before {
        access.constraints.check(&before, &settings)?;
    }
    let format = match &statement.kind {
        StatementKind::Insert(insert) => match &insert.source {
            InsertSource::Format(format) => Some(format.as_str()),
            _ => None,
        },
        _ => statement.output.format.as_deref(),
    };
    let settings = format_schema::with_source(engine, Arc::new(settings), format).await?;
    *guard.info.settings.lock() = Arc::clone(&settings);
    *guard.info.kind.lock() = kind_name(&statement.kind);
    guard.info.set_loss(loss(&statement.kind));
    guard.info.set_memory(Budget::query(&engine.memory, settings.uint("max_memory_usage")));
    if let Some(place) = &guard.info.place {
        place.set_settings(&settings);
    }
    refuse::in_safe_mode(&statement.kind)?;
    check_readonly(&statement.kind, &settings)?;
    if let Some(outfile) = &statement.output.outfile {
        let message =
            format!("INTO OUTFILE '{}' is for the client, the server writes no files of its own", outfile.path);
        return Err(Error::new(Code::INTO_OUTFILE_NOT_ALLOWED, message));
    }
    if let Some(format) = &statement.output.format
        && !hydron_format::registry::is_known(format)
    {
        let message = format!("format {format} is unknown");
        return Err(Error::new(Code::UNKNOWN_FORMAT, message).hint("TabSeparated, CSV, JSONEachRow, Pretty, …"));
    }
    let cx = Context {
        engine: Arc::clone(engine),
        user: Arc::clone(&session.user),
        reader: Reader::of(&access, session.roles.clone()),
        access,
        database: Arc::clone(&session.database),
        settings: Arc::clone(&settings),
        now: engine.options.clock.now(),
        format: statement.output.format.clone(),
        info: Arc::clone(&guard.info),
        temporary: session.temporary.clone(),
    };
    permit::statement(&cx, &statement.kind)?;
    // A statement that changes users may well drop its own.
    if matches!(statement.kind, StatementKind::Query(_) | StatementKind::Insert(_) | StatementKind::SubscribeTo(_)) {
        cx.info.grounds.user(&cx.reader);
    }
    let data = insert_data.map(|at| text.slice(at..));
    let answer = dispatch(cx, session, statement, data, input).await?;
    if *engine.access_changes.borrow() != changes {
        // Rights have changed while it began: some of what it was let in with may be older.
        guard.info.grounds.check(&engine.access)?;
    }
    Ok((answer.0, settings, answer.1))
}

/// Parses on this thread when the text is short, on a computing thread when it is long.
async fn parse(engine: &Arc<Inner>, text: &str) -> Result<hydron_sql::Parsed> {
    const SHORT_BYTES: usize = 16 << 10;
    if text.len() <= SHORT_BYTES {
        return hydron_sql::parse_statement(text);
    }
    let text = text.to_string();
    blocking(engine, move || hydron_sql::parse_statement(&text)).await
}

/// Runs `work` on a thread that may block and has a deep stack. A panic in it is a LOGICAL_ERROR of this query.
pub(crate) async fn blocking<T: Send + 'static>(
    engine: &Arc<Inner>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (mark, place) = (Mark::current(), Place::of_current());
    let work = move || {
        let _entered = mark.enter();
        // Dropping the future that waits does not stop the work: until its end the place is this query's.
        let _place = place;
        work()
    };
    match engine.cpu.handle().spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) if e.is_panic() => Err(Error::panicked(&*e.into_panic())),
        Err(_) => Err(crate::query::stopping()),
    }
}

async fn dispatch(
    cx: Context,
    session: &mut Session,
    statement: Statement,
    data: Option<Bytes>,
    input: Input,
) -> Result<(Answer, Option<String>)> {
    use StatementKind as S;
    let format = cx.format.clone();
    let answer = match statement.kind {
        S::Query(query) => subscribe::by_mode(cx, *query).await?,
        S::Insert(insert) => insert::run(cx, *insert, data, input).await?,
        S::CreateStream(create) => create::run(cx, *create).await?,
        S::CreateView(create) => view::run(cx, *create).await?,
        S::CreateDatabase(create) => database::run(cx, *create).await?,
        S::CreateFunction(create) => function::run(cx, *create).await?,
        S::Drop(drop) => match (drop.verb, drop.object) {
            (DropVerb::Drop, DropObject::Database) => database::drop(cx, drop).await?,
            (DropVerb::Drop, DropObject::Function) => function::drop(cx, drop).await?,
            (DropVerb::Drop, DropObject::FormatSchema) => format_schema::drop(cx, drop).await?,
            (DropVerb::Drop, DropObject::Dictionary) => dictionary::drop(cx, drop).await?,
            _ => remove::run(cx, drop).await?,
        },
        S::Rename(rename) => rename::run(cx, rename).await?,
        S::Exists(exists) => show::exists(cx, exists)?,
        S::Show(show) => show::run(cx, *show).await?,
        S::Describe(describe) => show::describe(cx, describe).await?,
        S::Explain(explain) => explain::run(cx, *explain).await?,
        S::Use(database) => set::use_database(cx, session, &database)?,
        S::Set(list) => set::set(&cx, session, &list)?,
        S::Kill(kill) => kill::run(cx, kill).await?,
        S::System(system) => system::run(cx, system).await?,
        S::Optimize(optimize) => remove::optimize(cx, optimize).await?,
        S::SetRole(set) => access::set_role(cx, session, set).await?,
        S::CreateMaterializedView(create) => materialized::run(cx, *create).await?,
        S::CreateDictionary(create) => dictionary::create(cx, *create).await?,
        S::CreateFormatSchema(create) => format_schema::run(cx, *create).await?,
        S::Alter(alter) => alter::run(cx, *alter).await?,
        S::Check { name, partition } => check::run(cx, name, partition).await?,
        S::SubscribeTo(query) => subscribe::subscribe(cx, *query).await?,
        S::RecoverFrom(id) => subscribe::recover(cx, &id).await?,
        S::UnsubscribeTo(id) => subscribe::unsubscribe(cx, &id).await?,
        S::Access(entity) => access::entity(cx, *entity).await?,
        S::DropAccess(drop) => access::drop(cx, drop).await?,
        S::Grant(grant) => access::grant(cx, *grant).await?,
        S::Transaction(word) => return Err(Error::not_implemented(word)),
        S::Other(other) => return Err(Error::not_implemented(other.name)),
    };
    Ok((answer, format))
}

fn kind_name(kind: &StatementKind) -> &'static str {
    use StatementKind as S;
    match kind {
        S::Query(_) => "Select",
        S::Insert(_) => "Insert",
        S::CreateStream(_) | S::CreateView(_) | S::CreateMaterializedView(_) | S::CreateDatabase(_) => "Create",
        S::CreateDictionary(_) | S::CreateFunction(_) | S::CreateFormatSchema(_) => "Create",
        S::Drop(_) => "Drop",
        S::Alter(_) => "Alter",
        S::Rename(_) => "Rename",
        S::Show(_) | S::Exists(_) => "Show",
        S::Describe(_) => "Describe",
        S::Explain(_) => "Explain",
        S::Use(_) => "Use",
        S::Set(_) => "Set",
        S::Kill(_) => "KillQuery",
        S::System(_) => "System",
        S::SubscribeTo(_) => "Subscribe",
        S::RecoverFrom(_) => "Recover",
        S::UnsubscribeTo(_) => "Unsubscribe",
        S::Access(entity) if entity.alter => "Alter",
        S::Access(_) => "Create",
        S::DropAccess(_) => "Drop",
        S::Grant(grant) if grant.revoke => "Revoke",
        S::Grant(_) => "Grant",
        _ => "Other",
    }
}

/// What the client of a statement loses when the server dies.
fn loss(kind: &StatementKind) -> Kind {
    use StatementKind as S;
    match kind {
        S::Query(_) | S::Show(_) | S::Exists(_) | S::Describe(_) | S::Explain(_) => Kind::Read,
        S::SubscribeTo(_) | S::RecoverFrom(_) => Kind::Read,
        S::Insert(_) => Kind::Insert,
        _ => Kind::Other,
    }
}

/// Settings that a front end makes of its own: a session with `readonly = 1` has them too.
const OF_FRONT_ENDS: &[&str] = &["readonly", "query_mode", "default_format", "session_timezone"];

/// Errors: READONLY when `changed` lifts the `readonly` of a user's profile, or changes a setting where that is 1.
fn check_profile(profile_readonly: u64, changed: &Settings) -> Result<()> {
    if profile_readonly > 0 && changed.is_changed("readonly") && changed.uint("readonly") == 0 {
        return Err(readonly_error("readonly"));
    }
    let may_change = |name: &str| OF_FRONT_ENDS.contains(&name) || name.starts_with("param_");
    match changed.changed().find(|(name, _)| !may_change(name)) {
        Some((name, _)) if profile_readonly == 1 => Err(readonly_error(name)),
        _ => Ok(()),
    }
}

fn readonly_error(setting: &str) -> Error {
    Error::new(Code::READONLY, format!("setting {setting} cannot be changed in readonly mode"))
}

/// Errors: READONLY when the statement writes and `readonly` is 1, or changes settings and it is 1.
fn check_readonly(kind: &StatementKind, settings: &Settings) -> Result<()> {
    use StatementKind as S;
    let level = settings.uint("readonly");
    let reads = matches!(
        kind,
        S::Query(_)
            | S::Show(_)
            | S::Exists(_)
            | S::Describe(_)
            | S::Explain(_)
            | S::Use(_)
            | S::SubscribeTo(_)
            | S::RecoverFrom(_)
            | S::SetRole(SetRole { to: None, .. })
    );
    if reads || (level == 2 && matches!(kind, S::Set(_))) {
        return Ok(());
    }
    if level > 0 {
        let message = format!("{} is not permitted in readonly mode", kind_name(kind));
        return Err(Error::new(Code::READONLY, message).hint("POST instead of GET, or readonly = 0"));
    }
    let is_ddl = !matches!(kind, S::Insert(_) | S::Set(_) | S::Kill(_) | S::System(_) | S::UnsubscribeTo(_));
    if is_ddl && !settings.bool("allow_ddl") {
        return Err(Error::new(Code::QUERY_IS_PROHIBITED, "DDL is not permitted: allow_ddl is 0"));
    }
    Ok(())
}

impl Context {
    /// The catalog as it is now, for one binding.
    pub fn lookup(&self) -> Lookup {
        Lookup {
            engine: Arc::clone(&self.engine),
            state: self.catalog(),
            database: Arc::clone(&self.database),
            user: Arc::clone(&self.user),
            settings: Arc::clone(&self.settings),
            memory: self.info.memory(),
            given: Arc::clone(&self.info.given),
            access: Arc::clone(&self.access),
            reader: self.reader.clone(),
            grounds: Arc::clone(&self.info.grounds),
            reads: Arc::default(),
            temporary: self.temporary.clone(),
        }
    }

    /// The catalog as the session sees it now.
    pub fn catalog(&self) -> Arc<CatalogState> {
        self.temporary.over(self.engine.catalog.snapshot())
    }

    pub fn bind_context(&self, streaming: bool) -> BindContext {
        BindContext {
            zone: zone(&self.settings),
            settings: Arc::clone(&self.settings),
            database: Arc::clone(&self.database),
            user: Arc::clone(&self.user),
            streaming,
            traps: self.engine.options.allow_trap,
            server: Some(facts::ServerView::facts_with(
                &self.engine,
                &self.info.query_id,
                &self.database,
                Arc::clone(&self.info.scalars),
            )),
            identity: Arc::new(access::identity(&self.access)),
            stop: self.stop(),
            memory: self.info.memory(),
        }
    }

    /// Set when the statement has ended, whatever ended it.
    pub fn stop(&self) -> Stop {
        let cancel = self.info.cancel.clone();
        Stop::when(move || cancel.is_cancelled())
    }

    pub fn eval_context(&self) -> EvalContext {
        EvalContext { now: self.now, zone: zone(&self.settings), seed: rand::random(), batch: 0 }
    }

    /// The statement's text, unless only its beginning was kept, or not its secrets.
    pub fn text(&self) -> Option<&str> {
        let is_original = self.info.text.len() < crate::query::QUERY_TEXT_MAX && self.info.secrets.is_empty();
        is_original.then_some(&*self.info.text)
    }

    /// The error with the place of `span` in the statement's text, unless a deeper room has named one.
    pub fn place(&self, error: Error, span: Span) -> Error {
        match self.text() {
            Some(text) if span.end > 0 => error.at(span.position(text)),
            _ => error,
        }
    }

    /// Database and name that `name` means in this session, whose own streams come first.
    pub fn full_name(&self, name: &ObjectName) -> (Arc<str>, Arc<str>) {
        // A parameter that is not set is a name that no object has.
        let value = |part: &str| match ObjectName::parameter(part) {
            Some(parameter) => Arc::from(self.settings.text(&format!("param_{parameter}"))),
            None => Arc::from(part),
        };
        let stream: Arc<str> = value(&name.name);
        let database = match name.database.as_deref() {
            Some(database) => value(database),
            None if self.temporary.get(&stream).is_some() => Arc::from(temporary::DATABASE),
            None => Arc::clone(&self.database),
        };
        (database, stream)
    }
}

/// The session's zone; UTC unless `session_timezone` names another one that exists.
pub(crate) fn zone(settings: &Settings) -> Zone {
    match settings.text("session_timezone") {
        "" => Zone::UTC,
        name => Zone::parse(name).unwrap_or(Zone::UTC),
    }
}
