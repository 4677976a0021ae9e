//! `cargo xtask compare` and the report of rounds, as a user meets them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod files;
mod revisions;
mod sides;
