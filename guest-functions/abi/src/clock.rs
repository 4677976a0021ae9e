//! The monotonic clock: of the phase ledger, and of timings where a request asks for them.

/// Reads the monotonic clock, which all processes and containers of a node share.
#[cfg(unix)]
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec; CLOCK_MONOTONIC exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Reads the monotonic clock of WASI; 0 where the host has none.
#[cfg(not(unix))]
pub fn monotonic_ns() -> u64 {
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        fn clock_time_get(clock: u32, precision_ns: u64, time_ns: *mut u64) -> u32;
    }
    /// The monotonic clock's number in WASI's preview 1.
    const MONOTONIC: u32 = 1;
    let mut time_ns = 0;
    // Called directly: the standard library's way there brings code that no function needs.
    // SAFETY: the pointer is to a live integer.
    unsafe { clock_time_get(MONOTONIC, 1, &raw mut time_ns) };
    time_ns
}

/// What one reading of the clock takes, in picoseconds: the mean of a thousand.
pub fn clock_cost_ps() -> u64 {
    const READINGS: u64 = 1000;
    let start_ns = monotonic_ns();
    let mut end_ns = start_ns;
    for _ in 0..READINGS {
        end_ns = monotonic_ns();
    }
    end_ns.saturating_sub(start_ns) * 1000 / READINGS
}
