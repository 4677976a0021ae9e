//! What a user can get wrong: a message that names the thing and the remedy, and no run.

use std::fs;

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::{Checkout, Ended, TEN_SAMPLES};
use lumos_bench::conformance::trial;
use lumos_bench::suites::select::Selection;
use lumos_record::ArtifactManifest;
use lumos_record::protocol::variable;

use crate::{checkout, fake, selection};

/// A test per mistake.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("bad_input::malformed_workloads", malformed_workloads),
        trial("bad_input::a_workload_of_another_type", a_workload_of_another_type),
        trial("bad_input::a_malformed_glob", a_malformed_glob),
        trial("bad_input::a_malformed_pattern", a_malformed_pattern),
        trial("bad_input::an_unknown_choice", an_unknown_choice),
        trial("bad_input::a_malformed_command_line", a_malformed_command_line),
        trial("bad_input::no_artifacts", no_artifacts),
        trial("bad_input::a_malformed_manifest", a_malformed_manifest),
        trial("bad_input::no_checkout", no_checkout),
        trial("bad_input::an_unknown_baseline", an_unknown_baseline),
    ]
}

fn steady() -> Result<Checkout> {
    checkout(&[fake::ENGINE], &["steady"])
}

/// Checks that the program ended with a message that holds these words, and began no run.
fn refused(ended: &Ended, words: &[&str]) -> Result<()> {
    ensure!(ended.status.code() == Some(1), "{ended}");
    ensure!(ended.directory.is_none(), "a run was begun: {ended}");
    ensure!(!ended.output.contains("panicked"), "{ended}");
    for word in ["error: "].iter().chain(words) {
        ensure!(ended.output.contains(word), "no `{word}` in: {ended}");
    }
    Ok(())
}

fn malformed_workloads() -> Result<()> {
    let checkout = steady()?;
    let text = "function = \"broken\"\nsummary = \"A typo below\"\n\n[[payload]]\nid = \"1\"\n\
                profile = \"quick\"\nrequets = { kind = \"empty\" }\n";
    fs::write(checkout.layout().workloads().join("broken.toml"), text)?;
    let ended = checkout.run(&selection(), &[])?;
    refused(&ended, &["workloads/broken.toml:7:1: ", "unknown field `requets`"])
}

fn a_workload_of_another_type() -> Result<()> {
    let checkout = steady()?;
    let text = "function = \"broken\"\nsummary = \"A number as a profile\"\n\n[[payload]]\n\
                id = \"1\"\nprofile = 3\nrequest = { kind = \"empty\" }\n";
    fs::write(checkout.layout().workloads().join("broken.toml"), text)?;
    let ended = checkout.run(&selection(), &[])?;
    refused(&ended, &["workloads/broken.toml:6:11: ", "profile = 3"])
}

fn a_malformed_glob() -> Result<()> {
    let malformed = Selection { functions: vec!["json[".into()], ..selection() };
    refused(&steady()?.run(&malformed, &[])?, &["json[", "unclosed character class"])
}

fn a_malformed_pattern() -> Result<()> {
    refused(&steady()?.run(&selection(), &["warm/(json"])?, &["warm/(json", "unclosed group"])
}

/// The choice that `cargo xtask bench` passes on, made by another version of it.
fn an_unknown_choice() -> Result<()> {
    let mut checkout = steady()?;
    checkout.variables.push((variable::SELECTION, "{\"engines\": []}".into()));
    refused(&checkout.run(&selection(), &[])?, &["LUMOS_SELECT", "unknown field `engines`"])
}

fn a_malformed_command_line() -> Result<()> {
    let mut checkout = steady()?;
    checkout.variables.push((variable::COMMAND_LINE, "cargo bench".into()));
    refused(&checkout.run(&selection(), &[])?, &["LUMOS_COMMAND_LINE", "expected value"])
}

fn no_artifacts() -> Result<()> {
    let checkout = steady()?;
    let ended = checkout.wait(checkout.start(&selection(), &[])?)?;
    refused(&ended, &["artifacts/manifest.json", "`cargo xtask build`"])
}

fn a_malformed_manifest() -> Result<()> {
    let checkout = steady()?;
    let path = checkout.layout().artifacts().join(ArtifactManifest::FILE);
    fs::write(path, "{\"schema_version\": 1, \"runtimes\": [")?;
    let ended = checkout.wait(checkout.start(&selection(), &[])?)?;
    refused(&ended, &["artifacts/manifest.json", "line 1", "`cargo xtask build`"])
}

fn no_checkout() -> Result<()> {
    let checkout = steady()?;
    fs::remove_dir(checkout.layout().guests())?;
    refused(&checkout.run(&selection(), &[])?, &["is not inside a checkout of Lumos"])
}

/// Criterion would only complain when everything has been measured.
fn an_unknown_baseline() -> Result<()> {
    let checkout = steady()?;
    let arguments = [&TEN_SAMPLES[..], &["--baseline", "nowhere"]].concat();
    let ended = checkout.run(&selection(), &arguments)?;
    refused(&ended, &["no baseline `nowhere` of cold_start/steady", "--baseline-lenient nowhere"])?;
    checkout.nothing_is_left()
}
