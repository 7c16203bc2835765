//! Answers of the functions, room by room.

use super::testing::{check, check_errors};
use crate::call::{ArgInfo, BindContext, Datum, EvalContext, LambdaEval};
use crate::registry::Registry;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, UInt8Array};
use arrow::datatypes::Int64Type;
use hydron_base::world::WallTime;
use hydron_types::LogicalType;
use hydron_types::text::{Style, TextOptions, write_text};
use std::sync::Arc;

#[test]
fn arithmetic_widens_and_wraps() {
    check(
        "
        plus | uint8:1 ; uint8:2 | uint16:3
        plus | uint8:255 ; int8:-1 | int16:254
        plus | int64:9223372036854775807 ; int64:1 | int64:-9223372036854775808
        plus | uint64:18446744073709551615 ; uint8:1 | uint64:0
        plus | float32:1.5 ; uint8:1 | float64:2.5
        plus | int128:170141183460469231731687303715884105727 ; uint8:1 | int128:-170141183460469231731687303715884105728
        plus | uint256:1 ; uint8:1 | uint256:2
        plus | bool:true ; uint8:1 | uint16:2
        minus | uint8:1 ; uint8:2 | int16:-1
        minus | uint64:1 ; uint64:2 | int64:-1
        multiply | uint32:4294967295 ; uint32:2 | uint64:8589934590
        multiply | int256:-3 ; int8:5 | int256:-15
        divide | uint8:1 ; uint8:2 | float64:0.5
        divide | uint8:1 ; uint8:0 | float64:inf
        int_div | uint8:7 ; uint8:2 | uint8:3
        int_div | int8:-7 ; uint8:2 | int8:-3
        int_div | float64:7.9 ; uint8:2 | int64:3
        int_div_or_zero | uint8:7 ; uint8:0 | uint8:0
        modulo | int32:-199 ; uint8:200 | int16:-199
        modulo | uint64:10 ; uint8:3 | uint8:1
        modulo | float64:7.5 ; uint8:2 | float64:1.5
        positive_modulo | int32:-1 ; uint8:3 | uint8:2
        modulo_or_zero | uint8:7 ; uint8:0 | uint8:0
        gcd | uint8:12 ; uint8:18 | uint16:6
        lcm | uint8:4 ; uint8:6 | uint16:12
        negate | uint8:5 | int16:-5
        negate | decimal(9, 2):1.25 | decimal(9, 2):-1.25
        abs | int8:-128 | uint8:128
        abs | float64:-1.5 | float64:1.5
        sign | int32:-7 | int8:-1
        plus | nullable(uint8):NULL ; uint8:1 | nullable(uint16):NULL
        plus | null: ; uint8:1 | nothing:NULL
        ",
    );
    check_errors(
        "
        int_div | uint8:1 ; uint8:0 | ILLEGAL_DIVISION
        int_div | int64:-9223372036854775808 ; int8:-1 | ILLEGAL_DIVISION
        int_div | int64:-9223372036854775808 ; uint64:18446744073709551615 | ILLEGAL_DIVISION
        int_div | int64:9223372036854775807 ; float64:1 | ILLEGAL_DIVISION
        least | float64:-1 ; uint64:1 | ILLEGAL_TYPE_OF_ARGUMENT
        repeat | string:x ; uint32:1000001 | TOO_LARGE_STRING_SIZE
        modulo | uint8:1 ; uint8:0 | ILLEGAL_DIVISION
        plus | string:a ; uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
        plus | uint8:1 | NUMBER_OF_ARGUMENTS_DOESNT_MATCH
        ",
    );
}

#[test]
fn decimals_keep_their_scale() {
    check(
        "
        plus | decimal(9, 2):1.25 ; decimal(9, 3):1.005 | decimal(9, 3):2.255
        plus | decimal(9, 2):1.25 ; uint8:1 | decimal(9, 2):2.25
        minus | uint8:1 ; decimal(18, 2):1.25 | decimal(18, 2):-0.25
        multiply | decimal(9, 2):1.25 ; decimal(18, 1):2.5 | decimal(18, 3):3.125
        divide | decimal(9, 2):10 ; decimal(9, 1):3 | decimal(9, 2):3.33
        divide | uint8:10 ; decimal(9, 2):3 | decimal(9, 2):3.33
        multiply | decimal(9, 2):1.25 ; float64:2 | float64:2.5
        multiply | decimal(76, 2):1.25 ; int8:2 | decimal(76, 2):2.5
        ",
    );
    check_errors(
        "
        multiply | decimal(9, 0):100000 ; decimal(9, 0):100000 | DECIMAL_OVERFLOW
        divide | decimal(9, 5):1 ; decimal(9, 5):3 | DECIMAL_OVERFLOW
        divide | decimal(9, 2):1 ; decimal(9, 2):0 | ILLEGAL_DIVISION
        ",
    );
}

#[test]
fn bits_of_integers() {
    check(
        "
        bit_and | uint8:12 ; uint8:10 | uint8:8
        bit_or | uint8:12 ; int16:3 | int16:15
        bit_xor | uint8:12 ; uint8:10 | uint8:6
        bit_not | uint8:1 | uint8:254
        bit_shift_left | uint8:1 ; uint8:7 | uint8:128
        bit_shift_left | uint8:255 ; uint8:8 | uint8:0
        bit_shift_right | int8:-8 ; uint8:1 | int8:-4
        bit_rotate_left | uint8:129 ; uint8:1 | uint8:3
        bit_test | uint8:5 ; uint8:2 | uint8:1
        bit_count | int8:-1 | uint8:8
        bit_count | uint64:255 | uint8:8
        bitmask_to_array | uint8:6 | array(uint8):[2,4]
        ",
    );
}

#[test]
fn comparison_is_exact() {
    check(
        "
        equals | uint8:1 ; int64:1 | bool:true
        less | int8:-1 ; uint64:18446744073709551615 | bool:true
        greater | uint64:18446744073709551615 ; int8:-1 | bool:true
        equals | int64:9007199254740993 ; float64:9007199254740992 | bool:false
        less | float64:0.5 ; uint8:1 | bool:true
        equals | decimal(9, 1):1.1 ; decimal(9, 2):1.10 | bool:true
        less | uint8:1 ; decimal(9, 2):1.01 | bool:true
        equals | float64:nan ; float64:nan | bool:false
        not_equals | float64:nan ; float64:nan | bool:true
        less | string:a ; string:b | bool:true
        equals | fixed_string(3):ab ; string:ab | bool:true
        equals | bool:true ; uint8:1 | bool:true
        greater_or_equals | int256:5 ; uint256:5 | bool:true
        equals | array(uint8):[1,2] ; array(int16):[1,2] | bool:true
        less | array(uint8):[1,2] ; array(uint8):[1,3] | bool:true
        less | tuple(uint8, string):(1,'a') ; tuple(uint8, string):(1,'b') | bool:true
        equals | tuple(uint8, nullable(uint8)):(1,NULL) ; tuple(uint8, uint8):(2,3) | nullable(bool):false
        equals | tuple(uint8, nullable(uint8)):(1,NULL) ; tuple(uint8, uint8):(1,3) | nullable(bool):NULL
        equals | date:2023-01-01 ; !string:2023-01-01 | bool:true
        less | datetime:2023-01-01 00:00:00 ; !string:2023-01-01 00:00:01 | bool:true
        equals | date:2023-01-01 ; datetime:2023-01-01 00:00:00 | bool:true
        equals | enum8('a' = 1, 'b' = 2):b ; !string:b | bool:true
        equals | nullable(uint8):NULL ; uint8:1 | nullable(bool):NULL
        ",
    );
    check_errors("equals | uint8:1 ; string:a | ILLEGAL_TYPE_OF_ARGUMENT");
}

#[test]
fn logic_has_three_values() {
    check(
        "
        and | bool:true ; bool:false | bool:false
        and | nullable(bool):NULL ; bool:false | nullable(bool):false
        and | nullable(bool):NULL ; bool:true | nullable(bool):NULL
        and | uint8:2 ; uint8:1 ; bool:true | bool:true
        or | nullable(bool):NULL ; bool:true | nullable(bool):true
        xor | uint8:1 ; uint8:0 | bool:true
        not | uint8:5 | bool:false
        not | nullable(bool):NULL | nullable(bool):NULL
        in | uint8:1 ; !tuple(uint8, uint8):(1,2) | bool:true
        in | uint8:3 ; !tuple(uint8, uint16):(1,300) | bool:false
        not_in | string:a ; !array(string):['b','c'] | bool:true
        in | tuple(uint8, string):(1,'a') ; !tuple(tuple(uint8, string), tuple(uint8, string)):((1,'b'),(1,'a')) | bool:true
        in | date:2023-01-01 ; !string:2023-01-01 | bool:true
        in | uint8:1 ; !null: | bool:false
        null_in | nullable(uint8):NULL ; !tuple(uint8, nullable(uint8)):(1,NULL) | bool:true
        in | nullable(uint8):NULL ; !uint8:1 | nullable(bool):NULL
        ",
    );
}

#[test]
fn conditions_choose() {
    check(
        "
        if | bool:true ; uint8:1 ; int16:-1 | int16:1
        if | uint8:0 ; string:a ; string:b | string:b
        if | nullable(bool):NULL ; uint8:1 ; uint8:2 | uint8:2
        if | bool:true ; null: ; uint8:2 | nullable(uint8):NULL
        if | bool:false ; array(uint8):[1] ; array(uint8):[2,3] | array(uint8):[2,3]
        multi_if | bool:false ; uint8:1 ; bool:true ; uint8:2 ; uint8:3 | uint8:2
        if_null | nullable(uint8):NULL ; uint8:7 | uint8:7
        coalesce | nullable(uint8):NULL ; nullable(uint8):3 | nullable(uint8):3
        coalesce | null: ; uint8:3 | uint8:3
        null_if | uint8:1 ; uint8:1 | nullable(uint8):NULL
        null_if | uint8:1 ; uint8:2 | nullable(uint8):1
        is_null | nullable(uint8):NULL | bool:true
        is_not_null | uint8:1 | bool:true
        assume_not_null | nullable(uint8):5 | uint8:5
        least | uint8:3 ; int8:-1 ; uint8:2 | int16:-1
        greatest | string:a ; string:b | string:b
        least | int8:-1 ; uint64:18446744073709551615 | int128:-1
        greatest | float64:1 ; float64:inf ; float64:nan | float64:nan
        least | float64:0 ; float64:-0 | float64:-0
        ",
    );
    check_errors("if | bool:true ; uint8:1 ; string:a | NO_COMMON_TYPE");
}

#[test]
fn strings_are_bytes_and_utf8_when_named() {
    check(
        "
        length | string:äb | uint64:3
        length_utf8 | string:äb | uint64:2
        length | array(uint8):[1,2] | uint64:2
        empty | string: | bool:true
        empty | fixed_string(2): | bool:true
        concat | array(uint8):[0] ; string:b | string:[0]b
        not_empty | string:a | bool:true
        not_empty | array(uint8):[] | bool:false
        lower | string:ABC | string:abc
        upper_utf8 | string:äb | string:ÄB
        reverse | string:abc | string:cba
        reverse_utf8 | string:äb | string:bä
        concat | string:a ; string:b ; uint8:1 | string:ab1
        substring | string:hello ; uint8:2 ; uint8:3 | string:ell
        substring | string:hello ; int8:-3 | string:llo
        substring_utf8 | string:äöü ; uint8:2 ; uint8:1 | string:ö
        left | string:hello ; uint8:2 | string:he
        right | string:hello ; int8:-2 | string:llo
        trim | string:  a  | string:a
        left_pad | string:7 ; uint8:3 ; !string:0 | string:007
        right_pad | string:abc ; uint8:2 | string:ab
        repeat | string:ab ; uint8:2 | string:abab
        starts_with | string:hello ; string:he | bool:true
        ends_with | string:hello ; string:he | bool:false
        position | string:hello ; string:l | uint64:3
        position | string:hello ; string:l ; uint8:4 | uint64:4
        position_case_insensitive | string:HELLO ; string:l | uint64:3
        position_utf8 | string:äöü ; string:ü | uint64:3
        position_case_insensitive_utf8 | string:ÄÖÜ ; string:ü | uint64:3
        count_substrings | string:aaaa ; string:aa | uint64:2
        multi_search_any | string:hello ; !array(string):['x','l'] | bool:true
        multi_search_first_index | string:hello ; !array(string):['x','l'] | uint64:2
        multi_search_all_positions | string:hello ; !array(string):['h','l'] | array(uint64):[1,3]
        like | string:hello ; string:h%o | bool:true
        like | string:hello ; string:_ello | bool:true
        like | string:hello ; string:%ell% | bool:true
        not_like | string:hello ; string:h | bool:true
        ilike | string:HELLO ; string:h%O | bool:true
        match | string:hello ; string:l+o | bool:true
        extract | string:a12b ; !string:\\\\d+ | string:12
        extract_all | string:a1b22 ; !string:\\\\d+ | array(string):['1','22']
        replace_all | string:aXbX ; string:X ; string:- | string:a-b-
        replace_one | string:aXbX ; string:X ; string:- | string:a-bX
        replace_regexp_all | string:a1b2 ; string:([0-9]) ; string:<\\\\1> | string:a<1>b<2>
        split_by_char | !string:, ; string:a,b, | array(string):['a','b','']
        split_by_string | !string:ab ; string:1ab2 | array(string):['1','2']
        array_string_concat | array(string):['a','b'] ; !string:- | string:a-b
        hex | uint16:256 | string:0100
        hex | string:ab | string:6162
        unhex | string:6162 | string:ab
        bin | uint8:5 | string:00000101
        base64_encode | string:hi | string:aGk=
        base64_decode | string:aGk= | string:hi
        base58_encode | string:hello | string:Cn8eVZg
        encode_url_component | string:a b | string:a%20b
        decode_url_component | string:a%20b | string:a b
        decode_xml_component | string:&lt;&#65; | string:<A
        format | !string:{1}-{0} ; string:a ; string:b | string:b-a
        ngrams | string:abcd ; !uint8:3 | array(string):['abc','bcd']
        tokens | string:a1, b2 | array(string):['a1','b2']
        to_valid_utf8 | string:ok | string:ok
        is_valid_utf8 | string:ok | uint8:1
        char | uint8:72 ; uint8:105 | string:Hi
        regexp_quote_meta | string:a.b | string:a\\.b
        grok | string:10.0.0.1 GET ; !string:%{IP:ip} %{WORD:verb} | map(string, string):{'ip':'10.0.0.1','verb':'GET'}
        match | string:a{b ; string:a{b | bool:true
        match | string:aa ; string:^a{2}$ | bool:true
        match | string:x[y ; string:[[]y | bool:true
        match | string:a1 ; string:^[[:alpha:]][[:digit:]]$ | bool:true
        grok | string:nothing ; !string:%{IP:ip} | map(string, string):{}
        concat_with_separator | string:- ; string:a ; string:b | string:a-b
        translate | string:abc ; !string:ab ; !string:xy | string:xyc
        ",
    );
    check_errors(
        "
        match | string:a ; string:( | CANNOT_COMPILE_REGEXP
        length | uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
        no_such_function | uint8:1 | UNKNOWN_FUNCTION
        ",
    );
}

#[test]
fn arrays_maps_and_tuples() {
    check(
        "
        array | uint8:1 ; int16:-2 | array(int16):[1,-2]
        array | uint8:1 ; null: | array(nullable(uint8)):[1,NULL]
        tuple | uint8:1 ; string:a | tuple(uint8, string):(1,'a')
        array_element | array(uint8):[1,2,3] ; int8:-1 | uint8:3
        array_element | array(uint8):[1,2,3] ; uint8:9 | uint8:0
        array_element | array(nullable(uint8)):[1,NULL] ; uint8:2 | nullable(uint8):NULL
        array_element | map(string, uint8):{'a':1,'b':2} ; string:b | uint8:2
        array_element | map(string, uint8):{'a':1} ; string:z | uint8:0
        map | string:a ; uint8:1 | map(string, uint8):{'a':1}
        map_keys | map(string, uint8):{'a':1,'b':2} | array(string):['a','b']
        map_values | map(string, uint8):{'a':1,'b':2} | array(uint8):[1,2]
        map_add | map(string, uint8):{'a':1,'b':2} ; map(string, uint8):{'b':3} | map(string, uint64):{'a':1,'b':5}
        map_contains | map(string, uint8):{'a':1} ; string:a | bool:true
        tuple_element | tuple(uint8, string):(1,'a') ; !uint8:2 | string:a
        range | uint8:3 | array(uint8):[0,1,2]
        range | uint8:1 ; uint8:6 ; uint8:2 | array(uint8):[1,3,5]
        has | array(uint8):[1,2] ; uint8:2 | bool:true
        has | array(string):['a'] ; string:b | bool:false
        has | array(nullable(uint8)):[1,NULL] ; null: | bool:true
        index_of | array(uint8):[5,7] ; uint8:7 | uint64:2
        count_equal | array(uint8):[5,7,5] ; uint8:5 | uint64:2
        has_all | array(uint8):[1,2,3] ; array(uint8):[3,1] | uint8:1
        has_any | array(uint8):[1,2,3] ; array(uint8):[9] | uint8:0
        starts_with | array(nullable(uint8)):[NULL,1] ; array(nullable(uint8)):[NULL] | bool:true
        ends_with | array(uint8):[1,2] ; array(uint8):[1] | bool:false
        has_substr | array(uint8):[1,2,3] ; array(uint8):[2,3] | uint8:1
        array_concat | array(uint8):[1] ; array(int8):[-1] | array(int16):[1,-1]
        array_slice | array(uint8):[1,2,3,4] ; uint8:2 ; uint8:2 | array(uint8):[2,3]
        array_slice | array(uint8):[1,2,3,4] ; int8:-2 | array(uint8):[3,4]
        array_push_back | array(uint8):[1] ; uint8:2 | array(uint8):[1,2]
        array_pop_front | array(uint8):[1,2] | array(uint8):[2]
        array_resize | array(uint8):[1,2] ; uint8:3 | array(uint8):[1,2,0]
        array_distinct | array(uint8):[1,2,1] | array(uint8):[1,2]
        array_sort | array(int8):[3,-1,2] | array(int8):[-1,2,3]
        array_reverse_sort | array(nullable(uint8)):[1,NULL,2] | array(nullable(uint8)):[2,1,NULL]
        array_reverse | array(uint8):[1,2] | array(uint8):[2,1]
        array_sum | array(uint8):[1,2,3] | uint64:6
        array_avg | array(uint8):[1,2] | float64:1.5
        array_min | array(int8):[3,-1] | int8:-1
        array_max | array(float64):[1,2.5] | float64:2.5
        array_cum_sum | array(uint8):[1,2,3] | array(uint64):[1,3,6]
        array_difference | array(uint8):[5,3,10] | array(int64):[0,-2,7]
        array_enumerate | array(string):['a','b'] | array(uint32):[1,2]
        array_enumerate_uniq | array(uint8):[10,20,10] | array(uint32):[1,1,2]
        array_uniq | array(uint8):[1,2,1] | uint64:2
        array_compact | array(uint8):[1,1,2,2,1] | array(uint8):[1,2,1]
        array_flatten | array(array(uint8)):[[1],[2,3]] | array(uint8):[1,2,3]
        array_zip | array(uint8):[1,2] ; array(string):['a','b'] | array(tuple(uint8, string)):[(1,'a'),(2,'b')]
        array_intersect | array(uint8):[1,2,3] ; array(uint8):[3,1] | array(uint8):[1,3]
        array_with_constant | uint8:2 ; string:x | array(string):['x','x']
        empty_array_uint8 |  | array(uint8):[]
        length | map(string, uint8):{'a':1} | uint64:1
        tuple_plus | tuple(uint8, uint8):(1,2) ; tuple(uint8, uint8):(3,4) | tuple(uint16, uint16):(4,6)
        l2_distance | array(uint8):[0,0] ; array(uint8):[3,4] | float64:5
        array_auc | array(float64):[0.1,0.4,0.35,0.8] ; array(uint8):[0,0,1,1] | float64:0.75
        ",
    );
    check_errors("array_element | array(uint8):[1] ; uint8:0 | ZERO_ARRAY_OR_TUPLE_INDEX");
}

#[test]
fn numbers_are_rounded_and_measured() {
    check(
        "
        round | float64:2.5 | float64:2
        round | float64:1.2345 ; !uint8:2 | float64:1.23
        round | decimal(9, 3):1.225 ; !uint8:2 | decimal(9, 3):1.23
        round | int32:-155 ; !int8:-1 | int32:-160
        round_bankers | decimal(9, 1):2.5 | decimal(9, 1):2
        floor | float64:-1.5 | float64:-2
        ceil | float64:1.2 | float64:2
        trunc | float64:-1.7 | float64:-1
        round_to_exp2 | uint8:9 | uint8:8
        sqrt | uint8:9 | float64:3
        pow | uint8:2 ; uint8:10 | float64:1024
        exp10 | uint8:3 | float64:1000
        log2 | uint8:8 | float64:3
        pi |  | float64:3.141592653589793
        is_nan | float64:nan | bool:true
        is_finite | float64:inf | bool:false
        if_not_finite | float64:inf ; uint8:7 | float64:7
        factorial | uint8:5 | uint64:120
        int_exp2 | uint8:10 | uint64:1024
        bar | uint8:4 ; uint8:0 ; uint8:8 ; !uint8:4 | string:██
        ",
    );
}

#[test]
fn hashes_are_those_of_clickhouse() {
    check(
        "
        city_hash64 | uint32:16909060 | uint64:5715546585361069049
        int_hash64 | uint32:16909060 | uint64:5715546585361069049
        int_hash32 | uint32:16909060 | uint32:3152671896
        sip_hash64 | uint32:16909060 | uint64:10711397536826262068
        xx_hash32 | uint32:16909060 | uint32:2430391091
        xx_hash64 | uint32:16909060 | uint64:14496144933713060978
        xxh3 | uint32:16909060 | uint64:14355428563589734825
        half_md5 | uint32:16909060 | uint64:14356538739656272800
        gcc_murmur_hash | uint32:16909060 | uint64:5478801830569062645
        murmur_hash2_32 | uint32:16909060 | uint32:1658978282
        murmur_hash2_64 | uint32:16909060 | uint64:10829690723193326442
        jump_consistent_hash | uint32:16909060 ; !uint8:42 | int32:37
        hive_hash | uint32:16909060 | int32:122110
        java_hash_utf16_le | uint32:16909060 | int32:24190
        city_hash64 | ipv6:fe80::62:5aff:fed1:daf0 | uint64:1599722731594796935
        ",
    );
}

#[test]
fn json_is_read_by_steps_and_paths() {
    check(
        r#"
        json_extract_string | string:{"a": {"b": "x"}} ; string:a ; string:b | string:x
        json_extract_string | string:{"a": 1.5} ; string:a | string:1.5
        json_extract_string | string:not json ; string:a | string:
        json_extract_int | string:[1, -7] ; int8:-1 | int64:-7
        json_extract_float | string:{"a": 1E-2} ; string:a | float64:0.01
        json_extract_bool | string:{"a": true} ; string:a | bool:true
        json_extract_raw | string:{"a": [1, {"b": "c d"}]} ; string:a | string:[1,{"b":"c d"}]
        json_extract_array_raw | string:{"a": [1, "x"]} ; string:a | array(string):['1','"x"']
        json_has | string:{"a": 1} ; string:b | bool:false
        json_length | string:{"a": [1, 2, 3]} ; string:a | uint64:3
        json_extract_keys | string:{"a": 1, "b": 2} | array(string):['a','b']
        json_extract | string:{"v": 1.1} ; string:v ; !string:uint64 | uint64:1
        json_extract | string:{"v": -1e300} ; string:v ; !string:int8 | int8:0
        json_extract | string:{"v": null} ; string:v ; !string:nullable(string) | nullable(string):NULL
        json_extract | string:{"a": [1, 2], "b": "x"} ; !string:tuple(a array(uint8), b string) | tuple(a array(uint8), b string):([1,2],'x')
        json_extract | string:{"a": 123456} ; string:a ; !string:fixed_string(6) | fixed_string(6):123456
        json_extract_keys_and_values | string:{"a": 1, "b": "x"} ; !string:int8 | array(tuple(string, int8)):[('a',1)]
        json_value | string:{"a": {"b c": "x"}} ; !string:$.a."b c" | string:x
        json_query | string:{"array":[[0, 1, 2, 3, 4, 5], [0, -1, -2, -3, -4, -5]]} ; !string:$.array[*][0 to 2, 4] | string:[0, 1, 4, 0, -1, -4]
        json_exists | string:{"a":[{"b":1},{"c":2}]} ; !string:$.a[*].b | bool:true
        is_valid_json | string:{"a": [1, 2,]} | bool:false
        visit_param_extract_raw | string:{"a":{"b":1},"c":2} ; !string:a | string:{"b":1}
        simple_json_extract_int | string:{"a":12} ; !string:a | int64:12
        "#,
    );
}

#[test]
fn urls_and_addresses_have_parts() {
    check(
        "
        protocol | string:https://example.com/a | string:https
        domain | string:https://user@www.example.com:80/a?b | string:www.example.com
        domain_without_www | string:https://www.example.com/a | string:example.com
        top_level_domain | string:https://example.co.uk/ | string:uk
        first_significant_subdomain | string:https://news.example.com/ | string:example
        cut_to_first_significant_subdomain | string:https://news.example.com/ | string:example.com
        path | string:https://example.com/a/b?c=d#e | string:/a/b
        query_string | string:https://example.com/a?c=d#e | string:c=d
        fragment | string:https://example.com/a?c=d#e | string:e
        extract_url_parameter | string:http://x.y/?a=1&b=2 ; string:b | string:2
        cut_url_parameter | string:http://x.y/?a=1&b=2 ; string:a | string:http://x.y/?b=2
        extract_url_parameter_names | string:http://x.y/?a=1&b=2 | array(string):['a','b']
        port | string:http://x.y:81/ | uint16:81
        ipv4_num_to_string | uint32:16909060 | string:1.2.3.4
        ipv4_string_to_num | string:1.2.3.4 | uint32:16909060
        ipv4_string_to_num_or_null | string:x | nullable(uint32):NULL
        is_ipv6_string | string:::1 | uint8:1
        ipv4_cidr_to_range | ipv4:192.168.5.2 ; uint8:16 | tuple(ipv4, ipv4):('192.168.0.0','192.168.255.255')
        is_ip_address_in_range | string:127.0.0.1 ; string:127.0.0.0/8 | uint8:1
        point_in_polygon | tuple(uint8, uint8):(1,1) ; !array(tuple(uint8, uint8)):[(0,0),(4,0),(4,4),(0,4)] | bool:true
        point_in_polygon | tuple(uint8, uint8):(9,1) ; !array(tuple(uint8, uint8)):[(0,0),(4,0),(4,4),(0,4)] | bool:false
        geohash_encode | float64:-5.60302734375 ; float64:42.593994140625 ; !uint8:0 | string:ezs42d000000
        transform | uint8:2 ; !array(uint8):[1,2] ; !array(string):['a','b'] ; string:z | string:b
        transform | float64:7 ; !array(int64):[7,-9223372036854775808] ; !array(string):['a','b'] ; string:z | string:a
        transform | uint8:3 ; !array(uint8):[1,2] ; !array(uint8):[5,6] | uint8:3
        current_database |  | string:default
        format_readable_size | uint32:1536 | string:1.50 KiB
        parse_time_delta | string:1h30m | float64:5400
        ",
    );
    check_errors("sleep | uint8:4 | TOO_SLOW");
}

#[test]
#[should_panic(expected = "1 wrong")]
fn a_wrong_answer_is_noticed() {
    check("plus | uint8:1 ; uint8:2 | uint16:4");
}

/// A lambda for tests: a closure over its parameters.
struct Body<F>(F);

impl<F> std::fmt::Debug for Body<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a lambda")
    }
}

impl<F> LambdaEval for Body<F>
where
    F: Fn(&[ArrayRef], &[u32]) -> ArrayRef + Send + Sync,
{
    fn call(&self, _: &EvalContext, params: &[ArrayRef], origin: &[u32], _: usize) -> hydron_base::Result<ArrayRef> {
        Ok((self.0)(params, origin))
    }
}

/// Runs `function` with a lambda over `[1,2,3]` and `[4]`, answers the texts of both rows.
fn over_arrays<F>(
    function: &str,
    lambda_type: LogicalType,
    extra: Option<(LogicalType, ArrayRef)>,
    body: F,
) -> Vec<String>
where
    F: Fn(&[ArrayRef], &[u32]) -> ArrayRef + Send + Sync + 'static,
{
    let list =
        ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(2), Some(3)]), Some(vec![Some(4)])]);
    let ty = LogicalType::array(LogicalType::Int64);
    let list = crate::scalar::column::retyped(&(Arc::new(list) as ArrayRef), &ty);
    let mut infos = vec![ArgInfo { lambda_params: Some(1), ..ArgInfo::column(lambda_type) }, ArgInfo::column(ty)];
    let mut args = vec![Datum::Lambda(Arc::new(Body(body))), Datum::Array(list)];
    if let Some((ty, array)) = extra {
        infos.push(ArgInfo::column(ty));
        args.push(Datum::Array(array));
    }
    let bound = Registry::builtin().bind_scalar(function, &BindContext::default(), &infos).expect("a bound call");
    let result =
        bound.kernel.eval(&EvalContext::at(WallTime(0)), &args, 2).and_then(|d| d.to_array(2)).expect("a result");
    (0..2)
        .map(|row| {
            let mut out = Vec::new();
            write_text(&result, &bound.ty, row, Style::Plain, &TextOptions::default(), &mut out).expect("a text");
            String::from_utf8_lossy(&out).into_owned()
        })
        .collect()
}

fn int64s(array: &ArrayRef) -> &Int64Array {
    array.as_primitive::<Int64Type>()
}

#[test]
fn lambdas_run_over_all_elements_at_once() {
    let even = |p: &[ArrayRef], _: &[u32]| {
        Arc::new(BooleanArray::from_iter(int64s(&p[0]).iter().map(|v| v.map(|v| v % 2 == 0)))) as ArrayRef
    };
    let negative = |p: &[ArrayRef], _: &[u32]| Arc::new(int64s(&p[0]).unary::<_, Int64Type>(|v| -v)) as ArrayRef;
    let rows = |p: &[ArrayRef], origin: &[u32]| {
        Arc::new(Int64Array::from_iter_values(origin.iter().take(p[0].len()).map(|r| i64::from(*r)))) as ArrayRef
    };
    let run = |f: &str| over_arrays(f, LogicalType::Bool, None, even);
    assert_eq!(run("array_filter"), ["[2]", "[4]"]);
    assert_eq!(run("array_exists"), ["true", "true"]);
    assert_eq!(run("array_all"), ["0", "1"]);
    assert_eq!(run("array_count"), ["1", "1"]);
    assert_eq!(run("array_first"), ["2", "4"]);
    assert_eq!(run("array_last_index"), ["2", "1"]);
    assert_eq!(run("array_fill"), ["[1,2,2]", "[4]"]);
    assert_eq!(run("array_split"), ["[[1],[2,3]]", "[[4]]"]);
    assert_eq!(over_arrays("array_map", LogicalType::Int64, None, negative), ["[-1,-2,-3]", "[-4]"]);
    assert_eq!(over_arrays("array_map", LogicalType::Int64, None, rows), ["[0,0,0]", "[1]"]);
    assert_eq!(over_arrays("array_sort", LogicalType::Int64, None, negative), ["[3,2,1]", "[4]"]);
    assert_eq!(over_arrays("array_sum", LogicalType::Int64, None, negative), ["-6", "-4"]);
    let start: ArrayRef = Arc::new(Int64Array::from(vec![100, 200]));
    let add = |p: &[ArrayRef], _: &[u32]| {
        Arc::new(Int64Array::from_iter_values(
            int64s(&p[0]).values().iter().zip(int64s(&p[1]).values()).map(|(a, b)| a + b),
        )) as ArrayRef
    };
    assert_eq!(over_arrays("array_fold", LogicalType::Int64, Some((LogicalType::Int64, start)), add), ["106", "204"]);
}

#[test]
fn what_stands_under_a_null_cannot_fail() {
    let divisor: ArrayRef = Arc::new(UInt8Array::new(vec![0, 2, 0].into(), Some(vec![false, true, false].into())));
    let args = [ArgInfo::column(LogicalType::UInt8), ArgInfo::column(LogicalType::nullable(LogicalType::UInt8))];
    let bound = Registry::builtin().bind_scalar("int_div", &BindContext::default(), &args).expect("a bound call");
    let ten: ArrayRef = Arc::new(UInt8Array::from(vec![10, 10, 10]));
    let result = bound
        .kernel
        .eval(&EvalContext::at(WallTime(0)), &[Datum::Array(ten), Datum::Array(divisor)], 3)
        .and_then(|d| d.to_array(3));
    let result = result.expect("no division by the zeros under NULL");
    assert_eq!(result.as_primitive::<arrow::datatypes::UInt8Type>(), &UInt8Array::from(vec![None, Some(5), None]));
}

#[test]
fn random_numbers_follow_the_seed() {
    let bound = Registry::builtin().bind_scalar("rand64", &BindContext::default(), &[]).expect("a bound call");
    let draw = |seed, batch| {
        let cx = EvalContext { seed, batch, ..EvalContext::at(WallTime(0)) };
        let numbers = bound.kernel.eval(&cx, &[], 4).and_then(|d| d.to_array(4)).expect("numbers");
        numbers.as_primitive::<arrow::datatypes::UInt64Type>().values().to_vec()
    };
    assert_eq!(draw(1, 1), draw(1, 1));
    assert_ne!(draw(1, 1), draw(2, 1));
    assert_ne!(draw(1, 1), draw(1, 2));
    assert_ne!(draw(1, 1)[0], draw(1, 1)[1]);
}

#[test]
fn a_misspelt_name_gets_a_hint() {
    let error =
        Registry::builtin().bind_scalar("lenght", &BindContext::default(), &[]).err().expect("no such function");
    assert_eq!(error.code, hydron_base::Code::UNKNOWN_FUNCTION);
    assert!(error.hint.is_some_and(|h| h.contains("length")));
}
