//! Measures what the harness costs on this node, and prints it as JSON.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Result, bail};
use lumos_overhead::allocations::{self, Allocations, Counting};
use lumos_overhead::bare::PingPong;
use lumos_overhead::checkout::Checkout;
use lumos_overhead::compare::Comparison;
use lumos_overhead::containers;
use lumos_overhead::measure::{self, Phases};
use lumos_record::Node;
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The file that `cargo xtask overhead` writes.
#[derive(Debug, Serialize)]
struct Overhead {
    schema_version: u32,
    node: Node,
    /// How much longer a slow run of the same computation takes than a usual one, before and
    /// after: far above 1, something else was running.
    noise: [f64; 2],
    engine_call: Comparison,
    engine_instantiate: Comparison,
    served_noop: Comparison,
    cold_process: Comparison,
    /// Containers against other containers, and against Wasm.
    #[serde(flatten)]
    containers: BTreeMap<&'static str, Comparison>,
    /// The comparisons that could not be made, each with its reason.
    skipped: BTreeMap<&'static str, String>,
    /// The phases behind `cold_process`.
    cold_phases: Vec<Phases>,
    /// The most that any of `allocations` has.
    allocations_per_invocation: f64,
    allocations: Vec<Allocations>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => measure(),
        [argument] if *argument == PingPong::ARGUMENT => PingPong::serve(),
        _ => Err(anyhow::anyhow!("unknown arguments {arguments:?}: it takes none")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    if cfg!(debug_assertions) {
        bail!("an unoptimised harness has no figures worth reading: build with `--release`");
    }
    let checkout = Checkout::read()?;
    let noise_before = lumos_bench::node::noise();
    let (cold_process, cold_phases) = measure::cold_process(&checkout)?;
    let allocations = allocations::count(&checkout)?;
    let per_invocation = |case: &Allocations| case.allocations as f64 / case.invocations as f64;
    let engine_call = measure::engine_call(&checkout)?;
    let engine_instantiate = measure::engine_instantiate(&checkout)?;
    let served_noop = measure::served_noop(&checkout)?;
    let (mut containers, mut skipped) = (BTreeMap::new(), BTreeMap::new());
    for (name, outcome) in containers::compare(&checkout)? {
        match outcome {
            Ok(comparison) => drop(containers.insert(name, comparison)),
            Err(reason) => drop(skipped.insert(name, reason)),
        }
    }
    let overhead = Overhead {
        schema_version: 1,
        node: lumos_bench::node::fingerprint(),
        noise: [noise_before, lumos_bench::node::noise()],
        engine_call,
        engine_instantiate,
        served_noop,
        cold_process,
        containers,
        skipped,
        cold_phases,
        allocations_per_invocation: allocations.iter().map(per_invocation).fold(0.0, f64::max),
        allocations,
    };
    println!("{}", serde_json::to_string_pretty(&overhead)?);
    Ok(())
}
