//! What is mounted, in a namespace that nobody else sees.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Keeps what this process and its children mount from everybody else.
///
/// # Errors
/// When this user may not.
pub fn keep_apart() -> Result<()> {
    // SAFETY: no memory is passed; this program has one thread by now.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })
        .context("faults are provoked under mounts of their own, as root")?;
    mount("none", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "")
}

/// Covers a folder with a disk in memory, as long as the guard lives.
///
/// # Errors
/// When it cannot be mounted.
pub fn cover(folder: &Path, options: &str) -> Result<Covered> {
    mount("tmpfs", folder, "tmpfs", 0, options)?;
    Ok(Covered(folder.to_owned()))
}

/// The guard of [`cover`].
pub struct Covered(PathBuf);

impl Drop for Covered {
    fn drop(&mut self) {
        // Whatever is left mounted shows in the next fault.
        let _ = unmount(&self.0);
    }
}

/// Mounts something.
///
/// # Errors
/// When it cannot be; the message names the place.
pub fn mount(
    what: &str,
    place: &Path,
    kind: &str,
    flags: libc::c_ulong,
    options: &str,
) -> Result<()> {
    let text = |text: &str| CString::new(text).context("a NUL in a path");
    let (what, kind, options) = (text(what)?, text(kind)?, text(options)?);
    let target = text(&place.display().to_string())?;
    // SAFETY: five strings that live as long as the call.
    let outcome = unsafe {
        libc::mount(what.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    };
    check(outcome).with_context(|| format!("cannot mount {}", place.display()))
}

/// Unmounts what is at a place, once nobody uses it any more.
///
/// # Errors
/// When nothing is.
pub fn unmount(place: &Path) -> Result<()> {
    let target = CString::new(place.display().to_string()).context("a NUL in a path")?;
    // SAFETY: a string that lives as long as the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) })
        .with_context(|| format!("cannot unmount {}", place.display()))
}

fn check(outcome: libc::c_int) -> Result<()> {
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().into()),
    }
}

/// Unmounts everything below a folder, the innermost first.
pub fn unmount_below(folder: &Path) {
    for place in places().iter().rev().filter(|place| place.starts_with(folder)) {
        // Whatever is left shows when the folder is removed.
        let _ = unmount(place);
    }
}

/// Where something is mounted, the latest last.
pub fn places() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().filter_map(|line| line.split(' ').nth(4).map(PathBuf::from)).collect()
}
