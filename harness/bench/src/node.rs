//! The node's fingerprint, and how quiet it is.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lumos_record::Node;

/// Reads the fingerprint of this node; takes a few milliseconds, since the clock is measured.
pub fn fingerprint() -> Node {
    let (timer_precision_ns, timer_cost_ns) = timer();
    let cpuinfo = read("/proc/cpuinfo");
    Node {
        cpu_model: cpu_model(&cpuinfo),
        cpus: std::thread::available_parallelism().map_or(0, |cpus| cpus.get() as u32),
        arch: std::env::consts::ARCH.to_owned(),
        memory_bytes: memory_bytes(),
        kernel: read("/proc/sys/kernel/osrelease"),
        os: os(),
        governor: governor(),
        cgroup: cgroup().to_owned(),
        virtualization: virtualization(&cpuinfo),
        timer_precision_ns,
        timer_cost_ns,
        emulated: is_emulated(&cpuinfo),
    }
}

/// The fingerprint of this node as programs of another architecture see it, through an emulator.
pub fn emulated(arch: &str) -> Node {
    Node { arch: arch.to_owned(), emulated: true, ..fingerprint() }
}

/// Times a piece of work that is always the same, some tenths of a millisecond of whole numbers:
/// nothing in it depends on memory.
///
/// Eight chains keep the core's units busy. One chain would wait for itself most of the time, and
/// hardly be slower when the core's other thread belongs to somebody who works: by 10 % at the 90th
/// percentile over the 10th, where this was slower by 76 % (8,000 of each in turns, on a shared
/// Intel Xeon, 2026-11-30), as functions are.
pub fn time_work() -> Duration {
    let start = Instant::now();
    let mut chains = [1_u64, 2, 3, 4, 5, 6, 7, 8];
    for _ in 0..60_000 {
        for (number, state) in (0..).zip(&mut chains) {
            let next = state.wrapping_mul(6_364_136_223_846_793_005) ^ number;
            *state = next.rotate_left(7).wrapping_add(*state >> 3);
        }
        std::hint::black_box(&mut chains);
    }
    start.elapsed()
}

/// Runs the same short computation many times, and returns how much longer its slow runs (the
/// 95th percentile) take than its median run: 1.0 on a silent node.
pub fn noise() -> f64 {
    let mut times: Vec<f64> = (0..400).map(|_| time_work().as_secs_f64()).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() * 95 / 100] / times[times.len() / 2]
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The value of the first `key : value` line in `/proc/cpuinfo`.
fn cpuinfo_field<'c>(cpuinfo: &'c str, key: &str) -> Option<&'c str> {
    cpuinfo.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn cpu_model(cpuinfo: &str) -> String {
    // ARM kernels name no model, but numbers that identify it.
    cpuinfo_field(cpuinfo, "model name").map_or_else(
        || {
            let part = |key| cpuinfo_field(cpuinfo, key).unwrap_or("?");
            format!("implementer {} part {}", part("CPU implementer"), part("CPU part"))
        },
        str::to_owned,
    )
}

fn memory_bytes() -> u64 {
    meminfo_bytes(&read("/proc/meminfo"), "MemTotal:")
}

/// A line of the kernel's `meminfo`, by what it begins with; 0 where there is none.
pub fn meminfo_bytes(meminfo: &str, name: &str) -> u64 {
    let kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn os() -> String {
    let release = read("/etc/os-release");
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_owned()
}

fn governor() -> String {
    match read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") {
        governor if governor.is_empty() => "none".to_owned(),
        governor => governor,
    }
}

fn cgroup() -> &'static str {
    let mounts = read("/proc/self/mounts");
    let mut kinds = mounts.lines().filter_map(|line| line.split(' ').nth(2));
    let (mut v1, mut v2) = (false, false);
    for kind in kinds.by_ref() {
        v1 |= kind == "cgroup";
        v2 |= kind == "cgroup2";
    }
    match (v1, v2) {
        (true, true) => "hybrid",
        (true, false) => "v1",
        (false, true) => "v2",
        (false, false) => "none",
    }
}

fn virtualization(cpuinfo: &str) -> String {
    let hypervisor =
        cpuinfo_field(cpuinfo, "flags").is_some_and(|f| f.split(' ').any(|f| f == "hypervisor"));
    match (hypervisor, read("/sys/class/dmi/id/sys_vendor")) {
        (false, _) => "none".to_owned(),
        (true, vendor) if vendor.is_empty() => "unnamed hypervisor".to_owned(),
        (true, vendor) => vendor,
    }
}

/// Whether another architecture's emulator runs this program: the kernel then still describes
/// the real processor, whose fields differ from those of the program's architecture.
fn is_emulated(cpuinfo: &str) -> bool {
    match std::env::consts::ARCH {
        "x86_64" => cpuinfo_field(cpuinfo, "vendor_id").is_none(),
        "aarch64" => cpuinfo_field(cpuinfo, "CPU implementer").is_none(),
        _ => false,
    }
}

/// The smallest step and the cost of the monotonic clock, in nanoseconds.
fn timer() -> (u64, u64) {
    const READINGS: u32 = 1000;
    let mut smallest = u64::MAX;
    let mut costs: Vec<u64> = (0..50)
        .map(|_| {
            let start = Instant::now();
            let mut before = start;
            for _ in 0..READINGS {
                let now = Instant::now();
                match now.duration_since(before).as_nanos() as u64 {
                    0 => {}
                    step => smallest = smallest.min(step),
                }
                before = now;
            }
            start.elapsed().as_nanos() as u64 / u64::from(READINGS)
        })
        .collect();
    costs.sort_unstable();
    (smallest, costs[costs.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_node_has_a_fingerprint() {
        let node = fingerprint();
        assert!(node.cpus >= 1 && node.memory_bytes > 1 << 20, "{node:?}");
        assert!(!node.cpu_model.is_empty() && !node.kernel.is_empty(), "{node:?}");
        assert!(node.timer_cost_ns >= 1 && node.timer_precision_ns < 1_000_000, "{node:?}");
        assert!(!node.emulated);
        assert!(noise() >= 1.0);
    }

    #[test]
    fn a_foreign_cpuinfo_means_emulation() {
        assert!(is_emulated("processor : 0\nfeatures : none\n"));
    }
}
