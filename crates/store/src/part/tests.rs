//! Stories of the history: rows that come back, versions that race, files that stay as long as somebody reads them.

use super::*;
use crate::StoreError;
use crate::log::{EventSpan, Sequence};
use arrow::array::{
    Array, ArrayRef, BinaryArray, Decimal128Array, Decimal256Array, FixedSizeBinaryArray, Float64Array, Int64Array,
    ListArray, MapArray, RecordBatch, StructArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::array::{BinaryBuilder, Int32Builder, ListBuilder, MapBuilder};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, i256};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(future)
}

fn number_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false), Field::new("s", DataType::Binary, true)]))
}

fn numbers(from: i64, to: i64) -> RecordBatch {
    let n = Int64Array::from_iter_values(from..to);
    let s = BinaryArray::from_iter_values((from..to).map(|n| format!("row {n}")));
    RecordBatch::try_new(number_schema(), vec![Arc::new(n), Arc::new(s)]).expect("two columns")
}

async fn part_of(store: &PartStore, from: i64, to: i64) -> PartMeta {
    let options = PartOptions { sort_columns: vec!["n".to_owned()], ..PartOptions::default() };
    let encoded = encode_part(&number_schema(), &[numbers(from, to)], &options).expect("plain types");
    let range = SequenceRange { first: Sequence(from as u64), last: Sequence(to as u64 - 1) };
    let sequences = BTreeMap::from([(0, range)]);
    store.write_part(encoded, sequences, Some(EventSpan::new(from, to)), 1, 0).await.expect("stored")
}

async fn rows_of(store: &PartStore, snapshot: &Snapshot) -> Vec<i64> {
    let mut out = Vec::new();
    for part in &snapshot.manifest().parts {
        for batch in store.read_part(part, &number_schema(), Some(&[0]), 100).await.expect("opens") {
            let batch = batch.expect("readable");
            let column = batch.column(0).as_any().downcast_ref::<Int64Array>().expect("n").clone();
            out.extend(column.values().iter());
        }
    }
    out
}

fn add(part: PartMeta, log_from: u64) -> Commit {
    Commit { added: vec![part], removed: BTreeSet::new(), log_from: BTreeMap::from([(0, Sequence(log_from))]) }
}

fn files_in(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("parts")).expect("there").count()
}

fn every_type() -> RecordBatch {
    let mut bytes_list = ListBuilder::new(BinaryBuilder::new());
    bytes_list.values().append_value(b"a");
    bytes_list.append(true);
    bytes_list.append(false);
    bytes_list.values().append_value([0xff, 0x00]);
    bytes_list.append(true);
    let bytes_list: ListArray = bytes_list.finish();
    let mut map = MapBuilder::new(None, BinaryBuilder::new(), Int32Builder::new());
    map.keys().append_value(b"k");
    map.values().append_value(1);
    map.append(true).expect("same length");
    map.append(true).expect("same length");
    map.append(false).expect("same length");
    let map: MapArray = map.finish();
    let fields = Fields::from(vec![Field::new("x", DataType::Binary, true), Field::new("y", DataType::UInt64, false)]);
    let tuple = StructArray::new(
        fields,
        vec![
            Arc::new(BinaryArray::from_opt_vec(vec![Some(b"x"), None, Some("ö".as_bytes())])) as ArrayRef,
            Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1])),
        ],
        None,
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("text", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"plain"), None, Some("größer".as_bytes())]))),
        ("raw", Arc::new(BinaryArray::from_opt_vec(vec![Some(&[0xff, 0xfe][..]), Some(b"ok"), None]))),
        ("list", Arc::new(bytes_list)),
        ("map", Arc::new(map)),
        ("tuple", Arc::new(tuple)),
        (
            "money",
            Arc::new(
                Decimal128Array::from(vec![Some(-1), None, Some(10i128.pow(30))])
                    .with_precision_and_scale(38, 4)
                    .expect("fits"),
            ),
        ),
        (
            "huge",
            Arc::new(
                Decimal256Array::from(vec![Some(i256::MINUS_ONE), None, Some(i256::from_i128(7))])
                    .with_precision_and_scale(76, 2)
                    .expect("fits"),
            ),
        ),
        (
            "at",
            Arc::new(
                TimestampNanosecondArray::from(vec![Some(-1), None, Some(1_700_000_000_123_456_789)])
                    .with_timezone("UTC"),
            ),
        ),
        (
            "uuid",
            Arc::new(
                FixedSizeBinaryArray::try_from_iter([[1u8; 16], [2; 16], [3; 16]].into_iter()).expect("16 bytes each"),
            ),
        ),
    ];
    let fields: Vec<Field> = columns.iter().map(|(n, c)| Field::new(*n, c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|c| c.1).collect())
        .expect("same length")
}

#[test]
fn every_type_comes_back_and_text_is_text_to_others() {
    run(async {
        let store = PartStore::open_in(Arc::new(InMemory::new()), ObjectPath::from("db/s")).await.expect("new");
        let given = every_type();
        let options = PartOptions { bloom_columns: vec!["text".to_owned()], ..PartOptions::default() };
        for codec in [PartCodec::Zstd(1), PartCodec::Lz4, PartCodec::None] {
            let encoded = encode_part(
                &given.schema(),
                &[given.clone(), given.slice(1, 2)],
                &PartOptions { codec, ..options.clone() },
            );
            let encoded = encoded.expect("all types are known");
            assert_eq!(
                (encoded.rows, &encoded.text_columns[..]),
                (5, &["text", "map", "tuple"].map(str::to_owned)[..])
            );
            let others = ParquetRecordBatchReaderBuilder::try_new(encoded.bytes.clone()).expect("a Parquet file");
            assert_eq!(others.schema().field(0).data_type(), &DataType::Utf8);
            assert_eq!(others.schema().field(1).data_type(), &DataType::Binary);
            let part = store.write_part(encoded, BTreeMap::new(), None, 1, 0).await.expect("stored");
            let got: Vec<RecordBatch> = store
                .read_part(&part, &given.schema(), None, 3)
                .await
                .expect("opens")
                .collect::<crate::Result<_>>()
                .expect("readable");
            assert_eq!(got, [given.clone(), given.slice(1, 2)]);
            let two = store.read_part(&part, &given.schema(), Some(&[7, 0]), 10).await.expect("opens");
            assert_eq!(two.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["text", "at"]);
        }
    });
}

#[test]
fn columns_are_packed_as_they_ask_for() {
    run(async {
        let store = PartStore::open_in(Arc::new(InMemory::new()), ObjectPath::from("db/s")).await.expect("new");
        let given = every_type();
        let schema = given.schema();
        let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        for encoding in [PartEncoding::Delta, PartEncoding::Split] {
            let packing = |name: &String| ColumnPacking {
                name: name.clone(),
                codec: Some(PartCodec::Zstd(3)),
                encoding: Some(encoding),
            };
            let columns = names.iter().map(packing).collect();
            let options = PartOptions { codec: PartCodec::None, columns, ..PartOptions::default() };
            let encoded = encode_part(&schema, std::slice::from_ref(&given), &options).expect("all types are known");
            let file = ParquetRecordBatchReaderBuilder::try_new(encoded.bytes.clone()).expect("a Parquet file");
            let leaves = file.metadata().row_group(0).columns();
            assert!(leaves.iter().all(|c| matches!(c.compression(), Compression::ZSTD(_))));
            let has = |e: Encoding| leaves.iter().any(|c| c.encodings().any(|x| x == e));
            assert_eq!(has(Encoding::DELTA_BINARY_PACKED), encoding == PartEncoding::Delta);
            let part = store.write_part(encoded, BTreeMap::new(), None, 1, 0).await.expect("stored");
            let got: Vec<RecordBatch> = store
                .read_part(&part, &schema, None, 10)
                .await
                .expect("opens")
                .collect::<crate::Result<_>>()
                .expect("readable");
            assert_eq!(got, std::slice::from_ref(&given));
        }
    });
}

#[test]
fn columns_without_a_nan_are_named() {
    let fields = ["a", "b", "c"].map(|n| Field::new(n, DataType::Float64, true));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let column = |v: [f64; 2]| Arc::new(Float64Array::from(v.to_vec())) as ArrayRef;
    let columns = vec![column([1.0, 2.0]), column([1.0, f64::NAN]), column([f64::INFINITY, -0.0])];
    let batch = RecordBatch::try_new(schema.clone(), columns).expect("three columns");
    let part = encode_part(&schema, &[batch], &PartOptions::default()).expect("plain types");
    assert_eq!(part.nan_free, ["a", "c"]);
}

#[test]
fn unknown_columns_are_named() {
    let options = PartOptions { sort_columns: vec!["nope".to_owned()], ..PartOptions::default() };
    let refused = encode_part(&number_schema(), &[numbers(0, 1)], &options).err().expect("refused");
    assert_eq!(refused.to_string(), "part has no column \"nope\"");
}

#[test]
fn rows_are_sorted_and_equal_ones_keep_their_order() {
    let schema =
        Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true), Field::new("at", DataType::Int64, false)]));
    let of = |k: Vec<Option<i64>>, at: Vec<i64>| {
        RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(k)), Arc::new(Int64Array::from(at))])
            .expect("ok")
    };
    let sorted = sort_rows(
        &schema,
        &[of(vec![Some(2), Some(1)], vec![0, 1]), of(vec![Some(2), None], vec![2, 3])],
        &["k".to_owned()],
    );
    assert_eq!(sorted.expect("sortable"), of(vec![None, Some(1), Some(2), Some(2)], vec![3, 1, 0, 2]));
}

#[test]
fn history_is_what_was_committed_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("temporary directory");
    run(async {
        let store = PartStore::open(dir.path()).await.expect("new");
        assert_eq!(store.snapshot().manifest().log_from(0), Sequence(0));
        let part = part_of(&store, 0, 10).await;
        store.commit(add(part, 10)).await.expect("committed");
        let part = part_of(&store, 10, 15).await;
        store.commit(add(part, 15)).await.expect("committed");
        part_of(&store, 15, 99).await;
        assert_eq!(files_in(dir.path()), 3);
        drop(store);
        let store = PartStore::open(dir.path()).await.expect("whole");
        assert_eq!(files_in(dir.path()), 2, "a part that was never committed is gone");
        let snapshot = store.snapshot();
        assert_eq!(rows_of(&store, &snapshot).await, (0..15).collect::<Vec<_>>());
        assert_eq!((snapshot.manifest().log_from(0), snapshot.manifest().rows()), (Sequence(15), 15));
        assert!(store.commit(add(part_of(&store, 0, 1).await, 3)).await.is_err(), "positions never move back");
    });
}

#[test]
fn merged_parts_stay_for_those_who_read_them() {
    let dir = tempfile::tempdir().expect("temporary directory");
    run(async {
        let store = PartStore::open(dir.path()).await.expect("new");
        for n in 0..3 {
            let part = part_of(&store, n * 10, n * 10 + 10).await;
            store.commit(add(part, n as u64 * 10 + 10)).await.expect("committed");
        }
        let before = store.snapshot();
        let second_reader = before.clone();
        let joined = part_of(&store, 0, 20).await;
        let removed: BTreeSet<String> = before.manifest().parts[..2].iter().map(|p| p.file.clone()).collect();
        let merge = Commit { added: vec![joined], removed, log_from: BTreeMap::new() };
        let after = store.commit(merge.clone()).await.expect("committed");
        assert_eq!(after.manifest().parts.len(), 2);
        for snapshot in [&before, &after] {
            assert_eq!(rows_of(&store, snapshot).await, (0..30).collect::<Vec<_>>(), "order of the parts is kept");
        }
        assert_eq!(files_in(dir.path()), 4);
        drop(before);
        assert_eq!(store.sweep().await.expect("disk"), 0);
        drop(second_reader);
        assert_eq!(store.sweep().await.expect("disk"), 2);
        assert_eq!(files_in(dir.path()), 2);
        assert!(matches!(store.commit(merge).await, Err(StoreError::Conflict { .. })), "merged twice");
        let cleared = store.clear(BTreeMap::from([(0, Sequence(40))])).await.expect("committed");
        assert_eq!((cleared.manifest().parts.len(), cleared.manifest().log_from(0)), (0, Sequence(40)));
    });
}

#[test]
fn of_two_committers_one_wins_and_the_other_decides_again() {
    run(async {
        let objects = Arc::new(InMemory::new());
        let one = PartStore::open_in(objects.clone(), ObjectPath::from("s")).await.expect("new");
        let two = PartStore::open_in(objects, ObjectPath::from("s")).await.expect("same");
        let (first, second) = (part_of(&one, 0, 5).await, part_of(&two, 5, 9).await);
        let (a, b) = tokio::join!(one.commit(add(first, 5)), two.commit(add(second.clone(), 9)));
        assert!(a.is_ok() != b.is_ok());
        assert!(matches!(b.err().expect("came second"), StoreError::Conflict { version: 2, .. }));
        two.refresh().await.expect("readable");
        let both = two.commit(add(second, 9)).await.expect("committed");
        assert_eq!(rows_of(&two, &both).await, (0..9).collect::<Vec<_>>());
    });
}

#[test]
fn torn_manifest_that_nobody_was_told_of_is_taken_back() {
    let dir = tempfile::tempdir().expect("temporary directory");
    run(async {
        let store = PartStore::open(dir.path()).await.expect("new");
        store.commit(add(part_of(&store, 0, 5).await, 5)).await.expect("committed");
        let newest = dir.path().join("manifest/v00000003.json");
        std::fs::write(&newest, "0000").expect("write");
        std::fs::write(dir.path().join("parts/x.parquet#1"), "staged").expect("write");
        let store = PartStore::open(dir.path()).await.expect("whole");
        assert_eq!(rows_of(&store, &store.snapshot()).await, (0..5).collect::<Vec<_>>());
        assert!(!newest.exists() && files_in(dir.path()) == 1);
        // If the version before has lost a part, the newest must have counted: that is damage.
        std::fs::write(&newest, "0000").expect("write");
        std::fs::remove_file(dir.path().join(&store.snapshot().manifest().parts[0].file)).expect("there");
        assert!(matches!(PartStore::open(dir.path()).await, Err(StoreError::Damaged { .. })));
        assert!(newest.exists(), "evidence stays");
    });
}

#[test]
fn dropped_history_leaves_nothing() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let stream = dir.path().join("stream");
    run(async {
        let store = PartStore::open(&stream).await.expect("new");
        store.commit(add(part_of(&store, 0, 5).await, 5)).await.expect("committed");
        store.drop_all().await.expect("disk");
        assert!(!stream.exists());
    });
}

fn sized(bytes: u64) -> PartMeta {
    PartMeta {
        file: bytes.to_string(),
        rows: 1,
        bytes,
        sequences: BTreeMap::new(),
        event_span: None,
        nan_free: Vec::new(),
        sort_columns: Vec::new(),
        schema_version: 1,
        text_columns: Vec::new(),
        level: 0,
    }
}

#[test]
fn small_neighbours_are_joined_before_large_ones() {
    let policy = MergePolicy { parts_min: 3, parts_max: 4, bytes_max: 100 << 20 };
    let choose = |sizes: &[u64]| choose_merge(&sizes.iter().map(|s| sized(s << 10)).collect::<Vec<_>>(), &policy);
    assert_eq!(choose(&[]), None);
    assert_eq!(choose(&[10, 20]), None, "too few");
    assert_eq!(choose(&[5000, 10, 20, 30]), Some(1..4), "the large one is left alone");
    assert_eq!(choose(&[10, 20, 5000, 30, 40]), None, "no three small neighbours, and they do not carry a large one");
    assert_eq!(choose(&[3000, 3000, 3000, 10]), Some(0..4));
    assert_eq!(choose(&[10; 10]), Some(0..4), "at most four at once");
    assert_eq!(choose(&[60_000, 60_000, 60_000]), None, "too large together");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Merging as told comes to an end and each row is rewritten a few times only.
    #[test]
    fn merging_comes_to_an_end(sizes in proptest::collection::vec(1u64..200_000_000, 1..80)) {
        let policy = MergePolicy::default();
        let mut parts: Vec<PartMeta> = sizes.iter().copied().map(sized).collect();
        let total: u64 = sizes.iter().sum();
        let mut written = 0;
        for _ in 0..200 {
            let Some(run) = choose_merge(&parts, &policy) else { break };
            let bytes = parts[run.clone()].iter().map(|p| p.bytes).sum();
            prop_assert!(bytes <= policy.bytes_max);
            written += bytes;
            parts.splice(run, [sized(bytes)]);
        }
        prop_assert_eq!(choose_merge(&parts, &policy), None);
        prop_assert!(written <= total * 8, "{} bytes written for {}", written, total);
    }

    #[test]
    fn changed_manifest_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let manifest = Manifest::empty().next(vec![sized(5)], &BTreeSet::new(), &BTreeMap::from([(0, Sequence(3))])).expect("next");
        let mut bytes = manifest.to_bytes().expect("encodes");
        prop_assert_eq!(Manifest::from_bytes(&bytes), Ok(manifest));
        let at = at.index(bytes.len());
        // The case of a hexadecimal digit is the only bit that means nothing.
        prop_assume!(!(at < 8 && bit == 5));
        bytes[at] ^= 1 << bit;
        prop_assert!(Manifest::from_bytes(&bytes).is_err());
    }
}
