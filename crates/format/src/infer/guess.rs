//! What values could be: a guess that narrows with each value of a column.
//!
//! In: values. Out: the type that holds all of them. Promise: joining does not depend on the order of values, but for the order of
//! members of objects.

use super::literal;
use hydron_base::Settings;
use hydron_types::LogicalType;
use serde_json::Value as Json;
use std::sync::Arc;

/// How far a guess goes.
#[derive(Clone, Debug)]
pub struct InferOptions {
    pub nullable: bool,
    pub integers: bool,
    pub dates: bool,
    pub times: bool,
    pub numbers_from_strings: bool,
    pub named_tuples: bool,
    /// Names of columns, where the input has none.
    pub names: Vec<String>,
}

impl InferOptions {
    pub fn from_settings(settings: &Settings) -> InferOptions {
        let names = settings.text("column_names_for_schema_inference").split(',').map(str::trim);
        InferOptions {
            nullable: settings.bool("schema_inference_make_columns_nullable"),
            integers: settings.bool("input_format_try_infer_integers"),
            dates: settings.bool("input_format_try_infer_dates"),
            times: settings.bool("input_format_try_infer_datetimes"),
            numbers_from_strings: settings.bool("input_format_json_try_infer_numbers_from_strings"),
            named_tuples: settings.bool("input_format_json_try_infer_named_tuples_from_objects"),
            names: names.filter(|n| !n.is_empty()).map(str::to_string).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Bool,
    Int,
    /// Beyond int64.
    UInt,
    Float,
    Date,
    Time,
    /// A time with a fraction, or one that 32 bits do not hold.
    FineTime,
    Text,
    List(Box<Guess>),
    Tuple(Vec<Guess>),
    Map(Box<Guess>),
    Object(Vec<(String, Guess)>),
}

/// What all values seen so far could be; without a kind there was none, or NULL alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guess {
    pub kind: Option<Kind>,
    pub has_null: bool,
}

impl Guess {
    pub fn null() -> Guess {
        Guess { kind: None, has_null: true }
    }

    pub fn of(kind: Kind) -> Guess {
        Guess { kind: Some(kind), has_null: false }
    }

    pub fn of_json(value: &Json, options: &InferOptions) -> Guess {
        Guess::of(match value {
            Json::Null => return Guess::null(),
            Json::Bool(_) => Kind::Bool,
            Json::Number(_) if !options.integers => Kind::Float,
            Json::Number(n) if n.is_i64() => Kind::Int,
            Json::Number(n) if n.is_u64() => Kind::UInt,
            Json::Number(_) => Kind::Float,
            Json::String(text) => {
                let number = literal::number(text, options).filter(|_| options.numbers_from_strings);
                number.or_else(|| literal::time(text, options)).unwrap_or(Kind::Text)
            }
            Json::Array(items) => list_of(items.iter().map(|i| Guess::of_json(i, options)).collect()),
            Json::Object(members) => {
                let member = |(name, value): (&String, &Json)| (name.clone(), Guess::of_json(value, options));
                Kind::Object(members.iter().map(member).collect())
            }
        })
    }

    /// A column holds both; what has nothing in common is text.
    pub fn join(&mut self, other: Guess) {
        self.has_null |= other.has_null;
        self.kind = match (self.kind.take(), other.kind) {
            (None, kind) | (kind, None) => kind,
            (Some(a), Some(b)) => Some(joined(a, b).unwrap_or(Kind::Text)),
        };
    }

    /// `None`: they have nothing in common.
    fn try_join(mut self, other: Guess) -> Option<Guess> {
        self.has_null |= other.has_null;
        self.kind = match (self.kind, other.kind) {
            (None, kind) | (kind, None) => kind,
            (Some(a), Some(b)) => Some(joined(a, b)?),
        };
        Some(self)
    }

    pub fn column_type(&self, options: &InferOptions) -> LogicalType {
        let ty = match &self.kind {
            None | Some(Kind::Text) => LogicalType::String,
            Some(Kind::Bool) => LogicalType::Bool,
            Some(Kind::Int) => LogicalType::Int64,
            Some(Kind::UInt) => LogicalType::UInt64,
            Some(Kind::Float) => LogicalType::Float64,
            Some(Kind::Date) => LogicalType::Date,
            Some(Kind::Time) => LogicalType::DateTime(None),
            Some(Kind::FineTime) => LogicalType::DateTime64(9, None),
            Some(Kind::List(item)) => return LogicalType::array(item.column_type(options)),
            Some(Kind::Tuple(items)) => {
                return LogicalType::Tuple(items.iter().map(|i| (None, i.column_type(options))).collect());
            }
            Some(Kind::Map(value)) => return map_of(value.column_type(options)),
            Some(Kind::Object(members)) => return object_type(members, options),
        };
        match options.nullable || self.has_null {
            true => LogicalType::nullable(ty),
            false => ty,
        }
    }
}

fn map_of(value: LogicalType) -> LogicalType {
    LogicalType::Map(Box::new(LogicalType::String), Box::new(value))
}

/// Members of one type are a map, others json.
fn object_type(members: &[(String, Guess)], options: &InferOptions) -> LogicalType {
    if options.named_tuples && !members.is_empty() {
        let element = |(name, guess): &(String, Guess)| (Some(Arc::from(name.as_str())), guess.column_type(options));
        return LogicalType::Tuple(members.iter().map(element).collect());
    }
    let all = members.iter().try_fold(Guess::default(), |all, (_, guess)| all.try_join(guess.clone()));
    match all {
        Some(value) => map_of(value.column_type(options)),
        None => LogicalType::Json,
    }
}

/// Items with something in common are a list, others a tuple.
pub fn list_of(items: Vec<Guess>) -> Kind {
    let all = items.iter().try_fold(Guess::default(), |all, item| all.try_join(item.clone()));
    match all {
        Some(item) => Kind::List(Box::new(item)),
        None => Kind::Tuple(items),
    }
}

fn joined(a: Kind, b: Kind) -> Option<Kind> {
    use Kind as K;
    Some(match (a, b) {
        (K::List(a), K::List(b)) => K::List(Box::new(a.try_join(*b)?)),
        (K::Map(a), K::Map(b)) => K::Map(Box::new(a.try_join(*b)?)),
        (K::Tuple(a), K::Tuple(b)) if a.len() == b.len() => {
            K::Tuple(a.into_iter().zip(b).map(|(a, b)| a.try_join(b)).collect::<Option<_>>()?)
        }
        (K::Object(mut a), K::Object(b)) => {
            for (name, guess) in b {
                match a.iter_mut().find(|(n, _)| *n == name) {
                    Some((_, known)) => known.join(guess),
                    None => a.push((name, guess)),
                }
            }
            K::Object(a)
        }
        (a, b) if a == b => a,
        // A number that is true or false elsewhere is 1 or 0 there.
        (K::Bool, n @ (K::Int | K::UInt | K::Float)) | (n @ (K::Int | K::UInt | K::Float), K::Bool) => n,
        (K::Int | K::UInt | K::Float, K::Int | K::UInt | K::Float) => K::Float,
        (K::Date | K::Time, K::Date | K::Time) => K::Time,
        (K::Date | K::Time | K::FineTime, K::Date | K::Time | K::FineTime) => K::FineTime,
        (K::Text, K::Date | K::Time | K::FineTime) | (K::Date | K::Time | K::FineTime, K::Text) => K::Text,
        _ => return None,
    })
}
