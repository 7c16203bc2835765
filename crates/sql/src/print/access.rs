//! Access control statements.

use super::Printer;
use crate::ast::*;

impl Printer {
    fn access_kind(&mut self, kind: AccessKind) {
        self.put(match kind {
            AccessKind::User => "USER ",
            AccessKind::Role => "ROLE ",
            AccessKind::Quota => "QUOTA ",
            AccessKind::RowPolicy => "ROW POLICY ",
            AccessKind::SettingsProfile => "SETTINGS PROFILE ",
        });
    }

    pub(super) fn access_named(&mut self, kind: AccessKind, names: &[AccessName]) {
        self.access_kind(kind);
        self.list(names, |p, name| {
            p.name(&name.name);
            p.opt_string("@", &name.host);
            if !name.on.is_empty() {
                p.put(" ON ");
                p.list(&name.on, |p, object| {
                    if object.name.is_empty() {
                        p.name(object.database.as_deref().unwrap_or(""));
                        p.put(".*");
                    } else {
                        p.object(object);
                    }
                });
            }
        });
    }

    pub(super) fn access_entity(&mut self, e: &AccessEntity) {
        self.put(if e.alter { "ALTER " } else { "CREATE " });
        self.put_if(e.or_replace, "OR REPLACE ");
        if e.if_clause {
            self.access_kind(e.kind);
            self.put(if e.alter { "IF EXISTS " } else { "IF NOT EXISTS " });
            let at = self.out.len();
            self.access_named(e.kind, &e.names);
            let named = self.out.split_off(at);
            let prefix = super::printed(false, |p| p.access_kind(e.kind));
            self.put(named.strip_prefix(&prefix).unwrap_or(&named));
        } else {
            self.access_named(e.kind, &e.names);
        }
        self.opt_name(" ON CLUSTER ", &e.on_cluster);
        self.opt_name(" RENAME TO ", &e.rename_to);
        if let Some(auth) = &e.auth {
            self.auth(auth);
        }
        for rule in &e.hosts {
            self.put(match rule.action {
                HostAction::Set => " HOST ",
                HostAction::Add => " ADD HOST ",
                HostAction::Drop => " DROP HOST ",
            });
            self.hosts(&rule.hosts);
        }
        if let Some(roles) = &e.default_roles {
            self.put(" DEFAULT ROLE ");
            self.role_set(roles);
        }
        match e.default_database.as_deref() {
            Some("") => self.put(" DEFAULT DATABASE NONE"),
            Some(database) => {
                self.put(" DEFAULT DATABASE ");
                self.name(database);
            }
            None => {}
        }
        if let Some(grantees) = &e.grantees {
            self.put(" GRANTEES ");
            self.role_set(grantees);
        }
        if let Some(settings) = &e.settings {
            self.put(" SETTINGS ");
            self.list(settings, |p, element| p.profile_element(element));
        }
        if let Some(quota) = &e.quota {
            self.quota(quota);
        }
        if let Some(policy) = &e.policy {
            self.policy(policy);
        }
        if let Some(to) = &e.to {
            self.put(" TO ");
            self.role_set(to);
        }
    }

    fn auth(&mut self, auth: &Auth) {
        match auth {
            Auth::NotIdentified => self.put(" NOT IDENTIFIED"),
            Auth::Identified { method, by, salt, server, realm } => {
                self.put(" IDENTIFIED");
                self.opt_name(" WITH ", method);
                self.opt_string(" BY ", by);
                self.opt_string(" SALT ", salt);
                self.opt_string(" SERVER ", server);
                self.opt_string(" REALM ", realm);
            }
        }
    }

    /// A kind is written once for all strings that follow it.
    fn hosts(&mut self, hosts: &[Host]) {
        let mut before = "";
        for (i, host) in hosts.iter().enumerate() {
            self.put_if(i > 0, ", ");
            let (kind, text) = match host {
                Host::Any => ("ANY", None),
                Host::None => ("NONE", None),
                Host::Local => ("LOCAL", None),
                Host::Name(text) => ("NAME ", Some(text)),
                Host::Regexp(text) => ("REGEXP ", Some(text)),
                Host::Ip(text) => ("IP ", Some(text)),
                Host::Like(text) => ("LIKE ", Some(text)),
            };
            self.put_if(text.is_none() || kind != before, kind);
            if let Some(text) = text {
                self.quoted(text);
                before = kind;
            }
        }
    }

    fn profile_element(&mut self, element: &ProfileElement) {
        match element {
            ProfileElement::None => self.put("NONE"),
            ProfileElement::Inherit(profile) => {
                self.put("PROFILE ");
                self.name(profile);
            }
            ProfileElement::Setting { name, value, min, max, writability } => {
                self.name(name);
                for (keyword, value) in [(" = ", value), (" MIN ", min), (" MAX ", max)] {
                    if let Some(value) = value {
                        self.put(keyword);
                        self.setting_value(value);
                    }
                }
                if let Some(word) = writability {
                    self.put(&format!(" {word}"));
                }
            }
        }
    }

    fn quota(&mut self, quota: &Quota) {
        match quota.keyed_by.as_deref() {
            Some([]) => self.put(" NOT KEYED"),
            Some(keys) => {
                self.put(" KEYED BY ");
                self.list(keys, |p, key| p.name(key));
            }
            None => {}
        }
        for (i, interval) in quota.intervals.iter().enumerate() {
            self.put(if i == 0 { " FOR" } else { ", FOR" });
            self.put_if(interval.randomized, " RANDOMIZED");
            self.put(" INTERVAL ");
            self.bare(&interval.number);
            self.put(&format!(" {}", interval.unit));
            match &interval.limits {
                QuotaLimits::None => self.put(" NO LIMITS"),
                QuotaLimits::TrackingOnly => self.put(" TRACKING ONLY"),
                QuotaLimits::Max(limits) => {
                    self.put(" MAX ");
                    self.list(limits, |p, (name, value)| {
                        p.name(name);
                        p.put(" = ");
                        p.bare(value);
                    });
                }
            }
        }
    }

    fn policy(&mut self, policy: &RowPolicy) {
        match policy.restrictive {
            Some(true) => self.put(" AS RESTRICTIVE"),
            Some(false) => self.put(" AS PERMISSIVE"),
            None => {}
        }
        self.put_if(policy.for_select, " FOR SELECT");
        match &policy.using {
            Some(Some(expr)) => {
                self.put(" USING ");
                self.bare(expr);
            }
            Some(None) => self.put(" USING NONE"),
            None => {}
        }
    }

    pub(super) fn role_set(&mut self, set: &RoleSet) {
        let mut words: Vec<String> = set.names.iter().map(|n| super::printed(false, |p| p.name(n))).collect();
        let flags = [(set.all, "ALL"), (set.any, "ANY"), (set.none, "NONE"), (set.current_user, "CURRENT_USER")];
        words.extend(flags.iter().filter(|(said, _)| *said).map(|(_, word)| (*word).to_owned()));
        self.put(&words.join(", "));
        if !set.except.is_empty() || set.except_current_user {
            self.put(" EXCEPT ");
            let mut except: Vec<String> = set.except.iter().map(|n| super::printed(false, |p| p.name(n))).collect();
            if set.except_current_user {
                except.push("CURRENT_USER".to_owned());
            }
            self.put(&except.join(", "));
        }
    }

    pub(super) fn grant(&mut self, grant: &Grant) {
        self.put(if grant.revoke { "REVOKE " } else { "GRANT " });
        if let Some(cluster) = &grant.on_cluster {
            self.put("ON CLUSTER ");
            self.name(cluster);
            self.put(" ");
        }
        self.put_if(grant.revoke && grant.grant_option, "GRANT OPTION FOR ");
        self.put_if(grant.revoke && grant.admin_option, "ADMIN OPTION FOR ");
        match &grant.what {
            GrantWhat::Roles(roles) => self.role_set(roles),
            GrantWhat::Privileges(elements) => self.list(elements, |p, element| {
                p.list(&element.privileges, |p, privilege| {
                    p.put(&privilege.name);
                    if !privilege.columns.is_empty() {
                        p.put("(");
                        p.list(&privilege.columns, |p, name| p.name(name));
                        p.put(")");
                    }
                });
                p.put(" ON ");
                p.grant_object(&element.on);
            }),
        }
        self.put(if grant.revoke { " FROM " } else { " TO " });
        self.role_set(&grant.to);
        self.put_if(!grant.revoke && grant.grant_option, " WITH GRANT OPTION");
        self.put_if(!grant.revoke && grant.admin_option, " WITH ADMIN OPTION");
        self.put_if(grant.replace, " WITH REPLACE OPTION");
    }

    fn grant_object(&mut self, object: &GrantObject) {
        match &object.database {
            GrantDatabase::Any => self.put("*."),
            GrantDatabase::Current => {}
            GrantDatabase::Named(database) => {
                self.name(database);
                self.put(".");
            }
        }
        match &object.stream {
            Some(stream) => self.name(stream),
            None => self.put("*"),
        }
    }
}
