//! What the node does by itself while a round is measured.

use std::fs;
use std::time::Instant;

use lumos_record::Weather;

use super::pinned::Pinned;
use crate::node::time_work;

/// Looks at the node from the beginning of a round to its end.
#[derive(Debug)]
pub struct Watcher {
    begun: Instant,
    stolen_ns: u64,
    involuntary_switches: u64,
    calibrations_ns: Vec<u64>,
}

impl Watcher {
    /// Begins.
    pub fn begin() -> Self {
        Self {
            begun: Instant::now(),
            stolen_ns: stolen_ns().unwrap_or(0),
            involuntary_switches: involuntary_switches(),
            calibrations_ns: Vec::new(),
        }
    }

    /// Times a piece of work that is always the same, on the processor that all sides share. Who
    /// calls it has the processor for itself.
    pub fn calibrate(&mut self) {
        let _pinned = Pinned::last();
        // The first finds the processor as others have left it.
        let time = time_work().min(time_work());
        self.calibrations_ns.push(time.as_nanos() as u64);
    }

    /// What was seen.
    pub fn end(self) -> Weather {
        Weather {
            wall_ns: self.begun.elapsed().as_nanos() as u64,
            stolen_ns: stolen_ns().map(|stolen_ns| stolen_ns.saturating_sub(self.stolen_ns)),
            involuntary_switches: involuntary_switches().saturating_sub(self.involuntary_switches),
            frequency_khz: frequency_khz(),
            calibrations_ns: self.calibrations_ns,
            instead_of: None,
        }
    }
}

/// The time that the hypervisor has taken from all processors since the node started; none where
/// the kernel does not tell.
fn stolen_ns() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stolen_ticks(&stat).map(|ticks| ticks.saturating_mul(1_000_000_000 / ticks_per_second()))
}

/// The eighth number of the first line, as in proc(5).
fn stolen_ticks(stat: &str) -> Option<u64> {
    stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().nth(7)?.parse().ok()
}

fn ticks_per_second() -> u64 {
    // SAFETY: the call takes an integer.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(100).max(1)
}

/// How often the kernel has taken the processor from processes that have ended.
fn involuntary_switches() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a live value, which the call fills; zeroed is one of its values.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_nivcsw).unwrap_or(0)
}

/// How fast the first processor is clocked now; none where the kernel does not tell, as on most
/// virtual machines.
fn frequency_khz() -> Option<u64> {
    let file = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq";
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_the_eighth_number() {
        let stat = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(stolen_ticks(stat), Some(8));
        assert_eq!(stolen_ticks("cpu  1 2 3"), None);
        assert_eq!(stolen_ticks(""), None);
    }

    #[test]
    fn a_round_has_weather() {
        let mut watcher = Watcher::begin();
        watcher.calibrate();
        watcher.calibrate();
        let weather = watcher.end();
        assert_eq!(weather.calibrations_ns.len(), 2);
        assert!(weather.calibrations_ns.iter().all(|&time_ns| time_ns > 0));
        assert!(weather.wall_ns >= weather.calibrations_ns.iter().sum());
    }
}
