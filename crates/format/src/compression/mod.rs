//! Compression of HTTP bodies, streaming in both directions.

mod lz4;

use flate2::write::{GzEncoder, MultiGzDecoder, ZlibDecoder, ZlibEncoder};
use hydron_base::{Code, Error, Result};
use lz4::Lz4Decoder;
use std::io::{self, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    /// The zlib format: what HTTP calls `deflate`.
    Deflate,
    Zstd,
    /// LZ4 frames.
    Lz4,
}

impl Compression {
    /// From the value of `Content-Encoding`. `None`: the body is plain. Errors: NOT_IMPLEMENTED for a known one that is
    /// not built, BAD_ARGUMENTS for any other.
    pub fn parse(name: &str) -> Result<Option<Compression>> {
        Ok(Some(match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => return Ok(None),
            "gzip" | "x-gzip" => Compression::Gzip,
            "deflate" => Compression::Deflate,
            "zstd" => Compression::Zstd,
            "lz4" => Compression::Lz4,
            known @ ("br" | "xz" | "bz2" | "snappy") => {
                return Err(Error::not_implemented(format!("compression {known}")));
            }
            _ => {
                return Err(
                    Error::bad_arguments(format!("compression '{name}' is unknown")).hint("gzip, deflate, zstd, lz4")
                );
            }
        }))
    }

    /// The first that we have of those that `Accept-Encoding` names; encodings with `q=0` are refused ones.
    pub fn accepted(header: &str) -> Option<Compression> {
        let offers = header.split(',').filter_map(|offer| {
            let mut parts = offer.split(';').map(str::trim);
            let name = parts.next()?;
            let refused = parts.any(|p| p.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()) == Some(0.0));
            Compression::parse(name).ok().flatten().filter(|_| !refused && !name.is_empty())
        });
        let offers = offers.collect::<Vec<_>>();
        // The cheapest for its size first.
        [Compression::Zstd, Compression::Lz4, Compression::Gzip, Compression::Deflate]
            .into_iter()
            .find(|c| offers.contains(c))
    }

    pub fn name(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Deflate => "deflate",
            Compression::Zstd => "zstd",
            Compression::Lz4 => "lz4",
        }
    }
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Lz4(lz4_flex::frame::FrameEncoder<Vec<u8>>),
}

/// Compresses what is written; `flush` lets the receiver decompress all of it.
pub struct Compressor {
    encoder: Encoder,
}

impl Compressor {
    /// `level` 1..=9; 0 means the format's own default.
    pub fn new(compression: Compression, level: u32) -> Result<Compressor> {
        let flate = if level == 0 { flate2::Compression::default() } else { flate2::Compression::new(level.min(9)) };
        let encoder = match compression {
            Compression::Gzip => Encoder::Gzip(GzEncoder::new(Vec::new(), flate)),
            Compression::Deflate => Encoder::Deflate(ZlibEncoder::new(Vec::new(), flate)),
            Compression::Zstd => {
                let encoder =
                    zstd::stream::write::Encoder::new(Vec::new(), level.min(9) as i32).map_err(cannot_compress)?;
                Encoder::Zstd(encoder)
            }
            Compression::Lz4 => Encoder::Lz4(lz4_flex::frame::FrameEncoder::new(Vec::new())),
        };
        Ok(Compressor { encoder })
    }

    /// Compresses `bytes` so that the receiver can read all of them, and appends the result to `out`.
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut write = || -> io::Result<()> {
            match &mut self.encoder {
                Encoder::Gzip(e) => {
                    e.write_all(bytes)?;
                    e.flush()?;
                    out.append(e.get_mut());
                }
                Encoder::Deflate(e) => {
                    e.write_all(bytes)?;
                    e.flush()?;
                    out.append(e.get_mut());
                }
                Encoder::Zstd(e) => {
                    e.write_all(bytes)?;
                    e.flush()?;
                    out.append(e.get_mut());
                }
                Encoder::Lz4(e) => {
                    e.write_all(bytes)?;
                    e.flush()?;
                    out.append(e.get_mut());
                }
            }
            Ok(())
        };
        write().map_err(cannot_compress)
    }

    /// Ends the stream and appends its last bytes.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<()> {
        let rest = match self.encoder {
            Encoder::Gzip(e) => e.finish(),
            Encoder::Deflate(e) => e.finish(),
            Encoder::Zstd(e) => e.finish(),
            Encoder::Lz4(e) => e.finish().map_err(io::Error::other),
        };
        out.append(&mut rest.map_err(cannot_compress)?);
        Ok(())
    }
}

fn cannot_compress(error: io::Error) -> Error {
    Error::new(Code::CANNOT_COMPRESS, format!("cannot compress: {error}"))
}

fn cannot_decompress(error: io::Error) -> Error {
    Error::new(Code::CANNOT_DECOMPRESS, format!("cannot decompress: {error}"))
}

enum Decoder {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Deflate(ZlibDecoder<Vec<u8>>),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
    Lz4(Lz4Decoder),
}

/// Decompresses bytes at any cut, in pieces of bounded size.
pub struct Decompressor {
    decoder: Decoder,
    bytes_out: u64,
    bytes_out_max: u64,
}

// One write hands at most this much to a decoder, so that a piece of its output stays small: the worst ratio of
// deflate is 1,032, so 16 KiB become at most 16 MiB at once.
const PIECE_BYTES: usize = 16 << 10;

impl Decompressor {
    /// `bytes_out_max`: what all of the output may come to; beyond it the input is taken for a bomb.
    pub fn new(compression: Compression, bytes_out_max: u64) -> Result<Decompressor> {
        let decoder = match compression {
            Compression::Gzip => Decoder::Gzip(MultiGzDecoder::new(Vec::new())),
            Compression::Deflate => Decoder::Deflate(ZlibDecoder::new(Vec::new())),
            Compression::Zstd => {
                Decoder::Zstd(zstd::stream::write::Decoder::new(Vec::new()).map_err(cannot_decompress)?)
            }
            Compression::Lz4 => Decoder::Lz4(Lz4Decoder::default()),
        };
        Ok(Decompressor { decoder, bytes_out: 0, bytes_out_max })
    }

    /// Gives the plain bytes of `bytes` to `take`, piece by piece.
    ///
    /// Errors: CANNOT_DECOMPRESS for damaged input, TOO_MANY_BYTES past the limit, and those of `take`.
    pub fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            let mut rest = piece;
            while !rest.is_empty() {
                let used = match &mut self.decoder {
                    Decoder::Gzip(d) => d.write(rest),
                    Decoder::Deflate(d) => d.write(rest),
                    Decoder::Zstd(d) => d.write(rest),
                    Decoder::Lz4(d) => d.write(rest),
                }
                .map_err(cannot_decompress)?;
                if used == 0 {
                    return Err(Error::new(
                        Code::CANNOT_DECOMPRESS,
                        "cannot decompress: bytes follow the end of the stream",
                    ));
                }
                rest = &rest[used..];
                self.hand_over(&mut take)?;
            }
        }
        Ok(())
    }

    /// Gives what a decoder still holds although its input came to a flush point.
    pub fn flush_available(&mut self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match &mut self.decoder {
            Decoder::Gzip(d) => d.flush(),
            Decoder::Deflate(d) => d.flush(),
            Decoder::Zstd(d) => d.flush(),
            Decoder::Lz4(d) => d.flush(),
        }
        .map_err(cannot_decompress)?;
        self.hand_over(&mut take)
    }

    /// The input is complete. Errors: CANNOT_DECOMPRESS when it ends too early.
    pub fn finish(&mut self, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match &mut self.decoder {
            Decoder::Gzip(d) => d.try_finish(),
            Decoder::Deflate(d) => d.try_finish(),
            Decoder::Zstd(d) => d.flush(),
            Decoder::Lz4(d) => d.finish(),
        }
        .map_err(cannot_decompress)?;
        self.hand_over(&mut take)
    }

    fn hand_over(&mut self, take: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let plain = match &mut self.decoder {
            Decoder::Gzip(d) => d.get_mut(),
            Decoder::Deflate(d) => d.get_mut(),
            Decoder::Zstd(d) => d.get_mut(),
            Decoder::Lz4(d) => d.plain_mut(),
        };
        if plain.is_empty() {
            return Ok(());
        }
        self.bytes_out += plain.len() as u64;
        if self.bytes_out > self.bytes_out_max {
            let text = format!("the body is longer than {} bytes when decompressed", self.bytes_out_max);
            return Err(Error::new(Code::TOO_MANY_BYTES, text));
        }
        take(plain)?;
        plain.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
