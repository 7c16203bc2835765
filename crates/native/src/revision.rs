//! Revisions of the protocol: a number that each side tells; both speak the lower one.
//!
//! Source: the table of revisions that ClickHouse and its drivers share.

/// What this server speaks, Proton 1.6.1's.
pub const REVISION: u64 = 54_459;

/// The version of Proton that stands behind the revision: drivers compare it, people see `version()`.
pub const VERSION: [u64; 3] = [1, 6, 1];

/// What older clients than this say cannot be understood: their queries have no description of the client.
pub const REVISION_MIN: u64 = WITH_CLIENT_INFO;

pub const WITH_CLIENT_INFO: u64 = 54_032;
pub const WITH_ZONE: u64 = 54_058;
pub const WITH_QUOTA_KEY: u64 = 54_060;
pub const WITH_DISPLAY_NAME: u64 = 54_372;
pub const WITH_VERSION_PATCH: u64 = 54_401;
pub const WITH_TABLE_COLUMNS: u64 = 54_410;
pub const WITH_WRITE_PROGRESS: u64 = 54_420;
pub const WITH_SETTINGS_AS_STRINGS: u64 = 54_429;
pub const WITH_SECRET: u64 = 54_441;
pub const WITH_TRACING: u64 = 54_442;
pub const WITH_FORWARDED_FOR: u64 = 54_443;
pub const WITH_REFERER: u64 = 54_447;
pub const WITH_DEPTH: u64 = 54_448;
pub const WITH_START_TIME: u64 = 54_449;
pub const WITH_PARALLEL_REPLICAS: u64 = 54_453;
pub const WITH_PROFILE_EVENTS_IN_INSERT: u64 = 54_456;
pub const WITH_ADDENDUM: u64 = 54_458;
pub const WITH_PARAMETERS: u64 = 54_459;
