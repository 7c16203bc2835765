//! Lines as a person types them: history, several lines, completion.
//!
//! In: keys. Out: whole statements. Promise: Enter ends the input only where a statement ends (`;` or `\G` outside of quotes
//! and comments) or where it is a command of the client.

use hydron_sql::lexer::{Defect, Lexer, TokenKind};
use parking_lot::Mutex;
use reedline::{
    ColumnarMenu, Completer, CompletionResult, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Prompt,
    PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, Span, Suggestion, ValidationResult,
    Validator,
};
use std::borrow::Cow;
use std::sync::Arc;

/// Statements kept in the history file.
const HISTORY_STATEMENTS: usize = 10_000;

/// Words that one completion offers.
const SUGGESTIONS_MAX: usize = 60;

const KEYWORDS: &str = "select from where group by having order limit offset distinct as with union all join inner left \
    on using prewhere settings format emit periodic after watermark delay changelog insert into values create stream view \
    random database drop exists show streams databases describe explain plan pipeline syntax use set kill query table \
    tumble hop session window_start window_end interval seek_to and or not in like between is null case when then else end";

/// Words that completion knows, shared with who renews them.
pub type Words = Arc<Mutex<Vec<String>>>;

/// Sorted words: keywords and `names`.
pub fn words(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = KEYWORDS.split_whitespace().map(str::to_string).chain(names).collect();
    words.sort();
    words.dedup();
    words
}

pub fn editor(words: &Words) -> Reedline {
    const MENU: &str = "completion";
    let menu = ReedlineMenu::EngineCompleter(Box::new(ColumnarMenu::default().with_name(MENU)));
    let mut bindings = reedline::default_emacs_keybindings();
    let complete = ReedlineEvent::UntilFound(vec![ReedlineEvent::Menu(MENU.to_string()), ReedlineEvent::MenuNext]);
    bindings.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
    let mut editor = Reedline::create()
        .with_validator(Box::new(WholeStatement))
        .with_completer(Box::new(WordCompleter(Arc::clone(words))))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_menu(menu)
        .use_bracketed_paste(true)
        .with_ansi_colors(std::env::var_os("NO_COLOR").is_none())
        .with_edit_mode(Box::new(Emacs::new(bindings)));
    if let Some(home) = std::env::var_os("HOME") {
        let file = std::path::Path::new(&home).join(".hydron_history");
        // Without a history file the session still works.
        if let Ok(history) = FileBackedHistory::with_file(HISTORY_STATEMENTS, file) {
            editor = editor.with_history(Box::new(history));
        }
    }
    editor
}

/// Completes the word before the cursor; a name behind a dot by what follows the dot.
struct WordCompleter(Words);

impl Completer for WordCompleter {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        CompletionResult::fresh(self.suggestions(line, pos))
    }
}

impl WordCompleter {
    fn suggestions(&self, line: &str, pos: usize) -> Vec<Suggestion> {
        let before = line.get(..pos).unwrap_or_default();
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let prefix = before[start..].to_lowercase();
        if prefix.is_empty() {
            return Vec::new();
        }
        let words = self.0.lock();
        let matching = words.iter().filter(|w| w.to_lowercase().starts_with(&prefix));
        let suggestion = |w: &String| Suggestion {
            value: w.clone(),
            span: Span::new(start, pos),
            append_whitespace: false,
            ..Suggestion::default()
        };
        matching.take(SUGGESTIONS_MAX).map(suggestion).collect()
    }
}

/// A line that the client itself understands.
pub fn is_command(line: &str) -> bool {
    let word = line.trim().trim_end_matches(';').trim().to_ascii_lowercase();
    ["exit", "quit", "q", "\\q", ":q", "help"].contains(&word.as_str())
}

/// Whether Enter ends the input.
fn is_whole(text: &str) -> bool {
    if text.trim().is_empty() || is_command(text) {
        return true;
    }
    let mut lexer = Lexer::new(text, 0);
    let mut ended = false;
    loop {
        let token = lexer.next_token();
        match token.kind {
            TokenKind::End => return ended,
            TokenKind::Semicolon => ended = true,
            // `\G` at the end: the answer as Vertical.
            TokenKind::Bad(Defect::Character) => return text.trim_end().ends_with("\\G"),
            // An open quote or comment: there is more to come.
            TokenKind::Bad(_) => return false,
            _ => ended = false,
        }
    }
}

struct WholeStatement;

impl Validator for WholeStatement {
    fn validate(&self, line: &str) -> ValidationResult {
        if is_whole(line) { ValidationResult::Complete } else { ValidationResult::Incomplete }
    }
}

pub struct Smile;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_ends_the_input_where_a_statement_ends() {
        for whole in
            ["select 1;", "select 1; -- done", "select ';';", "exit", "select 1 \\G", "", "select 1; select 2;"]
        {
            assert!(is_whole(whole), "{whole}");
        }
        for open in ["select 1", "select ';", "select 1 -- ;", "select 1; select", "select /* ;"] {
            assert!(!is_whole(open), "{open}");
        }
    }

    #[test]
    fn completion_replaces_the_word_before_the_cursor() {
        let known = words(["flights".to_string(), "flight_no".to_string(), "Origin".to_string()]);
        let completer = WordCompleter(Arc::new(Mutex::new(known)));
        let found = completer.suggestions("select * from fli", 17);
        let values: Vec<&str> = found.iter().map(|s| s.value.as_str()).collect();
        assert_eq!((values, found[0].span.start), (vec!["flight_no", "flights"], 14));
        assert_eq!(completer.suggestions("select flights.orig", 19)[0].value, "Origin");
        assert!(completer.suggestions("select ", 7).is_empty());
    }
}
