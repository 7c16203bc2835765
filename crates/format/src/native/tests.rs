//! Blocks there and back, at any cut, and damaged.

use super::*;
use hydron_base::Code;
use hydron_types::{
    Batch, ColumnBuilder, Field, Schema, Style, TextOptions, TypeNames, parse_type, read_text, value_at,
};
use std::sync::Arc;

/// A type and texts of its values, as SQL writes them.
const COLUMNS: &[(&str, &[&str])] = &[
    ("bool", &["true", "false", "true"]),
    ("int8", &["-128", "0", "127"]),
    ("int16", &["-32768", "0", "32767"]),
    ("int32", &["-2147483648", "0", "2147483647"]),
    ("int64", &["-9223372036854775808", "0", "9223372036854775807"]),
    ("int128", &["-170141183460469231731687303715884105728", "0", "1"]),
    ("int256", &["-1", "0", "57896044618658097711785492504343953926634992332820282019728792003956564819967"]),
    ("uint8", &["0", "1", "255"]),
    ("uint16", &["0", "1", "65535"]),
    ("uint32", &["0", "1", "4294967295"]),
    ("uint64", &["0", "1", "18446744073709551615"]),
    ("uint128", &["0", "1", "340282366920938463463374607431768211455"]),
    ("uint256", &["0", "258", "115792089237316195423570985008687907853269984665640564039457584007913129639935"]),
    ("float32", &["-1.5", "0", "inf"]),
    ("float64", &["-1.5", "0", "1e300"]),
    ("decimal(9, 2)", &["-1.25", "0", "9999999.99"]),
    ("decimal(18, 3)", &["-1.25", "0", "1.125"]),
    ("decimal(38, 10)", &["-1.25", "0", "1.0000000001"]),
    ("decimal(76, 20)", &["-1.25", "0", "1.5"]),
    ("string", &["'a'", "''", "'long enough to have no short form \\0 \\n'"]),
    ("fixed_string(3)", &["'abc'", "'a'", "''"]),
    ("date", &["'1970-01-01'", "'2024-02-29'", "'2149-06-06'"]),
    ("date32", &["'1900-01-01'", "'1970-01-01'", "'2299-12-31'"]),
    ("datetime", &["'1970-01-01 00:00:00'", "'2024-02-29 12:34:56'", "'2106-02-07 06:28:15'"]),
    ("datetime('Asia/Shanghai')", &["'1970-01-02 00:00:00'", "'2024-02-29 12:34:56'", "'2024-01-01 00:00:00'"]),
    ("datetime64(0)", &["'1969-12-31 23:59:59'", "'2024-02-29 12:34:56'", "'2024-01-01 00:00:00'"]),
    ("datetime64(2, 'UTC')", &["'1969-12-31 23:59:59.25'", "'2024-02-29 12:34:56.99'", "'2024-01-01 00:00:00'"]),
    ("datetime64(3)", &["'2024-02-29 12:34:56.789'", "'1970-01-01 00:00:00'", "'2024-01-01 00:00:00'"]),
    ("datetime64(5)", &["'2024-02-29 12:34:56.78912'", "'1970-01-01 00:00:00'", "'2024-01-01 00:00:00'"]),
    ("datetime64(9)", &["'2024-02-29 12:34:56.123456789'", "'1970-01-01 00:00:00'", "'2024-01-01 00:00:00'"]),
    ("ipv4", &["'1.2.3.4'", "'0.0.0.0'", "'255.255.255.255'"]),
    ("ipv6", &["'::1'", "'2001:db8::'", "'::ffff:1.2.3.4'"]),
    (
        "uuid",
        &[
            "'61f0c404-5cb3-11e7-907b-a6006ad3dba0'",
            "'00000000-0000-0000-0000-000000000000'",
            "'00000000-0000-0000-0000-000000000001'",
        ],
    ),
    ("enum8('a' = -1, 'b' = 2)", &["'a'", "'b'", "'a'"]),
    ("enum16('a' = 1000, 'b' = 2000)", &["'a'", "'b'", "'b'"]),
    ("interval_day", &["1", "-2", "3"]),
    ("nullable(int32)", &["NULL", "1", "NULL"]),
    ("nullable(string)", &["'x'", "NULL", "''"]),
    ("nullable(enum8('a' = 1))", &["NULL", "'a'", "NULL"]),
    ("nullable(datetime64(3, 'UTC'))", &["NULL", "'2024-02-29 12:34:56.789'", "NULL"]),
    ("low_cardinality(string)", &["'x'", "'y'", "'x'"]),
    ("low_cardinality(nullable(string))", &["'x'", "NULL", "''"]),
    ("low_cardinality(fixed_string(2))", &["'xy'", "'xy'", "'z'"]),
    ("low_cardinality(nullable(uint64))", &["7", "NULL", "0"]),
    ("array(uint8)", &["[1,2]", "[]", "[3]"]),
    ("array(array(nullable(string)))", &["[['a',NULL],[]]", "[]", "[['b']]"]),
    ("array(low_cardinality(nullable(string)))", &["['a',NULL,'a']", "[]", "['b']"]),
    ("tuple(int8, string)", &["(1,'a')", "(2,'')", "(3,'c')"]),
    ("tuple(a low_cardinality(string), `b c` array(int8))", &["('a',[1])", "('b',[])", "('a',[2,3])"]),
    ("map(string, array(uint64))", &["{'a':[1]}", "{}", "{'b':[],'c':[2,3]}"]),
    ("map(low_cardinality(string), nullable(float64))", &["{'a':NULL}", "{'a':1.5,'b':2}", "{}"]),
    ("json", &[r#"'{"a":1}'"#, r#"'{"b":[true],"a":2}'"#, "'{}'"]),
];

fn batch(columns: &[(&str, &[&str])]) -> Batch {
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for (name, texts) in columns {
        let ty = parse_type(name).unwrap();
        let mut builder = ColumnBuilder::new(&ty);
        for text in *texts {
            read_text(text.as_bytes(), Style::Quoted, &TextOptions::default(), &mut builder).unwrap();
        }
        fields.push(Field::new(format!("c {name}"), ty));
        arrays.push(builder.finish().unwrap());
    }
    let rows = arrays.first().map_or(0, |a| a.len());
    Batch::new(Arc::new(Schema::new(fields)), arrays, rows)
}

fn modes() -> Vec<NativeOptions> {
    let names = [TypeNames::Proton, TypeNames::ClickHouse];
    let revisions = [0, 54_453, 54_459];
    names.into_iter().flat_map(|names| revisions.map(|revision| NativeOptions { revision, names })).collect()
}

fn decode(bytes: &[u8], step: usize, options: NativeOptions) -> hydron_base::Result<Vec<Batch>> {
    let mut decoder = BlockDecoder::new(options);
    let mut batches = Vec::new();
    for mut piece in bytes.chunks(step) {
        while !piece.is_empty() {
            match decoder.feed(&mut piece)? {
                Some(batch) => batches.push(batch),
                None => break,
            }
        }
    }
    if !decoder.is_between_blocks() {
        return Err(hydron_base::Error::new(Code::CANNOT_READ_ALL_DATA, "cut"));
    }
    Ok(batches)
}

fn assert_same(a: &Batch, b: &Batch) {
    assert_eq!((a.rows(), &a.schema), (b.rows(), &b.schema));
    for (i, field) in a.schema.fields.iter().enumerate() {
        assert_eq!(a.column(i).data_type(), b.column(i).data_type(), "{}", field.ty);
        for row in 0..a.rows() {
            let (x, y) = (value_at(a.column(i), &field.ty, row), value_at(b.column(i), &field.ty, row));
            if field.ty != hydron_types::LogicalType::Json {
                assert_eq!(x, y, "{} row {row}", field.ty);
            }
        }
    }
}

#[test]
fn every_type_comes_back() {
    for column in COLUMNS {
        let batch = batch(&[*column]);
        for options in modes() {
            let mut bytes = Vec::new();
            write_block(&batch, &options, &mut bytes).unwrap();
            for step in [1, 7, bytes.len()] {
                let back = decode(&bytes, step, options).unwrap_or_else(|e| panic!("{}: {e}", column.0));
                assert_eq!(back.len(), 1);
                assert_same(&batch, &back[0]);
            }
        }
    }
}

#[test]
fn json_takes_the_defaults_of_all_paths() {
    let batch = batch(&[("json", &[r#"'{"a":1}'"#, r#"'{"b":["x"],"a":2}'"#, "'{}'"])]);
    let mut bytes = Vec::new();
    write_block(&batch, &NativeOptions::default(), &mut bytes).unwrap();
    let back = decode(&bytes, 3, NativeOptions::default()).unwrap().remove(0);
    let texts: Vec<_> = (0..3).map(|row| value_at(back.column(0), &back.schema.fields[0].ty, row)).collect();
    let expected = [r#"{"a":1,"b":[]}"#, r#"{"a":2,"b":["x"]}"#, r#"{"a":0,"b":[]}"#];
    assert_eq!(texts, expected.map(hydron_types::Value::string));
}

#[test]
fn blocks_follow_each_other_and_slices_are_whole() {
    let all = batch(COLUMNS);
    let slice = all.slice(1, 2);
    for options in modes() {
        let mut bytes = Vec::new();
        write_header(&all.schema, &options, &mut bytes).unwrap();
        write_block(&all, &options, &mut bytes).unwrap();
        write_block(&slice, &options, &mut bytes).unwrap();
        write_end(&options, &mut bytes);
        let back = decode(&bytes, 11, options).unwrap();
        assert_eq!(back.iter().map(Batch::rows).collect::<Vec<_>>(), [0, 3, 2, 0]);
        assert_same(&all, &back[1]);
        assert_same(&slice, &back[2]);
        assert!(back[3].columns.is_empty());
    }
}

#[test]
fn old_readers_get_no_dictionaries() {
    let batch = batch(&[("array(low_cardinality(string))", &["['a','b']"])]);
    let options = NativeOptions { revision: 54_400, names: TypeNames::Proton };
    let mut bytes = Vec::new();
    write_block(&batch, &options, &mut bytes).unwrap();
    let back = decode(&bytes, 1, options).unwrap();
    assert_eq!(back[0].schema.fields[0].ty.to_string(), "array(string)");
}

#[test]
fn a_wide_dictionary_has_wider_places() {
    let mut builder = ColumnBuilder::new(&parse_type("low_cardinality(nullable(string))").unwrap());
    for i in 0..70_000 {
        match i % 1_000 {
            0 => builder.append_null(),
            _ => builder.append_bytes(format!("value {i}").as_bytes()).unwrap(),
        }
    }
    let ty = builder.ty().clone();
    let array = builder.finish().unwrap();
    let batch = Batch::new(Arc::new(Schema::new(vec![Field::new("c", ty)])), vec![array], 70_000);
    for rows in [200, 300, 70_000] {
        let batch = batch.slice(0, rows);
        let mut bytes = Vec::new();
        write_block(&batch, &NativeOptions::default(), &mut bytes).unwrap();
        assert_same(&batch, &decode(&bytes, 65_536, NativeOptions::default()).unwrap()[0]);
    }
}

#[test]
fn a_cut_block_is_not_complete() {
    let all = batch(COLUMNS);
    let mut bytes = Vec::new();
    write_block(&all, &NativeOptions::default(), &mut bytes).unwrap();
    for end in 1..bytes.len() {
        assert_eq!(
            decode(&bytes[..end], usize::MAX, NativeOptions::default()).unwrap_err().code,
            Code::CANNOT_READ_ALL_DATA
        );
    }
}

/// Bytes changed at random places must give an error or some block, and nothing else.
#[test]
fn damaged_blocks_never_panic() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut refused = 0;
    for column in COLUMNS {
        let batch = batch(&[*column]);
        let mut bytes = Vec::new();
        write_block(&batch, &NativeOptions::default(), &mut bytes).unwrap();
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            for _ in 0..=random(3) {
                let at = random(damaged.len());
                damaged[at] = [random(256) as u8, 0xFF, 0, damaged[at] ^ 1][random(4)];
            }
            match decode(&damaged, 1 + random(damaged.len()), NativeOptions::default()) {
                Ok(batches) => {
                    let options = TextOptions::default();
                    for batch in &batches {
                        for (field, array) in batch.schema.fields.iter().zip(&batch.columns) {
                            let writer =
                                hydron_types::ColumnWriter::new(array, &field.ty, Style::Plain, &options).unwrap();
                            (0..batch.rows()).for_each(|row| writer.write(row, &mut Vec::new()));
                        }
                    }
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 1_000, "{refused}");
}

#[test]
fn what_is_announced_costs_nothing_until_it_comes() {
    // One column of 2^27 strings, of which none arrives.
    let mut bytes = vec![1];
    push_varint(1 << 27, &mut bytes);
    push_bytes(b"x", &mut bytes);
    push_bytes(b"string", &mut bytes);
    let mut decoder = BlockDecoder::new(NativeOptions::default());
    assert!(decoder.feed(&mut bytes.as_slice()).unwrap().is_none());
    // A string of 1 GiB is no reason to ask for memory either.
    let mut length = Vec::new();
    push_varint(1 << 30, &mut length);
    assert!(decoder.feed(&mut length.as_slice()).unwrap().is_none());
}

#[test]
fn what_is_too_much_is_refused() {
    let code = |bytes: &[u8]| decode(bytes, usize::MAX, NativeOptions::default()).unwrap_err().code;
    let mut columns = Vec::new();
    push_varint(COLUMNS_MAX + 1, &mut columns);
    assert_eq!(code(&columns), Code::INCORRECT_DATA);
    assert_eq!(code(&[0, 1]), Code::INCORRECT_DATA);
    let mut deep = vec![1, 1, 1, b'x'];
    push_bytes("array(".repeat(1_000).as_bytes(), &mut deep);
    assert_eq!(code(&deep), Code::TOO_DEEP_RECURSION);
    let mut state = vec![1, 1, 1, b'x'];
    push_bytes(b"aggregate_function(sum, int8)", &mut state);
    assert_eq!(code(&state), Code::NOT_IMPLEMENTED);
    // One value of 16 MiB in 64 rows: a gigabyte, from 16 MiB of block.
    let mut bomb = vec![1, 64, 1, b'x'];
    push_bytes(b"low_cardinality(string)", &mut bomb);
    bomb.extend_from_slice(&1_u64.to_le_bytes());
    bomb.extend_from_slice(&(1_u64 << 9).to_le_bytes());
    bomb.extend_from_slice(&1_u64.to_le_bytes());
    push_bytes(&vec![b'y'; 16 << 20], &mut bomb);
    bomb.extend_from_slice(&64_u64.to_le_bytes());
    bomb.extend_from_slice(&[0; 64]);
    assert_eq!(code(&bomb), Code::INCORRECT_DATA);
}
