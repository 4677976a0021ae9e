//! `cargo xtask tidy`: the rules of the architecture that a compiler does not check.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use cargo_metadata::{DependencyKind, Package};
use lumos_build::runtimes::{self, RuntimeCrate};
use lumos_record::Layout;

mod features;

/// Checks who depends on whom, and that folders, files and declarations agree.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Which of the project's crates a crate may depend on; `runtime` stands for every crate below
/// `runtimes/`. `lumos-overhead` measures what runtimes cost, so it may import them, and nobody
/// may import it.
const MAY_DEPEND: [(&str, &[&str]); 13] = [
    ("lumos-record", &[]),
    ("lumos-turns", &[]),
    ("lumos-model", &["lumos-record"]),
    ("lumos-workloads", &["lumos-record"]),
    (
        "lumos-bench",
        &[
            "lumos-record",
            "lumos-model",
            "lumos-criterion",
            "lumos-turns",
            "lumos-workloads",
            "lumos-abi",
            "lumos-state",
            "lumos-features",
        ],
    ),
    ("lumos-wasi", &["lumos-abi", "lumos-bench"]),
    ("lumos-registry", &["lumos-bench", "lumos-record", "lumos-workloads"]),
    ("runtime", &["lumos-bench", "lumos-wasi", "lumos-registry", "lumos-abi", "lumos-state"]),
    (
        "lumos-overhead",
        &["lumos-record", "lumos-model", "lumos-workloads", "lumos-bench", "lumos-abi", "runtime"],
    ),
    ("lumos-build", &["lumos-record", "lumos-workloads", "lumos-features"]),
    ("lumos-criterion", &["lumos-record", "lumos-model"]),
    ("lumos-report", &["lumos-record", "lumos-model", "lumos-criterion", "lumos-workloads"]),
    (
        "xtask",
        &[
            "lumos-abi",
            "lumos-record",
            "lumos-model",
            "lumos-turns",
            "lumos-workloads",
            "lumos-build",
            "lumos-criterion",
            "lumos-report",
            "lumos-features",
        ],
    ),
];

/// Runs the command.
///
/// # Errors
/// When a rule is broken; the message lists every breach.
pub fn run(layout: &Layout) -> Result<()> {
    let metadata = runtimes::metadata(layout)?;
    let crates = runtimes::read(layout, &Default::default())?;
    let mut breaches = Vec::new();
    for package in &metadata.packages {
        check_dependencies(package, &mut breaches);
        check_manifest(package, &mut breaches);
    }
    check_names(&crates, &mut breaches);
    check_guests(layout, &mut breaches)?;
    check_texts(layout, &crates, &mut breaches)?;
    check_examples(layout, &mut breaches)?;
    features::check(layout, &metadata.packages, &crates, &mut breaches)?;
    if breaches.is_empty() {
        println!("tidy: {} packages keep the rules", metadata.packages.len());
        return Ok(());
    }
    bail!("broken rules:\n  {}", breaches.join("\n  "))
}

/// The name under which a package stands in [`MAY_DEPEND`].
fn role(package: &str, is_runtime: bool) -> &str {
    if is_runtime { "runtime" } else { package }
}

fn is_runtime(path: &str) -> bool {
    path.contains("/runtimes/")
}

/// What a crate may import.
fn check_dependencies(package: &Package, breaches: &mut Vec<String>) {
    let own = role(&package.name, is_runtime(package.manifest_path.as_str()));
    // Only the project's own crates are dependencies by path.
    for dependency in &package.dependencies {
        let Some(path) = &dependency.path else { continue };
        // A test may read what its crate wrote: `lumos-record` is plain data.
        let reads_records =
            dependency.kind == DependencyKind::Development && dependency.name == "lumos-record";
        let role = role(&dependency.name, is_runtime(path.as_str()));
        if !may_depend(own, role) && !reads_records {
            breaches.push(format!("{} may not depend on {}", package.name, dependency.name));
        }
    }
}

fn may_depend(own: &str, other: &str) -> bool {
    MAY_DEPEND.iter().any(|(name, allowed)| *name == own && allowed.contains(&other))
}

/// What every manifest says alike.
fn check_manifest(package: &Package, breaches: &mut Vec<String>) {
    let name = &package.name;
    if package.license.as_deref() != Some("MIT OR Apache-2.0") {
        breaches.push(format!("{name}: the licence is not the workspace's"));
    }
    if package.publish.as_deref() != Some(&[]) {
        breaches.push(format!("{name}: `publish` is not the workspace's"));
    }
    if is_runtime(package.manifest_path.as_str()) {
        if package.metadata["lumos"].is_null() {
            breaches.push(format!("{name}: no [package.metadata.lumos]"));
        }
        // The build and the bench command find a runtime's folder by its package's name.
        let folder = package.manifest_path.parent().and_then(|folder| folder.file_name());
        if folder.is_none_or(|folder| name.as_str() != format!("lumos-{folder}")) {
            breaches.push(format!("{name}: a runtime's package is called `lumos-<folder>`"));
        }
    }
    let text = fs::read_to_string(&package.manifest_path).unwrap_or_default();
    if !text.contains("[lints]\nworkspace = true") {
        breaches.push(format!("{name}: the workspace's lints are not inherited"));
    }
    // A library that cargo benchmarks by itself refuses Criterion's arguments; without a section
    // it does so by default.
    let has_library = package.targets.iter().any(|target| target.is_lib());
    if has_library && !text.contains("[lib]") {
        breaches.push(format!("{name}: no `[lib]` with `bench = false`"));
    }
    for section in ["[lib]", "[[bin]]"] {
        for body in text.split(section).skip(1) {
            let body = body.split("\n[").next().unwrap_or_default();
            if !body.contains("bench = false") {
                breaches.push(format!("{name}: {section} without `bench = false`"));
            }
        }
    }
}

/// No two crates declare one runtime.
fn check_names(crates: &[RuntimeCrate], breaches: &mut Vec<String>) {
    let mut owners = std::collections::BTreeMap::new();
    for runtime in crates.iter().flat_map(|found| &found.runtimes) {
        let name = runtime.name_in(lumos_record::Lane::Served);
        if let Some(other) = owners.insert(name.clone(), runtime.package.clone()) {
            breaches.push(format!("{name} is declared by {other} and by {}", runtime.package));
        }
    }
}

/// Guests import no crate of the harness, and each has its payloads.
fn check_guests(layout: &Layout, breaches: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(layout.guests())?.flatten() {
        let manifest = entry.path().join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '-');
        let own = words.filter(|word| word.starts_with("lumos-"));
        for import in own.filter(|own| !["lumos-abi", "lumos-state"].contains(own)) {
            breaches.push(format!("guest-functions/{name} imports {import}"));
        }
        let file = layout.workloads().join(format!("{name}.toml"));
        let is_function = entry.path().join("src/main.rs").exists();
        if is_function && !file.exists() {
            breaches.push(format!("guest-functions/{name} has no workloads/{name}.toml"));
        }
    }
    Ok(())
}

/// The clock is read around a measurement in `lumos-bench` alone; neither the command line nor what
/// it is made of names a runtime.
fn check_texts(layout: &Layout, crates: &[RuntimeCrate], breaches: &mut Vec<String>) -> Result<()> {
    let engines: Vec<&str> = crates
        .iter()
        .flat_map(|found| &found.runtimes)
        .map(|runtime| runtime.name.as_str())
        // "native" is a mode and a word of the language as well.
        .filter(|name| name.contains('-'))
        .collect();
    for folder in ["xtask/src", "harness/build/src", "harness/report/src"] {
        visit(&layout.root.join(folder), &mut |path, text| {
            // Claims are data, and tests may name whatever they like.
            if path.iter().any(|part| part == "tests" || part == "tests.rs") {
                return;
            }
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for engine in engines.iter().filter(|engine| code.contains(**engine)) {
                breaches.push(format!("{}: names the runtime {engine}", path.display()));
            }
        })?;
    }
    visit(&layout.root.join("runtimes"), &mut |path, text| {
        if text.contains("Instant::now") || text.contains("SystemTime::now") {
            breaches.push(format!("{}: reads a clock", path.display()));
        }
    })
}

/// No code in documentation: it would be a test, and those are programs of their own.
fn check_examples(layout: &Layout, breaches: &mut Vec<String>) -> Result<()> {
    let own = ["harness", "runtimes", "workloads", "xtask"].map(|folder| layout.root.join(folder));
    for folder in own.into_iter().chain([layout.guests()]) {
        visit(&folder, &mut |path, text| {
            if has_example(text) {
                breaches.push(format!(
                    "{}: an example in documentation, which no test runs: mark it as `text`, or \
                     write a test",
                    path.display()
                ));
            }
        })?;
    }
    Ok(())
}

fn has_example(text: &str) -> bool {
    let lines = text.lines().map(str::trim_start);
    let documentation =
        lines.filter_map(|line| line.strip_prefix("///").or(line.strip_prefix("//!")));
    let fences = documentation.filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("```").or(line.strip_prefix("~~~"))
    });
    // Every other one closes what the one before it has opened.
    fences.step_by(2).any(|language| language != "text")
}

fn visit(folder: &Path, check: &mut dyn FnMut(&Path, &str)) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            visit(&path, check)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            check(&path, &fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn dependencies_point_in_one_direction() {
        for (own, other) in [
            ("runtime", "lumos-bench"),
            ("lumos-bench", "lumos-workloads"),
            ("lumos-overhead", "runtime"),
        ] {
            assert!(may_depend(own, other), "{own} -> {other}");
        }
        for (own, other) in [
            ("runtime", "runtime"),
            ("lumos-model", "lumos-bench"),
            ("xtask", "lumos-bench"),
            ("xtask", "runtime"),
            ("lumos-bench", "lumos-overhead"),
            ("somebody-new", "lumos-record"),
        ] {
            assert!(!may_depend(own, other), "{own} -> {other}");
        }
    }

    #[test]
    fn an_example_in_documentation_is_found() {
        assert!(has_example("/// ```\n/// let x = 1;\n/// ```\nfn f() {}"));
        assert!(has_example("    /// ~~~\n    /// let x = 1;\n    /// ~~~"));
        assert!(has_example("//! ```text\n//! a\n//! ```\n\n/// ```rust\n/// b\n/// ```"));
        assert!(!has_example("/// ```text\n/// a\n/// ```\nlet fence = \"```\";"));
    }

    /// The table of ARCHITECTURE.md, whose last line is of functions: they have a workspace of
    /// their own.
    #[test]
    fn the_document_says_who_may_import_whom() {
        let text = include_str!("../../ARCHITECTURE.md");
        let (_, rest) = text.split_once("record, turns, features   nothing").unwrap();
        let rows: Vec<_> = rest.lines().skip(1).take_while(|row| *row != "```").collect();
        let long = |name: &str| match name {
            "a runtime" | "runtimes" => "runtime".to_owned(),
            "xtask" => name.to_owned(),
            name => format!("lumos-{name}"),
        };
        let mut said = BTreeMap::new();
        for row in &rows[..rows.len() - 1] {
            let (own, imports) = row.split_once("  ").unwrap();
            let imports: BTreeSet<String> = imports.trim().split(", ").map(long).collect();
            said.extend(own.split(", ").map(|own| (long(own), imports.clone())));
        }
        // The first line says who imports nothing.
        let checked = MAY_DEPEND.iter().filter(|(_, imports)| !imports.is_empty());
        let checked = checked.map(|(own, imports)| {
            ((*own).to_owned(), imports.iter().map(|&import| import.to_owned()).collect())
        });
        assert_eq!(said, checked.collect::<BTreeMap<_, BTreeSet<String>>>());
    }

    #[test]
    fn a_runtime_is_known_by_its_folder() {
        assert_eq!(role("lumos-any", is_runtime("/checkout/runtimes/any/Cargo.toml")), "runtime");
        assert_eq!(role("xtask", is_runtime("/checkout/xtask/Cargo.toml")), "xtask");
    }
}
