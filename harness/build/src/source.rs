//! Hashes over sources: an artifact is stale when its hash has changed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lumos_record::Layout;
use sha2::{Digest, Sha256};

/// Everything that a function is built from.
///
/// # Errors
/// When a source cannot be read.
pub fn guest_hash(layout: &Layout, function: &str) -> Result<String> {
    let guests = layout.guests();
    let mut parts =
        ["abi", function, "Cargo.toml", "Cargo.lock"].map(|part| guests.join(part)).to_vec();
    let manifest = guests.join(function).join("Cargo.toml");
    let manifest = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    if manifest.contains("lumos-state") {
        parts.push(guests.join("state"));
    }
    hash(&layout.root, &parts)
}

/// Everything that a runtime crate's workers are built from.
///
/// # Errors
/// When a source cannot be read.
pub fn worker_hash(layout: &Layout, package: &str) -> Result<String> {
    let folder = package.strip_prefix("lumos-").unwrap_or(package);
    let root = &layout.root;
    let worker_sources =
        ["cpu", "engine", "guest", "lib", "memory", "precompile", "state", "worker"];
    let bench = root.join("harness/bench/src");
    let mut parts: Vec<PathBuf> =
        worker_sources.iter().map(|module| bench.join(format!("{module}.rs"))).collect();
    parts.extend(["bench", "features"].map(|of| root.join("harness").join(of).join("Cargo.toml")));
    // What a compiler says of its work is defined there.
    parts.extend(["src", "Cargo.toml"].map(|part| root.join("harness/record").join(part)));
    parts.extend(["abi", "state"].map(|part| layout.guests().join(part)));
    let own = root.join("runtimes").join(folder);
    let manifest = own.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    if text.contains("lumos-wasi") {
        parts.extend(["src", "Cargo.toml"].map(|part| root.join("harness/wasi").join(part)));
    }
    parts.extend([own.join("src"), manifest]);
    parts.extend(["Cargo.toml", "Cargo.lock"].map(|file| root.join(file)));
    hash(root, &parts)
}

/// SHA-256 over the names, relative to `root`, and contents of files and folders.
fn hash(root: &Path, parts: &[PathBuf]) -> Result<String> {
    let mut files = Vec::new();
    for part in parts {
        collect(part, &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let contents = fs::read(&file).with_context(|| file.display().to_string())?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
        // Lengths keep two files from passing for one.
        for bytes in [name.as_bytes(), &contents] {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = fs::read_dir(path).with_context(|| path.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name != "target") {
            collect(&path, files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_count_and_build_folders_do_not() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str, contents: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        };
        let hash = || hash(root.path(), &[root.path().join("crate")]).unwrap();
        file("crate/src/lib.rs", "a");
        let first = hash();
        file("crate/target/debug/x", "ignored");
        assert_eq!(hash(), first);
        file("crate/src/lib.rs", "b");
        assert_ne!(hash(), first);
        file("crate/src/lib.rs", "a");
        assert_eq!(hash(), first);
        fs::rename(root.path().join("crate/src/lib.rs"), root.path().join("crate/src/l.rs"))
            .unwrap();
        assert_ne!(hash(), first);
    }
}
