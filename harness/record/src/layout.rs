//! Where things are in a checkout.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::protocol::variable;

/// The folders of a checkout and of its build directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The workspace's root.
    pub root: PathBuf,
    /// Cargo's target directory.
    pub target: PathBuf,
}

/// The error of [`Layout::find`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAWorkspace(pub PathBuf);

impl fmt::Display for NotAWorkspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not inside a checkout of Lumos: no folder above it holds `guest-functions` \
             and `workloads`",
            self.0.display()
        )
    }
}

impl std::error::Error for NotAWorkspace {}

impl Layout {
    /// Finds the checkout that holds `start`, and its target directory: cargo tells it, unless
    /// `CARGO_TARGET_DIR` holds a whole path, as it does for the processes of `cargo xtask`.
    ///
    /// # Errors
    /// When no folder at or above `start` is the root of a checkout.
    pub fn find(start: &Path) -> Result<Self, NotAWorkspace> {
        let root = start
            .ancestors()
            .find(|folder| {
                folder.join("guest-functions").is_dir() && folder.join("workloads").is_dir()
            })
            .ok_or_else(|| NotAWorkspace(start.to_owned()))?;
        let given = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = given
            .filter(|target| target.is_absolute())
            .or_else(|| target_of_cargo(root))
            .unwrap_or_else(|| root.join("target"));
        Ok(Self { root: root.to_owned(), target })
    }

    /// The checkout of this process: the one that is named to it, else that in which cargo has
    /// started it, or in which it was called, else that which it was built in. A checkout may have
    /// been copied since, with all that was built.
    ///
    /// # Errors
    /// As [`Layout::find`], of the one that is named to it, or which it was built in.
    pub fn of_process(built_in: &str) -> Result<Self, NotAWorkspace> {
        if let Some(named) = std::env::var_os(variable::ROOT) {
            return Self::find(Path::new(&named));
        }
        let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let current = std::env::current_dir().ok();
        let mut folders = package.into_iter().chain(current);
        folders
            .find_map(|folder| Self::find(&folder).ok())
            .map_or_else(|| Self::find(Path::new(built_in)), Ok)
    }

    /// The checkout at `root`, with a target directory of its own, whatever the environment says.
    pub fn at(root: PathBuf) -> Self {
        Self { target: root.join("target"), root }
    }

    /// Everything that Lumos writes: `target/lumos`.
    pub fn lumos(&self) -> PathBuf {
        self.target.join("lumos")
    }

    /// What `cargo xtask build` writes.
    pub fn artifacts(&self) -> PathBuf {
        self.lumos().join("artifacts")
    }

    /// A folder per run.
    pub fn runs(&self) -> PathBuf {
        self.lumos().join("runs")
    }

    /// Where images are unpacked whose unpacking is measured: on the file system that holds those
    /// that run.
    pub fn unpacking(&self) -> PathBuf {
        self.lumos().join("unpacking")
    }

    /// What `cargo xtask report` writes.
    pub fn report(&self) -> PathBuf {
        self.lumos().join("report")
    }

    /// A TOML file per function.
    pub fn workloads(&self) -> PathBuf {
        self.root.join("workloads")
    }

    /// A crate per function.
    pub fn guests(&self) -> PathBuf {
        self.root.join("guest-functions")
    }

    /// Where Criterion writes: `CRITERION_HOME`, else `criterion` in the target directory.
    pub fn criterion(&self) -> PathBuf {
        match std::env::var_os("CRITERION_HOME") {
            // Whoever is told of it may have been started elsewhere.
            Some(home) => std::path::absolute(&home).unwrap_or_else(|_| home.into()),
            None => self.target.join("criterion"),
        }
    }
}

/// The target directory by cargo's own rules, which have to do with variables, with configuration
/// files and with where cargo is called; none where cargo cannot tell.
fn target_of_cargo(root: &Path) -> Option<PathBuf> {
    /// What is read of the output of `cargo metadata`.
    #[derive(serde::Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let manifest = root.join("Cargo.toml");
    if !manifest.exists() {
        return None;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ask = |folder: &Path| {
        let mut command = Command::new(&cargo);
        command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
        command.arg("--manifest-path").arg(&manifest).current_dir(folder);
        let found: Metadata = serde_json::from_slice(&command.output().ok()?.stdout).ok()?;
        Some(found.target_directory)
    };
    // `cargo bench` starts programs in their package's folder, and a path that is no whole one
    // begins where cargo was started. Whatever cargo has built tells where that was.
    let program = std::env::current_exe().unwrap_or_default();
    let started = std::env::var_os("PWD").map(PathBuf::from).filter(|folder| folder.is_dir());
    let current = std::env::current_dir().ok();
    let mut told = None;
    for folder in started.into_iter().chain(current) {
        told = ask(&folder).or(told);
        if told.as_ref().is_some_and(|target| program.starts_with(target)) {
            break;
        }
    }
    told
}
