//! What is wrong with a file is said with the file, the place and the field.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use lumos_record::Profile;
use lumos_workloads::{Error, Request, Workload, Workloads, sha256_hex};

const HEAD: &str = "function = \"demo\"\nsummary = \"A demonstration\"\n";

/// A payload that is right.
fn payload(id: &str, seed: u64) -> String {
    format!(
        "\n[[payload]]\nid = \"{id}\"\nprofile = \"quick\"\n\
         request = {{ kind = \"bytes\", bytes = 64, seed = {seed} }}\n\
         request_sha256 = \"{}\"\nresponse_sha256 = \"{}\"\n",
        sha256_hex(&seed.to_le_bytes()),
        sha256_hex(b""),
    )
}

fn read_as(name: &str, text: &str) -> Result<Workload, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    match Workloads::read(folder.path()) {
        Ok(mut workloads) => Ok(workloads.functions.remove(0)),
        Err(error) => {
            let message = error.to_string();
            let folder = folder.path().to_string_lossy();
            Err(message.strip_prefix(&*folder).expect("the path comes first")[1..].to_owned())
        }
    }
}

fn read(text: &str) -> Result<Workload, String> {
    read_as("demo.toml", text)
}

/// Replaces a part of a file that is right, and gives the message about what it became.
fn complaint(part: &str, replacement: &str) -> String {
    let text = HEAD.to_owned() + &payload("a", 1) + &payload("b", 2);
    assert!(text.contains(part), "{part} is not in the file");
    read(&text.replacen(part, replacement, 1)).unwrap_err()
}

#[test]
fn a_file_that_is_right_reads() {
    let workload = read(&(HEAD.to_owned() + &payload("64B", 1) + &payload("x_0-9.Z", 2))).unwrap();
    assert_eq!(workload.function, "demo");
    assert_eq!(workload.summary, "A demonstration");
    assert!(!workload.fixture);
    assert!(workload.file.ends_with("demo.toml"));
    let payload = workload.payload("x_0-9.Z").unwrap();
    assert_eq!((payload.profile, payload.sweep), (Some(Profile::Quick), false));
    let header = String::new();
    assert_eq!(payload.request, Request::Bytes { header, bytes: 64, seed: 2 });
    assert_eq!(workload.payload("no-such-payload"), None);
}

#[test]
fn malformed_toml() {
    let message = complaint("profile = \"quick\"", "profile = quick");
    assert!(message.starts_with("demo.toml:6:11: "), "{message}");
    assert!(message.ends_with("(in: profile = quick)"), "{message}");
}

#[test]
fn a_field_of_the_wrong_type() {
    let message = complaint("profile = \"quick\"", "profile = 3");
    assert!(message.starts_with("demo.toml:6:11: invalid type: integer `3`"), "{message}");
    assert!(message.ends_with("(in: profile = 3)"), "{message}");
}

#[test]
fn unknown_fields() {
    let message = complaint("summary", "color = \"red\"\nsummary");
    assert!(message.starts_with("demo.toml:2:1: unknown field `color`"), "{message}");
    let message = complaint("profile", "color = \"red\"\nprofile");
    assert!(message.starts_with("demo.toml:6:1: unknown field `color`"), "{message}");
    let message = complaint("bytes = 64", "bytes = 64, color = 1");
    assert!(message.starts_with("demo.toml:7:11: unknown field `color`"), "{message}");
    let message = complaint("\"bytes\", bytes = 64, seed = 1", "\"empty\", seed = 1");
    assert!(message.starts_with("demo.toml:7:11: unknown field `seed`"), "{message}");
}

#[test]
fn missing_fields() {
    let message = complaint("summary = \"A demonstration\"\n", "");
    assert!(message.contains("missing field `summary`"), "{message}");
    let message = complaint("profile = \"quick\"\n", "");
    assert_eq!(message, "demo.toml:5:6: payload `a` has neither `profile` nor `sweep`");
    let message = complaint(", seed = 1", "");
    assert!(message.starts_with("demo.toml:7:11: missing field `seed`"), "{message}");
    assert_eq!(read(HEAD).unwrap_err(), "demo.toml: no `[[payload]]`");
    assert_eq!(complaint("A demonstration", " "), "demo.toml:2:11: `summary` is empty");
}

#[test]
fn payloads_of_sweeps_need_no_profile() {
    let text = HEAD.to_owned() + &payload("a", 1);
    let workload = read(&text.replacen("profile = \"quick\"", "sweep = true", 1)).unwrap();
    assert_eq!((workload.payloads[0].profile, workload.payloads[0].sweep), (None, true));
}

#[test]
fn a_malformed_request_is_one_that_can_be_made() {
    let malformed = |request: &str| {
        complaint(
            "summary",
            &format!("malformed = {{ request = {request}, message = \"no\" }}\nsummary"),
        )
    };
    let message = malformed("{ kind = \"orders\", bytes = 1, seed = 1 }");
    let expected = "demo.toml:2:13: `malformed`: `bytes` is 1, which is not within 2 and 67108864";
    assert_eq!(message, expected);
    let message = malformed("{ kind = \"nonsense\" }");
    assert!(message.contains("unknown variant `nonsense`"), "{message}");
}

#[test]
fn state_is_of_functions_that_keep_it() {
    let state = "state = { key = \"k\", before = { kind = \"empty\" } }\nprofile";
    let message = complaint("profile", state);
    let expected = "payload `a`: `state` is of a function with `state = true`";
    assert!(message.ends_with(expected), "{message}");
    let message = complaint("summary", "state = true\nsummary");
    assert!(message.ends_with("payload `a` has no `state`, which the function keeps"), "{message}");
    let text = HEAD.replacen("summary", "state = true\nsummary", 1) + &payload("a", 1);
    let workload = read(&text.replacen("profile", state, 1)).unwrap();
    let value = workload.payloads[0].value.as_ref().unwrap();
    assert!(workload.keeps_state && value.key == "k" && value.after.is_none());
    let bad = state.replace("\"empty\"", "\"bytes\", bytes = 0, seed = 1");
    let message = read(&text.replacen("profile", &bad, 1)).unwrap_err();
    assert!(
        message.ends_with("`state`: `bytes` is 0, which is not within 1 and 67108864"),
        "{message}"
    );
}

#[test]
fn missing_digests() {
    let line = format!("response_sha256 = \"{}\"\n", sha256_hex(b""));
    let expected = "demo.toml:4:1: payload `a`: missing field `response_sha256`; \
                    `cargo xtask bless` writes it";
    assert_eq!(complaint(&line, ""), expected);
    assert_eq!(complaint(&line, "response_sha256 = \"\"\n"), expected);
}

#[test]
fn drafts_and_fixtures_may_lack_digests() {
    let bare = "[[payload]]\nid = \"a\"\nprofile = \"quick\"\nrequest = { kind = \"empty\" }\n";
    let fixture = read(&format!("{HEAD}fixture = true\n{bare}")).unwrap();
    assert!(fixture.fixture && fixture.payloads[0].response_sha256.is_empty());

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("demo.toml"), format!("{HEAD}{bare}")).unwrap();
    assert!(matches!(Workloads::read(folder.path()), Err(Error::Invalid { .. })));
    let drafts = Workloads::read_drafts(folder.path()).unwrap();
    assert!(drafts.functions[0].payloads[0].request_sha256.is_empty());
}

#[test]
fn a_bad_digest() {
    let message = complaint("request_sha256 = \"", "request_sha256 = \"zz");
    assert!(message.starts_with("demo.toml:8:18: `request_sha256` is `zz"), "{message}");
    assert!(message.ends_with("not 64 lower-case hexadecimal digits"), "{message}");
}

#[test]
fn a_duplicate_id() {
    let message = complaint("id = \"b\"", "id = \"a\"");
    assert_eq!(message, "demo.toml:12:6: `id` names `a` a second time");
}

#[test]
fn a_duplicate_request() {
    let expected = "demo.toml:12:6: payload `b`: its `request` is the same as that of `a`";
    assert_eq!(complaint("seed = 2", "seed = 1"), expected);
    let (first, second) = (sha256_hex(&1_u64.to_le_bytes()), sha256_hex(&2_u64.to_le_bytes()));
    assert_eq!(complaint(&second, &first), expected);
}

#[test]
fn an_id_with_other_characters() {
    for id in ["", "a b", "a/b", "ü", "-", ".."] {
        let message = complaint("id = \"a\"", &format!("id = \"{id}\""));
        assert!(message.starts_with(&format!("demo.toml:5:6: `id` is `{id}`: ")), "{message}");
    }
}

#[test]
fn a_function_that_is_not_the_files() {
    let text = HEAD.to_owned() + &payload("a", 1);
    let expected = "other.toml:1:12: `function` is `demo`, but the file's name says otherwise";
    assert_eq!(read_as("other.toml", &text).unwrap_err(), expected);
    let message = read_as("Demo.toml", &text.replace("\"demo\"", "\"Demo\"")).unwrap_err();
    assert!(message.starts_with("Demo.toml:1:12: `function` is `Demo`: it must"), "{message}");
}

#[test]
fn an_unknown_profile() {
    let message = complaint("\"quick\"", "\"slow\"");
    let expected = "`profile` is an unknown profile `slow`: known are quick, standard, full";
    assert_eq!(message, format!("demo.toml:6:11: {expected}"));
}

#[test]
fn an_unknown_generator() {
    let message = complaint("kind = \"bytes\"", "kind = \"novel\"");
    assert!(message.starts_with("demo.toml:7:20: unknown variant `novel`"), "{message}");
    assert!(message.contains("`orders`"), "{message}");
}

#[test]
fn a_generators_parameter_out_of_range() {
    let message = complaint("bytes = 64", "bytes = 0");
    let expected = "`request`: `bytes` is 0, which is not within 1 and 67108864";
    assert_eq!(message, format!("demo.toml:7:11: {expected}"));
}

#[test]
fn folders_without_workloads() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("Cargo.toml"), "[package]").unwrap();
    let message = Workloads::read(folder.path()).unwrap_err().to_string();
    assert!(message.ends_with("no file `<function>.toml` in this folder"), "{message}");
    let error = Workloads::read(&folder.path().join("missing")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }));
}
