//! The engine `Join(strictness, kind, keys…)`: a table that is the right side of one kind of join.
//!
//! In: the arguments and settings of a CREATE. Out: which joins the table serves, and which of its rows it has. Promise: what
//! CREATE has accepted is read here again in the same way.

use crate::catalog::{ColumnInfo, StreamInfo};
use crate::node::{JoinKind, JoinStrictness};
use hydron_base::{Code, Error, Result};
use std::sync::Arc;

/// The name of the engine.
pub const JOIN: &str = "Join";

/// Settings that a CREATE of such a table may have.
const SETTINGS: &[&str] = &[
    "join_use_nulls",
    "max_rows_in_join",
    "max_bytes_in_join",
    "join_overflow_mode",
    "join_any_take_last_row",
    "any_join_distinct_right_table_keys",
    "disable_set_and_join_persistency",
    "persistent",
];

#[derive(Clone, Debug, PartialEq)]
pub struct JoinEngine {
    pub kind: JoinKind,
    pub strictness: JoinStrictness,
    /// Names of columns.
    pub keys: Vec<Arc<str>>,
    pub use_nulls: bool,
    /// Of several rows of a key the last one counts.
    pub takes_last: bool,
    /// 0: no limit.
    pub rows_max: u64,
    pub bytes_max: u64,
    /// What exceeds the limits is left out instead of being an error.
    pub breaks: bool,
}

impl JoinEngine {
    /// The engine of a table; `None` for another engine.
    pub fn of(info: &StreamInfo) -> Option<Result<JoinEngine>> {
        (&*info.engine == JOIN).then(|| JoinEngine::parse(&info.engine_args, &info.settings, &info.columns))
    }

    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), BAD_ARGUMENTS (36), NO_SUCH_COLUMN_IN_STREAM (16).
    pub fn parse(args: &[String], settings: &[(Arc<str>, String)], columns: &[ColumnInfo]) -> Result<JoinEngine> {
        const SHAPE: &str = "Join(ANY|ALL|SEMI|ANTI, LEFT|INNER|RIGHT|FULL, key, …)";
        let [strictness, kind, keys @ ..] = args else {
            return Err(too_few(SHAPE));
        };
        if keys.is_empty() {
            return Err(too_few(SHAPE));
        }
        let strictness = match strictness.trim_matches('`').to_lowercase().as_str() {
            "any" => JoinStrictness::Any,
            "all" => JoinStrictness::All,
            "semi" => JoinStrictness::Semi,
            "anti" => JoinStrictness::Anti,
            other => {
                let message = format!("the first argument of engine Join is '{other}', not ANY, ALL, SEMI or ANTI");
                return Err(Error::bad_arguments(message).hint(SHAPE));
            }
        };
        let kind = match kind.trim_matches('`').to_lowercase().as_str() {
            "left" => JoinKind::Left,
            "inner" => JoinKind::Inner,
            "right" => JoinKind::Right,
            "full" => JoinKind::Full,
            other => {
                let message =
                    format!("the second argument of engine Join is '{other}', not LEFT, INNER, RIGHT or FULL");
                return Err(Error::bad_arguments(message).hint(SHAPE));
            }
        };
        let is_half = matches!(strictness, JoinStrictness::Semi | JoinStrictness::Anti);
        if is_half && !matches!(kind, JoinKind::Left | JoinKind::Right) {
            return Err(Error::bad_arguments("SEMI and ANTI in engine Join go with LEFT or RIGHT"));
        }
        let keys: Vec<Arc<str>> = keys.iter().map(|k| Arc::from(k.trim_matches('`'))).collect();
        for key in &keys {
            if !columns.iter().any(|c| c.name == *key && c.is_stored()) {
                let message = format!("key '{key}' of engine Join is no column of the table");
                return Err(Error::new(Code::NO_SUCH_COLUMN_IN_STREAM, message));
            }
        }
        if let Some((name, _)) = settings.iter().find(|(name, _)| !SETTINGS.contains(&&**name)) {
            let message = format!("setting {name} is unknown for engine Join");
            return Err(Error::bad_arguments(message).hint(SETTINGS.join(", ")));
        }
        let text = |name: &str| settings.iter().rfind(|(k, _)| &**k == name).map_or("", |(_, v)| v.as_str());
        let flag = |name: &str| matches!(text(name), "1" | "true");
        Ok(JoinEngine {
            kind,
            strictness,
            keys,
            use_nulls: flag("join_use_nulls"),
            takes_last: flag("join_any_take_last_row"),
            rows_max: text("max_rows_in_join").parse().unwrap_or(0),
            bytes_max: text("max_bytes_in_join").parse().unwrap_or(0),
            breaks: text("join_overflow_mode") == "break",
        })
    }

    /// Whether the table has one row for each key.
    pub fn is_unique(&self) -> bool {
        match self.strictness {
            JoinStrictness::Any => self.kind != JoinKind::Right,
            JoinStrictness::Semi | JoinStrictness::Anti => self.kind == JoinKind::Left,
            _ => false,
        }
    }

    /// Whether the table can be the right side of a join. `on`: the names of its columns that are compared for equality;
    /// `None` for an expression.
    ///
    /// Errors: INCOMPATIBLE_TYPE_OF_JOIN (264).
    pub fn check(
        &self,
        table: &str,
        kind: JoinKind,
        strictness: JoinStrictness,
        use_nulls: bool,
        on: &[Option<Arc<str>>],
    ) -> Result<()> {
        let refused = |why: String| Err(Error::new(Code::INCOMPATIBLE_TYPE_OF_JOIN, format!("table {table} {why}")));
        let own = format!("{:?} {:?} JOIN", self.strictness, self.kind).to_uppercase();
        if (kind, strictness) != (self.kind, self.strictness) {
            let asked = format!("{strictness:?} {kind:?} JOIN").to_uppercase();
            return refused(format!("serves {own}, not {asked}"));
        }
        if use_nulls != self.use_nulls && matches!(kind, JoinKind::Left | JoinKind::Full) {
            let own = u8::from(self.use_nulls);
            return refused(format!("was made with join_use_nulls = {own}, the query has another value"));
        }
        let is_key = |name: &Option<Arc<str>>| name.as_ref().is_some_and(|n| self.keys.contains(n));
        if on.len() != self.keys.len() || !on.iter().all(is_key) {
            return refused(format!("is joined by {}, and by nothing else", self.keys.join(", ")));
        }
        Ok(())
    }
}

fn too_few(shape: &str) -> Error {
    let message = "engine Join takes a strictness, a kind and at least one key";
    Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, message).hint(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_types::LogicalType;

    fn parse(args: &[&str]) -> Result<JoinEngine> {
        let args: Vec<String> = args.iter().map(|a| (*a).to_string()).collect();
        let columns = [ColumnInfo::new("k", LogicalType::UInt64), ColumnInfo::new("s", LogicalType::String)];
        JoinEngine::parse(&args, &[], &columns)
    }

    #[test]
    fn arguments_are_read_in_any_case() {
        let engine = parse(&["any", "`Left`", "`k`"]).unwrap();
        assert!(engine.is_unique());
        assert_eq!((engine.strictness, engine.kind), (JoinStrictness::Any, JoinKind::Left));
        for (args, code) in [
            (&["ANY", "LEFT"][..], Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH),
            (&["ASOF", "LEFT", "k"], Code::BAD_ARGUMENTS),
            (&["ANY", "CROSS", "k"], Code::BAD_ARGUMENTS),
            (&["SEMI", "FULL", "k"], Code::BAD_ARGUMENTS),
            (&["ANY", "LEFT", "x"], Code::NO_SUCH_COLUMN_IN_STREAM),
        ] {
            assert_eq!(parse(args).unwrap_err().code, code, "{args:?}");
        }
    }

    #[test]
    fn a_join_of_another_kind_or_key_is_refused() {
        let engine = parse(&["ANY", "LEFT", "k"]).unwrap();
        let k = [Some(Arc::from("k"))];
        let check = |kind, strictness, nulls, on: &[Option<Arc<str>>]| engine.check("t", kind, strictness, nulls, on);
        assert!(check(JoinKind::Left, JoinStrictness::Any, false, &k).is_ok());
        for refused in [
            check(JoinKind::Inner, JoinStrictness::Any, false, &k),
            check(JoinKind::Left, JoinStrictness::All, false, &k),
            check(JoinKind::Left, JoinStrictness::Any, true, &k),
            check(JoinKind::Left, JoinStrictness::Any, false, &[Some(Arc::from("s"))]),
            check(JoinKind::Left, JoinStrictness::Any, false, &[]),
        ] {
            assert_eq!(refused.unwrap_err().code, Code::INCOMPATIBLE_TYPE_OF_JOIN);
        }
    }
}
