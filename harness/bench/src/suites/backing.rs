//! Memory that the node has, and may never have used.
//!
//! A hypervisor backs a page when it is touched for the first time, which takes it several times as
//! long as the kernel needs for a page that was used before. What takes new memory, such as an
//! instance of some engines, would so be faster from run to run, until all has been touched.

use std::fs;

use crate::node::meminfo_bytes;

/// What is touched at most: more than the processes of a round have at once.
const MOST_BYTES: u64 = 512 << 20;

/// Touches memory and gives it back, so that the kernel hands out pages that are backed: it takes
/// what came back last. Where there is little memory, or none to be had, less is touched.
pub fn touch() {
    let bytes = (available_bytes() / 4).min(MOST_BYTES);
    let Ok(length) = usize::try_from(bytes) else { return };
    // SAFETY: a fresh mapping, which nobody else knows of, is made and given back.
    unsafe {
        let address = libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
            -1,
            0,
        );
        if address != libc::MAP_FAILED {
            libc::munmap(address, length);
        }
    }
}

/// What processes can have without others having to give it up; 0 where the kernel does not tell.
fn available_bytes() -> u64 {
    available(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

fn available(meminfo: &str) -> u64 {
    meminfo_bytes(meminfo, "MemAvailable:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read_and_touched() {
        assert_eq!(available("MemTotal:  12 kB\nMemAvailable:    8 kB\n"), 8 << 10);
        assert_eq!(available("MemTotal:  12 kB\n"), 0);
        assert!(available_bytes() > 0);
        touch();
    }
}
