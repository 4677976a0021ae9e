//! The folder of a run that somebody else has sent: its records, its artifact manifest, and its
//! samples. Two rounds of it make a report, and are compared.

#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use lumos_record::{ArtifactManifest, Layout, Run};

const FILES: [&str; 9] = [
    "records.jsonl",
    "manifest.json",
    "pull.json",
    "samples/1/benchmark.json",
    "samples/1/sample.json",
    "samples/2/benchmark.json",
    "samples/2/sample.json",
    "samples/3/benchmark.json",
    "samples/3/sample.json",
];

fuzz_target!(|data: &[u8]| {
    let place = lumos_fuzz::folder();
    let layout = Layout::at(place.path().to_owned());
    let [one, other] = ["1", "2"].map(|name| layout.runs().join(name));
    for folder in [&one, &other] {
        lumos_fuzz::write(folder, data, &FILES);
    }
    // A run names the manifest that it was measured with, and no mutation would hit upon its hash.
    let records = one.join(Run::RECORDS);
    let (Ok(text), Ok(artifacts)) =
        (fs::read_to_string(&records), fs::read(one.join(ArtifactManifest::FILE)))
    else {
        return;
    };
    let text = text.replace("@artifacts@", &lumos_workloads::sha256_hex(&artifacts));
    for (folder, round) in [(&one, "1"), (&other, "2")] {
        fs::write(folder.join(Run::RECORDS), text.replace("@round@", round)).unwrap();
    }
    let output = place.path().join("report");
    match lumos_report::generate(&layout, &one, &output) {
        Ok(summary) => {
            lumos_fuzz::assert_shown(&summary.to_string(), "the summary");
            for name in ["report.md", "report.html", "report.csv"] {
                let text = fs::read_to_string(output.join(name)).unwrap();
                lumos_fuzz::assert_shown(&text, name);
            }
        }
        Err(error) => lumos_fuzz::assert_shown(&format!("{error:#}"), "the error"),
    }
    if let Err(error) = lumos_report::compare::runs((&layout, &one), (&layout, &other)) {
        lumos_fuzz::assert_shown(&format!("{error:#}"), "the error");
    }
});
