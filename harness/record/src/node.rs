//! The machine that measures.

use serde::{Deserialize, Serialize};

/// What a figure depends on beside the code: results of different nodes are not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The processor as the kernel names it.
    pub cpu_model: String,
    /// Logical processors that this process may run on.
    pub cpus: u32,
    /// The architecture, such as `x86_64`.
    pub arch: String,
    /// All of the memory.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The distribution's name and version.
    pub os: String,
    /// The frequency governor, or `none` where the kernel offers none.
    pub governor: String,
    /// The mounted cgroup hierarchy: `v1`, `v2`, `hybrid` or `none`.
    pub cgroup: String,
    /// The hypervisor, or `none`.
    pub virtualization: String,
    /// The smallest step of the monotonic clock that was seen.
    pub timer_precision_ns: u64,
    /// What reading the monotonic clock costs, the median.
    pub timer_cost_ns: u64,
    /// Whether the code runs on another architecture's processor, through an emulator.
    #[serde(default)]
    pub emulated: bool,
}

impl Node {
    /// The differences to another node that forbid a comparison, as `field: this / other`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |field: &str, this: &dyn ToString, that: &dyn ToString| {
            let (this, that) = (this.to_string(), that.to_string());
            if this != that {
                found.push(format!("{field}: {this} / {that}"));
            }
        };
        check("cpu_model", &self.cpu_model, &other.cpu_model);
        check("cpus", &self.cpus, &other.cpus);
        check("arch", &self.arch, &other.arch);
        check("memory_bytes", &self.memory_bytes, &other.memory_bytes);
        check("kernel", &self.kernel, &other.kernel);
        check("governor", &self.governor, &other.governor);
        check("virtualization", &self.virtualization, &other.virtualization);
        check("emulated", &self.emulated, &other.emulated);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_noise_does_not_make_another_node() {
        let node = Node { cpus: 2, timer_cost_ns: 20, ..Node::default() };
        let same = Node { timer_cost_ns: 25, ..node.clone() };
        assert!(node.differences(&same).is_empty());
        let other = Node { cpus: 4, ..node.clone() };
        assert_eq!(node.differences(&other), ["cpus: 2 / 4"]);
    }
}
