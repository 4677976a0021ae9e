//! The command line, as a user meets it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
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
