//! `cargo xtask build`: every artifact, or what is missing of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use lumos_build::targets::{self, CpuLevel, Platform};
use lumos_build::{BuildRequest, Scope, images};
use lumos_record::{Artifact, ArtifactKind, Layout, Need};

/// Builds every artifact that is missing or stale, after setting up what that takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Build everything anew
    #[arg(long)]
    force: bool,
    /// The architectures to build for: host, x86_64, aarch64 or all
    #[arg(long, value_name = "ARCHITECTURE", default_value = "host")]
    target: String,
    /// What of a processor native code and precompiled Wasm may use: native, x86-64-v2, x86-64-v3
    /// or armv8-a [may be repeated, for one architecture each]
    #[arg(long, value_name = "NAME")]
    isa: Vec<CpuLevel>,
    /// Build the functions' Wasm in every way that the suite `variants` compares
    #[arg(long)]
    variants: bool,
    /// Build what these take and nothing else, as a bench target asks for it.
    #[arg(long, hide = true, value_name = "JSON")]
    needs: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the set-up is incomplete, or the workspace cannot be read. A function that does not
/// compile is an error too, after everything else was built.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let architectures = targets::architectures(&arguments.target)?;
    let platforms = Platform::all(&architectures, &arguments.isa)?;
    let scope = match &arguments.needs {
        Some(needs) => Scope::of(serde_json::from_str::<Vec<Need>>(needs).context("--needs")?),
        None => Scope::everything(arguments.variants),
    };
    let manifest =
        lumos_build::build(layout, &BuildRequest { force: arguments.force, platforms, scope })?;
    if arguments.needs.is_some() {
        return Ok(());
    }
    let folder = layout.artifacts();
    let (images, files): (Vec<&Artifact>, Vec<&Artifact>) =
        manifest.artifacts.iter().partition(|artifact| artifact.kind == ArtifactKind::Image);
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut targets: BTreeMap<&str, usize> = BTreeMap::new();
    for artifact in &manifest.artifacts {
        *targets.entry(&artifact.target).or_default() += 1;
    }
    println!(
        "{} artifacts, {:.1} MiB, and {} images, {:.1} MiB, in {}",
        files.len(),
        mebibytes(files.iter().map(|artifact| artifact.bytes).sum()),
        images.len(),
        // Images share layers: what they take is not the sum of their sizes.
        mebibytes(images::blob_bytes(&folder.join(images::FOLDER))?),
        folder.display()
    );
    let targets = targets.iter().map(|(target, count)| format!("{count} for {target}"));
    println!("{}", targets.collect::<Vec<_>>().join(", "));
    for (name, reason) in &manifest.missing {
        println!("missing: {name}: {reason}");
    }
    Ok(())
}
