//! How much memory a process used.

/// The most memory that was resident of one process, which must still live.
pub fn peak_rss_bytes(pid: i32) -> Option<u64> {
    // VmHWM is the peak of this one process. The peak in the resource usage of children would
    // be the largest of all children so far.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
