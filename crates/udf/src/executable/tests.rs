//! Small shell scripts in a directory of their own.

use super::*;
use hydron_base::world::WallTime;
use hydron_func::{Datum, EvalContext, Registry};
use hydron_types::{LogicalType, Value, array_of, value_at};

fn scripts(script: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.sh");
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

fn function(dir: &Path, command: &str, ms: u64) -> Result<Executable> {
    let args = vec![(Arc::from("a"), LogicalType::String), (Arc::from("n"), LogicalType::Int64)];
    let signature = Arc::new(Signature { name: Arc::from("f"), args, returns: LogicalType::String });
    let format = "TabSeparated".to_string();
    Executable::new(signature, Program { command: command.into(), format, execution_timeout_ms: Some(ms) }, dir)
}

fn call(script: &str, ms: u64, stop: Stop) -> Result<Vec<Value>> {
    let dir = scripts(script);
    let function = function(dir.path(), "f.sh one 'two'", ms)?;
    function.check()?;
    let mut registry = Registry::default();
    registry.add_scalar("f", function);
    let args = [ArgInfo::column(LogicalType::String), ArgInfo::column(LogicalType::Int64)];
    let bound = registry.bind_scalar("f", &BindContext { stop, ..BindContext::default() }, &args)?;
    let columns = [
        Datum::Array(array_of(&Value::string("x"), &LogicalType::String, 3)?),
        Datum::Array(array_of(&Value::Int(-4), &LogicalType::Int64, 3)?),
    ];
    let result = bound.kernel.eval(&EvalContext::at(WallTime(0)), &columns, 3)?.to_array(3)?;
    Ok((0..3).map(|row| value_at(&result, &bound.ty, row)).collect())
}

#[test]
fn rows_go_through_the_program() {
    let values = call("while read -r a n; do echo \"$1 $2 $a$n\"; done", 5_000, Stop::default()).unwrap();
    assert_eq!(values, vec![Value::string("one 'two' x-4"); 3]);
    let wrong = call("echo one", 5_000, Stop::default()).unwrap_err();
    assert_eq!(wrong.code, Code::UDF_INTERNAL_ERROR, "{wrong}");
    let failed = call("echo sorry >&2; exit 3", 5_000, Stop::default()).unwrap_err();
    assert!(failed.message.contains("exit code 3: sorry"), "{failed}");
}

#[test]
fn formats_with_names_need_the_column_result() {
    let dir = scripts("cat");
    let echo = |argument: &str| {
        let args = vec![(Arc::from(argument), LogicalType::String)];
        let signature = Arc::new(Signature { name: Arc::from("f"), args, returns: LogicalType::String });
        let program = Program { command: "f.sh".into(), format: String::new(), execution_timeout_ms: None };
        let mut registry = Registry::default();
        registry.add_scalar("f", Executable::new(signature, program, dir.path()).unwrap());
        let args = [ArgInfo::column(LogicalType::String)];
        let bound = registry.bind_scalar("f", &BindContext::default(), &args).unwrap();
        let columns = [Datum::Array(array_of(&Value::string("x"), &LogicalType::String, 2).unwrap())];
        bound.kernel.eval(&EvalContext::at(WallTime(0)), &columns, 2)
    };
    // As ArrowStream, what comes back has the names of what went out.
    let same = echo("result").unwrap().to_array(2).unwrap();
    assert_eq!(value_at(&same, &LogicalType::String, 1), Value::string("x"));
    let other = echo("a").unwrap_err();
    assert!(other.code == Code::UDF_INTERNAL_ERROR && other.message.contains("no column 'result'"), "{other}");
}

#[test]
fn a_program_ends_at_its_deadline_and_with_its_query_and_so_do_its_children() {
    let started = Instant::now();
    let left = tempfile::tempdir().unwrap();
    let pid = left.path().join("pid");
    let script = format!("sleep 100 & echo $! > {}; wait", pid.display());
    let late = call(&script, 300, Stop::default()).unwrap_err();
    assert_eq!(late.code, Code::TIMEOUT_EXCEEDED, "{late}");
    let child = std::fs::read_to_string(&pid).unwrap().trim().to_string();
    let state = || std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    // Dead as soon as it is scheduled, and a zombie at most until whoever inherits it looks.
    let is_dead = || state().is_empty() || state().contains(") Z ") || state().contains(") X ");
    while !is_dead() {
        assert!(started.elapsed() < Duration::from_secs(10), "{}", state());
        std::thread::yield_now();
    }
    let until = Instant::now() + Duration::from_millis(100);
    let stopped = call("sleep 100", 60_000, Stop::when(move || Instant::now() > until)).unwrap_err();
    assert_eq!(stopped.code, Code::QUERY_WAS_CANCELLED, "{stopped}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn only_files_of_the_directory_are_run() {
    let dir = scripts("true");
    for command in ["", "../f.sh", "/bin/sh -c true", "sub/f.sh", ".", ".."] {
        assert_eq!(function(dir.path(), command, 1_000).err().unwrap().code, Code::BAD_ARGUMENTS, "{command}");
    }
    let missing = function(dir.path(), "g.sh", 1_000).unwrap().check().unwrap_err();
    assert_eq!(missing.code, Code::UDF_COMPILE_ERROR, "{missing}");
}
