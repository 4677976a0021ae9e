//! What is absent, damaged or out of order.

use std::fs;

use lumos_record::{ArtifactManifest, Layout, Ledger, PullCheck, Record, Run, Suite};
use serde_json::json;

use super::fixture::Fixture;
use super::records::*;
use crate::find_run;

#[test]
fn a_clock_that_steps_back_changes_no_figure() {
    let fixture = Fixture::complete();
    let before = fixture.report();
    // The names of runs begin with the time of the node.
    let (folder, earlier) = (fixture.round_folder(2), "20200101T000000Z-1-2");
    let records = fs::read_to_string(folder.join(Run::RECORDS)).unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    fs::write(folder.join(Run::RECORDS), records.replacen(name, earlier, 1)).unwrap();
    fs::rename(&folder, folder.with_file_name(earlier)).unwrap();
    let report = fixture.report();
    for list in ["estimates", "ratios", "warnings"] {
        assert_eq!(report[list], before[list], "{list}");
    }
    assert_eq!(report["run"]["name"], before["run"]["name"]);
}

#[test]
fn pulls_that_cannot_be_read_are_a_warning_and_absent_ones_are_not() {
    let fixture = Fixture::complete();
    let report = fixture.report();
    let ratio = report["pull_checks"][0]["ratio"].as_f64().unwrap();
    // Four round trips of 0.4 ms, and 200 KiB in frames at 25 MB/s.
    assert!((ratio - 11e6 / (1.6e6 + 204_800.0 * 1514.0 / 1448.0 * 40.0)).abs() < 1e-9);
    assert!(report["pull_checks"][1]["modelled_ns"].is_null(), "no limit, no model");
    let path = fixture.round_folder(5).join(PullCheck::FILE);
    fs::write(&path, "{").unwrap();
    let report = fixture.report();
    assert!(report["warnings"][0].as_str().unwrap().contains("cannot be read"), "{report}");
    fs::remove_file(path).unwrap();
    let report = fixture.report();
    assert_eq!((&report["warnings"], &report["pull_checks"]), (&json!([]), &json!([])));
    assert!(fixture.output("report.md").contains("This run did not check the model"));
}

#[test]
fn an_absent_run_names_those_that_there_are_and_the_remedy() {
    let fixture = Fixture::new();
    let message = find_run(&fixture.layout, Some("other")).unwrap_err().to_string();
    assert!(message.contains("no run `other`") && message.contains(RUN), "{message}");
    assert!(message.contains("`cargo xtask bench`"), "{message}");
    assert_eq!(find_run(&fixture.layout, None).unwrap(), fixture.run_folder());

    let root = fixture.folder.path().join("empty");
    let layout = Layout::at(root);
    for name in [None, Some("other")] {
        let message = find_run(&layout, name).unwrap_err().to_string();
        assert!(message.contains("`cargo xtask bench` makes one"), "{message}");
    }
}

#[test]
fn a_truncated_last_record_is_a_warning() {
    let mut fixture = Fixture::new();
    let case = case(Suite::Warm, "noop", "alpha-process", "4KiB");
    fixture.measure(&case, &[1.0; 10], &steady(10, 1_000.0));
    let path = fixture.run_folder().join(Run::RECORDS);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "{\"type\":\"skip\",\"ca").unwrap();
    let report = fixture.report();
    assert_eq!(report["estimates"].as_array().unwrap().len(), 1);
    let unrecorded = "no record of the workers of:\n\n- `warm/noop/alpha-process/4KiB`";
    assert!(fixture.output("report.md").contains(unrecorded), "an absence is explained");
    assert_eq!(report["run"]["truncated"], json!(true));
    assert!(report["warnings"][0].as_str().unwrap().contains("cut short"));
}

#[test]
fn bad_files_become_failures_that_name_them() {
    let reason = Fixture::failure_after("sample.json", "{\"iters\":[1.0,");
    assert!(reason.starts_with("criterion/0001/sample.json: EOF"), "{reason}");
    let reason = Fixture::failure_after("sample.json", "{\"iters\":[1.0],\"times\":[]}");
    assert_eq!(reason, "criterion/0001/sample.json: 1 iteration counts, but 0 times");
    let reason = Fixture::failure_after("sample.json", "{\"iters\":[],\"times\":[]}");
    assert_eq!(reason, "criterion/0001/sample.json: there are no samples");
    let reason = Fixture::failure_after("sample.json", "{\"iters\":[0.0],\"times\":[1.0]}");
    assert_eq!(reason, "criterion/0001/sample.json: sample 0 has no iteration");
    let other = "{\"group_id\":\"warm/noop\",\"full_id\":\"warm/noop/other/4KiB\"}";
    let reason = Fixture::failure_after("benchmark.json", other);
    assert!(reason.contains("benchmark.json: is of `warm/noop/other/4KiB`"), "{reason}");
    let stale = "{\"median\":{\"point_estimate\":5000.0,\"confidence_interval\":\
                 {\"lower_bound\":5000.0,\"upper_bound\":5000.0}}}";
    let reason = Fixture::failure_after("estimates.json", stale);
    assert!(reason.contains("estimates.json: has a median of 5000 ns"), "{reason}");
}

/// Nobody takes an older run's figures for those of the newest.
#[test]
fn a_newest_run_that_is_damaged_is_named_and_no_other_is_shown() {
    let mut fixture = Fixture::new();
    let case = case(Suite::Warm, "noop", "alpha-process", "4KiB");
    fixture.measure(&case, &[1.0; 10], &steady(10, 1_000.0));
    let newest = fixture.layout.runs().join("29991231T235959Z-1");
    fs::create_dir(&newest).unwrap();
    let records = fs::read_to_string(fixture.run_folder().join(Run::RECORDS)).unwrap();
    let damages = ["garbage\n", "{\"type\":\"started\"}\n", "\0\0\0\n{}\n"];
    for damage in damages.map(|damage| format!("{records}{damage}")) {
        fs::write(newest.join(Run::RECORDS), damage).unwrap();
        let message = format!("{:#}", find_run(&fixture.layout, None).unwrap_err());
        for part in ["29991231T235959Z-1/records.jsonl:", "not a record", "name another, or remove"]
        {
            assert!(message.contains(part), "no `{part}` in {message}");
        }
    }
    // One that is still being written is as whole as it can be.
    fs::write(newest.join(Run::RECORDS), format!("{records}{{\"type\":")).unwrap();
    assert_eq!(find_run(&fixture.layout, None).unwrap(), newest);
}

#[test]
fn a_missing_file_becomes_a_failure_that_names_it() {
    let mut fixture = Fixture::new();
    let case = case(Suite::Warm, "noop", "alpha-process", "4KiB");
    let folder = fixture.measure(&case, &[1.0; 10], &steady(10, 1_000.0));
    fs::remove_file(folder.join("sample.json")).unwrap();
    let reason = fixture.report()["failures"][0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("criterion/0001/sample.json: "), "{reason}");
}

#[test]
fn samples_of_several_iterations_have_no_percentiles() {
    let mut fixture = Fixture::new();
    let case = case(Suite::Call, "noop", "alpha", "4KiB");
    fixture.measure(&case, &[10.0; 100], &steady(100, 1_000.0));
    let report = fixture.report();
    let estimate = &report["estimates"][0];
    assert_eq!((estimate["raw"].as_bool(), estimate["p95"].as_f64()), (Some(false), None));
    assert!(estimate["median"].as_f64().unwrap() < 110.0, "a time is per iteration");
    let note = "each sample is the mean of several iterations";
    assert!(fixture.output("report.md").contains(note));
}

#[test]
fn a_case_without_an_outcome_was_interrupted() {
    let mut fixture = Fixture::new();
    let case = case(Suite::Warm, "noop", "alpha-process", "4KiB");
    fixture.measure(&case, &[1.0; 10], &steady(10, 1_000.0));
    assert_eq!(fixture.report()["failures"], json!([]));
    fixture.write(Record::Started { case });
    let report = fixture.report();
    assert_eq!(report["estimates"], json!([]), "an earlier attempt does not count");
    let reason = report["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("interrupted"), "{reason}");
}

#[test]
fn rebuilt_artifacts_are_a_warning() {
    let fixture = Fixture::complete();
    assert_eq!(fixture.report()["warnings"], json!([]));
    let path = fixture.layout.artifacts().join(ArtifactManifest::FILE);
    let original = fs::read_to_string(&path).unwrap();
    fs::write(&path, original.clone() + "\n").unwrap();
    let report = fixture.report();
    assert!(report["warnings"][0].as_str().unwrap().contains("rebuilt since"));
    assert_ne!(report["ratios"], json!([]), "modes are still known");

    // The run's own copy, where there is one, is preferred.
    fs::write(fixture.run_folder().join(ArtifactManifest::FILE), original).unwrap();
    assert_eq!(fixture.report()["warnings"], json!([]));
}

#[test]
fn without_an_artifact_manifest_there_are_figures_but_no_ratios() {
    let fixture = Fixture::complete();
    fs::remove_file(fixture.layout.artifacts().join(ArtifactManifest::FILE)).unwrap();
    let report = fixture.report();
    assert_eq!((&report["ratios"], &report["artifacts"]), (&json!([]), &json!([])));
    assert_ne!(report["estimates"], json!([]));
    assert!(report["warnings"][0].as_str().unwrap().contains("`cargo xtask build`"));
    assert!(fixture.output("report.md").contains("no ratio: the artifact manifest has no such"));
}

#[test]
fn phases_that_do_not_add_up_are_a_warning() {
    let mut fixture = Fixture::new();
    let case = case(Suite::ColdStart, "noop", "alpha-process", "4KiB");
    fixture.measure(&case, &[1.0; 10], &steady(10, 750_000.0));
    let wrong = Ledger { outer_ns: 5_000_000, ..ledger(&case, 0, 1.0) };
    fixture.write(Record::Phases(wrong));
    let warning = fixture.report()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("1 of 1 cold starts: the phases add up to"), "{warning}");
    for sample in 1..30 {
        let wrong = if sample == 7 { 5_000_000 } else { 750_000 + u64::from(sample) * 1_000 };
        let found = ledger(&case, sample, 1.0);
        fixture.write(Record::Phases(Ledger { outer_ns: wrong, ..found }));
    }
    let report = fixture.report();
    let reason = report["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("2 of 30 cold starts do not reconcile; the first: "), "{reason}");
    assert_eq!(report["estimates"], json!([]));
}
