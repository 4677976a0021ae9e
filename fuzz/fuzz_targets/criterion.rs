//! What Criterion leaves, what it prints, and the arguments that are meant for it.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use lumos_criterion::files::{self, BENCHMARK, ESTIMATES, Estimates, SAMPLE};
use lumos_criterion::{Arguments, Benchmark, Samples, verdicts};

fuzz_target!(|data: &[u8]| {
    let place = lumos_fuzz::folder();
    let root = place.path();
    let folder = root.join("g/f/new");
    lumos_fuzz::write(&folder, data, &[BENCHMARK, ESTIMATES, SAMPLE, "log", "arguments"]);
    let relative = Path::new("g/f/new");
    let _ = files::read_samples(root, relative);
    let _ = Samples::read(&folder);
    if let Ok(estimates) = files::read_json::<Estimates>(root, relative, ESTIMATES) {
        estimates.median.holds(&estimates.median);
    }
    let benchmark = files::read_json::<Benchmark>(root, relative, BENCHMARK);
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let ids = ["call/f/native/a".to_owned(), benchmark.map(|b| b.full_id).unwrap_or_default()];
    verdicts(&log, ids.iter());
    let arguments = std::fs::read_to_string(folder.join("arguments")).unwrap_or_default();
    let arguments: Vec<String> = arguments.lines().map(str::to_owned).collect();
    let _ = Arguments::parse(&arguments);
    let found = files::find(root).unwrap();
    files::names(&found);
    files::remove_rounds(root, "new").unwrap();
});
