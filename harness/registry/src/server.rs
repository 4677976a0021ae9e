//! A registry of the check's own, in a folder that is removed with it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::http::Connection;

/// The program, as Debian calls it.
const PROGRAM: &str = "docker-registry";

/// The version of the installed registry.
///
/// # Errors
/// When there is none; the reason holds the remedy.
pub fn version() -> Result<String, String> {
    let output = Command::new(PROGRAM).arg("--version").output().map_err(|error| {
        format!(
            "the model of a pull is not checked, since there is no registry ({PROGRAM}: {error}): \
             apt-get install {PROGRAM}"
        )
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A registry, ended with the value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
    /// Where it can be reached.
    pub address: SocketAddr,
}

impl Server {
    /// Starts a registry on the loopback interface.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn on_loopback(folder: &Path) -> Result<Self> {
        // The registry cannot say which port it was given, so it is given one that is free.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Self::start(folder, address, false)
    }

    /// Starts a registry in a network namespace of its own, in which nothing is set up yet.
    ///
    /// # Errors
    /// When it cannot be started, or this process may not make namespaces.
    pub fn alone(folder: &Path, address: SocketAddr) -> Result<Self> {
        Self::start(folder, address, true)
    }

    fn start(folder: &Path, address: SocketAddr, is_alone: bool) -> Result<Self> {
        let listen = match is_alone {
            // Its address is none of its namespace's yet.
            true => SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())),
            false => address,
        };
        let config = json!({
            "version": 0.1,
            "log": { "level": "warn", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": folder.join("blobs") } },
            "http": { "addr": listen.to_string(), "relativeurls": true, "secret": "none" },
        });
        let (path, log) = (folder.join("registry.yml"), folder.join("registry.log"));
        // YAML holds JSON.
        fs::write(&path, config.to_string()).with_context(|| path.display().to_string())?;
        let mut command = Command::new(PROGRAM);
        // Variables of the environment would overrule the configuration.
        command.arg("serve").arg(&path).env_clear().stdin(Stdio::null());
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        command.stdout(output.try_clone()?).stderr(output);
        let prepare = move || {
            // SAFETY: integers alone.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            if is_alone { own_network() } else { Ok(()) }
        };
        // SAFETY: between fork and exec, the closure makes two system calls and nothing else.
        unsafe { command.pre_exec(prepare) };
        let child = command.spawn().with_context(|| format!("cannot start {PROGRAM}"))?;
        Ok(Self { child, log, address })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Connects, as soon as the registry listens.
    ///
    /// # Errors
    /// When it has ended, or does not listen within ten seconds; the message holds its last words.
    pub fn connect(&self) -> Result<Connection> {
        let mut last = None;
        for _ in 0..500 {
            match Connection::open(self.address) {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
            if self.has_ended() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let words = log.lines().next_back().unwrap_or("it says nothing");
        let error = last.map_or_else(String::new, |error| format!("{error:#}"));
        bail!("the registry does not answer ({error}): {words}")
    }

    fn has_ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z'))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left of it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts the calling thread, and what it starts, into a fresh network namespace.
///
/// # Errors
/// When the process may not.
pub fn own_network() -> io::Result<()> {
    // SAFETY: an integer alone; files and memory stay shared with the other threads.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
