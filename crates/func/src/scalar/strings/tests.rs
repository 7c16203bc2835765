use crate::scalar::testing::{check, check_errors};

#[test]
fn texts_are_alike_by_their_ngrams() {
    check(
        r"
        ngram_distance | string:abcd ; string:abcde | float32:0.33333334
        ngram_distance_utf8 | string: ; string: | float32:0
        ngram_distance | string:abcd ; string:abcd | float32:0
        ngram_distance | string:abcd ; string:efgh | float32:1
        ngram_distance_case_insensitive | string:ABCDE ; string:abcde | float32:0
        ngram_distance_case_insensitive_utf8 | string:ПРИВЕТ ; string:привет | float32:0
        ngram_search | string:abcdefgh ; string:cdef | float32:1
        ngram_search | string:abcd ; string: | float32:1
        ngram_search_utf8 | string:абвгд ; string:вгд | float32:1
        ngram_search | nullable(string):NULL ; string:a | nullable(float32):NULL
        ",
    );
    check_errors(
        r"
        ngram_distance | string:a | NUMBER_OF_ARGUMENTS_DOESNT_MATCH
        ngram_search | uint8:1 ; string:a | ILLEGAL_TYPE_OF_ARGUMENT
        ngram_sim_hash | uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
        ngram_sim_hash | string:a ; uint8:0 | ARGUMENT_OUT_OF_BOUND
        ngram_min_hash | string:a ; uint8:3 ; uint8:26 | ARGUMENT_OUT_OF_BOUND
        ngram_sim_hash | string:a ; uint8:3 ; uint8:2 | NUMBER_OF_ARGUMENTS_DOESNT_MATCH
        ",
    );
}

#[test]
fn shingles_are_hashed_as_in_clickhouse() {
    check(
        r"
        ngram_sim_hash | string:ClickHouse | uint64:1627567969
        ngram_sim_hash_case_insensitive | string:ClickHouse | uint64:562180645
        ngram_sim_hash_utf8 | string:ClickHouse | uint64:1628157797
        ngram_sim_hash_case_insensitive_utf8 | string:ClickHouse | uint64:1636742693
        word_shingle_sim_hash | string:ClickHouse® is a column-oriented database management system (DBMS) for online analytical processing of queries (OLAP). | uint64:2328277067
        ngram_min_hash | string:ClickHouse | tuple(uint64, uint64):(18333312859352735453,9054248444481805918)
        ngram_min_hash_case_insensitive | string:ClickHouse | tuple(uint64, uint64):(2106263556442004574,13203602793651726206)
        ngram_min_hash_utf8 | string:ClickHouse | tuple(uint64, uint64):(18333312859352735453,6742163577938632877)
        ngram_min_hash_arg | string:ClickHouse ; !uint8:3 ; !uint8:6 | tuple(tuple(string, string, string, string, string, string), tuple(string, string, string, string, string, string)):(('ous','ick','lic','Hou','kHo','use'),('Hou','lic','ick','ous','ckH','Cli'))
        word_shingle_sim_hash | string: | uint64:0
        ",
    );
}

#[test]
fn pairs_are_found_in_text() {
    check(
        r#"
        extract_key_value_pairs | string:name:neymar, age:31 team:psg,nationality:brazil | map(string, string):{'name':'neymar','age':'31','team':'psg','nationality':'brazil'}
        extract_key_value_pairs | string:name:'neymar';'age':31;team:psg;nationality:brazil,last_key:last_value ; !string:: ; !string:;, ; !string:\' | map(string, string):{'name':'neymar','age':'31','team':'psg','nationality':'brazil','last_key':'last_value'}
        extract_key_value_pairs | string:a:1 noise "quoted key":"with, comma" b: | map(string, string):{'a':'1','quoted key':'with, comma','b':''}
        extract_key_value_pairs | string: | map(string, string):{}
        extract_key_value_pairs | string:"open:1 | map(string, string):{}
        extract_key_value_pairs_with_escaping | string:age:a\\x41\\n | map(string, string):{'age':'aA\n'}
        str_to_map | string:k=v&l=w ; !string:= ; !string:& | map(string, string):{'k':'v','l':'w'}
        "#,
    );
    check_errors(
        r"
        extract_key_value_pairs |  | NUMBER_OF_ARGUMENTS_DOESNT_MATCH
        extract_key_value_pairs | uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
        extract_key_value_pairs | string:a ; string:ab | BAD_ARGUMENTS
        extract_key_value_pairs | string:a ; string:, ; string:, | BAD_ARGUMENTS
        ",
    );
}

#[test]
fn pages_are_read_without_markup() {
    let pages = [
        ("<p>Hello,   <b>world</b>!</p>", "Hello, world !"),
        ("a<!-- c > d -->b<script>var x = 1;</script>c<style >p {}</style >d", "a b c d"),
        ("<![CDATA[ <b>raw</b> ]]> x", " <b>raw</b> x"),
        ("Hello<br", "Hello"),
        ("<script><![CDATA[</script>]]>x</script>y", "y"),
        ("<scripted>kept</scripted>", "kept"),
        ("a<!-- open", "a open"),
        ("", ""),
    ];
    for (page, wanted) in pages {
        let mut out = Vec::new();
        super::html::text_of(page.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), wanted, "{page}");
    }
    check_errors("extract_text_from_html | uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT");
}

#[test]
fn queries_have_shapes() {
    let queries = [
        (
            "SELECT 1, 1, 1, /* Hello */ 'abc' WHERE 1 = 1 AND (1, y) LIMIT 1, 1",
            "SELECT ?.. WHERE ? = ? AND (?, y) LIMIT ?..",
        ),
        ("SELECT 1, 1, 1, /* x */", "SELECT ?.., "),
        ("[1, 2, 3, x]", "[?.., x]"),
        ("SELECT  1 AS xyz111, sha224(y)", "SELECT ? AS `?`, sha224(y)"),
        ("SELECT `aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee`", "SELECT `?`"),
        ("SELECT $doc$VALUE$doc$, -- end", "SELECT ?, "),
        ("'open", "?"),
        ("", ""),
    ];
    for (query, wanted) in queries {
        let mut out = Vec::new();
        super::query::normalize(query.as_bytes(), false, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), wanted, "{query}");
    }
    check("normalize_query_keep_names | string:SELECT 1 AS xyz111 | string:SELECT ? AS xyz111");
}
