//! What is left on the machine.

#![expect(
    clippy::disallowed_methods,
    reason = "no sample is timed: what is waited for has a limit"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::field::{Field, GRACE};
use super::mounts;
use super::processes::{Family, Process};

impl Field {
    /// What is left on the machine that was not there before, waiting until it is gone.
    ///
    /// # Errors
    /// A sentence that names it.
    pub fn nothing_is_left(&self, family: &Family) -> Result<()> {
        let temporary = self.temporary().display().to_string();
        let left = || {
            let mut left: Vec<String> =
                family.left(&temporary).iter().map(Process::command_line).collect();
            left.extend(self.leftovers());
            left
        };
        let begun = Instant::now();
        loop {
            let left = left();
            if left.is_empty() {
                return Ok(());
            }
            ensure!(begun.elapsed() < GRACE, "left behind: {}", left.join("; "));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Folders for temporary files, cgroups, containers and mounts of Lumos.
    fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        let temporary = fs::read_dir(self.temporary()).into_iter().flatten().flatten();
        left.extend(temporary.map(|entry| entry.path().display().to_string()));
        cgroups(Path::new("/sys/fs/cgroup"), &mut left);
        let covered = self.covered();
        let is_inside = |place: &PathBuf| {
            covered.iter().any(|folder| place.starts_with(folder) && place != folder)
        };
        let mounts = mounts::places().into_iter().filter(is_inside);
        left.extend(mounts.map(|place| format!("mount {}", place.display())));
        // Where there is no such program, no container is expected either.
        let containers = Command::new("docker")
            .args(["ps", "--all", "--quiet", "--filter", "label=lumos.run"])
            .stdin(Stdio::null())
            .output();
        let containers = containers.map(|output| output.stdout).unwrap_or_default();
        let containers = String::from_utf8_lossy(&containers).into_owned();
        left.extend(containers.lines().map(|id| format!("container {id}")));
        left
    }
}

/// Every cgroup of Lumos below a folder.
fn cgroups(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match entry.file_name().to_string_lossy().starts_with("lumos-") {
            true => found.push(entry.path().display().to_string()),
            false => cgroups(&entry.path(), found),
        }
    }
}
