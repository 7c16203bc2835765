//! SHOW in all its kinds.

use super::cursor::{PResult, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

/// Lists that have no filter, longer names first.
const LISTS: [&str; 20] = [
    "USERS",
    "CURRENT ROLES",
    "ENABLED ROLES",
    "ROLES",
    "SETTINGS PROFILES",
    "PROFILES",
    "CURRENT QUOTA",
    "QUOTAS",
    "QUOTA",
    "ROW POLICIES",
    "POLICIES",
    "ACCESS",
    "PRIVILEGES",
    "TASKS",
    "ALERTS",
    "MERGES",
    "ENGINES",
    "DISKS",
    "NAMED COLLECTIONS",
    "INPUTS",
];

impl Parser<'_> {
    #[inline(never)]
    pub(super) fn show(&mut self) -> PResult<StatementKind> {
        self.advance();
        Ok(StatementKind::Show(Box::new(self.show_kind()?)))
    }

    fn show_kind(&mut self) -> PResult<Show> {
        if self.eat_kw("CREATE") {
            return self.show_create();
        }
        if self.eat_any(&["DATABASES", "SCHEMAS"]).is_some() {
            return Ok(Show::Databases(self.show_filter()?));
        }
        if self.eat_kw("CHANGED SETTINGS") {
            return Ok(Show::Settings { changed: true, filter: self.show_filter()? });
        }
        if self.is_kw("SETTINGS PROFILES") {
            return self.show_list();
        }
        if self.eat_kw("SETTINGS") {
            let changed = self.eat_kw("CHANGED");
            return Ok(Show::Settings { changed, filter: self.show_filter()? });
        }
        if self.eat_kw("CLUSTERS") {
            return Ok(Show::Clusters(self.show_filter()?));
        }
        if self.eat_kw("CLUSTER") {
            return Ok(Show::Cluster(self.name_or_string()?));
        }
        if self.eat_kw("PROCESSLIST") {
            return Ok(Show::ProcessList);
        }
        if self.eat_kw("FUNCTIONS") {
            return Ok(Show::Functions(self.show_filter()?));
        }
        if self.eat_kw("FORMAT SCHEMAS") {
            let ty = if self.eat_kw("TYPE") { Some(self.name_or_string()?) } else { None };
            return Ok(Show::FormatSchemas { ty });
        }
        if self.eat_kw("DICTIONARIES") {
            let from = self.show_from()?;
            return Ok(Show::Dictionaries { from, filter: self.show_filter()? });
        }
        if self.eat_kw("GRANTS") {
            let of = if self.eat_kw("FOR") { Some(self.role_set()?) } else { None };
            return Ok(Show::Grants { of });
        }
        let temporary = self.eat_kw("TEMPORARY");
        let full = self.eat_kw("FULL");
        if self.eat_any(&["STREAMS", "TABLES", "VIEWS"]).is_some() {
            let from = self.show_from()?;
            return Ok(Show::Streams { temporary, full, from, filter: self.show_filter()? });
        }
        if temporary || full {
            return Err(self.unexpected("STREAMS"));
        }
        self.show_list()
    }

    fn show_list(&mut self) -> PResult<Show> {
        let Some(what) = self.eat_any(&LISTS) else { return Err(self.unexpected("STREAMS")) };
        let on = if self.eat_kw("ON") { Some(self.object_name()?) } else { None };
        Ok(Show::List { what: what.to_owned(), on })
    }

    fn show_from(&mut self) -> PResult<Option<String>> {
        if self.eat_kw("FROM") || self.eat_kw("IN") { Ok(Some(self.name()?)) } else { Ok(None) }
    }

    fn show_filter(&mut self) -> PResult<ShowFilter> {
        let mut filter = ShowFilter::default();
        if let Some(word) = self.eat_any(&["NOT LIKE", "NOT ILIKE", "LIKE", "ILIKE"]) {
            let pattern = self.string()?;
            let (not, case_insensitive) = (word.starts_with("NOT"), word.ends_with("ILIKE"));
            filter.like = Some(LikePattern { not, case_insensitive, pattern });
        } else if self.eat_kw("WHERE") {
            filter.filter = Some(self.expr()?);
        }
        if self.eat_kw("LIMIT") {
            filter.limit = Some(self.expr()?);
        }
        Ok(filter)
    }

    fn show_create(&mut self) -> PResult<Show> {
        if self.eat_kw("FORMAT SCHEMA") {
            let name = self.name_or_string()?;
            let ty = if self.eat_kw("TYPE") { Some(self.name_or_string()?) } else { None };
            return Ok(Show::CreateFormatSchema { name, ty });
        }
        if self.is_kw("FUNCTION") && matches!(self.kind_ahead(1), TokenKind::Word | TokenKind::Quoted) {
            self.advance();
            return Ok(Show::CreateFunction(self.name()?));
        }
        let at_access = matches!(self.kind_ahead(1), TokenKind::Word | TokenKind::Quoted | TokenKind::String);
        if at_access && let Some(kind) = self.access_kind() {
            let names = self.list(|p| p.access_name(kind))?;
            return Ok(Show::CreateAccess { kind, names });
        }
        let temporary = self.eat_kw("TEMPORARY");
        let object = self.show_object();
        Ok(Show::Create { object, temporary, name: self.object_name()? })
    }
}
