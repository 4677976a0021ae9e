//! The command line, as a user meets it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn xtask(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().unwrap()
}

/// The message of a call that must fail, and must not panic.
fn complaint(arguments: &[&str]) -> String {
    let output = xtask(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "`{arguments:?}` succeeded");
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[test]
fn without_a_command_help_is_printed() {
    let output = xtask(&[]);
    let text = String::from_utf8(output.stderr).unwrap();
    for command in [
        "setup",
        "doctor",
        "build",
        "bench",
        "report",
        "compare",
        "selftest",
        "overhead",
        "tidy",
        "test",
        "ci",
        "bless",
        "new-function",
        "verify",
    ] {
        assert!(text.contains(&format!("\n  {command} ")), "no {command} in {text}");
    }
}

#[test]
fn unknown_names_are_answered_with_the_known_ones() {
    for (arguments, parts) in [
        (["--profile", "slow"], ["unknown profile `slow`", "quick, standard, full"]),
        (["--suite", "tepid"], ["unknown suite `tepid`", "cold_start, warm"]),
        (
            ["--function", "jsn"],
            ["unknown function `jsn`", "gzip, html-template, image-resize, json"],
        ),
        (["--payload", "3KiB"], ["unknown payload `3KiB`", "64KiB"]),
        (["--runtime", "turbo-*"], ["unknown runtime `turbo-*`", "native"]),
        (["--runtime", "a["], ["--runtime a[", "a["]),
    ] {
        let text = complaint(&["bench", arguments[0], arguments[1]]);
        assert!(parts.iter().all(|part| text.contains(part)), "{arguments:?}: {text}");
    }
}

#[test]
fn targets_that_are_unknown_or_do_not_fit_are_answered() {
    for (arguments, parts) in [
        (&["build", "--target", "mips"][..], &["`mips`", "x86_64, aarch64", "`all`"][..]),
        (&["build", "--isa", "x86-64-v9"], &["`x86-64-v9`", "x86-64-v3, armv8-a"]),
        (&["build", "--target", "aarch64", "--isa", "x86-64-v3"], &["--target x86_64"]),
        (&["bench", "--target", "all"], &["one run measures one architecture"]),
        (&["test", "--target", "mips"], &["`mips`", "x86_64, aarch64"]),
        (&["setup", "--target", "mips"], &["`mips`", "x86_64, aarch64"]),
    ] {
        let text = complaint(arguments);
        assert!(parts.iter().all(|part| text.contains(part)), "{arguments:?}: {text}");
    }
}

#[test]
fn a_name_that_no_new_function_can_have_is_answered() {
    for (name, part) in [
        ("Line", "lower-case"),
        ("line_count", "lower-case"),
        ("2d", "lower-case"),
        ("a--b", "lower-case"),
        ("../json", "lower-case"),
        ("abi", "choose another"),
        ("test", "choose another"),
        ("match", "choose another"),
        ("serde", "choose another"),
        ("lumos-abi", "choose another"),
        ("json", "exists already: nothing was written"),
    ] {
        let text = complaint(&["new-function", name]);
        assert!(text.contains(part), "{name}: {text}");
    }
}

#[test]
fn an_absent_run_is_named_with_the_remedy() {
    let text = complaint(&["report", "--run", "20010101T000000Z-1"]);
    assert!(text.contains("20010101T000000Z-1") && text.contains("cargo xtask bench"), "{text}");
}

/// A checkout that was copied with all that was built, and the command line that stands in it.
#[test]
fn the_checkout_is_the_one_in_which_one_stands() {
    let folder = tempfile::tempdir().unwrap();
    for inner in ["copy/guest-functions", "copy/workloads", "copy/xtask", "elsewhere"] {
        fs::create_dir_all(folder.path().join(inner)).unwrap();
    }
    let copy = folder.path().join("copy");
    let report = |command: &mut Command| {
        command.args(["report", "--run", "none"]).env_remove("LUMOS_ROOT");
        command.env_remove("CARGO_TARGET_DIR");
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let expected = format!("there is none in {}", copy.join("target/lumos/runs").display());
    // Cargo names the package's folder to what it starts.
    let mut by_cargo = Command::new(env!("CARGO_BIN_EXE_xtask"));
    by_cargo.env("CARGO_MANIFEST_DIR", copy.join("xtask"));
    let text = report(by_cargo.current_dir(folder.path().join("elsewhere")));
    assert!(text.contains(&expected), "{text}");
    let mut by_hand = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let text = report(by_hand.env_remove("CARGO_MANIFEST_DIR").current_dir(&copy));
    assert!(text.contains(&expected), "{text}");
}

/// As behind `| head -1`.
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = cargo_with_an_interrupted_bench_target(folder.path());
    let list = ["bench", "--list", "--suite", "call", "--runtime", "native", "--function", "noop"];
    for arguments in [&list[..], &["doctor"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.env("CARGO", &cargo).env("CARGO_TARGET_DIR", folder.path().join("target"));
        let output = command.args(arguments).stdout(writer).stderr(Stdio::piped()).output();
        let output = output.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !text.contains("panicked"), "{arguments:?}: {text}");
    }
}

#[test]
fn a_baseline_that_would_be_lost_is_refused_before_anything_is_built() {
    for (name, part) in [
        ("feature/x", "`feature-x` would do"),
        ("..", "full stop"),
        ("new", "Criterion has a folder of that name"),
        ("", "empty"),
    ] {
        let text = complaint(&["bench", "--", "--save-baseline", name]);
        assert!(text.contains(part) && !text.contains("To come:"), "{name}: {text}");
    }
}

#[test]
fn the_rules_of_the_architecture_hold() {
    let output = xtask(&["tidy"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_file_that_is_no_wasi_command_is_refused_with_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, part) in [
        ("script.wasm", &b"#!/bin/sh"[..], "this is no WebAssembly"),
        ("component.wasm", b"\0asm\x0d\0\x01\0", "this is a component"),
        ("library.wasm", b"\0asm\x01\0\0\0", "exports no `_start`"),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let text = complaint(&["bench", "--wasm", file.to_str().unwrap()]);
        assert!(text.contains(part) && text.contains(name), "{text}");
    }
    let text = complaint(&["bench", "--wasm", "no/such/file.wasm"]);
    assert!(text.contains("no/such/file.wasm: No such file"), "{text}");
    // Options of a module mean nothing without one.
    assert!(complaint(&["bench", "--stdin", "x"]).contains("--wasm"));
}

/// `xtask build` of what these take, in a target directory of its own.
fn build(target: &Path, needs: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["build", "--needs", needs]);
    command.env("CARGO_TARGET_DIR", target).env_remove("LUMOS_NO_BUILD");
    command
}

#[test]
fn a_part_is_built_and_what_it_lacks_is_built_later_or_named() {
    const WASM: &str = r#"[{"kind":"wasm","function":"noop"}]"#;
    const NATIVE: &str = r#"[{"kind":"native-exe","function":"noop"}]"#;
    let target = tempfile::tempdir().unwrap();
    let run = |needs, no_build| {
        let no_build: Option<&str> = no_build;
        let mut command = build(target.path(), needs);
        let command = command.envs(no_build.map(|value| ("LUMOS_NO_BUILD", value)));
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let built = || -> Vec<String> {
        let text = fs::read(target.path().join("lumos/artifacts/manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(manifest["partial"], true);
        let artifacts = manifest["artifacts"].as_array().unwrap();
        artifacts.iter().map(|artifact| artifact["kind"].as_str().unwrap().to_owned()).collect()
    };
    let (succeeded, text) = run(WASM, None);
    assert!(succeeded, "{text}");
    assert_eq!(built(), ["wasm"]);
    let (succeeded, text) = run(NATIVE, Some("1"));
    assert!(!succeeded && text.contains("missing or stale: native-exe noop"), "{text}");
    // What is there is not in the way.
    let (succeeded, text) = run(WASM, Some("1"));
    assert!(succeeded, "{text}");
    let (succeeded, text) = run(NATIVE, None);
    assert!(succeeded && !text.contains("building wasm"), "{text}");
    assert_eq!(built(), ["wasm", "native-exe"]);
    let (succeeded, text) = run("[{", None);
    assert!(!succeeded && text.contains("--needs"), "{text}");
}

#[test]
fn two_builds_at_once_wait_for_each_other_and_say_so() {
    let target = tempfile::tempdir().unwrap();
    let artifacts = target.path().join("lumos/artifacts");
    fs::create_dir_all(&artifacts).unwrap();
    let lock = fs::File::create(artifacts.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut child = build(target.path(), "[]").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("waiting")));
    assert!(line.unwrap().unwrap().starts_with("Another build is under way in "));
    assert!(child.try_wait().unwrap().is_none());
    lock.unlock().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(artifacts.join("manifest.json").exists());
}

#[test]
fn what_is_built_is_where_cargo_would_put_it() {
    let manifest = "lumos/artifacts/manifest.json";
    let check = |prepare: &dyn Fn(&Path, &mut Command), place: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = build(folder.path(), "[]");
        command.current_dir(folder.path()).env("PWD", folder.path());
        command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET_DIR");
        prepare(folder.path(), &mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(folder.path().join(place).join(manifest).exists(), "nothing is in {place}");
    };
    let variable = |name: &'static str, value: &'static str| {
        move |folder: &Path, command: &mut Command| {
            // As a whole path, or as one that begins in the folder.
            let value = if value.is_empty() { folder.join("whole") } else { value.into() };
            command.env(name, value);
        }
    };
    check(&variable("CARGO_TARGET_DIR", ""), "whole");
    check(&variable("CARGO_TARGET_DIR", "part"), "part");
    check(&variable("CARGO_BUILD_TARGET_DIR", ""), "whole");
    check(&variable("CARGO_BUILD_TARGET_DIR", "part"), "part");
    let configured = |folder: &Path, _: &mut Command| {
        fs::create_dir(folder.join(".cargo")).unwrap();
        let text = "[build]\ntarget-dir = \"configured\"\n";
        fs::write(folder.join(".cargo/config.toml"), text).unwrap();
    };
    check(&configured, "configured");
}

#[test]
fn what_cannot_be_fetched_is_named_with_the_step_that_takes_it() {
    let (target, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = build(target.path(), r#"[{"kind":"wasm","function":"json"}]"#);
    // As on a node that has downloaded nothing, and has no network.
    command.env("CARGO_HOME", home.path()).env("CARGO_NET_OFFLINE", "true");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && !text.contains("panicked"), "{text}");
    for part in
        ["wasm json: ", "no matching package", "offline", "could not be built", "above: wasm json"]
    {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(!target.path().join("lumos/artifacts/wasm32-wasip1/json/reactor.wasm").exists());
}

/// A cargo that compiles no bench target: of its own it has one, a script that lists a case, and
/// is interrupted when it measures.
fn cargo_with_an_interrupted_bench_target(folder: &Path) -> PathBuf {
    let script = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    };
    let case = r#"{"suite":"call","function":"noop","runtime":"native","payload":"-"}"#;
    let bench = script(
        "bench",
        &format!(
            "case $LUMOS_SELECT in\n*'\"list\":true'*) echo '{case}';;\n\
             *) kill -INT $PPID; sleep 1;;\nesac"
        ),
    );
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("runtimes/native");
    let message = serde_json::json!({
        "reason": "compiler-artifact",
        "package_id": "path+file:///native#lumos-native@0.1.0",
        "manifest_path": manifest.join("Cargo.toml"),
        "target": {
            "kind": ["bench"], "crate_types": ["bin"], "name": "suites", "src_path": "/suites.rs",
            "edition": "2024", "doc": false, "doctest": false, "test": false,
        },
        "profile": {
            "opt_level": "3", "debuginfo": 0, "debug_assertions": false, "overflow_checks": false,
            "test": true,
        },
        "features": [], "filenames": [bench], "executable": bench, "fresh": true,
    });
    let real = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let benches = format!("if [ \"$1\" = bench ]; then echo '{message}'; exit; fi");
    script("cargo", &format!("{benches}\nexec '{real}' \"$@\""))
}

#[test]
fn an_interrupted_run_ends_with_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["bench", "--suite", "call", "--runtime", "native", "--function", "noop"]);
    command.env("CARGO", cargo_with_an_interrupted_bench_target(folder.path()));
    command.env("CARGO_TARGET_DIR", folder.path().join("target")).env_remove("LUMOS_NO_BUILD");
    let heed_interrupts = || {
        // SAFETY: a call that may be made between fork and exec.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        Ok(())
    };
    // A shell ignores them for what is in the background, as these tests may be.
    // SAFETY: it does no more than that.
    unsafe { command.pre_exec(heed_interrupts) };
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert_eq!(text.lines().last(), Some("error: interrupted: 0 of 1 cases have an outcome"));
}
