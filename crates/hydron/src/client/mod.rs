//! `hydron client` and `hydron local`: one front end over two backends.
//!
//! In reading order: [`args`] (flags), [`backend`] (what runs a statement), [`native`] over a [`connection`] with [`tls`], and [`http`]
//! (a server), [`embedded`] (an engine in this process), [`batch`] (statements from flags, files and pipes) with [`infile`] (rows
//! in files) and [`testmode`] (what scripts of test suites expect), [`repl`] (statements from a person) with [`editor`] (lines being typed) and [`screen`] (answer and progress),
//! [`interrupt`] (Ctrl-C).

pub mod args;
mod backend;
mod batch;
pub mod connection;
mod editor;
mod embedded;
mod http;
mod https;
mod infile;
pub mod interrupt;
mod native;
mod repl;
mod screen;
mod testmode;
pub mod tls;

pub use args::{ClientArgs, LocalArgs};

use backend::Backend;
use hydron_base::Result;
use std::io::IsTerminal;

/// Runs against a server.
pub fn client(args: ClientArgs) -> Result<i32> {
    match args.http {
        true => run(&mut http::HttpBackend::new(&args)?, &args.common),
        false => run(&mut native::NativeBackend::new(&args)?, &args.common),
    }
}

/// Runs in this process, without a server.
pub fn local(args: LocalArgs) -> Result<i32> {
    let mut backend = embedded::EmbeddedBackend::open(&args)?;
    let code = run(&mut backend, &args.common);
    backend.close();
    code
}

fn run(backend: &mut dyn Backend, args: &args::CommonArgs) -> Result<i32> {
    interrupt::install();
    for (name, value) in &args.settings {
        backend.set(name, value)?;
    }
    if args.is_interactive() && std::io::stdin().is_terminal() {
        return repl::run(backend, args);
    }
    batch::run(backend, args)
}
