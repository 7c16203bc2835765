//! Scalar functions: bound once for the types of a call, then evaluated batch by batch.
//!
//! In: argument types and constants (bind), argument arrays (eval). Out: a result type, a result array. Promise: binding
//! decides every type; a kernel never converts its arguments on its own and never looks at Arrow metadata.

use arrow::array::{Array, ArrayRef};
use hydron_base::world::{Stop, WallTime};
use hydron_base::{Budget, Error, Result, Settings};
use hydron_types::{LogicalType, Value, Zone, gather};
use std::sync::Arc;

/// What is known of one argument when a call is bound.
#[derive(Clone, Debug)]
pub struct ArgInfo {
    pub ty: LogicalType,
    /// The value, when it is the same for every row and known now.
    pub constant: Option<Value>,
    /// Set for a lambda: how many parameters it has. `ty` is then the type of its result.
    pub lambda_params: Option<usize>,
    /// The argument as the user wrote it, for error messages.
    pub text: Arc<str>,
}

impl ArgInfo {
    pub fn column(ty: LogicalType) -> ArgInfo {
        ArgInfo { ty, constant: None, lambda_params: None, text: Arc::from("") }
    }

    pub fn constant(ty: LogicalType, value: Value) -> ArgInfo {
        ArgInfo { ty, constant: Some(value), lambda_params: None, text: Arc::from("") }
    }
}

/// What binding may depend on beside the arguments.
#[derive(Clone, Debug)]
pub struct BindContext {
    /// The zone of `datetime` without a zone of its own.
    pub zone: Zone,
    pub settings: Arc<Settings>,
    pub database: Arc<str>,
    pub user: Arc<str>,
    /// True in a streaming query: `now()` is then evaluated for each batch.
    pub streaming: bool,
    /// Whether `trap` may be called.
    pub traps: bool,
    /// Whether the query was ended: for calls of code that is not ours.
    pub stop: Stop,
    /// What the query may hold: for code that is not ours too.
    pub memory: Arc<Budget>,
    pub identity: Arc<Identity>,
    /// The server that the query runs in; `None` where there is none, as in a test.
    pub server: Option<Arc<dyn ServerFacts>>,
}

/// Names of what a user has been given, for the functions that ask.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub current_roles: Vec<String>,
    pub enabled_roles: Vec<String>,
    pub default_roles: Vec<String>,
    pub current_profiles: Vec<String>,
    pub enabled_profiles: Vec<String>,
    pub default_profiles: Vec<String>,
}

/// What functions may ask about the server and the query they run in.
pub trait ServerFacts: Send + Sync + std::fmt::Debug {
    /// The id of the query; empty for an expression that stands in no query.
    fn query_id(&self) -> &str;

    fn server_uuid(&self) -> [u8; 16];

    /// A value that the client has sent with the query, and named.
    fn scalar(&self, name: &str) -> Option<(LogicalType, Value)> {
        let _ = name;
        None
    }

    /// Seconds since the server started.
    fn uptime_seconds(&self) -> u32;

    /// The number of a port by the name it has in the configuration: `tcp_port`, `http_port`, `rest_port`.
    fn port(&self, name: &str) -> Option<u16>;

    /// Bytes of the disk that the data is on: all, free, and free for the server.
    fn disk_space(&self) -> Result<[u64; 3]>;

    /// The bytes of a file under the directory that `file('…')` reads.
    ///
    /// Errors: DATABASE_ACCESS_DENIED (291) outside of it, FILE_DOESNT_EXIST (107).
    fn user_file(&self, path: &str) -> Result<Vec<u8>>;

    /// Whether a stream has a column. Errors: UNKNOWN_DATABASE (81), UNKNOWN_STREAM (60).
    fn has_column(&self, database: &str, stream: &str, column: &str) -> Result<bool>;

    /// Rows of these columns as a format writes them, one text for each, without what stands before and behind all rows.
    ///
    /// Errors: UNKNOWN_FORMAT (73), BAD_ARGUMENTS (36) for a format that does not write row by row.
    fn format_rows(
        &self,
        format: &str,
        fields: &[(Arc<str>, LogicalType)],
        columns: &[ArrayRef],
        rows: usize,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<()>;
}

impl Default for BindContext {
    fn default() -> Self {
        BindContext {
            zone: Zone::UTC,
            settings: Arc::default(),
            database: Arc::from("default"),
            user: Arc::from("default"),
            streaming: false,
            traps: false,
            server: None,
            identity: Arc::default(),
            stop: Stop::default(),
            memory: Budget::alone(0),
        }
    }
}

/// What evaluation may depend on beside the arguments. Time comes in here, never from the machine's clock.
#[derive(Clone, Debug)]
pub struct EvalContext {
    /// Start of the query; in a streaming query, of the batch.
    pub now: WallTime,
    pub zone: Zone,
    /// Source of `rand()` and its like; a kernel derives its own stream from it, the batch number and the row.
    pub seed: u64,
    pub batch: u64,
}

impl EvalContext {
    pub fn at(now: WallTime) -> EvalContext {
        EvalContext { now, zone: Zone::UTC, seed: 0, batch: 0 }
    }
}

/// When two evaluations give the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    /// Always: a call with constant arguments is folded.
    Immutable,
    /// Within one batch, given its rows: `now()` in a stream, `block_size()`.
    Stable,
    /// Never: `rand()`. Not folded, not deduplicated.
    Volatile,
    /// Depends on the rows before: `lag`, `row_number`.
    Stateful,
}

/// How the registry treats NULL before a kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullRule {
    /// The usual rule: a NULL in any argument makes the result NULL. `bind` sees the bare types; the kernel sees the bare
    /// values (with defaults or anything under a NULL) and must not fail on the values that stand under a NULL.
    Propagate,
    /// The function sees nullable types and arrays as they are.
    Custom,
    /// The same, and `low_cardinality` too: for a function that asks for the type itself.
    Whole,
}

/// An argument at evaluation.
#[derive(Clone, Debug)]
pub enum Datum {
    /// One value for each row.
    Array(ArrayRef),
    /// The same value for every row; the array has length 1.
    Scalar(ArrayRef),
    Lambda(Arc<dyn LambdaEval>),
}

impl Datum {
    /// One value for each of `rows` rows.
    pub fn to_array(&self, rows: usize) -> Result<ArrayRef> {
        match self {
            Datum::Array(a) => Ok(Arc::clone(a)),
            Datum::Scalar(a) if rows == 1 => Ok(Arc::clone(a)),
            Datum::Scalar(a) => gather::repeat(a, rows),
            Datum::Lambda(_) => Err(Error::bug("a lambda was used as a value")),
        }
    }

    /// The array as it is: `rows` values, or one for a scalar.
    pub fn array(&self) -> Result<&ArrayRef> {
        match self {
            Datum::Array(a) | Datum::Scalar(a) => Ok(a),
            Datum::Lambda(_) => Err(Error::bug("a lambda was used as a value")),
        }
    }

    pub fn is_scalar(&self) -> bool {
        matches!(self, Datum::Scalar(_))
    }
}

/// A lambda argument, evaluated by the function it is given to.
pub trait LambdaEval: Send + Sync + std::fmt::Debug {
    /// Evaluates the body on `rows` rows. `params` has one array of `rows` values for each parameter; `origin[i]` is the
    /// row of the outer batch that row `i` came from, so that captured columns follow.
    fn call(&self, cx: &EvalContext, params: &[ArrayRef], origin: &[u32], rows: usize) -> Result<ArrayRef>;
}

/// A function bound to the types of one call.
pub trait Kernel: Send + Sync {
    /// Evaluates `rows` rows. A result that is the same for every row may be a `Scalar`.
    fn eval(&self, cx: &EvalContext, args: &[Datum], rows: usize) -> Result<Datum>;
}

/// Any closure of the right shape is a kernel.
impl<F> Kernel for F
where
    F: Fn(&EvalContext, &[Datum], usize) -> Result<Datum> + Send + Sync,
{
    fn eval(&self, cx: &EvalContext, args: &[Datum], rows: usize) -> Result<Datum> {
        self(cx, args, rows)
    }
}

/// What binding a call returns.
#[derive(Clone)]
pub struct BoundCall {
    pub ty: LogicalType,
    pub kernel: Arc<dyn Kernel>,
    pub volatility: Volatility,
}

impl BoundCall {
    pub fn new<F>(ty: LogicalType, kernel: F) -> BoundCall
    where
        F: Fn(&EvalContext, &[Datum], usize) -> Result<Datum> + Send + Sync + 'static,
    {
        BoundCall { ty, kernel: Arc::new(kernel), volatility: Volatility::Immutable }
    }

    pub fn volatility(mut self, volatility: Volatility) -> BoundCall {
        self.volatility = volatility;
        self
    }
}

/// A function SQL can call on values of one row.
pub trait ScalarFn: Send + Sync {
    /// Decides result type and kernel for a call with these arguments.
    ///
    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42), ILLEGAL_TYPE_OF_ARGUMENT (43), ILLEGAL_COLUMN (44) and what the
    /// function itself promises.
    fn bind(&self, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall>;

    fn null_rule(&self) -> NullRule {
        NullRule::Propagate
    }

    /// Whether the result is `low_cardinality` where the only column among the arguments is.
    fn keeps_low_cardinality(&self) -> bool {
        self.null_rule() == NullRule::Propagate
    }

    /// For a function that takes lambdas: the parameter types of the lambda at `position`, given the types of the
    /// arguments that are not lambdas (in their positions; `None` at lambdas).
    fn lambda_params(&self, position: usize, args: &[Option<LogicalType>]) -> Result<Vec<LogicalType>> {
        let _ = args;
        Err(Error::new(
            hydron_base::Code::ILLEGAL_TYPE_OF_ARGUMENT,
            format!("argument {} cannot be a lambda", position + 1),
        ))
    }
}

/// An error of an Arrow kernel as ours.
pub fn arrow_error(e: arrow::error::ArrowError) -> Error {
    use arrow::error::ArrowError;
    use hydron_base::Code;
    match e {
        ArrowError::DivideByZero => Error::new(Code::ILLEGAL_DIVISION, "division by zero"),
        ArrowError::ArithmeticOverflow(m) => Error::new(Code::DECIMAL_OVERFLOW, m),
        ArrowError::OffsetOverflowError(n) => {
            Error::new(Code::TOO_LARGE_STRING_SIZE, format!("a batch would hold {n} bytes or elements in one column"))
        }
        ArrowError::MemoryError(m) => Error::new(Code::CANNOT_ALLOCATE_MEMORY, m),
        other => Error::bug(format!("columnar kernel: {other}")),
    }
}

/// The values of `datum` as an array of type `A`. A mismatch is a bug of the binder, not of the user.
pub fn downcast<A: Array + 'static>(array: &ArrayRef) -> Result<&A> {
    array.as_any().downcast_ref::<A>().ok_or_else(|| {
        Error::bug(format!("expected {}, got an array of {}", std::any::type_name::<A>(), array.data_type()))
    })
}
