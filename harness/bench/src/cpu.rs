//! What a processor offers to compiled code.

/// Looks for the features of one architecture by name, and keeps those that are there.
macro_rules! detected {
    ($detect:ident: $($name:tt)*) => {{
        let mut found = Vec::new();
        $(if std::arch::$detect!($name) {
            found.push($name);
        })*
        found
    }};
}

/// The features of this processor that compilers here know to use, by the names that rustc
/// gives them. What every processor of the architecture has is not among them.
pub fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    return detected!(is_x86_feature_detected:
        "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "cmpxchg16b" "avx" "avx2" "fma" "bmi1" "bmi2"
        "lzcnt" "f16c" "movbe" "avxvnni" "avx512f" "avx512dq" "avx512vl" "avx512bw" "avx512cd"
        "avx512bitalg" "avx512vbmi" "avx512vnni");
    #[cfg(target_arch = "aarch64")]
    return detected!(is_aarch64_feature_detected: "lse" "paca" "pacg" "fp16" "dotprod" "i8mm");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return Vec::new();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_those_that_the_kernel_lists() {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let line = cpuinfo.lines().find(|line| line.starts_with("flags"));
        // ARM kernels have other names for some.
        let Some(line) = line else { return };
        let listed: Vec<&str> = line.split_whitespace().collect();
        for (ours, kernels) in [("avx2", "avx2"), ("sse4.1", "sse4_1"), ("popcnt", "popcnt")] {
            assert_eq!(features().contains(&ours), listed.contains(&kernels), "{ours}");
        }
    }
}
