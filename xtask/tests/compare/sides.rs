//! What is compared: baselines and runs, as Criterion and a run leave them.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use lumos_record::{Counted, Node, Record, Round, RunManifest, RunWriter, SCHEMA_VERSION};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::files::{self, case, save};

/// A target directory of its own.
struct Target(TempDir);

impl Target {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn xtask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.env("CARGO_TARGET_DIR", self.0.path()).env_remove("CRITERION_HOME");
        command.args(arguments).output().unwrap()
    }

    /// What a call prints that succeeds.
    fn prints(&self, arguments: &[&str]) -> String {
        files::printed(arguments, self.xtask(arguments))
    }

    /// The message of a call that fails with that code, and does not panic.
    fn complains(&self, arguments: &[&str], code: i32) -> String {
        files::complaint(arguments, self.xtask(arguments), code)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(&[arguments, &["--format", "json"]].concat())).unwrap()
    }

    /// Where Criterion keeps a baseline of a benchmark.
    fn baseline(&self, id: &str, name: &str) -> PathBuf {
        self.0.path().join("criterion").join(id).join(name)
    }

    fn save(&self, id: &str, name: &str, median_ns: f64) {
        save(self.baseline(id, name), id, median_ns);
    }

    /// Saves five rounds, in which the node is now fast and now slow.
    fn save_rounds(&self, id: &str, name: &str, median_ns: f64) {
        for (round, weather) in (1..).zip([1.0, 1.4, 0.9, 1.05, 1.2]) {
            self.save(id, &format!("{name}@{round}"), median_ns * weather);
        }
    }

    /// Begins a run, and measures a benchmark in it.
    fn run(&self, manifest: RunManifest, ids: &[&str], median_ns: f64) {
        let runs = self.0.path().join("lumos/runs");
        files::run(&runs, manifest, ids, median_ns);
    }
}

fn manifest(run: &str, cpu: &str) -> RunManifest {
    let node = Node { cpu_model: cpu.into(), ..Node::default() };
    RunManifest { run: run.into(), node, ..RunManifest::default() }
}

const SLOWER: &str = "call/json/metal/1KiB";
const SAME: &str = "call/json/beta/1KiB";

/// A base and a new baseline of five rounds each, of which one benchmark became slower by 20 %.
fn two_baselines() -> Target {
    let target = Target::new();
    for (id, factor) in [(SLOWER, 1.2), (SAME, 1.001)] {
        target.save_rounds(id, "before", 1000.0);
        target.save_rounds(id, "after", 1000.0 * factor);
    }
    target.save_rounds("warm/gone/metal-process/-", "before", 50.0);
    target.save_rounds("warm/come/metal-process/-", "after", 50.0);
    target
}

#[test]
fn rounds_that_agree_are_told_from_those_that_do_not() {
    let target = two_baselines();
    let text = target.prints(&["compare", "before", "after"]);
    let line = text.lines().find(|line| line.starts_with(SLOWER)).unwrap();
    assert!(line.contains("1.20×") && line.ends_with("slower"), "{text}");
    assert!(!text.contains(SAME), "what did not change is only counted: {text}");
    for part in [
        "baseline `after` (5 rounds) against baseline `before` (5 rounds)",
        "1 slower, 0 faster, 0 inconclusive, 1 equivalent",
        "only in the base: 1 (warm/gone/metal-process/-)",
        "only in the new: 1 (warm/come/metal-process/-)",
        "call: geometric mean 1.10× of 2",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let markdown = target.prints(&["compare", "before", "after", "--format", "markdown"]);
    assert!(markdown.contains(&format!("| `{SLOWER}` | ")), "{markdown}");
    let json = target.json(&["compare", "before", "after"]);
    let verdicts: Vec<&str> = json["comparisons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["slower", "equivalent"]);
    assert_eq!(json["comparisons"][0]["rounds"], 5);
}

#[test]
fn a_gate_closes_at_what_it_is_set_to() {
    let target = two_baselines();
    let gate = |gate: &'static str| ["compare", "before", "after", "--fail-on", gate];
    assert!(target.complains(&gate("slower"), 3).contains("slower by more than 3.0 %: 1"));
    target.complains(&gate("slower:10"), 3);
    // What failed, hung or was not measured at all is no reason to open.
    let text = target.complains(&gate("slower:25"), 1);
    assert!(text.contains("warm/gone/metal-process/-: only the base has it"), "{text}");
    let of_both = ["--filter", "call/"];
    target.prints(&[&gate("slower:25")[..], &of_both].concat());
    let swapped = ["compare", "after", "before", "--fail-on", "slower"];
    target.prints(&[&swapped[..], &of_both].concat());
    target.complains(&gate("faster"), 2);
    // One round is no ground for a gate, neither to open nor to close.
    target.save(SLOWER, "one", 9000.0);
    let text = target.complains(&["compare", "before", "one", "--fail-on", "slower"], 1);
    assert!(text.contains("it takes 5 rounds"), "{text}");
    // Nor is it for one of the benchmarks.
    fs::remove_dir_all(target.baseline(SAME, "after@5")).unwrap();
    let text = target.complains(&[&gate("slower:25")[..], &of_both].concat(), 1);
    assert!(text.contains(&format!("{SAME}: it takes 5 rounds")), "{text}");
}

#[test]
fn a_baseline_saved_again_without_rounds_is_the_newer_one() {
    let target = two_baselines();
    let of_base = || {
        let json = target.json(&["compare", "before", "after", "--filter", SLOWER]);
        (json["base"]["rounds"].clone(), json["comparisons"][0]["base_ns"].as_f64().unwrap())
    };
    assert_eq!(of_base().0, 5);
    target.save(SLOWER, "before", 2000.0);
    let (rounds, base_ns) = of_base();
    assert_eq!(rounds, 1);
    assert!((1900.0..2100.0).contains(&base_ns), "{base_ns}");
    let text = target.prints(&["compare", "before", "after"]);
    assert!(text.contains("before: its rounds are older"), "{text}");
}

#[test]
fn a_comparison_that_cannot_be_written_is_not_made() {
    let target = two_baselines();
    let text = target.complains(&["compare", "before", "after", "--output", "/no/such/c.json"], 1);
    assert!(text.contains("/no/such: there is no such folder"), "{text}");
}

#[test]
fn one_round_is_never_a_verdict() {
    let target = Target::new();
    target.save(SLOWER, "base", 1000.0);
    target.save(SLOWER, "new", 1500.0);
    let text = target.prints(&["compare", "base"]);
    assert!(text.contains("inconclusive: 4 more rounds"), "{text}");
    assert!(text.contains("fewer than 5 rounds carry no verdict"), "{text}");
    assert!(text.contains("No run of Lumos on record"), "{text}");
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let target = two_baselines();
    let text = target.complains(&["compare", "befor"], 1);
    assert!(text.contains("Baselines: after, before. Runs, the newest last: none"), "{text}");
    let text = target.complains(&["compare", "before"], 1);
    assert!(text.contains("there is no run to compare with baseline `before`"), "{text}");
    let text = target.complains(&["compare", "before", "after", "--filter", "x"], 1);
    assert!(text.contains("no benchmark in common that the filter leaves"), "{text}");
    let text = Target::new().complains(&["compare", "main"], 1);
    assert!(text.contains("Baselines: none"), "{text}");
}

#[test]
fn damaged_files_are_named_and_the_others_compared() {
    let target = two_baselines();
    let cut = target.baseline(SAME, "after@2").join("sample.json");
    fs::write(&cut, r#"{"iters":[1.0,1"#).unwrap();
    // A folder that was half-written.
    fs::remove_file(target.baseline(SLOWER, "before@5").join("sample.json")).unwrap();
    let text = target.prints(&["compare", "before", "after"]);
    let warning = |part: &str| {
        let found = text.lines().find(|line| line.starts_with("warning:") && line.contains(part));
        found.unwrap_or_else(|| panic!("no warning of {part}: {text}")).to_owned()
    };
    assert!(warning("after@2/sample.json").contains("EOF"));
    assert!(warning("before@5/sample.json").contains("No such file"));
    assert!(text.contains("inconclusive: 1 more round"), "{text}");
}

#[test]
fn sides_of_different_nodes_have_no_verdict() {
    let target = two_baselines();
    let saved = |run: &str, cpu: &str, name: &str| {
        let manifest = RunManifest { baseline: Some(name.into()), ..manifest(run, cpu) };
        target.run(manifest, &[SLOWER], 1000.0);
    };
    saved("20260101T000000Z-1", "One", "before");
    saved("20260102T000000Z-1", "Other", "after");
    let text = target.prints(&["compare", "before", "after"]);
    assert!(text.contains("No verdict") && text.contains("cpu_model: One / Other"), "{text}");
    assert!(!text.contains("slower"), "{text}");
    let arguments = ["compare", "before", "after", "--fail-on", "slower"];
    let text = target.complains(&arguments, 1);
    assert!(text.contains("the gate cannot judge: cpu_model: One / Other"), "{text}");
    let json = target.json(&["compare", "before", "after"]);
    assert!(json["comparisons"][0]["verdict"].is_null(), "{json}");
    // The newest run is what saved the baseline.
    let text = target.complains(&["compare", "after"], 1);
    assert!(text.contains("is baseline `after` itself"), "{text}");
}

#[test]
fn counts_are_compared_without_rounds() {
    let target = Target::new();
    let count = |run: &str, instructions: [u64; 2]| {
        let runs = target.0.path().join("lumos/runs");
        let manifest = manifest(run, "One");
        let manifest = RunManifest { schema_version: SCHEMA_VERSION, ..manifest };
        let mut writer = RunWriter::create(&runs, manifest).unwrap();
        for (id, instructions) in ["counts/a/metal/1", "counts/b/metal/1"].iter().zip(instructions)
        {
            let (case, counter) = (case(id), "fuel".into());
            writer.write(&Record::Counted(Counted { case, instructions, counter })).unwrap();
        }
    };
    count("20260101T000000Z-1", [1000, 500]);
    count("20260102T000000Z-1", [1100, 500]);
    let arguments = ["compare", "20260101T000000Z-1", "20260102T000000Z-1"];
    let text = target.prints(&arguments);
    let line = text.lines().find(|line| line.starts_with("counts/a")).unwrap();
    assert!(line.contains("1,000  1,100  1.10×     exact  slower"), "{text}");
    assert!(text.contains("1 with the same number of instructions"), "{text}");
    let gate = |gate: &'static str| [&arguments[..], &["--fail-on", gate]].concat();
    target.complains(&gate("slower:5"), 3);
    target.prints(&gate("slower:15"));
    // Below what matters of times, a count still tells a difference.
    let same = ["compare", "20260102T000000Z-1", "20260103T000000Z-1", "--fail-on"];
    count("20260103T000000Z-1", [1120, 500]);
    target.complains(&[&same[..], &["slower:1"]].concat(), 3);
    target.prints(&[&same[..], &["slower"]].concat());
    let report = target.prints(&["report"]);
    assert!(report.contains("Instructions: 2 counts in the report"), "{report}");
}

/// Rounds of a run, of which the third was interrupted.
fn interrupted() -> Target {
    let target = Target::new();
    for (number, ids) in [(1, &[SLOWER, SAME][..]), (2, &[SLOWER, SAME]), (3, &[SAME])] {
        let round = Round { series: "s".into(), number, of: 5 };
        let run = format!("20260101T00000{number}Z-1");
        let manifest = RunManifest { round: Some(round), ..manifest(&run, "One") };
        target.run(manifest, ids, 1000.0 * f64::from(number));
    }
    target
}

#[test]
fn rounds_count_that_were_measured_to_their_end() {
    let target = interrupted();
    let text = target.prints(&["report"]);
    assert!(text.contains("Round 3 of 5 was interrupted: what it measured is left out"), "{text}");
    assert!(text.contains("Of 5 rounds, 2 were measured to their end"), "{text}");
    let report = fs::read(target.0.path().join("lumos/report/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["run"]["rounds"], json!({"asked": 5, "counted": [1, 2], "interrupted": [3]}));
    let estimates = report["estimates"].as_array().unwrap();
    assert_eq!(estimates.len(), 2);
    assert_eq!((&estimates[0]["median"], &estimates[0]["n"]), (&json!(1500.0), &json!(42)));
    // Whichever round is named, all of them are meant.
    let text = target.prints(&["report", "--run", "20260101T000002Z-1"]);
    assert!(text.contains("20260101T000001Z-1: 2 estimates"), "{text}");
}

#[test]
fn figures_are_exported_for_services_that_keep_them() {
    let target = interrupted();
    let export = |format: &str| target.prints(&["report", "--format", format]);
    assert!(export("csv").starts_with("kind,suite,function,"));
    let entries: Value = serde_json::from_str(&export("custom-smaller-is-better")).unwrap();
    assert_eq!(entries[0]["name"], SAME);
    assert_eq!((&entries[0]["unit"], &entries[0]["value"]), (&json!("ns"), &json!(1500.0)));
    let metrics: Value = serde_json::from_str(&export("bencher")).unwrap();
    let latency = &metrics[SLOWER]["latency"];
    assert_eq!(latency["value"], json!(1500.0));
    assert!(latency["lower_value"].as_f64() <= Some(1500.0), "{latency}");
    target.complains(&["report", "--format", "xml"], 2);
}

#[test]
#[ignore = "a benchmark: run it with --ignored --nocapture"]
#[expect(clippy::disallowed_methods, reason = "a benchmark of the comparison itself")]
fn two_thousand_benchmarks() {
    let target = Target::new();
    let iterations: Vec<f64> = (1..=100).map(f64::from).collect();
    let times: Vec<f64> = iterations.iter().map(|n| n * (1000.0 + n % 7.0)).collect();
    let sample = json!({ "sampling_mode": "Linear", "iters": iterations, "times": times });
    let sample = sample.to_string();
    let mut files = Vec::new();
    for index in 0..2_000 {
        let id = format!("call/function{}/runtime{}/1KiB", index / 40, index % 40);
        for name in ["before", "after"] {
            target.save_rounds(&id, name, 1000.0);
            for round in 1..=5 {
                files.push(target.baseline(&id, &format!("{name}@{round}")).join("sample.json"));
            }
        }
    }
    for file in &files {
        fs::write(file, &sample).unwrap();
    }
    let start = std::time::Instant::now();
    let text = target.prints(&["compare", "before", "after"]);
    let compared = start.elapsed();
    assert!(text.contains("2000 equivalent"), "{text}");
    // Its peer does no more than to read the samples.
    let start = std::time::Instant::now();
    let mut samples = 0;
    for file in &files {
        let found: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        samples += found["times"].as_array().unwrap().len();
    }
    let read = start.elapsed();
    assert_eq!(samples, 2_000_000);
    println!(
        "2,000 benchmarks compared in {compared:?}, {:.2} times what reading them takes",
        compared.as_secs_f64() / read.as_secs_f64()
    );
}
