//! Lets the kernel run another architecture's programs, through an emulator.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::targets::{self, Arch};

/// Where the kernel is told which program runs which files.
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// While it lives, the kernel runs an architecture's programs wherever they are started, in
/// containers too. What was there before stays, and nothing else does.
#[derive(Debug)]
pub struct Emulation {
    /// Whether the folder of handlers was mounted here.
    is_mounted: bool,
    /// The handler that was registered here.
    handler: Option<PathBuf>,
}

impl Emulation {
    /// Makes sure that programs of an architecture run; those of the host's do.
    ///
    /// # Errors
    /// When the emulator is not installed, or the kernel does not let this process register it.
    pub fn begin(arch: Arch) -> Result<Self> {
        let mut emulation = Self { is_mounted: false, handler: None };
        if arch.is_host() {
            return Ok(emulation);
        }
        remove_leftovers();
        if is_handled(arch) {
            return Ok(emulation);
        }
        let emulator = targets::emulator(arch)?;
        if !process::is_root() {
            bail!(
                "the kernel does not run programs for {arch}, and only root can tell it how: \
                 install Debian's package binfmt-support beside qemu-user-static"
            );
        }
        if !Path::new(HANDLERS).join("register").exists() {
            let mut mount = Command::new("mount");
            mount.args(["-t", "binfmt_misc", "binfmt_misc", HANDLERS]);
            process::quiet_output(&mut mount)?;
            emulation.is_mounted = true;
        }
        // It may have been known all the time, and only not been visible.
        if !is_handled(arch) {
            let name = own_name(arch, emulation.is_mounted);
            register(&name, arch, &emulator)
                .with_context(|| format!("the kernel does not take {}", emulator.display()))?;
            emulation.handler = Some(Path::new(HANDLERS).join(name));
        }
        Ok(emulation)
    }
}

impl Drop for Emulation {
    fn drop(&mut self) {
        if let Some(handler) = &self.handler {
            // The kernel's way to say: forget it.
            let _ = fs::write(handler, "-1");
        }
        if self.is_mounted {
            let _ = process::quiet_output(Command::new("umount").arg(HANDLERS));
        }
    }
}

/// What the handlers are called that this program registers: by the process, so that a later one
/// can tell what was left behind, and whether the folder was mounted for it.
fn own_name(arch: Arch, is_mounted: bool) -> String {
    let mounted = if is_mounted { MOUNTED } else { "" };
    format!("{PREFIX}{}-{arch}{mounted}", std::process::id())
}

const PREFIX: &str = "lumos-";
const MOUNTED: &str = "-mounted";

/// Removes the handlers of processes that are no more, and returns their names.
pub fn remove_leftovers() -> Vec<String> {
    let mut removed = Vec::new();
    for entry in fs::read_dir(HANDLERS).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let is_dead = owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if !is_dead || fs::write(entry.path(), "-1").is_err() {
            continue;
        }
        if name.ends_with(MOUNTED) {
            let _ = process::quiet_output(Command::new("umount").arg(HANDLERS));
        }
        removed.push(name);
    }
    removed
}

/// Whether a handler is registered for an architecture under the name that Debian gives it, and in
/// such a way that it works in containers.
fn is_handled(arch: Arch) -> bool {
    let handler = Path::new(HANDLERS).join(format!("qemu-{arch}"));
    fs::read_to_string(handler).is_ok_and(|text| {
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        // Only with `F` is the emulator found where the program's root is another.
        text.starts_with("enabled") && flags.is_some_and(|flags| flags.contains('F'))
    })
}

/// Tells the kernel that an emulator runs an architecture's ELF files.
fn register(name: &str, arch: Arch, emulator: &Path) -> io::Result<()> {
    // A 64-bit little-endian ELF file of any system; then, in the bytes 16 to 19, an executable or
    // a shared object for the machine of this number.
    let machine: u8 = match arch {
        Arch::X86_64 => 0x3e,
        Arch::Aarch64 => 0xb7,
    };
    let magic = [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 9], &[2, 0, machine, 0]].concat();
    let mask = [[0xff; 7].as_slice(), &[0], &[0xff; 8], &[0xfe, 0xff, 0xff, 0xff]].concat();
    let escaped =
        |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect() };
    let line =
        format!(":{name}:M::{}:{}:{}:F", escaped(&magic), escaped(&mask), emulator.display());
    fs::write(Path::new(HANDLERS).join("register"), line)
}
