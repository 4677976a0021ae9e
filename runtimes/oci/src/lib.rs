//! The `oci` sandbox: a container without a daemon, made by libcontainer in this process.
//!
//! The function's image is unpacked beforehand, as it is on a node that has pulled it. A cold
//! start is then what a container runtime does with it: namespaces, mounts, cgroups,
//! privileges, and the program's start. There is no writable layer: the root file system is
//! mounted read-only as it was unpacked.

mod seccomp;
mod spec;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use libcontainer::container::Container;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use lumos_abi::monotonic_ns;
use lumos_bench::image::{Image, RootFileSystems};
use lumos_bench::sandbox::cgroup::{self, Hierarchy};
use lumos_bench::sandbox::complaints::Complaints;
use lumos_bench::sandbox::connection::{Connection, Listener};
use lumos_bench::sandbox::process::{Child, describe_end, peak_rss_bytes};
use lumos_bench::sandbox::{
    ArtifactManifest, LaunchError, Layout, Mark, Name, Phase, SandboxContext, State, Teardown,
    Trouble, WorkerSpec, sequence,
};
use lumos_bench::{Limits, Sandbox};

use seccomp::Exec;

/// How long a container may take to end by itself once its socket is closed.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where the root file systems of a checkout's images are, unpacked.
pub fn unpacked(layout: &Layout) -> PathBuf {
    layout.lumos().join("rootfs")
}

/// Why this node makes no containers for this process, and what would change that; none if it
/// does.
pub fn lacks() -> Option<String> {
    spec::lacks(&Hierarchy::find())
}

/// Launches containers as children of this process.
#[derive(Debug)]
pub struct Oci {
    listener: Listener,
    /// What is mounted into containers: the folder of the socket, and nothing else.
    shared: PathBuf,
    /// Where libcontainer keeps the state of containers.
    state: PathBuf,
    /// Where the description of the next container is.
    bundle: PathBuf,
    complaints: Complaints,
    null: File,
    root_file_systems: RootFileSystems,
    exec: Exec,
    /// Why this node makes no containers for this process, if it does not.
    lacks: Option<String>,
    hierarchy: Option<Hierarchy>,
    /// The architecture of the workers; another than the node's is for the kernel to emulate.
    arch: String,
    /// Images that were prepared, by the path of their manifests.
    prepared: RefCell<HashMap<PathBuf, Prepared>>,
}

/// An image that is ready to run.
#[derive(Debug, Clone)]
struct Prepared {
    root: PathBuf,
    entrypoint: Vec<String>,
}

impl Oci {
    /// Prepares a sandbox.
    ///
    /// # Errors
    /// When the folder for sockets cannot be written.
    pub fn new(context: &SandboxContext<'_>) -> Result<Self> {
        let folder = context.sockets.join("oci");
        let (shared, state, bundle) =
            (folder.join("run"), folder.join("state"), folder.join("bundle"));
        for folder in [&shared, &state, &bundle] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let socket = shared.join(spec::SOCKET);
        let listener = Listener::bind(&socket, context.timeout).with_context(|| {
            format!("cannot bind {}: a shorter path in TMPDIR may help", socket.display())
        })?;
        // The function runs as nobody, and connects.
        fs::set_permissions(&socket, Permissions::from_mode(0o777))?;
        fs::set_permissions(&shared, Permissions::from_mode(0o755))?;
        let hierarchy = Hierarchy::find();
        let root_file_systems = RootFileSystems::new(unpacked(context.layout));
        if let Ok(built) = ArtifactManifest::read(&context.layout.artifacts()) {
            let digests: Vec<&str> =
                built.artifacts.iter().map(|artifact| artifact.sha256.as_str()).collect();
            root_file_systems.keep_only(&digests);
        }
        Ok(Self {
            listener,
            shared,
            state,
            bundle,
            complaints: Complaints::in_file(&folder.join("stderr"))?,
            null: File::options().read(true).write(true).open("/dev/null")?,
            root_file_systems,
            exec: Exec::new()?,
            lacks: spec::lacks(&hierarchy).or_else(|| context.lacks()),
            hierarchy: hierarchy.ok(),
            arch: context.arch().to_owned(),
            prepared: RefCell::default(),
        })
    }

    fn unpack(&self, manifest: &Path) -> Result<Prepared, Trouble> {
        let failure = |error: anyhow::Error| Trouble::Failure(format!("{error:#}"));
        let image = Image::read(manifest).map_err(failure)?;
        image.check_runnable(&self.arch).map_err(Trouble::Failure)?;
        let root = self.root_file_systems.get(&image).map_err(failure)?;
        Ok(Prepared { root, entrypoint: image.entrypoint })
    }

    /// Describes a container of an image in a bundle, as another container runtime runs it, and
    /// returns the bundle's folder: for a comparison of both. The program connects to this
    /// sandbox's socket.
    ///
    /// # Errors
    /// When the image was not prepared, or the folder cannot be written.
    pub fn bundle(&self, name: &str, worker_spec: &WorkerSpec, limits: &Limits) -> Result<PathBuf> {
        let prepared = self.prepared.borrow();
        let image =
            prepared.get(worker_spec.program.path()).context("the image was not prepared")?;
        let shared = (self.shared.as_path(), worker_spec.state.as_ref());
        let mut spec = spec::of_container(name, &image.root, &image.entrypoint, shared, limits)?;
        if let Some(linux) = spec.linux_mut() {
            linux.set_seccomp(Some(seccomp::profile()?));
        }
        spec.save(self.bundle.join("config.json"))?;
        Ok(self.bundle.clone())
    }

    /// Where the workers connect to.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Makes a container whose program waits to be started.
    fn create(
        &self,
        name: &str,
        image: &Prepared,
        state: Option<&State>,
        limits: &Limits,
    ) -> Result<Container> {
        let shared = (self.shared.as_path(), state);
        let spec = spec::of_container(name, &image.root, &image.entrypoint, shared, limits)?;
        spec.save(self.bundle.join("config.json"))?;
        let container = ContainerBuilder::new(name.to_owned(), SyscallType::default())
            .with_root_path(&self.state)?
            .with_executor(self.exec.clone())
            .with_stdin(self.null.try_clone()?)
            .with_stdout(self.null.try_clone()?)
            .with_stderr(self.complaints.writer()?)
            .as_init(&self.bundle)
            .with_systemd(false)
            .with_detach(true)
            .build()?;
        Ok(container)
    }

    fn describe(&self, what: &str, end: &str, name: &str) -> String {
        let trouble = self.hierarchy.as_ref().and_then(|found| cgroup::memory_trouble(found, name));
        self.complaints.describe(what, trouble.as_deref().unwrap_or(end))
    }

    /// Removes what libcontainer keeps of a container, and its cgroups.
    fn delete(mut container: Container) -> Result<(), String> {
        container.delete(true).map_err(|error| {
            format!("cannot remove the container: {:#}", anyhow::Error::new(error))
        })
    }
}

/// A running container.
pub struct Worker {
    name: String,
    connection: Connection,
    child: Child,
    container: Container,
    marks: Vec<Mark>,
}

impl Sandbox for Oci {
    type Worker = Worker;

    fn prepare(&self, worker_spec: &WorkerSpec) -> Result<(), Trouble> {
        if let Some(reason) = &self.lacks {
            return Err(Trouble::Skip(reason.clone()));
        }
        let manifest = worker_spec.program.path();
        if !self.prepared.borrow().contains_key(manifest) {
            let image = self.unpack(manifest)?;
            self.prepared.borrow_mut().insert(manifest.to_owned(), image);
        }
        Ok(())
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let cgroups = match self.hierarchy {
            Some(Hierarchy::V1 { .. }) => "version 1",
            Some(Hierarchy::V2(_)) => "version 2",
            None => "none",
        };
        let user = if spec::is_root() { "root" } else { "a user namespace" };
        let facts = [("cgroups", cgroups), ("made by", user)];
        facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn check_limits(&self, limits: &Limits) -> Result<(), Trouble> {
        match limits.cgroup && !spec::is_root() {
            true => Err(Trouble::Skip("limits of processors and memory need root".to_owned())),
            false => Ok(()),
        }
    }

    fn launch(&self, worker_spec: &WorkerSpec, limits: &Limits) -> Result<Worker, LaunchError> {
        let prepared = self.prepared.borrow();
        let image = prepared
            .get(worker_spec.program.path())
            .ok_or_else(|| LaunchError("the image was not prepared".to_owned()))?;
        let name = Name::next();
        let mut container =
            self.create(&name, image, worker_spec.state.as_ref(), limits).map_err(|error| {
                cgroup::remove(&name);
                let cause = format!("{error:#}");
                LaunchError(self.complaints.describe("cannot make the container", &cause))
            })?;
        let created = Mark { phase: Phase::Create, end_ns: monotonic_ns() };
        let pid = container.pid().map_or(0, |pid| pid.as_raw().unsigned_abs());
        let child = match Child::adopt(pid) {
            Ok(child) => child,
            Err(error) => {
                let _ = Self::delete(container);
                return Err(LaunchError(format!("the container's process is gone: {error}")));
            }
        };
        let started = container.start().map_err(|error| error.to_string());
        let start = Mark { phase: Phase::Start, end_ns: monotonic_ns() };
        match started.and_then(|()| self.listener.accept(child.life())) {
            Ok((connection, mut announced)) => {
                if let Some(first) = announced.first_mut() {
                    // What the worker calls its start is that of its program.
                    first.phase = Phase::Ready;
                }
                let marks = sequence(vec![created, start], &announced);
                Ok(Worker { name, connection, child, container, marks })
            }
            Err(message) => {
                let (end, _) = child.end(Duration::from_millis(100));
                let message = self.describe(&message, &describe_end(&end), &name);
                let _ = Self::delete(container);
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
        peak_rss_bytes(worker.child.pid())
    }

    fn teardown(&self, worker: Worker) -> Teardown {
        let Worker { name, connection, child, container, .. } = worker;
        drop(connection);
        let (end, cpu) = child.end(FAREWELL);
        let mut trouble = (!end.success())
            .then(|| self.describe("the container ended badly", &describe_end(&end), &name));
        if let Err(error) = Self::delete(container) {
            trouble.get_or_insert(error);
        }
        // What a worker says that served well must not be laid to the next one that fails.
        self.complaints.forget();
        Teardown { cpu, trouble }
    }

    fn unpack(&self, worker_spec: &WorkerSpec, folder: &Path) -> Result<(), Trouble> {
        let unpack = || -> Result<()> {
            let image = Image::read(worker_spec.program.path())?;
            image.layers.iter().try_for_each(|layer| layer.unpack(folder))
        };
        unpack().map_err(|error| Trouble::Failure(format!("{error:#}")))
    }

    fn autopsy(&self, worker: Worker) -> String {
        let Worker { name, connection, child, container, .. } = worker;
        drop(connection);
        let (end, _) = child.end(Duration::from_millis(100));
        let text = self.describe("the container's end", &describe_end(&end), &name);
        match Self::delete(container) {
            Ok(()) => text,
            Err(error) => format!("{text}; {error}"),
        }
    }
}
