//! The base `distroless`: the C library, certificates and time zones, without a shell.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tar::{Archive, EntryType};

use super::apt::Apt;
use super::bases::Collected;
use super::layer::{Content, Entry, mount_points};
use crate::process;
use crate::targets::Arch;

/// What the base is made of.
pub const PACKAGES: [&str; 4] = ["ca-certificates", "libc6", "libgcc-s1", "tzdata"];

/// What a program does not read.
const LEFT_OUT: [&str; 6] = [
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
];

/// The folders that releases have moved into `usr`, one after the other.
const MOVED: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];

/// Whether the node can make the base.
///
/// # Errors
/// When it cannot, with the remedy.
pub fn check(_: Arch) -> Result<()> {
    if process::find("dpkg-deb").is_none() {
        bail!("it is unpacked with dpkg-deb: install Debian's package dpkg");
    }
    Ok(())
}

/// What the base holds, and the versions of its packages.
///
/// # Errors
/// When a package cannot be had or read.
pub fn collect(apt: &Apt, folder: &Path) -> Result<Collected> {
    let mut tree = Tree::default();
    let mut versions = Vec::new();
    for package in apt.download(&PACKAGES, folder)? {
        let mut show = Command::new("dpkg-deb");
        show.args(["--show", "--showformat=${Package} ${Version}"]).arg(&package);
        versions.push(process::quiet_output(&mut show)?);
        let mut unpack = Command::new("dpkg-deb");
        let unpacked = unpack
            .arg("--fsys-tarfile")
            .arg(&package)
            .output()
            .with_context(|| process::show(&unpack))?;
        if !unpacked.status.success() {
            bail!("{}: {}", process::show(&unpack), String::from_utf8_lossy(&unpacked.stderr));
        }
        tree.unpack(&unpacked.stdout).with_context(|| package.display().to_string())?;
    }
    Ok(Collected { entries: tree.finish(), contents: versions.join(", ") })
}

/// The files of several packages, by their paths.
#[derive(Debug, Default)]
struct Tree(BTreeMap<PathBuf, Entry>);

impl Tree {
    fn put(&mut self, entry: Entry) {
        self.0.insert(entry.path.clone(), entry);
    }

    /// Adds what a package's archive holds and a program may read.
    fn unpack(&mut self, archive: &[u8]) -> Result<()> {
        for member in Archive::new(archive).entries()? {
            let mut member = member?;
            let path = merged(&member.path()?);
            let is_root = path.as_os_str().is_empty();
            let is_moved = MOVED.iter().any(|folder| path == Path::new(folder));
            if is_root || is_moved || is_left_out(&path) {
                continue;
            }
            let target = || {
                let target = member.link_name().ok().flatten();
                target.map(|target| target.into_owned()).context("a link to nothing")
            };
            let content = match member.header().entry_type() {
                EntryType::Directory => Content::Folder,
                EntryType::Symlink => Content::Symlink(target()?),
                EntryType::Link => {
                    let target = merged(&target()?);
                    let linked = self.0.get(&target);
                    linked.with_context(|| target.display().to_string())?.content.clone()
                }
                EntryType::Regular => {
                    let mut bytes = Vec::new();
                    member.read_to_end(&mut bytes)?;
                    Content::Bytes(bytes)
                }
                other => bail!("{}: a layer holds no {other:?}", path.display()),
            };
            let mode = member.header().mode()?;
            self.put(Entry::new(path, content).with_mode(mode & 0o7777));
        }
        Ok(())
    }

    /// Adds what packages leave to their installation.
    fn finish(mut self) -> Vec<Entry> {
        let certificates = self.certificates();
        let files = [
            ("etc/ssl/certs/ca-certificates.crt", certificates.as_slice()),
            (
                "etc/passwd",
                b"root:x:0:0:root:/:/usr/sbin/nologin\n\
                  nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
            ),
            ("etc/group", b"root:x:0:\nnobody:x:65534:\n"),
        ];
        for (path, contents) in files {
            self.put(Entry::new(path, Content::Bytes(contents.to_vec())));
        }
        // The loader's path is /lib64 and the like, wherever a release keeps it.
        for folder in MOVED {
            let target = Path::new("usr").join(folder);
            if self.0.keys().any(|path| path.starts_with(&target)) {
                self.put(Entry::new(folder, Content::Symlink(target)));
            }
        }
        for entry in mount_points() {
            self.put(entry);
        }
        let paths: Vec<PathBuf> = self.0.keys().cloned().collect();
        for folder in paths.iter().flat_map(|path| path.ancestors().skip(1)) {
            if !folder.as_os_str().is_empty() && !self.0.contains_key(folder) {
                self.put(Entry::new(folder, Content::Folder));
            }
        }
        self.0.into_values().collect()
    }

    /// All certificates in one file, which is where programs look for them.
    fn certificates(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for (path, entry) in &self.0 {
            let is_one = path.starts_with("usr/share/ca-certificates/mozilla")
                && path.extension().is_some_and(|extension| extension == "crt");
            if let (true, Content::Bytes(certificate)) = (is_one, &entry.content) {
                all.extend_from_slice(certificate.trim_ascii_end());
                all.push(b'\n');
            }
        }
        all
    }
}

/// A path of a package as it is after the move into `usr`, without what leads to it.
fn merged(path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
    let path: PathBuf = parts.collect();
    match MOVED.iter().any(|folder| path.starts_with(folder) && path != Path::new(folder)) {
        true => Path::new("usr").join(path),
        false => path,
    }
}

fn is_left_out(path: &Path) -> bool {
    // Licences stay with what they are about.
    let is_licence = path.file_name().is_some_and(|name| name == "copyright");
    !is_licence && LEFT_OUT.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::layer;
    use super::*;

    fn tree(entries: Vec<Entry>) -> BTreeMap<PathBuf, Entry> {
        let mut package = Vec::new();
        layer::write(entries, &mut package).unwrap();
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(package.as_slice()).read_to_end(&mut archive).unwrap();
        let mut tree = Tree::default();
        tree.unpack(&archive).unwrap();
        tree.finish().into_iter().map(|entry| (entry.path.clone(), entry)).collect()
    }

    fn file(path: &str, contents: &str) -> Entry {
        Entry::new(path, Content::Bytes(contents.into()))
    }

    #[test]
    fn the_loader_is_found_in_releases_before_and_after_the_move() {
        let before = vec![
            Entry::new("lib", Content::Folder),
            Entry::new("lib64", Content::Folder),
            file("lib/machine/ld.so", "loader").with_mode(0o755),
            Entry::new("lib64/ld.so", Content::Symlink("/lib/machine/ld.so".into())),
        ];
        let after = vec![
            Entry::new("lib64", Content::Symlink("usr/lib64".into())),
            file("usr/lib/machine/ld.so", "loader").with_mode(0o755),
            Entry::new("usr/lib64/ld.so", Content::Symlink("/lib/machine/ld.so".into())),
        ];
        let [before, after] = [before, after].map(tree);
        assert_eq!(before, after);
        assert_eq!(after[Path::new("lib64")].content, Content::Symlink("usr/lib64".into()));
        assert_eq!(after[Path::new("usr/lib/machine/ld.so")].mode, 0o755);
        assert!(!after.contains_key(Path::new("bin")));
    }

    #[test]
    fn licences_are_kept_and_other_documents_are_not() {
        let tree = tree(vec![
            file("usr/share/doc/libc6/changelog.gz", "much"),
            file("usr/share/doc/libc6/copyright", "licence"),
            file("usr/share/man/man1/ld.so.1", "how"),
        ]);
        let paths: BTreeSet<_> = tree.keys().filter_map(|path| path.to_str()).collect();
        assert!(paths.contains("usr/share/doc/libc6/copyright"), "{paths:?}");
        assert!(paths.contains("usr/share/doc/libc6"), "{paths:?}");
        assert!(!paths.iter().any(|path| path.contains("changelog") || path.contains("man")));
    }

    #[test]
    fn certificates_are_one_file_in_the_order_of_their_names() {
        let tree = tree(vec![
            file("usr/share/ca-certificates/mozilla/B.crt", "second"),
            file("usr/share/ca-certificates/mozilla/A.crt", "first\n"),
            file("usr/share/ca-certificates/mozilla/README", "no certificate"),
        ]);
        let bundle = &tree[Path::new("etc/ssl/certs/ca-certificates.crt")];
        assert_eq!(bundle.content, Content::Bytes(b"first\nsecond\n".to_vec()));
        assert_eq!(tree[Path::new("tmp")].mode, 0o1777);
    }
}
