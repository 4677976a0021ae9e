//! `cargo xtask new-function`: a function that builds, is tested and runs at once, to be changed
//! into another.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use lumos_build::process;
use lumos_record::Layout;

/// Makes a function's crate and its workload, which build and run at once.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The function's name: lower-case letters, digits and `-`, such as `line-count`
    name: String,
}

/// What a new function consists of: each file's path, and its text with places for the name.
const FILES: [(&str, &str); 4] = [
    ("guest-functions/{name}/Cargo.toml", include_str!("new_function/Cargo.toml.in")),
    ("guest-functions/{name}/src/main.rs", include_str!("new_function/main.rs.in")),
    ("guest-functions/{name}/src/lib.rs", include_str!("new_function/lib.rs.in")),
    ("workloads/{name}.toml", include_str!("new_function/workload.toml.in")),
];

/// Names that cargo refuses, those of Rust's own crates, and those of other folders.
const TAKEN: [&str; 12] = [
    "abi",
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "state",
    "std",
    "target",
    "test",
];

/// Runs the command.
///
/// # Errors
/// When the name is none, or taken: nothing is written then.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let name = &arguments.name;
    check_name(name)?;
    let files = scaffold(&layout.root, name)?;
    if let Err(error) = lock(layout) {
        remove(&layout.root, name);
        return Err(error.context("the function was not made"));
    }
    for path in files {
        println!("{}", path.display());
    }
    println!(
        "\nIt counts words and lines. Make of it what you need, then:\n\n\
         (cd guest-functions && cargo test -p {name})\n\
         cargo xtask bless {name}\n\
         cargo xtask bench --function {name} --profile full --verify\n\
         cargo xtask bench --function {name} --profile quick"
    );
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(allowed)
        && !name.ends_with('-')
        && !name.contains("--");
    if !is_well_formed {
        bail!(
            "`{name}` is no name of a function: it must begin with a lower-case letter and hold \
             nothing but those, digits and single `-` between them"
        );
    }
    if TAKEN.contains(&name) || is_keyword(name) {
        bail!("`{name}` cannot be the name of a function's crate: choose another");
    }
    Ok(())
}

/// Whether Rust keeps the word for itself, so that no crate can be imported by it.
fn is_keyword(name: &str) -> bool {
    const KEYWORDS: [&str; 49] = [
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
        "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
        "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub",
        "ref", "return", "self", "static", "struct", "super", "trait", "true", "try", "type",
        "typeof", "unsafe", "unsized", "use", "virtual", "where",
    ];
    KEYWORDS.contains(&name) || ["while", "yield"].contains(&name)
}

/// Adds the crate to the guests' lock file: the build refuses one that lacks it.
fn lock(layout: &Layout) -> Result<()> {
    let update = |network: &[&str]| {
        let mut command = process::cargo();
        command.current_dir(layout.guests()).args(["update", "--workspace", "--quiet"]);
        command.args(network);
        command
    };
    // The network is needed only where the guests were never built.
    if process::try_output(&mut update(&["--offline"])).is_none() {
        process::quiet_output(&mut update(&[]))?;
    }
    Ok(())
}

/// Writes the files below `root`, and returns their paths.
fn scaffold(root: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let fill = |text: &str| {
        text.replace("{name}", name)
            .replace("{library}", &format!("{}_guest", name.replace('-', "_")))
            .replace("{Type}", &type_name(name))
    };
    let files = FILES.map(|(path, text)| (root.join(fill(path)), fill(text)));
    if let Some(path) = places(root, name).iter().find(|path| path.exists()) {
        bail!("{} exists already: nothing was written", path.display());
    }
    let lock = root.join("guest-functions/Cargo.lock");
    let locked = fs::read_to_string(&lock).unwrap_or_default();
    if locked.lines().any(|line| line == format!("name = \"{name}\"")) {
        bail!("`{name}` is a package in {} already: choose another name", lock.display());
    }
    let write = |(path, text): &(PathBuf, String)| -> Result<()> {
        let parent = path.parent().context("a path without a folder")?;
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        fs::write(path, text).with_context(|| path.display().to_string())
    };
    if let Err(error) = files.iter().try_for_each(write) {
        remove(root, name);
        return Err(error);
    }
    Ok(files.map(|(path, _)| path).to_vec())
}

/// Removes what was written: half a function would stop the whole workspace from building.
fn remove(root: &Path, name: &str) {
    let [folder, workload] = places(root, name);
    let _ = fs::remove_dir_all(folder);
    let _ = fs::remove_file(workload);
}

/// The folder and the file that are a function's own.
fn places(root: &Path, name: &str) -> [PathBuf; 2] {
    [root.join("guest-functions").join(name), root.join(format!("workloads/{name}.toml"))]
}

/// The name in the form of a type: `line-count` gives `LineCount`.
fn type_name(name: &str) -> String {
    let capitalise = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(capitalise).collect()
}

#[cfg(test)]
mod tests {
    use lumos_record::Profile;
    use lumos_workloads::Workloads;

    use super::*;

    #[test]
    fn a_function_is_written_once() {
        let root = tempfile::tempdir().unwrap();
        let files = scaffold(root.path(), "line-count").unwrap();
        assert_eq!(files.len(), FILES.len());
        for file in &files {
            let text = fs::read_to_string(file).unwrap();
            for place in ["{name}", "{library}", "{Type}"] {
                assert!(!text.contains(place), "{}: {place}", file.display());
            }
        }
        let library = fs::read_to_string(&files[2]).unwrap();
        assert!(library.contains("lumos_abi::export!(crate::LineCount);"));
        let message = scaffold(root.path(), "line-count").unwrap_err().to_string();
        assert!(message.ends_with("exists already: nothing was written"), "{message}");
    }

    #[test]
    fn the_workload_is_one() {
        let root = tempfile::tempdir().unwrap();
        scaffold(root.path(), "line-count").unwrap();
        let workloads = Workloads::read_drafts(&root.path().join("workloads")).unwrap();
        let workload = workloads.function("line-count").unwrap();
        let profiles: Vec<_> = workload.payloads.iter().map(|payload| payload.profile).collect();
        assert_eq!(profiles, [Some(Profile::Quick), Some(Profile::Full)]);
        let malformed = workload.malformed.as_ref().unwrap();
        let error = String::from_utf8(malformed.request.generate()).unwrap_err().utf8_error();
        let message = format!("the text is not UTF-8 from byte {} on", error.valid_up_to());
        assert_eq!(malformed.message, message);
    }

    #[test]
    fn what_exists_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let workload = root.path().join("workloads/line-count.toml");
        fs::create_dir_all(root.path().join("workloads")).unwrap();
        fs::write(&workload, "mine").unwrap();
        let message = scaffold(root.path(), "line-count").unwrap_err().to_string();
        assert!(message.ends_with("line-count.toml exists already: nothing was written"));
        assert_eq!(fs::read_to_string(&workload).unwrap(), "mine");
        assert!(!root.path().join("guest-functions").exists());
    }

    #[test]
    fn a_package_that_is_locked_is_not_hidden() {
        let root = tempfile::tempdir().unwrap();
        let guests = root.path().join("guest-functions");
        fs::create_dir_all(&guests).unwrap();
        let lock = "[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\n";
        fs::write(guests.join("Cargo.lock"), lock).unwrap();
        let message = scaffold(root.path(), "serde").unwrap_err().to_string();
        assert!(message.starts_with("`serde` is a package in "), "{message}");
        assert!(!guests.join("serde").exists());
        scaffold(root.path(), "serde-json").unwrap();
    }

    #[test]
    fn bad_names_are_refused() {
        for name in ["", "2d", "Line", "line_count", "-a", "a-", "a--b", "a/b", "..", "é"] {
            let message = check_name(name).unwrap_err().to_string();
            assert!(message.contains("is no name of a function"), "{message}");
        }
        for name in ["abi", "test", "std", "match", "while", "self"] {
            let message = check_name(name).unwrap_err().to_string();
            assert!(message.contains("choose another"), "{message}");
        }
        for name in ["a", "line-count", "base64-encode"] {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn types_are_named_after_functions() {
        assert_eq!(type_name("line-count"), "LineCount");
        assert_eq!(type_name("sha3-256"), "Sha3256");
    }
}
