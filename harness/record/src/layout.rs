//! Where things are in a checkout.

use std::fmt;
use std::path::{Path, PathBuf};

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
    /// Finds the checkout that holds `start`, and its target directory: `CARGO_TARGET_DIR`,
    /// else `target` in the root.
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
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => root.join(target),
            None => root.join("target"),
        };
        Ok(Self { root: root.to_owned(), target })
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
            Some(home) => PathBuf::from(home),
            None => self.target.join("criterion"),
        }
    }
}
