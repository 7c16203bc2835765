//! Statements from flags, files and pipes, one after the other; the first error ends the program with its code.

use super::args::{self, CommonArgs};
use super::backend::{Backend, Request};
use hydron_base::{Code, Error, Result};
use hydron_sql::ast::StatementKind;
use std::io::{IsTerminal, Read, Write};

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
    for script in hydron_sql::parse_many(&text) {
        let statement = script.text;
        let is_insert_without_rows = match &script.parsed {
            Ok(parsed) => {
                matches!(&parsed.statement.kind, StatementKind::Insert(i)
                if !matches!(i.source, hydron_sql::ast::InsertSource::Select(_)))
                    && script.rows.is_none_or(|r| r.trim().is_empty())
            }
            Err(_) => false,
        };
        let stdin_is_data = is_insert_without_rows && !from_stdin && !std::io::stdin().is_terminal();
        let data = stdin_is_data.then(|| Box::new(std::io::stdin()) as Box<dyn Read + Send>);
        let hints = args.testmode.then(|| Hints::after(&text[script.start + statement.len()..]));
        let request = Request { text: statement, data, default_format: args.default_format(false), on_status: None };
        let outcome = backend.run(request, &mut out);
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

/// `-- { serverError 62 }` on the rest of a statement's line.
struct Hints {
    expected: Option<String>,
}

impl Hints {
    fn after(rest: &str) -> Hints {
        let line = rest.lines().next().unwrap_or_default();
        let hint = line.split_once("-- {").and_then(|(_, h)| h.split_once('}'));
        let mut words = hint.map(|(h, _)| h.split_whitespace()).into_iter().flatten();
        let expected = words.find(|w| *w == "serverError" || *w == "clientError").and_then(|_| words.next());
        Hints { expected: expected.map(str::to_string) }
    }

    /// An expected error is none; a missing one is one.
    fn judge(self, outcome: Result<()>) -> Result<()> {
        let Some(expected) = self.expected else { return outcome };
        match outcome {
            Ok(()) => Err(Error::bug(format!("error {expected} was expected, the statement succeeded"))),
            Err(e) if e.code.number().to_string() == expected || e.code.name() == expected => Ok(()),
            Err(e) => Err(e),
        }
    }
}
