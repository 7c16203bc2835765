//! Prepared statements, and portals: statements with their values, and how far each has run.

use super::message::Bind;
use super::parameter::{self, Mention};
use super::reply::Described;
use super::types::{PgType, RowWriter, TEXT};
use hydron_base::{Code, Error, Result};
use hydron_engine::Running;
use hydron_types::{TextOptions, Zone};
use std::collections::BTreeMap;

/// Of one connection, of each kind.
pub const STATEMENTS_MAX: usize = 1_024;

/// Bytes of the texts of all statements of a connection.
pub const STATEMENT_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Debug)]
pub struct Prepared {
    pub text: String,
    /// OID of each parameter; 0 is not known.
    pub types: Vec<u32>,
    mentions: Vec<Mention>,
}

impl Prepared {
    /// `types`: those that the client says. Errors: those of [`parameter::mentions`].
    pub fn new(text: String, mut types: Vec<u32>) -> Result<Prepared> {
        let mentions = parameter::mentions(&text)?;
        let count = mentions.iter().map(|m| m.number as usize).max().unwrap_or(0);
        types.resize(count.max(types.len()), 0);
        for mention in mentions.iter().filter(|m| m.cast != 0) {
            let known = &mut types[mention.number as usize - 1];
            if *known == 0 {
                *known = mention.cast;
            }
        }
        Ok(Prepared { text, types, mentions })
    }

    /// The types as the client is told them: what it leaves open is text.
    pub fn told_types(&self) -> Vec<u32> {
        self.types.iter().map(|oid| if *oid == 0 { TEXT } else { *oid }).collect()
    }

    /// The statement with values in the place of its parameters.
    ///
    /// Errors: UNEXPECTED_PACKET_FROM_CLIENT for too few or too many; those of [`parameter::literal`].
    pub fn with(&self, bind: &Bind) -> Result<String> {
        if bind.values.len() != self.types.len() {
            let text =
                format!("{} values were bound, the statement has {} parameters", bind.values.len(), self.types.len());
            return Err(Error::new(Code::UNEXPECTED_PACKET_FROM_CLIENT, text));
        }
        let is_binary = |i: usize| match bind.formats.as_slice() {
            [] => false,
            [one] => *one == 1,
            several => several.get(i) == Some(&1),
        };
        parameter::replaced(&self.text, &self.mentions, |mention| {
            let i = mention.number as usize - 1;
            let literal = parameter::literal(self.types[i], is_binary(i), bind.values[i].as_ref(), mention.is_count);
            literal.map_err(|e| e.context(format!("${}", mention.number)))
        })
    }

    /// The statement with samples in the place of its parameters, `unknown` for texts.
    pub fn with_samples(&self, unknown: &str) -> Result<String> {
        parameter::replaced(&self.text, &self.mentions, |mention| {
            let oid = self.types[mention.number as usize - 1];
            Ok(if mention.is_count { "1".to_string() } else { parameter::sample(oid, unknown) })
        })
    }
}

/// A statement that may run, runs, or has run.
pub struct Portal {
    pub text: String,
    pub result_formats: Vec<i16>,
    pub progress: PortalProgress,
    /// Declared by name: it stays until it is closed.
    pub is_cursor: bool,
}

pub enum PortalProgress {
    New,
    /// It has begun, and may wait with rows at hand.
    Open(Box<Open>),
    Ended,
}

/// The answer of a portal that has begun.
pub struct Open {
    pub running: Running,
    pub described: Vec<Described>,
    pub text: TextOptions,
    /// Rows at hand: their writer, the next row and their number.
    pub rows: Option<(RowWriter, usize, usize)>,
    pub sent: u64,
}

impl Open {
    pub fn new(running: Running, result_formats: &[i16], zone: Zone) -> Open {
        let described = match &running.schema {
            Some(schema) => super::types::described(schema, result_formats),
            None => Vec::new(),
        };
        let text = TextOptions::from_settings(&running.settings, zone);
        Open { running, described, text, rows: None, sent: 0 }
    }
}

/// What a client has by name.
#[derive(Default)]
pub struct Names {
    pub statements: BTreeMap<String, Prepared>,
    pub portals: BTreeMap<String, Portal>,
}

impl Names {
    /// Errors: BAD_ARGUMENTS for a name that is taken; TOO_MANY_BYTES over the limits.
    pub fn prepare(&mut self, name: String, prepared: Prepared) -> Result<()> {
        if !name.is_empty() && self.statements.contains_key(&name) {
            return Err(
                Error::bad_arguments(format!("prepared statement \"{name}\" already exists")).hint("DEALLOCATE")
            );
        }
        let others = self.statements.iter().filter(|(n, _)| **n != name);
        let (count, bytes) = others.fold((1, prepared.text.len()), |(c, b), (_, p)| (c + 1, b + p.text.len()));
        if count > STATEMENTS_MAX || bytes > STATEMENT_BYTES_MAX {
            let text = format!(
                "a connection keeps at most {STATEMENTS_MAX} prepared statements of {STATEMENT_BYTES_MAX} bytes together"
            );
            return Err(Error::new(Code::TOO_MANY_BYTES, text).hint("DEALLOCATE those that are not needed"));
        }
        self.statements.insert(name, prepared);
        Ok(())
    }

    pub fn statement(&self, name: &str) -> Result<&Prepared> {
        self.statements
            .get(name)
            .ok_or_else(|| Error::bad_arguments(format!("prepared statement \"{name}\" does not exist")))
    }

    /// Errors: BAD_ARGUMENTS for a name that is taken; TOO_MANY_BYTES over the limit.
    pub fn open(&mut self, name: String, portal: Portal) -> Result<()> {
        if !name.is_empty() && self.portals.contains_key(&name) {
            return Err(Error::bad_arguments(format!("cursor \"{name}\" already exists")).hint("CLOSE"));
        }
        if self.portals.len() >= STATEMENTS_MAX {
            let text = format!("a connection has at most {STATEMENTS_MAX} cursors");
            return Err(Error::new(Code::TOO_MANY_BYTES, text).hint("CLOSE those that are not needed"));
        }
        self.portals.insert(name, portal);
        Ok(())
    }

    pub fn portal(&mut self, name: &str) -> Result<&mut Portal> {
        self.portals.get_mut(name).ok_or_else(|| Error::bad_arguments(format!("cursor \"{name}\" does not exist")))
    }
}

/// The parameters and columns of a statement, before values are bound.
pub fn columns_of(result: &[(String, String)]) -> Vec<Described> {
    let column = |(name, ty): &(String, String)| {
        let ty = hydron_types::parse_type(ty).map_or(PgType::of_oid(TEXT), |ty| PgType::of(&ty));
        Described { name: name.clone(), ty, format: 0 }
    };
    result.iter().map(column).collect()
}
