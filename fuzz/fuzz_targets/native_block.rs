//! Any bytes, cut where their first byte says, must give blocks or an error; blocks that come out can be written again and
//! read back.

#![no_main]

use hydron_format::native::{BlockDecoder, NativeOptions, write_block};
use libfuzzer_sys::fuzz_target;

const REVISIONS: [u64; 4] = [0, 54_400, 54_453, 54_459];

fuzz_target!(|input: &[u8]| {
    let [mode, step, bytes @ ..] = input else { return };
    let options = NativeOptions { revision: REVISIONS[usize::from(*mode) % 4], ..NativeOptions::default() };
    let mut decoder = BlockDecoder::new(options);
    for mut piece in bytes.chunks(usize::from(*step) + 1) {
        while !piece.is_empty() {
            let Ok(block) = decoder.feed(&mut piece) else { return };
            let Some(block) = block else { break };
            let mut written = Vec::new();
            if write_block(&block, &options, &mut written).is_ok() {
                let mut again = BlockDecoder::new(options);
                let back = again.feed(&mut written.as_slice()).expect("what was written can be read");
                assert_eq!(back.expect("a whole block").rows(), block.rows());
            }
        }
    }
});
