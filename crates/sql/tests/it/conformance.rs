//! Every statement of the conformance cases parses, prints and parses back to the same tree.

use hydron_sql::{parse_many, parse_statement};
use serde_json::Value;
use std::path::PathBuf;

#[derive(Default)]
struct Tally {
    statements: usize,
    failures: Vec<String>,
}

impl Tally {
    fn check(&mut self, case: &str, text: &str, hint: &str) {
        self.statements += 1;
        let wants_error = hint.contains("62") || hint.contains("SYNTAX_ERROR");
        let problem = match parse_statement(text) {
            Ok(_) if wants_error && hint.contains("clientError") => Some("parsed, but 62 is expected".to_owned()),
            Ok(parsed) => {
                let printed = parsed.statement.to_string();
                match parse_statement(&printed) {
                    Err(e) => Some(format!("printed text does not parse: {e}\n    {printed}")),
                    Ok(again) if again.statement != parsed.statement => Some(format!("another tree from: {printed}")),
                    Ok(again) => {
                        let pretty = again.statement.pretty();
                        let infile = pretty.contains("INFILE");
                        match parse_statement(&pretty) {
                            Ok(third) if third.statement == parsed.statement => None,
                            _ if infile => None,
                            _ => Some(format!("pretty text differs: {pretty}")),
                        }
                    }
                }
            }
            Err(_) if wants_error || hint.contains("clientError") => None,
            Err(e) => Some(e.to_string()),
        };
        if let Some(problem) = problem {
            let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
            self.failures.push(format!("{case}: {problem}\n    in {}", text.chars().take(300).collect::<String>()));
        }
    }

    fn report(&self, name: &str) -> f64 {
        for failure in &self.failures {
            println!("{failure}");
        }
        let good = self.statements - self.failures.len();
        let percent = 100.0 * good as f64 / self.statements.max(1) as f64;
        println!("{name}: {good} of {} statements, {percent:.2} %", self.statements);
        percent
    }
}

fn cases(name: &str) -> Option<Vec<Value>> {
    let fallback = PathBuf::from("../../../shared/conformance");
    let directory = std::env::var_os("HYDRON_CONFORMANCE").map_or(fallback, PathBuf::from);
    let Ok(text) = std::fs::read_to_string(directory.join(name)) else {
        println!("skipped: no {name} in {}", directory.display());
        return None;
    };
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a case is one line of JSON")).collect())
}

#[test]
fn sql_cases_parse_and_print() {
    let Some(cases) = cases("sql.jsonl") else { return };
    let mut tally = Tally::default();
    for case in cases {
        let (Some(id), Some(sql)) = (case["id"].as_str(), case["sql"].as_str()) else { continue };
        for piece in parse_many(sql) {
            let after = &sql[piece.start + piece.text.len()..];
            let hint = after.lines().next().unwrap_or("");
            let hint = if hint.contains("Error") { hint } else { "" };
            tally.check(id, piece.text, hint);
        }
    }
    assert!(tally.report("sql.jsonl") >= 98.0);
}

#[test]
fn stream_cases_parse_and_print() {
    let Some(cases) = cases("stream.jsonl") else { return };
    let mut tally = Tally::default();
    for case in cases {
        let Some(id) = case["id"].as_str() else { continue };
        let empty = Vec::new();
        let steps = ["setup", "steps"].into_iter().flat_map(|k| case[k].as_array().unwrap_or(&empty));
        for step in steps {
            let Some(sql) = step["sql"].as_str() else { continue };
            if sql.starts_with("docker ") {
                continue;
            }
            let expected = case["expected"].as_array().unwrap_or(&empty);
            let refused = expected.iter().any(|e| e["error"] == 62 && e["id"] == step["id"]);
            tally.check(id, sql, if refused { "62" } else { "" });
        }
    }
    assert!(tally.report("stream.jsonl") >= 98.0);
}
