//! What the arguments choose of suites, runtimes, functions, payloads and settings.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{Context, Result, bail};
use globset::Glob;
use lumos_model::Bootstrap;
use lumos_record::{
    ArtifactManifest, Lane, Layout, Precision, Runtime, Selection, Setting, Suite, parse_bytes,
    parse_cpus,
};
use lumos_workloads::{Workload, Workloads};
use serde::Deserialize;

use super::Arguments;

/// Turns the arguments into a selection, and makes sure that every name matches something.
///
/// # Errors
/// When a name matches nothing; the message lists the known.
pub fn select(
    layout: &Layout,
    arguments: &Arguments,
    manifest: &ArtifactManifest,
) -> Result<Selection> {
    let workloads = Workloads::read(&layout.workloads())?;
    let chains = workloads.chains.iter().map(|chain| &chain.workload);
    let known: Vec<&Workload> = workloads.benchmarked().chain(chains).collect();
    let functions: Vec<&str> = known.iter().map(|known| known.function.as_str()).collect();
    let payloads: BTreeSet<&str> = known
        .iter()
        .flat_map(|workload| workload.payloads.iter().map(|payload| payload.id.as_str()))
        .collect();
    let suites: Vec<&str> = Suite::ALL.iter().map(|suite| suite.name()).collect();
    check_names("suite", &arguments.suite, suites)?;
    check_names("function", &arguments.function, functions)?;
    check_names("payload", &arguments.payload, payloads)?;
    let runtimes = runtime_names(&arguments.runtime, &manifest.runtimes)?;
    let carries_interval = arguments.rounds as usize >= Bootstrap::FEWEST_ROUNDS;
    if matches!(arguments.precision, Some(Precision::WithinPermille(_))) && !carries_interval {
        bail!("--precision takes three rounds at least: fewer do not tell how far they differ");
    }
    Ok(Selection {
        profile: arguments.profile,
        seed: arguments.seed,
        // What is only verified is the same in each round.
        rounds: if arguments.verify { 1 } else { arguments.rounds },
        suites: arguments.suite.clone(),
        functions: arguments.function.clone(),
        runtimes,
        payloads: arguments.payload.clone(),
        settings: settings(arguments)?,
        verify: arguments.verify,
        first_payload: arguments.first_payload,
        invocation_timeout_ms: arguments.limit.saturating_mul(1000),
        precision: arguments.precision.unwrap_or_default(),
        ..Selection::default()
    })
}

/// The names that the globs mean: an engine's stands for it in both lanes and in every sandbox.
fn runtime_names(globs: &[String], runtimes: &[Runtime]) -> Result<Vec<String>> {
    let mut known = BTreeMap::<String, BTreeSet<String>>::new();
    for runtime in runtimes {
        let served = runtime.name_in(Lane::Served);
        let both = [runtime.name_in(Lane::InProcess), served.clone()];
        known.entry(runtime.name.clone()).or_default().extend(both);
        known.entry(served.clone()).or_default().insert(served);
    }
    check_names("runtime", globs, known.keys().map(String::as_str))?;
    let mut names = BTreeSet::new();
    for glob in globs {
        let matcher = Glob::new(glob)?.compile_matcher();
        let matching = known.iter().filter(|(name, _)| matcher.is_match(name));
        names.extend(matching.flat_map(|(_, meant)| meant.clone()));
    }
    Ok(names.into_iter().collect())
}

/// The runtimes that the globs mean, in some lane; all of them where there are none.
///
/// # Errors
/// When a glob matches nothing; the message lists the known.
pub fn chosen_runtimes(globs: &[String], runtimes: &[Runtime]) -> Result<Vec<Runtime>> {
    let names = runtime_names(globs, runtimes)?;
    let is_chosen = |runtime: &&Runtime| {
        let in_lane = |lane| names.contains(&runtime.name_in(lane));
        names.is_empty() || Lane::ALL.iter().copied().any(in_lane)
    };
    Ok(runtimes.iter().filter(is_chosen).cloned().collect())
}

/// What nodes of a kind give to a worker.
const NODES: &str = include_str!("nodes.toml");

/// A kind of node.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeProfile {
    cpus: f64,
    memory: String,
}

/// The settings that the arguments ask for; none means the default.
fn settings(arguments: &Arguments) -> Result<Vec<Setting>> {
    let nodes: BTreeMap<String, NodeProfile> = toml::from_str(NODES).context("nodes.toml")?;
    let mut limits = Vec::new();
    for name in &arguments.node {
        let node = nodes.get(name).with_context(|| {
            let known: Vec<&str> = nodes.keys().map(String::as_str).collect();
            format!("unknown node `{name}`: known are {}", known.join(", "))
        })?;
        let read = || -> Result<Setting, String> {
            Ok(Setting {
                cpus_milli: Some(parse_cpus(&node.cpus.to_string())?),
                memory_bytes: Some(parse_bytes(&node.memory)?),
                ..Setting::default()
            })
        };
        limits.push(read().map_err(anyhow::Error::msg)?);
    }
    if limits.is_empty() {
        limits.push(Setting::default());
    }
    let &Arguments { cpus, memory, stack, drop_caches, ref with, .. } = arguments;
    let own = Setting {
        cpus_milli: cpus,
        memory_bytes: memory,
        stack_bytes: stack,
        ..Setting::default()
    };
    let dropping = drop_caches.then(|| Setting { drops_caches: true, ..Setting::default() });
    let others = dropping.iter().chain(with);
    let mut settings: Vec<Setting> = Vec::new();
    for setting in limits {
        let setting = setting.with(own);
        settings.push(setting);
        settings.extend(others.clone().map(|&other| setting.with(other)));
    }
    // Two ways to ask for the same are one series.
    let mut seen = HashSet::new();
    settings.retain(|&setting| seen.insert(setting));
    Ok(settings)
}

fn check_names<'k>(
    what: &str,
    globs: &[String],
    known: impl IntoIterator<Item = &'k str>,
) -> Result<()> {
    let known: Vec<&str> = known.into_iter().collect();
    for glob in globs {
        let matcher = Glob::new(glob).with_context(|| format!("--{what} {glob}"))?;
        let matcher = matcher.compile_matcher();
        if !known.iter().any(|name| matcher.is_match(name)) {
            bail!("unknown {what} `{glob}`: known are {}", known.join(", "));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lumos_record::{ArtifactKind, Mode};

    use super::*;

    #[test]
    fn a_name_that_matches_nothing_is_an_error_that_lists_the_known() {
        let known = ["json", "noop"];
        assert!(check_names("function", &["no*".to_owned()], known).is_ok());
        let message = check_names("function", &["jsn".to_owned()], known).unwrap_err().to_string();
        assert_eq!(message, "unknown function `jsn`: known are json, noop");
        assert!(check_names("function", &["a[".to_owned()], known).is_err());
    }

    #[test]
    fn a_runtime_is_meant_in_both_lanes_unless_its_sandbox_is_named() {
        let plain = |name| Runtime::plain(name, "fake", Mode::Native, "1", ArtifactKind::NativeExe);
        let boxed = Runtime { sandbox: "box".into(), loads: None, ..plain("metal") };
        let runtimes = [plain("metal"), boxed, plain("fast")];
        let names = |glob: &str| runtime_names(&[glob.to_owned()], &runtimes).unwrap();
        assert_eq!(names("metal"), ["metal", "metal-box", "metal-process"]);
        assert_eq!(names("metal-box"), ["metal-box"]);
        assert_eq!(names("*-process"), ["fast-process", "metal-process"]);
        let error = runtime_names(&["slow".into()], &runtimes).unwrap_err().to_string();
        assert!(error.contains("`slow`") && error.contains("metal-box"), "{error}");
    }

    #[test]
    fn nodes_limits_and_the_page_cache_become_settings() {
        let settings = |arguments: Arguments| {
            let settings = settings(&arguments)?;
            anyhow::Ok(settings.iter().map(Setting::to_string).collect::<Vec<_>>())
        };
        assert_eq!(settings(Arguments::default()).unwrap(), [""]);
        let arguments = Arguments {
            node: vec!["edge".into(), "cloud".into()],
            memory: Some(64 << 20),
            drop_caches: true,
            ..Arguments::default()
        };
        let expected = [
            "cpus=0.5,memory=64MiB",
            "cpus=0.5,memory=64MiB,drop-caches",
            "cpus=1,memory=64MiB",
            "cpus=1,memory=64MiB,drop-caches",
        ];
        assert_eq!(settings(arguments).unwrap(), expected);
        let with = vec!["cpus=0.25".parse().unwrap(), "memory=64MiB,drop-caches".parse().unwrap()];
        let arguments = Arguments { cpus: Some(500), with, ..Arguments::default() };
        let expected = ["cpus=0.5", "cpus=0.25", "cpus=0.5,memory=64MiB,drop-caches"];
        assert_eq!(settings(arguments).unwrap(), expected);
        let arguments = Arguments { node: vec!["moon".into()], ..Arguments::default() };
        let error = settings(arguments).unwrap_err().to_string();
        assert!(error.contains("`moon`") && error.contains("constrained"), "{error}");
    }
}
