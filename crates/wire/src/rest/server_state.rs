//! The server itself: build, machine, running queries, telemetry.

use super::call::Call;
use super::fields::Fields;
use super::reply::Failure;
use super::route;
use crate::http::route::Body;
use ::http::request::Parts;
use ::http::{Method, Response, StatusCode};
use hydron_base::{Code, Error};
use hydron_engine::Progress;
use hyper::body::Incoming;
use serde_json::{Value, json};

// Proton's interval; nothing is collected in it.
const TELEMETRY_INTERVAL_MS: u64 = 300_000;

const COMMIT_CHARACTERS: usize = 8;

pub(super) fn info(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    let commit = option_env!("HYDRON_COMMIT").unwrap_or_default();
    call.success(json!({
        "build": {
            // The protocol's name, which its clients look for.
            "name": "proton",
            "version": env!("CARGO_PKG_VERSION"),
            "time": option_env!("HYDRON_BUILD_TIME").unwrap_or_default(),
            "commit_sha": commit.get(..COMMIT_CHARACTERS).unwrap_or(commit),
            "edition": "hydron",
        },
        "server": {
            "uuid": call.app.engine.server_uuid().to_string(),
            "num_of_physical_cpu_cores": std::thread::available_parallelism().map_or(1, |n| n.get()),
            "memory_amount": memory_bytes(),
        },
    }))
}

/// Bytes of the machine's memory; 0 where that cannot be read.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

pub(super) fn apis(call: &Call<'_>) -> Result<Response<Body>, Failure> {
    call.success(route::description())
}

/// `{"query_id"}`: the operators of a running query as a graph from its sources to its client, and its counters.
pub(super) async fn pipeline_metrics(call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Failure> {
    let fields = Fields::read(call, body).await?;
    let id = fields.name("query_id")?;
    let access = call.enabled();
    let seen = |q: &std::sync::Arc<hydron_engine::query::QueryInfo>| {
        hydron_engine::statement::permit::sees_query(&access, &q.user)
    };
    let Some(query) = call.app.engine.queries().get(id).filter(seen) else {
        let error = Error::new(Code::RESOURCE_NOT_FOUND, format!("Query Not Found: no query '{id}' is running"));
        return Err(Failure::with(StatusCode::NOT_FOUND, error));
    };
    let get = Progress::get;
    let progress = &query.progress;
    let flow = query.flow.lock().clone();
    let pipeline = query.pipeline.lock().clone();
    let mut graph = match &*pipeline {
        "" => Graph::of(&format!("{}\n  Source", query.kind.lock())),
        text => Graph::of(text),
    };
    let read = json!({
        "processed_rows": get(&progress.read_rows).max(flow.as_ref().map_or(0, |f| f.rows_in())),
        "processed_bytes": get(&progress.read_bytes).max(flow.as_ref().map_or(0, |f| f.bytes_in())),
    });
    let sent = json!({
        "processed_rows": get(&progress.result_rows).max(flow.as_ref().map_or(0, |f| f.rows_out())),
        "written_rows": get(&progress.written_rows),
        "written_bytes": get(&progress.written_bytes),
    });
    let mut metrics = json!({"read": read.clone(), "sent": sent.clone()});
    if let Some(flow) = &flow {
        metrics["rows_late"] = flow.rows_late().into();
        metrics["state_bytes"] = flow.state_bytes().into();
        metrics["watermark_us"] = flow.watermark_us().into();
        metrics["lag_ms"] = flow.lag_ms(call.app.engine.options().clock.now()).into();
    }
    // Rows are counted where they come in, for all sources together: with several nobody knows whose they were.
    if let [only] = graph.sources()[..] {
        graph.nodes[only].metric = read;
    }
    graph.add_output(sent);
    call.success(json!({
        "query_id": id,
        "elapsed_ms": query.started_at.elapsed().as_millis() as u64,
        "metrics": metrics,
        "nodes": graph.nodes.iter().enumerate().map(|(id, n)| n.json(id)).collect::<Vec<_>>(),
        "edges": graph.edges.iter().map(|(from, to)| json!({"from": from, "to": to})).collect::<Vec<_>>(),
    }))
}

/// Operators, sources first; an edge goes from who gives rows to who takes them.
#[derive(Debug, Default)]
struct Graph {
    nodes: Vec<Node>,
    edges: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct Node {
    name: String,
    description: String,
    metric: Value,
}

impl Node {
    fn json(&self, id: usize) -> Value {
        json!({"id": id, "name": self.name, "description": self.description, "metric": self.metric})
    }
}

impl Graph {
    /// From a text that has one operator a line, each below who takes its rows, two spaces further in.
    fn of(text: &str) -> Graph {
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        let id = |line: usize| lines.len() - 1 - line;
        let mut graph = Graph::default();
        let mut above: Vec<usize> = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let depth = (line.len() - line.trim_start().len()) / 2;
            above.truncate(depth);
            if let Some(taker) = above.last() {
                graph.edges.push((id(at), id(*taker)));
            }
            above.push(at);
        }
        graph.edges.reverse();
        graph.nodes = lines
            .iter()
            .rev()
            .map(|line| {
                let description = line.trim().to_string();
                let name = description.split([' ', ',']).next().unwrap_or_default().to_string();
                Node { name, description, metric: json!({}) }
            })
            .collect();
        graph
    }

    /// Nodes that nobody gives rows to.
    fn sources(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|n| self.edges.iter().all(|(_, to)| to != n)).collect()
    }

    /// The client, behind the last operator.
    fn add_output(&mut self, metric: Value) {
        let client = self.nodes.len();
        if let Some(last) = client.checked_sub(1) {
            self.edges.push((last, client));
        }
        let (name, description) = ("Output".to_string(), "to the client".to_string());
        self.nodes.push(Node { name, description, metric });
    }
}

/// This server sends nothing about itself to anyone: that can be asked and confirmed, not changed.
pub(super) async fn telemetry(call: &Call<'_>, parts: &Parts, body: Incoming) -> Result<Response<Body>, Failure> {
    if parts.method == Method::POST {
        let fields = Fields::read(call, body).await?;
        if fields.opt_bool("collect")?.unwrap_or(false) {
            return Err(Error::not_implemented("telemetry").into());
        }
    }
    call.success(json!({"collect": false, "collect_interval_ms": TELEMETRY_INTERVAL_MS}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_further_in_give_rows_to_the_one_above() {
        let mut graph =
            Graph::of("Project i\n  TableJoin All\n    Filter x\n      Tail s\n    History, read\n      Scan t\n");
        let names: Vec<&str> = graph.nodes.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["Scan", "History", "Tail", "Filter", "TableJoin", "Project"]);
        assert_eq!(graph.edges, [(0, 1), (1, 4), (2, 3), (3, 4), (4, 5)]);
        assert_eq!(graph.sources(), [0, 2]);
        graph.add_output(json!({}));
        assert_eq!(graph.edges.last(), Some(&(5, 6)));
        assert_eq!(Graph::of("Select\n  Source").edges, [(0, 1)]);
    }
}
