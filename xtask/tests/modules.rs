//! Modules that others have built, or that were written to do harm, as `bench --wasm` meets them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lumos_build::runtimes;
use lumos_record::{ArtifactKind, Layout, Runtime, Toolchain};

/// Where the modules of the engines' tests are.
fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../harness/bench/src/conformance/modules")
}

/// The files of a folder with the extension `wat`, sorted.
fn texts(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut texts: Vec<PathBuf> =
        files.filter(|file| file.extension() == Some(OsStr::new("wat"))).collect();
    texts.sort();
    texts
}

fn updates() -> bool {
    std::env::var_os("LUMOS_UPDATE_DOCS").is_some()
}

/// Whoever runs the engines' tests has no assembler. Set `LUMOS_UPDATE_DOCS` to write the bytes.
#[test]
fn the_bytes_of_modules_are_what_their_text_says() {
    for text in [texts(&modules()), texts(&modules().join("proposals"))].concat() {
        let expected = wat::parse_file(&text).unwrap();
        let bytes = text.with_extension("wasm");
        if updates() {
            fs::write(&bytes, &expected).unwrap();
        }
        let is_same = fs::read(&bytes).is_ok_and(|bytes| bytes == expected);
        assert!(is_same, "{}: LUMOS_UPDATE_DOCS=1 writes it", bytes.display());
    }
}

/// The tests of each engine hold it to what its crate declares.
#[test]
fn the_table_of_proposals_is_what_runtimes_declare() {
    const MARKERS: [&str; 2] = ["<!-- lumos:proposals:begin -->", "<!-- lumos:proposals:end -->"];
    let layout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let crates = runtimes::read(&layout, &Toolchain::default()).unwrap();
    let runs_wasm = |runtime: &&Runtime| {
        [ArtifactKind::Wasm, ArtifactKind::Precompiled].contains(&runtime.serves)
    };
    let engines: Vec<&Runtime> =
        crates.iter().flat_map(|found| &found.runtimes).filter(runs_wasm).collect();
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let names = engines.iter().map(|engine| format!("`{}`", engine.name));
    let mut table = row(["proposal".to_owned()].into_iter().chain(names).collect());
    table += &format!("|---{}|\n", "|:---:".repeat(engines.len()));
    for text in texts(&modules().join("proposals")) {
        let proposal = text.file_stem().unwrap().to_str().unwrap();
        let cells = engines.iter().map(|engine| {
            let lacks = engine.lacks.iter().any(|lacking| lacking == proposal);
            if lacks { "no".to_owned() } else { "yes".to_owned() }
        });
        table += &row([format!("`{proposal}`")].into_iter().chain(cells).collect());
    }
    let path = layout.root.join("docs/modules.md");
    let document = fs::read_to_string(&path).unwrap();
    let [begin, end] = MARKERS.map(|marker| document.find(marker).unwrap());
    let head = &document[..begin + MARKERS[0].len()];
    let expected = format!("{head}\n\n{table}\n{}", &document[end..]);
    if updates() {
        fs::write(&path, &expected).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), expected, "LUMOS_UPDATE_DOCS=1 writes it");
}

/// What `bench --wasm` says of a module, which it refuses before anything is built.
fn refusal(text: &str, more: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("module.wasm");
    fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["bench", "--wasm"]).arg(&file).args(more);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && !said.contains("panicked"), "{said}");
    assert!(!said.contains("To come:"), "it was refused late: {said}");
    said
}

#[test]
fn what_no_engine_could_run_is_refused_before_anything_is_built() {
    let start = "(func (export \"_start\"))";
    let import = |what: &str| format!("(module (import {what}) {start})");
    let wasi = |name: &str, types: &str| {
        import(&format!("\"wasi_snapshot_preview1\" \"{name}\" (func {types})"))
    };
    for (module, part) in [
        (import("\"env\" \"gone\" (func)"), "imports `env.gone`, which is no function of WASI"),
        (
            wasi("environ_borrow", ""),
            "imports `wasi_snapshot_preview1.environ_borrow`, which is no",
        ),
        (
            wasi("proc_exit", "(param i64)"),
            "imports `wasi_snapshot_preview1.proc_exit` as (i64) -> (), and in WASI preview 1 it \
             is (i32) -> ()",
        ),
        (wasi("sched_yield", ""), "as () -> (), and in WASI preview 1 it is () -> (i32)"),
        (import("\"env\" \"memory\" (memory 1)"), "imports a memory `env.memory`, and a command"),
        (import("\"e\\1b[2J\" \"\\00\" (func)"), "imports `e\\u{1b}[2J.\\u{0}`, which is no"),
        ("(module (global (export \"_start\") i32 (i32.const 0)))".into(), "`_start` is a global"),
        (
            "(module (func (export \"_start\") (param i32 i32) (result i32) (i32.const 0)))".into(),
            "its `_start` is (i32, i32) -> (i32), and a command's is () -> ()",
        ),
    ] {
        let said = refusal(&module, &[]);
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
}

#[test]
fn an_exit_code_that_no_host_sees_is_refused() {
    let start = "(module (func (export \"_start\")))";
    for code in ["4294967296", "-2147483649", "seven"] {
        let said = refusal(start, &[&format!("--exit-code={code}")]);
        assert!(said.contains(code) && said.contains("--exit-code"), "{said}");
    }
}
