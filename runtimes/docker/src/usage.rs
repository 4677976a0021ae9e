//! What a container used, as the kernel counts it. The engine's own figures come in steps of ten
//! milliseconds.

use std::fs;
use std::path::PathBuf;

use lumos_bench::sandbox::CpuTime;

/// The processor time of all that ran in a container so far, given the container's id and one
/// of its processes.
///
/// # Errors
/// A sentence that says what cannot be read.
pub fn cpu_time(pid: i32, id: &str) -> Result<CpuTime, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let groups = read(&format!("/proc/{pid}/cgroup"))?;
    let mounts = read("/proc/self/mounts")?;
    match Group::among(&groups, &mounts, id) {
        Some(group) => group.cpu_time(|path| read(&path.to_string_lossy())),
        None => Err(format!("process {pid} is in no cgroup of the container {id}")),
    }
}

/// Whether a process belongs to a container. It does not where the engine has a node of its own,
/// whose processes have numbers of their own.
pub fn is_in(pid: i32, id: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(id))
}

/// The folder of the cgroup that counts a container's processor time.
#[derive(Debug, PartialEq, Eq)]
enum Group {
    V1(PathBuf),
    V2(PathBuf),
}

impl Group {
    /// Finds it, given a process's groups and this node's mounts.
    fn among(groups: &str, mounts: &str, id: &str) -> Option<Self> {
        let mounted = |wanted: &dyn Fn(&str, &str) -> bool| {
            mounts.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(' ').collect();
                let [_, path, kind, options, ..] = fields[..] else { return None };
                wanted(kind, options).then(|| PathBuf::from(path))
            })
        };
        let has = |list: &str| list.split(',').any(|name| name == "cpuacct");
        let folder = |root: PathBuf, path: &str| root.join(path.trim_start_matches('/'));
        // A node may have both versions, and then the first has the controllers.
        let mut second = None;
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            if !path.contains(id) {
                continue;
            }
            if has(controllers) {
                let root = mounted(&|kind, options| kind == "cgroup" && has(options))?;
                return Some(Self::V1(folder(root, path)));
            }
            if controllers.is_empty() {
                second =
                    mounted(&|kind, _| kind == "cgroup2").map(|root| Self::V2(folder(root, path)));
            }
        }
        second
    }

    fn cpu_time(
        &self,
        read: impl Fn(&std::path::Path) -> Result<String, String>,
    ) -> Result<CpuTime, String> {
        match self {
            Self::V1(folder) => {
                let number = |file: &str| -> Result<u64, String> {
                    let path = folder.join(file);
                    let text = read(&path)?;
                    text.trim().parse().map_err(|_| format!("{}: no number", path.display()))
                };
                let (user, system) = (number("cpuacct.usage_user")?, number("cpuacct.usage_sys")?);
                Ok(divide(number("cpuacct.usage")?, user, system))
            }
            Self::V2(folder) => {
                let path = folder.join("cpu.stat");
                let text = read(&path)?;
                let number = |name: &str| -> Result<u64, String> {
                    let value =
                        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
                    value.ok_or_else(|| format!("{}: no {name}", path.display()))
                };
                Ok(CpuTime {
                    user_ns: number("user_usec ")? * 1000,
                    system_ns: number("system_usec ")? * 1000,
                })
            }
        }
    }
}

/// Divides an exact time as two others are to each other, which the kernel counts in ticks. It
/// does the same itself for a process, and for a cgroup of version 2.
fn divide(total_ns: u64, user: u64, system: u64) -> CpuTime {
    let ticks = u128::from(user) + u128::from(system);
    let user_ns = match ticks {
        0 => total_ns,
        _ => (u128::from(total_ns) * u128::from(user) / ticks) as u64,
    };
    CpuTime { user_ns, system_ns: total_ns - user_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = "4:memory:/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/docker/abc\n";
    const V1: &str = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
    const V2: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";

    #[test]
    fn the_group_that_counts_is_found() {
        let found = Group::among(GROUPS, V1, "abc");
        assert_eq!(found, Some(Group::V1("/sys/fs/cgroup/cpu,cpuacct/docker/abc".into())));
        let scope = "0::/system.slice/docker-abc.scope\n";
        let found = Group::among(scope, V2, "abc");
        assert_eq!(found, Some(Group::V2("/sys/fs/cgroup/system.slice/docker-abc.scope".into())));
        assert_eq!(Group::among("0::/user.slice\n", V2, "abc"), None);
    }

    #[test]
    fn both_versions_are_read() {
        let first = |path: &std::path::Path| {
            let values = [("usage", "1000"), ("usage_user", "30"), ("usage_sys", "10")];
            let wanted = path.extension().and_then(|name| name.to_str()).unwrap_or_default();
            let value = values.iter().find(|(name, _)| *name == wanted);
            value.map(|(_, value)| format!("{value}\n")).ok_or_else(|| "absent".to_owned())
        };
        let time = Group::V1("/x".into()).cpu_time(first).unwrap();
        assert_eq!(time, CpuTime { user_ns: 750, system_ns: 250 });
        let second =
            |_: &std::path::Path| Ok("usage_usec 9\nuser_usec 5\nsystem_usec 4\n".to_owned());
        let time = Group::V2("/x".into()).cpu_time(second).unwrap();
        assert_eq!(time, CpuTime { user_ns: 5000, system_ns: 4000 });
        let nothing = |_: &std::path::Path| Ok(String::new());
        assert!(Group::V2("/x".into()).cpu_time(nothing).unwrap_err().contains("user_usec"));
        assert!(Group::V1("/x".into()).cpu_time(nothing).unwrap_err().contains("no number"));
    }

    #[test]
    fn no_time_is_lost_in_dividing() {
        assert_eq!(divide(7, 0, 0), CpuTime { user_ns: 7, system_ns: 0 });
        assert_eq!(divide(10, 1, 2), CpuTime { user_ns: 3, system_ns: 7 });
    }
}
