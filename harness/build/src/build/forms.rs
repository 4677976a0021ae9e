//! The forms of a function that its source is compiled to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use cargo_metadata::TargetKind;
use lumos_record::{ArtifactKind, Variant};
use lumos_workloads::sha256_hex;

use super::wanted::{Made, Wanted};
use super::{Builder, cargo};
use crate::scope::Scope;
use crate::targets::Platform;
use crate::toolchain::WASM;
use crate::{process, setup, source};

impl Builder<'_> {
    pub(super) fn all_forms(&self) -> Result<Vec<Wanted>> {
        let forms = self.functions.iter().map(|function| self.forms(function));
        Ok(forms.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// The forms of a function that its source is compiled to.
    pub(super) fn forms(&self, function: &str) -> Result<Vec<Wanted>> {
        let sources = source::guest_hash(self.layout, function)?;
        // Of a build for all that a processor offers, the processor is a source.
        let mut natives = BTreeMap::new();
        for (platform, _) in &self.platforms {
            let own = match platform.processor(false)?.as_str() {
                "" => sources.clone(),
                processor => sha256_hex(format!("{sources} {processor}").as_bytes()),
            };
            natives.insert(platform.arch, own);
        }
        let wanted = |kind, platform: Option<Platform>, variant: Option<Variant>, is_asked| {
            let target = platform.map_or(WASM.to_owned(), |platform| platform.arch.triple());
            let folder = Path::new(&target).join(function);
            let path = match variant {
                Some(variant) => folder.join(variant.to_string()).join(file_name(kind)),
                None => folder.join(file_name(kind)),
            };
            let mut flags = cargo::flags(kind);
            flags.extend(platform.iter().flat_map(|platform| platform.guest_flags()));
            flags.extend(
                variant_flags(variant.unwrap_or(Variant::DEFAULT)).filter(|_| platform.is_none()),
            );
            Wanted {
                kind,
                function: Some(function.to_owned()),
                engine: None,
                engine_version: None,
                variant,
                platform,
                path,
                source_hash: platform.map_or(&sources, |own| &natives[&own.arch]).clone(),
                toolchain: match (&self.optimiser, variant) {
                    (Ok(optimiser), Some(Variant { wasm_opt: true, .. })) => {
                        format!("{}, {optimiser}", self.guests.record.rustc)
                    }
                    _ => self.guests.record.rustc.clone(),
                },
                flags,
                target,
                is_asked,
                is_part: platform.is_none_or(Platform::is_host)
                    && Scope::everything(false).has_variant(variant),
            }
        };
        let mut all = Vec::new();
        let has = |kind, variant| self.request.scope.has_form(kind, function, variant);
        for kind in [ArtifactKind::Wasm, ArtifactKind::WasmCommand] {
            all.push(wanted(kind, None, None, has(kind, None)));
        }
        let natives =
            [ArtifactKind::NativeExe, ArtifactKind::NativeExeDynamic, ArtifactKind::NativeLib];
        for &(platform, is_asked) in &self.platforms {
            let own = |kind| wanted(kind, Some(platform), None, is_asked && has(kind, None));
            all.extend(natives.map(own));
        }
        for variant in Variant::ALL.into_iter().filter(|&variant| variant != Variant::DEFAULT) {
            let (kind, variant) = (ArtifactKind::Wasm, Some(variant));
            all.push(wanted(kind, None, variant, has(kind, variant)));
        }
        Ok(all)
    }

    pub(super) fn compile_guest(&self, wanted: &Wanted, output: &Path) -> Result<Made> {
        let folder = self.layout.lumos().join("build").join(cargo::folder(wanted));
        let (mut command, kind) = self.guest_command(wanted)?;
        command.env("CARGO_TARGET_DIR", folder);
        let function = wanted.function.as_deref().unwrap_or_default();
        let built = cargo::output(&mut command, function, &kind, |_| {})?;
        match wanted.variant {
            Some(variant) if variant.wasm_opt => wasm_opt(&built, variant, output)?,
            _ => cargo::copy(&built, output)?,
        }
        Ok(None)
    }

    /// What compiles a form of a function, and the kind of what that leaves.
    ///
    /// Dependencies are compiled once for all forms of a target: what is a form's own reaches the
    /// compiler at the last step, in which the whole program is optimised. A library has one
    /// crate type there, since cargo leaves that optimisation out of a library that has a second.
    pub(super) fn guest_command(&self, wanted: &Wanted) -> Result<(Command, TargetKind)> {
        let function = wanted.function.as_deref().unwrap_or_default();
        let mut shared = cargo::remapped_paths(self.layout);
        let mut command = match wanted.platform {
            Some(platform) => {
                shared.extend(platform.guest_flags());
                self.guests.cargo_for("rustc", platform, &shared)
            }
            None => {
                let variant = wanted.variant.unwrap_or(Variant::DEFAULT);
                shared.extend(variant.simd.then(|| SIMD.to_owned()));
                let mut command = self.guests.cargo_for_wasm("rustc", &shared);
                command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", variant.opt_level());
                command
            }
        };
        command.current_dir(self.layout.guests()).args(["--package", function]);
        let kind = match wanted.kind {
            ArtifactKind::NativeLib | ArtifactKind::Wasm => {
                command.args(["--lib", "--crate-type", "cdylib"]);
                TargetKind::CDyLib
            }
            _ => {
                command.args(["--bin", function]);
                TargetKind::Bin
            }
        };
        let mut own: Vec<OsString> =
            cargo::flags(wanted.kind).into_iter().map(OsString::from).collect();
        if wanted.kind == ArtifactKind::Wasm {
            own.extend(self.guests.reactor_arguments()?);
        }
        cargo::with_flags(&mut command, own);
        Ok((command, kind))
    }
}

/// What a function's artifact of a kind is called in its folder.
const fn file_name(kind: ArtifactKind) -> &'static str {
    match kind {
        ArtifactKind::NativeLib => "native-lib.so",
        ArtifactKind::Wasm => "reactor.wasm",
        ArtifactKind::WasmCommand => "command.wasm",
        _ => kind.name(),
    }
}

/// What lets the compiler use the instructions of `simd128`.
const SIMD: &str = "-Ctarget-feature=+simd128";

/// How the manifest tells variants apart, beside their name.
fn variant_flags(variant: Variant) -> impl Iterator<Item = String> {
    let opt_level = (variant.opt_level() != "3").then(|| "-Copt-level=s".to_owned());
    let simd = variant.simd.then(|| SIMD.to_owned());
    let optimiser = variant.wasm_opt.then(|| optimiser_arguments(variant).join(" "));
    [opt_level, simd, optimiser].into_iter().flatten()
}

/// What Binaryen's optimiser is called with: the same aim, and the features that rustc's target
/// has.
fn optimiser_arguments(variant: Variant) -> Vec<&'static str> {
    let mut arguments = vec![
        setup::WASM_OPT,
        if variant.for_size { "-Os" } else { "-O3" },
        "--enable-bulk-memory",
        "--enable-multivalue",
        "--enable-mutable-globals",
        "--enable-nontrapping-float-to-int",
        "--enable-reference-types",
        "--enable-sign-ext",
    ];
    arguments.extend(variant.simd.then_some("--enable-simd"));
    arguments
}

/// What Binaryen's optimiser calls itself, or why there is none; it is installed where it is
/// `needed`.
pub fn optimiser(needed: bool) -> Result<String, String> {
    if needed {
        setup::wasm_opt().map_err(|error| format!("{error:#}"))?;
    }
    let version = process::try_output(Command::new(setup::WASM_OPT).arg("--version"));
    version
        .ok_or_else(|| format!("there is no {}: `cargo xtask setup` installs it", setup::WASM_OPT))
}

fn wasm_opt(module: &Path, variant: Variant, output: &Path) -> Result<()> {
    let arguments = optimiser_arguments(variant);
    let mut command = Command::new(arguments[0]);
    command.args(&arguments[1..]).arg(module).arg("-o").arg(output);
    process::quiet_output(&mut command).map(drop)
}
