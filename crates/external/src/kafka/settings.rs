//! The settings of a connection as librdkafka takes them.
//!
//! In: settings of an external stream by name. Out: brokers, topic, properties. Promise: a property that would change what the
//! server promises (groups, commits), that loads or runs something, or that has a setting of its own is refused; a secret is in no
//! error.

use hydron_base::{Code, Error, Result};
use std::fmt;
use std::time::Duration;

/// How long brokers may be away before a query fails.
const RECONNECT_MS_DEFAULT: u64 = 30_000;

/// Properties that are ours to set, or dangerous: names, or beginnings of names that end with a dot.
const REFUSED: &[&str] = &[
    "auto.commit.",
    "auto.offset.reset",
    "bootstrap.servers",
    "broker.",
    "builtin.features",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "enable.sasl.",
    "enable.ssl.",
    "group.",
    "metadata.broker.list",
    "opaque",
    "partition.assignment.strategy",
    "plugin.",
    "sasl.",
    "security.",
    "ssl.",
    "ssl_engine_callback_data",
    "test.",
    "transactional.id",
];

#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    pub brokers: String,
    pub topic: String,
    /// How long brokers may be away.
    pub patience: Duration,
    /// For both sides, secrets among them.
    common: Vec<(String, String)>,
    properties: Vec<(String, String)>,
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {} of {}", self.topic, self.brokers)
    }
}

impl KafkaSettings {
    /// `get`: the value of a setting; empty values count as none.
    ///
    /// Errors: INVALID_SETTING_VALUE naming the setting; NOT_IMPLEMENTED for a schema registry and for mechanisms that are not built.
    pub fn parse(get: &dyn Fn(&str) -> Option<String>) -> Result<KafkaSettings> {
        let get = |name: &str| get(name).filter(|v| !v.is_empty());
        let needed = |name: &str| {
            get(name).ok_or_else(|| {
                let message = format!("setting '{name}' of an external stream of Kafka is missing");
                let hint = "type = 'kafka', brokers = 'host:9092', topic = 'name'";
                Error::new(Code::INVALID_SETTING_VALUE, message).hint(hint)
            })
        };
        let (brokers, topic) = (needed("brokers")?, needed("topic")?);
        if get("kafka_schema_registry_url").is_some() {
            return Err(Error::not_implemented("a schema registry"));
        }
        let patience = match get("reconnect_timeout_ms") {
            None => RECONNECT_MS_DEFAULT,
            Some(text) => match text.parse() {
                Ok(ms) if (100..=3_600_000).contains(&ms) => ms,
                _ => return Err(bad("reconnect_timeout_ms", &text, "100 to 3600000 milliseconds")),
            },
        };
        let mut common = security(&get)?;
        common.push(("bootstrap.servers".into(), brokers.clone()));
        common.push(("client.id".into(), "hydron".into()));
        let properties = get("properties").map_or(Ok(Vec::new()), |text| properties(&text))?;
        Ok(KafkaSettings { brokers, topic, patience: Duration::from_millis(patience), common, properties })
    }

    /// Properties of a consumer. What the user says counts where it may.
    pub fn consumer<'a>(&'a self, group: &'a str) -> Vec<(&'a str, &'a str)> {
        let ours = [
            // A group is needed for reading, and never joined: positions are kept by the query.
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
        ];
        // 16 MiB read ahead, of all partitions together, beside what one answer of a broker has.
        let defaults = [
            ("queued.max.messages.kbytes", "16384"),
            // When these are taken the next ones are asked for at once, and not after a second.
            ("fetch.queue.backoff.ms", "10"),
            ("socket.keepalive.enable", "true"),
        ];
        self.with(&defaults, &ours)
    }

    /// Properties of a producer.
    pub fn producer(&self) -> Vec<(&str, &str)> {
        let defaults = [
            ("enable.idempotence", "true"),
            ("message.timeout.ms", "30000"),
            ("linger.ms", "5"),
            // The server's own limit comes first; brokers have theirs.
            ("message.max.bytes", "8388608"),
            ("queue.buffering.max.kbytes", "65536"),
            ("socket.keepalive.enable", "true"),
        ];
        self.with(&defaults, &[("allow.auto.create.topics", "false")])
    }

    fn with<'a>(&'a self, defaults: &[(&'a str, &'a str)], ours: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let pairs = |all: &'a [(String, String)]| all.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        // The last one of a name counts.
        defaults
            .iter()
            .copied()
            .chain(pairs(&self.common))
            .chain(pairs(&self.properties))
            .chain(ours.iter().copied())
            .collect()
    }
}

fn bad(name: &str, value: &str, hint: &str) -> Error {
    Error::new(Code::INVALID_SETTING_VALUE, format!("setting '{name}' cannot be '{value}'")).hint(hint)
}

/// True for `true`, `1`, `yes`, `on`.
pub fn flag(name: &str, text: &str) -> Result<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(bad(name, text, "true or false")),
    }
}

fn security(get: &dyn Fn(&str) -> Option<String>) -> Result<Vec<(String, String)>> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| pairs.push((name.to_owned(), value.to_owned()));
    let protocol = get("security_protocol").unwrap_or_else(|| "plaintext".into()).to_ascii_lowercase();
    let (is_sasl, is_tls) = match protocol.as_str() {
        "plaintext" => (false, false),
        "sasl_plaintext" => (true, false),
        "sasl_ssl" => (true, true),
        "ssl" => (false, true),
        other => return Err(bad("security_protocol", other, "plaintext, sasl_plaintext, sasl_ssl or ssl")),
    };
    set("security.protocol", &protocol);
    if is_sasl {
        let mechanism = get("sasl_mechanism").unwrap_or_else(|| "PLAIN".into()).to_ascii_uppercase();
        match mechanism.as_str() {
            "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => {}
            "AWS_MSK_IAM" | "OAUTHBEARER" | "GSSAPI" => {
                return Err(Error::not_implemented(format!("sasl_mechanism '{mechanism}'")));
            }
            other => return Err(bad("sasl_mechanism", other, "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")),
        }
        set("sasl.mechanism", &mechanism);
        for (name, property) in [("username", "sasl.username"), ("password", "sasl.password")] {
            let value = get(name).ok_or_else(|| {
                let message = format!("security_protocol '{protocol}' needs the setting '{name}'");
                Error::new(Code::INVALID_SETTING_VALUE, message)
            })?;
            set(property, &value);
        }
    }
    if is_tls {
        match (get("ssl_ca_cert_file"), get("ssl_ca_pem")) {
            (Some(_), Some(_)) => {
                let message = "settings 'ssl_ca_cert_file' and 'ssl_ca_pem' exclude each other";
                return Err(Error::new(Code::INVALID_SETTING_VALUE, message));
            }
            (Some(file), None) => set("ssl.ca.location", &file),
            (None, Some(pem)) => set("ssl.ca.pem", &pem),
            // OpenSSL is linked in and does not know where the system keeps its certificates.
            (None, None) => set("ssl.ca.location", "probe"),
        }
        if get("skip_ssl_cert_check").map_or(Ok(false), |text| flag("skip_ssl_cert_check", &text))? {
            set("enable.ssl.certificate.verification", "false");
            set("ssl.endpoint.identification.algorithm", "none");
        }
    }
    Ok(pairs)
}

/// `name=value;name=value`
fn properties(text: &str) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for piece in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let Some((name, value)) = piece.split_once('=').map(|(n, v)| (n.trim(), v.trim())) else {
            let message = format!("'{piece}' in setting 'properties' is no pair of name and value");
            return Err(Error::new(Code::INVALID_SETTING_VALUE, message).hint("'client.id=me;fetch.wait.max.ms=100'"));
        };
        let refused = |r: &&&str| if r.ends_with('.') { name.starts_with(**r) } else { name == **r };
        if REFUSED.iter().any(|r| refused(&r)) {
            let message = format!("property '{name}' cannot be set: the server sets it, or a setting of its own does");
            return Err(Error::new(Code::INVALID_SETTING_VALUE, message));
        }
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

/// The settings in the text of a `config_file`: `name=value`, one a line; quotes around a value are not part of it, and lines that
/// begin with `#` say nothing.
pub fn config_file(text: &str) -> Result<Vec<(String, String)>> {
    let lines = text.lines().enumerate().map(|(n, l)| (n + 1, l.trim()));
    let mut pairs = Vec::new();
    for (number, line) in lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
        // The line may hold a secret: only its number is told.
        let Some((name, value)) = line.split_once('=').map(|(n, v)| (n.trim(), v.trim())) else {
            let message = format!("line {number} of the config_file is no 'name=value'");
            return Err(Error::new(Code::INVALID_SETTING_VALUE, message));
        };
        let bare = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')).unwrap_or(value);
        pairs.push((name.to_owned(), bare.to_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<KafkaSettings> {
        let base = [("brokers", "b:9092"), ("topic", "t")];
        let all: Vec<_> = base.iter().chain(pairs).copied().collect();
        KafkaSettings::parse(&|name| all.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    fn last<'a>(pairs: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
        pairs.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    #[test]
    fn what_is_needed_is_asked_for() {
        let refused = |pairs: &[(&str, &str)]| parse(pairs).unwrap_err();
        assert_eq!(refused(&[("brokers", "")]).code, Code::INVALID_SETTING_VALUE);
        assert!(refused(&[("topic", "")]).message.contains("'topic'"));
        assert_eq!(refused(&[("security_protocol", "tls")]).code, Code::INVALID_SETTING_VALUE);
        assert!(refused(&[("security_protocol", "SASL_SSL"), ("username", "u")]).message.contains("'password'"));
        assert_eq!(refused(&[("kafka_schema_registry_url", "http://r")]).code, Code::NOT_IMPLEMENTED);
        let msk = [("security_protocol", "sasl_ssl"), ("sasl_mechanism", "AWS_MSK_IAM")];
        assert_eq!(refused(&msk).code, Code::NOT_IMPLEMENTED);
        assert_eq!(refused(&[("reconnect_timeout_ms", "1")]).code, Code::INVALID_SETTING_VALUE);
    }

    #[test]
    fn security_becomes_properties() {
        let sasl = [("security_protocol", "SASL_SSL"), ("username", "u"), ("password", "p=;x")];
        let settings = parse(&sasl).unwrap();
        let pairs = settings.consumer("g");
        assert_eq!(last(&pairs, "security.protocol"), Some("sasl_ssl"));
        assert_eq!(last(&pairs, "sasl.mechanism"), Some("PLAIN"));
        assert_eq!(last(&pairs, "sasl.password"), Some("p=;x"));
        assert_eq!(last(&pairs, "ssl.ca.location"), Some("probe"));
        assert!(!format!("{settings:?}").contains("p=;x"));
    }

    #[test]
    fn properties_pass_unless_they_are_ours() {
        let settings = parse(&[("properties", "client.id = me; linger.ms=50;")]).unwrap();
        assert_eq!(last(&settings.producer(), "linger.ms"), Some("50"));
        assert_eq!(last(&settings.consumer("g"), "client.id"), Some("me"));
        for refused in
            ["group.id=x", "enable.auto.commit=true", "sasl.password=x", "plugin.library.paths=x", "ssl.key.pem=x"]
        {
            assert_eq!(parse(&[("properties", refused)]).unwrap_err().code, Code::INVALID_SETTING_VALUE, "{refused}");
        }
        assert_eq!(parse(&[("properties", "linger.ms")]).unwrap_err().code, Code::INVALID_SETTING_VALUE);
    }

    #[test]
    fn a_config_file_has_a_setting_a_line() {
        let pairs = config_file("# secrets\nusername = u\n\npassword='a=b'\n").unwrap();
        assert_eq!(pairs, [("username".into(), "u".into()), ("password".into(), "a=b".into())]);
        let error = config_file("username=u\nsecret-word").unwrap_err();
        assert!(error.message.contains("line 2") && !error.message.contains("secret-word"));
    }
}
