//! The settings that shape a format, read once when a query starts.

use crate::custom::CustomOptions;
use crate::format_schema::NamedSchema;
use crate::infer::InferOptions;
use crate::native::NativeOptions;
use crate::regexp::RegexpOptions;
use crate::sql_insert::SqlInsertOptions;
use crate::template::TemplateOptions;
use hydron_base::Settings;
use hydron_types::{TextOptions, TypeNames, Zone};

/// Settings of all formats. `text` decides values, the rest decides what stands around them.
#[derive(Clone, Debug)]
pub struct FormatOptions {
    pub text: TextOptions,
    pub csv_crlf: bool,
    pub tsv_crlf: bool,
    pub tsv_empty_as_default: bool,
    pub json_array_of_rows: bool,
    /// Lines before the rows that are not read.
    pub csv_skip_lines: u64,
    pub tsv_skip_lines: u64,
    /// Rows may have fewer fields than there are columns, or more.
    pub csv_any_number_of_fields: bool,
    pub tsv_any_number_of_fields: bool,
    pub json_compact_any_number_of_fields: bool,
    pub csv_trim: bool,
    pub csv_default_for_bad: bool,
    /// The column whose values name the rows of JSONObjectEachRow; empty: they are counted.
    pub json_object_name_column: String,
    pub infer: InferOptions,
    pub write_statistics: bool,
    pub pretty: PrettyOptions,
    pub native: NativeOptions,
    /// The header row of a `WithNames` format says which columns follow.
    pub with_names_use_header: bool,
    /// The second header row of a `WithNamesAndTypes` format is compared with the columns.
    pub with_types_use_header: bool,
    pub skip_unknown_fields: bool,
    /// Rows that may be skipped because they do not parse: so many, and this share of all.
    pub allow_errors_num: u64,
    pub allow_errors_ratio: f64,
    pub values_interpret_expressions: bool,
    /// The schema that the query names, for formats that need one.
    pub schema: NamedSchema,
    pub custom: CustomOptions,
    pub template: TemplateOptions,
    pub regexp: RegexpOptions,
    pub sql_insert: SqlInsertOptions,
    /// `null`, `deflate`, `snappy` or `zstandard`.
    pub avro_codec: String,
    /// Rows of an input batch, at most.
    pub batch_rows_max: usize,
}

#[derive(Clone, Debug)]
pub struct PrettyOptions {
    pub rows_max: u64,
    pub column_pad_width_max: usize,
    pub value_width_max: usize,
    pub color: bool,
    pub ascii: bool,
    pub row_numbers: bool,
}

impl FormatOptions {
    pub fn from_settings(settings: &Settings, zone: Zone) -> FormatOptions {
        FormatOptions {
            text: TextOptions::from_settings(settings, zone),
            csv_crlf: settings.bool("output_format_csv_crlf_end_of_line"),
            tsv_crlf: settings.bool("output_format_tsv_crlf_end_of_line"),
            tsv_empty_as_default: settings.bool("input_format_tsv_empty_as_default"),
            csv_skip_lines: settings.uint("input_format_csv_skip_first_lines"),
            tsv_skip_lines: settings.uint("input_format_tsv_skip_first_lines"),
            csv_any_number_of_fields: settings.bool("input_format_csv_allow_variable_number_of_columns"),
            tsv_any_number_of_fields: settings.bool("input_format_tsv_allow_variable_number_of_columns"),
            json_compact_any_number_of_fields: settings
                .bool("input_format_json_compact_allow_variable_number_of_columns"),
            csv_trim: settings.bool("input_format_csv_trim_whitespaces"),
            csv_default_for_bad: settings.bool("input_format_csv_use_default_on_bad_values"),
            json_object_name_column: settings.text("format_json_object_each_row_column_for_object_name").to_string(),
            infer: InferOptions::from_settings(settings),
            json_array_of_rows: settings.bool("output_format_json_array_of_rows"),
            write_statistics: settings.bool("output_format_write_statistics"),
            pretty: PrettyOptions {
                rows_max: settings.uint("output_format_pretty_max_rows"),
                column_pad_width_max: settings.uint("output_format_pretty_max_column_pad_width") as usize,
                value_width_max: settings.uint("output_format_pretty_max_value_width") as usize,
                color: settings.bool("output_format_pretty_color"),
                ascii: settings.text("output_format_pretty_grid_charset").eq_ignore_ascii_case("ascii"),
                row_numbers: settings.bool("output_format_pretty_row_numbers"),
            },
            native: NativeOptions {
                revision: settings.uint("client_protocol_version"),
                names: TypeNames::parse(settings.text("type_names")),
            },
            with_names_use_header: on_unless_changed(settings, "input_format_with_names_use_header"),
            with_types_use_header: on_unless_changed(settings, "input_format_with_types_use_header"),
            skip_unknown_fields: settings.bool("input_format_skip_unknown_fields"),
            allow_errors_num: settings.uint("input_format_allow_errors_num"),
            allow_errors_ratio: settings.float("input_format_allow_errors_ratio"),
            values_interpret_expressions: settings.bool("input_format_values_interpret_expressions"),
            schema: NamedSchema::from_settings(settings),
            custom: CustomOptions::from_settings(settings),
            template: TemplateOptions::from_settings(settings),
            regexp: RegexpOptions::from_settings(settings),
            sql_insert: SqlInsertOptions::from_settings(settings),
            avro_codec: settings.text("output_format_avro_codec").to_string(),
            batch_rows_max: (settings.uint("max_insert_block_size") as usize).clamp(1, BATCH_ROWS_LIMIT),
        }
    }
}

// 1 Mi rows x 1 KiB is 1 GiB: what one batch may reach before the ingest path cuts it again. More saves nothing.
const BATCH_ROWS_LIMIT: usize = 1 << 20;

/// A setting that is taken without a table entry; its default is on.
fn on_unless_changed(settings: &Settings, name: &str) -> bool {
    !settings.is_changed(name) || settings.bool(name)
}

impl Default for FormatOptions {
    fn default() -> Self {
        FormatOptions::from_settings(&Settings::default(), Zone::UTC)
    }
}
