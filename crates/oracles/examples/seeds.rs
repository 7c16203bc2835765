//! Writes the seeds that this crate makes itself: `cargo run -p hydron-oracles --example seeds` beside `fuzz/record.py`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(std::env::var("CARGO_MANIFEST_DIR").expect("run by cargo")).join("../../fuzz/corpus");
    for (target, name, bytes) in hydron_oracles::seeds() {
        let directory = corpus.join(target);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(name), bytes)?;
    }
    Ok(())
}
