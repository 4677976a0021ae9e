//! The generators. Integers only: what is generated is the same on every machine.

mod orders;
mod photo;
mod prose;
mod random;
mod sealed;

pub(crate) use orders::{SMALLEST_ORDERS_BYTES, orders};
pub(crate) use photo::photo;
pub(crate) use prose::text;
pub(crate) use random::Random;
pub(crate) use sealed::sealed;
