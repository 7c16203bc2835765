//! What readers and writers have in common: the context, errors by their meaning, the partitions of a topic.

use super::settings::KafkaSettings;
use hydron_base::{Code, Error, Result};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::time::{Duration, Instant};

/// Partitions that one query reads, as Proton has it.
pub const PARTITIONS_MAX: usize = 50;

/// Keeps the last thing that went wrong, with the broker it was about: errors themselves only have a kind.
#[derive(Default)]
pub struct Context {
    last: Mutex<String>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // "[thrd:host:9092/bootstrap]: host:9092/bootstrap: Connect to … failed: Connection refused (after …)"
        let said = message.split_once("]: ").map_or(message, |(_, said)| said);
        if matches!(facility, "FAIL" | "ERROR" | "GETPID" | "SASL" | "SSL") {
            *self.last.lock() = said.to_owned();
        }
        tracing::debug!(target: "kafka", ?level, facility, "{said}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        *self.last.lock() = reason.to_owned();
        tracing::debug!(target: "kafka", "{error}: {reason}");
    }

    fn stats_raw(&self, _: &[u8]) {}
}

impl ConsumerContext for Context {}

impl Context {
    /// The last reason; empty: none was told.
    pub fn reason(&self) -> String {
        self.last.lock().clone()
    }
}

/// Errors: INVALID_SETTING_VALUE for a property that librdkafka does not know.
pub fn config(pairs: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in pairs {
        config.set(*name, *value);
    }
    config.set_log_level(RDKafkaLogLevel::Notice);
    config
}

/// What an error of librdkafka means. `reason`: the last thing that a connection has said.
pub fn typed(settings: &KafkaSettings, error: &KafkaError, reason: &str) -> Error {
    use RDKafkaErrorCode as K;
    let (topic, brokers) = (&settings.topic, &settings.brokers);
    let because = |text: String| if reason.is_empty() { text } else { format!("{text}: {reason}") };
    if let KafkaError::ClientConfig(_, text, name, _) = error {
        // The value may be a secret.
        let text = if name.contains("sasl") || name.contains("ssl") { "it is not accepted" } else { text };
        return Error::new(Code::INVALID_SETTING_VALUE, format!("property '{name}' of Kafka: {text}"));
    }
    let code = error.rdkafka_error_code();
    match code {
        Some(K::UnknownTopic | K::UnknownTopicOrPartition | K::UnknownPartition) => {
            let error = Error::new(Code::RESOURCE_NOT_FOUND, format!("Kafka at {brokers} has no topic '{topic}'"));
            error.hint("create the topic first")
        }
        Some(K::SaslAuthenticationFailed | K::Authentication) => Error::new(
            Code::AUTHENTICATION_FAILED,
            because(format!("Kafka at {brokers} does not accept the credentials of topic '{topic}'")),
        ),
        Some(K::TopicAuthorizationFailed | K::ClusterAuthorizationFailed) => {
            Error::new(Code::ACCESS_DENIED, format!("Kafka at {brokers} does not permit topic '{topic}'"))
        }
        Some(K::OffsetOutOfRange | K::AutoOffsetReset) => {
            let message = format!("topic '{topic}' does not have the messages any more that were to be read next");
            Error::new(Code::SEQUENCE_OUT_OF_RANGE, message).hint("seek_to = 'earliest'")
        }
        _ if code.is_some_and(is_outage) => Error::new(
            Code::NETWORK_ERROR,
            because(format!("Kafka brokers {brokers} of topic '{topic}' cannot be reached")),
        ),
        _ => Error::new(Code::DWAL_RETRIABLE_ERROR, because(format!("topic '{topic}' at {brokers}: {error}"))),
    }
}

/// Whether an error says that nobody answers.
pub fn is_outage(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as K;
    matches!(
        code,
        K::AllBrokersDown
            | K::BrokerTransportFailure
            | K::Resolve
            | K::OperationTimedOut
            | K::RequestTimedOut
            | K::MessageTimedOut
            | K::NodeUpdate
            | K::LeaderNotAvailable
            | K::BrokerNotAvailable
            | K::NetworkException
            | K::SSL
    )
}

/// Whether an error ends a read, whatever the brokers do next.
pub fn is_final(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as K;
    matches!(
        code,
        K::UnknownTopic
            | K::UnknownTopicOrPartition
            | K::UnknownPartition
            | K::SaslAuthenticationFailed
            | K::Authentication
            | K::TopicAuthorizationFailed
            | K::ClusterAuthorizationFailed
            | K::OffsetOutOfRange
            | K::AutoOffsetReset
    )
}

/// What is left until a deadline, never nothing.
pub fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// The partitions of a topic, in order. Blocks until the deadline.
///
/// Errors: RESOURCE_NOT_FOUND for an unknown topic, NETWORK_ERROR with the reason when no broker answers.
pub fn partitions_of<C: ClientContext>(
    client: &Client<C>,
    settings: &KafkaSettings,
    reason: &dyn Fn() -> String,
    deadline: Instant,
) -> Result<Vec<i32>> {
    loop {
        let metadata = client.fetch_metadata(Some(&settings.topic), left(deadline));
        let metadata = metadata.map_err(|e| typed(settings, &e, &reason()))?;
        let topic = metadata.topics().iter().find(|t| t.name() == settings.topic);
        let error = topic.and_then(|t| t.error()).map(RDKafkaErrorCode::from);
        match (topic, error) {
            (Some(topic), None) if !topic.partitions().is_empty() => {
                let mut ids: Vec<i32> = topic.partitions().iter().map(|p| p.id()).collect();
                ids.sort_unstable();
                return Ok(ids);
            }
            // A topic that was just made has no leader yet.
            (_, Some(code)) if is_outage(code) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50).min(left(deadline)));
            }
            (_, error) => {
                let error = error.unwrap_or(RDKafkaErrorCode::UnknownTopicOrPartition);
                return Err(typed(settings, &KafkaError::MetadataFetch(error), &reason()));
            }
        }
    }
}

/// A consumer of no partition yet.
pub fn consumer(settings: &KafkaSettings) -> Result<BaseConsumer<Context>> {
    let group = format!("hydron-{}", settings.topic);
    let config = config(&settings.consumer(&group));
    config.create_with_context(Context::default()).map_err(|e| typed(settings, &e, ""))
}

/// The partitions of a topic; what CREATE asks. Blocks for at most the patience of the settings.
pub fn partitions(settings: &KafkaSettings) -> Result<Vec<i32>> {
    let consumer = consumer(settings)?;
    let deadline = Instant::now() + settings.patience;
    // A writer may get along with fewer properties: both are tried.
    let _: rdkafka::config::NativeClientConfig =
        config(&settings.producer()).create_native_config().map_err(|e| typed(settings, &e, ""))?;
    partitions_of(consumer.client(), settings, &|| consumer.context().reason(), deadline)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_built_with_tls_and_all_mechanisms() {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let pairs = [
                ("brokers", "127.0.0.1:1"),
                ("topic", "t"),
                ("security_protocol", "sasl_ssl"),
                ("sasl_mechanism", mechanism),
                ("username", "u"),
                ("password", "canary"),
            ];
            let get = |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            let settings = KafkaSettings::parse(&get).unwrap();
            consumer(&settings).unwrap_or_else(|e| panic!("{mechanism}: {e}"));
        }
    }

    #[test]
    fn every_compression_is_built() {
        for codec in ["gzip", "snappy", "lz4", "zstd"] {
            config(&[("compression.codec", codec)]).create_native_config().unwrap_or_else(|e| panic!("{codec}: {e}"));
        }
    }
}
