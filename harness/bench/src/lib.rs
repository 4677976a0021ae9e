//! What measures: the [`Engine`] and [`Sandbox`] traits, the worker that hosts an engine, and
//! the Criterion suites that run both.
//!
//! The crate's features follow its users. A worker needs none; `precompile` lets it compile
//! ahead of time; [`node`] is the node's fingerprint; `suites` (the default) is everything that
//! measures.

#![allow(clippy::disallowed_methods, reason = "this is the crate that reads the clock")]

#[cfg(any(feature = "precompile", feature = "suites"))]
pub mod cpu;
pub mod engine;
pub mod guest;
#[cfg(any(feature = "precompile", feature = "suites"))]
pub mod memory;
#[cfg(feature = "node")]
pub mod node;
#[cfg(feature = "precompile")]
pub mod precompile;
#[cfg(feature = "suites")]
pub mod sandbox;
pub mod state;
#[cfg(feature = "suites")]
pub mod suites;
#[cfg(feature = "suites")]
pub mod trouble;
pub mod worker;

#[cfg(feature = "suites")]
pub mod artifact;
#[cfg(feature = "suites")]
pub mod conformance;
#[cfg(feature = "suites")]
pub mod image;

pub use engine::{Checked, Compiled, Engine, Limits, NoEngine, Target};
pub use lumos_abi::worker::InvokeError;
#[cfg(feature = "suites")]
pub use sandbox::Sandbox;
