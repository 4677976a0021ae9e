//! That a bench target measures the engine that a worker hosts, and that cargo compiles once what
//! workers, bench targets and the command line share.
//!
//! The features of a dependency are those that all selected packages ask for, so that a worker
//! built alone can get another build of its engine than the bench targets; `lumos-features` makes
//! them alike.

use std::collections::BTreeSet;

use anyhow::Result;
use cargo_metadata::Package;
use lumos_build::process;
use lumos_build::runtimes::{RuntimeCrate, WorkerDeclaration};
use lumos_record::Layout;

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

    /// Whether it is an engine, or a part of it by its name.
    fn is_of(&self, engine: &str) -> bool {
        self.name()
            .strip_prefix(engine)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Whether it is one of the project's crates.
    fn is_own(&self) -> bool {
        self.package.contains(" (/") && self.name().starts_with("lumos-")
    }
}

/// What is compiled.
#[derive(Debug, Default)]
struct Tree(BTreeSet<Unit>);

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
        alone.push((title, target.missing(&benches)));
        // What compiles for other architectures alone hosts nothing, and is built for those alone.
        let is_measured = |worker: &&WorkerDeclaration| worker.precompiles_for.covers(true);
        for worker in found.workers.iter().filter(is_measured) {
            let features = worker.features.join(",");
            let chosen = ["--no-default-features", "--features", &features];
            let edges = ["--edges", "normal,build"];
            let tree = Tree::read(layout, &[&own[..], &chosen, &edges].concat())?;
            let mut units = tree.missing(&benches);
            // The project's own crates differ by intention: a worker holds no Criterion. So does
            // an engine without the crate's default features, but nothing that it is made of.
            let engine = package.metadata["lumos"]["engine"].as_str();
            let engine = engine.filter(|_| worker.features != defaults);
            units.retain(|unit| !unit.is_own() && !engine.is_some_and(|own| unit.is_of(own)));
            alone.push((worker.name.clone(), units));
        }
    }
    for (program, units) in alone {
        for unit in units {
            breaches.push(format!(
                "{program}, built alone: {} is compiled with [{}], and elsewhere with [{}]; add \
                 the features to harness/features/Cargo.toml, or to the crate's own where it alone \
                 takes that",
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
    let mut units = tree.missing(benches);
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
            tree.0.insert(unit.clone());
            path.push((unit, false));
        }
        tree
    }

    /// What is compiled here and not in another tree.
    fn missing(&self, other: &Self) -> BTreeSet<Unit> {
        self.0.difference(&other.0).cloned().collect()
    }

    /// The features that the package of a unit of another tree is compiled with here.
    fn features_of(&self, unit: &Unit) -> Vec<&str> {
        let is_same =
            |here: &&Unit| here.package == unit.package && here.is_of_build == unit.is_of_build;
        self.0.iter().filter(is_same).map(|here| here.features.as_str()).collect()
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
        // A build script may use what it likes.
        let benches = |of_code: &str, of_script: &str| {
            Tree::parse(&format!(
                "\tbenches v0.1.0 (/checkout)\t\t\n\
                 `-- \tengine v1.0.0\tstd\t\n    `-- \tcode v1.0.0\t\t\n        \
                 `-- \tlog v0.4.0\t{of_code}\t\n    [build-dependencies]\n    \
                 `-- \tcc v1.0.0\t\t\n        `-- \tlog v0.4.0\t{of_script}\t\n"
            ))
        };
        let unit = |package: &str, features: &str| {
            let (package, features) = (package.to_owned(), features.to_owned());
            Unit { package, features, is_of_build: false }
        };
        let [own, other] = [unit("worker v0.1.0 (/checkout)", ""), unit("other v2.0.0", "fast")];
        let differing = worker.missing(&benches("", "std"));
        assert_eq!(differing, BTreeSet::from([other.clone(), own.clone()]));
        let benches = benches("std", "");
        let log = unit("log v0.4.0", "");
        assert_eq!(benches.features_of(&log), ["std"]);
        assert_eq!(worker.missing(&benches), BTreeSet::from([log, other, own]));
    }

    #[test]
    fn an_engine_is_known_by_its_name_and_what_it_is_made_of_is_not_it() {
        let unit = |package: &str| {
            let package = package.to_owned();
            Unit { package, features: String::new(), is_of_build: false }
        };
        for (package, is_engine) in
            [("fast v1.0.0", true), ("fast-vm v1.0.0", true), ("fastrand v2.0.0", false)]
        {
            assert_eq!(unit(package).is_of("fast"), is_engine, "{package}");
        }
    }
}
