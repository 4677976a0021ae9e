//! The files of chains: what they say, and what is wrong with one that says something else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use lumos_workloads::{Request, Workloads, sha256_hex};

/// A function that keeps state or none, without payloads that matter.
fn function(name: &str, keeps_state: bool) -> String {
    let digest = sha256_hex(b"");
    let state = match keeps_state {
        true => ("state = true\n", "state = { key = \"k\" }\n"),
        false => ("", ""),
    };
    format!(
        "function = \"{name}\"\nsummary = \"For a test\"\n{}\n[[payload]]\nid = \"a\"\n\
         profile = \"quick\"\nrequest = {{ kind = \"empty\" }}\n{}\
         request_sha256 = \"{digest}\"\nresponse_sha256 = \"{digest}\"\n",
        state.0, state.1
    )
}

const RIGHT: &str = "chain = \"demo\"
summary = \"A demonstration\"
first = \"one\"

[step.one]
function = \"plain\"
then = \"two\"

[step.two]
function = \"keeper\"
header = { kind = \"literal\", text = \"k\\n\" }
key = \"k\"

[[payload]]
id = \"a\"
profile = \"quick\"
request = { kind = \"empty\" }
request_sha256 = \"DIGEST\"
response_sha256 = [\"DIGEST\", \"DIGEST\"]
";

fn read(text: &str) -> Result<Workloads, String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, keeps_state) in [("plain", false), ("keeper", true)] {
        let file = folder.path().join(format!("{name}.toml"));
        fs::write(file, function(name, keeps_state)).unwrap();
    }
    let fixture = "fixture = true\n".to_owned() + &function("fixture", false);
    fs::write(folder.path().join("fixture.toml"), fixture).unwrap();
    let chains = folder.path().join("chains");
    fs::create_dir(&chains).unwrap();
    fs::write(chains.join("demo.toml"), text.replace("DIGEST", &sha256_hex(b""))).unwrap();
    Workloads::read(folder.path()).map_err(|error| {
        let message = error.to_string();
        message.strip_prefix(&*chains.to_string_lossy()).expect("the path comes first")[1..]
            .to_owned()
    })
}

/// Replaces a part of the file, and gives the message about what it became.
fn complaint(part: &str, replacement: &str) -> String {
    assert!(RIGHT.contains(part), "{part} is not in the file");
    read(&RIGHT.replacen(part, replacement, 1)).unwrap_err()
}

#[test]
fn a_file_that_is_right_reads() {
    let workloads = read(RIGHT).unwrap();
    let chain = workloads.chain("demo").unwrap();
    let steps: Vec<&str> = chain.steps.iter().map(|step| step.function.as_str()).collect();
    assert_eq!(steps, ["plain", "keeper"]);
    assert_eq!(chain.steps[1].header, Request::Literal { text: "k\n".to_owned() });
    assert_eq!((chain.keeps_state(1), chain.keeps_state(2)), (false, true));
    assert_eq!(chain.workload.payloads[0].step_sha256.len(), 2);
    assert!(workloads.chain("plain").is_none());
    assert!(workloads.benchmarked().all(|workload| workload.function != "demo"));
}

#[test]
fn a_function_that_is_unknown_is_named_with_those_that_are_known() {
    let message = complaint("\"plain\"", "\"plane\"");
    let expected = "demo.toml:6:12: step `one` names the unknown function `plane`: known are \
                    keeper, plain";
    assert_eq!(message, expected);
    // It serves tests alone.
    assert!(complaint("\"plain\"", "\"fixture\"").contains("unknown function `fixture`"));
}

#[test]
fn a_cycle_is_shown() {
    let message = complaint("key = \"k\"\n", "key = \"k\"\nthen = \"one\"\n");
    assert_eq!(message, "demo.toml:13:8: the chain forms a cycle: one -> two -> one");
    let message = complaint("then = \"two\"", "then = \"one\"");
    assert_eq!(message, "demo.toml:7:8: the chain forms a cycle: one -> one");
}

#[test]
fn steps_that_do_not_lead_to_each_other() {
    let message = complaint("then = \"two\"", "then = \"three\"");
    assert_eq!(message, "demo.toml:7:8: there is no step `three`: there are one, two");
    let message = complaint("first = \"one\"", "first = \"two\"");
    assert!(message.contains("step `two` is the first: its `header` belongs to"), "{message}");
    let message = complaint("then = \"two\"\n", "");
    assert!(message.contains("step `two` is never reached from `one`"), "{message}");
}

#[test]
fn state_needs_a_key_and_a_key_state() {
    let message = complaint("key = \"k\"\n", "");
    assert!(message.contains("step `two` has no `key`"), "{message}");
    let message = complaint("\"keeper\"", "\"plain\"");
    assert!(message.contains("step `two` has a `key`"), "{message}");
}

#[test]
fn names_and_digests() {
    let message = complaint("chain = \"demo\"", "chain = \"demonstration\"");
    assert!(message.contains("`chain` is `demonstration`, but the file's name"), "{message}");
    let message = complaint("[\"DIGEST\", \"DIGEST\"]", "[\"DIGEST\"]");
    assert!(message.contains("has 1 digests, and the chain 2 steps"), "{message}");
    assert!(message.contains("`cargo xtask bless demo` writes them"), "{message}");
    let message = complaint("[\"DIGEST\", \"DIGEST\"]", "[\"DIGEST\", \"abc\"]");
    assert!(message.contains("`response_sha256` is `abc`"), "{message}");
    let message = complaint("response_sha256 = [\"DIGEST\", \"DIGEST\"]\n", "");
    assert!(message.contains("missing field `response_sha256`"), "{message}");
}

#[test]
fn the_chains_of_this_folder_read_and_their_requests_have_their_digests() {
    let workloads = Workloads::read(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert!(workloads.chains.iter().any(|chain| chain.steps.len() == 5));
    for payload in workloads.chains.iter().flat_map(|chain| &chain.workload.payloads) {
        assert_eq!(sha256_hex(&payload.generate()), payload.request_sha256, "{}", payload.id);
    }
}
