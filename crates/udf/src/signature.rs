//! The name of a function, its arguments and its result, and what a call must look like to fit.

use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_func::aggregate::combinator_names;
use hydron_func::{ArgInfo, Datum};
use hydron_types::{CastOptions, LogicalType, Zone, can_cast, cast};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub name: Arc<str>,
    pub args: Vec<(Arc<str>, LogicalType)>,
    pub returns: LogicalType,
}

impl Signature {
    /// Errors: UDF_INVALID_NAME (2532); NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42) without arguments; BAD_ARGUMENTS (36) for two of
    /// one name.
    pub fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        if self.args.is_empty() {
            let text = format!("function \"{}\" needs at least one argument", self.name);
            return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
        }
        let mut names: Vec<&str> = self.args.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => {
                let text = format!("function \"{}\" has two arguments of the name {}", self.name, pair[0]);
                Err(Error::bad_arguments(text))
            }
            None => Ok(()),
        }
    }

    /// Errors: NUMBER_OF_ARGUMENTS_DOESNT_MATCH (42).
    pub fn check_count(&self, given: usize) -> Result<()> {
        if given == self.args.len() {
            return Ok(());
        }
        let text = format!("function \"{}\" takes {} arguments, given {given}", self.name, self.args.len());
        Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text).hint(self.to_string()))
    }

    /// Errors: as `check_count`; ILLEGAL_TYPE_OF_ARGUMENT (43) unless each type is the declared one, time zones and names of
    /// elements aside.
    pub fn check_exact(&self, args: &[ArgInfo]) -> Result<()> {
        self.check_count(args.len())?;
        for (at, ((name, ty), arg)) in self.args.iter().zip(args).enumerate() {
            if !is_same(&arg.ty, ty) {
                let text = format!(
                    "argument {} ({name}) of aggregate function \"{}\" is declared as {ty}, given {}",
                    at + 1,
                    self.name,
                    arg.ty
                );
                let error = Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text);
                return Err(error.hint(format!("cast({name}, '{ty}')")));
            }
        }
        Ok(())
    }

    /// How arguments of these types become the declared ones.
    ///
    /// Errors: as `check_count`; ILLEGAL_TYPE_OF_ARGUMENT (43) for a type without a conversion.
    pub fn casts(&self, args: &[ArgInfo], zone: Zone) -> Result<Casts> {
        self.check_count(args.len())?;
        for (at, ((name, ty), arg)) in self.args.iter().zip(args).enumerate() {
            if arg.lambda_params.is_some() || !can_cast(&arg.ty, ty) {
                let text = format!("argument {} ({name}) of function \"{}\" must be {ty}", at + 1, self.name);
                return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, format!("{text}, given {}", arg.ty)));
            }
        }
        let steps = self.args.iter().zip(args).map(|((_, to), arg)| (arg.ty.clone(), to.clone())).collect();
        Ok(Casts { steps, options: CastOptions::wrap(zone) })
    }
}

/// `name(a type, …) -> type`
impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}(", self.name)?;
        for (at, (name, ty)) in self.args.iter().enumerate() {
            write!(f, "{}{name} {ty}", if at == 0 { "" } else { ", " })?;
        }
        write!(f, ") -> {}", self.returns)
    }
}

/// Whether values of two types are the same to code that knows neither zones nor names of elements.
fn is_same(a: &LogicalType, b: &LogicalType) -> bool {
    use LogicalType::*;
    match (a, b) {
        (DateTime(_), DateTime(_)) => true,
        (DateTime64(a, _), DateTime64(b, _)) => a == b,
        (Array(a), Array(b)) | (Nullable(a), Nullable(b)) => is_same(a, b),
        (LowCardinality(a), b) => is_same(a, b),
        (a, LowCardinality(b)) => is_same(a, b),
        (Tuple(a), Tuple(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|((_, a), (_, b))| is_same(a, b)),
        (a, b) => a == b,
    }
}

/// The conversions in front of a call.
pub struct Casts {
    steps: Vec<(LogicalType, LogicalType)>,
    options: CastOptions,
}

impl Casts {
    /// One array of `rows` values for each argument, of the declared type.
    pub fn arrays(&self, args: &[Datum], rows: usize) -> Result<Vec<ArrayRef>> {
        let one = |((from, to), arg): (&(LogicalType, LogicalType), &Datum)| {
            let array = arg.to_array(rows)?;
            if from == to { Ok(array) } else { cast(&array, from, to, &self.options) }
        };
        self.steps.iter().zip(args).map(one).collect()
    }
}

/// Errors: UDF_INVALID_NAME (2532).
fn check_name(name: &str) -> Result<()> {
    let invalid = |why: String| {
        let error = Error::new(Code::UDF_INVALID_NAME, format!("'{name}' cannot be the name of a function: {why}"));
        Err(error.hint("letters, digits and underscores"))
    };
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_word || name.starts_with(|c: char| c.is_ascii_digit()) {
        return invalid("it must be a word of letters, digits and underscores that begins with no digit".to_string());
    }
    if !name.chars().any(|c| c.is_ascii_alphabetic()) {
        return invalid("it has no letter".to_string());
    }
    let ending = combinator_names().find(|ending| name.strip_suffix(*ending).is_some_and(|rest| rest.ends_with('_')));
    match ending {
        Some(ending) => invalid(format!("_{ending} at the end changes what an aggregate function sees")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hydron_types::parse_type;

    #[test]
    fn zones_and_names_of_elements_make_no_other_type() {
        let same = |a: &str, b: &str| is_same(&parse_type(a).unwrap(), &parse_type(b).unwrap());
        assert!(
            same("datetime64(3)", "datetime64(3, 'UTC')") && same("tuple(a int8, b string)", "tuple(int8, string)")
        );
        assert!(same("array(datetime)", "array(datetime('UTC'))") && same("low_cardinality(string)", "string"));
        assert!(
            !same("datetime64(3)", "datetime64(6)") && !same("float32", "float64") && !same("int8", "nullable(int8)")
        );
    }

    #[test]
    fn names_are_words_without_the_ending_of_a_combinator() {
        for good in ["f", "_a1", "second_largest", "notif", "iff"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "1f", "f-g", "é", "__", "_1", "my_if", "x_distinct", "y_state", "z_or_null"] {
            assert_eq!(check_name(bad).unwrap_err().code, Code::UDF_INVALID_NAME, "{bad}");
        }
    }
}
