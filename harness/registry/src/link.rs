//! A link to a registry whose bandwidth is known: two network namespaces, a pair of interfaces,
//! and a token bucket on that of the registry.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::server::{Server, own_network};

/// Addresses that are set aside for benchmarks (RFC 2544). Each side is in a namespace of its
/// own, so no other use of them is in the way.
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const REGISTRY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const PREFIX: u8 = 30;

/// Any: nobody else is in the namespace.
const PORT: u16 = 5000;

/// What may pass at once after a silence: small beside every image.
const BURST_BYTES: u32 = 16 << 10;

/// How long a packet may wait for its tokens.
const MOST_WAIT_MS: u32 = 100;

/// The link of this process, which it leaves with the value.
#[derive(Debug)]
pub struct Link {
    registry: Namespace,
    interface: String,
    _left: Left,
}

impl Link {
    /// Starts a registry at the other end of a new link.
    ///
    /// # Errors
    /// When the node or this process's rights do not allow it; the process is then where it was.
    pub fn new(folder: &Path) -> Result<(Server, Self), String> {
        Self::try_new(folder).map_err(|error| format!("{error:#}"))
    }

    fn try_new(folder: &Path) -> Result<(Server, Self)> {
        // SAFETY: the call cannot fail.
        ensure!(unsafe { libc::geteuid() } == 0, "network namespaces need root");
        let left = Left::leave()?;
        let server = Server::alone(folder, SocketAddr::from((REGISTRY, PORT)))?;
        let pid = server.pid().to_string();
        // Fifteen bytes at most, which every process id leaves room for.
        let own = std::process::id();
        let (here, there) = (format!("lumos-{own}-c"), format!("lumos-{own}-r"));
        run(
            Namespace::Own,
            "ip link add",
            &[&here, "type", "veth", "peer", "name", &there, "netns", &pid],
        )?;
        let registry = Namespace::Of(server.pid());
        let ends = [(Namespace::Own, &here, CLIENT), (registry, &there, REGISTRY)];
        for (namespace, interface, address) in ends {
            let address = format!("{address}/{PREFIX}");
            run(namespace, "ip address add", &[&address, "dev", interface])?;
            run(namespace, "ip link set", &[interface, "up"])?;
        }
        let link = Self { registry, interface: there, _left: left };
        // A kernel without token buckets shows now, and not after the images were pushed.
        link.limit(u64::from(u32::MAX))?;
        Ok((server, link))
    }

    /// Limits what the registry sends.
    ///
    /// # Errors
    /// When the kernel has no token bucket.
    pub fn limit(&self, bytes_per_s: u64) -> Result<()> {
        let (rate, burst) = (format!("{bytes_per_s}bps"), BURST_BYTES.to_string());
        let latency = format!("{MOST_WAIT_MS}ms");
        let bucket = ["root", "tbf", "rate", &rate, "burst", &burst, "latency", &latency];
        let arguments = [&["dev", self.interface.as_str()], &bucket[..]].concat();
        run(self.registry, "tc qdisc replace", &arguments)
    }
}

/// Whose network a command sees.
#[derive(Debug, Clone, Copy)]
enum Namespace {
    Own,
    Of(u32),
}

/// Runs a command, the words of which are those of iproute2.
fn run(namespace: Namespace, words: &str, arguments: &[&str]) -> Result<()> {
    let mut words = words.split(' ');
    let program = words.next().unwrap_or_default();
    let mut command = match namespace {
        Namespace::Own => Command::new(program),
        Namespace::Of(pid) => {
            let mut command = Command::new("nsenter");
            command.args(["--target", &pid.to_string(), "--net", program]);
            command
        }
    };
    let output = command.args(words).args(arguments).output();
    let output = output.with_context(|| format!("{program}: apt-get install iproute2"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed ({}): {}", output.status, complaint.trim());
    }
    Ok(())
}

/// The network that this process has left, and to which it returns.
#[derive(Debug)]
struct Left(File);

impl Left {
    fn leave() -> Result<Self> {
        let left = File::open("/proc/thread-self/ns/net").context("/proc/thread-self/ns/net")?;
        own_network().context("this process may not make network namespaces")?;
        Ok(Self(left))
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        // SAFETY: an open namespace and an integer. A process that may leave may return.
        unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
    }
}
