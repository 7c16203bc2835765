//! The native protocol: blocks, packets of both sides, compressed frames.

use bytes::BytesMut;
use hydron_format::native::{BlockDecoder, NativeOptions, write_block};
use hydron_native::client::{ServerDecoder, ServerPacket};
use hydron_native::decoder::{ClientDecoder, ClientPacket};
use hydron_native::frame;
use hydron_native::packet::ClientHello;
use hydron_types::{Batch, Style, TextOptions, TypeNames, write_text};

const REVISIONS: [u64; 4] = [0, 54_400, 54_453, 54_459];

/// A byte for the revision, one for the cut, then blocks.
pub fn block(input: &[u8]) {
    let [mode, step, bytes @ ..] = input else { return };
    let revision = REVISIONS[usize::from(*mode) % 4];
    let names = if mode & 4 == 0 { TypeNames::Proton } else { TypeNames::ClickHouse };
    let options = NativeOptions { revision, names };
    let mut decoder = BlockDecoder::new(options);
    for mut piece in bytes.chunks(usize::from(*step) + 1) {
        while !piece.is_empty() {
            match decoder.feed(&mut piece) {
                Ok(Some(block)) => comes_back(&block, &options),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// Whatever was read can be written, in bytes and as text, and read again.
fn comes_back(block: &Batch, options: &NativeOptions) {
    let mut written = Vec::new();
    if write_block(block, options, &mut written).is_err() {
        return;
    }
    let mut again = BlockDecoder::new(*options);
    let mut rest = written.as_slice();
    let back = again.feed(&mut rest).expect("what was written can be read").expect("a whole block was written");
    assert!(rest.is_empty(), "{} bytes follow the block", rest.len());
    assert_eq!(back.rows(), block.rows());
    assert_eq!(back.columns.len(), block.columns.len());
    let text = TextOptions::default();
    let mut shown = Vec::new();
    for (field, column) in block.schema.fields.iter().zip(&block.columns) {
        if block.rows() > 0 {
            write_text(column, &field.ty, block.rows() - 1, Style::Plain, &text, &mut shown)
                .expect("a value has a text");
        }
    }
}

/// A byte says whether the login succeeds, one the cut, then what a client sends.
pub fn client(input: &[u8]) {
    let [trusted, step, bytes @ ..] = input else { return };
    let mut decoder = ClientDecoder::default();
    for piece in bytes.chunks(usize::from(*step) + 1) {
        decoder.buffer.extend_from_slice(piece);
        loop {
            match decoder.next_packet() {
                Ok(Some(packet)) => {
                    if let ClientPacket::Query(query) = &packet {
                        let mut out = Vec::new();
                        query.write(decoder.revision(), &mut out);
                    }
                    if trusted & 1 == 1 {
                        decoder.trust();
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// A byte says whether blocks are compressed and which revision the client has, one the cut, then what a server sends.
pub fn server(input: &[u8]) {
    let [mode, step, bytes @ ..] = input else { return };
    let revision = REVISIONS[usize::from(*mode >> 1) % 4];
    let mut decoder = ServerDecoder::new(&ClientHello { revision, ..ClientHello::default() });
    decoder.compressed = mode & 1 == 1;
    for piece in bytes.chunks(usize::from(*step) + 1) {
        decoder.buffer.extend_from_slice(piece);
        loop {
            match decoder.next_packet() {
                Ok(Some(ServerPacket::Exception(exception))) => {
                    let mut out = Vec::new();
                    exception.write(&mut out);
                    assert!(!exception.error().to_string().is_empty());
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// A byte for the cut, one for the method, four for the size that is announced, then a compressed body: the frame around it
/// gets its right checksum, without which nothing would come past the first test.
pub fn frame(input: &[u8]) {
    let [step, method, a, b, c, d, body @ ..] = input else { return };
    let method = [0x02, 0x82, 0x90, *method][usize::from(*method) % 4];
    let mut inner = vec![method];
    inner.extend_from_slice(&(body.len() as u32 + 9).to_le_bytes());
    inner.extend_from_slice(&[*a, *b, *c, *d]);
    inner.extend_from_slice(body);
    let mut bytes = frame::hash(&inner).to_vec();
    bytes.extend_from_slice(&inner);
    let announced = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    let (mut buffer, mut plain) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(usize::from(*step) + 1) {
        buffer.extend_from_slice(piece);
        match frame::read(&mut buffer, &mut plain) {
            Ok(true) => assert_eq!(plain.len(), announced),
            Ok(false) => {}
            Err(_) => return,
        }
    }
    assert!(buffer.is_empty(), "{} bytes of a whole frame are left", buffer.len());
}
