//! Compression, cut anywhere.

use super::*;

const ALL: [Compression; 4] = [Compression::Gzip, Compression::Deflate, Compression::Zstd, Compression::Lz4];

fn text() -> Vec<u8> {
    (0..40_000u32).flat_map(|i| format!("row {} of many\n", i % 977).into_bytes()).collect()
}

fn decompress(compression: Compression, bytes: &[u8], step: usize, max: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut take = |piece: &[u8]| {
        out.extend_from_slice(piece);
        Ok(())
    };
    let mut decompressor = Decompressor::new(compression, max)?;
    for piece in bytes.chunks(step) {
        decompressor.feed(piece, &mut take)?;
    }
    decompressor.finish(&mut take)?;
    Ok(out)
}

#[test]
fn what_is_written_comes_back_at_any_cut() {
    for compression in ALL {
        let mut bytes = Vec::new();
        let mut compressor = Compressor::new(compression, 3).unwrap();
        text().chunks(70_001).for_each(|piece| compressor.write(piece, &mut bytes).unwrap());
        compressor.finish(&mut bytes).unwrap();
        assert!(bytes.len() < text().len() / 2);
        for step in [1, 4_099, bytes.len()] {
            assert!(decompress(compression, &bytes, step, u64::MAX).unwrap() == text(), "{compression:?} by {step}");
        }
        let cut = decompress(compression, &bytes[..bytes.len() / 2], 4_099, u64::MAX);
        assert!(cut.is_err() || cut.unwrap().len() < text().len(), "{compression:?}");
        let bomb = decompress(compression, &bytes, 4_099, 1_000).unwrap_err();
        assert_eq!(bomb.code, Code::TOO_MANY_BYTES, "{compression:?}");
        assert_eq!(
            decompress(compression, b"no such thing at all", 4, 1_000).unwrap_err().code,
            Code::CANNOT_DECOMPRESS
        );
    }
}

#[test]
fn each_write_can_be_read_at_once() {
    for compression in ALL {
        let mut compressor = Compressor::new(compression, 0).unwrap();
        let mut decompressor = Decompressor::new(compression, u64::MAX).unwrap();
        for word in ["first", "second"] {
            let (mut packed, mut plain) = (Vec::new(), Vec::new());
            compressor.write(word.as_bytes(), &mut packed).unwrap();
            let mut take = |piece: &[u8]| {
                plain.extend_from_slice(piece);
                Ok(())
            };
            decompressor.feed(&packed, &mut take).unwrap();
            decompressor.flush_available(&mut take).unwrap();
            assert_eq!(plain, word.as_bytes(), "{compression:?}");
        }
    }
}

#[test]
fn clients_say_what_they_accept() {
    assert_eq!(Compression::accepted("gzip, deflate, br"), Some(Compression::Gzip));
    assert_eq!(Compression::accepted("gzip;q=1.0, zstd"), Some(Compression::Zstd));
    assert_eq!(Compression::accepted("gzip;q=0, identity"), None);
    assert_eq!(Compression::parse("br").unwrap_err().code, Code::NOT_IMPLEMENTED);
}
