//! Cold starts in a container without a daemon, against those of other ways to the same.
//!
//! The peers run the very bundle or image that the sandbox runs, and their worker connects to
//! the sandbox's own socket: the clock stops at the same first response on either side.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use lumos_bench::image::Image;
use lumos_bench::sandbox::{Layout, Name, SandboxContext, SocketDirectory, Trouble, WorkerSpec};
use lumos_bench::suites::served::Served;
use lumos_bench::suites::timing::time_step;
use lumos_bench::suites::verify_digest;
use lumos_bench::suites::watch::Watch;
use lumos_bench::{Limits, Sandbox};
use lumos_oci::Oci;
use lumos_record::{Case, Suite};
use lumos_workloads::Payload;

use crate::checkout::{Checkout, TIMEOUT};
use crate::compare::{Comparison, Turns};
use crate::measure::{ENGINE, FUNCTION, PAYLOAD};
use crate::prepared::Processes;

/// Each is some tens of milliseconds, and the peers' some hundred.
const ROUNDS: usize = 40;
const WARM_UP_ROUNDS: usize = 3;

/// What a comparison came to, or the reason that there is none.
pub type Outcome = Result<Comparison, String>;

/// The comparisons by name.
///
/// # Errors
/// When a cold start fails that should not.
pub fn compare(checkout: &Checkout) -> Result<Vec<(&'static str, Outcome)>> {
    let sockets = SocketDirectory::create()?;
    let layout = Layout::of_process(env!("CARGO_MANIFEST_DIR"))?;
    let (sockets, timeout) = (sockets.path(), TIMEOUT);
    let context = SandboxContext { sockets, timeout, layout: &layout, emulator: None };
    let oci = Oci::new(&context)?;
    let planned = checkout.planned_in(Suite::ColdStart, "native", "oci", FUNCTION, PAYLOAD)?;
    let worker_spec = checkout.worker_spec(&planned)?;
    let names = ["cold_oci_runc", "cold_oci_docker", "cold_aot_vs_container"];
    match oci.prepare(&worker_spec) {
        Ok(()) => {}
        Err(Trouble::Skip(reason)) => {
            return Ok(names.into_iter().map(|name| (name, Err(reason.clone()))).collect());
        }
        Err(Trouble::Failure(cause)) => bail!(cause),
    }
    let case = planned.case();
    let request = planned.payload.generate();
    let own =
        Served { sandbox: &oci, worker_spec, limits: Limits::default(), case: &case, request };
    let own = Own { cold: own, payload: planned.payload };
    Ok(vec![
        (names[0], own.against_runc()?),
        (names[1], own.against_docker()?),
        (names[2], Ok(own.under_wasm(checkout)?)),
    ])
}

/// The sandbox's side.
struct Own<'o> {
    cold: Served<'o, Oci>,
    payload: &'o Payload,
}

impl Own<'_> {
    fn one_ns(&self) -> Result<f64> {
        one_ns(&self.cold, self.payload)
    }

    fn against_runc(&self) -> Result<Outcome> {
        if let Some(reason) = absent("runc", &["--version"], "apt-get install runc") {
            return Ok(Err(reason));
        }
        let turns = turns(
            || self.one_ns(),
            || {
                // The bundle is written anew for each container, as the sandbox does.
                self.peer_ns(|| {
                    let name = Name::next();
                    let Served { sandbox, worker_spec, limits, .. } = &self.cold;
                    let bundle = sandbox.bundle(&name, worker_spec, limits)?;
                    let mut command = Command::new("runc");
                    command.arg("run").arg("--bundle").arg(bundle).arg(&name);
                    Ok(command)
                })
            },
        )?;
        let compares = "a cold start of noop on native-oci / by `runc run` of the same bundle";
        Ok(Ok(turns.compare(compares, 1, Some(0.8), None)?))
    }

    fn against_docker(&self) -> Result<Outcome> {
        let remedy = "`cargo xtask setup --with-docker`, and start it";
        if let Some(reason) = absent("docker", &["info", "--format", "{{.ID}}"], remedy) {
            return Ok(Err(reason));
        }
        let image = Imported::new(&self.cold.worker_spec)?;
        let shared = self.cold.sandbox.listener().path().parent().context("a folder")?.to_owned();
        let memory_bytes = self.cold.limits.memory_bytes.to_string();
        let turns = turns(
            || self.one_ns(),
            || {
                self.peer_ns(|| {
                    let mut command = Command::new("docker");
                    command.args(["run", "--rm", "--network", "none", "--read-only"]);
                    command.args(["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]);
                    command.args(["--user", "65534:65534", "--memory", &memory_bytes]);
                    command.args(["--memory-swap", &memory_bytes, "--pids-limit", "64"]);
                    command.arg("--volume").arg(format!("{}:/run/lumos:ro", shared.display()));
                    command.args([&image.tag, "--connect", "/run/lumos/s"]);
                    command.args(["--memory", &memory_bytes]);
                    Ok(command)
                })
            },
        )?;
        let compares = "a cold start of noop on native-oci / by `docker run --rm --network none`";
        Ok(Ok(turns.compare(compares, 1, Some(0.15), None)?))
    }

    /// Wasm in a process over native code in a container: a finding, and no target.
    fn under_wasm(&self, checkout: &Checkout) -> Result<Comparison> {
        let processes = Processes::new()?;
        let planned = checkout.planned(Suite::ColdStart, ENGINE, FUNCTION, PAYLOAD)?;
        let case: Case = planned.case();
        let wasm = Served {
            sandbox: &processes.sandbox,
            worker_spec: checkout.worker_spec(&planned)?,
            limits: Limits::default(),
            case: &case,
            request: planned.payload.generate(),
        };
        let turns = turns(|| one_ns(&wasm, planned.payload), || self.one_ns())?;
        let compares = "a cold start of noop on wasmtime-aot-process / on native-oci";
        turns.compare(compares, 1, None, None)
    }

    /// Times a peer from the making of its command to the first response of the worker that the
    /// command starts.
    fn peer_ns(&self, command: impl FnOnce() -> Result<Command>) -> Result<f64> {
        let mut response = Vec::new();
        let watch = Watch::alone(TIMEOUT);
        let (elapsed, (child, outcome)) = time_step(&watch, || {
            let mut command = command().map_err(|error| format!("{error:#}"))?;
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
            let outcome = self.first_response(&child, &mut response);
            Ok((child, outcome))
        })
        .map_err(|stop| anyhow!(stop))?;
        // Its worker has lost its connection, and ends.
        let output = child.wait_with_output()?;
        let complaints = || String::from_utf8_lossy(&output.stderr).into_owned();
        outcome.with_context(complaints)?;
        ensure!(output.status.success(), "a peer ended badly: {}", complaints());
        verify_digest(&response, self.payload).map_err(|stop| anyhow!(stop))?;
        Ok(elapsed.as_nanos() as f64)
    }

    fn first_response(&self, child: &Child, response: &mut Vec<u8>) -> Result<()> {
        let life = lumos_bench::sandbox::process::life_of(child.id())?;
        let listener = self.cold.sandbox.listener();
        let (mut connection, _) =
            listener.accept(std::os::fd::AsFd::as_fd(&life)).map_err(|stop| anyhow!(stop))?;
        Ok(connection.invoke(&self.cold.request, response)?)
    }
}

fn one_ns<S: Sandbox>(cold: &Served<'_, S>, payload: &Payload) -> Result<f64> {
    let mut response = Vec::new();
    let (_, outer): (_, Duration) = cold.cold_start(&mut response).map_err(|stop| anyhow!(stop))?;
    verify_digest(&response, payload).map_err(|stop| anyhow!(stop))?;
    Ok(outer.as_nanos() as f64)
}

fn turns(
    mut own_ns: impl FnMut() -> Result<f64>,
    mut peer_ns: impl FnMut() -> Result<f64>,
) -> Result<Turns> {
    Turns::default().take(WARM_UP_ROUNDS, &mut own_ns, &mut peer_ns)?;
    let mut turns = Turns::default();
    turns.take(ROUNDS, own_ns, peer_ns)?;
    Ok(turns)
}

/// Why a peer cannot be compared with; none if it can.
fn absent(program: &str, arguments: &[&str], remedy: &str) -> Option<String> {
    let mut command = Command::new(program);
    let output = command.args(arguments).stdin(Stdio::null()).output();
    let answers = output.is_ok_and(|output| output.status.success());
    (!answers).then(|| format!("`{program}` does not answer: {remedy}"))
}

/// The function's image in Docker's engine, removed with the value.
struct Imported {
    tag: String,
}

impl Imported {
    fn new(worker_spec: &WorkerSpec) -> Result<Self> {
        let image = Image::read(worker_spec.program.path())?;
        let [layer] = image.layers.as_slice() else { bail!("the image on no base has one layer") };
        let tag = format!("lumos/overhead:{}", std::process::id());
        let entrypoint = serde_json::to_string(&image.entrypoint)?;
        let output = Command::new("docker")
            .args(["import", "--change", &format!("ENTRYPOINT {entrypoint}")])
            .args([PathBuf::from(&layer.path).into_os_string(), tag.clone().into()])
            .output()?;
        ensure!(
            output.status.success(),
            "docker import: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(Self { tag })
    }
}

impl Drop for Imported {
    fn drop(&mut self) {
        // An image that stays behind is found by `docker images`.
        let _ = Command::new("docker").args(["rmi", "--force", &self.tag]).output();
    }
}
