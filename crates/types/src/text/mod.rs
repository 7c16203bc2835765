//! Columns to text and back, in the styles that formats and functions need.
//!
//! In: arrays with their logical types. Out: bytes, by the settings of the query; and the way back. Promise: what depends on
//! type, style and settings is decided once for a column; what is written is read back as the same value.
//!
//! In reading order: [`number`] (digits), [`address`] (ids and addresses), [`write`](mod@write), [`read`].

pub mod address;
pub mod number;
pub mod read;
pub mod write;

pub use read::{read_text, read_text_prefix};
pub use write::{ColumnWriter, sql_literal, write_text};

use crate::time::Zone;
use hydron_base::Settings;
use std::sync::Arc;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `to_string`: bytes as they are.
    Plain,
    /// TSV: control characters escaped with backslashes.
    Escaped,
    /// SQL, Values, and elements of arrays: strings and times in single quotes.
    Quoted,
    Csv,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOutput {
    Simple,
    Iso,
    UnixTimestamp,
}

/// The settings that decide texts.
#[derive(Clone, Debug)]
pub struct TextOptions {
    /// The zone of `datetime` without a zone of its own.
    pub zone: Zone,
    pub time_output: TimeOutput,
    /// `date_time_input_format` = best_effort.
    pub best_effort_times: bool,
    pub bool_true: Arc<str>,
    pub bool_false: Arc<str>,
    pub csv_null: Arc<str>,
    pub tsv_null: Arc<str>,
    pub csv_delimiter: u8,
    pub csv_allow_single_quotes: bool,
    pub csv_allow_double_quotes: bool,
    pub csv_empty_as_default: bool,
    pub null_as_default: bool,
    pub json_quote_64bit_integers: bool,
    pub json_quote_denormals: bool,
    pub json_quote_64bit_floats: bool,
    pub json_quote_decimals: bool,
    pub json_escape_forward_slashes: bool,
    pub json_named_tuples_as_objects: bool,
    pub decimal_trailing_zeros: bool,
    pub ipv4_default_on_error: bool,
    pub ipv6_default_on_error: bool,
}

impl TextOptions {
    pub fn from_settings(settings: &Settings, zone: Zone) -> TextOptions {
        let text = |name: &str| Arc::<str>::from(settings.text(name));
        TextOptions {
            zone,
            time_output: match settings.text("date_time_output_format") {
                "iso" => TimeOutput::Iso,
                "unix_timestamp" => TimeOutput::UnixTimestamp,
                _ => TimeOutput::Simple,
            },
            best_effort_times: settings.text("date_time_input_format") == "best_effort",
            bool_true: text("bool_true_representation"),
            bool_false: text("bool_false_representation"),
            csv_null: text("format_csv_null_representation"),
            tsv_null: text("format_tsv_null_representation"),
            csv_delimiter: settings.text("format_csv_delimiter").bytes().next().unwrap_or(b','),
            csv_allow_single_quotes: settings.bool("format_csv_allow_single_quotes"),
            csv_allow_double_quotes: settings.bool("format_csv_allow_double_quotes"),
            csv_empty_as_default: settings.bool("input_format_csv_empty_as_default"),
            null_as_default: settings.bool("input_format_null_as_default"),
            json_quote_64bit_integers: settings.bool("output_format_json_quote_64bit_integers"),
            json_quote_denormals: settings.bool("output_format_json_quote_denormals"),
            json_quote_64bit_floats: settings.bool("output_format_json_quote_64bit_floats"),
            json_quote_decimals: settings.bool("output_format_json_quote_decimals"),
            json_escape_forward_slashes: settings.bool("output_format_json_escape_forward_slashes"),
            json_named_tuples_as_objects: settings.bool("output_format_json_named_tuples_as_objects"),
            decimal_trailing_zeros: settings.bool("output_format_decimal_trailing_zeros"),
            ipv4_default_on_error: settings.bool("input_format_ipv4_default_on_conversion_error"),
            ipv6_default_on_error: settings.bool("input_format_ipv6_default_on_conversion_error"),
        }
    }
}

impl Default for TextOptions {
    fn default() -> Self {
        TextOptions::from_settings(&Settings::default(), Zone::UTC)
    }
}

#[cfg(test)]
mod tests;
