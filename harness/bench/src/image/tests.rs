//! Layers as they are built, altered, and made to do harm.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// A layer with these files, as a blob in `folder`.
fn layer(folder: &Path, files: &[(&str, &str)]) -> Layer {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, contents) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, name, contents.as_bytes()).unwrap();
    }
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    let digest = sha256_hex(&bytes);
    let path = folder.join(&digest);
    fs::write(&path, &bytes).unwrap();
    Layer { digest, path, compressed_bytes: bytes.len() as u64 }
}

fn image(layers: Vec<Layer>) -> Image {
    let (entrypoint, architecture) = (vec!["/function".into()], "amd64".into());
    Image { digest: "0123".into(), layers, entrypoint, architecture }
}

#[test]
fn layers_lie_one_above_the_other_and_the_lower_are_shared() {
    let blobs = tempfile::tempdir().unwrap();
    let base = layer(blobs.path(), &[("etc/name", "base"), ("lib/c", "library")]);
    let own = layer(blobs.path(), &[("function", "code"), ("etc/name", "own")]);
    let unpacked = RootFileSystems::new(blobs.path().join("unpacked"));
    let root = unpacked.get(&image(vec![base.clone(), own])).unwrap();
    let read = |folder: &Path, name| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read(&root, "function"), "code");
    assert_eq!(read(&root, "lib/c"), "library");
    assert_eq!(read(&root, "etc/name"), "own");
    // A file that a layer replaces must stay what it was for the other images.
    assert_eq!(read(&unpacked.layer(&base).unwrap(), "etc/name"), "base");
    unpacked.keep_only(&[]);
    assert!(!root.exists());
}

/// What becomes of a layer with one entry of that type, path and target, and what it left in the
/// folder above the one that it is unpacked into.
fn unpacked(kind: EntryType, path: &[u8], target: &str) -> (String, Vec<String>) {
    let mut header = tar::Header::new_old();
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(0o6755);
    if !target.is_empty() {
        header.set_link_name(target).unwrap();
    }
    header.set_uid(0);
    header.set_gid(0);
    // By hand: a builder takes no such paths.
    header.as_old_mut().name[..path.len()].copy_from_slice(path);
    header.set_cksum();
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    archive.append(&header, io::empty()).unwrap();
    // Whatever the first is: what would come to lie behind it.
    let mut behind = tar::Header::new_gnu();
    behind.set_size(4);
    behind.set_mode(0o644);
    behind.set_uid(0);
    behind.set_gid(0);
    let inner = format!("{}/inner", String::from_utf8_lossy(path));
    if kind == EntryType::Symlink {
        archive.append_data(&mut behind, inner, &b"text"[..]).unwrap();
    }
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("root");
    fs::create_dir(&folder).unwrap();
    let message = unpack(&bytes, &folder).err().map(|error| format!("{error:#}"));
    let left = fs::read_dir(above.path()).unwrap().flatten();
    let names = left.map(|entry| entry.file_name().to_string_lossy().into_owned());
    (message.unwrap_or_default(), names.filter(|name| name != "root").collect())
}

#[test]
fn a_layer_cannot_reach_out_of_its_root() {
    for (kind, path, target, part) in [
        (EntryType::Regular, &b"../out"[..], "", "leads out of the layer"),
        (EntryType::Regular, b"a/../../out", "", "leads out of the layer"),
        (EntryType::Directory, b"../out", "", "leads out of the layer"),
        (EntryType::Symlink, b"way", "..", "outside"),
        (EntryType::Symlink, b"way", "/tmp", "outside"),
        (EntryType::Link, b"stolen", "../out", "failed to unpack"),
        (EntryType::Block, b"disk", "", "and no Block"),
        (EntryType::Char, b"memory", "", "and no Char"),
        (EntryType::Fifo, b"pipe", "", "and no Fifo"),
    ] {
        let (message, left) = unpacked(kind, path, target);
        assert!(message.contains(part), "{kind:?} {target}: no `{part}` in {message}");
        assert_eq!(left, [""; 0], "{kind:?} {target}");
    }
    // A name that begins at the root is one below the layer's own.
    assert_eq!(unpacked(EntryType::Regular, b"/out", ""), (String::new(), Vec::new()));
}

#[test]
fn nobody_becomes_another_user_by_a_layer() {
    let blobs = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o6755);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, "su", io::empty()).unwrap();
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    unpack(&bytes, blobs.path()).unwrap();
    let mode = fs::metadata(blobs.path().join("su")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn a_bomb_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    let mut header = tar::Header::new_gnu();
    let bytes = Bounded::LEAST_BYTES * 2;
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, "zeros", io::repeat(0).take(bytes)).unwrap();
    let bomb = archive.into_inner().unwrap().finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let message = format!("{:#}", unpack(&bomb, folder.path()).unwrap_err());
    assert!(message.contains("more than 100 times its size"), "{message}");
}

#[test]
fn modes_are_those_of_the_image_whatever_the_mask() {
    let blobs = tempfile::tempdir().unwrap();
    let own = layer(blobs.path(), &[("implied/function", "code")]);
    // SAFETY: the call cannot fail; what other tests make meanwhile they read themselves.
    let mask = unsafe { libc::umask(0o077) };
    let root = RootFileSystems::new(blobs.path().join("unpacked")).get(&image(vec![own]));
    // SAFETY: as above.
    unsafe { libc::umask(mask) };
    let root = root.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let paths = [root.clone(), root.join("implied"), root.join("implied/function")];
    assert_eq!(paths.map(|path| mode(&path)), [0o755; 3]);
}

#[test]
fn an_altered_layer_leaves_nothing_unpacked() {
    let blobs = tempfile::tempdir().unwrap();
    let own = layer(blobs.path(), &[("function", "code")]);
    fs::File::options().append(true).open(&own.path).unwrap().write_all(b"x").unwrap();
    let folder = blobs.path().join("unpacked");
    let error = RootFileSystems::new(folder.clone()).get(&image(vec![own])).unwrap_err();
    assert!(format!("{error:#}").contains("not what was built"), "{error:#}");
    let left: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).collect();
    assert!(left.iter().all(|path| path.ends_with("lock")), "{left:?}");
}

#[test]
fn an_image_of_another_architecture_and_one_without_entry_point_are_refused() {
    let mut image = image(Vec::new());
    image.architecture = "riscv64".into();
    assert!(image.check_runnable("x86_64").unwrap_err().contains("riscv64"));
    image.architecture = "arm64".into();
    image.entrypoint.clear();
    assert!(image.check_runnable("aarch64").unwrap_err().contains("entry point"));
}

#[test]
fn what_is_no_manifest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blob");
    fs::write(&path, "no").unwrap();
    assert!(Image::read(&path).unwrap_err().to_string().contains("blob"));
}
