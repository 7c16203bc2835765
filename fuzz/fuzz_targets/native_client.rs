//! What a client may send, before and after its login, cut where the second byte says.

#![no_main]

use hydron_wire::clickhouse::decoder::ClientDecoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [trusted, step, bytes @ ..] = input else { return };
    let mut decoder = ClientDecoder::default();
    for piece in bytes.chunks(usize::from(*step) + 1) {
        decoder.buffer.extend_from_slice(piece);
        loop {
            match decoder.next_packet() {
                Ok(Some(_)) if trusted & 1 == 1 => decoder.trust(),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
