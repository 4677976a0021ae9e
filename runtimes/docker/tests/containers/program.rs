//! This program as a worker in an image, which behaves as the image's entry point says.

use std::collections::BTreeSet;
use std::ffi::{CString, OsString};
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use lumos_abi::monotonic_ns;
use lumos_abi::wire::{self, Kind};
use lumos_abi::worker::Options;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Followed by the way to behave.
const ROGUE: &str = "--rogue";

/// An image with this program.
pub struct Image {
    /// What it runs.
    pub entrypoint: Vec<String>,
    /// What it says that it is for.
    pub architecture: String,
}

impl Image {
    /// The image whose program behaves in a way.
    pub fn of_way(way: &str) -> Result<Self> {
        let parts = parts()?;
        let mut words = Vec::new();
        if let Some(linker) = parts.iter().find(|part| name(part).starts_with("ld")) {
            let linker = format!("/lib/{}", name(linker));
            words = vec![linker, "--library-path".to_owned(), "/lib".to_owned()];
        }
        words.extend(["/program".to_owned(), ROGUE.to_owned(), way.to_owned()]);
        let architecture =
            lumos_bench::image::Image::architecture_of(std::env::consts::ARCH).to_owned();
        Ok(Self { entrypoint: words, architecture })
    }

    /// Writes its blobs to a folder, and returns the path of the manifest.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let place = |bytes: &[u8]| -> Result<(Value, PathBuf)> {
            let digest = Sha256::digest(bytes);
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let path = folder.join(&digest);
            fs::write(&path, bytes)?;
            Ok((json!({ "digest": format!("sha256:{digest}"), "size": bytes.len() }), path))
        };
        let media = |mut descriptor: Value, kind: &str| {
            descriptor["mediaType"] = json!(format!("application/vnd.oci.image.{kind}"));
            descriptor
        };
        let config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint },
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let (config, _) = place(&serde_json::to_vec(&config)?)?;
        let (layer, _) = place(layer()?)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": media(config, "config.v1+json"),
            "layers": [media(layer, "layer.v1.tar+gzip")],
        });
        Ok(place(&serde_json::to_vec(&manifest)?)?.1)
    }
}

/// The libraries that this program has mapped, its dynamic linker among them.
fn parts() -> Result<BTreeSet<PathBuf>> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let paths = maps.lines().filter_map(|line| line.find('/').map(|start| &line[start..]));
    Ok(paths.filter(|path| path.contains(".so")).map(PathBuf::from).collect())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A layer with this program and all that it is linked to.
fn layer() -> Result<&'static [u8]> {
    static LAYER: OnceLock<Vec<u8>> = OnceLock::new();
    if LAYER.get().is_none() {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        // Engines do not know what a file with holes is.
        archive.sparse(false);
        archive.append_path_with_name(std::env::current_exe()?, "program")?;
        for part in parts()? {
            archive.append_path_with_name(&part, format!("lib/{}", name(&part)))?;
        }
        let _ = LAYER.set(archive.into_inner()?.finish()?);
    }
    LAYER.get().map(Vec::as_slice).context("no layer")
}

/// Whether this program was started as a worker in an image.
pub fn is_rogue() -> bool {
    std::env::args().nth(1).is_some_and(|argument| argument == ROGUE)
}

/// The worker.
pub fn main() -> ExitCode {
    let entered_ns = monotonic_ns();
    let way = std::env::args().nth(2).expect("the image says how to behave");
    let arguments: Vec<OsString> = std::env::args_os().skip(3).collect();
    let options = Options::parse(arguments.into_iter()).expect("the harness's arguments");
    match way.as_str() {
        "exits-at-once" => {
            eprintln!("I cannot\ngo on");
            return ExitCode::from(7);
        }
        "never-connects" => sleep_for_ever(),
        "is-greedy-at-once" => take_all_memory(),
        _ => {}
    }
    let mut socket = UnixStream::connect(&options.connect).expect("the harness listens");
    let hello = match way.as_str() {
        "says-nonsense" => "lunch 9\n".to_owned(),
        _ => format!("start {entered_ns}\n"),
    };
    wire::send(&mut socket, Kind::Hello, hello.as_bytes()).expect("the harness reads");
    let mut request = Vec::new();
    // Ends when the harness closes the socket.
    while wire::receive(&mut socket, &mut request).is_ok() {
        let answer = answer(&way, &request);
        wire::send(&mut socket, Kind::Response, &answer).expect("the harness reads");
    }
    match way.as_str() {
        "ends-badly" => ExitCode::from(9),
        "lingers" => sleep_for_ever(),
        _ => ExitCode::SUCCESS,
    }
}

fn answer(way: &str, request: &[u8]) -> Vec<u8> {
    match way {
        "crashes" => {
            eprintln!("my stack\nis broken");
            std::process::abort();
        }
        "hangs" => sleep_for_ever(),
        "is-greedy" => take_all_memory(),
        "chatters" => {
            for _ in 0..1000 {
                eprintln!("idle talk");
            }
            request.to_vec()
        }
        "breaks-out" => unless_empty(request, &break_out()),
        "reads-limits" => unless_empty(request, &excesses()),
        _ => request.to_vec(),
    }
}

/// The right answer, if there is nothing to tell.
fn unless_empty(request: &[u8], news: &[String]) -> Vec<u8> {
    match news.is_empty() {
        true => request.to_vec(),
        false => news.join(", ").into_bytes(),
    }
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn take_all_memory() -> ! {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    loop {
        // Memory that was not written to is only promised.
        blocks.push(vec![1; 1 << 20]);
        std::hint::black_box(&blocks);
    }
}

/// Tries what a container must not do, and returns what worked.
fn break_out() -> Vec<String> {
    let mut done = Vec::new();
    let mut tried = |what: &str, worked: bool| {
        if worked {
            done.push(what.to_owned());
        }
    };
    for path in ["/mine", "/lib/mine", "/run/lumos/mine", "/proc/sys/kernel/hostname"] {
        tried(path, fs::File::create(path).and_then(|mut file| file.write_all(b"x")).is_ok());
    }
    tried("removing the socket", fs::remove_file("/run/lumos/s.sock").is_ok());
    let text = |text: &str| CString::new(text).expect("no zero byte");
    let (none, root, folder) = (text("none"), text("/"), text("/run/lumos"));
    let (kind, device) = (text("tmpfs"), text("/dev/shm/memory"));
    // SAFETY: strings that live, and flags; nothing else of this process is touched.
    unsafe {
        let data = std::ptr::null();
        tried("mounting", libc::mount(none.as_ptr(), folder.as_ptr(), kind.as_ptr(), 0, data) == 0);
        tried("changing the root", libc::chroot(root.as_ptr()) == 0);
        tried("becoming root", libc::setuid(0) == 0);
        tried("a namespace", libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) == 0);
        let mode = libc::S_IFCHR | 0o666;
        tried("a device", libc::mknod(device.as_ptr(), mode, libc::makedev(1, 1)) == 0);
        tried("the node's name", libc::sethostname(none.as_ptr(), 4) == 0);
    }
    let far = SocketAddr::from(([192, 0, 2, 1], 80));
    let sent = TcpStream::connect_timeout(&far, Duration::from_millis(200));
    tried("the network", !sent.is_err_and(|e| e.kind() == std::io::ErrorKind::NetworkUnreachable));
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let interfaces = read("/proc/net/dev");
    let others = interfaces.lines().filter(|line| line.contains(':') && !line.contains("lo:"));
    tried("a network interface", others.count() > 0);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |name: &str| name.parse::<u32>().is_ok_and(|pid| pid != std::process::id());
    let others = processes.filter(|entry| is_process(&entry.file_name().to_string_lossy()));
    tried("seeing processes", others.count() > 0);
    let status = read("/proc/self/status");
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "Uid:\t65534\t65534",
        "Gid:\t65534\t65534",
    ] {
        tried(&format!("having no {line:?}"), !status.contains(line));
    }
    let sleep = || std::thread::sleep(Duration::from_secs(60));
    let spawn = |_| std::thread::Builder::new().stack_size(1 << 16).spawn(sleep).is_ok();
    tried("a hundred threads", (0..100).all(spawn));
    done
}

/// What is not as `cpus=0.5,memory=64MiB` says, in either version of cgroups.
fn excesses() -> Vec<String> {
    let read = |paths: [&str; 2]| {
        let text = paths.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        text.trim().to_owned()
    };
    let memory = read(["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
    let cpu = read(["/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"]);
    let wrong = [(memory, "67108864"), (cpu, "50000")].into_iter();
    let wrong = wrong.filter(|(found, wanted)| found.split(' ').next() != Some(wanted));
    wrong.map(|(found, wanted)| format!("{found} instead of {wanted}")).collect()
}
