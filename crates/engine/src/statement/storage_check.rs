//! What a table may be declared with: keys, indexes and settings of ClickHouse's engines.
//!
//! In: a CREATE as it would be stored. Out: nothing, or why it cannot be. Promise: what is taken without effect is checked as
//! strictly as where it has one, so that a script that is wrong there is wrong here.

use hydron_base::{Error, Result};
use hydron_plan::bind::setting_text;
use hydron_sql::ast::{CreateStream, Expr, ExprKind, IndexDef, Literal};

/// Functions whose value is not that of their arguments alone.
const NOT_DETERMINISTIC: &[&str] = &[
    "now",
    "now64",
    "now_in_block",
    "today",
    "yesterday",
    "current_timestamp",
    "utc_timestamp",
    "rand",
    "rand32",
    "rand64",
    "rand_constant",
    "rand_canonical",
    "random_string",
    "random_fixed_string",
    "random_printable_ascii",
    "generate_uuid_v4",
    "generateuuidv4",
    "uptime",
    "row_number_in_block",
    "row_number_in_all_blocks",
    "block_number",
    "block_size",
    "current_database",
    "current_user",
    "hostname",
    "sleep",
    "sleep_each_row",
];

/// ClickHouse's pool of background threads times the merges that wait for each of them: more of it cannot be free.
const POOL_ENTRIES: u64 = 32;

/// Bytes of one bloom filter of an index.
const BLOOM_BYTES_MAX: u64 = 256 << 20;

/// Errors: BAD_ARGUMENTS (36).
pub fn check(create: &CreateStream) -> Result<()> {
    let storage = &create.storage;
    let keys =
        [("Sorting", &storage.order_by), ("Partition", &storage.partition_by), ("Primary", &storage.primary_key)];
    for (what, key) in keys {
        if let Some(name) = key.as_ref().and_then(not_deterministic) {
            let message =
                format!("{what} key cannot contain non-deterministic functions, but contains function {name}");
            return Err(Error::bad_arguments(message));
        }
    }
    if let Some(elements) = &create.elements {
        elements.indexes.iter().try_for_each(index)?;
    }
    for setting in &storage.settings {
        let name = setting.name.as_str();
        let of_pool = matches!(
            name,
            "number_of_free_entries_in_pool_to_execute_mutation"
                | "number_of_free_entries_in_pool_to_lower_max_size_of_merge"
        );
        let value = setting_text(setting)?.and_then(|v| v.parse::<u64>().ok());
        if let Some(value) = value.filter(|v| of_pool && *v > POOL_ENTRIES) {
            let message = format!(
                "The value of '{name}' setting ({value}) (default values are defined in <merge_tree> section of \
                 config.xml or the value can be specified per table in SETTINGS section of CREATE TABLE query) is \
                 greater than the value of 'background_pool_size'*'background_merges_mutations_concurrency_ratio' \
                 ({POOL_ENTRIES})"
            );
            return Err(Error::bad_arguments(message));
        }
    }
    Ok(())
}

/// Settings of a table in ClickHouse's old syntax are arguments of its engine and cannot be altered.
pub fn check_modify_setting(create: &CreateStream) -> Result<()> {
    match &create.storage.engine {
        Some(engine) if engine.name.ends_with("MergeTree") && engine.args.len() >= 3 => {
            Err(Error::bad_arguments("ALTER MODIFY SETTING is not supported for MergeTree tables in the old syntax")
                .hint("ENGINE = MergeTree ORDER BY …"))
        }
        _ => Ok(()),
    }
}

fn not_deterministic(key: &Expr) -> Option<String> {
    let mut found = None;
    key.walk(&mut |e| {
        if let Some(f) = e.as_function()
            && NOT_DETERMINISTIC.contains(&f.name.to_ascii_lowercase().as_str())
        {
            found.get_or_insert_with(|| f.name.clone());
        }
    });
    found
}

fn index(index: &IndexDef) -> Result<()> {
    let (name, args): (String, &[Expr]) = match &index.ty.kind {
        ExprKind::Function(f) => (f.name.clone(), &f.args),
        ExprKind::Identifier(name) => (name.full(), &[]),
        _ => return Ok(()),
    };
    let wrong = |what: String| Err(Error::bad_arguments(format!("index {}: {what}", index.name)));
    let whole = |arg: &Expr| arg.as_literal().and_then(Literal::as_u64);
    let counts = match name.as_str() {
        "tokenbf_v1" => 3,
        "ngrambf_v1" => 4,
        "set" if args.len() != 1 => return wrong("set index must have exactly one argument".to_owned()),
        "minmax" if !args.is_empty() => return wrong("minmax index takes no argument".to_owned()),
        "bloom_filter" if args.len() > 1 => return wrong("bloom_filter index takes one argument at most".to_owned()),
        "bloom_filter" => {
            let rate = args.first().map(|a| a.to_string().parse::<f64>().unwrap_or(-1.0)).unwrap_or(0.025);
            return match rate > 0.0 && rate < 1.0 {
                true => Ok(()),
                false => wrong("the rate of a bloom filter is between 0 and 1".to_owned()),
            };
        }
        _ => return Ok(()),
    };
    if args.len() != counts {
        return wrong(format!("{name} index must have exactly {counts} arguments"));
    }
    let numbers: Option<Vec<u64>> = args.iter().map(whole).collect();
    let Some(numbers) = numbers else {
        return wrong(format!("all parameters of {name} index must be unsigned integers"));
    };
    // Size and number of hashes, behind the length of an n-gram; the seed may be anything.
    let (size, hashes) = (numbers[counts - 3], numbers[counts - 2]);
    match () {
        () if counts == 4 && numbers[0] == 0 => wrong("the length of an n-gram must be greater than 0".to_owned()),
        () if size == 0 => wrong("the size of a bloom filter must be greater than 0".to_owned()),
        () if size > BLOOM_BYTES_MAX => wrong(format!("the size of a bloom filter is {BLOOM_BYTES_MAX} bytes at most")),
        () if hashes == 0 => wrong("the number of hash functions must be greater than 0".to_owned()),
        () => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_sql::ast::StatementKind;

    fn checked(text: &str) -> bool {
        match hydron_sql::parse_statement(text).unwrap().statement.kind {
            StatementKind::CreateStream(create) => check(&create).is_ok(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn indexes_keys_and_settings() {
        let table =
            |ty: &str| checked(&format!("create stream t (a string, index i a type {ty}) engine MergeTree order by a"));
        for good in [
            "minmax",
            "set(0)",
            "bloom_filter",
            "bloom_filter(0.1)",
            "tokenbf_v1(256, 2, 0)",
            "ngrambf_v1(3, 256, 2, 0)",
        ] {
            assert!(table(good), "{good}");
        }
        for bad in [
            "minmax(1)",
            "set()",
            "bloom_filter(2)",
            "tokenbf_v1(0, 2, 0)",
            "tokenbf_v1(2, 0, 0)",
            "tokenbf_v1(0.1, 2, 0)",
        ] {
            assert!(!table(bad), "{bad}");
        }
        for bad in
            ["tokenbf_v1(-1, 2, 0)", "tokenbf_v1(0xFFFFFFFF, 2, 0)", "tokenbf_v1(1, 2)", "ngrambf_v1(0, 1, 1, 1)"]
        {
            assert!(!table(bad), "{bad}");
        }
        let by = |key: &str| checked(&format!("create stream t (a uint64) engine MergeTree order by {key}"));
        assert!(by("a") && by("(a, a + 1)") && !by("now()") && !by("if(rand() > 1, a, -a)"));
        let setting = |n: u64| {
            let name = "number_of_free_entries_in_pool_to_execute_mutation";
            checked(&format!("create stream t (a int) engine MergeTree order by a settings {name} = {n}"))
        };
        assert!(setting(20) && !setting(100));
    }
}
