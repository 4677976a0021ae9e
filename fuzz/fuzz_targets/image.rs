//! The layers and the manifests of images that somebody else has built.

#![no_main]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use lumos_bench::image::{Image, Layer};
use lumos_workloads::sha256_hex;

fuzz_target!(|data: &[u8]| {
    let Some((&what, rest)) = data.split_first() else { return };
    let place = lumos_fuzz::folder();
    match what {
        b'm' => manifest(place.path(), rest),
        b'z' => layer(place.path(), rest),
        // A tar file, which is compressed here: no mutation would leave a sum right.
        _ => {
            let mut compressed = GzEncoder::new(Vec::new(), Compression::none());
            compressed.write_all(rest).unwrap();
            layer(place.path(), &compressed.finish().unwrap());
        }
    }
});

/// Unpacks a layer into a folder, beside which nothing may come to lie or to change.
fn layer(place: &Path, bytes: &[u8]) {
    let digest = sha256_hex(bytes);
    let blobs = place.join("blobs");
    fs::create_dir(&blobs).unwrap();
    let path = blobs.join(&digest);
    fs::write(&path, bytes).unwrap();
    let jail = place.join("jail");
    let root = jail.join("root");
    fs::create_dir_all(&root).unwrap();
    fs::write(jail.join("canary"), "sings").unwrap();
    let layer = Layer { digest, path, compressed_bytes: bytes.len() as u64 };
    let _ = layer.unpack(&root);
    let mut beside: Vec<_> =
        fs::read_dir(&jail).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    beside.sort();
    assert_eq!(beside, ["canary", "root"]);
    assert_eq!(fs::read_to_string(jail.join("canary")).unwrap(), "sings");
    assert_eq!(fs::metadata(jail.join("canary")).unwrap().permissions().mode() & 0o7777, 0o644);
    check(&root);
}

/// No set-id bits, and only files, folders and links.
fn check(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        assert!(kind.is_dir() || kind.is_file() || kind.is_symlink(), "{kind:?}");
        if kind.is_symlink() {
            continue;
        }
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o6000, 0, "{:?}", entry.path());
        if kind.is_dir() {
            check(&entry.path());
        }
    }
}

/// Reads an image whose configuration has the digest that its manifest names.
fn manifest(blobs: &Path, data: &[u8]) {
    let mut files: Vec<(&str, &[u8])> = lumos_fuzz::files(data).collect();
    files.sort();
    let [("config", config), ("manifest", manifest)] = files[..] else { return };
    let digest = sha256_hex(config);
    fs::write(blobs.join(&digest), config).unwrap();
    let manifest = String::from_utf8_lossy(manifest).replace("@config@", &digest);
    let path = blobs.join("image");
    fs::write(&path, manifest).unwrap();
    let Ok(image) = Image::read(&path) else { return };
    let _ = image.check_runnable("x86_64");
    for layer in &image.layers {
        assert!(layer.read().is_err(), "no layer was written");
    }
}
