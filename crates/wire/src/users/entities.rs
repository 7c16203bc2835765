//! The users file as access control sees it: users, profiles and quotas that SQL reads and does not change.

use super::{Others, Users};
use hydron_access::directory::file_id;
use hydron_access::entity::{
    Element, Entity, Granted, Interval, Kind, Members, Profile, Quota, QuotaKey, User as Known, What,
};
use hydron_access::hosts::Hosts;
use hydron_access::{Object, Privileges, Rights};
use hydron_base::Settings;
use std::collections::BTreeMap;

impl Others {
    /// What stands beside the users of a fresh server.
    pub(super) fn shipped() -> Others {
        let mut readonly = Settings::default();
        // A setting that exists takes the value that it has elsewhere.
        let _ = readonly.set("readonly", "1");
        let hour = Interval { seconds: 3_600, randomized: false, max: BTreeMap::new() };
        Others {
            profiles: [("default".to_string(), Settings::default()), ("readonly".to_string(), readonly)].into(),
            quotas: [("default".to_string(), vec![hour])].into(),
        }
    }
}

impl Users {
    pub(super) fn entities(&self) -> Vec<Entity> {
        let users = self.listed();
        let others = self.others.read();
        let made = |kind: Kind, name: &str, what: What| Entity {
            id: file_id(kind, name),
            name: name.to_string(),
            from_file: true,
            what,
        };
        let mut entities = Vec::new();
        for (name, user) in users.iter() {
            let mut rights = Rights::everything();
            if !user.access_management {
                let set = Privileges::named("ACCESS MANAGEMENT").unwrap_or_default();
                rights.revoke(set, &Object::ANY, false);
            }
            let mut settings = Vec::new();
            match user.profile.as_deref().filter(|p| others.profiles.contains_key(*p)) {
                Some(profile) => {
                    settings.push(Element::Inherit(file_id(Kind::Profile, profile)));
                    let of_profile = &others.profiles[profile];
                    settings.extend(elements(&user.settings, |name, value| of_profile.text(name) != value));
                }
                None => settings.extend(elements(&user.settings, |_, _| true)),
            }
            let known = Known {
                password: user.password.clone(),
                plaintext: false,
                hosts: Hosts::of(&user.networks),
                rights,
                granted: Granted::default(),
                default_roles: Members::all(),
                default_database: String::new(),
                grantees: Members::all(),
                settings,
            };
            entities.push(made(Kind::User, name, What::User(known)));
        }
        for (name, settings) in &others.profiles {
            let profile = Profile { settings: elements(settings, |_, _| true).collect(), to: Members::default() };
            entities.push(made(Kind::Profile, name, What::Profile(profile)));
        }
        for (name, intervals) in &others.quotas {
            let of = users.iter().filter(|(_, u)| u.quota.as_ref() == Some(name));
            let ids = of.map(|(user, _)| file_id(Kind::User, user)).collect();
            let to = Members { ids, ..Members::default() };
            let quota = Quota { keyed_by: vec![QuotaKey::UserName], intervals: intervals.clone(), to };
            entities.push(made(Kind::Quota, name, What::Quota(quota)));
        }
        entities
    }
}

fn elements(settings: &Settings, keep: impl Fn(&str, &str) -> bool) -> impl Iterator<Item = Element> {
    let changed: Vec<Element> = settings
        .changed()
        .filter(|(name, value)| keep(name, value))
        .map(|(name, value)| Element::Setting {
            name: name.to_string(),
            value: Some(value.to_string()),
            min: None,
            max: None,
            writable: None,
        })
        .collect();
    changed.into_iter()
}
