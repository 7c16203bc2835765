//! Users, roles, quotas, row policies, settings profiles; GRANT and REVOKE.

use super::cursor::{PResult, Parser};
use crate::ast::*;
use crate::lexer::TokenKind;

/// Words that end the name of a privilege.
const PRIVILEGE_END: [&str; 3] = ["ON", "TO", "FROM"];

impl Parser<'_> {
    /// Takes USER, ROLE, QUOTA, [ROW] POLICY or [SETTINGS] PROFILE.
    pub(super) fn access_kind(&mut self) -> Option<AccessKind> {
        let found = self.eat_any(&["USER", "ROLE", "QUOTA", "ROW POLICY", "POLICY", "SETTINGS PROFILE", "PROFILE"])?;
        Some(match found {
            "USER" => AccessKind::User,
            "ROLE" => AccessKind::Role,
            "QUOTA" => AccessKind::Quota,
            "ROW POLICY" | "POLICY" => AccessKind::RowPolicy,
            _ => AccessKind::SettingsProfile,
        })
    }

    #[inline(never)]
    pub(super) fn access_entity(&mut self, kind: AccessKind, alter: bool, or_replace: bool) -> PResult<StatementKind> {
        let if_clause = if alter { self.eat_kw("IF EXISTS") } else { self.if_not_exists() };
        let or_replace = or_replace || (!alter && self.eat_kw("OR REPLACE"));
        let names = self.list(|p| p.access_name(kind))?;
        let mut entity = Box::new(AccessEntity {
            kind,
            alter,
            or_replace,
            if_clause,
            names,
            on_cluster: self.on_cluster()?,
            rename_to: None,
            auth: None,
            hosts: Vec::new(),
            default_roles: None,
            default_database: None,
            grantees: None,
            settings: None,
            quota: None,
            policy: None,
            to: None,
        });
        while self.access_clause(&mut entity)? {}
        Ok(StatementKind::Access(entity))
    }

    fn access_clause(&mut self, entity: &mut AccessEntity) -> PResult<bool> {
        if entity.alter && entity.rename_to.is_none() && self.eat_kw("RENAME TO") {
            let name = self.access_name(entity.kind)?;
            entity.rename_to = Some(match name.host {
                Some(host) => format!("{}@{host}", name.name),
                None => name.name,
            });
            return Ok(true);
        }
        if entity.kind == AccessKind::User && self.user_clause(entity)? {
            return Ok(true);
        }
        if entity.kind == AccessKind::Quota && self.quota_clause(entity)? {
            return Ok(true);
        }
        if entity.kind == AccessKind::RowPolicy && self.policy_clause(entity)? {
            return Ok(true);
        }
        let profile = matches!(entity.kind, AccessKind::User | AccessKind::Role | AccessKind::SettingsProfile);
        if profile && entity.settings.is_none() && self.eat_any(&["SETTINGS", "SETTING"]).is_some() {
            entity.settings = Some(self.list(|p| p.profile_element())?);
            return Ok(true);
        }
        let assigned = matches!(entity.kind, AccessKind::Quota | AccessKind::RowPolicy | AccessKind::SettingsProfile);
        if assigned && entity.to.is_none() && self.eat_kw("TO") {
            entity.to = Some(self.role_set()?);
            return Ok(true);
        }
        Ok(false)
    }

    fn user_clause(&mut self, user: &mut AccessEntity) -> PResult<bool> {
        if user.auth.is_none() && self.eat_kw("NOT IDENTIFIED") {
            user.auth = Some(Auth::NotIdentified);
        } else if user.auth.is_none() && self.eat_kw("IDENTIFIED") {
            user.auth = Some(self.identified()?);
        } else if let Some(words) = self.eat_any(&["ADD HOST", "DROP HOST", "HOST"]) {
            let action = match words {
                "ADD HOST" => HostAction::Add,
                "DROP HOST" => HostAction::Drop,
                _ => HostAction::Set,
            };
            let hosts = self.hosts()?;
            match user.hosts.iter_mut().find(|rule| rule.action == action) {
                Some(rule) => rule.hosts.extend(hosts),
                None => user.hosts.push(HostRule { action, hosts }),
            }
        } else if user.default_roles.is_none() && self.eat_kw("DEFAULT ROLE") {
            user.default_roles = Some(self.role_set()?);
        } else if user.default_database.is_none() && self.eat_kw("DEFAULT DATABASE") {
            user.default_database = Some(if self.eat_kw("NONE") { String::new() } else { self.name()? });
        } else if user.grantees.is_none() && self.eat_kw("GRANTEES") {
            user.grantees = Some(self.role_set()?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn identified(&mut self) -> PResult<Auth> {
        let (mut method, mut by, mut salt, mut server, mut realm) = (None, None, None, None, None);
        if self.eat_kw("WITH") {
            method = Some(self.name()?.to_ascii_lowercase());
        }
        loop {
            if by.is_none() && self.eat_kw("BY") {
                by = Some(self.string()?);
            } else if salt.is_none() && self.eat_kw("SALT") {
                salt = Some(self.string()?);
            } else if server.is_none() && self.eat_kw("SERVER") {
                server = Some(self.string()?);
            } else if realm.is_none() && self.eat_kw("REALM") {
                realm = Some(self.string()?);
            } else {
                break;
            }
        }
        let password =
            matches!(method.as_deref(), None | Some("plaintext_password" | "sha256_password" | "double_sha1_password"));
        if password && by.is_none() {
            return Err(self.unexpected("BY"));
        }
        Ok(Auth::Identified { method, by, salt, server, realm })
    }

    /// `HOST NAME 'a', 'b', REGEXP 'c', LOCAL`: a string alone continues the kind before it.
    fn hosts(&mut self) -> PResult<Vec<Host>> {
        let mut hosts = Vec::new();
        let mut make: Option<fn(String) -> Host> = None;
        loop {
            match self.eat_any(&["ANY", "NONE", "LOCAL", "NAME REGEXP", "NAME", "REGEXP", "IP", "LIKE"]) {
                Some("ANY") => hosts.push(Host::Any),
                Some("NONE") => hosts.push(Host::None),
                Some("LOCAL") => hosts.push(Host::Local),
                Some("NAME") => make = Some(Host::Name),
                Some("NAME REGEXP" | "REGEXP") => make = Some(Host::Regexp),
                Some("IP") => make = Some(Host::Ip),
                Some(_) => make = Some(Host::Like),
                None if !self.at_string() => return Err(self.unexpected("ANY")),
                None => {}
            }
            if self.at_string() {
                let Some(make) = make else { return Err(self.unexpected("NAME")) };
                hosts.push(make(self.string()?));
            }
            if !self.eat(TokenKind::Comma) {
                return Ok(hosts);
            }
        }
    }

    fn profile_element(&mut self) -> PResult<ProfileElement> {
        if self.eat_kw("NONE") {
            return Ok(ProfileElement::None);
        }
        if (self.is_word(0, "PROFILE") || self.is_word(0, "INHERIT")) && self.kind_ahead(1) != TokenKind::Equals {
            self.advance();
            return Ok(ProfileElement::Inherit(self.name_or_string()?));
        }
        let name = self.name()?;
        let (mut value, mut min, mut max, mut writability) = (None, None, None, None);
        loop {
            if value.is_none() && self.eat(TokenKind::Equals) {
                value = Some(self.setting_value()?);
            } else if min.is_none() && self.eat_kw("MIN") {
                self.eat(TokenKind::Equals);
                min = Some(self.setting_value()?);
            } else if max.is_none() && self.eat_kw("MAX") {
                self.eat(TokenKind::Equals);
                max = Some(self.setting_value()?);
            } else if writability.is_none()
                && let Some(word) = self.eat_any(&["READONLY", "CONST", "WRITABLE", "CHANGEABLE_IN_READONLY"])
            {
                writability = Some(word.to_owned());
            } else {
                break;
            }
        }
        if value.is_none() && min.is_none() && max.is_none() && writability.is_none() {
            return Err(self.unexpected("="));
        }
        Ok(ProfileElement::Setting { name, value, min, max, writability })
    }

    fn quota_clause(&mut self, entity: &mut AccessEntity) -> PResult<bool> {
        if self.eat_kw("NOT KEYED") {
            entity.quota.get_or_insert_with(Quota::default).keyed_by = Some(Vec::new());
        } else if self.eat_any(&["KEYED BY", "KEY BY"]).is_some() {
            let keys = self.list(|p| p.name_or_string())?;
            entity.quota.get_or_insert_with(Quota::default).keyed_by = Some(keys);
        } else if self.eat_kw("FOR") {
            let intervals = self.list(|p| {
                p.eat_kw("FOR");
                p.quota_interval()
            })?;
            entity.quota.get_or_insert_with(Quota::default).intervals.extend(intervals);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn quota_interval(&mut self) -> PResult<QuotaInterval> {
        let randomized = self.eat_kw("RANDOMIZED");
        self.eat_kw("INTERVAL");
        let number = self.expr_above(super::expr::NEGATE)?;
        let Some(unit) = self.unit()? else { return Err(self.unexpected("interval unit")) };
        let limits = if self.eat_kw("NO LIMITS") {
            QuotaLimits::None
        } else if self.eat_kw("TRACKING ONLY") {
            QuotaLimits::TrackingOnly
        } else {
            self.need_kw("MAX")?;
            let mut limits = vec![self.quota_limit()?];
            while self.at(TokenKind::Comma) && !self.is_word(1, "FOR") && !self.is_word(1, "INTERVAL") {
                self.advance();
                self.eat_kw("MAX");
                limits.push(self.quota_limit()?);
            }
            QuotaLimits::Max(limits)
        };
        Ok(QuotaInterval { randomized, number, unit: unit.to_owned(), limits })
    }

    fn quota_limit(&mut self) -> PResult<(String, Expr)> {
        let name = self.name()?.to_ascii_lowercase();
        self.eat(TokenKind::Equals);
        Ok((name, self.expr_above(super::expr::NEGATE)?))
    }

    fn policy_clause(&mut self, entity: &mut AccessEntity) -> PResult<bool> {
        let policy = entity.policy.get_or_insert_with(RowPolicy::default);
        if policy.restrictive.is_none() && self.eat_kw("AS") {
            policy.restrictive = Some(match self.eat_any(&["PERMISSIVE", "RESTRICTIVE"]) {
                Some(word) => word == "RESTRICTIVE",
                None => return Err(self.unexpected("PERMISSIVE")),
            });
        } else if !policy.for_select && self.eat_kw("FOR SELECT") {
            policy.for_select = true;
        } else if policy.using.is_none() && self.eat_kw("USING") {
            policy.using = Some(if self.eat_kw("NONE") { None } else { Some(self.expr()?) });
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// The name of an entity: `user@host`, or `policy ON db.stream, …`.
    pub(super) fn access_name(&mut self, kind: AccessKind) -> PResult<AccessName> {
        let mut name = AccessName { name: self.name_or_string()?, ..AccessName::default() };
        if matches!(kind, AccessKind::User | AccessKind::Role) && self.eat(TokenKind::At) {
            name.host = Some(self.name_or_string()?);
        }
        if kind == AccessKind::RowPolicy && self.eat_kw("ON") {
            name.on = self.list(|p| p.object_or_star())?;
        }
        Ok(name)
    }

    /// `db.stream`, `db.*`; the star is an empty name.
    fn object_or_star(&mut self) -> PResult<ObjectName> {
        if self.at_name() && self.kind_ahead(1) == TokenKind::Dot && self.kind_ahead(2) == TokenKind::Star {
            let database = Some(self.name()?);
            self.advance();
            self.advance();
            return Ok(ObjectName { database, name: String::new(), span: Span::default() });
        }
        self.object_name()
    }

    pub(super) fn drop_access(&mut self, kind: AccessKind) -> PResult<StatementKind> {
        let if_exists = self.eat_kw("IF EXISTS");
        let names = self.list(|p| p.access_name(kind))?;
        let on_cluster = self.on_cluster()?;
        Ok(StatementKind::DropAccess(DropAccess { kind, if_exists, names, on_cluster }))
    }

    /// `ALL [EXCEPT a]`, `NONE`, `ANY`, `CURRENT_USER`, names.
    pub(super) fn role_set(&mut self) -> PResult<RoleSet> {
        let mut set = RoleSet::default();
        loop {
            if self.eat_kw("ALL") {
                set.all = true;
            } else if self.eat_kw("ANY") {
                set.any = true;
            } else if self.eat_kw("NONE") {
                set.none = true;
            } else if self.eat_kw("CURRENT_USER") {
                set.current_user = true;
            } else {
                set.names.push(self.role_name()?);
            }
            if !self.eat(TokenKind::Comma) {
                break;
            }
        }
        if self.eat_kw("EXCEPT") {
            loop {
                if self.eat_kw("CURRENT_USER") {
                    set.except_current_user = true;
                } else {
                    set.except.push(self.role_name()?);
                }
                if !self.eat(TokenKind::Comma) {
                    break;
                }
            }
        }
        Ok(set)
    }

    fn role_name(&mut self) -> PResult<String> {
        let name = self.name_or_string()?;
        if self.eat(TokenKind::At) { Ok(format!("{name}@{}", self.name_or_string()?)) } else { Ok(name) }
    }

    #[inline(never)]
    pub(super) fn grant(&mut self) -> PResult<StatementKind> {
        let revoke = self.eat_any(&["GRANT", "REVOKE"]) == Some("REVOKE");
        let on_cluster = self.on_cluster()?;
        let mut grant_option = revoke && self.eat_kw("GRANT OPTION FOR");
        let mut admin_option = revoke && self.eat_kw("ADMIN OPTION FOR");
        let what = self.grant_what()?;
        self.need_kw(if revoke { "FROM" } else { "TO" })?;
        let to = self.role_set()?;
        let mut replace = false;
        if !revoke {
            loop {
                if self.eat_kw("WITH GRANT OPTION") {
                    grant_option = true;
                } else if self.eat_kw("WITH ADMIN OPTION") {
                    admin_option = true;
                } else if self.eat_kw("WITH REPLACE OPTION") {
                    replace = true;
                } else {
                    break;
                }
            }
        }
        Ok(StatementKind::Grant(Box::new(Grant { revoke, on_cluster, what, to, grant_option, admin_option, replace })))
    }

    /// Privileges have an ON before the TO or FROM, roles do not.
    fn grant_what(&mut self) -> PResult<GrantWhat> {
        let mut ahead = 0;
        loop {
            if self.is_word(ahead, "ON") {
                return Ok(GrantWhat::Privileges(self.grant_elements()?));
            }
            let ends = self.is_word(ahead, "TO") || self.is_word(ahead, "FROM");
            if ends || matches!(self.kind_ahead(ahead), TokenKind::End | TokenKind::Semicolon) {
                return Ok(GrantWhat::Roles(self.role_set()?));
            }
            ahead += 1;
        }
    }

    fn grant_elements(&mut self) -> PResult<Vec<GrantElement>> {
        self.list(|p| {
            let privileges = p.list(|p| p.privilege())?;
            p.need_kw("ON")?;
            Ok(GrantElement { privileges, on: p.grant_object()? })
        })
    }

    fn privilege(&mut self) -> PResult<Privilege> {
        let mut words = Vec::new();
        while self.at(TokenKind::Word) && !PRIVILEGE_END.iter().any(|w| self.is_word(0, w)) {
            let token = self.advance();
            words.push(self.str_of(token).to_ascii_uppercase());
        }
        if words.is_empty() {
            return Err(self.unexpected("privilege"));
        }
        let columns = if self.at(TokenKind::LParen) { self.parens(|p| p.name())? } else { Vec::new() };
        Ok(Privilege { name: words.join(" "), columns })
    }

    fn grant_object(&mut self) -> PResult<GrantObject> {
        if self.eat(TokenKind::Star) {
            if self.eat(TokenKind::Dot) {
                self.need(TokenKind::Star)?;
                return Ok(GrantObject { database: GrantDatabase::Any, stream: None });
            }
            return Ok(GrantObject { database: GrantDatabase::Current, stream: None });
        }
        let name = self.object_or_star()?;
        let stream = Some(name.name).filter(|n| !n.is_empty());
        let database = name.database.map_or(GrantDatabase::Current, GrantDatabase::Named);
        Ok(GrantObject { database, stream })
    }
}
