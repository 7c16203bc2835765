//! Topics of Kafka.
//!
//! In reading order: [`settings`] (what a user says, as librdkafka takes it), [`client`] (what all connections have in common),
//! [`outage`] (when brokers have been away for too long), [`consumer`], [`producer`].

pub mod client;
pub mod consumer;
pub mod outage;
pub mod producer;
pub mod settings;

pub use client::partitions;
pub use consumer::KafkaRead;
pub use producer::{KafkaWriter, Outgoing, Sent, Sink, Tally};
pub use settings::KafkaSettings;
