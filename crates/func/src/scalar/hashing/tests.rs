use super::*;
use crate::call::{ArgInfo, BindContext, EvalContext};
use crate::scalar::testing::{check, check_errors};
use hydron_types::Value;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// RFC 1320, appendix A.5.
#[test]
fn md4_is_that_of_the_rfc() {
    assert_eq!(hex(&digest::md4(b"")), "31d6cfe0d16ae931b73c59d7e0c089c0");
    assert_eq!(hex(&digest::md4(b"message digest")), "d9130a8164549fe818874806e1c7014b");
    let digits = "1234567890".repeat(8);
    assert_eq!(hex(&digest::md4(digits.as_bytes())), "e33b4ddc9c38f2199c3e7b164fcc0536");
}

/// The published test vectors: bytes 0, 1, … 250, 0, … of each length.
#[test]
fn blake3_is_that_of_its_test_vectors() {
    let input = |n: usize| (0..n).map(|i| (i % 251) as u8).collect::<Vec<_>>();
    let cases = [
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"),
        (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
        (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
        (2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"),
    ];
    for (n, wanted) in cases {
        assert_eq!(hex(&digest::blake3(&input(n))), wanted, "{n} bytes");
    }
}

#[test]
fn hashes_of_values_are_those_of_clickhouse() {
    check(
        r"
        farm_fingerprint64 | ipv4:1.2.3.4 | uint64:5715546585361069049
        metro_hash64 | ipv4:1.2.3.4 | uint64:5715546585361069049
        wy_hash64 | ipv4:1.2.3.4 | uint64:10187686579842826558
        farm_fingerprint64 | ipv6:fe80::62:5aff:fed1:daf0 | uint64:6643158734288374888
        farm_hash64 | ipv6:fe80::62:5aff:fed1:daf0 | uint64:6643158734288374888
        wy_hash64 | ipv6:fe80::62:5aff:fed1:daf0 | uint64:12405677345791355535
        metro_hash64 | ipv6:fe80::62:5aff:fed1:daf0 | uint64:15333045864940909774
        kostik_consistent_hash | ipv4:1.2.3.4 ; !uint8:42 | uint16:0
        farm_hash64 |  | uint64:16324913028386710556
        xxh3 | string:Hello ; string:world | uint64:5607458076371731292
        kafka_murmur_hash | string:foobar | uint32:1357151166
        half_md5 | array(string):['e','x','a'] ; string:mple ; uint8:10 ; datetime('Europe/Moscow'):2019-06-15 23:00:00 | uint64:186182704141653334
        gcc_murmur_hash | uint8:1 ; uint8:2 ; uint8:3 | uint64:12384823029245979431
        ",
    );
    check_errors(
        r"
        md4 | uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
        kostik_consistent_hash | uint8:1 ; uint32:32769 | BAD_ARGUMENTS
        kostik_consistent_hash | string:a ; uint8:1 | ILLEGAL_TYPE_OF_ARGUMENT
        hashid | uint8:1 | SUPPORT_IS_DISABLED
        ",
    );
}

/// A text as long as one loop of each branch takes, and one more.
fn letters(n: usize) -> Vec<u8> {
    (0..n).map(|i| b'a' + (i % 26) as u8).collect()
}

/// The hash of every length goes through a branch of its own; lengths that share a prefix do not collide.
#[test]
fn hashes_tell_all_lengths_apart() {
    for hash in [farm::fingerprint64, farm::hash64, swift::metro64, swift::wy64] {
        let mut seen: Vec<u64> = (0..600).map(|n| hash(&letters(n))).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 600);
    }
}

#[test]
fn keys_move_only_into_new_buckets() {
    let bind = |n: u64| {
        let args = [ArgInfo::column(LogicalType::UInt64), ArgInfo::constant(LogicalType::UInt64, Value::UInt(n))];
        let call =
            Registry::builtin().bind_scalar("kostik_consistent_hash", &BindContext::default(), &args).expect("binds");
        let keys: ArrayRef = u64::array((0..2000).map(int_hash64).collect());
        let buckets = u64::array(vec![n]);
        let cx = EvalContext::at(hydron_base::world::WallTime(0));
        let answer = call.kernel.eval(&cx, &[Datum::Array(keys), Datum::Scalar(buckets)], 2000).expect("evaluates");
        to_vec::<u64>(&answer.to_array(2000).expect("rows"), &LogicalType::UInt16).expect("numbers")
    };
    let mut before = bind(1);
    for n in 2..40 {
        let after = bind(n);
        assert!(before.iter().zip(&after).all(|(a, b)| a == b || *b == n - 1), "{n} buckets");
        let new = after.iter().filter(|b| **b == n - 1).count();
        assert!(new > 0 && new < 2 * 2000 / n as usize + 50, "{new} of 2000 keys in the last of {n} buckets");
        before = after;
    }
}

#[test]
fn ids_are_those_of_hashids() {
    let id = |n: u64, salt: &str, least: usize, alphabet: Option<&str>| {
        let ids = ids::Ids::new(salt.as_bytes(), least, alphabet.map(str::as_bytes)).expect("an alphabet");
        String::from_utf8(ids.encode(&[n])).expect("letters")
    };
    assert_eq!([0, 1, 2, 3, 4].map(|n| id(n, "", 0, None)), ["gY", "jR", "k5", "l5", "mO"]);
    assert_eq!(id(4, "s3cr3t", 16, Some("abcdefghijklmnop")), "nkdlpgajngjnobme");
    assert_eq!(id(1_234_567_890_123_456, "s3cr3t", 0, None), "YQrvD5XGvbx");
    let several = ids::Ids::new(b"this is my salt", 0, None).expect("an alphabet").encode(&[1, 2, 3]);
    assert_eq!(several, b"laHquq");
    assert!(ids::Ids::new(b"", 0, Some(b"abcabcabcabcabcabcabc")).is_err());
}

#[test]
fn urls_hash_by_level() {
    let url = b"http://example.com/a/b?c";
    let lengths: Vec<usize> = (0..5).map(|level| url_level(url, level)).collect();
    assert_eq!(lengths, [19, 21, 23, 24, 0]);
    assert_eq!(url_level(b"no host", 0), 7);
    assert_eq!(url_level(b"no host", 1), 0);
    assert_eq!(url_level(b"http://h", 0), 8);
    assert_eq!(url_level(b"http://h", 1), 0);
}

#[test]
fn hashes_of_128_bits_are_those_of_the_documentation() {
    let halves = |[low, high]: [u64; 2]| hex(&super::pair_bytes(low, high));
    let pair = |hash: &dyn Fn(&[u8]) -> [u64; 2], parts: &[&[u8]]| {
        let bytes = |h: [u64; 2]| super::pair_bytes(h[0], h[1]);
        let all = parts.iter().map(|p| hash(p)).reduce(|a, b| hash(&[bytes(a), bytes(b)].concat()));
        halves(all.expect("there are parts")).to_uppercase()
    };
    let parts: [&[u8]; 3] = [b"foo", &[1], &[3]];
    assert_eq!(pair(&|b| super::sip::halves(0, 0, b), &parts), "9DE516A64A414D4B1B609415E4523F24");
    let keyed = |b: &[u8]| super::sip::halves(506_097_522_914_230_528, 1_084_818_905_618_843_912, b);
    assert_eq!(pair(&keyed, &parts), "B8467F65C8B4CFD9A5F8BD733917D9BF");
    assert_eq!(pair(&super::murmur::three_128, &[&b"foo"[..]; 3]), "F8F7AD9B6CD4CF117A71E277E2EC2931");
}
