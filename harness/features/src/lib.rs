//! Nothing but dependencies: what workers and bench targets share, with the features that any of
//! them asks for.
//!
//! Cargo compiles a dependency once for each set of features, and takes the features of the
//! packages that are selected: a worker alone gives `log` no `std`, the bench targets do. All that
//! depends on it would be compiled twice, the engines among them, and the engine in the worker
//! would not be the engine of the bench target. As every runtime crate depends on this one, the
//! features are the same. `cargo xtask tidy` tells what is missing here.
