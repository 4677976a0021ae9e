//! The extract that the documents' results are made from, and a document with its markers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumos_record::Layout;

fuzz_target!(|data: &[u8]| {
    let place = lumos_fuzz::folder();
    lumos_fuzz::write(place.path(), data, &["README.md", "docs/results.json", "docs/results.md"]);
    let layout = Layout::at(place.path().to_owned());
    if let Err(error) = lumos_report::splice::check(&layout) {
        drop(format!("{error:#}"));
    }
});
