//! What functions keep their state in while they are measured: a folder, and a Redis of this
//! process's own.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lumos_record::StateBackend;
use lumos_state::Store;
use lumos_workloads::Value;

use crate::sandbox::{State, Trouble};

/// The server's program.
const SERVER: &str = "redis-server";
/// How long the server may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes state available, each kind at its first use.
#[derive(Debug)]
pub struct States {
    folder: PathBuf,
    redis: Option<Redis>,
}

impl States {
    /// State in a folder below that of the sockets, which is removed after the run.
    pub fn new(sockets: &Path) -> Self {
        Self { folder: sockets.join("state"), redis: None }
    }

    /// State that holds what a function is to find, and nothing of earlier cases that it may find.
    ///
    /// # Errors
    /// A skip where this node has no Redis.
    pub fn prepare(&mut self, backend: StateBackend, value: &Value) -> Result<State, Trouble> {
        let state = State { backend, folder: self.folder.clone() };
        let values = self.folder.join(State::VALUES);
        open_to_all(&self.folder)
            .and_then(|()| open_to_all(&values))
            .map_err(|error| Trouble::Failure(format!("{}: {error}", values.display())))?;
        if backend == StateBackend::Redis {
            self.start_redis()?;
        }
        let before = value.before.as_ref().map(|request| request.generate());
        let put = Store::open(&state.seen())
            .and_then(|mut store| store.put(&value.key, &before.unwrap_or_default()));
        put.map_err(|error| Trouble::Failure(format!("cannot prepare the state: {error}")))?;
        Ok(state)
    }

    /// Ends the server, as when it breaks.
    pub fn stop_redis(&mut self) {
        self.redis = None;
    }

    /// Starts the server, unless it runs.
    fn start_redis(&mut self) -> Result<(), Trouble> {
        if self.redis.as_mut().is_some_and(Redis::runs) {
            return Ok(());
        }
        self.redis = Some(Redis::start(&self.folder)?);
        Ok(())
    }
}

/// Compares what a function left with what it was to leave.
///
/// # Errors
/// A sentence that says how they differ.
pub fn check(state: &State, value: &Value) -> Result<(), String> {
    let Some(after) = value.left() else { return Ok(()) };
    let (found, expected) = (self::value(state, &value.key)?, after.generate());
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "the function left {} bytes under the key `{}` instead of {}, or others",
        found.len(),
        value.key,
        expected.len()
    ))
}

/// What lies under a key; empty where nothing does.
///
/// # Errors
/// When the state cannot be read.
pub fn value(state: &State, key: &str) -> Result<Vec<u8>, String> {
    let found = Store::open(&state.seen()).and_then(|mut store| store.get(key));
    Ok(found.map_err(|error| format!("cannot read the state: {error}"))?.unwrap_or_default())
}

/// A folder that functions may use who run as another user.
fn open_to_all(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o777))
}

/// A server that listens on a Unix socket and nowhere else, and writes nothing to the disk.
#[derive(Debug)]
struct Redis {
    server: Child,
}

impl Redis {
    fn start(folder: &Path) -> Result<Self, Trouble> {
        let socket = folder.join(State::REDIS);
        let mut command = Command::new(SERVER);
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        command.arg("--unixsocket").arg(&socket).args(["--unixsocketperm", "777"]);
        command.arg("--dir").arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: one system call that takes integers alone.
        unsafe {
            command.pre_exec(|| {
                // It does not outlive this process.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let server = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Trouble::Skip(format!(
                "there is no `{SERVER}` on this node: `cargo xtask setup` installs it"
            )),
            _ => Trouble::Failure(format!("{SERVER}: {error}")),
        })?;
        let mut started = Self { server };
        started.wait(&socket).map_err(Trouble::Failure)?;
        Ok(started)
    }

    /// Waits until the server answers.
    fn wait(&mut self, socket: &Path) -> Result<(), String> {
        let start = Instant::now();
        let backend = lumos_state::Backend::Redis(socket.to_owned());
        loop {
            let answer = Store::open(&backend).and_then(|mut store| store.get("started"));
            let Err(error) = answer else { return Ok(()) };
            if !self.runs() {
                return Err(format!("{SERVER} ended at once"));
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("{SERVER} does not answer: {error}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn runs(&mut self) -> bool {
        matches!(self.server.try_wait(), Ok(None))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It holds nothing that is worth a farewell.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
