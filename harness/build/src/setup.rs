//! Installs what building for Wasm and building images takes, and names each thing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;
use crate::targets::Arch;
use crate::toolchain::{DEBIAN_PACKAGES, Guests, Provider, WASM, debian_start_files};

/// Makes sure that guests can be built for Wasm and for architectures, and returns what builds
/// them.
///
/// # Errors
/// When something is missing that cannot be installed; the message holds the remedy.
pub fn ensure(architectures: &[Arch]) -> Result<Guests> {
    for &arch in architectures.iter().filter(|&&arch| !arch.is_host()) {
        cross_compiler(arch)?;
    }
    if let Some(guests) = Guests::find(architectures)? {
        return Ok(guests);
    }
    let chosen = Provider::chosen()?;
    let triples = architectures.iter().map(|arch| arch.triple());
    let wanted: Vec<String> = [WASM.to_owned()].into_iter().chain(triples).collect();
    if chosen != Some(Provider::Debian)
        && add_targets(&wanted)
        && let Some(guests) = Guests::find(architectures)?
    {
        return Ok(guests);
    }
    if chosen == Some(Provider::Rustup) {
        bail!(
            "`rustup target add {}` does not work here, and nothing else was asked for",
            wanted.join(" ")
        );
    }
    install_packages()?;
    Guests::find(architectures)?.with_context(|| {
        let lacks = Provider::Debian.lacks(architectures);
        format!("still missing after the set-up: {}", lacks.join(", "))
    })
}

/// Asks rustup for targets, and returns whether it delivered.
#[expect(clippy::disallowed_methods, reason = "patience with a server is no measurement")]
fn add_targets(targets: &[String]) -> bool {
    const PATIENCE: Duration = Duration::from_secs(180);
    if process::find("rustup").is_none() {
        return false;
    }
    eprintln!("setup: installing targets with `rustup target add {}`", targets.join(" "));
    let mut command = Command::new("rustup");
    command.args(["target", "add"]).args(targets);
    let Ok(mut child) = command.stdin(Stdio::null()).spawn() else {
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

/// Makes sure that programs can be linked for another architecture.
fn cross_compiler(arch: Arch) -> Result<()> {
    let packages = arch.cross_packages();
    let packages = packages.each_ref().map(String::as_str);
    let library = format!("/usr/{}-linux-gnu/lib/libc.a", arch.name());
    if process::find("apt-get").is_some() && !Path::new(&library).exists() {
        return install_or_tell(&arch.cross_compiler(), &packages, &format!("building for {arch}"));
    }
    need(&arch.cross_compiler(), &packages, &format!("building for {arch}"))
}

/// Makes sure that another architecture's programs can be run.
///
/// # Errors
/// When the emulator is missing and cannot be installed; the message holds the remedy.
pub fn emulator(arch: Arch) -> Result<()> {
    need(&arch.emulator(), &["qemu-user-static"], &format!("running programs for {arch}"))
}

/// Makes sure that Wasm can be optimised after it was compiled: only some variants take that.
///
/// # Errors
/// When Binaryen is missing and cannot be installed; the message holds the remedy.
pub fn wasm_opt() -> Result<()> {
    need(WASM_OPT, &["binaryen"], "optimising Wasm after it was compiled")
}

/// Makes sure that a Redis can be started: only some cases of functions that keep state take that.
///
/// # Errors
/// When Redis is missing and cannot be installed; the message holds the remedy.
pub fn redis() -> Result<()> {
    need(REDIS, &[REDIS], "measuring functions that keep their state in Redis")
}

/// Makes sure that the instructions of machine code can be counted: only the suite `counts` takes
/// that.
///
/// # Errors
/// When valgrind is missing and cannot be installed; the message holds the remedy.
pub fn valgrind() -> Result<()> {
    const VALGRIND: &str = "valgrind";
    need(VALGRIND, &[VALGRIND], "counting the instructions of machine code")
}

/// The server of Redis; each process that measures with it starts its own.
pub const REDIS: &str = "redis-server";

/// Binaryen's optimiser.
pub const WASM_OPT: &str = "wasm-opt";

/// Makes sure that a program is there, which packages of Debian bring.
fn need(program: &str, packages: &[&str], purpose: &str) -> Result<()> {
    if is_installed(program) {
        return Ok(());
    }
    install_or_tell(program, packages, purpose)
}

/// Installs packages as root; without root, says what root would do.
fn install_or_tell(program: &str, packages: &[&str], purpose: &str) -> Result<()> {
    if process::find("apt-get").is_none() {
        bail!("{purpose} needs {program}: install it by this node's own means");
    }
    let command = install_command(packages);
    if !process::is_root() {
        bail!("{purpose} needs {program}, which root installs with `{command}`");
    }
    install(packages).with_context(|| format!("{purpose} needs {program}: see `{command}`"))
}

/// The program that installs Debian into a folder.
pub const DEBOOTSTRAP: &str = "debootstrap";

/// Makes sure that Debian can be installed into a folder: only images upon it take that.
///
/// # Errors
/// When debootstrap is missing and cannot be installed.
pub fn debootstrap() -> Result<()> {
    need(DEBOOTSTRAP, &[DEBOOTSTRAP], "making images upon Debian")
}

/// Makes sure that Docker's engine is installed, and says how to start it where none answers:
/// what runs on this node is not for a set-up to decide.
///
/// # Errors
/// When it is missing and cannot be installed; the message holds the remedy.
pub fn docker() -> Result<()> {
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
