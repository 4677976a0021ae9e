//! What the harness itself costs: its engines, workers and cold starts next to bare peers that
//! do the same work without it, and the allocations of its hot path.
//!
//! The clock is read where every suite reads it, in `lumos_bench::suites`.

pub mod allocations;
pub mod bare;
pub mod checkout;
pub mod compare;
pub mod containers;
pub mod measure;
pub mod prepared;
