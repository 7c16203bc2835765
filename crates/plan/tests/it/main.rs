//! Queries as text in, bound plans, errors and columns out, over a small catalog.

mod columns;
mod errors;
mod plans;
mod world;
