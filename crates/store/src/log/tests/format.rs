//! Bytes and back, and what damaged bytes mean.

use crate::log::encode::{decode, encode};
use crate::log::head::{Head, Peek, peek};
use crate::log::index::Index;
use crate::log::recovery::{Step, Verdict, judge_tail, step};
use crate::log::retention::{Extent, expired};
use crate::log::tests::{batch, draft, schema};
use crate::log::{Codec, Draft, EventSpan, Record, Retention, SchemaHistory, Sequence};
use crate::{Result, StoreError};
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Int64Array, ListArray, RecordBatch,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use hydron_base::Code;
use proptest::prelude::*;
use std::sync::Arc;

fn wide_schema() -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    Arc::new(Schema::new(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("money", DataType::Decimal128(20, 4), true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("list", DataType::List(item), true),
        Field::new("flag", DataType::Boolean, true),
    ]))
}

type Row = (Option<Vec<u8>>, Option<i64>, Option<Vec<i32>>, Option<bool>);

fn wide_batch(rows: &[Row]) -> RecordBatch {
    let bytes = BinaryArray::from_iter(rows.iter().map(|r| r.0.as_deref()));
    let money = Decimal128Array::from_iter(rows.iter().map(|r| r.1.map(i128::from)))
        .with_precision_and_scale(20, 4)
        .expect("fits");
    let at = TimestampMicrosecondArray::from_iter(rows.iter().map(|r| r.1));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(
        rows.iter().map(|r| r.2.as_ref().map(|l| l.iter().copied().map(Some).collect::<Vec<_>>())),
    );
    let flag = BooleanArray::from_iter(rows.iter().map(|r| r.3));
    let columns: Vec<ArrayRef> = vec![Arc::new(bytes), Arc::new(money), Arc::new(at), Arc::new(list), Arc::new(flag)];
    RecordBatch::try_new(wide_schema(), columns).expect("types of the schema")
}

fn head_of(bytes: &[u8]) -> Head {
    match peek(bytes) {
        Peek::Head(head) => head,
        other => panic!("{other:?}"),
    }
}

fn round_trip(draft: &Draft, schema: SchemaRef) -> Result<Record> {
    let mut encoded = encode(draft)?;
    encoded.place(Sequence(5), 77, Sequence(4));
    assert_eq!(encoded.bytes().len() % 8, 0);
    let head = head_of(encoded.bytes());
    assert!(head.checks(encoded.bytes()), "checksum of the parts is that of the whole");
    decode(&head, encoded.bytes(), &*SchemaHistory::new(draft.schema_version, schema), "log")
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
        proptest::option::of(any::<i64>()),
        proptest::option::of(proptest::collection::vec(any::<i32>(), 0..5)),
        proptest::option::of(any::<bool>()),
    );
    proptest::collection::vec(row, 0..50)
}

fn codec() -> impl Strategy<Value = Codec> {
    prop_oneof![Just(Codec::None), Just(Codec::Lz4), Just(Codec::Zstd)]
}

fn some_bytes() -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 1..100).prop_map(Bytes::from))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn record_comes_back_as_it_was(rows in rows(), from in 0usize..10, codec in codec(), key in some_bytes(), stamp in some_bytes()) {
        // A slice, as the sharding expression makes it: only its own rows may be stored.
        let whole = wide_batch(&rows);
        let from = from.min(whole.num_rows());
        let given = Arc::new(whole.slice(from, whole.num_rows() - from));
        let draft = Draft { event_span: EventSpan::new(-5, 9), key, stamp, codec, ..Draft::new(given.clone(), 3) };
        let got = round_trip(&draft, wide_schema()).expect("decodes");
        prop_assert_eq!(&*got.batch, &*given);
        prop_assert_eq!((got.sequence, got.append_time_ms, got.schema_version), (Sequence(5), 77, 3));
        prop_assert_eq!((got.event_span, got.key, got.stamp, got.columns), (draft.event_span, draft.key, draft.stamp, None));
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0u64..5) {
        let found = step(&bytes, false, Sequence(at));
        prop_assert!(!matches!(found, Step::Record(_)));
        judge_tail(&bytes, Sequence(at));
    }

    #[test]
    fn one_flipped_bit_is_noticed(rows in rows(), bit in any::<prop::sample::Index>()) {
        let mut encoded = encode(&Draft::new(Arc::new(wide_batch(&rows)), 1)).expect("small");
        encoded.place(Sequence(0), 1, Sequence(0));
        let mut bytes = encoded.bytes().to_vec();
        let len = head_of(&bytes).len as usize;
        let bit = bit.index(len * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!matches!(step(&bytes, false, Sequence(0)), Step::Record(_)));
    }

    #[test]
    fn block_is_never_later_than_the_first_match(times in proptest::collection::vec(-50i64..50, 1..400), wanted in -60i64..60) {
        let mut index = Index::new(Sequence(0), 64);
        for time in &times {
            index.push_parts(EventSpan::new(*time, *time), 0, 1, 1000);
        }
        let first = times.iter().position(|t| *t >= wanted);
        let block = index.block_reaching_event(wanted);
        match first {
            Some(first) => prop_assert!(block.expect("a block reaches it").first.0 <= first as u64),
            None => prop_assert_eq!(block, None),
        }
    }

    #[test]
    fn retention_never_passes_the_floor(sizes in proptest::collection::vec(1u64..100, 0..20), floor in 0u64..25, max in 0u64..1000) {
        let closed: Vec<Extent> = sizes.iter().enumerate()
            .map(|(at, bytes)| Extent { next: Sequence(at as u64 + 1), bytes: *bytes, append_max_ms: 0 }).collect();
        let policy = Retention { bytes_max: Some(max), age_ms_max: None };
        let count = expired(&closed, 10, policy, Sequence(floor), 0);
        prop_assert!(count as u64 <= floor);
        let left: u64 = 10 + sizes[count..].iter().sum::<u64>();
        prop_assert!(left <= max || count == closed.len() || count as u64 == floor.min(closed.len() as u64));
    }
}

#[test]
fn light_record_names_its_columns() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let two = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Binary, true),
        Field::new("b", DataType::Int64, false),
        Field::new("c", DataType::Int64, false),
    ]));
    let part = Arc::new(two.project(&[2]).expect("there"));
    let given = Arc::new(RecordBatch::try_new(part, vec![column]).expect("one column"));
    let draft = Draft { columns: Some(Arc::from([2u16])), ..Draft::new(given.clone(), 1) };
    let got = round_trip(&draft, two.clone()).expect("decodes");
    assert_eq!((got.columns.as_deref(), got.batch), (Some(&[2u16][..]), given.clone()));
    let beyond = Draft { columns: Some(Arc::from([9u16])), ..Draft::new(given, 1) };
    assert!(matches!(round_trip(&beyond, two), Err(StoreError::Rows { .. })));
}

#[test]
fn wide_values_are_read_in_place_after_compression() {
    let rows: Vec<Row> = (0..1000).map(|n| (Some(vec![b'x'; 10]), Some(n), None, None)).collect();
    let mut encoded = encode(&Draft::new(Arc::new(wide_batch(&rows)), 1)).expect("small");
    encoded.place(Sequence(0), 0, Sequence(0));
    let head = head_of(encoded.bytes());
    let record = decode(&head, encoded.bytes(), &*SchemaHistory::new(1, wide_schema()), "log").expect("decodes");
    let money = record.batch.column(1).to_data();
    assert_eq!(money.buffers()[0].as_ptr() as usize % 16, 0);
    assert_eq!(record.batch.column(1).len(), 1000);
}

#[test]
fn checksum_of_a_large_record_is_joined_from_its_parts() {
    let rows: Vec<Row> = (0..10_000).map(|n| (Some(vec![n as u8; 20]), Some(n), None, None)).collect();
    let draft = Draft { codec: Codec::None, ..Draft::new(Arc::new(wide_batch(&rows)), 1) };
    assert!(encode(&draft).expect("fits").disk_bytes() > 256 << 10);
    assert_eq!(round_trip(&draft, wide_schema()).expect("decodes").batch, draft.batch);
}

#[test]
fn record_too_large_is_named_with_its_limit() {
    let bytes = BinaryArray::from_iter_values([vec![1u8; 11 << 20]]);
    let schema = Arc::new(Schema::new(vec![Field::new("b", DataType::Binary, false)]));
    let given = Arc::new(RecordBatch::try_new(schema, vec![Arc::new(bytes)]).expect("one column"));
    let draft = Draft { codec: Codec::None, ..Draft::new(given, 1) };
    let refused = encode(&draft).err().expect("too large");
    assert_eq!(refused.code(), Code::TOO_LARGE_RECORD);
    assert!(refused.to_string().contains("10485760"));
}

#[test]
fn unknown_schema_version_is_an_error_of_the_record() {
    let mut encoded = encode(&draft(1)).expect("small");
    encoded.place(Sequence(0), 0, Sequence(0));
    let head = head_of(encoded.bytes());
    let got = decode(&head, encoded.bytes(), &*SchemaHistory::new(2, schema()), "log");
    assert!(matches!(got, Err(StoreError::UnknownSchema { version: 1, .. })));
    // A schema that does not fit the bytes must not pass either.
    let other = SchemaHistory::new(1, wide_schema());
    assert!(matches!(decode(&head, encoded.bytes(), &*other, "log"), Err(StoreError::Rows { .. })));
}

/// Records one after the other; `synced` says how many were synced when each was written.
fn records(synced: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, synced) in synced.iter().enumerate() {
        let mut encoded = encode(&Draft::new(batch([at as i64]), 1)).expect("small");
        encoded.place(Sequence(at as u64), 0, Sequence(*synced));
        out.extend_from_slice(encoded.bytes());
    }
    out
}

#[test]
fn hole_in_the_last_group_is_a_torn_write_but_a_hole_before_it_is_damage() {
    let stride = records(&[0]).len();
    // Three records of one group, the first of them lost: none was acknowledged.
    let one_group = records(&[0, 0, 0]);
    assert_eq!(judge_tail(&one_group[stride / 2..], Sequence(0)), Verdict::Cut);
    let mut torn = one_group.clone();
    torn[stride - 20] ^= 1;
    assert_eq!(step(&torn, false, Sequence(0)), Step::Bad("checksum differs"));
    assert_eq!(judge_tail(&torn, Sequence(0)), Verdict::Cut);
    // The third was written when two were synced: the first has been acknowledged.
    let mut damaged = records(&[0, 0, 2]);
    damaged[stride - 20] ^= 1;
    assert_eq!(judge_tail(&damaged, Sequence(0)), Verdict::Damaged);
}
