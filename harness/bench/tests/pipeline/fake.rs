//! An engine and a sandbox that do what a function's artifact says in words, and log every call.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use lumos_abi::{Timings, monotonic_ns};
use lumos_bench::sandbox::connection::Connection;
use lumos_bench::sandbox::{
    LaunchError, Mark, Sandbox, SandboxContext, Teardown, Trouble, WorkerSpec,
};
use lumos_bench::{Checked, Engine, InvokeError, Limits};
use lumos_record::protocol::variable;
use lumos_record::{CpuTime, Phase};

/// The crate whose runtimes these are.
pub const PACKAGE: &str = "lumos-fake";
/// The engine that works.
pub const ENGINE: &str = "fake-aot";
/// Another one that works.
pub const OTHER_ENGINE: &str = "fake-jit";
/// An engine that the crate does not have.
pub const UNKNOWN_ENGINE: &str = "fake-none";
/// An engine that takes longer to be set up than an invocation may take.
pub const SLOW_ENGINE: &str = "fake-slow";
/// How long an invocation may take.
pub const LIMIT: Duration = Duration::from_millis(300);
/// The call, of an instance or of a worker, that goes wrong in a function that works at first.
const LATE: u64 = 9;

/// A line per call, as `<call> <what> <of what>`, in the order of all processes.
#[derive(Debug)]
struct Log(File);

impl Log {
    fn open() -> std::io::Result<Arc<Self>> {
        let root = PathBuf::from(std::env::var_os(variable::ROOT).unwrap_or_default());
        let file = OpenOptions::new().create(true).append(true).open(root.join("log"))?;
        Ok(Arc::new(Self(file)))
    }

    fn note(&self, call: &str, what: u64, of: u64) {
        let line = format!("{call} {what} {of}\n");
        (&self.0).write_all(line.as_bytes()).expect("the log is writable");
    }
}

/// Something that was made, whose end is logged as well.
#[derive(Debug)]
struct Made {
    id: u64,
    program: String,
    log: Arc<Log>,
    end: &'static str,
}

impl Made {
    fn new(call: &str, end: &'static str, of: u64, program: &str, log: &Arc<Log>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let id = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        log.note(call, id, of);
        Self { id, program: program.to_owned(), log: Arc::clone(log), end }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        self.log.note(self.end, self.id, 0);
    }
}

fn read(artifact: &Path) -> String {
    std::fs::read_to_string(artifact).expect("the harness has checked the artifact")
}

/// What a function does at a call.
fn answer(
    program: &str,
    is_late: bool,
    request: &[u8],
    response: &mut Vec<u8>,
) -> Result<(), InvokeError> {
    match (program, is_late) {
        ("wrong", _) | ("wrong-later", true) => response.extend_from_slice(b"nonsense"),
        ("refusing", _) | ("refusing-later", true) => {
            return Err(InvokeError::Refused("not today".into()));
        }
        ("faulting", _) => return Err(InvokeError::Fault("the function broke".into())),
        ("exiting-later", true) => exit(),
        ("slow", _) => {
            std::thread::sleep(LIMIT / 3);
            response.extend_from_slice(request);
        }
        ("uneven", _) => {
            std::thread::sleep(uneven_time());
            response.extend_from_slice(request);
        }
        ("panicking", _) | ("panicking-later", true) => panic!("a bug in the runtime's code"),
        _ => response.extend_from_slice(request),
    }
    Ok(())
}

/// Eight times longer in every second round, whose number ends the name of the run's folder.
fn uneven_time() -> Duration {
    static TIME: LazyLock<Duration> = LazyLock::new(|| {
        let run = std::env::var(variable::RUN).unwrap_or_default();
        let is_even =
            run.chars().last().and_then(|last| last.to_digit(10)).unwrap_or(0).is_multiple_of(2);
        Duration::from_millis(if is_even { 8 } else { 1 })
    });
    *TIME
}

/// Ends the process, as a function may in a runtime that lets it.
#[expect(clippy::disallowed_methods, reason = "that nothing is tidied up is what is tested")]
fn exit() -> ! {
    std::process::exit(7)
}

/// The engine.
#[derive(Debug)]
pub struct Fake(Arc<Log>);

/// Makes an engine by name.
pub fn engine(name: &str, _limits: &Limits) -> Result<Fake> {
    match name {
        ENGINE | OTHER_ENGINE => {}
        SLOW_ENGINE => std::thread::sleep(LIMIT * 2),
        _ => bail!("this crate has no engine `{name}`"),
    }
    Ok(Fake(Log::open()?))
}

/// A module.
#[derive(Debug)]
pub struct Module(Made);

/// A linked module.
#[derive(Debug)]
pub struct Linked(Made);

/// An instance.
#[derive(Debug)]
pub struct Instance {
    made: Made,
    calls: u64,
    response: Vec<u8>,
}

impl Engine for Fake {
    type Module = Module;
    type Linked = Linked;
    type Environment = ();
    type Instance = Instance;

    fn load(&self, artifact: &Checked) -> Result<Module> {
        let program = read(artifact.path());
        if program == "unloadable" {
            bail!("{}: not a module", artifact.path().display());
        }
        Ok(Module(Made::new("load", "drop-module", 0, &program, &self.0)))
    }

    fn link(&self, module: &Module) -> Result<Linked> {
        let program = &module.0.program;
        if program == "unlinkable" {
            bail!("unknown import `env.f`");
        }
        Ok(Linked(Made::new("link", "drop-linked", module.0.id, program, &self.0)))
    }

    fn environment(&self, linked: &Linked) -> Result<()> {
        self.0.note("environment", linked.0.id, 0);
        Ok(())
    }

    fn instantiate(&self, linked: &Linked, (): ()) -> Result<Instance> {
        let program = &linked.0.program;
        if program == "trapping" {
            bail!("the initialiser trapped");
        }
        let made = Made::new("instantiate", "drop-instance", linked.0.id, program, &self.0);
        Ok(Instance { made, calls: 0, response: Vec::new() })
    }

    fn answer<'i>(
        &self,
        instance: &'i mut Instance,
        request: [&[u8]; 2],
    ) -> Result<&'i [u8], InvokeError> {
        instance.calls += 1;
        self.0.note("invoke", instance.made.id, 0);
        if instance.made.program == "spinning" {
            loop {
                std::hint::spin_loop();
            }
        }
        let Instance { made, calls, response } = instance;
        response.clear();
        answer(&made.program, *calls == LATE, &request.concat(), response)?;
        Ok(response)
    }

    fn invoke_timed(
        &self,
        instance: &mut Instance,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        self.invoke(instance, request, response)?;
        Ok(Timings::default())
    }

    fn clock_cost_ps(&self, _instance: &mut Instance) -> Result<u64, InvokeError> {
        Ok(0)
    }
}

/// The sandbox.
#[derive(Debug)]
pub struct Boxes {
    log: Arc<Log>,
    /// How many workers were launched, by artifact.
    launches: Mutex<HashMap<PathBuf, u64>>,
}

/// Makes the sandbox.
pub fn boxes(_site: &SandboxContext<'_>) -> Result<Boxes> {
    Ok(Boxes { log: Log::open()?, launches: Mutex::default() })
}

/// A worker that is none.
#[derive(Debug)]
pub struct Worker {
    made: Made,
    launch: u64,
    calls: u64,
    marks: Vec<Mark>,
}

impl Sandbox for Boxes {
    type Worker = Worker;

    fn launch(&self, worker_spec: &WorkerSpec, _limits: &Limits) -> Result<Worker, LaunchError> {
        let artifact = worker_spec.artifact.as_ref().expect("a runtime with a worker").path();
        let program = read(artifact);
        if ["unloadable", "unlinkable", "trapping"].contains(&program.as_str()) {
            return Err(LaunchError(format!("{}: not a module", artifact.display())));
        }
        let mut launches = self.launches.lock().expect("one thread");
        let launch = launches.entry(artifact.to_owned()).or_default();
        *launch += 1;
        let made = Made::new("launch", "gone", 0, &program, &self.log);
        Ok(Worker { launch: *launch, calls: 0, marks: marks(&program), made })
    }

    fn marks<'w>(&self, worker: &'w Worker) -> &'w [Mark] {
        &worker.marks
    }

    fn connection<'w>(&self, _worker: &'w mut Worker) -> &'w mut Connection {
        unreachable!("its workers have no socket: they answer by themselves")
    }

    fn invoke(
        &self,
        worker: &mut Worker,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError> {
        worker.calls += 1;
        self.log.note("invoke", worker.made.id, 0);
        response.clear();
        if worker.made.program == "spinning" {
            return Err(InvokeError::Fault("the worker was silent".into()));
        }
        let is_late = worker.calls == LATE || worker.launch == LATE;
        answer(&worker.made.program, is_late, request, response)
    }

    fn invoke_timed(
        &self,
        worker: &mut Worker,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        self.invoke(worker, request, response)?;
        Ok(Timings::default())
    }

    fn clock_cost_ps(&self, worker: &mut Worker) -> Result<u64, InvokeError> {
        self.log.note("clock", worker.made.id, 0);
        Ok(0)
    }

    fn peak_rss_bytes(&self, worker: &Worker) -> Option<u64> {
        self.log.note("peak", worker.made.id, 0);
        Some(1 << 20)
    }

    fn teardown(&self, worker: Worker) -> Teardown {
        self.log.note("teardown", worker.made.id, 0);
        let trouble = (worker.made.program == "limping").then(|| "the worker limped home".into());
        Teardown { cpu: CpuTime { user_ns: 2000, system_ns: 1000 }, trouble }
    }

    fn autopsy(&self, worker: Worker) -> String {
        self.log.note("autopsy", worker.made.id, 0);
        "the worker's end (signal 9)".into()
    }

    fn unpack(&self, worker_spec: &WorkerSpec, folder: &Path) -> Result<(), Trouble> {
        self.log.note("unpack", 0, 0);
        let artifact = worker_spec.artifact.as_ref().expect("a runtime with a worker").path();
        // A file that is there already is one of the last image's.
        let copy = folder.join("file");
        assert!(!copy.exists(), "{} is not empty", folder.display());
        std::fs::copy(artifact, copy).map(drop).map_err(|e| Trouble::Failure(e.to_string()))
    }
}

/// The phases of a launch, all in no time.
fn marks(program: &str) -> Vec<Mark> {
    let phases = match program {
        "unordered" => [Phase::Create, Phase::Start, Phase::Link, Phase::Load],
        _ => [Phase::Create, Phase::Start, Phase::Load, Phase::Link],
    };
    let end_ns = if program == "timeless" { 5 } else { monotonic_ns() };
    phases.map(|phase| Mark { phase, end_ns }).to_vec()
}
