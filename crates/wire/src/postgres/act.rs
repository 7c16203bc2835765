//! What clients of PostgreSQL say beside the dialect, done.
//!
//! In: a phrase. Out: its answer. Promise: a transaction undoes nothing and says so; a cursor gives what is asked for and keeps its
//! place.

use super::answer::Pumped;
use super::connection::Connection;
use super::phrase::{self, Phrase};
use super::prepared::{Portal, PortalProgress};
use super::reply::{self, Described, Transaction};
use super::types::{PgType, TEXT};
use hydron_base::{Code, Error, Result, Settings};
use hydron_engine::Input;

/// Settings of the client's own that are kept.
const OWN_MAX: usize = 64;

impl Connection {
    /// What clients say beside the dialect. `with_columns`: nobody has described it.
    pub(super) async fn act(&mut self, phrase: Phrase, with_columns: bool) -> Result<()> {
        let ends = matches!(phrase, Phrase::Commit | Phrase::Rollback | Phrase::DiscardAll);
        if !ends {
            self.check_transaction()?;
        }
        match phrase {
            Phrase::Begin => {
                if self.transaction != Transaction::Idle {
                    reply::warning("25001", "there is already a transaction in progress", &mut self.out);
                }
                self.transaction = Transaction::Open;
                self.has_changed = false;
                reply::complete("BEGIN", &mut self.out);
            }
            Phrase::Commit | Phrase::Rollback => {
                let was_failed = self.transaction == Transaction::Failed;
                let rolls_back = was_failed || phrase == Phrase::Rollback;
                if self.transaction == Transaction::Idle {
                    reply::warning("25P01", "there is no transaction in progress", &mut self.out);
                } else if rolls_back && self.has_changed {
                    let text = "what was changed since BEGIN stays: each statement is committed by itself";
                    reply::warning("25000", text, &mut self.out);
                }
                self.transaction = Transaction::Idle;
                self.names.portals.clear();
                reply::complete(if rolls_back { "ROLLBACK" } else { "COMMIT" }, &mut self.out);
            }
            Phrase::Nothing(tag) => reply::complete(tag, &mut self.out),
            Phrase::Deallocate(name) => {
                match name {
                    Some(name) => drop(self.names.statements.remove(&name)),
                    None => self.names.statements.clear(),
                }
                reply::complete("DEALLOCATE", &mut self.out);
            }
            Phrase::DiscardAll => {
                self.names = Default::default();
                self.transaction = Transaction::Idle;
                self.own.clear();
                self.session.settings = Settings::default();
                self.session.settings.set("query_mode", self.app.options.query_mode)?;
                reply::complete("DISCARD ALL", &mut self.out);
            }
            Phrase::Keep { name, value } => {
                if matches!(name.as_str(), "application_name" | "client_encoding") {
                    reply::parameter(&name, &value, &mut self.out);
                }
                if self.own.len() < OWN_MAX || self.own.contains_key(&name) {
                    self.own.insert(name, value);
                }
                reply::complete("SET", &mut self.out);
            }
            Phrase::Set { name, value } => {
                // As the statement, so that what a profile forbids is forbidden here too.
                let text = format!("SET {name} = '{}'", value.replace('\\', "\\\\").replace('\'', "\\'"));
                let mut open = self.begin(&text, Input::None, &[]).await?;
                self.pump(&mut open, None).await?;
                if name == "session_timezone" {
                    reply::parameter("TimeZone", &value, &mut self.out);
                }
                reply::complete("SET", &mut self.out);
            }
            Phrase::Show(name) => {
                let value = self.shown(&name);
                self.one_value(&name, &value, with_columns, "SHOW");
            }
            Phrase::Constant { name, value } => self.one_value(name, &value, with_columns, "SELECT 1"),
            Phrase::Declare { name, query } => {
                let open = self.begin(&query, Input::None, &[]).await?;
                if open.running.schema.is_none() {
                    return Err(Error::new(Code::SYNTAX_ERROR, "a cursor is for a statement that answers with rows"));
                }
                let progress = PortalProgress::Open(Box::new(open));
                self.names.open(name, Portal { text: query, result_formats: Vec::new(), progress, is_cursor: true })?;
                reply::complete("DECLARE CURSOR", &mut self.out);
            }
            Phrase::Fetch { name, rows } => self.fetch(&name, rows, with_columns).await?,
            Phrase::Close(name) => {
                match name {
                    Some(name) => {
                        self.names.portal(&name)?;
                        self.names.portals.remove(&name);
                    }
                    None => self.names.portals.clear(),
                }
                reply::complete("CLOSE CURSOR", &mut self.out);
            }
            Phrase::Copy(copy) => self.copy(&copy).await?,
        }
        Ok(())
    }

    fn shown(&self, name: &str) -> String {
        let settings = &self.session.settings;
        match name {
            "timezone" if settings.text("session_timezone").is_empty() => "UTC".to_string(),
            "timezone" => settings.text("session_timezone").to_string(),
            "statement_timeout" => format!("{}", settings.float("max_execution_time") * 1_000.0),
            name => {
                let own = self.own.get(name).map(String::as_str);
                own.or(phrase::shown_by_default(name)).unwrap_or_default().to_string()
            }
        }
    }

    /// An answer of one text.
    fn one_value(&mut self, name: &str, value: &str, with_columns: bool, tag: &str) {
        if with_columns {
            let column = Described { name: name.to_string(), ty: PgType::of_oid(TEXT), format: 0 };
            reply::columns(&[column], &mut self.out);
        }
        reply::message(b'D', &mut self.out, |out| {
            out.extend(1u16.to_be_bytes());
            out.extend((value.len() as u32).to_be_bytes());
            out.extend(value.bytes());
        });
        reply::complete(tag, &mut self.out);
    }

    async fn fetch(&mut self, name: &str, rows: Option<u32>, with_columns: bool) -> Result<()> {
        let portal = self.names.portal(name)?;
        let progress = std::mem::replace(&mut portal.progress, PortalProgress::Ended);
        let PortalProgress::Open(mut open) = progress else {
            reply::complete("FETCH 0", &mut self.out);
            return Ok(());
        };
        if with_columns {
            reply::columns(&open.described, &mut self.out);
        }
        let before = open.sent;
        let pumped = match rows {
            Some(0) => Pumped::Suspended,
            rows => self.pump(&mut open, rows).await?,
        };
        reply::complete(&format!("FETCH {}", open.sent - before), &mut self.out);
        if pumped == Pumped::Suspended {
            self.names.portal(name)?.progress = PortalProgress::Open(open);
        }
        Ok(())
    }
}
