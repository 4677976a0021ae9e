//! The deadline of the invocation in progress, shared with the supervisor.
//!
//! A guest that loops for ever inside this process cannot be stopped from within without
//! metering it, which would change what is measured. So the process is watched from outside,
//! and ended.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lumos_abi::monotonic_ns;

/// A deadline in memory that two processes share; 0 is none.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    deadline_ns: &'static AtomicU64,
    limit_ns: u64,
}

impl Watch {
    /// A watch that nobody looks at.
    pub fn alone(limit: Duration) -> Self {
        Self { deadline_ns: Box::leak(Box::default()), limit_ns: limit.as_nanos() as u64 }
    }

    /// Maps the file at `path`, which is made if need be, for the rest of the process's life.
    ///
    /// # Errors
    /// When the file cannot be made or mapped.
    pub fn shared(path: &Path, limit: Duration) -> io::Result<Self> {
        let file =
            File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        // A file with a hole would be filled when it is written to, and then it may be too late.
        // SAFETY: the file is open.
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, size_of::<AtomicU64>() as i64) } {
            0 => {}
            code => return Err(io::Error::from_raw_os_error(code)),
        }
        // SAFETY: a fresh mapping, as long as the file, which nobody unmaps or shortens.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<AtomicU64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping is aligned to a page, zeroed, and stays.
        let deadline_ns = unsafe { &*address.cast::<AtomicU64>() };
        Ok(Self { deadline_ns, limit_ns: limit.as_nanos() as u64 })
    }

    /// Something begins that must end within the limit.
    pub fn arm(&self) {
        self.deadline_ns.store(monotonic_ns() + self.limit_ns, Ordering::Relaxed);
    }

    /// Nothing is under way.
    pub fn disarm(&self) {
        self.deadline_ns.store(0, Ordering::Relaxed);
    }

    /// Whether what began has not ended in time.
    pub fn has_expired(&self) -> bool {
        let deadline_ns = self.deadline_ns.load(Ordering::Relaxed);
        deadline_ns != 0 && monotonic_ns() > deadline_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_seen_through_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("watch");
        let measuring = Watch::shared(&path, Duration::ZERO).unwrap();
        let supervisor = Watch::shared(&path, Duration::ZERO).unwrap();
        assert!(!supervisor.has_expired());
        measuring.arm();
        std::thread::sleep(Duration::from_millis(1));
        assert!(supervisor.has_expired());
        measuring.disarm();
        assert!(!supervisor.has_expired());
    }
}
