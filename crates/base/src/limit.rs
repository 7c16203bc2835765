//! Named limits: nothing that grows is without one. Each says why it has its size.

/// Rows in one batch on its way through the engine: large enough that a hop costs nothing per row, small enough that
/// eight of them on an edge stay below 64 MiB for ordinary rows.
pub const BATCH_ROWS_MAX: usize = 65_409;

/// Batches waiting on one edge of a running query. Past that the source waits; a longer queue only hides a slow sink.
pub const EDGE_BATCHES_MAX: usize = 8;

/// Depth of an expression or of nested queries that the parser accepts (ClickHouse's `max_parser_depth`).
pub const PARSER_DEPTH_MAX: usize = 1_000;

/// Nodes of one statement (ClickHouse's `max_expanded_ast_elements`).
pub const AST_NODES_MAX: usize = 500_000;

/// Bytes of one query text (ClickHouse's `max_query_size` is for the parsed part only; INSERT data is not counted).
pub const QUERY_BYTES_MAX: usize = 16 << 20;

/// Bytes of one log record after encoding (Proton's limit, TOO_LARGE_RECORD 2514).
pub const RECORD_BYTES_MAX: usize = 10 << 20;

/// Bytes of footers of parts that a process keeps read.
pub const PART_FOOTERS_BYTES_MAX: usize = 64 << 20;
