//! Tests of a build, with the compiler of this node.

use std::os::unix::fs::PermissionsExt;

use lumos_record::Toolchain;

use super::*;
use crate::toolchain::WASM;

/// What the compiler was told of optimisation at the last step of a form, by the kind of form.
fn options(builder: &Builder<'_>, wanted: &Wanted, folder: &Path) -> Vec<String> {
    let (log, wrapper) = (folder.join("log"), folder.join("wrapper"));
    fs::write(&wrapper, "#!/bin/sh\necho \"$@\" >> \"$RUSTC_LOG\"\nexec \"$@\"\n").unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let (mut command, kind) = builder.guest_command(wanted).unwrap();
    command.env("CARGO_TARGET_DIR", folder.join(cargo::folder(wanted)));
    command.env("RUSTC_WRAPPER", &wrapper).env("RUSTC_LOG", &log);
    cargo::output(&mut command, "noop", &kind, |_| {}).unwrap();
    let log = fs::read_to_string(log).unwrap();
    let own = |line: &&str| {
        line.contains("--crate-name noop") && line.contains(&format!("--crate-type {kind}"))
    };
    let line = log.lines().rfind(own).unwrap_or_else(|| panic!("{kind}: {log}"));
    let words: Vec<&str> = line.split(' ').collect();
    let of_code = ["opt-level=", "lto", "codegen-units=", "panic=", "linker-plugin-lto"];
    let is_of_code = |option: &str| of_code.iter().any(|name| option.starts_with(name));
    let mut options: Vec<String> = words
        .iter()
        .enumerate()
        .filter_map(|(index, word)| match *word {
            "-C" => words.get(index + 1).copied(),
            word => word.strip_prefix("-C"),
        })
        .filter(|option| is_of_code(option))
        .map(str::to_owned)
        .collect();
    options.sort();
    options
}

#[test]
fn every_form_of_a_function_is_optimised_alike() {
    let layout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let guests = Guests::find(&[Arch::host().unwrap()]).unwrap();
    let guests = guests.expect("`cargo xtask setup` installs what compiles functions");
    let request = BuildRequest::host(Scope::everything(false)).unwrap();
    let builder = Builder::new(&layout, guests, ArtifactManifest::default(), &request).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let forms = builder.forms("noop").unwrap();
    let forms = forms.iter().filter(|wanted| wanted.is_asked);
    let found: BTreeMap<ArtifactKind, Vec<String>> =
        forms.map(|wanted| (wanted.kind, options(&builder, wanted, folder.path()))).collect();
    assert_eq!(found.len(), 5, "{found:?}");
    for (kind, options) in found {
        let expected = ["codegen-units=1", "lto=fat", "opt-level=3", "panic=abort"];
        assert_eq!(options, expected, "{kind}");
    }
}

#[test]
fn a_build_of_everything_asks_for_all_that_a_whole_one_has() {
    let layout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let guests = Guests::find(&[Arch::host().unwrap()]).unwrap();
    let guests = guests.expect("`cargo xtask setup` installs what compiles functions");
    let request = BuildRequest::host(Scope::everything(false)).unwrap();
    let builder = Builder::new(&layout, guests, ArtifactManifest::default(), &request).unwrap();
    let crates = runtimes::read(&layout, &Toolchain::default()).unwrap();
    let mut wanted = builder.all_forms().unwrap();
    wanted.extend(builder.all_workers(&crates).unwrap());
    // Compilers for other architectures alone are among what there can be.
    assert!(wanted.iter().any(|one| one.kind == ArtifactKind::Worker && !one.is_part));
    for one in wanted {
        assert_eq!(one.is_asked, one.is_part, "{}", one.name());
    }
}

#[test]
fn what_was_built_is_kept_at_once_and_what_failed_leaves_nothing() {
    let checkout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout { target: folder.path().to_owned(), ..checkout };
    let guests = Guests::find(&[Arch::host().unwrap()]).unwrap();
    let guests = guests.expect("`cargo xtask setup` installs what compiles functions");
    let request = BuildRequest::host(Scope::everything(false)).unwrap();
    let builder = |before| Builder::new(&layout, guests.clone(), before, &request).unwrap();
    let first = builder(ArtifactManifest::default());
    let mut forms = first.forms("noop").unwrap().into_iter();
    let (made, failed) = (forms.next().unwrap(), forms.next().unwrap());
    let files = || {
        let folder = layout.artifacts().join(WASM).join("noop");
        let names = fs::read_dir(folder).unwrap().flatten();
        names.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let outcome = first.make(made, |_, output| Ok(fs::write(output, "whole").map(|()| None)?));
    assert!(matches!(outcome.unwrap(), Outcome::Artifact(_)));
    // As where the disk is full.
    let outcome = first.make(failed, |_, output| {
        fs::write(output, "ha")?;
        bail!("no space left on device")
    });
    let Outcome::Failed { reason, .. } = outcome.unwrap() else { panic!("it was made") };
    assert!(reason.contains("no space left"), "{reason}");
    assert_eq!(files(), ["reactor.wasm"]);
    // The next build finds what an interruption has left.
    let before = ArtifactManifest::read(&layout.artifacts()).unwrap();
    let second = builder(before);
    let again = second.forms("noop").unwrap().into_iter().map(|form| second.outcome_of(form));
    let kept = again.filter(|settled| matches!(settled, Ok(Outcome::Artifact(_)))).count();
    assert_eq!(kept, 1);
}
