//! Crashes a server in every known way, again and again, and measures what its clients see.
//!
//! In reading order: the faults ([`fault`]); the server under test ([`server`], [`process`]); what an answer means
//! ([`http`], [`native`], [`protocol`], [`answer`], [`client`]); the bystanders ([`idle`], [`flights`], [`visitors`], [`writers`] with their
//! [`ledger`]); one cycle ([`cycle`], [`strike`], [`witness`]) and its line ([`record`],
//! [`report`], [`judge`]); all cycles ([`run`]); figures and gates
//! ([`figures`], [`summary`]).
//!
//! It speaks to the server as any client does and looks at it from outside. Nothing of the server is linked in.

pub mod answer;
pub mod client;
pub mod cycle;
pub mod fault;
pub mod figures;
pub mod flights;
pub mod http;
pub mod idle;
pub mod judge;
pub mod ledger;
pub mod native;
pub mod process;
pub mod protocol;
pub mod random;
pub mod record;
pub mod report;
pub mod run;
pub mod server;
pub mod strike;
pub mod summary;
pub mod visitors;
pub mod witness;
pub mod writers;
