//! Pulls from a real registry, over links of known bandwidth: what the model of a pull is
//! checked against.
//!
//! As root, the registry and this process each get a network namespace without a name, and a
//! token bucket limits what the registry sends. The kernel removes both with the last process
//! in them, so nothing is left however the check ends, but for a folder of temporary files,
//! which the next check removes.

#![expect(clippy::disallowed_methods, reason = "how long a pull takes is what it measures")]

mod http;
mod link;
mod server;

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lumos_bench::sandbox::SocketDirectory;
use lumos_bench::suites;
use lumos_record::{Artifact, ArtifactKind, ArtifactManifest, Layout, Pull, PullCheck};
use lumos_workloads::sha256_hex;
use oci_spec::image::{Descriptor, ImageManifest};

use http::Connection;
use link::Link;
use server::Server;

/// What the registry's link lets through, in turn: 200 and 50 Mbit/s.
const BANDWIDTHS_BYTES_PER_S: [u64; 2] = [25_000_000, 6_250_000];

/// How often the round trip is measured for its median.
const ROUND_TRIPS: usize = 21;

/// The type of the manifests that the build makes.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The `main` of the program that makes the check: writes [`PullCheck::FILE`] into `target/lumos`.
pub fn main() -> ExitCode {
    let outcome = suites::layout().and_then(|layout| run(&layout));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the check. A node that lacks something gives notes, and fewer pulls or none.
fn run(layout: &Layout) -> Result<()> {
    let file = layout.lumos().join(PullCheck::FILE);
    // What an earlier check found must not pass for this one's.
    match fs::remove_file(&file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| file.display().to_string());
        }
        _ => {}
    }
    for leftover in SocketDirectory::remove_leftovers() {
        println!("removed {}", leftover.display());
    }
    let manifest = ArtifactManifest::read(&layout.artifacts())
        .context("`cargo xtask build` builds the images")?
        .on(std::env::consts::ARCH);
    let mut check =
        PullCheck { schema_version: lumos_record::SCHEMA_VERSION, ..Default::default() };
    match server::version() {
        Err(reason) => check.notes.push(reason),
        Ok(version) => {
            check.registry = version;
            measure(&layout.artifacts(), &manifest, &mut check)?;
        }
    }
    for note in &check.notes {
        println!("note: {note}");
    }
    fs::write(&file, serde_json::to_vec_pretty(&check)?).with_context(|| file.display().to_string())
}

/// Pushes the images, and pulls each over each link.
fn measure(artifacts: &Path, manifest: &ArtifactManifest, check: &mut PullCheck) -> Result<()> {
    let images = one_per_base(manifest);
    if images.is_empty() {
        check.notes.push("there are no images to pull: `cargo xtask build` builds them".to_owned());
        return Ok(());
    }
    let folder = SocketDirectory::create().context("cannot make a temporary folder")?;
    let (server, link) = match Link::new(folder.path()) {
        Ok((server, link)) => (server, Some(link)),
        Err(reason) => {
            check.notes.push(format!("no limit of bandwidth, loopback instead: {reason}"));
            (Server::on_loopback(folder.path())?, None)
        }
    };
    let address = server.address;
    let mut connection = server.connect()?;
    for artifact in &images {
        push(&mut connection, &artifacts.join(&artifact.path), &repository(artifact))
            .with_context(|| format!("cannot push {}", artifact.path.display()))?;
    }
    drop(connection);
    let bandwidths: Vec<Option<u64>> = match link {
        Some(_) => BANDWIDTHS_BYTES_PER_S.map(Some).to_vec(),
        None => vec![None],
    };
    for bandwidth_bytes_per_s in bandwidths {
        if let (Some(link), Some(bytes_per_s)) = (&link, bandwidth_bytes_per_s) {
            link.limit(bytes_per_s)?;
        }
        let round_trip_ns = round_trip_ns(address)?;
        for artifact in &images {
            let Some(image) = &artifact.image else { continue };
            let mut pull = Pull {
                function: artifact.function.clone().unwrap_or_default(),
                base: image.base.clone(),
                layers: image.layers(),
                compressed_bytes: image.compressed_bytes,
                bandwidth_bytes_per_s,
                round_trip_ns,
                times_ns: Vec::new(),
            };
            for _ in 0..repetitions(&pull) {
                let time = time_pull(address, &repository(artifact))
                    .with_context(|| format!("cannot pull {}", repository(artifact)))?;
                pull.times_ns.push(time.as_nanos() as u64);
            }
            println!("{}", describe(&pull));
            check.pulls.push(pull);
        }
    }
    Ok(())
}

/// The smallest image of a native function on each base.
fn one_per_base(manifest: &ArtifactManifest) -> Vec<&Artifact> {
    let mut found: Vec<(&str, u64, &Artifact)> = Vec::new();
    for artifact in &manifest.artifacts {
        let Some(image) = &artifact.image else { continue };
        if ArtifactKind::NATIVE_EXECUTABLES.contains(&image.holds) {
            found.push((&image.base, image.compressed_bytes, artifact));
        }
    }
    found.sort_by_key(|&(base, bytes, _)| (base, bytes));
    found.dedup_by_key(|(base, ..)| *base);
    found.sort_by_key(|&(_, bytes, _)| bytes);
    found.into_iter().map(|(.., artifact)| artifact).collect()
}

/// What an image is called in the registry.
fn repository(artifact: &Artifact) -> String {
    let base = artifact.image.as_ref().map_or("", |image| image.base.as_str());
    format!("lumos/{base}")
}

/// As many pulls as keep the whole check below a minute.
fn repetitions(pull: &Pull) -> usize {
    let bytes_per_s = pull.bandwidth_bytes_per_s.unwrap_or(u64::MAX);
    if pull.compressed_bytes < bytes_per_s { 5 } else { 3 }
}

fn describe(pull: &Pull) -> String {
    let link = match pull.bandwidth_bytes_per_s {
        Some(bytes_per_s) => format!("{} Mbit/s", bytes_per_s * 8 / 1_000_000),
        None => "loopback".to_owned(),
    };
    let times_ms: Vec<String> =
        pull.times_ns.iter().map(|&ns| format!("{:.1}", ns as f64 / 1e6)).collect();
    let Pull { function, base, compressed_bytes, .. } = pull;
    format!("{function} on {base} ({compressed_bytes} bytes), {link}: {} ms", times_ms.join(", "))
}

/// Uploads an image's blobs, and its manifest last.
fn push(connection: &mut Connection, manifest: &Path, repository: &str) -> Result<()> {
    let text = fs::read(manifest)?;
    let parsed = ImageManifest::from_reader(text.as_slice()).context("no manifest of an image")?;
    let blobs = manifest.parent().context("a manifest lies among the blobs of its layout")?;
    for blob in blobs_of(&parsed) {
        let path: PathBuf = blobs.join(blob.digest().digest());
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        let begun = connection.request("POST", &uploads, &[], b"")?.expect(202)?;
        let location = begun.header("location").context("the registry names no upload")?;
        let separator = if location.contains('?') { '&' } else { '?' };
        let upload = format!("{location}{separator}digest={}", blob.digest());
        let kind = ("Content-Type", "application/octet-stream");
        connection.request("PUT", &upload, &[kind], &bytes)?.expect(201)?;
    }
    let path = format!("/v2/{repository}/manifests/latest");
    connection.request("PUT", &path, &[("Content-Type", MANIFEST)], &text)?.expect(201)?;
    Ok(())
}

/// What a manifest refers to.
fn blobs_of(manifest: &ImageManifest) -> impl Iterator<Item = &Descriptor> {
    std::iter::once(manifest.config()).chain(manifest.layers())
}

/// The median time of the smallest request on an open connection.
fn round_trip_ns(address: SocketAddr) -> Result<u64> {
    let mut connection = Connection::open(address)?;
    let mut times_ns = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        let answer = connection.request("HEAD", "/v2/", &[], b"")?;
        times_ns.push(start.elapsed().as_nanos() as u64);
        answer.expect(200)?;
    }
    times_ns.sort_unstable();
    Ok(times_ns[ROUND_TRIPS / 2])
}

/// Pulls an image over a connection of its own: its manifest, then its configuration, then one
/// layer after the other. Digests are compared after the clock has stopped.
fn time_pull(address: SocketAddr, repository: &str) -> Result<Duration> {
    let mut bodies = Vec::new();
    let start = Instant::now();
    let mut connection = Connection::open(address)?;
    let path = format!("/v2/{repository}/manifests/latest");
    let manifest = connection.request("GET", &path, &[("Accept", MANIFEST)], b"")?.expect(200)?;
    let manifest = ImageManifest::from_reader(manifest.body.as_slice())
        .context("the registry's manifest is none")?;
    for blob in blobs_of(&manifest) {
        let path = format!("/v2/{repository}/blobs/{}", blob.digest());
        bodies.push(connection.request("GET", &path, &[], b"")?.expect(200)?.body);
    }
    let elapsed = start.elapsed();
    for (blob, body) in blobs_of(&manifest).zip(&bodies) {
        let is_whole = sha256_hex(body) == blob.digest().digest();
        ensure!(is_whole, "{} is not what was pushed", blob.digest());
    }
    Ok(elapsed)
}

#[cfg(test)]
mod tests {
    use lumos_record::Image;

    use super::*;

    fn artifact(function: &str, base: &str, holds: ArtifactKind, bytes: u64) -> Artifact {
        Artifact {
            function: Some(function.into()),
            bytes,
            image: Some(Image {
                base: base.into(),
                holds,
                base_bytes: 0,
                compressed_bytes: bytes,
                base_compressed_bytes: 0,
            }),
            ..Artifact::new(ArtifactKind::Image, "unused", "")
        }
    }

    #[test]
    fn the_smallest_native_image_stands_for_its_base() {
        use ArtifactKind::{NativeExe, NativeExeDynamic, Wasm};
        let artifacts = vec![
            artifact("large", "debian", NativeExeDynamic, 900),
            artifact("large", "scratch", NativeExe, 30),
            artifact("small", "debian", NativeExeDynamic, 800),
            artifact("small", "scratch", Wasm, 1),
            artifact("small", "scratch", NativeExe, 20),
        ];
        let manifest = ArtifactManifest { artifacts, ..ArtifactManifest::default() };
        let found: Vec<u64> = one_per_base(&manifest).iter().map(|found| found.bytes).collect();
        assert_eq!(found, [20, 800]);
    }
}
