//! `cargo xtask overhead`: what the harness itself costs.
//!
//! The package that measures it imports engines, so it runs as a process of its own.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};
use lumos_build::{BuildRequest, Scope, process};
use lumos_record::Layout;
use serde::Deserialize;

/// Measures what the harness itself costs, as ratios to bare peers.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Print the figures as JSON, and nothing else to standard output
    #[arg(long)]
    json: bool,
}

const PACKAGE: &str = "lumos-overhead";

/// Above this, the node was doing something else.
const NOISY: f64 = 1.25;

/// The part of the figures that the table shows.
#[derive(Debug, Deserialize)]
struct Overhead {
    noise: [f64; 2],
    #[serde(default)]
    skipped: BTreeMap<String, String>,
    cold_phases: Vec<Phases>,
    allocations: Vec<Allocations>,
    /// The comparisons, by name; other fields are known by not having their form.
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Comparison {
    compares: String,
    ratio: f64,
    low: f64,
    high: f64,
    median_ns: f64,
    peer_median_ns: f64,
    n: usize,
    target: Option<f64>,
    aim: Option<f64>,
    holds: bool,
}

#[derive(Debug, Deserialize)]
struct Phases {
    runtime: String,
    phases: Vec<Phase>,
}

#[derive(Debug, Deserialize)]
struct Phase {
    phase: String,
    median_ns: f64,
}

#[derive(Debug, Deserialize)]
struct Allocations {
    case: String,
    invocations: u64,
    allocations: u64,
    holds: bool,
}

/// Runs the command.
///
/// # Errors
/// When something cannot be built or run, or a target is missed; the message names which.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    lumos_build::build(layout, &BuildRequest::host(Scope::everything(false))?)?;
    let mut command = process::cargo();
    command.current_dir(&layout.root).args(["run", "--release", "--locked", "--quiet"]);
    let text = process::output(command.args(["--package", PACKAGE, "--bin", PACKAGE]))?;
    let path = layout.lumos().join("overhead.json");
    fs::write(&path, &text).with_context(|| path.display().to_string())?;
    let overhead: Overhead = serde_json::from_str(&text).context("the figures")?;
    let comparisons = overhead.comparisons();
    if arguments.json {
        print!("{text}");
    } else {
        println!("{}", table(&comparisons));
        println!("{}", details(&overhead));
        println!("All figures: {}\n", path.display());
        println!("The same hot path under divan's allocation profiler, which lists allocations");
        println!("below a case that has any, as `control` has on purpose:\n");
        let mut command = process::cargo();
        command.current_dir(&layout.root).args(["bench", "--locked", "--quiet"]);
        process::run(command.args(["--package", PACKAGE, "--bench", "alloc"]))?;
    }
    let missed = missed(&comparisons, &overhead.allocations);
    if missed.is_empty() {
        return Ok(());
    }
    bail!("targets are missed:\n  {}{}", missed.join("\n  "), overhead.excuse())
}

impl Overhead {
    fn comparisons(&self) -> Vec<(&str, Comparison)> {
        let parse = |value| Comparison::deserialize(value).ok();
        self.others
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), parse(value)?)))
            .collect()
    }

    /// What a noisy node means for the figures.
    fn excuse(&self) -> String {
        let noise = self.noise.iter().copied().fold(1.0, f64::max);
        match noise > NOISY {
            true => format!(
                "\nThe node was not quiet: slow runs of one computation took {noise:.2} times as \
                 long as usual ones. Try again when nothing else runs."
            ),
            false => String::new(),
        }
    }
}

fn missed(comparisons: &[(&str, Comparison)], allocations: &[Allocations]) -> Vec<String> {
    let ratios = comparisons.iter().filter(|(_, comparison)| !comparison.holds).map(
        |(name, Comparison { ratio, target, .. })| {
            let target = target.unwrap_or(f64::INFINITY);
            format!("{name}: {ratio:.2} instead of at most {target:.2}")
        },
    );
    let counts = allocations.iter().filter(|case| !case.holds).map(|case| {
        format!(
            "{}: {} allocations in {} invocations instead of none",
            case.case, case.allocations, case.invocations
        )
    });
    ratios.chain(counts).collect()
}

/// A line per comparison, and below it what is compared.
fn table(comparisons: &[(&str, Comparison)]) -> String {
    let mut lines = vec![
        "What the harness costs: the median time of a thing over that of the same thing done \
         without it."
            .to_owned(),
        String::new(),
        format!(
            "{:<22} {:>6}  {:<15} {:>7}  {:<7} {:>10} {:>10} {:>5}",
            "", "ratio", "95 % interval", "at most", "", "median", "peer's", "n"
        ),
    ];
    for (name, comparison) in comparisons {
        let Comparison { ratio, low, high, target, n, .. } = comparison;
        lines.push(format!(
            "{name:<22} {ratio:>6.3}  {:<15} {:>7}  {:<7} {:>10} {:>10} {n:>5}",
            format!("{low:.3} to {high:.3}"),
            target.map(|target| format!("{target:.2}")).unwrap_or_default(),
            match (target, comparison.holds) {
                (None, _) => "",
                (_, true) => "holds",
                (_, false) => "MISSED",
            },
            time(comparison.median_ns),
            time(comparison.peer_median_ns),
        ));
        lines.push(format!("    {}", comparison.compares));
        if let Some(aim) = comparison.aim {
            let reached = if *ratio <= aim { "reached" } else { "not reached" };
            lines.push(format!("    the aim beyond the target is {aim:.2}: {reached}"));
        }
    }
    lines.join("\n") + "\n"
}

/// The phases of the cold starts, the allocations, and how quiet the node was.
fn details(overhead: &Overhead) -> String {
    let mut lines = vec!["The medians of the phases of those cold starts:".to_owned()];
    for Phases { runtime, phases } in &overhead.cold_phases {
        let phases: Vec<String> = phases
            .iter()
            .map(|phase| format!("{} {}", phase.phase, time(phase.median_ns)))
            .collect();
        lines.push(format!("  {runtime:<22} {}", phases.join(", ")));
    }
    let broken = overhead.allocations.iter().filter(|case| !case.holds).count();
    lines.push(match broken {
        0 => format!(
            "\nAllocations per invocation: 0 in all {} cases: holds",
            overhead.allocations.len()
        ),
        _ => format!("\nAllocations per invocation: {broken} cases have some: MISSED"),
    });
    for (name, reason) in &overhead.skipped {
        lines.push(format!("{name} is skipped: {reason}"));
    }
    lines.push(overhead.excuse());
    lines.join("\n")
}

/// A time for people.
fn time(time_ns: f64) -> String {
    match time_ns {
        ..1e3 => format!("{time_ns:.1} ns"),
        ..1e6 => format!("{:.1} µs", time_ns / 1e3),
        _ => format!("{:.2} ms", time_ns / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overhead(ratio: f64, allocations: u64) -> Overhead {
        let holds = ratio <= 1.15;
        serde_json::from_value(serde_json::json!({
            "schema_version": 1,
            "node": { "cpu_model": "any" },
            "noise": [1.01, 1.5],
            "engine_call": {
                "compares": "this / that", "ratio": ratio, "low": 1.0, "high": 1.3,
                "median_ns": 20.0, "peer_median_ns": 10.0, "n": 9, "target": 1.15, "holds": holds,
            },
            "cold_phases": [{
                "runtime": "a-process", "phases": [{ "phase": "load", "median_ns": 1500.0 }],
            }],
            "allocations_per_invocation": 0.0,
            "allocations": [{
                "case": "in-process", "invocations": 8, "allocations": allocations,
                "holds": allocations == 0,
            }],
        }))
        .unwrap()
    }

    #[test]
    fn a_missed_target_is_named_with_both_figures() {
        let held = overhead(1.15, 0);
        assert!(missed(&held.comparisons(), &held.allocations).is_empty());
        let broken = overhead(1.2, 3);
        assert_eq!(
            missed(&broken.comparisons(), &broken.allocations),
            [
                "engine_call: 1.20 instead of at most 1.15",
                "in-process: 3 allocations in 8 invocations instead of none"
            ]
        );
    }

    #[test]
    fn the_table_shows_what_is_compared_and_the_verdict() {
        let text = table(&overhead(1.2, 0).comparisons());
        for part in ["engine_call", "1.200", "1.000 to 1.300", "MISSED", "this / that"] {
            assert!(text.contains(part), "no `{part}` in {text}");
        }
    }

    #[test]
    fn a_noisy_node_is_said_to_be_noisy() {
        let text = details(&overhead(1.0, 0));
        assert!(text.contains("1.50 times") && text.contains("load 1.5 µs"), "{text}");
    }
}
