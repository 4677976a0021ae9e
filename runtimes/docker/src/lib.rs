//! The sandbox `docker`: a worker is a container of an engine that is reached over its API, such
//! as Docker's or Podman's.

mod engine;
mod image;
mod place;
mod usage;
mod watcher;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Permissions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType};
use lumos_abi::monotonic_ns;
use lumos_bench::Limits;
use lumos_bench::image::Image;
use lumos_bench::sandbox::connection::{Connection, Listener};
use lumos_bench::sandbox::process::{describe_end, peak_rss_bytes};
use lumos_bench::sandbox::{
    CpuTime, LaunchError, Layout, Mark, Name, Phase, Sandbox, SandboxContext, SocketDirectory,
    State, Teardown, Trouble, WorkerSpec, cgroup, sequence,
};

pub use engine::{DIGEST, End, Engine, Kept, RUN};
pub use place::EngineError;
use watcher::Watcher;

/// Where a container finds the harness's socket.
const SOCKETS: &str = "/run/lumos";
const SOCKET: &str = "s.sock";

/// Where a function's state is in a container.
const STATE: &str = "/run/lumos-state";

/// User and group `nobody`: a worker needs no rights, not even those over its own files.
const USER: &str = "65534:65534";

/// More processes and threads than a function has, and few enough to stop one that goes wild.
const MOST_PROCESSES: i64 = 64;

/// How long a worker may take to end by itself once its socket is closed.
const FAREWELL: Duration = Duration::from_secs(5);

/// Launches workers as containers.
#[derive(Debug)]
pub struct Docker {
    /// The engine, or why there is none and what to do about it.
    engine: Result<Attended, String>,
    listener: Listener,
    /// The folder of the socket, which containers mount.
    folder: PathBuf,
    /// Images that were prepared, by the path of their manifests.
    prepared: RefCell<HashMap<PathBuf, Prepared>>,
    /// The architecture of the workers; another than the node's is for the kernel to emulate.
    arch: String,
}

/// An engine whose containers are watched.
#[derive(Debug)]
struct Attended {
    engine: Engine,
    watcher: Watcher,
}

#[derive(Debug, Clone)]
struct Prepared {
    /// The engine's id of the image, which no later image can take over as it could a tag.
    id: String,
    tag: String,
    entrypoint: String,
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    connection: Connection,
    marks: Vec<Mark>,
    container: Container,
}

#[derive(Debug)]
struct Container {
    id: String,
    memory_bytes: u64,
    /// The number of its process on this node; none if it has none here. Not asked for before
    /// the first response, since the answer takes a millisecond.
    pid: OnceCell<Option<i32>>,
}

impl Docker {
    /// Prepares a sandbox. Without an engine it has none, and its cases are skipped; a worker
    /// that is silent for longer than the context allows is ended.
    ///
    /// # Errors
    /// When the folder for sockets cannot be written.
    pub fn new(context: &SandboxContext<'_>) -> anyhow::Result<Self> {
        // A container's mount is made by another process, which has a folder of its own.
        let folder = std::path::absolute(context.sockets.join("docker"))?;
        let listener = bind(&folder, context.timeout).with_context(|| {
            format!(
                "cannot make a socket in {}: a shorter path in TMPDIR may help",
                folder.display()
            )
        })?;
        let reachable = context.lacks().map_or_else(Engine::connect, Err);
        let engine = reachable.and_then(|engine| {
            let watcher = Watcher::start(&engine, context.timeout);
            let watcher = watcher.map_err(|error| format!("cannot start a thread: {error}"))?;
            Ok(Attended { engine, watcher })
        });
        let arch = context.arch().to_owned();
        Ok(Self { engine, listener, folder, prepared: RefCell::default(), arch })
    }

    fn prepared(&self, worker_spec: &WorkerSpec) -> Result<Prepared, LaunchError> {
        let prepared = self.prepared.borrow();
        prepared.get(worker_spec.program.path()).cloned().ok_or_else(|| {
            let path = worker_spec.program.path().display();
            LaunchError(format!("the image {path} was not prepared"))
        })
    }

    fn create(
        &self,
        engine: &Engine,
        image: &Prepared,
        state: Option<&State>,
        limits: &Limits,
    ) -> Result<Container, LaunchError> {
        let name = Name::next();
        let body = || self.describe_container(image, state, limits, &name);
        let mut made = engine.create(&name, body());
        if made.as_ref().is_err_and(EngineError::is_conflict) {
            remove_namesake(engine, &name).map_err(LaunchError)?;
            made = engine.create(&name, body());
        }
        let id = made.map_err(|error| {
            LaunchError(match &error {
                EngineError::Refused(404, _) => format!(
                    "the image {} was removed from the container engine after it was built; a \
                     new run builds it again",
                    image.tag
                ),
                EngineError::Refused(..) => {
                    format!("the container engine refused to make the container: {error}")
                }
                EngineError::Unreachable(reason) => reason.clone(),
            })
        })?;
        Ok(Container { id, memory_bytes: limits.memory_bytes, pid: OnceCell::new() })
    }

    /// What the engine is to make. It keeps its own restrictions of system calls.
    fn describe_container(
        &self,
        image: &Prepared,
        state: Option<&State>,
        limits: &Limits,
        name: &str,
    ) -> ContainerCreateBody {
        let memory_bytes = i64::try_from(limits.memory_bytes).unwrap_or(i64::MAX);
        let mut command = vec!["--connect".to_owned(), format!("{SOCKETS}/{SOCKET}")];
        command.extend(limits.arguments());
        // The socket is connected to, and nothing is written beside it.
        let socket = Mount {
            typ: Some(MountType::BIND),
            source: Some(self.folder.display().to_string()),
            target: Some(SOCKETS.to_owned()),
            read_only: Some(true),
            ..Mount::default()
        };
        let state_folder = state.map(|state| Mount {
            typ: Some(MountType::BIND),
            source: Some(state.folder.display().to_string()),
            target: Some(STATE.to_owned()),
            ..Mount::default()
        });
        // Over a hundred launches with each kind of logs in turns, a file cost no more than none:
        // the difference was lost in the scatter of a launch. With none, somebody would have to
        // listen from before the start, to a stream that may not end, for what is read of the few
        // workers that fail.
        let logs = HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([("max-size".to_owned(), "1m".to_owned())])),
        };
        let host = HostConfig {
            network_mode: Some("none".to_owned()),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            memory: Some(memory_bytes),
            // Memory and swap together: none of it is swap.
            memory_swap: Some(memory_bytes),
            nano_cpus: limits.cpus_milli.map(|milli| i64::from(milli) * 1_000_000),
            pids_limit: Some(MOST_PROCESSES),
            mounts: Some([socket].into_iter().chain(state_folder).collect()),
            log_config: Some(logs),
            ..HostConfig::default()
        };
        ContainerCreateBody {
            image: Some(image.id.clone()),
            cmd: Some(command.to_vec()),
            env: state.map(|state| {
                vec![format!("{}={}", State::VARIABLE, state.seen_at(STATE.as_ref()))]
            }),
            user: Some(USER.to_owned()),
            labels: Some(HashMap::from([(RUN.to_owned(), name.to_owned())])),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        }
    }

    /// Runs the worker of a container that was made.
    ///
    /// # Errors
    /// A sentence that says what it did instead of announcing itself.
    fn start(
        &self,
        attended: &Attended,
        image: &Prepared,
        container: &Container,
        created: Mark,
    ) -> Result<(Connection, Vec<Mark>), String> {
        let Attended { engine, watcher } = attended;
        engine.start(&container.id).map_err(|error| match error {
            EngineError::Refused(..) => format!(
                "the container did not start: {error}; its program is {}, and \
                 `cargo xtask build` builds the image anew",
                image.entrypoint
            ),
            EngineError::Unreachable(reason) => reason,
        })?;
        let started = Mark { phase: Phase::Start, end_ns: monotonic_ns() };
        let watch = watcher.watch(&container.id).map_err(|error| error.to_string())?;
        let accepted = self.listener.accept(watch.as_fd());
        let (connection, mut announced) = accepted.map_err(|message| {
            let end = inquire(engine, container, Duration::from_millis(100));
            format!("{message} ({end})")
        })?;
        // To the worker its first statement is the end of its start. A container starts before,
        // when the engine says so.
        if let Some(first) = announced.first_mut()
            && first.phase == Phase::Start
        {
            first.phase = Phase::Ready;
        }
        Ok((connection, sequence(vec![created, started], &announced)))
    }
}

fn bind(folder: &Path, timeout: Duration) -> std::io::Result<Listener> {
    fs::create_dir_all(folder)?;
    let listener = Listener::bind(&folder.join(SOCKET), timeout)?;
    // The worker is another user. What lies above the folder stays closed to others, and a
    // container does not see it.
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    fs::set_permissions(listener.path(), Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Removes a container that has the name of a new one: it was left by a process that had the
/// same number as this one.
fn remove_namesake(engine: &Engine, name: &str) -> Result<(), String> {
    let taken = |why: &str| {
        format!("a container is called {name} already{why}: `docker rm --force {name}` removes it")
    };
    let (state, labels) = match engine.container(name) {
        Ok(found) => found,
        Err(error) if error.is_absence() => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    if labels.get(RUN).and_then(|run| Name::owner(run)).is_none() {
        return Err(taken(", and is not a worker"));
    }
    if state.running == Some(true) {
        return Err(taken(", and runs"));
    }
    engine.remove_container(name).map_err(|error| error.to_string())
}

/// How a worker ended, which is brought about after `patience`, and what it complained of.
fn inquire(engine: &Engine, container: &Container, patience: Duration) -> String {
    match engine.end(&container.id, patience) {
        Ok(end) => describe(&end, container.memory_bytes, &engine.complaints(&container.id)),
        Err(error) => error.to_string(),
    }
}

fn describe(end: &End, memory_bytes: u64, complaints: &str) -> String {
    let separator = if complaints.is_empty() { "" } else { ": " };
    let end = match end {
        End { is_out_of_memory: true, .. } => {
            format!("the kernel ended it for its memory: the limit is {memory_bytes} bytes")
        }
        // The first process of a container hears no SIGABRT, and aborts by a forbidden instruction.
        End { status: 139, .. } => "signal 11, SIGSEGV: a bad memory access, a stack overflow, or \
                                    the function or its allocator gave up"
            .to_owned(),
        // A shell's way to tell of a signal.
        &End { status: status @ 129..=192, .. } => {
            describe_end(&ExitStatus::from_raw(status as i32 - 128))
        }
        End { status, .. } => format!("exit status: {status}"),
    };
    format!("{end}{separator}{complaints}")
}

impl Container {
    fn pid(&self, engine: &Engine) -> Option<i32> {
        *self.pid.get_or_init(|| {
            let (state, _) = engine.container(&self.id).ok()?;
            let pid = i32::try_from(state.pid?).ok().filter(|&pid| pid > 0)?;
            usage::is_in(pid, &self.id).then_some(pid)
        })
    }

    fn cpu_time(&self, engine: &Engine) -> Result<CpuTime, String> {
        let unknown = || "its process is not on this node, or has ended".to_owned();
        let pid = self.pid(engine).ok_or_else(unknown)?;
        usage::cpu_time(pid, &self.id)
    }
}

impl Sandbox for Docker {
    type Worker = Worker;

    fn prepare(&self, worker_spec: &WorkerSpec) -> Result<(), Trouble> {
        let attended = self.engine.as_ref().map_err(|reason| Trouble::Skip(reason.clone()))?;
        let manifest = worker_spec.program.path();
        let image =
            Image::read(manifest).map_err(|error| Trouble::Failure(format!("{error:#}")))?;
        image.check_runnable(&self.arch).map_err(Trouble::Failure)?;
        let id = image::ensure_built(&attended.engine, &image)?;
        let prepared =
            Prepared { id, tag: image::tag(&image), entrypoint: image.entrypoint.join(" ") };
        self.prepared.borrow_mut().insert(manifest.to_owned(), prepared);
        Ok(())
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let Ok(Attended { engine, .. }) = &self.engine else { return BTreeMap::new() };
        let Ok(info) = engine.info() else { return BTreeMap::new() };
        let cgroups = info.cgroup_version.map(|version| format!("version {version}"));
        let facts = [
            ("container engine", info.server_version),
            ("storage driver", info.driver),
            ("cgroups", cgroups),
        ];
        let known = facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        known.collect()
    }

    fn check_limits(&self, limits: &Limits) -> Result<(), Trouble> {
        if !limits.cgroup {
            return Ok(());
        }
        let attended = self.engine.as_ref().map_err(|reason| Trouble::Skip(reason.clone()))?;
        let info = attended.engine.info().map_err(image::unready)?;
        let lacks = |can: Option<bool>| can == Some(false);
        if lacks(info.memory_limit) || lacks(info.cpu_cfs_quota) {
            return Err(Trouble::Skip(
                "the container engine cannot limit memory and processors here: it lacks the \
                 cgroups, or the right to use them"
                    .to_owned(),
            ));
        }
        match (limits.cpus_milli, info.ncpu) {
            (Some(milli), Some(count)) if i64::from(milli) > count * 1000 => {
                Err(Trouble::Skip(format!(
                    "the container engine gives a container no more than the node's {count} \
                     processors: ask for less"
                )))
            }
            _ => Ok(()),
        }
    }

    fn launch(&self, worker_spec: &WorkerSpec, limits: &Limits) -> Result<Worker, LaunchError> {
        let attended = self.engine.as_ref().map_err(|reason| LaunchError(reason.clone()))?;
        let image = self.prepared(worker_spec)?;
        let container =
            self.create(&attended.engine, &image, worker_spec.state.as_ref(), limits)?;
        let created = Mark { phase: Phase::Create, end_ns: monotonic_ns() };
        match self.start(attended, &image, &container, created) {
            Ok((connection, marks)) => Ok(Worker { connection, marks, container }),
            Err(message) => {
                // What an engine that is gone still holds, a later run removes.
                let _ = attended.engine.remove_container(&container.id);
                Err(LaunchError(message))
            }
        }
    }

    fn marks<'w>(&self, worker: &'w Worker) -> &'w [Mark] {
        &worker.marks
    }

    fn connection<'w>(&self, worker: &'w mut Worker) -> &'w mut Connection {
        &mut worker.connection
    }

    fn peak_rss_bytes(&self, worker: &Worker) -> Option<u64> {
        let engine = &self.engine.as_ref().ok()?.engine;
        peak_rss_bytes(worker.container.pid(engine)?)
    }

    fn teardown(&self, worker: Worker) -> Teardown {
        let Ok(Attended { engine, .. }) = &self.engine else {
            return Teardown { cpu: CpuTime::default(), trouble: None };
        };
        let Worker { connection, container, .. } = worker;
        // The cgroup goes with its last process.
        let cpu = container.cpu_time(engine);
        drop(connection);
        let ended = engine.end(&container.id, FAREWELL).map_err(|error| error.to_string());
        let trouble = ended.and_then(|end| match end {
            End { status: 0, is_out_of_memory: false } => Ok(()),
            end => {
                let complaints = engine.complaints(&container.id);
                let end = describe(&end, container.memory_bytes, &complaints);
                Err(format!("the worker ended badly ({end})"))
            }
        });
        let removed = engine.remove_container(&container.id).map_err(|error| error.to_string());
        let counted = cpu.as_ref().map(drop).map_err(|error| {
            format!("the processor time of the container cannot be read: {error}")
        });
        let trouble = trouble.and(counted).and(removed).err();
        Teardown { cpu: cpu.unwrap_or_default(), trouble }
    }

    fn autopsy(&self, worker: Worker) -> String {
        let Ok(Attended { engine, .. }) = &self.engine else { return String::new() };
        let Worker { connection, container, .. } = worker;
        drop(connection);
        let end = inquire(engine, &container, Duration::from_millis(100));
        // As in a launch that failed.
        let _ = engine.remove_container(&container.id);
        format!("the worker's end ({end})")
    }

    fn remove_leftovers(layout: &Layout) -> Vec<String> {
        let _ = layout;
        let sockets = SocketDirectory::remove_leftovers();
        let paths = sockets.into_iter().chain(cgroup::remove_leftovers());
        let mut removed: Vec<String> = paths.map(|path| path.display().to_string()).collect();
        let containers = engine::remove_leftovers();
        removed.extend(containers.iter().map(|name| format!("the container {name}")));
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_described_as_that_of_a_process_is() {
        let end = |status, is_out_of_memory| End { status, is_out_of_memory };
        assert_eq!(describe(&end(3, false), 64, "no; more"), "exit status: 3: no; more");
        assert!(describe(&end(134, false), 64, "").starts_with("signal 6, SIGABRT"));
        assert_eq!(
            describe(&end(137, true), 64, ""),
            "the kernel ended it for its memory: the limit is 64 bytes"
        );
    }
}
