//! Functions that are programs: each batch is one run of a program in the directory `user_scripts`.
//!
//! Out, on its standard input: the arguments in a format. Back, on its standard output: one column, `result` where the format has
//! names. Promise: a program ends by its deadline, with its query and with the batch, and so do those that it started in its
//! process group; what it writes is bounded; nothing but a file in that directory is ever run.

use crate::outside::{self, Outside};
use crate::signature::Signature;
use arrow::array::ArrayRef;
use hydron_base::world::Stop;
use hydron_base::{Code, Error, Result};
use hydron_func::{ArgInfo, BindContext, BoundCall, NullRule, ScalarFn};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// For one batch, where the function does not say otherwise.
const EXECUTION_MS: u64 = 10_000;
const EXECUTION_MS_MAX: u64 = 3_600_000;

/// Bytes that a program may write for one batch.
const OUTPUT_BYTES_MAX: u64 = 256 << 20;

/// Bytes of its standard error, kept for the message when it fails.
const ERROR_BYTES_MAX: u64 = 2 << 10;

/// How often its end is looked for once its output is complete.
const LOOK: Duration = Duration::from_millis(2);

/// A program with its arguments, and how one talks to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// A file in `user_scripts`, then arguments, between spaces.
    pub command: String,
    /// Empty: `ArrowStream`.
    pub format: String,
    pub execution_timeout_ms: Option<u64>,
}

pub struct Executable {
    signature: Arc<Signature>,
    runner: Arc<Runner>,
}

struct Runner {
    file: PathBuf,
    arguments: Vec<String>,
    scripts: PathBuf,
    format: String,
    patience: Duration,
}

impl Executable {
    /// Errors: BAD_ARGUMENTS (36) for a command that is no file of that directory, UNKNOWN_FORMAT (73), NOT_IMPLEMENTED (48).
    pub fn new(signature: Arc<Signature>, program: Program, scripts: &Path) -> Result<Executable> {
        let bad =
            |text: String| Err(Error::bad_arguments(format!("executable function \"{}\": {text}", signature.name)));
        let mut words = program.command.split_whitespace().map(str::to_string);
        let Some(name) = words.next() else { return bad("the command is empty".to_string()) };
        let is_name = matches!(Path::new(&name).components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
        if !is_name || name.contains('/') {
            return bad(format!("'{name}' must be a file in the directory user_scripts"));
        }
        let ms = program.execution_timeout_ms.unwrap_or(EXECUTION_MS);
        if ms == 0 || ms > EXECUTION_MS_MAX {
            return bad("the execution timeout must be 1 to 3600000 milliseconds".to_string());
        }
        let format = if program.format.is_empty() { "ArrowStream".to_string() } else { program.format };
        hydron_format::output(&format, outside::schema_of(&signature), &outside::format_options())?;
        outside::decode(&format, &signature.returns, &[]).or_else(|e| match e.code {
            Code::UNKNOWN_FORMAT | Code::NOT_IMPLEMENTED => Err(e),
            // No rows are no text of some formats.
            _ => Ok(arrow::array::new_empty_array(&arrow::datatypes::DataType::Null)),
        })?;
        let runner = Runner {
            file: scripts.join(&name),
            arguments: words.collect(),
            scripts: scripts.to_path_buf(),
            format,
            patience: Duration::from_millis(ms),
        };
        Ok(Executable { signature, runner: Arc::new(runner) })
    }

    /// Whether the program is there. Errors: UDF_COMPILE_ERROR (2530).
    pub fn check(&self) -> Result<()> {
        let file = &self.runner.file;
        let runs = file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
        if runs {
            return Ok(());
        }
        let name = file.file_name().unwrap_or_default().display();
        let text = format!("executable function \"{}\": user_scripts has no program '{name}'", self.signature.name);
        Err(Error::new(Code::UDF_COMPILE_ERROR, text).hint("a file with the permission to be executed"))
    }
}

impl ScalarFn for Executable {
    fn bind(&self, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
        outside::bind(&self.signature, Arc::clone(&self.runner) as Arc<dyn Outside>, cx, args)
    }

    fn null_rule(&self) -> NullRule {
        let takes_nulls = self.signature.args.iter().any(|(_, ty)| ty.is_nullable());
        if takes_nulls { NullRule::Custom } else { NullRule::Propagate }
    }
}

impl Outside for Runner {
    fn call(&self, signature: &Signature, columns: Vec<ArrayRef>, rows: usize, stop: &Stop) -> Result<ArrayRef> {
        let deadline = Instant::now() + self.patience;
        let failed = |what: &str| {
            Error::new(Code::UDF_INTERNAL_ERROR, format!("executable function \"{}\": {what}", signature.name))
        };
        let input = outside::encode(&self.format, &outside::batch_of(signature, columns, rows))?;
        let mut run = Run::start(self).map_err(|e| failed(&format!("the program does not start: {e}")))?;
        let output = run.pump(input).map_err(|e| failed(&e.to_string()))?;
        let late = || {
            let text =
                format!("executable function \"{}\" took more than {} ms", signature.name, self.patience.as_millis());
            Error::new(Code::TIMEOUT_EXCEEDED, text)
        };
        let written = outside::wait_for(&output, deadline, stop)?.ok_or_else(late)?;
        let written = written.map_err(|e| failed(&e))?;
        while !run.has_ended().map_err(|e| failed(&e.to_string()))? {
            stop.check()?;
            if Instant::now() >= deadline {
                return Err(late());
            }
            std::thread::sleep(LOOK);
        }
        let status = run.end().map_err(|e| failed(&e.to_string()))?;
        if !status.success() {
            return Err(failed(&format!("the program ended with {}{}", ended(status), run.complaint(deadline, stop))));
        }
        outside::decode(&self.format, &signature.returns, &written)
            .map_err(|e| failed(&format!("its output cannot be read: {}", e.message)))
    }
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

/// A program that runs. Dropping it ends it.
struct Run {
    child: Child,
    is_over: bool,
    /// The beginning of its standard error.
    complaint: Option<mpsc::Receiver<Vec<u8>>>,
}

impl Run {
    fn start(runner: &Runner) -> std::io::Result<Run> {
        let mut command = Command::new(&runner.file);
        command
            .args(&runner.arguments)
            .current_dir(&runner.scripts)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(Run { child: command.spawn()?, is_over: false, complaint: None })
    }

    /// Feeds the program and gathers what it writes, on threads that end when its pipes do.
    fn pump(&mut self, input: Vec<u8>) -> std::io::Result<mpsc::Receiver<Result<Vec<u8>, String>>> {
        let thread = |name: &str| std::thread::Builder::new().name(name.to_string()).stack_size(256 << 10);
        if let Some(mut stdin) = self.child.stdin.take() {
            // A program that does not read all of it closes the pipe: what it answers decides.
            thread("udf-stdin").spawn(move || drop(stdin.write_all(&input)))?;
        }
        if let Some(stderr) = self.child.stderr.take() {
            let (sender, receiver) = mpsc::channel();
            thread("udf-stderr").spawn(move || {
                let mut kept = Vec::new();
                let mut stderr = stderr;
                let _ = (&mut stderr).take(ERROR_BYTES_MAX).read_to_end(&mut kept);
                let _ = sender.send(kept);
                // Whoever complains at length must not wait for a reader.
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            })?;
            self.complaint = Some(receiver);
        }
        let (sender, receiver) = mpsc::channel();
        if let Some(stdout) = self.child.stdout.take() {
            thread("udf-stdout").spawn(move || {
                let mut written = Vec::new();
                let read = stdout.take(OUTPUT_BYTES_MAX + 1).read_to_end(&mut written);
                let _ = sender.send(match read {
                    Ok(bytes) if bytes as u64 > OUTPUT_BYTES_MAX => {
                        Err(format!("the program wrote more than {OUTPUT_BYTES_MAX} bytes"))
                    }
                    Ok(_) => Ok(written),
                    Err(e) => Err(e.to_string()),
                });
            })?;
        }
        Ok(receiver)
    }

    fn complaint(&mut self, deadline: Instant, stop: &Stop) -> String {
        let kept = self.complaint.take().and_then(|c| outside::wait_for(&c, deadline, stop).ok().flatten());
        match String::from_utf8_lossy(&kept.unwrap_or_default()).trim() {
            "" => String::new(),
            text => format!(": {text}"),
        }
    }
}

impl Run {
    fn group(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Looks without taking the number of the process away from it, so that its group can still be named.
    fn has_ended(&self) -> std::io::Result<bool> {
        let Some(pid) = self.group() else { return Ok(true) };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(rustix::process::waitid(WaitId::Pid(pid), options)?.is_some())
    }

    /// Ends the program, where it still runs, and what it left behind in its group.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        if !self.is_over
            && let Some(group) = self.group()
        {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let status = self.child.wait();
        self.is_over |= status.is_ok();
        status
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

#[cfg(test)]
mod tests;
