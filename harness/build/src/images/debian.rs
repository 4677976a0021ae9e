//! The base `debian`: the node's own release, as small as its installer makes it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::Apt;
use super::bases::Collected;
use super::layer::{Content, Entry};
use crate::emulation::Emulation;
use crate::targets::Arch;
use crate::{process, setup};

/// What belongs to the node that made the base, or to the moment; of folders, the contents.
const LEFT_OUT: [&str; 13] = [
    "dev",
    "etc/.pwd.lock",
    "etc/hostname",
    "etc/machine-id",
    "etc/resolv.conf",
    "proc",
    "run",
    "sys",
    "tmp",
    "var/cache/apt",
    "var/cache/ldconfig",
    "var/lib/apt/lists",
    "var/log",
];

/// Whether the node can make the base; installs what that takes.
///
/// # Errors
/// When it cannot, with the remedy.
pub fn check(arch: Arch) -> Result<()> {
    if !process::is_root() {
        bail!("it is made with debootstrap, which needs root: build as root to have it");
    }
    if !arch.is_host() {
        setup::emulator(arch)?;
    }
    setup::debootstrap()
}

/// What the base holds, and its version.
///
/// # Errors
/// When a package cannot be had, or the installation fails.
pub fn collect(apt: &Apt, folder: &Path) -> Result<Collected> {
    // It would wait for a mirror that is silent for longer than anybody else.
    apt.lists()?;
    // The packages' own scripts run in the new system.
    let _emulation = Emulation::begin(apt.arch)?;
    let root = folder.join("root");
    let mut command = Command::new("unshare");
    // What it mounts ends with its own namespace, even when it is interrupted.
    command.args(["--mount", setup::DEBOOTSTRAP, "--variant=minbase"]);
    command.arg(format!("--arch={}", apt.arch.debian())).arg(&apt.suite);
    command.arg(&root).arg(&apt.mirror);
    // Programs of the system are not on every root's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    let output = command.output().with_context(|| process::show(&command))?;
    if !output.status.success() {
        // It complains on its standard output, and what it calls on its standard error.
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let complaint: Vec<&str> = said.lines().filter(|line| !line.starts_with("I:")).collect();
        bail!("`{}` failed ({})\n{}", process::show(&command), output.status, complaint.join("\n"));
    }
    let mut entries = Vec::new();
    collect_folder(&root, Path::new(""), &mut entries)?;
    Ok(Collected { entries, contents: version(&root)? })
}

/// The release and how many packages it has.
fn version(root: &Path) -> Result<String> {
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    let release = read("etc/debian_version")?;
    let status = read("var/lib/dpkg/status")?;
    let packages = status.lines().filter(|line| line.starts_with("Package:")).count();
    Ok(format!("Debian {}, {packages} packages", release.trim()))
}

/// What is below a folder of `root`, without what a layer does not hold.
fn collect_folder(root: &Path, folder: &Path, entries: &mut Vec<Entry>) -> Result<()> {
    let on_disk = root.join(folder);
    for child in fs::read_dir(&on_disk).with_context(|| on_disk.display().to_string())? {
        let child = child?;
        let path = folder.join(child.file_name());
        let metadata = child.metadata().with_context(|| path.display().to_string())?;
        let is_left_out = LEFT_OUT.iter().any(|left_out| path == Path::new(left_out));
        let content = match metadata.file_type() {
            kind if kind.is_dir() => Content::Folder,
            // Devices, sockets and pipes are made by whoever runs the image.
            kind if is_left_out || !(kind.is_file() || kind.is_symlink()) => continue,
            kind if kind.is_file() => Content::File(child.path()),
            _ => Content::Symlink(fs::read_link(child.path())?),
        };
        let is_folder = content == Content::Folder;
        let owner = (u64::from(metadata.uid()), u64::from(metadata.gid()));
        let mode = metadata.permissions().mode() & 0o7777;
        entries.push(Entry { path: path.clone(), mode, owner, content });
        if is_folder && !is_left_out {
            collect_folder(root, &path, entries)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_and_the_moment_stay_outside() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            "dev/shm/used",
            "etc/debian_version",
            "etc/hostname",
            "usr/bin/true",
            "var/cache/apt/archives/a.deb",
            "var/lib/dpkg/status",
            "var/log/dpkg.log",
        ];
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "Package: a\n\nPackage: b\n").unwrap();
        }
        fs::write(root.path().join("etc/debian_version"), "12.15\n").unwrap();
        std::os::unix::fs::symlink("usr/bin", root.path().join("bin")).unwrap();
        let program = root.path().join("usr/bin/true");
        fs::set_permissions(program, fs::Permissions::from_mode(0o4755)).unwrap();
        let mut entries = Vec::new();
        collect_folder(root.path(), Path::new(""), &mut entries).unwrap();
        let find = |path: &str| entries.iter().find(|entry| entry.path == Path::new(path));
        for path in ["dev/shm", "etc/hostname", "var/cache/apt/archives", "var/log/dpkg.log"] {
            assert_eq!(find(path), None);
        }
        for path in ["dev", "var/cache/apt", "var/log", "var/lib/dpkg/status"] {
            assert!(find(path).is_some(), "{path}");
        }
        assert_eq!(find("usr/bin/true").unwrap().mode, 0o4755);
        assert_eq!(find("bin").unwrap().content, Content::Symlink("usr/bin".into()));
        assert_eq!(version(root.path()).unwrap(), "Debian 12.15, 2 packages");
    }
}
