//! From sources to artifacts: toolchains, targets, images, and the manifest that says what there
//! is.

mod build;
pub mod emulation;
pub mod images;
pub mod process;
pub mod progress;
pub mod runtimes;
mod scope;
pub mod setup;
mod source;
pub mod stages;
pub mod targets;
pub mod text;
pub mod toolchain;

pub use build::{BuildRequest, build, precompile};
pub use scope::Scope;
