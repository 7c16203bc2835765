//! Known answers of the rarer functions, from documentation and by hand.

use super::testing::{check, check_errors};

#[test]
fn nested_arrays_are_numbered() {
    check(
        r"
        array_enumerate_uniq_ranked | array(uint8):[1,2,1] | array(uint32):[1,1,2]
        array_enumerate_uniq_ranked | !uint8:1 ; array(array(uint8)):[[1,2,3],[2,2,1],[3]] ; !uint8:2 | array(array(uint32)):[[1,1,1],[2,3,2],[2]]
        array_enumerate_uniq_ranked | !uint8:2 ; array(array(uint8)):[[1,2,3],[2,2,1],[3]] ; !uint8:2 | array(array(uint32)):[[1,1,1],[1,2,1],[1]]
        array_enumerate_dense_ranked | !uint8:1 ; array(array(uint8)):[[1,2,3],[2,2,1],[3]] ; !uint8:2 | array(array(uint32)):[[1,2,3],[2,2,1],[3]]
        array_enumerate_dense_ranked | !uint8:1 ; array(array(uint8)):[[1,2,3],[2,2,1],[3]] ; !uint8:1 | array(uint32):[1,2,3]
        array_enumerate_uniq_ranked | array(array(uint8)):[[1,1],[1]] ; array(uint8):[7,8] | array(array(uint32)):[[1,2],[1]]
        array_enumerate_uniq_ranked | array(uint8):[] | array(uint32):[]
        ",
    );
    check_errors(
        r"
        array_enumerate_uniq_ranked | uint8:1 | BAD_ARGUMENTS
        array_enumerate_uniq_ranked | uint8:2 ; array(uint8):[1] | BAD_ARGUMENTS
        array_enumerate_uniq_ranked | array(uint8):[1] ; uint8:2 | BAD_ARGUMENTS
        array_enumerate_uniq_ranked | array(uint8):[1] ; array(uint8):[1,2] | SIZES_OF_ARRAYS_DOESNT_MATCH
        ",
    );
}

#[test]
fn bits_interleave() {
    check(
        r"
        morton_encode | uint8:1 ; uint8:2 ; uint8:3 | uint64:53
        morton_encode | !tuple(uint8, uint8):(1,2) ; uint16:1024 ; uint8:16 | uint64:1572864
        morton_encode | !tuple(uint8):(2) ; uint8:128 | uint64:32768
        morton_encode | uint8:7 | uint64:7
        morton_decode | !uint8:3 ; uint64:53 | tuple(uint64, uint64, uint64):(1,2,3)
        morton_decode | !tuple(uint8, uint8):(1,2) ; uint64:1572864 | tuple(uint64, uint64):(1024,16)
        ",
    );
    check_errors(
        r"
        morton_encode | int8:1 | ILLEGAL_TYPE_OF_ARGUMENT
        morton_encode | tuple(uint8, uint8):(1,9) ; uint8:1 ; uint8:1 | ARGUMENT_OUT_OF_BOUND
        morton_decode | uint8:9 ; uint64:1 | ARGUMENT_OUT_OF_BOUND
        ",
    );
}

#[test]
fn experiments_have_sizes() {
    check(
        r"
        min_sample_size_continous | float64:112.25 ; float64:21.1 ; float64:0.03 ; float64:0.8 ; float64:0.05 | tuple(minimum_sample_size float64, detect_range_lower float64, detect_range_upper float64):(616.2931945826209,108.8825,115.6175)
        proportions_ztest | uint8:10 ; uint8:11 ; uint8:100 ; uint8:101 ; float64:0.95 ; !string:unpooled | tuple(z_statistic float64, p_value float64, confidence_interval_low float64, confidence_interval_high float64):(-0.20656724435948853,0.8363478437079654,-0.09345975390115283,0.07563797172293502)
        ",
    );
    check_errors(
        r"
        proportions_ztest | uint8:1 ; uint8:1 ; uint8:2 ; uint8:2 ; float64:0.9 ; string:other | BAD_ARGUMENTS
        min_sample_size_conversion | float64:0.25 | NUMBER_OF_ARGUMENTS_DOESNT_MATCH
        ",
    );
}

#[test]
fn boxes_have_cells() {
    check(
        r"
        geohashes_in_box | float64:24.48 ; float64:40.56 ; float64:24.785 ; float64:40.81 ; uint8:4 | array(string):['sx1q','sx1r','sx32','sx1w','sx1x','sx38']
        geohashes_in_box | float64:1 ; float64:1 ; float64:0 ; float64:0 ; uint8:4 | array(string):[]
        ",
    );
    check_errors(
        r"
        geohashes_in_box | float64:-180 ; float64:-90 ; float64:180 ; float64:90 ; uint8:12 | TOO_LARGE_ARRAY_SIZE
        geohashes_in_box | float64:0 ; float32:0 ; float64:1 ; float64:1 ; uint8:4 | ILLEGAL_TYPE_OF_ARGUMENT
        ",
    );
}

#[test]
fn maps_lose_their_gaps() {
    check(
        r"
        map_populate_series | map(uint8, uint8):{1:10,5:20} ; int8:6 | map(uint8, uint8):{1:10,2:0,3:0,4:0,5:20,6:0}
        map_populate_series | map(int8, float64):{-1:1.5,1:2} | map(int8, float64):{-1:1.5,0:0,1:2}
        map_populate_series | array(uint8):[1,2,4] ; array(uint8):[11,22,44] ; uint8:5 | tuple(array(uint8), array(uint8)):([1,2,3,4,5],[11,22,0,44,0])
        map_populate_series | map(uint8, uint8):{} ; uint8:6 | map(uint8, uint8):{}
        map_populate_series | map(uint64, uint8):{18446744073709551614:1,18446744073709551615:2} | map(uint64, uint8):{18446744073709551614:1,18446744073709551615:2}
        ",
    );
    check_errors(
        r"
        map_populate_series | map(string, uint8):{'a':1} | ILLEGAL_TYPE_OF_ARGUMENT
        map_populate_series | map(uint64, uint8):{1:1,1000000000000:1} | TOO_LARGE_ARRAY_SIZE
        ",
    );
}

#[test]
fn seconds_are_written_by_a_pattern() {
    check(
        r"
        from_unix_timestamp_in_joda_syntax | uint32:1669804872 ; !string:yyyy-MM-dd HH:mm:ss ; !string:UTC | string:2022-11-30 10:41:12
        ",
    );
}

/// Calls of calls, through the registry: bitmaps have no text of their own.
mod bitmaps {
    use crate::call::{ArgInfo, BindContext, Datum, EvalContext};
    use crate::registry::Registry;
    use hydron_base::Result;
    use hydron_base::world::WallTime;
    use hydron_types::column::{array_of, value_at};
    use hydron_types::{LogicalType, Value};

    fn call(name: &str, args: &[(LogicalType, Value)]) -> Result<(LogicalType, Value)> {
        let infos: Vec<ArgInfo> = args.iter().map(|(t, _)| ArgInfo::column(t.clone())).collect();
        let bound = Registry::builtin().bind_scalar(name, &BindContext::default(), &infos)?;
        let datums = args.iter().map(|(t, v)| Ok(Datum::Array(array_of(v, t, 2)?))).collect::<Result<Vec<_>>>()?;
        let answer = bound.kernel.eval(&EvalContext::at(WallTime(0)), &datums, 2)?.to_array(2)?;
        Ok((bound.ty.clone(), value_at(&answer, &bound.ty, 1)))
    }

    fn ints(ty: &LogicalType, values: &[i64]) -> (LogicalType, Value) {
        let signed = ty.is_signed_integer();
        let one = |v: &i64| if signed { Value::Int(*v) } else { Value::UInt(*v as u64) };
        (LogicalType::array(ty.clone()), Value::Array(values.iter().map(one).collect()))
    }

    fn set(ty: &LogicalType, values: &[i64]) -> (LogicalType, Value) {
        call("bitmap_build", &[ints(ty, values)]).expect("a bitmap")
    }

    fn elements(bitmap: (LogicalType, Value)) -> Vec<i64> {
        let (_, Value::Array(values)) = call("bitmap_to_array", &[bitmap]).expect("elements") else {
            panic!("no array")
        };
        values.iter().map(|v| v.as_i64().expect("small")).collect()
    }

    #[test]
    fn sets_of_every_width_meet() {
        use LogicalType as T;
        let number = |name: &str, args: &[_]| call(name, args).expect(name).1;
        let u = |n: u64| (T::UInt64, Value::UInt(n));
        for ty in [T::UInt8, T::UInt16, T::UInt32, T::UInt64, T::Int8, T::Int16, T::Int32, T::Int64] {
            let (a, b) = (set(&ty, &[3, 1, 2, 3]), set(&ty, &[3, 4, 5]));
            assert_eq!(elements(a.clone()), [1, 2, 3]);
            for (name, wanted) in
                [("and", vec![3]), ("or", vec![1, 2, 3, 4, 5]), ("xor", vec![1, 2, 4, 5]), ("andnot", vec![1, 2])]
            {
                let both = [a.clone(), b.clone()];
                assert_eq!(number(&format!("bitmap_{name}_cardinality"), &both), Value::UInt(wanted.len() as u64));
                assert_eq!(elements(call(&format!("bitmap_{name}"), &both).expect(name)), wanted, "{name} of {ty}");
            }
            // The sets are the states of group_bitmap.
            assert_eq!(number("finalize_aggregation", std::slice::from_ref(&a)), Value::UInt(3));
            assert_eq!(number("bitmap_contains", &[a.clone(), (T::UInt8, Value::UInt(2))]), Value::Bool(true));
            assert_eq!(number("bitmap_has_all", &[a.clone(), set(&ty, &[1, 3])]), Value::Bool(true));
            assert_eq!(number("bitmap_has_any", &[a.clone(), set(&ty, &[7])]), Value::Bool(false));
            assert_eq!(elements(call("bitmap_subset_in_range", &[a.clone(), u(2), u(3)]).expect("range")), [2]);
            assert_eq!(elements(call("bitmap_subset_limit", &[a.clone(), u(2), u(5)]).expect("limit")), [2, 3]);
            assert_eq!(elements(call("sub_bitmap", &[a.clone(), u(1), u(1)]).expect("sub")), [2]);
            let changed = call("bitmap_transform", &[a, ints(&T::UInt8, &[1, 2]), ints(&T::UInt8, &[9, 9])]);
            assert_eq!(elements(changed.expect("transform")), [3, 9]);
        }
        assert_eq!(elements(set(&T::Int16, &[-300, 300, 0])), [-300, 0, 300]);
        let empty = set(&T::UInt8, &[]);
        assert_eq!(number("bitmap_min", std::slice::from_ref(&empty)), Value::UInt(u64::from(u32::MAX)));
        assert_eq!(number("bitmap_max", std::slice::from_ref(&empty)), Value::UInt(0));
        assert!(call("bitmap_cardinality", &[u(1)]).is_err());
    }
}

#[test]
fn cells_of_h3_are_those_of_its_documentation() {
    check(
        r"
        geo_to_h3 | float64:37.79506683 ; float64:55.71290588 ; uint8:15 | uint64:644325524701193974
        h3_get_resolution | uint64:639821929571096015 | uint8:14
        h3_is_valid | uint64:630814730351855103 | uint8:1
        h3_is_valid | uint64:1 | uint8:0
        h3k_ring | uint64:644325529233966508 ; uint8:0 | array(uint64):[644325529233966508]
        h3_to_string | uint64:617420388352917503 | string:89184926cdbffff
        string_to_h3 | string:89184926cc3ffff | uint64:617420388351344639
        h3_to_parent | uint64:599405990164561919 ; uint8:3 | uint64:590398848891879423
        h3_get_base_cell | uint64:612916788725809151 | uint8:12
        h3_indexes_are_neighbors | uint64:617420388351344639 ; uint64:617420388352655359 | uint8:1
        h3_distance | uint64:617420388351344639 ; uint64:617420388352655359 | int64:1
        h3_num_hexagons | uint8:3 | int64:41162
        h3_is_pentagon | uint64:644721767722457330 | uint8:0
        ",
    );
    check_errors(
        r"
        geo_to_h3 | float64:37.79 ; float64:55.71 ; uint8:16 | ARGUMENT_OUT_OF_BOUND
        h3_is_pentagon | uint64:1 | INCORRECT_DATA
        h3_to_children | uint64:576495936675512319 ; uint8:15 | TOO_LARGE_ARRAY_SIZE
        h3_is_valid | string:a | ILLEGAL_TYPE_OF_ARGUMENT
        ",
    );
}

#[test]
fn shapes_have_sizes_and_texts() {
    check(
        r"
        polygon_area_cartesian | array(tuple(float64, float64)):[(0,0),(0,5),(5,5),(5,0)] | float64:25
        polygon_area_cartesian | array(array(tuple(float64, float64))):[[(0,0),(0,5),(5,5),(5,0)],[(1,1),(2,1),(2,2),(1,2)]] | float64:24
        polygon_perimeter_cartesian | array(array(array(tuple(float64, float64)))):[[[(0,0),(0,5),(5,5),(5,0)]]] | float64:20
        polygon_perimeter_spherical | array(tuple(float64, float64)):[(0,0),(0,60)] | float64:2.0943951023931953
        wkt | tuple(float64, float64):(0,1.5) | string:POINT(0 1.5)
        wkt | array(array(tuple(float64, float64))):[[(0,0),(1,0),(1,1)]] | string:POLYGON((0 0,1 0,1 1,0 0))
        wkt | array(array(array(tuple(float64, float64)))):[[[(0,0),(1,0),(1,1)]]] | string:MULTIPOLYGON(((0 0,1 0,1 1,0 0)))
        read_wkt_point | string:POINT (1.2 3.4) | tuple(float64, float64):(1.2,3.4)
        read_wkt_ring | string:POLYGON ((1 1, 2 2, 3 3, 1 1)) | array(tuple(float64, float64)):[(1,1),(2,2),(3,3),(1,1)]
        read_wkt_polygon | string:polygon((0 0,1 0,1 1),(0.1 0.1,0.2 0.1,0.2 0.2)) | array(array(tuple(float64, float64))):[[(0,0),(1,0),(1,1)],[(0.1,0.1),(0.2,0.1),(0.2,0.2)]]
        polygon_convex_hull_cartesian | array(tuple(float64, float64)):[(0,0),(0,5),(5,5),(5,0),(2,3)] | array(array(tuple(float64, float64))):[[(0,0),(0,5),(5,5),(5,0),(0,0)]]
        ",
    );
    check_errors(
        r"
        read_wkt_point | string:POINT(1) | BAD_ARGUMENTS
        read_wkt_polygon | string:POINT(1 2) | BAD_ARGUMENTS
        polygon_area_cartesian | tuple(float64, float64):(0,1) | ILLEGAL_TYPE_OF_ARGUMENT
        wkt | uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
        first_significant_subdomain_custom | string:a.b ; string:list | TLD_LIST_NOT_FOUND
        ",
    );
}

#[test]
fn ids_hold_times() {
    check(
        r"
        datetime_to_snowflake | datetime('Asia/Shanghai'):2021-08-15 18:57:56 | int64:1426860702823350272
        datetime64_to_snowflake | datetime64(3, 'Asia/Shanghai'):2021-08-15 18:57:56.492 | int64:1426860704886947840
        snowflake_to_datetime | int64:1426860702823350272 ; !string:UTC | datetime('UTC'):2021-08-15 10:57:56
        snowflake_to_datetime64 | int64:1426860802823350272 ; !string:UTC | datetime64(3, 'UTC'):2021-08-15 10:58:19.841
        to_relative_subsecond_num | datetime64(3, 'UTC'):1970-01-01 00:00:01.500 | int64:1500
        ",
    );
    check_errors("snowflake_to_datetime | uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT");
}

#[test]
fn texts_match_but_for_a_few_edits() {
    check(
        r"
        multi_fuzzy_match_any | string:abcdef ; !uint8:1 ; !array(string):['bXd'] | bool:true
        multi_fuzzy_match_any | string:abcdef ; !uint8:0 ; !array(string):['bXd'] | bool:false
        multi_fuzzy_match_all_indices | string:hello ; !uint8:1 ; !array(string):['help','hexxo','jello'] | array(uint64):[1,3]
        multi_fuzzy_match_any_index | string:hello ; !uint8:0 ; !array(string):['x','ll'] | uint64:2
        basename | string:some/long/path/to/file | string:file
        basename | string:some\\file | string:file
        crc64 | string:123456789 | uint64:3142526161514925194
        ",
    );
    check_errors("multi_fuzzy_match_any | string:a ; uint8:1 ; array(string):['a.*b'] | NOT_IMPLEMENTED");
}
