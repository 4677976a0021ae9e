//! The suite `pull`: what unpacking an image costs, once its layers are on the node.
//!
//! The time on the network is no part of it: that is modelled, and the model is checked by
//! pulls from a registry (the crate `lumos-registry`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::harness::{Details, Measured, Trouble};
use super::running::Running;
use super::served::worker_spec;
use super::timing::time_step;
use super::watch::Watch;
use crate::Engine;
use crate::sandbox::{Name, Sandbox, WorkerSpec};

/// Measures how long an image takes to be unpacked into an empty folder.
///
/// Reading the compressed layers from the page cache and comparing them with their digests are
/// inside of the timed region, as a container engine does both; writing back to the disk and
/// removing the files are not.
pub(super) fn run<E: Engine, S: Sandbox>(
    running: &mut Running<'_, E, S>,
) -> Result<Measured, Trouble> {
    let Running { harness, sandbox, planned, case, .. } = running;
    let function = &planned.workload.function;
    let worker_spec = worker_spec(&harness.artifacts, planned.runtime, function, &[])?;
    let (parent, watch) = (harness.layout.unpacking(), harness.watch);
    let start = Instant::now();
    unpack(*sandbox, &worker_spec, &parent, &watch)?;
    // The run's time pays for the removal as well.
    let cost = start.elapsed();
    let mut verified = 1;
    if !harness.selection.verify {
        harness.measure_cold(case, cost, |iterations| {
            let mut total = Duration::ZERO;
            for _ in 0..iterations {
                total += unpack(*sandbox, &worker_spec, &parent, &watch).map_err(cause)?;
                verified += 1;
            }
            Ok(total)
        })?;
    }
    Ok(Measured { verified, size_bytes: 0, details: Details::None })
}

/// Unpacks an image once, and returns the time that it took.
fn unpack<S: Sandbox>(
    sandbox: &S,
    worker_spec: &WorkerSpec,
    parent: &Path,
    watch: &Watch,
) -> Result<Duration, Trouble> {
    let folder = Unpacked::new(parent).map_err(Trouble::Failure)?;
    let (time, outcome) = time_step(watch, || Ok(sandbox.unpack(worker_spec, &folder.0)))
        .map_err(Trouble::Failure)?;
    outcome.map(|()| time)
}

fn cause(unready: Trouble) -> String {
    match unready {
        Trouble::Skip(cause) | Trouble::Failure(cause) => cause,
    }
}

/// A folder that is removed with the value.
struct Unpacked(PathBuf);

impl Unpacked {
    fn new(parent: &Path) -> Result<Self, String> {
        let path = parent.join(Name::next());
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // Whatever cannot be removed now is removed by a later run.
        let _ = fs::remove_dir_all(&self.0);
    }
}
