//! Who may do what: the rules of access control, without a disk, a clock or a protocol.
//!
//! In: users, roles, grants, policies, quotas as values. Out: decisions. Promise: nothing here waits or looks anything up.
//!
//! In reading order: [`privilege`] (what may be granted), [`rights`] (on which things), [`password`], [`network`] and
//! [`hosts`] (who may come in), [`entity`] (what is known of each), [`directory`] (all of them), [`constraint`] (bounds of
//! settings), [`usage`] (quotas), [`keeper`] (the current state, shared).

pub mod constraint;
pub mod directory;
pub mod entity;
pub mod hosts;
pub mod keeper;
pub mod network;
pub mod password;
pub mod privilege;
pub mod rights;
pub mod usage;

pub use constraint::Constraints;
pub use directory::Directory;
pub use entity::{Entity, Kind, What};
pub use keeper::{Access, Enabled};
pub use privilege::{Level, Privilege, Privileges};
pub use rights::{Object, Rights};
