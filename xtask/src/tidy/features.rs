//! That a bench target measures the engine that a worker hosts, and that cargo compiles it once.
//!
//! The features of a dependency are those that all selected packages ask for, so that a worker
//! built alone can get another build of its engine than the bench targets; `lumos-features` makes
//! them alike.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use cargo_metadata::Package;
use lumos_record::Layout;

use crate::{process, runtimes};

/// A package with its features, as cargo prints them.
type Unit = (String, String);

/// What is compiled, and what each unit depends on.
#[derive(Debug, Default)]
struct Tree(BTreeMap<Unit, BTreeSet<Unit>>);

/// Compares the engines of workers with those of the bench targets.
///
/// # Errors
/// When cargo cannot tell what it would compile.
pub fn check(layout: &Layout, packages: &[Package], breaches: &mut Vec<String>) -> Result<()> {
    let benches = Tree::read(layout, &["--edges", "normal,build,dev"])?;
    for found in runtimes::read(layout, &Default::default())? {
        let defaults = packages.iter().find(|package| *package.name == found.package);
        let defaults = defaults.and_then(|package| package.features.get("default"));
        let defaults = defaults.map_or(&[][..], Vec::as_slice);
        // A worker without the crate's default features is another engine by intention.
        let worker = found.workers.iter().find(|worker| worker.features == defaults);
        let (Some(worker), Some(engine)) = (worker, &found.engine) else { continue };
        let features = worker.features.join(",");
        let alone = ["--package", &found.package, "--no-default-features", "--features", &features];
        let edges = ["--edges", "normal,build"];
        let alone = Tree::read(layout, &[&alone[..], &edges].concat())?;
        for (package, features) in alone.missing(engine, &benches) {
            breaches.push(format!(
                "{}: {engine} is compiled once with {package} `{features}` and once with `{}`; add \
                 the features to harness/features/Cargo.toml",
                worker.name,
                benches.features(&package).join("`, `")
            ));
        }
    }
    Ok(())
}

impl Tree {
    /// What cargo would compile for these arguments. The target is always the same, so that all
    /// nodes say the same.
    fn read(layout: &Layout, arguments: &[&str]) -> Result<Self> {
        let mut command = process::cargo();
        command.current_dir(&layout.root).args(["tree", "--locked"]).args(arguments);
        command.args(["--target", "x86_64-unknown-linux-gnu"]);
        command.args(["--prefix", "depth", "--format", "|{p}|{f}|"]);
        Ok(Self::parse(&process::quiet_output(&mut command)?))
    }

    /// Of lines as `2|serde v1.0.0|default,std| (*)`.
    fn parse(text: &str) -> Self {
        let mut tree = Self::default();
        let mut path: Vec<Unit> = Vec::new();
        for line in text.lines() {
            let mut parts = line.split('|');
            let (Some(depth), Some(package), Some(features)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let Ok(depth) = depth.parse() else { continue };
            let unit = (package.to_owned(), features.to_owned());
            path.truncate(depth);
            if let Some(parent) = path.last() {
                tree.0.entry(parent.clone()).or_default().insert(unit.clone());
            }
            tree.0.entry(unit.clone()).or_default();
            path.push(unit);
        }
        tree
    }

    /// What an engine is compiled from that another tree lacks.
    fn missing(&self, engine: &str, other: &Self) -> BTreeSet<Unit> {
        let is_engine = |(package, _): &&Unit| package.split(' ').next() == Some(engine);
        let mut left: Vec<&Unit> = self.0.keys().filter(is_engine).collect();
        let mut seen = BTreeSet::new();
        while let Some(unit) = left.pop() {
            if seen.insert(unit) {
                left.extend(self.0.get(unit).into_iter().flatten());
            }
        }
        seen.into_iter().filter(|unit| !other.0.contains_key(*unit)).cloned().collect()
    }

    /// The features that a package is compiled with.
    fn features(&self, package: &str) -> Vec<&str> {
        let of_it = self.0.keys().filter(|(name, _)| name == package);
        of_it.map(|(_, features)| features.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_is_compiled_from_is_compared_with_its_features() {
        let worker = Tree::parse(
            "0|worker v0.1.0 (/checkout)||\n1|engine v1.0.0|std|\n2|code v1.0.0||\n3|log v0.4.0||\n\
             1|other v2.0.0|fast|\n2|log v0.4.0|| (*)\n",
        );
        let engine = "1|engine v1.0.0|std|\n2|code v1.0.0||\n";
        let of_log = |features: &str| format!("{engine}3|log v0.4.0|{features}|\n");
        let benches = |text: &str| Tree::parse(&format!("0|benches v0.1.0 (/checkout)||\n{text}"));
        // The other dependency of the worker may differ.
        assert!(worker.missing("engine", &benches(&of_log(""))).is_empty());
        let benches = benches(&of_log("std"));
        let missing = worker.missing("engine", &benches);
        assert_eq!(missing, BTreeSet::from([("log v0.4.0".to_owned(), String::new())]));
        assert_eq!(benches.features("log v0.4.0"), ["std"]);
        assert!(worker.missing("no-such-engine", &benches).is_empty());
    }
}
