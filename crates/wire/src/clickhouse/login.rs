//! What is known of a client that has logged in, as bytes that outlive the process.

use hydron_engine::Session;

pub(super) struct SavedLogin {
    /// What both sides speak.
    pub revision: u64,
    /// The client's addendum to its hello has not come yet.
    pub waits_for_addendum: bool,
    pub session: Session,
}

/// In the place of a setting's name: the roles that SET ROLE has chosen.
const ROLES: &str = "SET ROLE";

impl SavedLogin {
    /// Fields, each ended by a zero: revision, whether the addendum is to come, user, database, then settings by name and
    /// value.
    pub fn write(&self) -> Vec<u8> {
        let session = &self.session;
        let addendum = if self.waits_for_addendum { "1" } else { "0" };
        let mut text = format!("{}\0{addendum}\0{}\0{}\0", self.revision, session.user, session.database);
        if session.roles.is_some() {
            text.extend([ROLES, "\0", &session.roles_text(), "\0"]);
        }
        for (name, value) in session.settings.changed() {
            text.extend([name, "\0", value, "\0"]);
        }
        text.into_bytes()
    }

    /// `None` for bytes that say something else.
    pub fn read(bytes: &[u8]) -> Option<SavedLogin> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\0')?;
        let mut fields = text.split('\0');
        let revision = fields.next()?.parse().ok()?;
        let waits_for_addendum = fields.next()? == "1";
        let mut session = Session::new(fields.next()?, fields.next()?);
        while let Some(name) = fields.next() {
            let value = fields.next()?;
            match name {
                ROLES => session.set_roles_text(value).then_some(())?,
                name => session.settings.set(name, value).ok()?,
            }
        }
        Some(SavedLogin { revision, waits_for_addendum, session })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_was_written_is_read() {
        let mut session = Session::new("me", "db");
        session.settings.set("max_threads", "3").unwrap();
        session.roles = Some(Arc::default());
        let saved = SavedLogin { revision: 54_459, waits_for_addendum: true, session }.write();
        let read = SavedLogin::read(&saved).unwrap();
        assert_eq!((read.revision, read.waits_for_addendum, &*read.session.user), (54_459, true, "me"));
        assert_eq!((&*read.session.database, read.session.settings.uint("max_threads")), ("db", 3));
        assert!(read.session.roles.is_some_and(|r| r.is_empty()), "SET ROLE NONE stays");
        assert!(SavedLogin::read(&saved[..saved.len() - 1]).is_none());
        assert!(SavedLogin::read(b"").is_none());
        assert!(SavedLogin::read(b"x\0").is_none());
    }
}
