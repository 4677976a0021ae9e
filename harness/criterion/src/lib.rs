//! All that Lumos knows of Criterion, as of version 0.8: what its arguments mean, which files it
//! keeps and where, what it says, and how it is told of samples that were taken before.
//!
//! A test holds each of these against the real crate.

mod arguments;
#[cfg(feature = "calls")]
mod calls;
pub mod files;
mod said;

pub use arguments::{Arguments, Asked, CaseFilter, Purpose};
#[cfg(feature = "calls")]
pub use calls::{Stopped, criterion, register, replay, try_case};
#[cfg(feature = "calls")]
pub use criterion::Criterion;
pub use files::{Benchmark, Samples};
pub use said::{Said, verdicts};

/// The samples that Criterion takes of a benchmark at least.
pub const FEWEST_SAMPLES: usize = 10;
