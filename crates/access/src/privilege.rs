//! What may be granted: privileges, their groups and where each of them applies.
//!
//! In: names as GRANT has them. Out: sets of privileges. Promise: a group is exactly the privileges below it, and a set is
//! written with as few names as say the same.

use hydron_base::{Code, Error, Result};
use std::fmt;

/// The smallest thing that a privilege may be granted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Global,
    Database,
    Stream,
    Column,
}

/// One privilege that is no group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Privilege(u8);

/// A row of the hierarchy: a group (`level: None`) or a privilege. A parent stands before what is in it.
struct Row {
    name: &'static str,
    aliases: &'static [&'static str],
    level: Option<Level>,
    parent: &'static str,
}

const G: Option<Level> = Some(Level::Global);
const D: Option<Level> = Some(Level::Database);
const T: Option<Level> = Some(Level::Stream);
const C: Option<Level> = Some(Level::Column);

const fn row(name: &'static str, aliases: &'static [&'static str], level: Option<Level>, parent: &'static str) -> Row {
    Row { name, aliases, level, parent }
}

/// ClickHouse's access types, by their names there.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("ALL", &["ALL PRIVILEGES"], None, ""),
    row("SHOW", &[], None, "ALL"),
    row("SHOW DATABASES", &[], D, "SHOW"),
    row("SHOW TABLES", &[], T, "SHOW"),
    row("SHOW COLUMNS", &[], C, "SHOW"),
    row("SHOW DICTIONARIES", &[], T, "SHOW"),
    row("SELECT", &[], C, "ALL"),
    row("INSERT", &[], C, "ALL"),
    row("ALTER", &[], None, "ALL"),
    row("ALTER TABLE", &[], None, "ALTER"),
    row("ALTER UPDATE", &["UPDATE"], C, "ALTER TABLE"),
    row("ALTER DELETE", &["DELETE"], C, "ALTER TABLE"),
    row("ALTER COLUMN", &[], None, "ALTER TABLE"),
    row("ALTER ADD COLUMN", &["ADD COLUMN"], C, "ALTER COLUMN"),
    row("ALTER MODIFY COLUMN", &["MODIFY COLUMN"], C, "ALTER COLUMN"),
    row("ALTER DROP COLUMN", &["DROP COLUMN"], C, "ALTER COLUMN"),
    row("ALTER COMMENT COLUMN", &["COMMENT COLUMN"], C, "ALTER COLUMN"),
    row("ALTER CLEAR COLUMN", &["CLEAR COLUMN"], C, "ALTER COLUMN"),
    row("ALTER RENAME COLUMN", &["RENAME COLUMN"], C, "ALTER COLUMN"),
    row("ALTER MATERIALIZE COLUMN", &["MATERIALIZE COLUMN"], C, "ALTER COLUMN"),
    row("ALTER MODIFY COMMENT", &["MODIFY COMMENT"], T, "ALTER TABLE"),
    row("ALTER INDEX", &["INDEX"], None, "ALTER TABLE"),
    row("ALTER ORDER BY", &["ALTER MODIFY ORDER BY", "MODIFY ORDER BY"], T, "ALTER INDEX"),
    row("ALTER SAMPLE BY", &["ALTER MODIFY SAMPLE BY", "MODIFY SAMPLE BY"], T, "ALTER INDEX"),
    row("ALTER ADD INDEX", &["ADD INDEX"], T, "ALTER INDEX"),
    row("ALTER DROP INDEX", &["DROP INDEX"], T, "ALTER INDEX"),
    row("ALTER MATERIALIZE INDEX", &["MATERIALIZE INDEX"], T, "ALTER INDEX"),
    row("ALTER CLEAR INDEX", &["CLEAR INDEX"], T, "ALTER INDEX"),
    row("ALTER PROJECTION", &["PROJECTION"], None, "ALTER TABLE"),
    row("ALTER ADD PROJECTION", &["ADD PROJECTION"], T, "ALTER PROJECTION"),
    row("ALTER DROP PROJECTION", &["DROP PROJECTION"], T, "ALTER PROJECTION"),
    row("ALTER MATERIALIZE PROJECTION", &["MATERIALIZE PROJECTION"], T, "ALTER PROJECTION"),
    row("ALTER CLEAR PROJECTION", &["CLEAR PROJECTION"], T, "ALTER PROJECTION"),
    row("ALTER CONSTRAINT", &["CONSTRAINT"], None, "ALTER TABLE"),
    row("ALTER ADD CONSTRAINT", &["ADD CONSTRAINT"], T, "ALTER CONSTRAINT"),
    row("ALTER DROP CONSTRAINT", &["DROP CONSTRAINT"], T, "ALTER CONSTRAINT"),
    row("ALTER TTL", &["ALTER MODIFY TTL", "MODIFY TTL"], T, "ALTER TABLE"),
    row("ALTER MATERIALIZE TTL", &["MATERIALIZE TTL"], T, "ALTER TABLE"),
    row("ALTER SETTINGS", &["ALTER SETTING", "ALTER MODIFY SETTING", "MODIFY SETTING", "RESET SETTING"], T, "ALTER TABLE"),
    row("ALTER MOVE PARTITION", &["ALTER MOVE PART", "MOVE PARTITION", "MOVE PART"], T, "ALTER TABLE"),
    row("ALTER FETCH PARTITION", &["ALTER FETCH PART", "FETCH PARTITION"], T, "ALTER TABLE"),
    row("ALTER FREEZE PARTITION", &["FREEZE PARTITION", "UNFREEZE"], T, "ALTER TABLE"),
    row("ALTER DATABASE", &[], None, "ALTER"),
    row("ALTER DATABASE SETTINGS", &["ALTER DATABASE SETTING", "ALTER MODIFY DATABASE SETTING", "MODIFY DATABASE SETTING"], D, "ALTER DATABASE"),
    row("ALTER VIEW", &[], None, "ALTER"),
    row("ALTER VIEW REFRESH", &["ALTER LIVE VIEW REFRESH", "REFRESH VIEW"], T, "ALTER VIEW"),
    row("ALTER VIEW MODIFY QUERY", &["ALTER TABLE MODIFY QUERY"], T, "ALTER VIEW"),
    row("CREATE", &[], None, "ALL"),
    row("CREATE DATABASE", &[], D, "CREATE"),
    row("CREATE TABLE", &[], T, "CREATE"),
    row("CREATE VIEW", &[], T, "CREATE"),
    row("CREATE DICTIONARY", &[], T, "CREATE"),
    row("CREATE TEMPORARY TABLE", &[], G, "CREATE"),
    row("CREATE FUNCTION", &[], G, "CREATE"),
    row("DROP", &[], None, "ALL"),
    row("DROP DATABASE", &[], D, "DROP"),
    row("DROP TABLE", &[], T, "DROP"),
    row("DROP VIEW", &[], T, "DROP"),
    row("DROP DICTIONARY", &[], T, "DROP"),
    row("DROP FUNCTION", &[], G, "DROP"),
    row("TRUNCATE", &["TRUNCATE TABLE"], T, "ALL"),
    row("OPTIMIZE", &["OPTIMIZE TABLE"], T, "ALL"),
    row("BACKUP", &[], T, "ALL"),
    row("KILL QUERY", &[], G, "ALL"),
    row("KILL TRANSACTION", &[], G, "ALL"),
    row("MOVE PARTITION BETWEEN SHARDS", &[], G, "ALL"),
    row("ACCESS MANAGEMENT", &[], None, "ALL"),
    row("CREATE USER", &[], G, "ACCESS MANAGEMENT"),
    row("ALTER USER", &[], G, "ACCESS MANAGEMENT"),
    row("DROP USER", &[], G, "ACCESS MANAGEMENT"),
    row("CREATE ROLE", &[], G, "ACCESS MANAGEMENT"),
    row("ALTER ROLE", &[], G, "ACCESS MANAGEMENT"),
    row("DROP ROLE", &[], G, "ACCESS MANAGEMENT"),
    row("ROLE ADMIN", &[], G, "ACCESS MANAGEMENT"),
    row("CREATE ROW POLICY", &["CREATE POLICY"], T, "ACCESS MANAGEMENT"),
    row("ALTER ROW POLICY", &["ALTER POLICY"], T, "ACCESS MANAGEMENT"),
    row("DROP ROW POLICY", &["DROP POLICY"], T, "ACCESS MANAGEMENT"),
    row("CREATE QUOTA", &[], G, "ACCESS MANAGEMENT"),
    row("ALTER QUOTA", &[], G, "ACCESS MANAGEMENT"),
    row("DROP QUOTA", &[], G, "ACCESS MANAGEMENT"),
    row("CREATE SETTINGS PROFILE", &["CREATE PROFILE"], G, "ACCESS MANAGEMENT"),
    row("ALTER SETTINGS PROFILE", &["ALTER PROFILE"], G, "ACCESS MANAGEMENT"),
    row("DROP SETTINGS PROFILE", &["DROP PROFILE"], G, "ACCESS MANAGEMENT"),
    row("SHOW ACCESS", &[], None, "ACCESS MANAGEMENT"),
    row("SHOW USERS", &["SHOW CREATE USER"], G, "SHOW ACCESS"),
    row("SHOW ROLES", &["SHOW CREATE ROLE"], G, "SHOW ACCESS"),
    row("SHOW ROW POLICIES", &["SHOW POLICIES", "SHOW CREATE ROW POLICY", "SHOW CREATE POLICY"], T, "SHOW ACCESS"),
    row("SHOW QUOTAS", &["SHOW CREATE QUOTA"], G, "SHOW ACCESS"),
    row("SHOW SETTINGS PROFILES", &["SHOW PROFILES", "SHOW CREATE SETTINGS PROFILE", "SHOW CREATE PROFILE"], G, "SHOW ACCESS"),
    row("SYSTEM", &[], None, "ALL"),
    row("SYSTEM SHUTDOWN", &["SYSTEM KILL", "SHUTDOWN"], G, "SYSTEM"),
    row("SYSTEM DROP CACHE", &["DROP CACHE"], G, "SYSTEM"),
    row("SYSTEM RELOAD", &[], G, "SYSTEM"),
    row("SYSTEM MERGES", &["SYSTEM STOP MERGES", "SYSTEM START MERGES", "STOP MERGES", "START MERGES"], T, "SYSTEM"),
    row("SYSTEM TTL MERGES", &["SYSTEM STOP TTL MERGES", "SYSTEM START TTL MERGES"], T, "SYSTEM"),
    row("SYSTEM MOVES", &["SYSTEM STOP MOVES", "SYSTEM START MOVES"], T, "SYSTEM"),
    row("SYSTEM VIEWS", &["SYSTEM PAUSE", "SYSTEM UNPAUSE", "SYSTEM RESUME"], T, "SYSTEM"),
    row("SYSTEM FLUSH", &["SYSTEM FLUSH LOGS", "FLUSH LOGS"], G, "SYSTEM"),
    row("SYSTEM QUARANTINE", &["SYSTEM LIFT QUARANTINE", "SYSTEM LEAVE SAFE MODE"], G, "SYSTEM"),
    row("SYSTEM OTHER", &[], G, "SYSTEM"),
    row("dictGet", &["dict_get", "dictHas"], T, "ALL"),
    row("INTROSPECTION", &["INTROSPECTION FUNCTIONS"], None, "ALL"),
    row("addressToLine", &["address_to_line"], G, "INTROSPECTION"),
    row("addressToSymbol", &["address_to_symbol"], G, "INTROSPECTION"),
    row("demangle", &[], G, "INTROSPECTION"),
    row("SOURCES", &[], None, "ALL"),
    row("FILE", &[], G, "SOURCES"),
    row("URL", &[], G, "SOURCES"),
    row("REMOTE", &[], G, "SOURCES"),
    row("MONGO", &[], G, "SOURCES"),
    row("MYSQL", &[], G, "SOURCES"),
    row("POSTGRES", &[], G, "SOURCES"),
    row("SQLITE", &[], G, "SOURCES"),
    row("ODBC", &[], G, "SOURCES"),
    row("JDBC", &[], G, "SOURCES"),
    row("HDFS", &[], G, "SOURCES"),
    row("S3", &[], G, "SOURCES"),
    row("HIVE", &[], G, "SOURCES"),
    row("KAFKA", &[], G, "SOURCES"),
];

/// The privileges that statements ask for, by their names.
macro_rules! named {
    ($($constant:ident $name:literal)*) => {
        impl Privilege {
            $(pub const $constant: Privilege = Privilege(position($name));)*
        }
    };
}

named! {
    SHOW_DATABASES "SHOW DATABASES"
    SHOW_TABLES "SHOW TABLES"
    SHOW_COLUMNS "SHOW COLUMNS"
    SHOW_DICTIONARIES "SHOW DICTIONARIES"
    SELECT "SELECT"
    INSERT "INSERT"
    ALTER_UPDATE "ALTER UPDATE"
    ALTER_DELETE "ALTER DELETE"
    ALTER_ADD_COLUMN "ALTER ADD COLUMN"
    ALTER_MODIFY_COLUMN "ALTER MODIFY COLUMN"
    ALTER_DROP_COLUMN "ALTER DROP COLUMN"
    ALTER_COMMENT_COLUMN "ALTER COMMENT COLUMN"
    ALTER_CLEAR_COLUMN "ALTER CLEAR COLUMN"
    ALTER_RENAME_COLUMN "ALTER RENAME COLUMN"
    ALTER_MATERIALIZE_COLUMN "ALTER MATERIALIZE COLUMN"
    ALTER_MODIFY_COMMENT "ALTER MODIFY COMMENT"
    ALTER_ORDER_BY "ALTER ORDER BY"
    ALTER_SAMPLE_BY "ALTER SAMPLE BY"
    ALTER_ADD_INDEX "ALTER ADD INDEX"
    ALTER_DROP_INDEX "ALTER DROP INDEX"
    ALTER_MATERIALIZE_INDEX "ALTER MATERIALIZE INDEX"
    ALTER_CLEAR_INDEX "ALTER CLEAR INDEX"
    ALTER_ADD_PROJECTION "ALTER ADD PROJECTION"
    ALTER_DROP_PROJECTION "ALTER DROP PROJECTION"
    ALTER_MATERIALIZE_PROJECTION "ALTER MATERIALIZE PROJECTION"
    ALTER_CLEAR_PROJECTION "ALTER CLEAR PROJECTION"
    ALTER_ADD_CONSTRAINT "ALTER ADD CONSTRAINT"
    ALTER_DROP_CONSTRAINT "ALTER DROP CONSTRAINT"
    ALTER_TTL "ALTER TTL"
    ALTER_MATERIALIZE_TTL "ALTER MATERIALIZE TTL"
    ALTER_SETTINGS "ALTER SETTINGS"
    ALTER_MOVE_PARTITION "ALTER MOVE PARTITION"
    ALTER_FETCH_PARTITION "ALTER FETCH PARTITION"
    ALTER_FREEZE_PARTITION "ALTER FREEZE PARTITION"
    ALTER_DATABASE_SETTINGS "ALTER DATABASE SETTINGS"
    ALTER_VIEW_MODIFY_QUERY "ALTER VIEW MODIFY QUERY"
    CREATE_DATABASE "CREATE DATABASE"
    CREATE_TABLE "CREATE TABLE"
    CREATE_VIEW "CREATE VIEW"
    CREATE_DICTIONARY "CREATE DICTIONARY"
    CREATE_TEMPORARY_TABLE "CREATE TEMPORARY TABLE"
    CREATE_FUNCTION "CREATE FUNCTION"
    DROP_DATABASE "DROP DATABASE"
    DROP_TABLE "DROP TABLE"
    DROP_VIEW "DROP VIEW"
    DROP_DICTIONARY "DROP DICTIONARY"
    DROP_FUNCTION "DROP FUNCTION"
    TRUNCATE "TRUNCATE"
    OPTIMIZE "OPTIMIZE"
    BACKUP "BACKUP"
    KILL_QUERY "KILL QUERY"
    KILL_TRANSACTION "KILL TRANSACTION"
    CREATE_USER "CREATE USER"
    ALTER_USER "ALTER USER"
    DROP_USER "DROP USER"
    CREATE_ROLE "CREATE ROLE"
    ALTER_ROLE "ALTER ROLE"
    DROP_ROLE "DROP ROLE"
    ROLE_ADMIN "ROLE ADMIN"
    CREATE_ROW_POLICY "CREATE ROW POLICY"
    ALTER_ROW_POLICY "ALTER ROW POLICY"
    DROP_ROW_POLICY "DROP ROW POLICY"
    CREATE_QUOTA "CREATE QUOTA"
    ALTER_QUOTA "ALTER QUOTA"
    DROP_QUOTA "DROP QUOTA"
    CREATE_SETTINGS_PROFILE "CREATE SETTINGS PROFILE"
    ALTER_SETTINGS_PROFILE "ALTER SETTINGS PROFILE"
    DROP_SETTINGS_PROFILE "DROP SETTINGS PROFILE"
    SHOW_USERS "SHOW USERS"
    SHOW_ROLES "SHOW ROLES"
    SHOW_ROW_POLICIES "SHOW ROW POLICIES"
    SHOW_QUOTAS "SHOW QUOTAS"
    SHOW_SETTINGS_PROFILES "SHOW SETTINGS PROFILES"
    SYSTEM_SHUTDOWN "SYSTEM SHUTDOWN"
    SYSTEM_DROP_CACHE "SYSTEM DROP CACHE"
    SYSTEM_RELOAD "SYSTEM RELOAD"
    SYSTEM_MERGES "SYSTEM MERGES"
    SYSTEM_TTL_MERGES "SYSTEM TTL MERGES"
    SYSTEM_MOVES "SYSTEM MOVES"
    SYSTEM_VIEWS "SYSTEM VIEWS"
    SYSTEM_FLUSH "SYSTEM FLUSH"
    SYSTEM_QUARANTINE "SYSTEM QUARANTINE"
    SYSTEM_OTHER "SYSTEM OTHER"
    FILE "FILE"
    URL "URL"
    REMOTE "REMOTE"
    MYSQL "MYSQL"
    POSTGRES "POSTGRES"
    S3 "S3"
    KAFKA "KAFKA"
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The row of a name; a name without one does not compile.
const fn position(name: &str) -> u8 {
    let mut at = 0;
    while at < ROWS.len() {
        if same(ROWS[at].name, name) {
            return at as u8;
        }
        at += 1;
    }
    panic!("no privilege has this name")
}

impl Privilege {
    pub fn name(self) -> &'static str {
        ROWS[usize::from(self.0)].name
    }

    pub fn level(self) -> Level {
        ROWS[usize::from(self.0)].level.unwrap_or(Level::Global)
    }

    /// Every privilege that is no group, in the order of the hierarchy.
    pub fn all() -> impl Iterator<Item = Privilege> {
        ROWS.iter().enumerate().filter(|(_, r)| r.level.is_some()).map(|(at, _)| Privilege(at as u8))
    }
}

/// A row of `system.privileges`.
pub struct Listed {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub level: Option<Level>,
    pub parent: Option<&'static str>,
}

/// Groups and privileges, a parent before what is in it.
pub fn hierarchy() -> impl Iterator<Item = Listed> {
    ROWS.iter().map(|r| Listed {
        name: r.name,
        aliases: r.aliases,
        level: r.level,
        parent: Some(r.parent).filter(|p| !p.is_empty()),
    })
}

// Two words hold a bit for each row; a third is needed when the hierarchy has grown beyond them.
const WORDS: usize = 3;
const _: () = assert!(ROWS.len() <= WORDS * 64);

/// A set of privileges.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Privileges([u64; WORDS]);

impl From<Privilege> for Privileges {
    fn from(one: Privilege) -> Privileges {
        let mut set = Privileges::default();
        set.0[usize::from(one.0) / 64] |= 1 << (one.0 % 64);
        set
    }
}

impl FromIterator<Privilege> for Privileges {
    fn from_iter<I: IntoIterator<Item = Privilege>>(all: I) -> Privileges {
        all.into_iter().fold(Privileges::default(), |set, one| set | one.into())
    }
}

impl std::ops::BitOr for Privileges {
    type Output = Privileges;
    fn bitor(self, other: Privileges) -> Privileges {
        Privileges(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }
}

impl std::ops::BitAnd for Privileges {
    type Output = Privileges;
    fn bitand(self, other: Privileges) -> Privileges {
        Privileges(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }
}

impl std::ops::Sub for Privileges {
    type Output = Privileges;
    fn sub(self, other: Privileges) -> Privileges {
        Privileges(std::array::from_fn(|i| self.0[i] & !other.0[i]))
    }
}

impl Privileges {
    pub fn all() -> Privileges {
        Privilege::all().collect()
    }

    /// Those that may be granted on a thing of this kind.
    pub fn grantable_on(level: Level) -> Privileges {
        Privilege::all().filter(|p| p.level() >= level).collect()
    }

    /// A group or a privilege by any of its names, in any case; `STREAM` says `TABLE`.
    ///
    /// Errors: SYNTAX_ERROR (62), as for a word that the grammar does not know.
    pub fn named(name: &str) -> Result<Privileges> {
        let words: Vec<&str> = name.split_whitespace().collect();
        let clickhouse = |word: &&str| match word.to_ascii_uppercase().as_str() {
            "STREAM" => "TABLE".to_owned(),
            "STREAMS" => "TABLES".to_owned(),
            other => other.to_owned(),
        };
        let wanted = words.iter().map(clickhouse).collect::<Vec<_>>().join(" ");
        if matches!(wanted.as_str(), "NONE" | "USAGE" | "NO PRIVILEGES") {
            return Ok(Privileges::default());
        }
        let is = |r: &&Row| {
            r.name.eq_ignore_ascii_case(&wanted) || r.aliases.iter().any(|a| a.eq_ignore_ascii_case(&wanted))
        };
        match ROWS.iter().find(is) {
            Some(row) => Ok(Privileges::of_row(row)),
            None => Err(Error::new(Code::SYNTAX_ERROR, format!("privilege {name} is unknown"))
                .hint("select privilege from system.privileges")),
        }
    }

    fn of_row(row: &Row) -> Privileges {
        if row.level.is_some() {
            return Privilege(position_of(row.name)).into();
        }
        ROWS.iter()
            .filter(|r| same(r.parent, row.name))
            .map(Privileges::of_row)
            .fold(Privileges::default(), |a, b| a | b)
    }

    pub fn is_empty(self) -> bool {
        self == Privileges::default()
    }

    pub fn contains(self, other: Privileges) -> bool {
        (other - self).is_empty()
    }

    pub fn iter(self) -> impl Iterator<Item = Privilege> {
        Privilege::all().filter(move |p| self.contains((*p).into()))
    }

    /// The names that say this set on a thing of this kind, groups first where they fit.
    pub fn names(self, level: Level) -> Vec<&'static str> {
        let mut names = Vec::new();
        if self.is_empty() {
            return names;
        }
        self.write_names(&ROWS[0], Privileges::grantable_on(level), &mut names);
        names
    }

    fn write_names(self, row: &'static Row, grantable: Privileges, names: &mut Vec<&'static str>) {
        let here = Privileges::of_row(row) & grantable;
        if here.is_empty() || (here & self).is_empty() {
            return;
        }
        if self.contains(here) {
            names.push(row.name);
            return;
        }
        for below in ROWS.iter().filter(|r| same(r.parent, row.name)) {
            self.write_names(below, grantable, names);
        }
    }
}

fn position_of(name: &str) -> u8 {
    ROWS.iter().position(|r| r.name == name).unwrap_or_default() as u8
}

impl fmt::Debug for Privileges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names(Level::Global).join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_alias_means_one_thing_and_parents_come_first() {
        for (at, row) in ROWS.iter().enumerate() {
            let set = Privileges::named(row.name).unwrap();
            assert!(!set.is_empty(), "{}", row.name);
            assert_eq!(set, Privileges::of_row(row));
            for alias in row.aliases {
                assert_eq!(Privileges::named(&alias.to_lowercase()).unwrap(), set, "{alias}");
            }
            assert!(at == 0 || ROWS[..at].iter().any(|r| r.level.is_none() && r.name == row.parent), "{}", row.name);
            let names = ROWS.iter().flat_map(|r| r.aliases.iter().chain([&r.name]));
            assert_eq!(names.filter(|n| **n == row.name).count(), 1, "{}", row.name);
        }
        assert_eq!(Privileges::named("create stream").unwrap(), Privilege::CREATE_TABLE.into());
        assert_eq!(Privileges::named("fly").unwrap_err().code, Code::SYNTAX_ERROR);
    }

    #[test]
    fn a_set_is_written_with_as_few_names_as_say_it() {
        assert_eq!(Privileges::all().names(Level::Global), ["ALL"]);
        assert_eq!(Privileges::grantable_on(Level::Stream).names(Level::Stream), ["ALL"]);
        let set = Privileges::named("ALTER COLUMN").unwrap() | Privilege::SELECT.into();
        assert_eq!(set.names(Level::Global), ["SELECT", "ALTER COLUMN"]);
        for row in ROWS {
            let set = Privileges::of_row(row);
            let names = set.names(Level::Global);
            let again = names.iter().map(|n| Privileges::named(n).unwrap());
            assert_eq!(again.fold(Privileges::default(), |a, b| a | b), set, "{}", row.name);
        }
    }
}
