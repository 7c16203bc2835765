//! Settings that take some words alone.
//!
//! In: a name and a value. Out: nothing, or that there is no such choice, with the code of ClickHouse for it.

use crate::{Code, Error, Result};

const OVERFLOW: &[&str] = &["throw", "break"];

/// Words in any of these, joined by commas, where the last member says so.
const CHOICES: &[(&str, Code, &[&str], bool)] = &[
    ("date_time_input_format", Code::BAD_ARGUMENTS, &["basic", "best_effort", "best_effort_us"], false),
    ("date_time_output_format", Code::BAD_ARGUMENTS, &["simple", "iso", "unix_timestamp"], false),
    ("distinct_overflow_mode", Code::UNKNOWN_OVERFLOW_MODE, OVERFLOW, false),
    ("format_custom_escaping_rule", Code::BAD_ARGUMENTS, RULES, false),
    ("format_regexp_escaping_rule", Code::BAD_ARGUMENTS, RULES, false),
    ("group_by_overflow_mode", Code::UNKNOWN_OVERFLOW_MODE, &["throw", "break", "any"], false),
    (
        "join_algorithm",
        Code::BAD_ARGUMENTS,
        &[
            "default",
            "auto",
            "hash",
            "partial_merge",
            "prefer_partial_merge",
            "parallel_hash",
            "grace_hash",
            "direct",
            "full_sorting_merge",
        ],
        true,
    ),
    ("join_default_strictness", Code::BAD_ARGUMENTS, &["", "ALL", "ANY"], false),
    ("join_overflow_mode", Code::UNKNOWN_OVERFLOW_MODE, OVERFLOW, false),
    ("network_compression_method", Code::BAD_ARGUMENTS, &["LZ4", "ZSTD", "LZ4HC", "NONE"], false),
    ("query_mode", Code::INVALID_SETTING_VALUE, &["streaming", "table"], false),
    ("read_overflow_mode", Code::UNKNOWN_OVERFLOW_MODE, OVERFLOW, false),
    ("result_overflow_mode", Code::UNKNOWN_OVERFLOW_MODE, OVERFLOW, false),
    ("set_overflow_mode", Code::UNKNOWN_OVERFLOW_MODE, OVERFLOW, false),
    ("sort_overflow_mode", Code::UNKNOWN_OVERFLOW_MODE, OVERFLOW, false),
    (
        "totals_mode",
        Code::UNKNOWN_TOTALS_MODE,
        &["before_having", "after_having_exclusive", "after_having_inclusive", "after_having_auto"],
        false,
    ),
    ("union_default_mode", Code::UNKNOWN_UNION, &["", "ALL", "DISTINCT"], false),
];

const RULES: &[&str] = &["None", "Escaped", "Quoted", "CSV", "JSON", "XML", "Raw"];

/// Errors: the code of the setting for a word that it does not know.
pub(super) fn check(name: &str, value: &str) -> Result<()> {
    if name == "format_csv_delimiter" && value.len() > 1 {
        let message = format!("setting '{name}' is one character, not '{value}'");
        return Err(Error::new(Code::SIZE_OF_FIXED_STRING_DOESNT_MATCH, message));
    }
    let Some((_, code, words, many)) = CHOICES.iter().find(|(n, ..)| *n == name) else { return Ok(()) };
    let is_word = |word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word.trim()));
    let fits = if *many { value.split(',').all(is_word) } else { is_word(value) };
    if fits {
        return Ok(());
    }
    let message = format!("setting '{name}' cannot be '{value}'");
    Err(Error::new(*code, message).hint(words.iter().filter(|w| !w.is_empty()).copied().collect::<Vec<_>>().join(", ")))
}
