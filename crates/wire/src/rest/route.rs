//! Paths: a table of what can be asked for, which also is the OpenAPI description.
//!
//! In: a method and a path. Out: an endpoint with the names that stand in the path, or what to answer instead.

use super::reply::Failure;
use crate::http::request::undo_percent;
use ::http::{Method, StatusCode};
use hydron_base::{Code, Error};
use serde_json::{Value, json};

/// Each resource has both.
const PREFIXES: &[&str] = &["/proton", "/timeplusd"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Info,
    Apis,
    Ingest,
    IngestStatuses,
    Search,
    PipelineMetrics,
    ListStreams,
    CreateStream,
    ChangeStream,
    DeleteStream,
    CreateExternalStream,
    IngestRawStore,
    ListRawStores,
    CreateRawStore,
    DeleteRawStore,
    ListDatabases,
    CreateDatabase,
    DeleteDatabase,
    Analyze,
    Format,
    ListFunctions,
    CreateFunction,
    DeleteFunction,
    Storage,
    Cluster,
    System,
    Telemetry,
}

struct Route {
    method: &'static str,
    /// After the prefix; `{name}` is any one segment.
    path: &'static str,
    /// URL parameters that are not settings of a query. One that ends with `*` names all that begin so.
    params: &'static [&'static str],
    endpoint: Endpoint,
    /// For the description.
    does: &'static str,
}

const fn route(
    method: &'static str,
    path: &'static str,
    params: &'static [&'static str],
    endpoint: Endpoint,
    does: &'static str,
) -> Route {
    Route { method, path, params, endpoint, does }
}

use Endpoint as E;

const STREAM_PARAMS: &[&str] = &["logstore_*", "storage_type", "uuid", "host_shards", "flush_threshold_*"];
const LIST_PARAMS: &[&str] = &["include_internal_streams"];
const STORAGE_PARAMS: &[&str] = &["simple", "sort"];
const INGEST_PARAMS: &[&str] = &["mode", "format", "columns"];

const ROUTES: &[Route] = &[
    route("GET", "/info", &[], E::Info, "the build and the machine"),
    route("GET", "/apis", &[], E::Apis, "this description"),
    route("POST", "/v1/ingest/streams/{stream}", INGEST_PARAMS, E::Ingest, "store rows"),
    route("POST", "/v1/ingest/rawstores/{stream}", INGEST_PARAMS, E::IngestRawStore, "store raw events"),
    route("POST", "/v1/ingest/statuses", &[], E::IngestStatuses, "what has become of stored rows"),
    route("POST", "/v1/search", &[], E::Search, "run a query"),
    route("POST", "/v1/pipeline_metrics", &[], E::PipelineMetrics, "counters of a running query"),
    route("GET", "/v1/ddl/streams", LIST_PARAMS, E::ListStreams, "streams of the current database"),
    route("GET", "/v1/ddl/streams/{database}", LIST_PARAMS, E::ListStreams, "streams of a database"),
    route("GET", "/v1/ddl/streams/{database}/{stream}", LIST_PARAMS, E::ListStreams, "one stream"),
    route("POST", "/v1/ddl/streams", STREAM_PARAMS, E::CreateStream, "create a stream"),
    route("PATCH", "/v1/ddl/streams/{stream}", &[], E::ChangeStream, "change a stream"),
    route("DELETE", "/v1/ddl/streams/{stream}", &["mode"], E::DeleteStream, "drop or truncate a stream"),
    route("POST", "/v1/ddl/externalstreams", &[], E::CreateExternalStream, "create an external stream"),
    route("GET", "/v1/ddl/rawstores", LIST_PARAMS, E::ListRawStores, "raw stores"),
    route("POST", "/v1/ddl/rawstores", STREAM_PARAMS, E::CreateRawStore, "create a raw store"),
    route("DELETE", "/v1/ddl/rawstores/{stream}", &["mode"], E::DeleteRawStore, "drop a raw store"),
    route("GET", "/v1/ddl/databases", &[], E::ListDatabases, "databases"),
    route("POST", "/v1/ddl/databases", &[], E::CreateDatabase, "create a database"),
    route("DELETE", "/v1/ddl/databases/{database}", &[], E::DeleteDatabase, "drop a database"),
    route("POST", "/v1/sqlanalyzer", &[], E::Analyze, "what a statement is and needs"),
    route("POST", "/v1/sqlformat", &[], E::Format, "a statement in several lines"),
    route("GET", "/v1/udfs", &[], E::ListFunctions, "user defined functions"),
    route("GET", "/v1/udfs/{function}", &[], E::ListFunctions, "one user defined function"),
    route("POST", "/v1/udfs", &[], E::CreateFunction, "create a function"),
    route("DELETE", "/v1/udfs/{function}", &[], E::DeleteFunction, "drop a function"),
    route("GET", "/v1/storageinfo", STORAGE_PARAMS, E::Storage, "bytes on disk"),
    route("GET", "/v1/storageinfo/{database}", STORAGE_PARAMS, E::Storage, "bytes on disk of a database"),
    route("GET", "/v1/storageinfo/{database}/{stream}", STORAGE_PARAMS, E::Storage, "bytes on disk of a stream"),
    route("GET", "/v1/clusterinfo", &[], E::Cluster, "nodes of the cluster"),
    route("POST", "/v1/system", &[], E::System, "commands of a cluster"),
    route("GET", "/v1/telemetry", &[], E::Telemetry, "whether telemetry is collected"),
    route("POST", "/v1/telemetry", &[], E::Telemetry, "switch telemetry"),
];

/// The endpoint of a request, and the names in its path.
pub(super) struct Found {
    pub endpoint: Endpoint,
    /// `("stream", "a b")`, decoded.
    pub names: Vec<(&'static str, String)>,
    params: &'static [&'static str],
}

impl Found {
    /// Whether a URL parameter is the endpoint's own.
    pub(super) fn takes(&self, param: &str) -> bool {
        self.params.iter().any(|p| match p.strip_suffix('*') {
            Some(start) => param.starts_with(start),
            None => param == *p,
        })
    }
}

/// The path after one of the prefixes.
pub(super) fn inside(path: &str) -> Option<&str> {
    let rest = PREFIXES.iter().find_map(|p| path.strip_prefix(p))?;
    rest.starts_with('/').then_some(rest)
}

/// Errors: 404 for a path that does not exist, 501 for one that does not know the method.
pub(super) fn find(method: &Method, path: &str) -> Result<Found, Failure> {
    let rest = inside(path).unwrap_or_default();
    let matching: Vec<(&Route, Vec<_>)> = ROUTES.iter().filter_map(|r| Some((r, names(r.path, rest)?))).collect();
    // HEAD is GET without a body.
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    if matching.is_empty() {
        let error = Error::new(Code::RESOURCE_NOT_FOUND, format!("there is no resource {path}"));
        return Err(Failure::with(StatusCode::NOT_FOUND, error.hint("GET /proton/apis for the list of resources")));
    }
    let known: Vec<&str> = matching.iter().map(|(r, _)| r.method).collect();
    match matching.into_iter().find(|(r, _)| r.method == method) {
        Some((route, names)) => Ok(Found { endpoint: route.endpoint, names, params: route.params }),
        None => {
            let error = Error::new(Code::UNSUPPORTED_METHOD, format!("{method} is not supported by {path}"));
            Err(Failure::with(StatusCode::NOT_IMPLEMENTED, error.hint(known.join(", "))))
        }
    }
}

/// The names in `path`, if it has the shape of `template`. A `/` at the end says nothing.
fn names(template: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut names = Vec::new();
    let mut segments = path.trim_end_matches('/').split('/');
    for expected in template.split('/') {
        let segment = segments.next()?;
        match expected.strip_prefix('{').and_then(|e| e.strip_suffix('}')) {
            Some(_) if segment.is_empty() => return None,
            Some(name) => names.push((name, undo_percent(segment))),
            None if segment != expected => return None,
            None => {}
        }
    }
    segments.next().is_none().then_some(names)
}

/// The table as OpenAPI has it.
pub(super) fn description() -> Value {
    let mut paths = serde_json::Map::new();
    for route in ROUTES {
        let text = |place: &str, name: &str| {
            let is_required = place == "path";
            json!({"name": name, "in": place, "required": is_required, "schema": {"type": "string"}})
        };
        let named = route.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<Value> =
            named.map(|n| text("path", n)).chain(route.params.iter().map(|p| text("query", p))).collect();
        let json = json!({"application/json": {"schema": {"type": "object"}}});
        let mut operation = json!({
            "summary": route.does,
            "parameters": parameters,
            "responses": {
                "200": {"description": "done", "content": json},
                "default": {"description": "an error", "content": {"application/json": {"schema": {
                    "type": "object",
                    "properties": {
                        "error_msg": {"type": "string"},
                        "code": {"type": "integer"},
                        "request_id": {"type": "string"},
                    },
                }}}},
            },
        });
        if matches!(route.method, "POST" | "PATCH") {
            operation["requestBody"] = json!({"content": json});
        }
        for prefix in PREFIXES {
            let path = paths.entry(format!("{prefix}{}", route.path)).or_insert_with(|| json!({}));
            path[route.method.to_lowercase()] = operation.clone();
        }
    }
    json!({
        "openapi": "3.0.3",
        "info": {"title": "Hydron REST", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: Method, path: &str) -> Result<(Endpoint, Vec<(&'static str, String)>), (u16, Code)> {
        find(&method, path).map(|f| (f.endpoint, f.names)).map_err(|f| (f.status.as_u16(), f.error.code))
    }

    #[test]
    fn paths_carry_names() {
        assert_eq!(found(Method::GET, "/proton/info"), Ok((E::Info, vec![])));
        assert_eq!(
            found(Method::POST, "/timeplusd/v1/ingest/streams/a%20b+%2F"),
            Ok((E::Ingest, vec![("stream", "a b+/".to_string())]))
        );
        assert_eq!(found(Method::HEAD, "/proton/v1/ddl/streams/"), Ok((E::ListStreams, vec![])));
        assert_eq!(
            found(Method::GET, "/proton/v1/ddl/streams/d/s"),
            Ok((E::ListStreams, vec![("database", "d".to_string()), ("stream", "s".to_string())]))
        );
    }

    #[test]
    fn what_does_not_exist_is_said() {
        assert_eq!(found(Method::GET, "/proton/v1/nothing"), Err((404, Code::RESOURCE_NOT_FOUND)));
        assert_eq!(found(Method::GET, "/proton/v1/ddl/streams/a/b/c"), Err((404, Code::RESOURCE_NOT_FOUND)));
        assert_eq!(found(Method::POST, "/proton/v1/ingest/streams/"), Err((404, Code::RESOURCE_NOT_FOUND)));
        assert_eq!(found(Method::PUT, "/proton/v1/search"), Err((501, Code::UNSUPPORTED_METHOD)));
        assert!(inside("/protonx/info").is_none() && inside("/ping").is_none());
    }

    #[test]
    fn parameters_of_a_path_are_told_from_settings() {
        let create = find(&Method::POST, "/proton/v1/ddl/streams").ok().unwrap();
        assert!(create.takes("logstore_retention_ms") && create.takes("uuid") && !create.takes("max_threads"));
    }

    #[test]
    fn the_description_has_every_path() {
        let description = description();
        let paths = description["paths"].as_object().unwrap();
        let operations: usize = paths.values().map(|p| p.as_object().unwrap().len()).sum();
        assert_eq!(operations, PREFIXES.len() * ROUTES.len());
        assert_eq!(paths["/proton/v1/ddl/streams/{stream}"]["delete"]["parameters"][0]["in"], "path");
    }
}
