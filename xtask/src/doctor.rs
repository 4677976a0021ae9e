//! `cargo xtask doctor`: what this node offers and lacks, each lack with its remedy.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use lumos_build::process;
use lumos_build::setup::{REDIS, WASM_OPT};
use lumos_build::targets::Arch;
use lumos_build::toolchain::{Guests, WASM};
use lumos_record::{ArtifactKind, ArtifactManifest, Layout, Node};
use serde::Deserialize;

/// Shows what this node offers and lacks, each lack with its remedy.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// What a check found.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// It is there.
    Good(String),
    /// It could be better; figures are noisier, or something optional is absent.
    Fair(String, String),
    /// Something does not work without it.
    Bad(String, String),
}

/// Runs the command.
///
/// # Errors
/// When the program that measures the node cannot be built.
pub fn run(layout: &Layout) -> Result<()> {
    let (node, noise_ratio) = measure(layout)?;
    let mut findings = vec![
        ("host compiler", host_compiler()),
        ("C linker", program("cc", "apt-get install gcc")),
        ("guest compiler", guest_compiler()?),
        ("wasm-opt", optional(WASM_OPT, "variants of a build that it optimises")),
        ("Redis", optional(REDIS, "functions that keep their state in it")),
        ("artifacts", artifacts(layout)),
        ("processor", Finding::Good(format!("{}, {} CPUs", node.cpu_model, node.cpus))),
        (
            "memory",
            Finding::Good(format!("{:.1} GiB", node.memory_bytes as f64 / (1 << 30) as f64)),
        ),
        ("system", Finding::Good(format!("{}, Linux {}", node.os, node.kernel))),
        ("hypervisor", hypervisor(&node)),
        ("governor", governor(&node)),
        ("cgroups", cgroups(&node)),
        ("clock", clock(&node)),
        ("noise", noise(noise_ratio)),
    ];
    findings.extend(container_engines());
    findings.extend(other_architectures()?);
    let mut lacks = 0;
    for (name, finding) in &findings {
        let (mark, text, remedy) = match finding {
            Finding::Good(text) => ("ok  ", text, None),
            Finding::Fair(text, remedy) => ("note", text, Some(remedy)),
            Finding::Bad(text, remedy) => ("LACK", text, Some(remedy)),
        };
        lacks += usize::from(matches!(finding, Finding::Bad(..)));
        println!("{mark}  {name:<15} {text}");
        if let Some(remedy) = remedy {
            println!("      {:<15} -> {remedy}", "");
        }
    }
    match lacks {
        0 => println!("\nThis node is ready to measure."),
        _ => println!("\n{lacks} things are lacking; `cargo xtask bench` needs them."),
    }
    Ok(())
}

/// Runs the program of `lumos-bench` that reads and times the node.
fn measure(layout: &Layout) -> Result<(Node, f64)> {
    #[derive(Deserialize)]
    struct Measured {
        node: Node,
        noise_ratio: f64,
    }
    let mut command = process::cargo();
    command.current_dir(&layout.root).args(["run", "--quiet", "--release", "--locked"]);
    command.args(["--package", "lumos-bench", "--no-default-features", "--features", "node"]);
    let text = process::output(command.args(["--bin", "lumos-node"]))?;
    let measured: Measured = serde_json::from_str(&text).context("lumos-node")?;
    Ok((measured.node, measured.noise_ratio))
}

fn host_compiler() -> Finding {
    match process::try_output(process::rustc().arg("--version")) {
        Some(version) => Finding::Good(version),
        None => Finding::Bad("no rustc".to_owned(), "install Rust 1.95 or later".to_owned()),
    }
}

fn program(name: &str, remedy: &str) -> Finding {
    match process::find(name) {
        Some(path) => Finding::Good(path.display().to_string()),
        None => Finding::Bad(format!("no {name}"), remedy.to_owned()),
    }
}

fn optional(name: &str, purpose: &str) -> Finding {
    match process::find(name) {
        Some(path) => Finding::Good(path.display().to_string()),
        None => {
            let remedy = format!("optional, for {purpose}: cargo xtask setup");
            Finding::Fair(format!("no {name}"), remedy)
        }
    }
}

/// What building for other architectures takes, and running what was built.
fn other_architectures() -> Result<Vec<(&'static str, Finding)>> {
    let host = Arch::host()?;
    let others = Arch::ALL.into_iter().filter(|&arch| arch != host);
    let mut findings = Vec::new();
    for arch in others {
        let absent: Vec<String> = [arch.cross_compiler(), arch.emulator()]
            .into_iter()
            .filter(|program| process::find(program).is_none())
            .collect();
        let has_target = Guests::find(&[host, arch])?.is_some();
        let remedy = format!("optional: cargo xtask setup --target {arch}");
        let finding = match (absent.as_slice(), has_target) {
            ([], true) => Finding::Good("is built here, and runs under emulation".to_owned()),
            ([], false) => Finding::Fair(format!("no compiler for {}", arch.triple()), remedy),
            (absent, _) => Finding::Fair(format!("no {}", absent.join(", no ")), remedy),
        };
        findings.push((arch.name(), finding));
    }
    Ok(findings)
}

fn guest_compiler() -> Result<Finding> {
    Ok(match Guests::find(&[Arch::host()?])? {
        Some(guests) => Finding::Good(format!("{}, for {WASM} and {}", guests.record, guests.host)),
        None => Finding::Bad(format!("no compiler for {WASM}"), "cargo xtask setup".to_owned()),
    })
}

fn artifacts(layout: &Layout) -> Finding {
    match ArtifactManifest::read(&layout.artifacts()) {
        Ok(manifest) => {
            let mut counts = BTreeMap::<ArtifactKind, usize>::new();
            for artifact in &manifest.artifacts {
                *counts.entry(artifact.kind).or_default() += 1;
            }
            let count = |(kind, count)| format!("{count} {kind}");
            let kinds: Vec<String> = counts.into_iter().map(count).collect();
            Finding::Good(kinds.join(", "))
        }
        Err(_) => Finding::Fair("none yet".to_owned(), "cargo xtask build".to_owned()),
    }
}

fn hypervisor(node: &Node) -> Finding {
    match node.virtualization.as_str() {
        "none" => Finding::Good("none".to_owned()),
        name => Finding::Fair(
            name.to_owned(),
            "a neighbour's load shows in the figures: repeat runs, and compare within one".into(),
        ),
    }
}

fn governor(node: &Node) -> Finding {
    match node.governor.as_str() {
        "performance" => Finding::Good("performance".to_owned()),
        "none" => Finding::Good("the kernel controls no frequency here".to_owned()),
        name => Finding::Fair(
            name.to_owned(),
            "for steadier figures, as root: cpupower frequency-set --governor performance".into(),
        ),
    }
}

fn cgroups(node: &Node) -> Finding {
    match node.cgroup.as_str() {
        "none" => Finding::Fair(
            "none mounted".to_owned(),
            "mount -t cgroup2 none /sys/fs/cgroup, as root; containers need it".into(),
        ),
        version => Finding::Good(version.to_owned()),
    }
}

fn clock(node: &Node) -> Finding {
    let text =
        format!("a step of {} ns, {} ns a reading", node.timer_precision_ns, node.timer_cost_ns);
    match node.timer_precision_ns.max(node.timer_cost_ns) {
        0..=200 => Finding::Good(text),
        _ => Finding::Fair(
            text,
            "calls of less than a microsecond are coarse; is the clock source `tsc`? see \
             /sys/devices/system/clocksource/clocksource0/current_clocksource"
                .into(),
        ),
    }
}

fn noise(ratio: f64) -> Finding {
    let text = format!("the slowest twentieth of equal work takes {ratio:.2}x the median");
    match ratio {
        ..=1.05 => Finding::Good(text),
        _ => Finding::Fair(text, "end other programs, and trust the intervals".to_owned()),
    }
}

fn container_engines() -> Vec<(&'static str, Finding)> {
    let engines = [("docker", "/var/run/docker.sock"), ("podman", "/run/podman/podman.sock")];
    engines
        .into_iter()
        .map(|(name, socket)| {
            let finding = match (process::find(name), Path::new(socket).exists()) {
                (Some(_), _) if answers(name) => Finding::Good("reachable".to_owned()),
                (None, false) => Finding::Fair(
                    "not installed".to_owned(),
                    format!(
                        "optional: apt-get install {name}{}",
                        if name == "docker" { ".io" } else { "" }
                    ),
                ),
                _ => Finding::Fair(
                    "installed, and not reachable".to_owned(),
                    format!("optional: start its service, and see whether `{name} info` answers"),
                ),
            };
            (name, finding)
        })
        .collect()
}

fn answers(engine: &str) -> bool {
    process::try_output(Command::new(engine).args(["info", "--format", "{{.ID}}"])).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lack_has_a_remedy() {
        let bad = Node {
            governor: "powersave".into(),
            cgroup: "none".into(),
            virtualization: "Some Vendor".into(),
            timer_precision_ns: 4_000_000,
            ..Node::default()
        };
        for finding in [governor(&bad), cgroups(&bad), hypervisor(&bad), clock(&bad), noise(1.8)] {
            let Finding::Fair(_, remedy) = finding else { panic!("{finding:?}") };
            assert!(!remedy.is_empty());
        }
        assert!(matches!(program("no-such-program", "install it"), Finding::Bad(..)));
    }

    #[test]
    fn a_good_node_is_called_so() {
        let good = Node {
            governor: "performance".into(),
            cgroup: "v2".into(),
            virtualization: "none".into(),
            timer_precision_ns: 20,
            timer_cost_ns: 25,
            ..Node::default()
        };
        for finding in
            [governor(&good), cgroups(&good), hypervisor(&good), clock(&good), noise(1.01)]
        {
            assert!(matches!(finding, Finding::Good(_)), "{finding:?}");
        }
    }
}
