//! Compiling ahead of time: `<worker> precompile <engine> <module> <output> <target>`.
//!
//! What that took is printed as a [`Compilation`] in JSON.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lumos_record::Compilation;

use crate::memory::peak_rss_bytes;
use crate::{Engine, Limits, Target, cpu};

/// The first argument of a worker that is to compile.
pub const VERB: &str = "precompile";

/// As often as a module is compiled: often enough for an interval, which takes six samples, and no
/// longer than that is worth.
const FEWEST: usize = 6;
const MOST: usize = 12;
const ENOUGH: Duration = Duration::from_millis(600);

/// Runs the command; `arguments` are those after the verb.
///
/// # Errors
/// When the arguments are malformed, the module is invalid, or the output cannot be written.
pub fn run<E: Engine>(
    arguments: &[String],
    new: impl FnOnce(&str, &Limits) -> Result<E>,
) -> Result<()> {
    let [engine, module, output, target] = arguments else {
        anyhow::bail!("usage: {VERB} <engine> <module> <output> <target>");
    };
    let (module, output) = (Path::new(module), Path::new(output));
    let Ok(target) = target.parse::<Target>();
    let engine = new(engine, &Limits::default())?;
    let bytes = std::fs::read(module).with_context(|| module.display().to_string())?;
    let compilation =
        compile(&engine, &bytes, output, &target).with_context(|| module.display().to_string())?;
    println!("{}", serde_json::to_string(&compilation)?);
    Ok(())
}

/// Compiles a module several times, and writes what came out.
fn compile<E: Engine>(
    engine: &E,
    module: &[u8],
    output: &Path,
    target: &Target,
) -> Result<Compilation> {
    let timed = || -> Result<_> {
        let start = Instant::now();
        let compiled = engine.compile(module, target)?;
        Ok((compiled, start.elapsed().as_nanos() as u64))
    };
    let (compiled, first_ns) = timed()?;
    // The first compilation's: what the allocator keeps of it would count in those after it.
    let peak_rss_bytes = peak_rss_bytes(std::process::id() as i32);
    let mut compile_ns = vec![first_ns];
    let begin = Instant::now();
    while compile_ns.len() < FEWEST || (compile_ns.len() < MOST && begin.elapsed() < ENOUGH) {
        let (again, again_ns) = timed()?;
        ensure!(again.bytes == compiled.bytes, "two compilations gave different code");
        compile_ns.push(again_ns);
    }
    std::fs::write(output, &compiled.bytes).with_context(|| output.display().to_string())?;
    let cpu_features = match target {
        Target::Host => cpu::features().into_iter().map(str::to_owned).collect(),
        Target::Named { features, .. } => features.clone(),
    };
    Ok(Compilation {
        compile_ns,
        peak_rss_bytes,
        text_bytes: compiled.text_bytes,
        settings: engine.settings(),
        cpu_features,
    })
}
