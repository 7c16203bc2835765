//! Runs tests/sql/**/*.slt on an engine in this process.
//!
//! A file is a list of records, separated by blank lines; `#` starts a comment.
//! `statement ok` and `statement error <code>` are followed by a statement; `query` by a statement, a line `----` and the
//! expected rows in TSV; `query sorted` compares the rows in order of their text; `user <name>`, alone, goes on in the session of
//! that user. Each file has an engine of its own.

use hydron_base::Result;
use hydron_engine::{Engine, EngineOptions, Input, Item, QueryOptions, Session};
use hydron_format::FormatOptions;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn sql_files_give_their_answers() {
    let root = Path::new("../../tests/sql");
    let mut files = Vec::new();
    find(root, &mut files);
    files.sort();
    assert!(!files.is_empty(), "there are files in {}", root.display());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let failures: Vec<String> = files.iter().flat_map(|f| runtime.block_on(run(f))).collect();
    assert!(failures.is_empty(), "{} records fail\n{}", failures.len(), failures.join("\n"));
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|e| e == "slt") {
            files.push(path);
        }
    }
}

async fn run(file: &Path) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineOptions { segment_bytes: 1 << 20, ..EngineOptions::at(dir.path()) }).unwrap();
    let session_of = |user: &str| {
        let mut session = engine.session(user, "default");
        session.settings.set("query_mode", "table").unwrap();
        session
    };
    let mut sessions = HashMap::from([("default".to_string(), session_of("default"))]);
    let mut user = "default".to_string();
    let mut failures = Vec::new();
    let text = std::fs::read_to_string(file).unwrap();
    let mut line_number = 1;
    for record in text.split("\n\n") {
        let lines: Vec<&str> = record.lines().filter(|l| !l.starts_with('#')).collect();
        if let Some((head, body)) = lines.iter().position(|l| !l.trim().is_empty()).map(|i| (lines[i], &lines[i + 1..]))
            && let Some(session) = match head.strip_prefix("user ") {
                Some(name) => {
                    user = name.trim().to_string();
                    sessions.entry(user.clone()).or_insert_with(|| session_of(name.trim()));
                    None
                }
                None => sessions.get_mut(&user),
            }
            && let Err(why) = check(&engine, session, head, body).await
        {
            failures.push(format!("{}:{line_number}: {why}", file.display()));
        }
        line_number += record.lines().count() + 1;
    }
    engine.close(Duration::from_secs(3)).await;
    failures
}

async fn check(engine: &Engine, session: &mut Session, head: &str, body: &[&str]) -> Result<(), String> {
    let words: Vec<&str> = head.split_whitespace().collect();
    let split = body.iter().position(|l| *l == "----").unwrap_or(body.len());
    let sql = body[..split].join("\n");
    let answer = ask(engine, session, &sql).await;
    match words.as_slice() {
        ["statement", "ok"] => answer.map(drop).map_err(|e| format!("{sql}\n    {e}")),
        ["statement", "error", code] => match answer {
            Err(e) if e.code.number().to_string() == *code => Ok(()),
            Err(e) => Err(format!("{sql}\n    error {code} was expected, got {e}")),
            Ok(rows) => Err(format!("{sql}\n    error {code} was expected, got {rows:?}")),
        },
        ["query", rest @ ..] => {
            let mut rows = answer.map_err(|e| format!("{sql}\n    {e}"))?;
            let mut expected: Vec<String> =
                body.get(split + 1..).unwrap_or_default().iter().map(|l| l.to_string()).collect();
            if rest.contains(&"sorted") {
                rows.sort();
                expected.sort();
            }
            if rows == expected { Ok(()) } else { Err(format!("{sql}\n    expected {expected:#?}\n    got {rows:#?}")) }
        }
        _ => Err(format!("'{head}' is no record")),
    }
}

/// The answer as lines of TSV.
async fn ask(engine: &Engine, session: &mut Session, sql: &str) -> Result<Vec<String>> {
    let mut running = engine.execute(session, sql.to_string(), Input::None, QueryOptions::default()).await?;
    let options = FormatOptions::from_settings(&running.settings, hydron_types::Zone::UTC);
    let mut out = Vec::new();
    let mut format = match &running.schema {
        Some(schema) => Some(hydron_format::output("TabSeparated", schema.clone(), &options)?),
        None => None,
    };
    while let Some(item) = running.next().await? {
        if let (Item::Rows(batch), Some(format)) = (item, &mut format) {
            format.batch(&batch, &mut out)?;
        }
    }
    Ok(String::from_utf8_lossy(&out).lines().map(str::to_string).collect())
}
