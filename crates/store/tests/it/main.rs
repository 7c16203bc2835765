//! The store on a real disk, and a server that is killed while it writes.

mod kill;
mod os_disk;
