//! The four comparisons.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use lumos_bench::suites::pinned::Pinned;
use lumos_bench::suites::served::Served as Cold;
use lumos_bench::suites::timing::Invocations;
use lumos_bench::suites::watch::Watch;
use lumos_bench::{InvokeError, Limits};
use lumos_model::median;
use lumos_record::{Case, Phase, Suite};
use lumos_workloads::Payload;
use serde::Serialize;

use crate::bare::{self, PingPong};
use crate::checkout::{Checkout, TIMEOUT};
use crate::compare::{Comparison, TARGET, Turns};
use crate::prepared::{InProcess, Invocable, Processes, Served, verified};

/// The engine whose cost is compared, and which a cold start is to come close to native with.
pub const ENGINE: &str = "wasmtime-aot";
/// The function that does nothing.
pub const FUNCTION: &str = "noop";
/// Its payload.
pub const PAYLOAD: &str = "empty";

/// Rounds that are not kept: the first ones fill caches and wake the processor up.
const WARM_UP_ROUNDS: usize = 20;

/// Invocations of one side in a row: a sample is their mean.
struct Block {
    invocations: Invocations,
    watch: Watch,
    count: u64,
}

impl Block {
    fn new(expected: Vec<u8>, count: u64) -> Self {
        let (invocations, watch) = (Invocations::new(expected), Watch::alone(TIMEOUT));
        Self { invocations, watch, count }
    }

    fn warm(&mut self, invoke: impl FnMut(&mut Vec<u8>) -> Result<(), InvokeError>) -> Result<f64> {
        let time = self.invocations.time(self.count, &self.watch, invoke).map_err(stopped)?;
        Ok(time.as_nanos() as f64 / self.count as f64)
    }

    /// What a step makes is dropped while the clock stands still.
    fn fresh<T>(&mut self, mut step: impl FnMut(&mut Vec<u8>) -> Result<T, String>) -> Result<f64> {
        let mut total_ns = 0.0;
        for _ in 0..self.count {
            let (time, _) = self.invocations.time_one(&self.watch, &mut step).map_err(stopped)?;
            total_ns += time.as_nanos() as f64;
        }
        Ok(total_ns / self.count as f64)
    }
}

fn stopped(stop: String) -> anyhow::Error {
    anyhow!(stop)
}

fn fault(error: wasmtime::Error) -> InvokeError {
    InvokeError::Fault(format!("{error:#}"))
}

/// Takes the samples of both sides, after a warm-up.
fn turns(
    rounds: usize,
    mut own_ns: impl FnMut() -> Result<f64>,
    mut peer_ns: impl FnMut() -> Result<f64>,
) -> Result<Turns> {
    Turns::default().take(WARM_UP_ROUNDS, &mut own_ns, &mut peer_ns)?;
    let mut turns = Turns::default();
    turns.take(rounds, own_ns, peer_ns)?;
    Ok(turns)
}

/// `Engine::invoke` of a warm instance.
///
/// # Errors
/// When an answer is wrong, or something has not been built.
pub fn engine_call(checkout: &Checkout) -> Result<Comparison> {
    const COUNT: u64 = 6_400;
    // Where an instance happens to lie in memory shifts its time by a tenth.
    const INSTANCES: usize = 12;
    let planned = checkout.planned(Suite::Call, ENGINE, FUNCTION, PAYLOAD)?;
    let mut own = InProcess::new(checkout, &planned, lumos_wasmtime::engine)?;
    let peer = bare::Wasmtime::new(ENGINE, &checkout.artifact(&planned)?)?;
    let expected = verified(&mut own, &planned)?;
    let mut own_block = Block::new(expected.clone(), COUNT);
    let mut peer_block = Block::new(expected, COUNT);
    let mut all = Turns::default();
    for _ in 0..INSTANCES {
        own.renew()?;
        let mut peer = peer.instantiate().map_err(fault)?;
        let turns = turns(
            25,
            || own_block.warm(|response| own.invoke(response)),
            || peer_block.warm(|response| peer.call(response).map_err(fault)),
        )?;
        all.extend(turns);
    }
    let compares = "a call of noop in wasmtime-aot, through Lumos / by wasmtime's own interface";
    all.compare(compares, COUNT, Some(TARGET), None)
}

/// `Engine::instantiate` and the first `Engine::invoke`.
///
/// # Errors
/// As [`engine_call`].
pub fn engine_instantiate(checkout: &Checkout) -> Result<Comparison> {
    const COUNT: u64 = 50;
    let planned = checkout.planned(Suite::Fresh, ENGINE, FUNCTION, PAYLOAD)?;
    let mut own = InProcess::new(checkout, &planned, lumos_wasmtime::engine)?;
    let peer = bare::Wasmtime::new(ENGINE, &checkout.artifact(&planned)?)?;
    let expected = verified(&mut own, &planned)?;
    let mut own_block = Block::new(expected.clone(), COUNT);
    let mut peer_block = Block::new(expected, COUNT);
    let turns = turns(
        300,
        || own_block.fresh(|response| own.fresh(response).map_err(|error| format!("{error:#}"))),
        || {
            peer_block.fresh(|response| {
                let mut instance = peer.instantiate().map_err(|error| format!("{error:#}"))?;
                instance.call(response).map_err(|error| format!("{error:#}"))?;
                Ok(instance)
            })
        },
    )?;
    let compares = "a new instance of noop in wasmtime-aot and its first call, through Lumos / \
                    by wasmtime's own interface";
    turns.compare(compares, COUNT, Some(TARGET), None)
}

/// A warm invocation through the native worker's socket.
///
/// # Errors
/// As [`engine_call`].
pub fn served_noop(checkout: &Checkout) -> Result<Comparison> {
    const COUNT: u64 = 256;
    // Where a process lies in memory shifts its time: each pair is one throw of the dice.
    const LAUNCHES: usize = 16;
    let planned = checkout.planned(Suite::Warm, "native", FUNCTION, PAYLOAD)?;
    let _pinned = Pinned::here()?;
    let processes = Processes::new()?;
    let mut all = Turns::default();
    for _ in 0..LAUNCHES {
        let mut own = Served::new(&processes, checkout, &planned)?;
        let mut peer = PingPong::new()?;
        let expected = verified(&mut own, &planned)?;
        let mut own_block = Block::new(expected.clone(), COUNT);
        let mut peer_block = Block::new(expected, COUNT);
        let turns = turns(
            20,
            || own_block.warm(|response| own.invoke(response)),
            || peer_block.warm(|_| peer.round_trip()),
        )?;
        all.extend(turns);
    }
    let compares = "a warm call of noop in a native worker, through Lumos / the same bytes there \
                    and back over a bare Unix socket; both on one processor";
    all.compare(compares, COUNT, Some(TARGET), None)
}

/// The median time of each phase of a cold start, by runtime.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phases {
    /// The runtime.
    pub runtime: String,
    /// The phases in their order, and their medians.
    pub phases: Vec<PhaseMedian>,
}

/// The median time of a phase.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseMedian {
    /// The phase.
    pub phase: Phase,
    /// Its median.
    pub median_ns: f64,
}

/// Cold starts of one runtime.
struct Starts<'p> {
    cold: Cold<'p, lumos_bench::sandbox::process::Process>,
    payload: &'p Payload,
    phases_ns: BTreeMap<Phase, Vec<f64>>,
}

impl<'p> Starts<'p> {
    fn new(
        processes: &'p Processes,
        checkout: &'p Checkout,
        engine: &str,
        case: &'p Case,
    ) -> Result<Self> {
        let planned = checkout.planned(Suite::ColdStart, engine, FUNCTION, PAYLOAD)?;
        let cold = Cold {
            sandbox: &processes.sandbox,
            worker_spec: checkout.worker_spec(&planned)?,
            limits: Limits::default(),
            case,
            request: planned.payload.generate(),
        };
        Ok(Self { cold, payload: planned.payload, phases_ns: BTreeMap::new() })
    }

    fn one_ns(&mut self) -> Result<f64> {
        let mut response = Vec::new();
        let (start, outer) = self.cold.cold_start(&mut response).map_err(stopped)?;
        lumos_bench::suites::verify_digest(&response, self.payload).map_err(stopped)?;
        for span in start.ledger.phases {
            self.phases_ns.entry(span.phase).or_default().push(span.wall_ns as f64);
        }
        Ok(outer.as_nanos() as f64)
    }

    fn phases(&self) -> Phases {
        let phases = self.phases_ns.iter().filter_map(|(&phase, times_ns)| {
            Some(PhaseMedian { phase, median_ns: median(times_ns)? })
        });
        Phases { runtime: self.cold.case.runtime.clone(), phases: phases.collect() }
    }
}

/// Cold starts, a fresh process each: how far the engine is from native code.
///
/// # Errors
/// As [`engine_call`].
pub fn cold_process(checkout: &Checkout) -> Result<(Comparison, Vec<Phases>)> {
    let processes = Processes::new()?;
    let case = |engine| -> Result<Case> {
        let planned = checkout.planned(Suite::ColdStart, engine, FUNCTION, PAYLOAD)?;
        Ok(planned.case())
    };
    let (own_case, peer_case) = (case(ENGINE)?, case("native")?);
    let mut own = Starts::new(&processes, checkout, ENGINE, &own_case)?;
    let mut peer = Starts::new(&processes, checkout, "native", &peer_case)?;
    let turns = turns(200, || own.one_ns(), || peer.one_ns())?;
    let compares = "a cold start of noop on wasmtime-aot-process / on native-process";
    let comparison = turns.compare(compares, 1, Some(2.5), Some(1.5))?;
    Ok((comparison, vec![own.phases(), peer.phases()]))
}
