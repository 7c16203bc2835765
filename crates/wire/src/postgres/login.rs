//! What is known of a client that has logged in, as bytes that outlive the process.

use super::cancel::Key;
use super::prepared::Prepared;
use hydron_engine::Session;
use std::collections::BTreeMap;

pub(super) struct SavedLogin {
    pub key: Key,
    pub session: Session,
    /// Settings that are the client's own.
    pub own: BTreeMap<String, String>,
    pub prepared: Vec<(String, Prepared)>,
}

impl SavedLogin {
    /// Fields, each ended by a zero: key, user, database, then how many settings, settings of the client's own and statements
    /// there are, the roles that SET ROLE has chosen, then they.
    pub fn write(&self) -> Vec<u8> {
        let session = &self.session;
        let mut fields = vec![
            self.key.process.to_string(),
            self.key.secret.to_string(),
            session.user.to_string(),
            session.database.to_string(),
        ];
        let changed: Vec<(&str, &str)> = session.settings.changed().collect();
        let counts = [changed.len(), self.own.len(), self.prepared.len()];
        fields.extend(counts.iter().map(usize::to_string));
        fields.push(session.roles_text());
        let own = self.own.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in changed.iter().copied().chain(own) {
            fields.extend([name.to_string(), value.to_string()]);
        }
        for (name, prepared) in &self.prepared {
            let types: Vec<String> = prepared.types.iter().map(u32::to_string).collect();
            fields.extend([name.clone(), prepared.text.clone(), types.join(",")]);
        }
        let mut bytes = Vec::new();
        for field in &fields {
            // A zero inside of one would be the end of it: what is written then is not read again.
            bytes.extend(field.bytes());
            bytes.push(0);
        }
        bytes
    }

    /// `None` for bytes that say something else.
    pub fn read(bytes: &[u8]) -> Option<SavedLogin> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\0')?;
        let mut fields = text.split('\0');
        let key = Key { process: fields.next()?.parse().ok()?, secret: fields.next()?.parse().ok()? };
        let mut session = Session::new(fields.next()?, fields.next()?);
        let mut count = || fields.next()?.parse::<usize>().ok();
        let (settings, owns, statements) = (count()?, count()?, count()?);
        session.set_roles_text(fields.next()?).then_some(())?;
        for _ in 0..settings {
            session.settings.set(fields.next()?, fields.next()?).ok()?;
        }
        let mut own = BTreeMap::new();
        for _ in 0..owns {
            own.insert(fields.next()?.to_string(), fields.next()?.to_string());
        }
        let mut prepared = Vec::new();
        for _ in 0..statements {
            let (name, text) = (fields.next()?.to_string(), fields.next()?.to_string());
            let types = fields.next()?.split(',').filter(|t| !t.is_empty()).map(|t| t.parse().ok());
            prepared.push((name, Prepared::new(text, types.collect::<Option<_>>()?).ok()?));
        }
        fields.next().is_none().then_some(SavedLogin { key, session, own, prepared })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut session = Session::new("me", "db");
        session.settings.set("max_threads", "3").unwrap();
        session.roles = Some(Default::default());
        let own = BTreeMap::from([("application_name".to_string(), "a".to_string())]);
        let prepared = vec![("p".to_string(), Prepared::new("select $1".to_string(), vec![23]).unwrap())];
        let key = Key { process: 7, secret: -1 };
        let saved = SavedLogin { key, session, own: own.clone(), prepared }.write();
        let read = SavedLogin::read(&saved).unwrap();
        assert_eq!((read.key, &*read.session.user, &*read.session.database), (key, "me", "db"));
        assert_eq!((read.session.settings.uint("max_threads"), &read.own), (3, &own));
        let (name, statement) = &read.prepared[0];
        assert_eq!((name.as_str(), statement.text.as_str(), &statement.types[..]), ("p", "select $1", &[23][..]));
        assert!(read.session.roles.is_some_and(|r| r.is_empty()), "SET ROLE NONE stays");
        assert!(SavedLogin::read(&saved[..saved.len() - 1]).is_none());
        assert!(SavedLogin::read(b"").is_none());
    }
}
