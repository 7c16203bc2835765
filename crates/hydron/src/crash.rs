//! `hydron crash`: what is known of the crashes of a server, from its data directory, whether it runs or not.
//!
//! In: `<data>/crash`. Out: a list, one report, or all files of one crash in one archive. Promise: reads only; secrets were
//! masked when the reports were written.

use clap::{Args, Subcommand};
use flate2::Compression;
use flate2::write::GzEncoder;
use hydron_base::{Code, Error, Result};
use hydron_engine::crash_report::{CrashReport, DIRECTORY, reports};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct CrashArgs {
    #[command(subcommand)]
    command: CrashCommand,
    /// Where the server keeps everything.
    #[arg(long, global = true, default_value = "./hydron-data")]
    data_dir: PathBuf,
}

#[derive(Subcommand)]
enum CrashCommand {
    /// One line for each crash that is kept, the newest first.
    List,
    /// All that is known of one crash.
    Show { incident: String },
    /// Puts report, minidump and stacks of one crash into one file, for whoever mends it.
    Bundle {
        incident: String,
        /// `<incident>.tar.gz` in the current directory without it.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
}

pub fn run(args: CrashArgs) -> Result<i32> {
    match args.command {
        CrashCommand::List => list(&args.data_dir),
        CrashCommand::Show { incident } => show(&args.data_dir, &incident),
        CrashCommand::Bundle { incident, output } => bundle(&args.data_dir, &incident, output),
    }
}

fn list(data_dir: &Path) -> Result<i32> {
    let mut out = std::io::stdout().lock();
    for report in reports(data_dir) {
        let what = if report.signal_name.is_empty() { &report.cause } else { &report.signal_name };
        let query: String = report.query.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
        // A reader that has seen enough is no error.
        let _ = writeln!(out, "{}\t{what}\t{}\t{}\t{query}", report.incident_id, report.action, report.query_id);
    }
    Ok(0)
}

fn find(data_dir: &Path, incident: &str) -> Result<CrashReport> {
    reports(data_dir).into_iter().find(|r| r.incident_id == incident).ok_or_else(|| {
        let message = format!("there is no crash '{incident}' in {}", data_dir.join(DIRECTORY).display());
        Error::new(Code::RESOURCE_NOT_FOUND, message).hint("hydron crash list")
    })
}

fn show(data_dir: &Path, incident: &str) -> Result<i32> {
    let report = find(data_dir, incident)?;
    let text = serde_json::to_string_pretty(&report).map_err(|e| Error::bug(e.to_string()))?;
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(0)
}

fn bundle(data_dir: &Path, incident: &str, output: Option<PathBuf>) -> Result<i32> {
    let report = find(data_dir, incident)?;
    let path = output.unwrap_or_else(|| PathBuf::from(format!("{incident}.tar.gz")));
    let failed = |e: std::io::Error| {
        Error::new(Code::CANNOT_WRITE_TO_FILE_DESCRIPTOR, format!("cannot write {}: {e}", path.display()))
    };
    let mut archive = tar::Builder::new(GzEncoder::new(File::create(&path).map_err(failed)?, Compression::default()));
    archive.append_path_with_name(CrashReport::path(data_dir, incident), format!("{incident}.json")).map_err(failed)?;
    if !report.minidump.is_empty() {
        let dump = data_dir.join(DIRECTORY).join(&report.minidump);
        archive.append_path_with_name(dump, &report.minidump).map_err(failed)?;
    }
    let stacks = format!("{incident}.stacks.txt");
    let path_of_stacks = data_dir.join(DIRECTORY).join(&stacks);
    if path_of_stacks.exists() {
        archive.append_path_with_name(path_of_stacks, stacks).map_err(failed)?;
    }
    archive.into_inner().and_then(GzEncoder::finish).map_err(failed)?;
    let _ = writeln!(std::io::stdout(), "{}", path.display());
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_has_all_files_of_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(DIRECTORY)).unwrap();
        let report = CrashReport { incident_id: "i1".into(), minidump: "i1.dmp".into(), ..CrashReport::default() };
        let json = serde_json::to_string(&report).unwrap();
        std::fs::write(CrashReport::path(dir.path(), "i1"), json).unwrap();
        std::fs::write(dir.path().join(DIRECTORY).join("i1.dmp"), "MDMP").unwrap();
        std::fs::write(dir.path().join(DIRECTORY).join("i1.stacks.txt"), "thread 1 'io'").unwrap();
        let path = dir.path().join("out.tar.gz");
        assert_eq!(bundle(dir.path(), "i1", Some(path.clone())).unwrap(), 0);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(path).unwrap()));
        let names: Vec<_> = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, [Path::new("i1.json"), Path::new("i1.dmp"), Path::new("i1.stacks.txt")]);
        assert_eq!(bundle(dir.path(), "i2", None).unwrap_err().code, Code::RESOURCE_NOT_FOUND);
    }
}
