//! The packages of the node's own release, from the mirrors that its apt is set up with.
//!
//! Functions are linked to the node's C library, so an image needs that of the same release.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;

use crate::process;
use crate::targets::Arch;

/// The node's apt, with lists of packages of its own: those of the node may be absent, old, or
/// only for root to renew.
#[derive(Debug)]
pub struct Apt {
    /// Where the release comes from.
    pub mirror: String,
    /// The release's name.
    pub suite: String,
    /// The architecture whose packages are asked for.
    pub arch: Arch,
    folder: PathBuf,
    /// What the mirrors hold, or why that could not be found out; asked once.
    lists: OnceCell<Result<TempDir, String>>,
}

impl Apt {
    /// Reads what apt is set up with; what it downloads goes to drafts in `folder`.
    ///
    /// # Errors
    /// When the node has no apt, or apt no mirror.
    pub fn find(folder: &Path, arch: Arch) -> Result<Self> {
        if process::find("apt-get").is_none() {
            bail!(
                "it is made of Debian's packages, and this node has no apt-get: build it where \
                 Debian or Ubuntu is"
            );
        }
        let mut command = Command::new("apt-get");
        // Without lists to read, this takes no time.
        command.args(["-o", "Dir::State::lists=/dev/null", "indextargets", "--no-release-info"]);
        command.args(["--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]);
        let targets = process::quiet_output(&mut command)?;
        let (mirror, suite) = first_target(&targets)
            .context("apt is set up with no mirror: add one to /etc/apt/sources.list")?;
        Ok(Self { mirror, suite, arch, folder: folder.to_owned(), lists: OnceCell::new() })
    }

    /// One that is never asked.
    #[cfg(test)]
    pub fn fake(folder: &Path) -> Self {
        let (mirror, suite) = ("http://mirror.example/debian/".to_owned(), "stable".to_owned());
        let arch = Arch::X86_64;
        Self { mirror, suite, arch, folder: folder.to_owned(), lists: OnceCell::new() }
    }

    /// Asks the mirrors what they hold; the second time, returns the answer to the first.
    ///
    /// # Errors
    /// When none of them answers.
    pub fn lists(&self) -> Result<&TempDir> {
        let lists = self.lists.get_or_init(|| self.update().map_err(|error| format!("{error:#}")));
        lists.as_ref().map_err(|reason| anyhow!(reason.clone()))
    }

    fn update(&self) -> Result<TempDir> {
        let lists = draft(&self.folder)?;
        let partial = lists.path().join("partial");
        fs::create_dir(&partial).with_context(|| partial.display().to_string())?;
        // It calls it a success when no mirror has answered.
        process::quiet_output(self.command(&lists).arg("update"))?;
        let held = fs::read_dir(lists.path())?.flatten();
        if !held.into_iter().any(|file| file.file_name().to_string_lossy().contains("_Packages")) {
            bail!("{} does not answer: see whether `apt-get update` works", self.mirror);
        }
        Ok(lists)
    }

    /// Downloads packages to a folder; returns their files, sorted.
    ///
    /// # Errors
    /// When no mirror answers, or a package cannot be had.
    pub fn download(&self, packages: &[&str], folder: &Path) -> Result<Vec<PathBuf>> {
        let mut command = self.command(self.lists()?);
        process::quiet_output(command.arg("download").args(packages).current_dir(folder))?;
        let files = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let mut files: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
        files.sort();
        Ok(files)
    }

    fn command(&self, lists: &TempDir) -> Command {
        let mut command = Command::new("apt-get");
        command.arg("--quiet");
        let folder = lists.path().display();
        let settings = [
            format!("Dir::State::lists={folder}"),
            format!("Dir::Cache={folder}"),
            format!("APT::Architecture={}", self.arch.debian()),
            format!("APT::Architectures={}", self.arch.debian()),
            // What the node has installed is of its own architecture.
            "Dir::State::status=/dev/null".to_owned(),
            // The drafts of root are for root alone.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            // Where there is no network, that should be known soon.
            "Acquire::Retries=0".to_owned(),
            "Acquire::http::Timeout=15".to_owned(),
            "Acquire::https::Timeout=15".to_owned(),
        ];
        for setting in settings {
            command.arg("-o").arg(setting);
        }
        command
    }
}

/// A folder for what is not finished yet; gone when it is dropped.
///
/// # Errors
/// When it cannot be made.
pub fn draft(folder: &Path) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(DRAFT).tempdir_in(folder).with_context(|| folder.display().to_string())
}

/// What the names of drafts begin with.
pub const DRAFT: &str = "draft-";

/// The mirror and the release of the first line of apt's list of sources.
fn first_target(targets: &str) -> Option<(String, String)> {
    let mut words = targets.lines().next()?.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_source_is_the_node_s_release() {
        let targets = "http://mirror.example/debian/ bookworm main\n\
                       http://mirror.example/debian/ bookworm-updates main\n";
        let (mirror, suite) = first_target(targets).unwrap();
        assert_eq!(
            (mirror.as_str(), suite.as_str()),
            ("http://mirror.example/debian/", "bookworm")
        );
        assert_eq!(first_target(""), None);
    }
}
