//! What measuring leaves, without measuring, and what a call of the command line prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use lumos_record::{Case, Finished, Record, RunManifest, RunWriter, SCHEMA_VERSION, Suite};
use serde_json::json;

/// A run that has measured these benchmarks.
pub fn run(runs: &Path, manifest: RunManifest, ids: &[&str], median_ns: f64) {
    let manifest = RunManifest { schema_version: SCHEMA_VERSION, ..manifest };
    let mut writer = RunWriter::create(runs, manifest).unwrap();
    for id in ids {
        let case = case(id);
        let criterion = PathBuf::from("criterion").join(id.replace('/', "__"));
        save(writer.directory().join(&criterion), id, median_ns);
        let finished = Finished { case: case.clone(), criterion, verified: 1, size_bytes: 0 };
        writer.write(&Record::Started { case }).unwrap();
        writer.write(&Record::Finished(finished)).unwrap();
    }
}

/// Criterion's files of a benchmark: 21 samples of one iteration, within a tenth of a percent of
/// the median.
pub fn save(folder: PathBuf, id: &str, median_ns: f64) {
    fs::create_dir_all(&folder).unwrap();
    let group = id.rsplitn(3, '/').last().unwrap();
    // Criterion writes more than Lumos reads, and later versions may write more still.
    let benchmark = json!({
        "group_id": group, "function_id": null, "value_str": null, "throughput": null,
        "full_id": id, "directory_name": id, "title": id, "of_a_later_version": [1, 2],
    });
    let times: Vec<f64> = (-10..=10).map(|n| median_ns * (1.0 + f64::from(n) / 10_000.0)).collect();
    let sample = json!({ "sampling_mode": "Flat", "iters": vec![1.0; 21], "times": times });
    let interval = json!({ "lower_bound": median_ns, "upper_bound": median_ns });
    let median = json!({ "point_estimate": median_ns, "confidence_interval": interval });
    let estimates = json!({ "median": median });
    for (name, value) in
        [("benchmark.json", benchmark), ("sample.json", sample), ("estimates.json", estimates)]
    {
        fs::write(folder.join(name), value.to_string()).unwrap();
    }
}

pub fn case(id: &str) -> Case {
    let [suite, function, runtime, payload]: [&str; 4] =
        id.split('/').collect::<Vec<_>>().try_into().unwrap();
    Case {
        suite: suite.parse::<Suite>().unwrap(),
        function: function.into(),
        runtime: runtime.into(),
        payload: payload.into(),
        setting: Default::default(),
    }
}

/// What a call prints that succeeds.
pub fn printed(arguments: &[&str], output: Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a call writes to standard error that fails with that code, and does not panic.
pub fn complaint(arguments: &[&str], output: Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}
