//! Which files are read, and where rows end in them.
//!
//! Errors: INVALID_SETTING_VALUE naming the setting.

use super::records::Delimiter;
use hydron_base::{Code, Error, Result};
use regex::Regex;
use std::path::PathBuf;

/// Bytes of a row, as Proton has it.
const ROW_BYTES_DEFAULT: usize = 4_096;

/// Bytes at the head of a file by which it is known again.
const HASH_BYTES_DEFAULT: usize = 1_024;

#[derive(Clone, Debug)]
pub struct TailSettings {
    pub dir: PathBuf,
    /// Of names of files, each of the whole name.
    pub files: Vec<Regex>,
    pub delimiter: Delimiter,
    pub timestamp: Option<Regex>,
    /// A longer row is cut into several.
    pub row_bytes_max: usize,
    pub hash_bytes: usize,
}

impl TailSettings {
    /// `get`: the value of a setting; empty values count as none.
    pub fn parse(get: &dyn Fn(&str) -> Option<String>) -> Result<TailSettings> {
        let get = |name: &str| get(name).filter(|v| !v.is_empty());
        let needed = |name: &str| {
            get(name).ok_or_else(|| {
                let message = format!("setting '{name}' of an external stream of log files is missing");
                let hint = "type = 'log', log_dir = '/var/log', log_files = 'server.*\\.log'";
                Error::new(Code::INVALID_SETTING_VALUE, message).hint(hint)
            })
        };
        let dir = PathBuf::from(needed("log_dir")?);
        if !dir.is_absolute() {
            let message = format!("log_dir '{}' is not an absolute path", dir.display());
            return Err(Error::new(Code::INVALID_SETTING_VALUE, message));
        }
        let whole = |pattern: &str| compile("log_files", &format!("^(?:{pattern})$"));
        let files = needed("log_files")?.split(',').map(|p| whole(p.trim())).collect::<Result<Vec<_>>>()?;
        let delimiter = match get("row_delimiter") {
            None => Delimiter::Byte(b'\n'),
            Some(text) => delimiter(&text)?,
        };
        Ok(TailSettings {
            dir,
            files,
            delimiter,
            timestamp: get("timestamp_regex").map(|t| compile("timestamp_regex", &t)).transpose()?,
            row_bytes_max: bytes(&get, "max_row_length", ROW_BYTES_DEFAULT, 16 << 20)?,
            hash_bytes: bytes(&get, "hash_bytes", HASH_BYTES_DEFAULT, 1 << 20)?,
        })
    }
}

fn compile(name: &str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern)
        .map_err(|e| Error::new(Code::INVALID_SETTING_VALUE, format!("setting '{name}' is no regular expression: {e}")))
}

fn bytes(get: &dyn Fn(&str) -> Option<String>, name: &str, default: usize, max: usize) -> Result<usize> {
    let Some(text) = get(name) else { return Ok(default) };
    let parsed = text.parse().ok().filter(|n| (1..=max).contains(n));
    parsed.ok_or_else(|| {
        let message = format!("setting '{name}' cannot be '{text}'");
        Error::new(Code::INVALID_SETTING_VALUE, message).hint(format!("1 to {max} bytes"))
    })
}

/// One character (`\n`, `\t` and `\r` may be written out), or a regular expression: with a group, rows begin where the group does;
/// without one, they end where it matches.
fn delimiter(text: &str) -> Result<Delimiter> {
    match text {
        "\\n" => return Ok(Delimiter::Byte(b'\n')),
        "\\t" => return Ok(Delimiter::Byte(b'\t')),
        "\\r" => return Ok(Delimiter::Byte(b'\r')),
        _ => {}
    }
    if let [byte] = text.as_bytes()
        && (byte.is_ascii_control() || byte.is_ascii_alphanumeric() || b" ,;:#%&@!<>=~/'\"-_`".contains(byte))
    {
        return Ok(Delimiter::Byte(*byte));
    }
    let wrong = |why: String| Error::new(Code::INVALID_SETTING_VALUE, format!("setting 'row_delimiter' {why}"));
    let regex = regex::bytes::Regex::new(&format!("(?m){text}"))
        .map_err(|e| wrong(format!("is no regular expression: {e}")))?;
    if regex.is_match(b"") {
        return Err(wrong("matches nothing at all".to_owned()));
    }
    match regex.captures_len() {
        1 => Ok(Delimiter::Ends(regex)),
        2 => Ok(Delimiter::Begins(regex)),
        n => Err(wrong(format!("has {} groups, it may have one", n - 1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<TailSettings> {
        let base = [("log_dir", "/var/log"), ("log_files", "a\\.log, b.*")];
        let all: Vec<_> = base.iter().chain(pairs).copied().collect();
        TailSettings::parse(&|name| all.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn patterns_are_of_whole_names() {
        let settings = parse(&[]).unwrap();
        let matches = |name: &str| settings.files.iter().any(|r| r.is_match(name));
        assert!(matches("a.log") && matches("bcd") && !matches("a.log.1") && !matches("xa.log"));
        assert!(matches!(settings.delimiter, Delimiter::Byte(b'\n')));
    }

    #[test]
    fn delimiters_are_characters_or_expressions() {
        let of = |text: &str| parse(&[("row_delimiter", text)]).map(|s| s.delimiter);
        assert!(matches!(of("\\n").unwrap(), Delimiter::Byte(b'\n')));
        assert!(matches!(of("\n").unwrap(), Delimiter::Byte(b'\n')));
        assert!(matches!(of("\r?\n").unwrap(), Delimiter::Ends(_)));
        assert!(matches!(of("(\\d{4}-\\d\\d) \\[").unwrap(), Delimiter::Begins(_)));
        for wrong in ["(a)(b)", "(", "x*"] {
            assert_eq!(of(wrong).unwrap_err().code, Code::INVALID_SETTING_VALUE, "{wrong}");
        }
    }

    #[test]
    fn what_is_needed_is_asked_for() {
        for (name, value) in
            [("log_dir", ""), ("log_dir", "logs"), ("log_files", ""), ("log_files", "("), ("max_row_length", "0")]
        {
            assert_eq!(parse(&[(name, value)]).unwrap_err().code, Code::INVALID_SETTING_VALUE, "{name} {value}");
        }
    }
}
