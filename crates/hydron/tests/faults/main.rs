//! What clients and operators see of a server that faults, stops or is signalled: the binary as a user starts it.
//!
//! In reading order: [`cycles`] (crashes under load), [`resume`], [`panics`], [`disk`], [`hang`], [`quarantine`], [`stop`],
//! [`signals`], [`service`], [`access`].
//! The tests run one after the other: each of them measures time.

mod access;
mod cycles;
mod disk;
mod hang;
mod panics;
mod quarantine;
mod resume;
mod service;
mod signals;
mod stop;

use hydron_crashbench::server::{Abilities, Server};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// The server under test.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_hydron"))
}

/// A directory, and the word that no other test of this binary runs meanwhile.
struct Alone {
    dir: TempDir,
    _turn: MutexGuard<'static, ()>,
}

fn alone() -> Alone {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Alone { dir: tempfile::tempdir().unwrap(), _turn: turn }
}

impl Alone {
    fn start(&self, flags: &[&str]) -> Server {
        let flags: Vec<String> = flags.iter().map(|f| f.to_string()).collect();
        Server::start(binary(), self.dir.path(), &flags).unwrap()
    }

    /// Traps are allowed, and no crash has consequences.
    fn start_to_crash(&self) -> Server {
        Server::start(binary(), self.dir.path(), &Abilities { trap: true }.flags()).unwrap()
    }

    /// What the server has printed to its error output.
    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr.log")).unwrap()
    }
}
