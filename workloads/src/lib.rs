//! Which functions run with which payloads, and what they must answer.
//!
//! A function's payloads are data: a file `<function>.toml` says how each request is
//! generated from a seed, and which SHA-256 the request and the response have. So a
//! checkout holds no megabytes of payloads, and whoever measures can tell that the same
//! work was done and that it was done right.

mod bless;
mod chain;
mod digest;
mod error;
mod generate;
mod request;
mod wire;
mod workload;

pub use bless::{Blessing, bless};
pub use chain::{Chain, Step};
pub use digest::sha256_hex;
pub use error::{Error, Position};
pub use request::Request;
pub use workload::{Malformed, Payload, Value, Workload, Workloads};
