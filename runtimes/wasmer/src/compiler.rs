//! The compilers, and what they compile for.

use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use lumos_bench::{Compiled, InvokeError, Target};
use wasmer::sys::{
    Architecture, CompilerConfig, CpuFeature, Cranelift, CraneliftOptLevel, EngineBuilder,
    OperatingSystem, Triple,
};
use wasmer::{Instance, Module, Store};
use wasmer_compiler::ArtifactBuild;
use wasmer_compiler::serialize::{
    ArchivedSerializableCompilation, MetadataHeader, SerializableModule,
};
use wasmer_compiler::types::function::ArchivedFunctionBody;
use wasmer_compiler::types::section::{CustomSectionLike, CustomSectionProtection};
use wasmer_middlewares::metering::{Metering, MeteringPoints, get_remaining_points};

use crate::{Mode, Wasmer, fault};

/// What builds an engine that compiles as a mode does, and can have its code count instructions.
pub fn builder(mode: Mode, metered: bool) -> EngineBuilder {
    match mode {
        Mode::Aot | Mode::Jit => {
            let mut compiler = Cranelift::new();
            compiler.opt_level(CraneliftOptLevel::Speed).num_threads(NonZero::<usize>::MIN);
            meter(&mut compiler, metered);
            EngineBuilder::new(compiler)
        }
        #[cfg(feature = "singlepass")]
        Mode::Singlepass => {
            let mut compiler = wasmer::sys::Singlepass::new();
            // It makes every NaN the same by default, as no other compiler here does.
            compiler.canonicalize_nans(false).num_threads(NonZero::<usize>::MIN);
            meter(&mut compiler, metered);
            EngineBuilder::new(compiler)
        }
        // `engine` makes none in this mode.
        #[cfg(not(feature = "singlepass"))]
        Mode::Singlepass => EngineBuilder::headless(),
    }
}

/// Has code count its instructions, each as one. The meter is good for one module.
fn meter(compiler: &mut impl CompilerConfig, metered: bool) {
    if metered {
        compiler.push_middleware(Arc::new(Metering::new(u64::MAX, |_| 1)));
    }
}

/// How many instructions an instance of metered code has executed.
///
/// # Errors
/// When it has used up all that it may.
pub fn executed(store: &mut Store, instance: &Instance) -> Result<u64, InvokeError> {
    match get_remaining_points(store, instance) {
        MeteringPoints::Remaining(left) => Ok(u64::MAX - left),
        MeteringPoints::Exhausted => Err(fault(&"there is nothing left to count with")),
    }
}

/// Compiles a module on one thread.
///
/// What wasmer's own setting for threads leaves out, such as trampolines, takes those of the
/// pool that it is called from: without one, as many as there are processors.
///
/// # Errors
/// When the module is invalid, or the compiler cannot compile it, or there can be no thread.
pub fn compile(engine: &wasmer::Engine, module: &[u8]) -> Result<Module> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    // Cranelift calls the host for instructions that a processor lacks, and wasmer panics where
    // it has no such function. The engine is of no further use then.
    let compile = AssertUnwindSafe(|| pool.install(|| Module::new(engine, module)));
    match std::panic::catch_unwind(compile) {
        Ok(compiled) => Ok(compiled?),
        Err(cause) => {
            let words = cause.downcast_ref::<&str>().copied();
            let words = words.or_else(|| cause.downcast_ref::<String>().map(String::as_str));
            bail!("wasmer's compiler panicked: {}", words.unwrap_or("it does not say why"))
        }
    }
}

impl Wasmer {
    /// Compiles a module ahead of time.
    pub(crate) fn compile_for(&self, module: &[u8], target: &Target) -> Result<Compiled> {
        let builder = builder(self.mode, self.metered).set_target(Some(wasmers(target)?));
        let module = compile(&self.engine_of_module(builder), module)
            .with_context(|| format!("for {target}"))?;
        let bytes = module.serialize()?.to_vec();
        Ok(Compiled { text_bytes: text_bytes(&bytes), bytes })
    }
}

/// wasmer's idea of a target.
fn wasmers(target: &Target) -> Result<wasmer::sys::Target> {
    let Target::Named { triple, features } = target else {
        // The processor that compiles, with all features that wasmer knows to detect.
        return Ok(wasmer::sys::Target::default());
    };
    let parsed: Triple = triple.parse().map_err(|error| anyhow::anyhow!("{triple}: {error}"))?;
    let (least, known) = match parsed.architecture {
        Architecture::X86_64 => (CpuFeature::SSE2, X86_64),
        Architecture::Aarch64(_) => (CpuFeature::NEON, AARCH64),
        other => bail!("{triple}: code for {other} is not measured here"),
    };
    ensure!(
        parsed.operating_system == OperatingSystem::Linux,
        "{triple}: code for {} is not measured here",
        parsed.operating_system
    );
    // What every processor of an architecture has is named, too: an artifact holds the names of
    // the features that it needs and no architecture, and with these no processor of another
    // architecture loads it.
    let mut needed = CpuFeature::set();
    needed.insert(least);
    for feature in features {
        let found = known.iter().find(|(name, _)| name == feature);
        let (_, wasmers) = found.with_context(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            format!("unknown feature `{feature}` of {triple}: known are {}", names.join(", "))
        })?;
        needed.extend(*wasmers);
    }
    Ok(wasmer::sys::Target::new(parsed, needed))
}

/// Features by the names that rustc gives them, and what they are to wasmer, unless its code
/// makes no use of them.
type Features = &'static [(&'static str, Option<CpuFeature>)];

const X86_64: Features = &[
    ("sse2", Some(CpuFeature::SSE2)),
    ("sse3", Some(CpuFeature::SSE3)),
    ("ssse3", Some(CpuFeature::SSSE3)),
    ("sse4.1", Some(CpuFeature::SSE41)),
    ("sse4.2", Some(CpuFeature::SSE42)),
    ("popcnt", Some(CpuFeature::POPCNT)),
    ("avx", Some(CpuFeature::AVX)),
    ("avx2", Some(CpuFeature::AVX2)),
    ("bmi1", Some(CpuFeature::BMI1)),
    ("bmi2", Some(CpuFeature::BMI2)),
    ("lzcnt", Some(CpuFeature::LZCNT)),
    ("fma", Some(CpuFeature::FMA)),
    ("avx512f", Some(CpuFeature::AVX512F)),
    ("avx512dq", Some(CpuFeature::AVX512DQ)),
    ("avx512vl", Some(CpuFeature::AVX512VL)),
    ("avx512bitalg", None),
    ("avx512bw", None),
    ("avx512cd", None),
    ("avx512vbmi", None),
    ("avx512vnni", None),
    ("avxvnni", None),
    ("cmpxchg16b", None),
    ("f16c", None),
    ("movbe", None),
];

const AARCH64: Features = &[
    ("neon", Some(CpuFeature::NEON)),
    ("dotprod", None),
    ("fp16", None),
    ("i8mm", None),
    ("lse", None),
    ("paca", None),
    ("pacg", None),
];

/// How much of an artifact is machine code; none if it has another form than wasmer's usual.
fn text_bytes(artifact: &[u8]) -> Option<u64> {
    let module = artifact.get(ArtifactBuild::MAGIC_HEADER.len() + MetadataHeader::LEN..)?;
    let module = SerializableModule::archive_from_slice_checked(module).ok()?;
    let ArchivedSerializableCompilation::Rkyv(code) = &module.compilation else {
        return None;
    };
    let functions = code.function_bodies.values();
    let trampolines = code.function_call_trampolines.values();
    let dynamic_trampolines = code.dynamic_function_trampolines.values();
    let bodies = functions.chain(trampolines).chain(dynamic_trampolines);
    let bodies = bodies.map(|body: &ArchivedFunctionBody| body.body.len());
    let sections = code.custom_sections.values();
    let sections = sections
        .filter(|section| section.protection() == CustomSectionProtection::ReadExecute)
        .map(|section| section.bytes().len());
    Some(bodies.chain(sections).sum::<usize>() as u64)
}

#[cfg(test)]
mod tests {
    use lumos_bench::{Engine as _, Limits};

    use super::*;

    fn target(text: &str) -> Result<wasmer::sys::Target> {
        let Ok(target) = text.parse();
        wasmers(&target)
    }

    #[test]
    fn features_are_mapped_and_those_that_make_no_difference_are_left_out() {
        let some = target("x86_64-unknown-linux-gnu+sse4.1+bmi1+f16c+cmpxchg16b").unwrap();
        let expected = CpuFeature::SSE2 | CpuFeature::SSE41 | CpuFeature::BMI1;
        assert_eq!(*some.cpu_features(), expected);
        let none = target("aarch64-unknown-linux-gnu+lse").unwrap();
        assert_eq!(*none.cpu_features(), CpuFeature::NEON);
    }

    #[test]
    fn every_feature_of_this_processor_is_known() {
        let arch = std::env::consts::ARCH;
        let features = lumos_bench::cpu::features().join("+");
        target(&format!("{arch}-unknown-linux-gnu+{features}")).unwrap();
    }

    #[test]
    fn what_no_target_has_is_named() {
        for (text, words) in [
            ("x86_64-unknown-linux-gnu+neon", "unknown feature `neon`"),
            ("aarch64-unknown-linux-gnu+avx2", "unknown feature `avx2`"),
            ("x86_64-unknown-linux-gnu+", "unknown feature ``"),
            ("s390x-unknown-linux-gnu", "s390x"),
            ("aarch64-apple-darwin", "darwin"),
            ("pulley64", "pulley64"),
            ("host2", "host2"),
        ] {
            let message = target(text).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    /// wasmer writes everything that changes code into an identifier.
    #[test]
    fn the_settings_are_those_of_the_compilers() {
        assert_eq!(builder(Mode::Jit, false).engine().deterministic_id(), "cranelift-opts");
        assert_eq!(builder(Mode::Jit, false).engine().artifact_format(), "rkyv");
        #[cfg(feature = "singlepass")]
        assert_eq!(builder(Mode::Singlepass, false).engine().deterministic_id(), "singlepass");
    }

    #[test]
    fn a_module_that_is_invalid_is_refused_by_every_target() {
        let engine = crate::engine("wasmer-aot", &Limits::default()).unwrap();
        for target in ["host", "aarch64-unknown-linux-gnu"] {
            let Ok(target) = target.parse();
            assert!(engine.compile(b"\0asm\x01\0\0\0garbage", &target).is_err());
        }
    }

    #[test]
    fn what_a_processor_lacks_is_an_error() {
        // A function that rearranges the bytes of a vector.
        let module = b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7b\x7b\x01\x7b\x03\x02\x01\0\
            \x0a\x0a\x01\x08\0\x20\0\x20\x01\xfd\x0e\x0b";
        let engine = crate::engine("wasmer-aot", &Limits::default()).unwrap();
        let compile = |target: &str| {
            let Ok(target) = target.parse();
            engine.compile(module, &target)
        };
        compile("x86_64-unknown-linux-gnu+ssse3").unwrap();
        let message = format!("{:#}", compile("x86_64-unknown-linux-gnu").unwrap_err());
        assert!(message.contains("panicked: Unsupported libcall"), "{message}");
    }
}
