//! What a request says: who asks, what, with which settings.

use super::coding::Coding;
use super::form::describes_table;
use ::http::request::Parts;
use ::http::{HeaderMap, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hydron_base::{Code, Error, Result, Settings};
use hydron_format::Compression;
use std::collections::HashMap;
use std::time::Duration;

/// A request for a query, its body apart.
pub(crate) struct QueryRequest {
    pub user: String,
    pub password: String,
    /// Empty: that of the session.
    pub database: String,
    /// The part of the query that stands in the URL.
    pub query: String,
    pub query_id: String,
    pub settings: Settings,
    pub session: Option<SessionRequest>,
    /// Roles that the query runs with; empty: those of the session.
    pub roles: Vec<String>,
    pub reads_only: bool,
    /// How the body is coded.
    pub encoding: Coding,
    /// What the client accepts.
    pub accepts: Coding,
    /// By which a quota may be counted.
    pub quota_key: String,
    /// The body's type where it is a form, and what the URL says of the form's tables.
    pub form: Option<String>,
    pub described: HashMap<String, String>,
}

pub(crate) struct SessionRequest {
    pub id: String,
    pub timeout: Option<u64>,
    /// The session must exist.
    pub check: bool,
    /// It ends with this request.
    pub closes: bool,
}

/// Parameters that say something else than a setting, or nothing here.
const PASSED_OVER: &[&str] = &["stacktrace", "no_cache", "time_start", "time_end"];

impl QueryRequest {
    /// Errors: UNKNOWN_SETTING, INVALID_SETTING_VALUE and their like for parameters; AUTHENTICATION_FAILED for
    /// credentials that cannot be read.
    pub(crate) fn parse(parts: &Parts) -> Result<QueryRequest> {
        QueryRequest::parse_but(parts, |_, _| false)
    }

    /// As [`QueryRequest::parse`], without the URL parameters that `takes` wants for itself.
    pub(crate) fn parse_but(parts: &Parts, mut takes: impl FnMut(&str, &str) -> bool) -> Result<QueryRequest> {
        let headers = &parts.headers;
        let mut request = QueryRequest {
            user: String::new(),
            password: String::new(),
            database: String::new(),
            query: String::new(),
            query_id: String::new(),
            quota_key: String::new(),
            settings: Settings::default(),
            session: None,
            roles: Vec::new(),
            reads_only: parts.method == Method::GET || parts.method == Method::HEAD,
            encoding: Coding { http: encoding(headers)?, framed: false },
            accepts: Coding {
                http: text(headers, header::ACCEPT_ENCODING.as_str()).and_then(Compression::accepted),
                framed: false,
            },
            form: text(headers, header::CONTENT_TYPE.as_str())
                .filter(|t| t.get(..10).is_some_and(|t| t.eq_ignore_ascii_case("multipart/")))
                .map(str::to_string),
            described: HashMap::new(),
        };
        let mut session_timeout = None;
        let mut session_check = false;
        let mut closes = false;
        let mut session_id = String::new();
        for (name, value) in pairs(parts.uri.query().unwrap_or_default()) {
            if takes(&name, &value) {
                continue;
            }
            match name.as_str() {
                "query" => request.query.push_str(&value),
                "user" => request.user = value,
                "password" => request.password = value,
                "database" => request.database = value,
                "query_id" => request.query_id = value,
                "quota_key" => request.quota_key = value,
                "session_id" => session_id = value,
                "session_timeout" => session_timeout = Some(seconds(&value)?),
                "session_check" => session_check = is_on(&value),
                "close_session" => closes = is_on(&value),
                "compress" => request.accepts.framed = is_on(&value),
                "decompress" => request.encoding.framed = is_on(&value),
                _ => request.take(name, value)?,
            }
        }
        if !session_id.is_empty() {
            let (timeout, check) = (session_timeout, session_check);
            request.session = Some(SessionRequest { id: session_id, timeout, check, closes });
        }
        request.take_headers(headers)?;
        if request.user.is_empty() {
            request.user = "default".to_string();
        }
        Ok(request)
    }

    /// A parameter of the query, from the URL or a form.
    pub(super) fn take(&mut self, name: String, value: String) -> Result<()> {
        match name.as_str() {
            other if PASSED_OVER.contains(&other) => Ok(()),
            "role" => {
                self.roles.push(value);
                Ok(())
            }
            about if self.form.is_some() && describes_table(about) => {
                self.described.insert(name, value);
                Ok(())
            }
            setting => self.settings.set(setting, &value),
        }
    }

    /// A field of a form: the query, or a parameter of it.
    pub(super) fn take_field(&mut self, name: String, value: String) -> Result<()> {
        match name.as_str() {
            "query" => self.query.push_str(&value),
            "database" => self.database = value,
            "query_id" => self.query_id = value,
            "quota_key" => self.quota_key = value,
            _ => self.take(name, value)?,
        }
        Ok(())
    }

    /// Headers say it with more weight than the URL; who asks is said in one way alone.
    fn take_headers(&mut self, headers: &HeaderMap) -> Result<()> {
        let basic_text = text(headers, header::AUTHORIZATION.as_str());
        let (user, key) = (own(headers, "user"), own(headers, "key"));
        let is_in_url = !self.user.is_empty() || !self.password.is_empty();
        let ways = [
            (basic_text.is_some(), "the Authorization header"),
            (user.is_some() || key.is_some(), "X-ClickHouse headers"),
            (is_in_url, "parameters"),
        ];
        let mut used = ways.iter().filter(|(is_used, _)| *is_used).map(|(_, way)| *way);
        if let (Some(one), Some(other)) = (used.next(), used.next()) {
            let text = format!("it is not allowed to use {one} and {other} for authentication simultaneously");
            return Err(Error::new(Code::AUTHENTICATION_FAILED, text));
        }
        if let Some(value) = basic_text {
            (self.user, self.password) = basic(value)?;
        }
        if user.is_some() || key.is_some() {
            self.user = user.unwrap_or_default().to_string();
            self.password = key.unwrap_or_default().to_string();
        }
        if let Some(database) = own(headers, "database") {
            self.database = database.to_string();
        }
        if let Some(key) = own(headers, "quota") {
            self.quota_key = key.to_string();
        }
        if let Some(format) = own(headers, "format") {
            self.settings.set("default_format", format)?;
        }
        // ClickHouse's drivers cannot read Proton's names of types.
        let is_clickhouse = |agent: &str| agent.to_ascii_lowercase().contains("clickhouse");
        if text(headers, header::USER_AGENT.as_str()).is_some_and(is_clickhouse)
            && !self.settings.is_changed("type_names")
        {
            self.settings.set("type_names", "clickhouse")?;
        }
        if let Some(id) = own(headers, "query-id") {
            self.query_id = id.to_string();
        }
        if let Some(id) = own(headers, "idempotent-id") {
            self.settings.set("idempotent_id", id)?;
        }
        Ok(())
    }
}

/// Header families of the three dialects, the newest name first.
pub(crate) const FAMILIES: &[&str] = &["x-timeplus-", "x-proton-", "x-clickhouse-"];

fn own<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    FAMILIES.iter().find_map(|family| text(headers, &format!("{family}{name}")))
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty())
}

/// As ClickHouse reads a switch.
fn is_on(value: &str) -> bool {
    matches!(value, "1" | "true")
}

fn encoding(headers: &HeaderMap) -> Result<Option<Compression>> {
    match text(headers, header::CONTENT_ENCODING.as_str()) {
        Some(name) => Compression::parse(name),
        None => Ok(None),
    }
}

fn seconds(value: &str) -> Result<u64> {
    value.parse().map_err(|_| {
        Error::new(Code::INVALID_SESSION_TIMEOUT, format!("session_timeout '{value}' is no number of seconds"))
    })
}

/// `Basic dXNlcjpwYXNzd29yZA==` as user and password.
fn basic(value: &str) -> Result<(String, String)> {
    let wrong =
        || Error::new(Code::AUTHENTICATION_FAILED, "the Authorization header is not 'Basic' with user:password");
    let (scheme, token) = value.split_once(' ').ok_or_else(wrong)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(wrong());
    }
    let bytes = STANDARD.decode(token.trim()).map_err(|_| wrong())?;
    let plain = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (user, password) = plain.split_once(':').ok_or_else(wrong)?;
    Ok((user.to_string(), password.to_string()))
}

/// How long a session may be idle.
pub(crate) fn session_patience(request: &SessionRequest, settings: &Settings, max: Duration) -> Result<Duration> {
    let seconds = request.timeout.unwrap_or_else(|| settings.uint("session_timeout"));
    let patience = Duration::from_secs(seconds);
    if patience > max {
        let text = format!("session_timeout {seconds} is longer than {} seconds", max.as_secs());
        return Err(Error::new(Code::INVALID_SESSION_TIMEOUT, text));
    }
    Ok(patience)
}

/// Name and value of each part of a URL's query.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(name), decode(value))
    })
}

/// Undoes the encoding of a part of a URL's query: percent signs, and `+` for a space. What is not UTF-8 becomes
/// replacement characters.
fn decode(text: &str) -> String {
    undo_percent(&text.replace('+', " "))
}

/// Undoes percent encoding.
pub(crate) fn undo_percent(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|d| std::str::from_utf8(d).ok());
        match (bytes[at], digits.and_then(|d| u8::from_str_radix(d, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str, headers: &[(&str, &str)]) -> Result<QueryRequest> {
        let mut builder = ::http::Request::builder().method("POST").uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        QueryRequest::parse(&builder.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn url_carries_query_settings_and_parameters() {
        let r =
            parse("/?query=SELECT+%7Bx%3Auint8%7D&param_x=1&max_threads=2&database=d&user=u&password=p", &[]).unwrap();
        assert_eq!((r.query.as_str(), r.database.as_str()), ("SELECT {x:uint8}", "d"));
        assert_eq!((r.settings.text("param_x"), r.settings.uint("max_threads")), ("1", 2));
        assert_eq!((r.user.as_str(), r.password.as_str()), ("u", "p"));
    }

    #[test]
    fn headers_outweigh_the_url() {
        let basic = format!("Basic {}", STANDARD.encode("a:b:c"));
        let r = parse("/?database=u", &[("authorization", &basic), ("x-proton-database", "d")]).unwrap();
        assert_eq!((r.user.as_str(), r.password.as_str(), r.database.as_str()), ("a", "b:c", "d"));
        let r =
            parse("/?query_id=u", &[("x-clickhouse-user", "k"), ("x-clickhouse-key", "s"), ("x-proton-query-id", "q")])
                .unwrap();
        assert_eq!((r.user.as_str(), r.password.as_str(), r.query_id.as_str()), ("k", "s", "q"));
        let r = parse("/", &[("x-clickhouse-key", "s")]).unwrap();
        assert_eq!((r.user.as_str(), r.password.as_str()), ("default", "s"));
    }

    #[test]
    fn who_asks_is_said_in_one_way_alone() {
        let basic = ("authorization", "Basic YTpi");
        for (uri, headers) in [
            ("/?user=a", vec![basic]),
            ("/?password=b", vec![basic]),
            ("/?user=a", vec![("x-clickhouse-user", "a")]),
            ("/", vec![basic, ("x-clickhouse-key", "b")]),
        ] {
            let code = parse(uri, &headers).err().map(|e| e.code);
            assert_eq!(code, Some(Code::AUTHENTICATION_FAILED), "{uri} {headers:?}");
        }
        assert!(parse("/?user=&password=", &[basic]).is_ok());
    }

    #[test]
    fn a_role_may_be_repeated_and_a_session_closed() {
        let r = parse("/?role=a&role=b+c&session_id=s&close_session=1", &[]).unwrap();
        assert_eq!(r.roles, ["a", "b c"]);
        assert!(r.session.is_some_and(|s| s.closes && !s.check));
    }

    #[test]
    fn drivers_of_clickhouse_read_its_names_of_types() {
        let names = |uri: &str, agent: &str| {
            parse(uri, &[("user-agent", agent)]).unwrap().settings.text("type_names").to_string()
        };
        assert_eq!(names("/", "clickhouse-connect/0.8 (lv:py/3.11)"), "clickhouse");
        assert_eq!(names("/", "curl/8"), "proton");
        assert_eq!(names("/?type_names=proton", "clickhouse-connect/0.8"), "proton");
    }

    #[test]
    fn a_form_says_what_its_tables_are() {
        let form = [("content-type", "multipart/form-data; boundary=x")];
        let mut r = parse("/?t_structure=a+int8&default_format=CSV&compress=1", &form).unwrap();
        assert_eq!(r.described.get("t_structure").map(String::as_str), Some("a int8"));
        assert_eq!((r.settings.text("default_format"), r.accepts.framed, r.encoding.framed), ("CSV", true, false));
        r.take_field("query".into(), "select {x:int8}".into()).unwrap();
        r.take_field("param_x".into(), "1".into()).unwrap();
        assert_eq!((r.query.as_str(), r.settings.text("param_x")), ("select {x:int8}", "1"));
        assert!(parse("/?t_structure=a", &[]).is_err(), "only a form has tables");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_with_its_code() {
        assert_eq!(parse("/?no_such_setting=1", &[]).err().map(|e| e.code), Some(Code::UNKNOWN_SETTING));
        assert_eq!(
            parse("/", &[("authorization", "Bearer x")]).err().map(|e| e.code),
            Some(Code::AUTHENTICATION_FAILED)
        );
        assert_eq!(decode("%zz%4"), "%zz%4");
    }
}
