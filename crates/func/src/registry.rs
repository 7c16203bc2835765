//! Names to functions. Filled once at start; looked up by the binder.

use crate::agg::{AggFn, BoundAgg};
use crate::call::{ArgInfo, BindContext, BoundCall, ScalarFn};
use crate::nulls::bind_with_nulls;
use hydron_base::{Code, Error, Result};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

/// A registered name, for `system.functions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName {
    pub name: Arc<str>,
    pub is_aggregate: bool,
    pub case_insensitive: bool,
    pub alias_to: Option<Arc<str>>,
}

#[derive(Default)]
pub struct Registry {
    scalars: HashMap<Arc<str>, Arc<dyn ScalarFn>>,
    aggregates: HashMap<Arc<str>, Arc<dyn AggFn>>,
    /// Lower-case spelling to registered name, for names whose case does not matter.
    folded: HashMap<String, Arc<str>>,
    aliases: HashMap<Arc<str>, Arc<str>>,
    /// Names that the binder knows by itself.
    syntax: HashSet<Arc<str>>,
}

impl Registry {
    /// All built-in functions.
    pub fn builtin() -> &'static Registry {
        static BUILTIN: LazyLock<Registry> = LazyLock::new(|| {
            let mut registry = Registry::default();
            crate::scalar::register(&mut registry);
            crate::aggregate::register(&mut registry);
            registry
        });
        &BUILTIN
    }

    pub fn add_scalar(&mut self, name: &str, function: impl ScalarFn + 'static) {
        self.scalars.insert(Arc::from(name), Arc::new(function));
    }

    pub fn add_aggregate(&mut self, name: &str, function: impl AggFn + 'static) {
        self.aggregates.insert(Arc::from(name), Arc::new(function));
    }

    /// Makes `alias` another name of `name`.
    pub fn add_alias(&mut self, alias: &str, name: &str) {
        self.aliases.insert(Arc::from(alias), Arc::from(name));
    }

    /// Makes the case of `name` not matter.
    pub fn fold_case(&mut self, name: &str) {
        self.folded.insert(name.to_ascii_lowercase(), Arc::from(name));
    }

    /// Notes a name that the binder knows without a function behind it, so that it is listed and its case does not matter.
    pub fn add_syntax(&mut self, name: &str) {
        self.syntax.insert(Arc::from(name));
    }

    /// The registered name behind a spelling: itself, the target of an alias, or the name of another case. As in Proton, the case
    /// of no name matters; a name that is registered in this very case goes first.
    pub fn canonical<'a>(&'a self, name: &'a str) -> Cow<'a, str> {
        if let Some(known) = self.exact(name) {
            return Cow::Borrowed(known);
        }
        let lower = name.to_ascii_lowercase();
        if let Some(folded) = self.folded.get(&lower) {
            return Cow::Borrowed(self.aliases.get(folded).unwrap_or(folded));
        }
        if lower == name {
            return Cow::Borrowed(name);
        }
        match self.exact(&lower) {
            Some(known) => Cow::Owned(known.to_owned()),
            None if crate::aggregate::combined(self, &lower).is_some() => Cow::Owned(lower),
            None => Cow::Borrowed(name),
        }
    }

    fn exact<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.scalars.contains_key(name) || self.aggregates.contains_key(name) || self.syntax.contains(name) {
            return Some(name);
        }
        self.aliases.get(name).map(|target| &**target)
    }

    pub fn scalar(&self, name: &str) -> Option<&Arc<dyn ScalarFn>> {
        self.scalars.get(&*self.canonical(name))
    }

    /// Binds a call of the scalar function `name`; NULL and `low_cardinality` are taken care of.
    ///
    /// Errors: UNKNOWN_FUNCTION (46) with the nearest names as hint, and what the function itself answers.
    pub fn bind_scalar(&self, name: &str, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundCall> {
        let function = self.scalar(name).ok_or_else(|| self.unknown_function(name))?;
        bind_with_nulls(function.as_ref(), cx, args)
    }

    /// The error for a name that is no function.
    pub fn unknown_function(&self, name: &str) -> Error {
        let error = Error::new(Code::UNKNOWN_FUNCTION, format!("unknown function \"{name}\""));
        let near = self.near_names(name);
        if near.is_empty() { error } else { error.hint(near.join(", ")) }
    }

    /// Up to three names that are a slip of the keyboard away from `name`, the nearest first.
    fn near_names(&self, name: &str) -> Vec<String> {
        // One slip for every three letters: `sumIf` finds `sum_if`, but `foo` does not find `pow`.
        let slips_max = (name.chars().count() / 3).min(3);
        let lower = name.to_ascii_lowercase();
        let all = self.scalars.keys().chain(self.aggregates.keys()).chain(self.aliases.keys());
        let mut near: Vec<(usize, &Arc<str>)> = all
            .filter(|n| n.len().abs_diff(name.len()) <= slips_max && !n.starts_with("__"))
            .map(|n| (slips(&lower, &n.to_ascii_lowercase()), n))
            .filter(|(d, _)| *d <= slips_max)
            .collect();
        near.sort();
        near.dedup();
        near.iter().take(3).map(|(_, n)| n.to_string()).collect()
    }

    /// An aggregate by its full name, combinators (`_if`, `_distinct`, …) included: see [`crate::aggregate`].
    pub fn aggregate(&self, name: &str) -> Option<Arc<dyn AggFn>> {
        let name = self.canonical(name);
        self.aggregates.get(&*name).cloned().or_else(|| crate::aggregate::combined(self, &name))
    }

    /// Binds a call of the aggregate `name`: constant trailing arguments that are parameters are split off, NULL and
    /// `low_cardinality` are taken care of, `distinct` is the `_distinct` form (`unique_exact` for `count`).
    ///
    /// Errors: UNKNOWN_FUNCTION (46) with the nearest names as hint, FUNCTION_NOT_ALLOWED (446) for the internal names of
    /// changelog queries, PARAMETERS_TO_AGGREGATE_FUNCTIONS_MUST_BE_LITERALS (134), and what the function itself answers.
    pub fn bind_aggregate(&self, name: &str, cx: &BindContext, args: &[ArgInfo], distinct: bool) -> Result<BoundAgg> {
        let name = match &*self.canonical(name) {
            "count" if distinct && !args.is_empty() => "unique_exact".to_owned(),
            "count_distinct" => "unique_exact".to_owned(),
            canonical if distinct => format!("{canonical}_distinct"),
            canonical => canonical.to_owned(),
        };
        let Some(function) = self.aggregate(&name) else {
            let internal = name.strip_suffix("_retract").map(|n| n.trim_start_matches("__"));
            if internal.is_some_and(|n| self.aggregate(n).is_some()) {
                let text = format!("function \"{name}\" is chosen by changelog queries and cannot be called");
                return Err(Error::new(Code::FUNCTION_NOT_ALLOWED, text));
            }
            return Err(self.unknown_function(&name));
        };
        let positions = function.param_positions_of(args);
        let literal = |arg: &ArgInfo| {
            arg.constant.clone().ok_or_else(|| {
                Error::new(
                    Code::PARAMETERS_TO_AGGREGATE_FUNCTIONS_MUST_BE_LITERALS,
                    format!("parameter \"{}\" of aggregate function \"{name}\" must be constant", arg.text),
                )
            })
        };
        let params = args[positions.clone()].iter().map(literal).collect::<Result<Vec<_>>>()?;
        let args: Vec<ArgInfo> = [&args[..positions.start], &args[positions.end..]].concat();
        crate::aggregate::bind_with_nulls(function.as_ref(), cx, &args, &params)
    }

    /// Binds the aggregate of a type of states: its name may have parameters, as in `quantile(0.9)`.
    ///
    /// Errors: UNKNOWN_FUNCTION (46), and what the function itself answers.
    pub fn bind_aggregate_of_state(&self, name: &str, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundAgg> {
        let (name, params) = crate::aggregate::name_and_params(name)?;
        let function = self.aggregate(name).ok_or_else(|| self.unknown_function(name))?;
        crate::aggregate::bind_with_nulls(function.as_ref(), cx, args, &params)
    }

    /// `count(DISTINCT x, …)` in the form that can take rows back: it knows how often each value is there, where `unique_exact`
    /// only knows that it is.
    pub fn bind_retracting_count_distinct(&self, cx: &BindContext, args: &[ArgInfo]) -> Result<BoundAgg> {
        let function = self.aggregate("count_distinct").ok_or_else(|| self.unknown_function("count_distinct"))?;
        crate::aggregate::bind_with_nulls(function.as_ref(), cx, args, &[])
    }

    /// Every registered name in order.
    pub fn names(&self) -> Vec<FunctionName> {
        let folds = |n: &str| self.folded.contains_key(&n.to_ascii_lowercase());
        let entry = |name: &Arc<str>, is_aggregate, alias_to| FunctionName {
            name: Arc::clone(name),
            is_aggregate,
            case_insensitive: folds(name),
            alias_to,
        };
        let mut names: Vec<FunctionName> = self.scalars.keys().map(|n| entry(n, false, None)).collect();
        names.extend(self.syntax.iter().map(|n| entry(n, false, None)));
        names.extend(self.aggregates.keys().map(|n| entry(n, true, None)));
        let aliases = self.aliases.iter().map(|(a, n)| entry(a, self.aggregates.contains_key(n), Some(Arc::clone(n))));
        names.extend(aliases);
        names.sort_by(|a, b| a.name.cmp(&b.name));
        names
    }
}

/// Insertions, deletions and replacements that turn `a` into `b`.
fn slips(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let kept = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = kept.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
