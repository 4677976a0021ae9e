//! The kernel's page cache, dropped on purpose.

use std::fs;

/// Writes back what is dirty, and drops every clean page, directory entry and inode: the next
/// cold start reads its files from the disk.
///
/// # Errors
/// A sentence with the remedy, when the process may not.
pub fn drop_caches() -> Result<(), String> {
    // SAFETY: the call takes nothing.
    unsafe { libc::sync() };
    fs::write("/proc/sys/vm/drop_caches", "3")
        .map_err(|error| format!("cannot drop the page cache ({error}): that needs root"))
}
