//! `stochastic_linear_regression` and `stochastic_logistic_regression`: a model fitted by steps along its gradient.
//!
//! In: learning rate, regularization, rows a step, method; then the target and the features. Out: a weight for each feature, then the
//! bias; a state answers `eval_ml_method` with predictions. Promise: rows of one state count in their order; merged models are the
//! mean of both, weighted by the steps each one took.

use super::bytes::{Reader, put_f64, put_u64};
use super::define::{AggCall, Traits, define_as};
use super::fold::{Fold, Picked, folded};
use super::kept::column;
use super::sum::floats;
use crate::agg::BoundAgg;
use crate::registry::Registry;
use arrow::array::ArrayRef;
use hydron_base::{Code, Error, Result};
use hydron_types::{LogicalType, Value};

/// How much of the last step goes into the next one.
const MOMENTUM: f64 = 0.1;
const NESTEROV: f64 = 0.9;
/// Adam: how slowly the means of the gradient and of its square change, and what keeps their quotient finite.
const ADAM_MEAN: f64 = 0.9;
const ADAM_SQUARE: f64 = 0.999;
const ADAM_EPSILON: f64 = 0.000_001;

/// What is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    Linear,
    Logistic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Sgd,
    Momentum,
    Nesterov,
    Adam,
}

pub fn register(registry: &mut Registry) {
    let traits = Traits { params_first: Some(4), sees_nulls: false, ..Traits::default() };
    for (name, model) in
        [("stochastic_linear_regression", Model::Linear), ("stochastic_logistic_regression", Model::Logistic)]
    {
        define_as(registry, name, traits, move |call| bind(call, model));
    }
}

/// The model behind the name of a function.
pub fn model_of(name: &str) -> Option<Model> {
    match name {
        "stochastic_linear_regression" => Some(Model::Linear),
        "stochastic_logistic_regression" => Some(Model::Logistic),
        _ => None,
    }
}

fn bind(call: &AggCall<'_>, model: Model) -> Result<BoundAgg> {
    let [rate, penalty, batch, method] = call.params else {
        let text = format!("\"{}\" takes a learning rate, a penalty, rows a step and a method first", call.name);
        return Err(Error::new(Code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH, text));
    };
    call.arity(2..=usize::MAX)?;
    (0..call.args.len()).try_for_each(|i| call.need_number(i))?;
    let number = |v: &Value, what: &str| {
        v.as_f64().ok_or_else(|| Error::bad_arguments(format!("{what} of \"{}\" must be a number", call.name)))
    };
    let method = match method.as_bytes() {
        Some(b"SGD") => Method::Sgd,
        Some(b"Momentum") => Method::Momentum,
        Some(b"Nesterov") => Method::Nesterov,
        Some(b"Adam") => Method::Adam,
        _ => {
            let text = format!("the method of \"{}\" is one of SGD, Momentum, Nesterov and Adam", call.name);
            return Err(Error::new(Code::ILLEGAL_TYPE_OF_ARGUMENT, text));
        }
    };
    let batch = batch.as_u64().filter(|n| *n > 0);
    let batch =
        batch.ok_or_else(|| Error::bad_arguments(format!("\"{}\" takes at least one row a step", call.name)))?;
    let fit = Fit {
        model,
        method,
        rate: number(rate, "the learning rate")?,
        penalty: number(penalty, "the penalty")?,
        batch,
        args: call.types(),
    };
    call.returns(LogicalType::Array(Box::new(LogicalType::Float64)), folded(fit))
}

struct Fit {
    model: Model,
    method: Method,
    rate: f64,
    penalty: f64,
    /// Rows a step.
    batch: u64,
    args: Vec<LogicalType>,
}

/// A model on its way. All lists have an entry for each feature, and one for the bias.
#[derive(Clone, Debug)]
struct Fitted {
    weights: Vec<f64>,
    gradient: Vec<f64>,
    /// The last step, or the mean of the gradient; of Adam also the mean of its square.
    carried: Vec<f64>,
    squares: Vec<f64>,
    /// Powers of the rates of Adam.
    powers: (f64, f64),
    steps: u64,
    /// Rows since the last step.
    rows: u64,
}

impl Fitted {
    fn new(features: usize) -> Fitted {
        let zeros = vec![0.0; features + 1];
        Fitted {
            weights: zeros.clone(),
            gradient: zeros.clone(),
            carried: zeros.clone(),
            squares: zeros,
            powers: (ADAM_MEAN, ADAM_SQUARE),
            steps: 0,
            rows: 0,
        }
    }
}

fn product(weights: &[f64], features: impl Iterator<Item = f64>) -> f64 {
    let bias = weights.last().copied().unwrap_or(0.0);
    weights.iter().zip(features).fold(bias, |sum, (w, x)| sum + w * x)
}

impl Fit {
    fn features(&self) -> usize {
        self.args.len() - 1
    }

    fn note(&self, fitted: &mut Fitted, target: f64, features: &[f64]) {
        let shifted: Vec<f64>;
        let weights = if self.method == Method::Nesterov {
            shifted = fitted.weights.iter().zip(&fitted.carried).map(|(w, c)| w + c * NESTEROV).collect();
            &shifted
        } else {
            &fitted.weights
        };
        let n = features.len();
        let slope = match self.model {
            Model::Linear => 2.0 * (target - product(weights, features.iter().copied())),
            Model::Logistic => target / ((product(weights, features.iter().copied()) * target).exp() + 1.0),
        };
        fitted.gradient[n] += slope;
        for (i, x) in features.iter().enumerate() {
            fitted.gradient[i] += slope * x - 2.0 * self.penalty * weights[i];
        }
        fitted.rows += 1;
        if fitted.rows == self.batch {
            self.step(fitted);
        }
    }

    fn step(&self, fitted: &mut Fitted) {
        if fitted.rows == 0 {
            return;
        }
        let rows = fitted.rows as f64;
        match self.method {
            Method::Sgd => {
                let factor = self.rate / rows;
                fitted.weights.iter_mut().zip(&fitted.gradient).for_each(|(w, g)| *w += g * factor);
            }
            Method::Momentum | Method::Nesterov => {
                let kept = if self.method == Method::Momentum { MOMENTUM } else { NESTEROV };
                for ((w, c), g) in fitted.weights.iter_mut().zip(&mut fitted.carried).zip(&fitted.gradient) {
                    *c = *c * kept + self.rate * g / rows;
                    *w += *c;
                }
            }
            Method::Adam => {
                let (mean_power, square_power) = fitted.powers;
                let lists = fitted.weights.iter_mut().zip(&mut fitted.carried).zip(&mut fitted.squares);
                for (((w, mean), square), g) in lists.zip(&fitted.gradient) {
                    let g = g / rows;
                    *mean = ADAM_MEAN * *mean + (1.0 - ADAM_MEAN) * g;
                    *square = ADAM_SQUARE * *square + (1.0 - ADAM_SQUARE) * g * g;
                    *w += self.rate * *mean
                        / ((1.0 - mean_power) * ((*square / (1.0 - square_power)).sqrt() + ADAM_EPSILON));
                }
                fitted.powers = (mean_power * ADAM_MEAN, square_power * ADAM_SQUARE);
            }
        }
        fitted.gradient.fill(0.0);
        fitted.rows = 0;
        fitted.steps += 1;
    }
}

impl Fold for Fit {
    type Cell = Option<Fitted>;
    type Input<'a> = Vec<Vec<f64>>;

    fn input<'a>(&'a self, args: &'a [ArrayRef]) -> Result<Self::Input<'a>> {
        args.iter().zip(&self.args).map(|(a, t)| floats(a, t)).collect()
    }

    fn empty(&self) -> Option<Fitted> {
        None
    }

    fn add(&self, cell: &mut Option<Fitted>, input: &Self::Input<'_>, row: usize) -> Result<()> {
        let fitted = cell.get_or_insert_with(|| Fitted::new(self.features()));
        let features: Vec<f64> = input[1..].iter().map(|f| f[row]).collect();
        self.note(fitted, input[0][row], &features);
        Ok(())
    }

    fn merge(&self, into: &mut Option<Fitted>, from: Option<Fitted>) -> Result<()> {
        let Some(from) = from else { return Ok(()) };
        let Some(own) = into else {
            *into = Some(from);
            return Ok(());
        };
        if own.steps == 0 && from.steps == 0 && own.rows == 0 {
            *own = from;
            return Ok(());
        }
        self.step(own);
        let share = from.steps as f64 / (own.steps + from.steps).max(1) as f64;
        let mean = |own: &mut [f64], other: &[f64]| {
            own.iter_mut().zip(other).for_each(|(a, b)| *a = *a * (1.0 - share) + b * share);
        };
        mean(&mut own.weights, &from.weights);
        mean(&mut own.carried, &from.carried);
        mean(&mut own.squares, &from.squares);
        own.powers = (own.powers.0 * from.powers.0, own.powers.1 * from.powers.1);
        own.steps += from.steps;
        Ok(())
    }

    fn write(&self, cell: &Option<Fitted>, out: &mut Vec<u8>) {
        let Some(fitted) = cell else { return };
        put_u64(out, fitted.steps);
        put_u64(out, fitted.rows);
        put_f64(out, fitted.powers.0);
        put_f64(out, fitted.powers.1);
        let lists = [&fitted.weights, &fitted.gradient, &fitted.carried, &fitted.squares];
        lists.into_iter().flatten().for_each(|v| put_f64(out, *v));
    }

    fn read(&self, bytes: &mut Reader<'_>) -> Result<Option<Fitted>> {
        read(bytes, self.features())
    }

    fn finish(&self, cells: Picked<'_, Option<Fitted>>) -> Result<ArrayRef> {
        let answer = |cell: &Option<Fitted>| {
            let mut fitted = cell.clone().unwrap_or_else(|| Fitted::new(self.features()));
            self.step(&mut fitted);
            Ok(Value::Array(fitted.weights.into_iter().map(Value::Float64).collect()))
        };
        column(&LogicalType::Array(Box::new(LogicalType::Float64)), cells.iter().map(answer))
    }

    fn heap(&self, _: &Option<Fitted>) -> usize {
        self.args.len() * 32
    }
}

fn read(bytes: &mut Reader<'_>, features: usize) -> Result<Option<Fitted>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut fitted = Fitted::new(features);
    (fitted.steps, fitted.rows) = (bytes.u64()?, bytes.u64()?);
    fitted.powers = (bytes.f64()?, bytes.f64()?);
    let Fitted { weights, gradient, carried, squares, .. } = &mut fitted;
    for list in [weights, gradient, carried, squares] {
        for value in list {
            *value = bytes.f64()?;
        }
    }
    Ok(Some(fitted))
}

/// What the model of a saved state says of some features: a value, or a chance from 0 to 1.
///
/// Errors: INCORRECT_DATA (117) for bytes that are no such state.
pub fn predicted(model: Model, state: &[u8], features: impl ExactSizeIterator<Item = f64>) -> Result<f64> {
    let fitted = read(&mut Reader(state), features.len())?.unwrap_or_else(|| Fitted::new(features.len()));
    let value = product(&fitted.weights, features);
    Ok(match model {
        Model::Linear => value,
        Model::Logistic => 1.0 / (1.0 + (-value).exp()),
    })
}
