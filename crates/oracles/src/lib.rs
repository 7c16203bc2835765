//! What must hold for any bytes from outside: one function for each decoder.
//!
//! In: bytes, of which the first say how the rest is fed. Out: nothing, or a panic that names the promise that is broken. The
//! fuzzers of `fuzz/` call them with what they invent, the tests of this crate with every seed of `fuzz/corpus`.
//!
//! Whatever a decoder takes it must take at any cut, and what comes out must be a value that can be written again.

mod disk;
mod files;
mod native;
mod rows;
mod seeds;
mod text;

pub use seeds::seeds;

use std::sync::Once;

/// A decoder: its name, which is the directory of its seeds, and its oracle.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("native_block", native::block),
    ("native_client", native::client),
    ("native_server", native::server),
    ("native_frame", native::frame),
    ("http_body", rows::body),
    ("rows", rows::rows),
    ("sql", text::sql),
    ("sql_print", text::sql_print),
    ("type_name", text::type_name),
    ("arrow", files::arrow),
    ("parquet", files::parquet),
    ("avro", files::avro),
    ("protobuf", files::protobuf),
    ("framed", files::framed),
    ("format_schema", files::format_schema),
    ("sample", files::sample),
    ("log_segment", disk::log_segment),
    ("part", disk::part),
    ("catalog", disk::catalog),
];

/// The fuzzers end a process at any panic. One of a crate that is not ours may be caught by who called it, and is a finding only
/// where it leaves the oracle.
fn let_others_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_foreign = panic.location().is_some_and(|l| l.file().contains("/registry/src/"));
            if !is_foreign {
                before(panic);
            }
        }));
    });
}

/// Runs the oracle of `target`. Panics when a promise is broken, or when there is no such target.
pub fn check(target: &str, input: &[u8]) {
    let_others_panic();
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.unwrap_or_else(|| panic!("there is no target '{target}'")).1(input);
}
