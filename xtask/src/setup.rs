//! `cargo xtask setup`: installs what building for Wasm and building images takes, and names each
//! thing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::toolchain::{DEBIAN_PACKAGES, Guests, Provider, WASM, debian_start_files};
use crate::{build, process};

/// Installs what is missing, from rustup where that works and from Debian's packages where it
/// does not.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Install Docker's engine too, which is Debian's package docker.io
    #[arg(long)]
    with_docker: bool,
}

/// Runs the command.
///
/// # Errors
/// When something is missing that cannot be installed; the message holds the remedy.
pub fn run(arguments: &Arguments) -> Result<()> {
    let guests = ensure()?;
    // Everything but one base of images works without it.
    if let Err(reason) = debootstrap() {
        eprintln!("note: {reason:#}");
    }
    if arguments.with_docker {
        docker()?;
    }
    println!("Ready: {}", build::describe_toolchain(&guests.record));
    Ok(())
}

/// Makes sure that the guests can be built, and returns what builds them.
///
/// # Errors
/// As [`run`].
pub fn ensure() -> Result<Guests> {
    if let Some(guests) = Guests::find()? {
        return Ok(guests);
    }
    let chosen = Provider::chosen()?;
    if chosen != Some(Provider::Debian)
        && add_target()
        && let Some(guests) = Guests::find()?
    {
        return Ok(guests);
    }
    if chosen == Some(Provider::Rustup) {
        bail!("`rustup target add {WASM}` does not work here, and nothing else was asked for");
    }
    install_packages()?;
    Guests::find()?.with_context(|| {
        format!("still missing after the set-up: {}", Provider::Debian.lacks().join(", "))
    })
}

/// Asks rustup for the Wasm target, and returns whether it delivered.
#[expect(clippy::disallowed_methods, reason = "patience with a server is no measurement")]
fn add_target() -> bool {
    const PATIENCE: Duration = Duration::from_secs(180);
    if process::find("rustup").is_none() {
        return false;
    }
    eprintln!("setup: installing the target {WASM} with `rustup target add {WASM}`");
    let mut command = Command::new("rustup");
    let Ok(mut child) = command.args(["target", "add", WASM]).stdin(Stdio::null()).spawn() else {
        return false;
    };
    // Where rustup's server cannot be reached, it may take for ever to find out.
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return true,
            Ok(Some(_)) | Err(_) => break,
            Ok(None) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    // It may have ended by now.
    let _ = child.kill();
    let _ = child.wait();
    eprintln!("setup: rustup could not; going on with Debian's packages");
    false
}

/// The program that installs Debian into a folder.
pub const DEBOOTSTRAP: &str = "debootstrap";

/// Makes sure that Debian can be installed into a folder: only images upon it take that.
///
/// # Errors
/// When debootstrap is missing and cannot be installed.
pub fn debootstrap() -> Result<()> {
    if is_installed(DEBOOTSTRAP) {
        return Ok(());
    }
    let command = install_command(&[DEBOOTSTRAP]);
    if process::find("apt-get").is_none() {
        bail!("images upon Debian need debootstrap: install it by this node's own means");
    }
    if !process::is_root() {
        bail!("images upon Debian need debootstrap, which root installs with `{command}`");
    }
    install(&[DEBOOTSTRAP])
        .with_context(|| format!("images upon Debian need debootstrap: see `{command}`"))
}

/// Makes sure that Docker's engine is installed, and says how to start it where none answers:
/// what runs on this node is not for a set-up to decide.
fn docker() -> Result<()> {
    const PACKAGE: &str = "docker.io";
    let answers = || {
        let mut command = Command::new("docker");
        process::try_output(command.args(["info", "--format", "{{.ID}}"])).is_some()
    };
    if !answers() && !is_installed("dockerd") {
        let command = install_command(&[PACKAGE]);
        if process::find("apt-get").is_none() {
            bail!("this node has no apt-get: install Docker's engine by its own means");
        }
        if !process::is_root() {
            bail!("Docker's engine is a package, which root installs with\n  {command}");
        }
        install(&[PACKAGE])?;
    }
    if answers() {
        println!("Docker's engine answers");
        return Ok(());
    }
    let start = match Path::new("/run/systemd/system").exists() {
        true => "sudo systemctl start docker",
        false => "sudo sh -c 'setsid --fork dockerd >/var/log/dockerd.log 2>&1'",
    };
    println!("Docker's engine is installed, and does not answer. Start it with\n  {start}");
    Ok(())
}

/// Whether a program is on the PATH or where programs of the system are: those are not on
/// everybody's.
fn is_installed(program: &str) -> bool {
    process::find(program).is_some()
        || ["/usr/sbin", "/sbin"].iter().any(|folder| Path::new(folder).join(program).is_file())
}

/// Installs Debian's packages, as root.
fn install(packages: &[&str]) -> Result<()> {
    eprintln!("setup: installing Debian's packages {}", packages.join(", "));
    process::run(Command::new("apt-get").args(["update", "-q"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "-q", "--no-install-recommends"]).args(packages);
    process::run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// What [`install`] does, for a shell.
fn install_command(packages: &[&str]) -> String {
    format!(
        "sudo sh -c 'apt-get update && apt-get install --yes --no-install-recommends {}'",
        packages.join(" ")
    )
}

/// Installs what guests are compiled with, as root; without root, prints what root would do.
fn install_packages() -> Result<()> {
    let sysroot = Path::new("/usr");
    let target = sysroot.join("lib/rustlib").join(WASM).join("lib");
    if process::find("apt-get").is_none() {
        bail!(
            "this node has no apt-get: install the Rust target {WASM} by its own means, for \
             example with `rustup target add {WASM}`"
        );
    }
    if !process::is_root() {
        bail!(
            "building for Wasm needs packages, which root installs with\n{}",
            one_command(&target)
        );
    }
    let missing: Vec<&str> = DEBIAN_PACKAGES
        .into_iter()
        .filter(|package| {
            let mut query = Command::new("dpkg");
            process::try_output(query.args(["--status", package])).is_none()
        })
        .collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    for (wanted, installed) in debian_start_files(&target) {
        if wanted.exists() {
            continue;
        }
        eprintln!("setup: linking {} to {}", wanted.display(), installed.display());
        let folder = wanted.parent().unwrap_or(&target);
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        std::os::unix::fs::symlink(&installed, &wanted)
            .with_context(|| wanted.display().to_string())?;
    }
    Ok(())
}

/// All that [`install_packages`] does, for a shell.
fn one_command(target: &Path) -> String {
    let links = debian_start_files(target).map(|(_, installed)| installed.display().to_string());
    let folder = target.join("self-contained");
    format!(
        "  sudo sh -c 'apt-get update && apt-get install --yes --no-install-recommends {} && \
         mkdir -p {folder} && ln -sf {} {folder}'",
        DEBIAN_PACKAGES.join(" "),
        links.join(" "),
        folder = folder.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_command_installs_and_links_everything() {
        let command = one_command(Path::new("/usr/lib/rustlib/wasm32-wasip1/lib"));
        for package in DEBIAN_PACKAGES {
            assert!(command.contains(package), "{command}");
        }
        assert!(command.contains("crt1-reactor.o /usr/lib/wasm32-wasi/libc.a"), "{command}");
        assert_eq!(command.trim().lines().count(), 1);
    }
}
