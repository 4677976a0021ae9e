//! What a container is given: the same as a container engine gives by default, or less.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use libcontainer::oci_spec::runtime::{
    Capabilities, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxCpuBuilder, LinuxIdMapping,
    LinuxIdMappingBuilder, LinuxMemoryBuilder, LinuxNamespace, LinuxNamespaceBuilder,
    LinuxNamespaceType, LinuxPidsBuilder, LinuxResources, LinuxResourcesBuilder, Mount,
    MountBuilder, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
    get_default_maskedpaths, get_default_mounts, get_default_readonly_paths,
};
use lumos_bench::Limits;
use lumos_bench::sandbox::State;
use lumos_bench::sandbox::cgroup::Hierarchy;

/// The name of the socket in the folder that is mounted into containers.
pub const SOCKET: &str = "s";

/// Where that folder is in a container.
const SHARED: &str = "/run/lumos";

/// Where a function's state is in a container.
const STATE: &str = "/run/lumos-state";

/// Who the function runs as: nobody.
const NOBODY: u32 = 65_534;

/// The period over which the kernel hands out processor time.
const PERIOD_US: u64 = 100_000;

/// A function needs one process; some have threads.
const MOST_PROCESSES: i64 = 64;

/// Why this process cannot make containers; none if it can.
pub fn lacks(hierarchy: &Result<Hierarchy, String>) -> Option<String> {
    match hierarchy {
        Ok(_) if is_root() => return None,
        Err(reason) if is_root() => return Some(reason.clone()),
        // Version 2 lets a container run in the group of whoever makes it.
        Ok(Hierarchy::V1 { .. }) => {
            return Some(
                "without root, libcontainer makes containers where cgroups are of version 2, and \
                 this node has version 1: run as root"
                    .to_owned(),
            );
        }
        _ => {}
    }
    let allowed = |path: &str, none: &str| {
        // Where the kernel has no such switch, it allows what the switch would.
        fs::read_to_string(path).map_or(true, |text| text.trim() != none)
    };
    let user_namespaces = allowed("/proc/sys/kernel/unprivileged_userns_clone", "0")
        && allowed("/proc/sys/user/max_user_namespaces", "0")
        && allowed("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
        && Path::new("/proc/self/ns/user").exists();
    (!user_namespaces).then(|| {
        "this kernel makes user namespaces for root alone: run as root, or, as root, \
         sysctl --write kernel.unprivileged_userns_clone=1 user.max_user_namespaces=1000"
            .to_owned()
    })
}

/// Whether this process may do without a user namespace.
pub fn is_root() -> bool {
    // SAFETY: the call cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Describes a container that runs `entrypoint` in `root`; `shared` holds the socket, and `state`
/// is where the function's state is on this node, if it keeps any.
pub fn of_container(
    name: &str,
    root: &Path,
    entrypoint: &[String],
    (shared, state): (&Path, Option<&State>),
    limits: &Limits,
) -> Result<Spec> {
    let mut arguments = entrypoint.to_vec();
    arguments.extend(["--connect".to_owned(), format!("{SHARED}/{SOCKET}")]);
    arguments.extend(limits.arguments());
    // In a user namespace with one user there is no nobody.
    let user = if is_root() { NOBODY } else { 0 };
    let none = Capabilities::default;
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(none())
        .effective(none())
        .inheritable(none())
        .permitted(none())
        .ambient(none())
        .build()?;
    let process = ProcessBuilder::default()
        .args(arguments)
        .env(environment(state))
        .cwd("/")
        .user(UserBuilder::default().uid(user).gid(user).build()?)
        .capabilities(capabilities)
        .no_new_privileges(true)
        .rlimits(Vec::new())
        .build()?;
    let mut linux = LinuxBuilder::default()
        .namespaces(namespaces()?)
        .masked_paths(get_default_maskedpaths())
        .readonly_paths(get_default_readonly_paths());
    // Absolute, or systemd would be asked for it.
    linux = linux.cgroups_path(PathBuf::from("/").join(name));
    if is_root() {
        linux = linux.resources(resources(limits)?);
    } else {
        // SAFETY: neither call can fail.
        let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
        linux = linux.uid_mappings(vec![own_as_root(user)?]);
        linux = linux.gid_mappings(vec![own_as_root(group)?]);
    }
    Ok(SpecBuilder::default()
        .version("1.0.2")
        .hostname("function")
        .process(process)
        .root(RootBuilder::default().path(root).readonly(true).build()?)
        .mounts(mounts(shared, state)?)
        .linux(linux.build()?)
        .build()?)
}

/// Everything apart, and without root a user namespace that allows the rest.
fn namespaces() -> Result<Vec<LinuxNamespace>> {
    use LinuxNamespaceType::{Ipc, Mount, Network, Pid, User, Uts};
    let own = [Pid, Network, Ipc, Uts, Mount].into_iter().chain((!is_root()).then_some(User));
    own.map(|kind| Ok(LinuxNamespaceBuilder::default().typ(kind).build()?)).collect()
}

/// Maps the container's root to a user or a group of the node.
fn own_as_root(id: u32) -> Result<LinuxIdMapping> {
    Ok(LinuxIdMappingBuilder::default().container_id(0u32).host_id(id).size(1u32).build()?)
}

fn resources(limits: &Limits) -> Result<LinuxResources> {
    let memory_bytes = i64::try_from(limits.memory_bytes).unwrap_or(i64::MAX);
    // Memory and swap together: none is swapped out.
    let memory = LinuxMemoryBuilder::default().limit(memory_bytes).swap(memory_bytes).build()?;
    let mut resources = LinuxResourcesBuilder::default()
        .memory(memory)
        .pids(LinuxPidsBuilder::default().limit(MOST_PROCESSES).build()?);
    if let Some(milli) = limits.cpus_milli {
        let quota_us = i64::from(milli) * PERIOD_US as i64 / 1000;
        let cpu = LinuxCpuBuilder::default().period(PERIOD_US).quota(quota_us).build()?;
        resources = resources.cpu(cpu);
    }
    Ok(resources.build()?)
}

fn environment(state: Option<&State>) -> Vec<String> {
    let path = "PATH=/usr/local/bin:/usr/bin:/bin".to_owned();
    let state = state.map(|state| format!("{}={}", State::VARIABLE, state.seen_at(STATE.as_ref())));
    [path].into_iter().chain(state).collect()
}

/// The mounts that every container has, the folder of the socket, and that of the state.
fn mounts(shared: &Path, state: Option<&State>) -> Result<Vec<Mount>> {
    let mut mounts = get_default_mounts();
    // The cgroups are nothing to a function.
    mounts.retain(|mount| mount.typ().as_deref() != Some("cgroup"));
    if !is_root() {
        // The group of terminals is not mapped, and nothing here has a terminal.
        mounts.retain(|mount| mount.typ().as_deref() != Some("devpts"));
    }
    let options = ["bind", "nosuid", "nodev", "noexec", "ro"].map(str::to_owned).to_vec();
    let shared = MountBuilder::default()
        .destination(SHARED)
        .typ("bind")
        .source(shared)
        .options(options)
        .build()?;
    mounts.push(shared);
    if let Some(state) = state {
        let options = ["bind", "nosuid", "nodev", "noexec", "rw"].map(str::to_owned).to_vec();
        let state = MountBuilder::default()
            .destination(STATE)
            .typ("bind")
            .source(&state.folder)
            .options(options)
            .build()?;
        mounts.push(state);
    }
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_given_limits_and_nothing_else() {
        let limits = Limits {
            memory_bytes: 64 << 20,
            cpus_milli: Some(250),
            cgroup: true,
            ..Limits::default()
        };
        let entrypoint = ["/function".to_owned()];
        let spec = of_container(
            "lumos-1-0",
            Path::new("/root"),
            &entrypoint,
            (Path::new("/shared"), None),
            &limits,
        )
        .unwrap();
        let json = serde_json::to_value(&spec).unwrap();
        assert_eq!(json["root"]["readonly"], true);
        assert_eq!(json["process"]["noNewPrivileges"], true);
        for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
            assert_eq!(json["process"]["capabilities"][set], serde_json::json!([]), "{set}");
        }
        let kinds: Vec<&str> = json["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|namespace| namespace["type"].as_str())
            .collect();
        for kind in ["pid", "network", "ipc", "uts", "mount"] {
            assert!(kinds.contains(&kind), "{kinds:?}");
        }
        if is_root() {
            let resources = &json["linux"]["resources"];
            assert_eq!(resources["memory"]["limit"], 64 << 20);
            assert_eq!(resources["cpu"]["quota"], 25_000);
            assert_eq!(json["linux"]["cgroupsPath"], "/lumos-1-0");
            assert_eq!(json["process"]["user"]["uid"], NOBODY);
        }
    }
}
