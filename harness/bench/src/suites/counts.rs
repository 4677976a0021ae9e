//! Instructions, counted instead of timed: the same number from run to run.
//!
//! What an engine makes of Wasm by itself is metered by the engine. What it loads as machine code
//! runs in a process of its own under valgrind's callgrind, which counts what the processor
//! executes: this program again, which loads the artifact and calls it twice.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use lumos_record::ArtifactKind;
use lumos_record::protocol::{read_variable, variable};
use serde::{Deserialize, Serialize};

use super::harness::{Count, Details, Harness, Measured, Trouble, verify_digest};
use super::loaded::Loaded;
use super::plan::Planned;
use super::running::Running;
use super::select::limits;
use super::timing::time_step;
use super::watch::Watch;
use crate::{Checked, Engine, InvokeError, Limits};

/// What engines count by.
const FUEL: &str = "fuel";

/// What counts the instructions of the processor.
const CALLGRIND: &str = "callgrind";

/// The longest that a count may take: the tool runs code some fifty times slower.
const LONGEST: Duration = Duration::from_secs(600);

/// How often the end of a count is looked for.
const GLANCE: Duration = Duration::from_millis(5);

/// Counts the instructions of one invocation of an instance that has answered before.
pub(super) fn run<E: Engine, S>(running: &mut Running<'_, E, S>) -> Result<Measured, Trouble> {
    let (loads, engine) = (running.loads()?, running.engine()?);
    let Running { harness, planned, case, .. } = running;
    let settings = engine.settings();
    let artifact = harness.artifacts.function(
        planned.runtime,
        loads,
        &planned.workload.function,
        &settings,
    )?;
    let request = planned.payload.generate();
    let count = match loads {
        ArtifactKind::Wasm => {
            let metered = engine.metered().map_err(|error| format!("{error:#}"))?;
            let metered = metered.ok_or_else(|| {
                let runtime = &case.runtime;
                Trouble::Skip(format!("{runtime} does not count the instructions of a function"))
            })?;
            let count = || by_fuel(&metered, &artifact, planned, &request, &harness.watch);
            Count { instructions: same(count()?, count()?)?, counter: FUEL }
        }
        _ => {
            offers(harness, planned, loads)?;
            let order = Order {
                engine: planned.runtime.name.clone(),
                artifact: artifact.path().to_owned(),
                memory_bytes: limits(&harness.selection, &planned.setting).memory_bytes,
            };
            let count = || by_callgrind(&order, planned, &request);
            Count { instructions: same(count()?, count()?)?, counter: CALLGRIND }
        }
    };
    let size_bytes = request.len() as u64;
    Ok(Measured { verified: 2, size_bytes, details: Details::Count(count) })
}

/// Makes sure that the processor which callgrind plays can run an artifact: it has no AVX-512.
fn offers(harness: &Harness, planned: &Planned<'_>, loads: ArtifactKind) -> Result<(), Trouble> {
    let (runtime, function) = (planned.runtime, &planned.workload.function);
    let artifact = harness.artifacts.manifest.for_runtime(runtime, loads, function);
    let compilation = artifact.and_then(|artifact| artifact.compilation.as_ref());
    let mut features = compilation.iter().flat_map(|compilation| &compilation.cpu_features);
    match features.find(|feature| feature.starts_with("avx512")) {
        None => Ok(()),
        Some(feature) => Err(Trouble::Skip(format!(
            "it was compiled for a processor with {feature}, which callgrind does not know: \
             `cargo xtask bench --isa x86-64-v3` compiles for one without"
        ))),
    }
}

/// Makes sure that two counts are the same.
fn same(first: u64, second: u64) -> Result<u64, Trouble> {
    match first == second {
        true => Ok(first),
        false => Err(Trouble::Failure(format!(
            "the same request took {first} instructions, and then {second}"
        ))),
    }
}

/// The instructions of an instance's second invocation, by the engine's own meter.
fn by_fuel<E: Engine>(
    metered: &E,
    artifact: &Checked,
    planned: &Planned<'_>,
    request: &[u8],
    watch: &Watch,
) -> Result<u64, String> {
    let show = |error: InvokeError| error.to_string();
    let (_, mut loaded) = time_step(watch, || Loaded::new(metered, artifact))?;
    let instance = &mut loaded.instance;
    let mut executed = 0;
    // The first sets up what later ones find.
    for _ in 0..2 {
        let mut response = Vec::new();
        let before = metered.executed(instance).map_err(show)?;
        time_step(watch, || metered.invoke(instance, request, &mut response).map_err(show))?;
        executed = metered.executed(instance).map_err(show)?.saturating_sub(before);
        verify_digest(&response, planned.payload)?;
    }
    Ok(executed)
}

/// What a process is to do while its instructions are counted; the request is on its standard
/// input, and the last response on its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    engine: String,
    artifact: PathBuf,
    memory_bytes: u64,
}

/// What callgrind counts in: a function of this name, and all that it calls.
const COUNTED: &str = "--toggle-collect=*lumos_counted*";

/// Makes a call that is counted.
#[inline(never)]
fn lumos_counted(call: &mut dyn FnMut() -> Result<(), InvokeError>) -> Result<(), InvokeError> {
    call()
}

impl Order {
    /// Reads the order, if this process was given one.
    ///
    /// # Errors
    /// When the variable is set to something else.
    pub fn from_environment() -> Result<Option<Self>> {
        Ok(read_variable(variable::COUNT)?)
    }

    /// Does what the order says, and nothing else.
    ///
    /// # Errors
    /// When the artifact cannot be loaded or does not answer.
    pub fn obey<E: Engine>(self, new_engine: fn(&str, &Limits) -> Result<E>) -> Result<ExitCode> {
        let engine = new_engine(&self.engine, &Limits::of_memory(self.memory_bytes))?;
        // SAFETY: whoever gave the order has checked it.
        let artifact = unsafe { Checked::assume(self.artifact) };
        let mut loaded = Loaded::new(&engine, &artifact).map_err(anyhow::Error::msg)?;
        let mut request = Vec::new();
        std::io::stdin().read_to_end(&mut request)?;
        let mut response = Vec::new();
        // The first sets up what later ones find.
        engine.invoke(&mut loaded.instance, &request, &mut response)?;
        response.clear();
        lumos_counted(&mut || engine.invoke(&mut loaded.instance, &request, &mut response))?;
        std::io::stdout().write_all(&response)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The instructions of a call, in a process that obeys an order.
fn by_callgrind(order: &Order, planned: &Planned<'_>, request: &[u8]) -> Result<u64, Trouble> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let json = serde_json::to_string(order).map_err(|error| error.to_string())?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"]);
    command.arg(COUNTED).arg(program);
    command.arg("--bench").env(variable::COUNT, json);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Trouble::Skip(
            "what runs as machine code is counted by valgrind, which is not installed: \
             `cargo xtask setup` installs it as root"
                .to_owned(),
        ),
        _ => Trouble::Failure(format!("valgrind: {error}")),
    })?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) = pipes else {
        return Err(Trouble::Failure("valgrind: no pipes".to_owned()));
    };
    let (status, response, said) = thread::scope(|scope| {
        // A process that has died takes no request: its end tells why.
        scope.spawn(move || drop(stdin.write_all(request)));
        let response = scope.spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        });
        let said = scope.spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).map(|_| bytes)
        });
        let mut waited = Duration::ZERO;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Ok(status),
                Ok(None) if waited < LONGEST => {
                    thread::sleep(GLANCE);
                    waited += GLANCE;
                }
                Ok(None) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break Err(format!("no count within {} s", LONGEST.as_secs()));
                }
                Err(error) => break Err(error.to_string()),
            }
        };
        let read = |found: thread::Result<std::io::Result<Vec<u8>>>| {
            found.ok().and_then(Result::ok).unwrap_or_default()
        };
        (status, read(response.join()), read(said.join()))
    });
    let said = String::from_utf8_lossy(&said);
    let status = status?;
    if !status.success() {
        let last = said.lines().rev().find(|line| !line.starts_with("==")).unwrap_or_default();
        return Err(Trouble::Failure(format!("under callgrind it ended with {status}: {last}")));
    }
    verify_digest(&response, planned.payload)?;
    collected(&said).ok_or_else(|| Trouble::Failure("callgrind has told no count".to_owned()))
}

/// The count in what callgrind says at its end: `==1== Collected : 12345`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().rev().find(|line| line.contains("Collected : "))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_from_what_callgrind_says() {
        let said = "==7== Callgrind, a call-graph\n==7== \n==7== Events    : Ir\n\
                    ==7== Collected : 1203456\n==7== \n==7== I   refs:      1,203,456\n";
        assert_eq!(collected(said), Some(1_203_456));
        assert_eq!(collected("==7== nothing"), None);
    }
}
