//! Writes the seeds that this crate makes itself: `cargo run -p hydron-oracles --example seeds` beside `fuzz/record.py`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let package = std::env::var("CARGO_MANIFEST_DIR").map_err(std::io::Error::other)?;
    let corpus = Path::new(&package).join("../../fuzz/corpus");
    for (target, name, bytes) in hydron_oracles::seeds() {
        let directory = corpus.join(target);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join(name), bytes)?;
    }
    Ok(())
}
