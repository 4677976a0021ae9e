//! Commits, in a small repository whose command line leaves runs as the real one does, without
//! measuring anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lumos_record::RunManifest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::files;

/// The command line of the repository's commits: `bench` takes the run that stands beside it for
/// the one that it measures.
const COMMAND_LINE: &str = include_str!("command_line.rs.in");

const ID: &str = "call/json/metal/1KiB";

/// A checkout of two commits, the second of which is slower by 20 %, with a change that is not
/// committed.
struct Checkout(TempDir);

impl Checkout {
    fn new() -> Self {
        let checkout = Self(tempfile::tempdir().unwrap());
        for (path, text) in [
            (".gitignore", "target\n"),
            (".cargo/config.toml", "[alias]\nxtask = \"run --quiet --package xtask --\"\n"),
            ("Cargo.toml", "[workspace]\nmembers = [\"xtask\"]\nresolver = \"3\"\n"),
            ("xtask/Cargo.toml", "[package]\nname = \"xtask\"\nedition = \"2024\"\n"),
            ("xtask/src/main.rs", COMMAND_LINE),
            ("guest-functions/README", ""),
            ("workloads/README", ""),
        ] {
            checkout.write(path, text);
        }
        checkout.git(&["init", "--quiet", "--initial-branch", "main"]);
        checkout.measures(1000.0);
        checkout.commit("before");
        checkout.measures(1200.0);
        checkout.commit("after");
        checkout.write("workloads/README", "not committed");
        checkout
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Has the next commit find that median.
    fn measures(&self, median_ns: f64) {
        let _ = fs::remove_dir_all(self.path("measured"));
        let manifest = RunManifest { run: "measured".into(), ..RunManifest::default() };
        files::run(self.0.path(), manifest, &[ID], median_ns);
        self.write("measured/median", &median_ns.to_string());
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.0.path());
        command.args(["-c", "user.name=A", "-c", "user.email=a@example.org"]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn commit(&self, tag: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", tag]);
        self.git(&["tag", tag]);
    }

    fn xtask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.env("LUMOS_ROOT", self.0.path()).env("CALLS", self.path("target/calls"));
        command.env_remove("CARGO_TARGET_DIR").env_remove("CRITERION_HOME");
        command.args(arguments).output().unwrap()
    }

    /// What a call prints that succeeds.
    fn prints(&self, arguments: &[&str]) -> String {
        files::printed(arguments, self.xtask(arguments))
    }

    /// What a call writes to standard error that fails.
    fn complains(&self, arguments: &[&str]) -> String {
        files::complaint(arguments, self.xtask(arguments), 1)
    }

    /// The calls of `bench` that have measured, each by what it found; these are forgotten then.
    fn calls(&self) -> Vec<String> {
        let path = self.path("target/calls");
        let calls = fs::read_to_string(&path).unwrap_or_default();
        let _ = fs::remove_file(path);
        calls.lines().map(str::to_owned).collect()
    }

    /// The worktrees beside the checkout, by git and in their folder.
    fn worktrees(&self) -> (usize, usize) {
        let known = self.git(&["worktree", "list"]).lines().count() - 1;
        let folder = self.path("target/lumos/commits");
        (known, fs::read_dir(folder).map_or(0, |entries| entries.count()))
    }

    /// What `git` sees of the checkout.
    fn state(&self) -> String {
        self.git(&["rev-parse", "HEAD"]) + &self.git(&["status", "--porcelain"])
    }
}

fn first_built(commits: &Path) -> PathBuf {
    fs::read_dir(commits).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn two_commits_are_measured_in_turns_and_the_checkout_stays_as_it_is() {
    let checkout = Checkout::new();
    fs::create_dir_all(checkout.path("target")).unwrap();
    let before = checkout.state();
    let command = ["compare", "--git", "before", "--format", "json", "--", "--suite", "call"];
    let found: Value = serde_json::from_str(&checkout.prints(&command)).unwrap();
    let compared = &found["comparisons"][0];
    assert_eq!((&compared["id"], &compared["verdict"]), (&json!(ID), &json!("slower")));
    assert_eq!((&compared["rounds"], &found["base"]["name"]), (&json!(10), &json!("before")));
    assert_eq!(found["new"]["name"], "HEAD");
    let [a, b] = ["1000 --suite call", "1200 --suite call"];
    assert_eq!(checkout.calls(), [[a, b, b, a]; 5].concat());
    assert!(!found["warnings"].to_string().contains("in turns"), "{found}");
    assert_eq!(checkout.state(), before);
    // What was built serves the next call, also if somebody has damaged a worktree.
    assert_eq!(checkout.worktrees(), (2, 2));
    let built = first_built(&checkout.path("target/lumos/commits"));
    fs::remove_dir_all(built.join("guest-functions")).unwrap();
    let command = ["compare", "--git", "before", "after", "--rounds", "2", "--", "--suite", "pull"];
    let text = checkout.prints(&command);
    assert!(text.contains("`after` (2 rounds, commit") && text.contains("inconclusive"), "{text}");
    // This suite of the small repository knows no turns.
    assert!(
        text.contains("one of the revisions is of before samples were taken in turns"),
        "{text}"
    );
    assert_eq!((checkout.calls().len(), checkout.worktrees()), (8, (2, 2)));
    checkout.prints(&["clean", "--commits"]);
    assert_eq!((checkout.worktrees(), checkout.state()), ((0, 0), before));
}

#[test]
fn a_revision_that_does_not_build_shows_why_and_leaves_nothing() {
    let checkout = Checkout::new();
    checkout.write("xtask/src/main.rs", "fn main() { let wrong: u8 = \"text\"; }");
    checkout.commit("broken");
    let text = checkout.complains(&["compare", "--git", "before", "broken"]);
    assert!(text.contains("mismatched types"), "the compiler's words: {text}");
    assert!(text.contains("error: broken (") && text.contains(") does not build"), "{text}");
    assert!(checkout.calls().is_empty());
    // The other one was built, and serves the next call.
    assert_eq!(checkout.worktrees(), (1, 1));
}

#[test]
fn what_is_wrong_besides_a_build_costs_no_build() {
    let checkout = Checkout::new();
    let text = checkout.complains(&["compare", "--git", "before", "afer"]);
    assert!(text.contains("there is no revision `afer`"), "{text}");
    assert_eq!(checkout.worktrees(), (0, 0));
    // Changes that are not committed are in no commit.
    let text = checkout.complains(&["compare", "--git", "main", "HEAD"]);
    assert!(text.contains("`main` and `HEAD` are both the commit"), "{text}");
    let text = checkout.complains(&["compare", "--git", "before", "--", "--rounds", "9"]);
    assert!(text.contains("--rounds belongs before the `--`"), "{text}");
    assert_eq!(checkout.worktrees(), (0, 0));
    let text = checkout.complains(&["compare", "--git", "before", "--", "--suite", "tepid"]);
    assert!(text.contains("unknown suite `tepid`"), "{text}");
    assert!(text.contains("cannot run `cargo xtask bench --suite tepid`"), "{text}");
    // A suite without a case.
    let text = checkout.complains(&["compare", "--git", "before", "--", "--suite", "load"]);
    assert!(text.contains("cannot run `cargo xtask bench --suite load`"), "{text}");
    assert_eq!(checkout.worktrees(), (1, 1));
}
