//! The hot path of an invocation (frame, copy, call, verify) allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Result, anyhow, ensure};
use lumos_bench::suites::timing::Invocations;
use lumos_bench::suites::watch::Watch;
use lumos_record::Suite;
use serde::Serialize;

use crate::checkout::{Checkout, TIMEOUT};
use crate::prepared::{BothEnds, InProcess, Invocable, Processes, Served, verified};

/// The system's allocator, which counts while it is told to, on all threads.
#[derive(Debug)]
pub struct Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

impl Counting {
    fn note() {
        if IS_COUNTING.load(Ordering::Relaxed) {
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs `work`, and returns how often it asked for memory, or for more of it.
    fn during<T>(work: impl FnOnce() -> T) -> (u64, T) {
        COUNT.store(0, Ordering::SeqCst);
        IS_COUNTING.store(true, Ordering::SeqCst);
        let made = work();
        IS_COUNTING.store(false, Ordering::SeqCst);
        (COUNT.load(Ordering::SeqCst), made)
    }
}

// SAFETY: every call is the system allocator's, with the caller's arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note();
        // SAFETY: the caller's promises are those of this call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::note();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::note();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A case to be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// How it is invoked.
    pub way: Way,
    /// The engine.
    pub engine: &'static str,
    /// The function.
    pub function: &'static str,
    /// The payload.
    pub payload: &'static str,
}

/// How a case is invoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// In this process.
    InProcess,
    /// In a worker's process; only the harness's end can be watched.
    Served,
    /// Over a socket, with the worker's loop on a thread of this process.
    BothEnds,
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, engine, function, payload } = self;
        let way = match way {
            Way::InProcess => "in-process",
            Way::Served => "served",
            Way::BothEnds => "served, both ends",
        };
        write!(f, "{way}: {engine} {function}/{payload}")
    }
}

const fn watched(way: Way, engine: &'static str) -> [Watched; 2] {
    [
        Watched { way, engine, function: "noop", payload: "empty" },
        Watched { way, engine, function: "echo", payload: "64KiB" },
    ]
}

/// Every way, with the smallest response and with one that fills several frames' buffers.
pub const CASES: [[Watched; 2]; 5] = [
    watched(Way::InProcess, "native"),
    watched(Way::InProcess, "wasmtime-aot"),
    watched(Way::InProcess, "wasmi-lazy"),
    watched(Way::Served, "native"),
    watched(Way::BothEnds, "native"),
];

/// A case that has answered, and its answer.
pub struct Case<'c> {
    /// What is invoked.
    pub invocable: Box<dyn Invocable + 'c>,
    /// What it answers.
    pub expected: Vec<u8>,
}

impl<'c> Case<'c> {
    /// Prepares one of [`CASES`].
    ///
    /// # Errors
    /// When something has not been built, or the answer is wrong.
    pub fn prepare(
        checkout: &'c Checkout,
        processes: &'c Processes,
        watched: Watched,
    ) -> Result<Self> {
        let Watched { way, engine, function, payload } = watched;
        let planned = checkout.planned(Suite::Warm, engine, function, payload)?;
        let mut invocable: Box<dyn Invocable + 'c> = match (way, engine) {
            (Way::Served, _) => Box::new(Served::new(processes, checkout, &planned)?),
            (Way::BothEnds, _) => Box::new(BothEnds::new(checkout, &planned)?),
            (_, "native") => Box::new(InProcess::new(checkout, &planned, lumos_native::engine)?),
            (_, "wasmi-lazy") => Box::new(InProcess::new(checkout, &planned, lumos_wasmi::engine)?),
            _ => Box::new(InProcess::new(checkout, &planned, lumos_wasmtime::engine)?),
        };
        let expected = verified(invocable.as_mut(), &planned)?;
        Ok(Self { invocable, expected })
    }
}

/// How often a case asked for memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Allocations {
    /// The case: how it is invoked, engine, function, payload.
    pub case: String,
    /// How many invocations were watched.
    pub invocations: u64,
    /// How often they asked for memory, on all threads of this process.
    pub allocations: u64,
    /// Whether that is never.
    pub holds: bool,
}

/// Watches every case, through the loop that the suites run: it invokes and verifies.
///
/// # Errors
/// When something has not been built, or an answer is wrong.
pub fn count(checkout: &Checkout) -> Result<Vec<Allocations>> {
    const INVOCATIONS: u64 = 2_000;
    let processes = Processes::new()?;
    let watch = Watch::alone(TIMEOUT);
    let (control, _) = Counting::during(|| std::hint::black_box(Box::new(1_u8)));
    ensure!(control == 1, "the allocator of this program does not count");
    CASES
        .iter()
        .flatten()
        .map(|&watched| {
            let Case { mut invocable, expected } = Case::prepare(checkout, &processes, watched)?;
            let mut invocations = Invocations::new(expected);
            let mut run =
                |count| invocations.time(count, &watch, |response| invocable.invoke(response));
            // Buffers grow to their size in the first invocations.
            run(100).map_err(|stop| anyhow!(stop))?;
            let (allocations, outcome) = Counting::during(|| run(INVOCATIONS));
            outcome.map_err(|stop| anyhow!(stop))?;
            Ok(Allocations {
                case: watched.to_string(),
                invocations: INVOCATIONS,
                allocations,
                holds: allocations == 0,
            })
        })
        .collect()
}
