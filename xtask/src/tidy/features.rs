//! That a bench target measures the engine that a worker hosts, and that cargo compiles once what
//! workers, bench targets and the command line share.
//!
//! The features of a dependency are those that all selected packages ask for, so that a worker
//! built alone can get another build of its engine than the bench targets; `lumos-features` makes
//! them alike.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use cargo_metadata::{Dependency, Package};
use lumos_record::Layout;

use crate::process;
use crate::runtimes::RuntimeCrate;

/// A package as it is compiled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Unit {
    package: String,
    /// Separated by commas.
    features: String,
    /// Whether a build script or a macro uses it; the program can use it with other features.
    is_of_build: bool,
}

impl Unit {
    fn name(&self) -> &str {
        self.package.split(' ').next().unwrap_or_default()
    }

    /// Whether it is one of the project's crates.
    fn is_own(&self) -> bool {
        self.package.contains(" (/") && self.name().starts_with("lumos-")
    }
}

/// What is compiled, and what each unit depends on.
#[derive(Debug, Default)]
struct Tree(BTreeMap<Unit, BTreeSet<Unit>>);

/// Compares what workers and bench targets compile of what a runtime crate depends on.
///
/// # Errors
/// When cargo cannot tell what it would compile.
pub fn check(
    layout: &Layout,
    packages: &[Package],
    crates: &[RuntimeCrate],
    breaches: &mut Vec<String>,
) -> Result<()> {
    let benches = Tree::read(layout, &["--edges", "normal,build,dev"])?;
    let mut alone = vec![("the command line".to_owned(), of_command_line(layout, &benches)?)];
    for found in crates {
        let package = packages.iter().find(|package| *package.name == found.package);
        let Some(package) = package else { continue };
        let defaults = package.features.get("default").map_or(&[][..], Vec::as_slice);
        let own = ["--package", found.package.as_str()];
        // A bench target compiles nothing in another way than others do.
        let target = Tree::read(layout, &[&own[..], &["--edges", "normal,build,dev"]].concat())?;
        let title = format!("the bench target of {}", found.package);
        alone.push((title, target.missing(None, &benches)));
        for worker in &found.workers {
            // The project's own crates differ by intention: a worker holds no Criterion. So does
            // an engine without the crate's default features, but not what the harness is made of.
            let is_meant =
                |dependency: &&Dependency| dependency.path.is_some() || worker.features == defaults;
            let names = package.dependencies.iter().filter(is_meant);
            let names = names.map(|dependency| dependency.name.as_str()).collect();
            let features = worker.features.join(",");
            let chosen = ["--no-default-features", "--features", &features];
            let edges = ["--edges", "normal,build"];
            let tree = Tree::read(layout, &[&own[..], &chosen, &edges].concat())?;
            let mut units = tree.missing(Some(&names), &benches);
            units.retain(|unit| !unit.is_own());
            alone.push((worker.name.clone(), units));
        }
    }
    for (program, units) in alone {
        for unit in units {
            breaches.push(format!(
                "{program}, built alone: {} is compiled with [{}], and elsewhere with [{}]; add \
                 the features to harness/features/Cargo.toml",
                unit.package,
                unit.features,
                benches.features_of(&unit).join("], [")
            ));
        }
    }
    Ok(())
}

/// What the command line compiles in another way than the bench targets do.
fn of_command_line(layout: &Layout, benches: &Tree) -> Result<BTreeSet<Unit>> {
    /// Of these it takes a small part, which is compiled sooner than the whole; tests alone take
    /// the first one.
    const PARTS: [&str; 4] = ["console", "object", "semver", "wasmparser"];
    let tree = Tree::read(layout, &["--package", "xtask", "--edges", "normal,build"])?;
    let is_shared = |unit: &Unit| {
        let is_part = PARTS.contains(&unit.name());
        !unit.is_own() && !is_part && !benches.features_of(unit).is_empty()
    };
    let mut units = tree.missing(None, benches);
    units.retain(is_shared);
    Ok(units)
}

impl Tree {
    /// What cargo would compile for these arguments. The target is always the same, so that all
    /// nodes say the same.
    fn read(layout: &Layout, arguments: &[&str]) -> Result<Self> {
        let mut command = process::cargo();
        command.current_dir(&layout.root).args(["tree", "--locked"]).args(arguments);
        command.args(["--target", "x86_64-unknown-linux-gnu"]);
        command.args(["--charset", "ascii", "--format", "\t{p}\t{f}\t"]);
        Ok(Self::parse(&process::quiet_output(&mut command)?))
    }

    /// Of lines as `|   |-- \tserde v1.0.0\tdefault,std\t (*)`, and headers among them as
    /// `|   [build-dependencies]`, below the package that they are of.
    fn parse(text: &str) -> Self {
        let level = |indent: &str| indent.len() / "|   ".len();
        let mut tree = Self::default();
        // With each, whether what follows below it is used by its build script.
        let mut path: Vec<(Unit, bool)> = Vec::new();
        for line in text.lines() {
            if let Some((indent, header)) = line.split_once('[') {
                path.truncate(level(indent) + 1);
                if let Some((_, in_build)) = path.last_mut() {
                    *in_build = header == "build-dependencies]";
                }
                continue;
            }
            let mut parts = line.split('\t');
            let (Some(indent), Some(package), Some(features)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            path.truncate(level(indent));
            let is_of_build = package.contains("(proc-macro)")
                || path.last().is_some_and(|(parent, in_build)| parent.is_of_build || *in_build);
            let (package, features) = (package.to_owned(), features.to_owned());
            let unit = Unit { package, features, is_of_build };
            if let Some((parent, _)) = path.last() {
                tree.0.entry(parent.clone()).or_default().insert(unit.clone());
            }
            tree.0.entry(unit.clone()).or_default();
            path.push((unit, false));
        }
        tree
    }

    /// What these packages, or all, are compiled from here and not in another tree.
    fn missing(&self, names: Option<&BTreeSet<&str>>, other: &Self) -> BTreeSet<Unit> {
        let is_named = |unit: &&Unit| names.is_none_or(|names| names.contains(unit.name()));
        let mut left: Vec<&Unit> = self.0.keys().filter(is_named).collect();
        let mut seen = BTreeSet::new();
        while let Some(unit) = left.pop() {
            if seen.insert(unit) {
                left.extend(self.0.get(unit).into_iter().flatten());
            }
        }
        seen.into_iter().filter(|unit| !other.0.contains_key(*unit)).cloned().collect()
    }

    /// The features that the package of a unit of another tree is compiled with here.
    fn features_of(&self, unit: &Unit) -> Vec<&str> {
        let is_same =
            |here: &&Unit| here.package == unit.package && here.is_of_build == unit.is_of_build;
        self.0.keys().filter(is_same).map(|here| here.features.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_is_compiled_from_is_compared_with_its_features() {
        let worker = Tree::parse(
            "\tworker v0.1.0 (/checkout)\t\t\n\
             |-- \tengine v1.0.0\tstd\t\n\
             |   `-- \tcode v1.0.0\t\t\n\
             |       `-- \tlog v0.4.0\t\t\n\
             |   [build-dependencies]\n\
             |   `-- \tcc v1.0.0\t\t\n\
             `-- \tother v2.0.0\tfast\t\n    `-- \tlog v0.4.0\t\t (*)\n",
        );
        // The other dependency of the worker may differ, and a build script may use what it likes.
        let benches = |of_code: &str, of_script: &str| {
            Tree::parse(&format!(
                "\tbenches v0.1.0 (/checkout)\t\t\n\
                 `-- \tengine v1.0.0\tstd\t\n    `-- \tcode v1.0.0\t\t\n        \
                 `-- \tlog v0.4.0\t{of_code}\t\n    [build-dependencies]\n    \
                 `-- \tcc v1.0.0\t\t\n        `-- \tlog v0.4.0\t{of_script}\t\n"
            ))
        };
        let [engine, unknown] = ["engine", "no-such-engine"].map(|name| BTreeSet::from([name]));
        assert!(worker.missing(Some(&engine), &benches("", "std")).is_empty());
        let benches = benches("std", "");
        let log =
            Unit { package: "log v0.4.0".to_owned(), features: String::new(), is_of_build: false };
        assert_eq!(benches.features_of(&log), ["std"]);
        assert_eq!(worker.missing(Some(&engine), &benches), BTreeSet::from([log]));
        assert!(worker.missing(Some(&unknown), &benches).is_empty());
    }
}
