//! A control group of its own for each worker, in version 1 or 2, whichever the node has.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Name;
use crate::Limits;

/// The period over which the kernel hands out processor time.
const PERIOD_US: u64 = 100_000;

/// Where the hierarchies that limit are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hierarchy {
    /// One for each controller.
    V1 {
        /// That of the memory.
        memory: PathBuf,
        /// That of the processors.
        cpu: PathBuf,
    },
    /// One for all controllers.
    V2(PathBuf),
}

impl Hierarchy {
    /// Finds what the node has mounted.
    ///
    /// # Errors
    /// A sentence that says what is lacking.
    pub fn find() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        Self::among(&mounts, |path| fs::read_to_string(path).unwrap_or_default())
    }

    fn among(mounts: &str, read: impl Fn(&Path) -> String) -> Result<Self, String> {
        let mounted = |wanted: &dyn Fn(&str, &str) -> bool| {
            mounts.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(' ').collect();
                let [_, path, kind, options, ..] = fields[..] else { return None };
                wanted(kind, options).then(|| PathBuf::from(path))
            })
        };
        let controller = |name: &'static str| {
            mounted(&move |kind, options| {
                kind == "cgroup" && options.split(',').any(|option| option == name)
            })
        };
        if let (Some(memory), Some(cpu)) = (controller("memory"), controller("cpu")) {
            return Ok(Self::V1 { memory, cpu });
        }
        let unified = mounted(&|kind, _| kind == "cgroup2").filter(|path| {
            let controllers = read(&path.join("cgroup.controllers"));
            ["memory", "cpu"].iter().all(|name| controllers.split_whitespace().any(|c| c == *name))
        });
        unified.map(Self::V2).ok_or_else(|| {
            "no cgroup hierarchy limits memory and processors here; mount one, as root: \
             mount -t cgroup2 none /sys/fs/cgroup"
                .to_owned()
        })
    }

    fn roots(&self) -> Vec<&Path> {
        match self {
            Self::V1 { memory, cpu } => vec![memory, cpu],
            Self::V2(root) => vec![root],
        }
    }
}

/// A group with limits, removed with the value.
#[derive(Debug)]
pub struct Cgroup {
    hierarchy: Hierarchy,
    name: String,
}

impl Cgroup {
    /// Makes an empty group.
    ///
    /// # Errors
    /// When the hierarchies cannot be written, as without root.
    pub fn create(hierarchy: &Hierarchy, limits: &Limits) -> Result<Self, String> {
        let cgroup = Self { hierarchy: hierarchy.clone(), name: Name::next() };
        cgroup.set_up(limits).map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::PermissionDenied => "; limits of processors and memory need root",
                _ => "",
            };
            format!("cannot make the cgroup {}: {error}{remedy}", cgroup.name)
        })?;
        Ok(cgroup)
    }

    fn set_up(&self, limits: &Limits) -> io::Result<()> {
        let memory = limits.memory_bytes.to_string();
        let quota_us = limits.cpus_milli.map(|milli| u64::from(milli) * PERIOD_US / 1000);
        for folder in self.folders() {
            fs::create_dir(folder)?;
        }
        match &self.hierarchy {
            Hierarchy::V1 { memory: root, cpu } => {
                fs::write(root.join(&self.name).join("memory.limit_in_bytes"), &memory)?;
                // Memory and swap together; a kernel may be built without.
                let both = root.join(&self.name).join("memory.memsw.limit_in_bytes");
                if both.exists() {
                    fs::write(both, &memory)?;
                }
                if let Some(quota_us) = quota_us {
                    let folder = cpu.join(&self.name);
                    fs::write(folder.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                    fs::write(folder.join("cpu.cfs_quota_us"), quota_us.to_string())?;
                }
            }
            Hierarchy::V2(root) => {
                // A group has the controllers that its parent hands on.
                fs::write(root.join("cgroup.subtree_control"), "+memory +cpu")?;
                let folder = root.join(&self.name);
                fs::write(folder.join("memory.max"), &memory)?;
                if folder.join("memory.swap.max").exists() {
                    fs::write(folder.join("memory.swap.max"), "0")?;
                }
                if let Some(quota_us) = quota_us {
                    fs::write(folder.join("cpu.max"), format!("{quota_us} {PERIOD_US}"))?;
                }
            }
        }
        Ok(())
    }

    fn folders(&self) -> Vec<PathBuf> {
        self.hierarchy.roots().iter().map(|root| root.join(&self.name)).collect()
    }

    /// The files that a process joins the group by.
    pub fn joins(&self) -> Vec<PathBuf> {
        self.folders().iter().map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// What the kernel did to the group for its memory, as a sentence; none if nothing.
    pub fn memory_trouble(&self) -> Option<String> {
        memory_trouble(&self.hierarchy, &self.name)
    }
}

/// What the kernel did to a group for its memory, as a sentence; none if nothing.
pub fn memory_trouble(hierarchy: &Hierarchy, name: &str) -> Option<String> {
    let (root, events, limit) = match hierarchy {
        Hierarchy::V1 { memory, .. } => (memory, "memory.oom_control", "memory.limit_in_bytes"),
        Hierarchy::V2(root) => (root, "memory.events", "memory.max"),
    };
    let folder = root.join(name);
    let text = fs::read_to_string(folder.join(events)).ok()?;
    let kills: u64 = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.parse().ok()?;
    let limit = fs::read_to_string(folder.join(limit)).unwrap_or_default();
    (kills > 0).then(|| {
        format!("the kernel ended it for its memory: its cgroup allows {} bytes", limit.trim())
    })
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in self.folders() {
            remove_folder(&folder);
        }
    }
}

/// Removes the groups of that name in every hierarchy; whoever is in them is ended first.
pub fn remove(name: &str) {
    for root in mounted() {
        remove_folder(&root.join(name));
    }
}

/// Removes a group and those below it; whoever is in it is ended first.
fn remove_folder(folder: &Path) {
    for _ in 0..200 {
        for below in fs::read_dir(folder).into_iter().flatten().flatten() {
            if below.path().is_dir() {
                remove_folder(&below.path());
            }
        }
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
            _ => return,
        }
        let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|line| line.parse::<i32>().ok()) {
            // SAFETY: integers alone. Only what this project started is in the group.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        // The kernel takes its time to let go of a process that has ended.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Where hierarchies are mounted, with or without limits.
fn mounted() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        ["cgroup", "cgroup2"].contains(&kind).then(|| PathBuf::from(path))
    });
    mounted.collect()
}

/// Removes the groups of processes that are no more, in every hierarchy, and returns their paths.
pub fn remove_leftovers() -> Vec<PathBuf> {
    let mut removed = Vec::new();
    for path in mounted() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if Name::is_leftover(&entry.file_name().to_string_lossy()) {
                remove_folder(&entry.path());
                removed.push(entry.path());
            }
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
        cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n\
        cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
    const V2: &str = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";

    #[test]
    fn the_hierarchy_with_the_controllers_is_found() {
        let none = |_: &Path| String::new();
        let both = |_: &Path| "cpuset cpu io memory pids".to_owned();
        let Hierarchy::V1 { memory, cpu } = Hierarchy::among(V1, none).unwrap() else {
            panic!("not version 1");
        };
        assert_eq!(memory, Path::new("/sys/fs/cgroup/memory"));
        assert_eq!(cpu, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        let unified = Hierarchy::V2("/sys/fs/cgroup".into());
        assert_eq!(Hierarchy::among(V2, both).unwrap(), unified);
        assert!(Hierarchy::among(V2, none).unwrap_err().contains("mount -t cgroup2"));
    }

    #[test]
    fn a_group_holds_its_limits_and_goes_with_its_owner() {
        let Ok(hierarchy) = Hierarchy::find() else { return };
        // SAFETY: the call cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return;
        }
        let limits = Limits {
            memory_bytes: 64 << 20,
            cpus_milli: Some(500),
            cgroup: true,
            ..Limits::default()
        };
        let cgroup = Cgroup::create(&hierarchy, &limits).unwrap();
        let folders = cgroup.folders();
        let file = match &hierarchy {
            Hierarchy::V1 { .. } => folders[0].join("memory.limit_in_bytes"),
            Hierarchy::V2(_) => folders[0].join("memory.max"),
        };
        assert_eq!(fs::read_to_string(file).unwrap().trim(), (64 << 20).to_string());
        assert_eq!(cgroup.memory_trouble(), None);
        drop(cgroup);
        assert!(folders.iter().all(|folder| !folder.exists()));
    }

    #[test]
    fn a_dead_owners_groups_are_removed() {
        let Ok(hierarchy) = Hierarchy::find() else { return };
        // The largest process id that Linux allows is far below this one.
        let folder = hierarchy.roots()[0].join("lumos-4294967295-7");
        if fs::create_dir(&folder).is_err() {
            return;
        }
        assert!(remove_leftovers().contains(&folder));
        assert!(!folder.exists());
    }
}
