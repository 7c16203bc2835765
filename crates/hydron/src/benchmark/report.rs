//! Figures of a benchmark as text and as JSON, in the shape that `clickhouse-benchmark` gives them.

use super::tally::Tally;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::time::Duration;

const PERCENTS: [f64; 15] = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 99.0, 99.9, 99.99, 100.0];

const MIB: f64 = 1_048_576.0;

pub struct Report<'a> {
    pub address: &'a str,
    pub tally: &'a Tally,
    pub elapsed: Duration,
    pub connections: u32,
}

impl Report<'_> {
    fn rate(&self, n: f64) -> f64 {
        n / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// One line of rates, one for each percentile, one for each kind of error.
    pub fn text(&self) -> String {
        let tally = self.tally;
        let mut out = String::new();
        let failed = match tally.failed() {
            0 => String::new(),
            n => format!("errors: {n}, "),
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "\n{}, queries: {}, {failed}connections: {}, QPS: {:.3}, RPS: {:.3}, MiB/s: {:.3}, result RPS: {:.3}, result MiB/s: {:.3}.\n",
            self.address,
            tally.queries,
            self.connections,
            self.rate(tally.queries as f64),
            self.rate(tally.read_rows as f64),
            self.rate(tally.read_bytes as f64 / MIB),
            self.rate(tally.result_rows as f64),
            self.rate(tally.result_bytes as f64 / MIB),
        );
        if tally.queries > 0 {
            for percent in PERCENTS {
                let _ = writeln!(out, "{percent:.3}%\t\t{:.6} sec.", tally.times.percentile(percent).as_secs_f64());
            }
        }
        for (code, count) in &tally.errors {
            let _ = writeln!(out, "error {} ({}): {count}", code.number(), code.name());
        }
        out
    }

    pub fn json(&self) -> String {
        let tally = self.tally;
        let times: Map<String, Value> =
            PERCENTS.iter().map(|p| (p.to_string(), json!(tally.times.percentile(*p).as_secs_f64()))).collect();
        let errors: Map<String, Value> =
            tally.errors.iter().map(|(code, count)| (code.number().to_string(), json!(count))).collect();
        let body = json!({
            "connections": self.connections,
            "elapsed": self.elapsed.as_secs_f64(),
            "statistics": {
                "QPS": self.rate(tally.queries as f64),
                "RPS": self.rate(tally.read_rows as f64),
                "MiBPS": self.rate(tally.read_bytes as f64 / MIB),
                "RPS_result": self.rate(tally.result_rows as f64),
                "MiBPS_result": self.rate(tally.result_bytes as f64 / MIB),
                "num_queries": tally.queries,
                "num_errors": tally.failed(),
            },
            "query_time_percentiles": times,
            "errors": errors,
        });
        json!({ self.address: body }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_base::Code;

    #[test]
    fn figures_are_named_as_clickhouse_names_them() {
        let mut tally = Tally { queries: 10, read_rows: 100, read_bytes: 2 << 20, ..Tally::default() };
        (0..10).for_each(|i| tally.times.note(Duration::from_millis(10 + i)));
        tally.errors.insert(Code::UNKNOWN_STREAM, 3);
        let report = Report { address: "h:1", tally: &tally, elapsed: Duration::from_secs(2), connections: 4 };
        let text = report.text();
        assert!(
            text.contains("h:1, queries: 10, errors: 3, connections: 4, QPS: 5.000, RPS: 50.000, MiB/s: 1.000,"),
            "{text}"
        );
        assert!(
            text.contains("\n0.000%\t\t0.010000 sec.\n") && text.contains("\n100.000%\t\t0.019000 sec.\n"),
            "{text}"
        );
        assert!(text.contains("error 60 (UNKNOWN_STREAM): 3"), "{text}");
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["h:1"]["statistics"]["QPS"], 5.0);
        assert_eq!(json["h:1"]["query_time_percentiles"]["100"], 0.019);
        assert_eq!(json["h:1"]["errors"]["60"], 3);
    }
}
