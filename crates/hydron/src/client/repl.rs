//! Statements from a person: history, several lines, completion, progress.

use super::args::CommonArgs;
use super::backend::{Backend, Request, Status};
use hydron_base::Result;
use reedline::{
    Completer, DefaultCompleter, FileBackedHistory, Prompt, PromptEditMode, PromptHistorySearch, Reedline, Signal,
    ValidationResult, Validator,
};
use std::borrow::Cow;
use std::io::Write;

/// Statements kept in the history file.
const HISTORY_LINES: usize = 10_000;

const KEYWORDS: &str = "select from where group by having order limit offset distinct as with union all join inner left \
    on using prewhere settings format emit periodic after watermark delay changelog insert into values create stream view \
    random database drop exists show streams databases describe explain plan pipeline syntax use set kill query table \
    tumble hop session window_start window_end interval seek_to and or not in like between is null case when then else end";

pub fn run(backend: &mut dyn Backend, args: &CommonArgs) -> Result<i32> {
    println!("{}", backend.greeting()?);
    println!("A statement ends with ';'. Ctrl-C ends a running statement, Ctrl-D or 'exit' the client.");
    let mut editor = editor(words(backend));
    loop {
        match editor.read_line(&Smile) {
            Ok(Signal::Success(line)) => {
                let statement = line.trim().trim_end_matches(';').trim();
                match statement.to_ascii_lowercase().as_str() {
                    "" => {}
                    "exit" | "quit" | "q" | "\\q" | ":q" => return Ok(0),
                    _ => statements(backend, args, line.trim()),
                }
            }
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
    for script in hydron_sql::parse_many(text) {
        statement(backend, args, script.text);
    }
}

fn statement(backend: &mut dyn Backend, args: &CommonArgs, text: &str) {
    let mut out = Erasing { inner: std::io::stdout() };
    let on_status = |s: Status| show_status(s);
    let request = Request { text, data: None, default_format: args.default_format(true), on_status: Some(&on_status) };
    let outcome = backend.run(request, &mut out);
    erase_status();
    match outcome {
        Ok(summary) => {
            let rows =
                summary.rows.map_or(String::new(), |n| format!("{n} row{} in set. ", if n == 1 { "" } else { "s" }));
            println!("\n{rows}Elapsed: {:.3} sec.{}\n", summary.elapsed.as_secs_f64(), processed(summary.read_rows));
        }
        Err(e) => println!("\n{e}\n"),
    }
}

fn processed(rows: u64) -> String {
    if rows == 0 { String::new() } else { format!(" Processed {rows} rows.") }
}

fn show_status(s: Status) {
    if s.read_rows == 0 {
        return;
    }
    let seconds = s.elapsed.as_secs_f64().max(1e-3);
    let (rate, megabytes) = (s.read_rows as f64 / seconds, s.read_bytes as f64 / seconds / 1e6);
    let share = match s.total_rows {
        0 => String::new(),
        total => format!(", {} %", (100 * s.read_rows / total.max(1)).min(100)),
    };
    eprint!("\r\x1b[K-> {} rows, {rate:.0} rows/s, {megabytes:.1} MB/s{share}", s.read_rows);
}

fn erase_status() {
    eprint!("\r\x1b[K");
}

/// Standard output that first wipes the line of progress.
struct Erasing<W> {
    inner: W,
}

impl<W: Write> Write for Erasing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !bytes.is_empty() {
            erase_status();
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn editor(words: Vec<String>) -> Reedline {
    let mut completer = DefaultCompleter::with_inclusions(&['_', '.']).set_min_word_len(1);
    completer.insert(words);
    let completer: Box<dyn Completer + Send> = Box::new(completer);
    let menu = reedline::ReedlineMenu::EngineCompleter(Box::new(reedline::MenuBuilder::with_name(
        reedline::ColumnarMenu::default(),
        "completion",
    )));
    let mut bindings = reedline::default_emacs_keybindings();
    bindings.add_binding(
        reedline::KeyModifiers::NONE,
        reedline::KeyCode::Tab,
        reedline::ReedlineEvent::UntilFound(vec![
            reedline::ReedlineEvent::Menu("completion".to_string()),
            reedline::ReedlineEvent::MenuNext,
        ]),
    );
    let mut editor = Reedline::create()
        .with_validator(Box::new(EndsWithSemicolon))
        .with_completer(completer)
        .with_menu(menu)
        .with_edit_mode(Box::new(reedline::Emacs::new(bindings)));
    if let Some(home) = std::env::var_os("HOME") {
        let file = std::path::Path::new(&home).join(".hydron_history");
        // Without a history file the session still works.
        if let Ok(history) = FileBackedHistory::with_file(HISTORY_LINES, file) {
            editor = editor.with_history(Box::new(history));
        }
    }
    editor
}

/// Keywords, functions and names of streams.
fn words(backend: &mut dyn Backend) -> Vec<String> {
    let mut words: Vec<String> = KEYWORDS.split_whitespace().map(str::to_string).collect();
    for query in [
        "select name from system.functions",
        "select name from system.streams",
        "select distinct name from system.columns",
    ] {
        let mut out = Vec::new();
        let request = Request { text: query, data: None, default_format: "TabSeparated", on_status: None };
        // Completion is a convenience: without these words it still has the keywords.
        if backend.run(request, &mut out).is_ok() {
            words.extend(String::from_utf8_lossy(&out).lines().map(str::to_string));
        }
    }
    words.sort();
    words.dedup();
    words
}

struct EndsWithSemicolon;

impl Validator for EndsWithSemicolon {
    fn validate(&self, line: &str) -> ValidationResult {
        let line = line.trim();
        let is_command = ["", "exit", "quit", "q", "\\q", ":q"].contains(&line.to_ascii_lowercase().as_str());
        if line.ends_with(';') || is_command { ValidationResult::Complete } else { ValidationResult::Incomplete }
    }
}

struct Smile;

impl Prompt for Smile {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "hydron ".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        ":) ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "       :-] ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        format!("(search: {}) ", search.term).into()
    }
}
