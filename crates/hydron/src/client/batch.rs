//! Statements from flags, files and pipes, one after the other; the first error ends the program with its code.

use super::args::{self, CommonArgs};
use super::backend::{Backend, Request, Status, Summary};
use super::infile;
use super::screen::Screen;
use super::testmode::{Hints, tags_bytes, with_comments};
use hydron_base::{Code, Error, Result};
use hydron_sql::Script;
use hydron_sql::ast::{InsertSource, StatementKind};
use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::Arc;

pub fn run(backend: &mut dyn Backend, args: &CommonArgs) -> Result<i32> {
    let from_stdin = args.is_interactive();
    let text = if from_stdin {
        let read = std::io::read_to_string(std::io::stdin());
        read.map_err(|e| Error::new(Code::CANNOT_READ_FROM_ISTREAM, format!("cannot read standard input: {e}")))?
    } else {
        args::statements(args)?
    };
    let mut out = std::io::stdout().lock();
    let mut failed = None;
    let mut test = args.testmode.then(|| Test { from: tags_bytes(&text), echo: false });
    for script in hydron_sql::parse_many(&text) {
        let hints = test.as_mut().map(|test| test.next(&text, &script, &mut out)).transpose()?;
        let screen = Arc::new(Screen::showing(args.progress || std::io::stderr().is_terminal()));
        let outcome = one(backend, args, &script, from_stdin, &screen, &mut out);
        screen.erase();
        if args.time
            && let Ok(summary) = &outcome
        {
            eprintln!("{:.3}", summary.elapsed.as_secs_f64());
        }
        let outcome = match hints {
            Some(hints) => hints.judge(outcome.map(drop)),
            None => outcome.map(drop),
        };
        if let Err(e) = outcome {
            if !args.ignore_error {
                let _ = out.flush();
                return Err(e);
            }
            if let Some(earlier) = failed.replace(e) {
                eprintln!("{earlier}");
            }
        }
    }
    // The last error is printed by who takes it.
    match failed {
        Some(e) => Err(e),
        None => Ok(0),
    }
}

/// Runs one statement; the rows of an INSERT may stand in a file, or come through standard input.
fn one(
    backend: &mut dyn Backend,
    args: &CommonArgs,
    script: &Script<'_>,
    from_stdin: bool,
    screen: &Arc<Screen>,
    out: &mut dyn Write,
) -> Result<Summary> {
    let taken = match &script.parsed {
        Ok(parsed) => infile::take(&parsed.statement, screen)?,
        Err(_) => None,
    };
    let (text, data) = match taken {
        Some(taken) => (Cow::Owned(taken.text), Some(taken.data)),
        None => {
            let stdin_is_data = lacks_rows(script) && !from_stdin && !std::io::stdin().is_terminal();
            (Cow::Borrowed(script.text), stdin_is_data.then(|| infile::stdin(screen)))
        }
    };
    let on_status = |status: Status| screen.show(status);
    let request = Request {
        text: &text,
        data,
        default_format: args.default_format(false),
        on_status: if args.progress { Some(&on_status) } else { None },
    };
    if !args.progress {
        return backend.run(request, out);
    }
    // Shown between the pieces of the answer, so that neither writes over the other.
    let mut guarded = Erasing { screen, out };
    backend.run(request, &mut guarded)
}

/// An answer that wipes the line of progress away before it goes on.
struct Erasing<'a> {
    screen: &'a Screen,
    out: &'a mut dyn Write,
}

impl Write for Erasing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.screen.erase();
        self.out.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// An INSERT whose rows do not stand behind it.
fn lacks_rows(script: &Script<'_>) -> bool {
    let Ok(parsed) = &script.parsed else { return false };
    let StatementKind::Insert(insert) = &parsed.statement.kind else { return false };
    !matches!(insert.source, InsertSource::Select(_)) && script.rows.is_none_or(|r| r.trim().is_empty())
}

/// A script whose comments say what to expect.
struct Test {
    /// Byte up to which the script has run.
    from: usize,
    echo: bool,
}

impl Test {
    /// The hints of the next statement, which is printed first if the script says so.
    fn next(&mut self, text: &str, script: &Script<'_>, out: &mut dyn Write) -> Result<Hints> {
        let whole = with_comments(text, self.from, script);
        self.from = whole.as_ptr() as usize - text.as_ptr() as usize + whole.len();
        let hints = Hints::of(whole);
        self.echo = hints.echo.unwrap_or(self.echo);
        if self.echo {
            writeln!(out, "{whole}").map_err(|e| {
                Error::new(Code::CANNOT_WRITE_TO_FILE_DESCRIPTOR, format!("cannot write the statement: {e}"))
            })?;
        }
        Ok(hints)
    }
}
