//! What the codecs of columns ask of the files of parts.
//!
//! In: a stream's columns, their codecs checked and complete. Out: how each is packed. Promise: codecs that a file of Parquet does
//! not have become the nearest that it has, so that other programs read the parts: differences of differences are differences, a
//! float's exclusive-or are its bytes apart, LZ4HC is LZ4.

use hydron_plan::StreamInfo;
use hydron_sql::ast::Literal;
use hydron_store::part::{ColumnPacking, PartCodec, PartEncoding};
use hydron_types::Schema;

/// The packing of the columns of `schema` that have a codec.
pub fn packings(info: &StreamInfo, schema: &Schema) -> Vec<ColumnPacking> {
    let columns = info.columns.iter().filter(|c| !c.codec.is_empty() && schema.index_of(&c.name).is_some());
    columns.map(|c| packing(&c.name, &c.codec)).collect()
}

/// A codec that cannot be read any more is as good as none: the rows are worth more.
fn packing(column: &str, codecs: &str) -> ColumnPacking {
    let mut packing = ColumnPacking { name: column.to_string(), codec: None, encoding: None };
    let call = hydron_sql::parse_expression(&format!("codec({codecs})"));
    for codec in call.iter().filter_map(|c| c.as_function()).flat_map(|f| &f.args) {
        let (name, level) = match (codec.as_function(), codec.as_identifier()) {
            (Some(f), _) => (f.name.to_string(), f.args.first().and_then(|a| a.as_literal()).and_then(Literal::as_u64)),
            (None, Some(name)) => (name.to_string(), None),
            (None, None) => continue,
        };
        match name.as_str() {
            "NONE" => packing.codec = Some(PartCodec::None),
            "LZ4" | "LZ4HC" => packing.codec = Some(PartCodec::Lz4),
            // Level 0 is zstd's own default.
            "ZSTD" => packing.codec = Some(PartCodec::Zstd(level.filter(|l| (1..=22).contains(l)).unwrap_or(3) as u8)),
            "Delta" | "DoubleDelta" | "T64" => packing.encoding = Some(PartEncoding::Delta),
            "Gorilla" | "FPC" => packing.encoding = Some(PartEncoding::Split),
            _ => {}
        }
    }
    packing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_become_those_of_parquet() {
        let of = |codecs: &str| {
            let packing = packing("c", codecs);
            (packing.encoding, packing.codec)
        };
        assert_eq!(of("Delta(8), ZSTD(7)"), (Some(PartEncoding::Delta), Some(PartCodec::Zstd(7))));
        assert_eq!(of("DoubleDelta, LZ4"), (Some(PartEncoding::Delta), Some(PartCodec::Lz4)));
        assert_eq!(of("Gorilla, Default"), (Some(PartEncoding::Split), None));
        assert_eq!(of("ZSTD(0)"), (None, Some(PartCodec::Zstd(3))));
        assert_eq!(of("ZSTD(1, 20)"), (None, Some(PartCodec::Zstd(1))));
        assert_eq!(of("NONE"), (None, Some(PartCodec::None)));
        assert_eq!(of("T64('bit')"), (Some(PartEncoding::Delta), None));
        assert_eq!(of("not a codec ("), (None, None));
    }
}
