//! A test's program as a worker in an image, which behaves as the image's entry point says, and the
//! checkouts that have such images.

#![expect(clippy::expect_used, reason = "a worker of a test fails by panicking")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
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
use lumos_record::{ArtifactKind, Mode, Runtime};
use lumos_workloads::sha256_hex;
use serde_json::{Value, json};

use super::break_out::break_out;
use super::checkout::{Answer, Checkout};

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
    ///
    /// # Errors
    /// When what this program is linked to cannot be told.
    pub fn of_way(way: &str) -> Result<Self> {
        let parts = parts()?;
        let mut words = Vec::new();
        if let Some(linker) = parts.iter().find(|part| name(part).starts_with("ld")) {
            let linker = format!("/lib/{}", name(linker));
            words = vec![linker, "--library-path".to_owned(), "/lib".to_owned()];
        }
        words.extend(["/program".to_owned(), ROGUE.to_owned(), way.to_owned()]);
        let architecture = crate::image::Image::architecture_of(std::env::consts::ARCH).to_owned();
        Ok(Self { entrypoint: words, architecture })
    }

    /// Writes its blobs to a folder, and returns the path of the manifest.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        let place = |bytes: &[u8]| -> Result<(Value, PathBuf)> {
            let digest = sha256_hex(bytes);
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

/// A checkout with a runtime of a crate's sandbox for each way to behave; the program that asks, in
/// an image, is the worker of all.
///
/// # Errors
/// When the checkout cannot be written.
pub fn checkout(package: &str, sandbox: &str, ways: &[&str]) -> Result<Checkout> {
    let mut checkout = Checkout::new()?;
    let blobs = checkout.layout().artifacts().join("images");
    checkout.add_workload("echo", &[Answer { payload: "1", request: "one", response: "one" }])?;
    for way in ways {
        let manifest = Image::of_way(way)?.write(&blobs)?;
        add_image(&mut checkout, (package, sandbox), way, &manifest)?;
    }
    Ok(checkout)
}

/// Adds an image, and the runtime of that name that runs it in the sandbox of a crate.
fn add_image(
    checkout: &mut Checkout,
    (package, sandbox): (&str, &str),
    name: &str,
    manifest: &Path,
) -> Result<()> {
    checkout.add_artifact(ArtifactKind::Image, Some("echo"), None, manifest)?;
    let artifact = checkout.manifest.artifacts.last_mut().context("no artifact")?;
    artifact.image = Some(lumos_record::Image {
        base: name.to_owned(),
        holds: ArtifactKind::NativeExe,
        base_bytes: 0,
        compressed_bytes: 0,
        base_compressed_bytes: 0,
    });
    let plain = Runtime::plain(name, package, Mode::Native, "1.0", ArtifactKind::Image);
    checkout.manifest.runtimes.push(Runtime {
        sandbox: sandbox.to_owned(),
        loads: None,
        base: Some(name.to_owned()),
        ..plain
    });
    Ok(())
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
