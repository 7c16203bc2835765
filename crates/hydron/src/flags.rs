//! Flags as users of Proton and ClickHouse write them, turned into those of this program.
//!
//! In: arguments. Out: arguments. Promise: what is a flag here stays one; `--max_threads=2` and `--param_x=1` become settings, a
//! flag may have underscores, and a program that is called `…-client` is the client.

use clap::Command;
use hydron_base::setting::{Kind, definition};

/// Subcommands that take settings as flags.
const WITH_SETTINGS: [&str; 3] = ["client", "local", "benchmark"];

/// Subcommands that a link to the program may be named after.
const BY_NAME: [&str; 4] = ["client", "local", "benchmark", "server"];

/// `arguments`: those of the process, the name of the program first.
pub fn translate(arguments: impl IntoIterator<Item = String>, program: &Command) -> Vec<String> {
    let mut arguments: Vec<String> = arguments.into_iter().collect();
    let name = arguments.first().map(|name| name.rsplit('/').next().unwrap_or(name).to_string()).unwrap_or_default();
    if let Some(command) = BY_NAME.iter().find(|c| name.ends_with(&format!("-{c}"))) {
        arguments.insert(1, command.to_string());
    }
    let command = arguments.get(1).and_then(|name| program.find_subcommand(name));
    let Some(command) = command.filter(|c| WITH_SETTINGS.contains(&c.get_name())) else { return arguments };
    let is_flag = |name: &str| {
        command
            .get_arguments()
            .any(|a| a.get_long() == Some(name) || a.get_all_aliases().is_some_and(|all| all.contains(&name)))
    };
    let mut out: Vec<String> = arguments[..2].to_vec();
    let mut rest = arguments[2..].iter().peekable();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.strip_prefix("--").filter(|f| !f.is_empty()) else {
            out.push(argument.clone());
            continue;
        };
        let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
        let hyphened = name.replace('_', "-");
        if is_flag(&hyphened) {
            out.push(value.map_or(format!("--{hyphened}"), |value| format!("--{hyphened}={value}")));
            continue;
        }
        let setting = name.replace('-', "_");
        let parameter = name.starts_with("param_").then(|| name.to_string());
        let Some(setting) = parameter.or_else(|| definition(&setting).map(|_| setting)) else {
            out.push(argument.clone());
            continue;
        };
        let is_switch = definition(&setting).is_some_and(|d| matches!(d.kind, Kind::Bool));
        let value = match value {
            Some(value) => value.to_string(),
            // A switch may stand alone.
            None if is_switch && rest.peek().is_none_or(|next| next.starts_with('-')) => "1".to_string(),
            None => rest.next().cloned().unwrap_or_default(),
        };
        out.push(format!("--setting={setting}={value}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let program = crate::command();
        let words = line.split(' ').map(str::to_string);
        translate(words, &program).join(" ")
    }

    #[test]
    fn settings_and_parameters_are_flags() {
        assert_eq!(
            translated("hydron client --max_threads=2 -q x --param_id 7"),
            "hydron client --setting=max_threads=2 -q x --setting=param_id=7"
        );
        assert_eq!(translated("hydron local --max-threads 2"), "hydron local --setting=max_threads=2");
        assert_eq!(translated("hydron client --extremes -q x"), "hydron client --setting=extremes=1 -q x");
        assert_eq!(
            translated("hydron client --queries_file=f --ignore_error"),
            "hydron client --queries-file=f --ignore-error"
        );
        // Others are left to who reads them.
        assert_eq!(translated("hydron client --no_such=1"), "hydron client --no_such=1");
        assert_eq!(translated("hydron server --max_threads=2"), "hydron server --max_threads=2");
    }

    #[test]
    fn a_link_is_named_after_what_it_does() {
        assert_eq!(translated("/usr/bin/proton-client -q x"), "/usr/bin/proton-client client -q x");
        assert_eq!(translated("./hydron-server"), "./hydron-server server");
        assert_eq!(translated("/opt/hydron client"), "/opt/hydron client");
    }
}
