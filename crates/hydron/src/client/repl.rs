//! Statements from a person: what is typed is run, its answer shown, until `exit` or Ctrl-D.

use super::args::CommonArgs;
use super::backend::{Backend, Request, Status};
use super::editor::{self, Smile, Words};
use super::infile;
use super::screen::{Screen, scaled};
use hydron_base::Result;
use hydron_sql::Script;
use parking_lot::Mutex;
use reedline::Signal;
use std::borrow::Cow;
use std::sync::Arc;

pub fn run(backend: &mut dyn Backend, args: &CommonArgs) -> Result<i32> {
    println!("{}", backend.greeting()?);
    println!("A statement ends with ';', or with '\\G' to see its answer row by row. Tab completes.");
    println!("Ctrl-C ends a running statement, Ctrl-D or 'exit' the client.\n");
    let words: Words = Arc::new(Mutex::new(names(backend)));
    let mut editor = editor::editor(&words);
    loop {
        match editor.read_line(&Smile) {
            Ok(Signal::Success(line)) if line.trim().is_empty() => {}
            Ok(Signal::Success(line)) if editor::is_command(&line) => {
                if !line.trim().to_ascii_lowercase().starts_with("help") {
                    return Ok(0);
                }
                println!(
                    "SQL: docs/reference/sql.md. Try: show streams; describe s; select * from s; explain select 1;\n"
                );
            }
            Ok(Signal::Success(line)) => {
                // What was typed survives whatever the statement does.
                let _ = editor.sync_history();
                statements(backend, args, line.trim());
                if changes_names(&line) {
                    *words.lock() = names(backend);
                }
            }
            // Ctrl-C throws away what was typed.
            Ok(Signal::CtrlC) => {}
            Ok(Signal::CtrlD) => return Ok(0),
            Ok(_) => {}
            Err(e) => {
                eprintln!("the terminal cannot be read: {e}");
                return Ok(1);
            }
        }
    }
}

fn statements(backend: &mut dyn Backend, args: &CommonArgs, text: &str) {
    let (text, vertical) = match text.strip_suffix("\\G") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let format = if vertical { "Vertical" } else { args.default_format(true) };
    for script in hydron_sql::parse_many(text) {
        if !statement(backend, format, &script) {
            // What follows a statement that failed or was ended was typed in the belief that it works.
            return;
        }
    }
}

/// True when it succeeded.
fn statement(backend: &mut dyn Backend, format: &str, script: &Script<'_>) -> bool {
    let screen = Arc::new(Screen::new());
    let on_status = |s: Status| screen.show(s);
    let taken = match &script.parsed {
        Ok(parsed) => infile::take(&parsed.statement, &screen),
        Err(_) => Ok(None),
    };
    let outcome = taken.and_then(|taken| {
        let (text, data) = taken.map_or((Cow::Borrowed(script.text), None), |t| (Cow::Owned(t.text), Some(t.data)));
        let request = Request { text: &text, data, default_format: format, on_status: Some(&on_status) };
        backend.run(request, &mut &*screen)
    });
    screen.erase();
    match outcome {
        Ok(summary) => {
            let rows =
                summary.rows.map_or(String::new(), |n| format!("{n} row{} in set. ", if n == 1 { "" } else { "s" }));
            let seconds = summary.elapsed.as_secs_f64();
            println!("\n{rows}Elapsed: {seconds:.3} sec.{}\n", processed(summary.read_rows, seconds));
            true
        }
        Err(e) => {
            println!("\n{e}\n");
            false
        }
    }
}

fn processed(rows: u64, seconds: f64) -> String {
    match rows {
        0 | 1 => String::new(),
        n => {
            let (rows, rate) = (scaled(n as f64), scaled(n as f64 / seconds.max(1e-3)));
            format!(" Processed {} rows ({} rows/s.).", rows.trim_end(), rate.trim_end())
        }
    }
}

fn changes_names(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    ["create", "drop", "alter", "rename", "use"].contains(&first.as_str())
}

/// Keywords, functions, and names of streams and columns.
fn names(backend: &mut dyn Backend) -> Vec<String> {
    let mut names = Vec::new();
    for query in [
        "select name from system.functions settings log_queries = 0",
        "select name from system.streams settings log_queries = 0",
        "select distinct name from system.columns settings log_queries = 0",
        "select name from system.databases settings log_queries = 0",
    ] {
        let mut out = Vec::new();
        let request = Request { text: query, data: None, default_format: "TabSeparated", on_status: None };
        // Completion is a convenience: without these words it still has the keywords.
        if backend.run(request, &mut out).is_ok() {
            names.extend(String::from_utf8_lossy(&out).lines().map(str::to_string));
        }
    }
    editor::words(names)
}
