//! What a case takes of everything that a build can make.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ArtifactKind, Lane, Runtime, Variant};

/// An artifact that is needed, by what a manifest finds it by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// What it is.
    pub kind: ArtifactKind,
    /// The function that it holds; none for a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The engine that compiles it ahead of time, or the worker's name; none otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// What an image is built upon; none for what is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// How its Wasm is built; none for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
}

impl Need {
    /// A form of a function that its source is compiled to.
    pub fn form(kind: ArtifactKind, function: &str, variant: Option<Variant>) -> Self {
        let of_wasm = matches!(kind, ArtifactKind::Wasm | ArtifactKind::Precompiled);
        let is_another = |variant: &Variant| of_wasm && *variant != Variant::DEFAULT;
        let (function, variant) = (Some(function.to_owned()), variant.filter(is_another));
        Self { kind, function, engine: None, base: None, variant }
    }

    /// What an engine makes of a function's Wasm.
    pub fn precompiled(engine: &str, function: &str, variant: Option<Variant>) -> Self {
        let form = Self::form(ArtifactKind::Precompiled, function, variant);
        Self { engine: Some(engine.to_owned()), ..form }
    }

    /// The image of a function's program upon a base.
    pub fn image(base: &str, function: &str) -> Self {
        let form = Self::form(ArtifactKind::Image, function, None);
        Self { base: Some(base.to_owned()), ..form }
    }

    /// A worker program.
    pub fn worker(name: &str) -> Self {
        let (kind, engine) = (ArtifactKind::Worker, Some(name.to_owned()));
        Self { kind, function: None, engine, base: None, variant: None }
    }
}

impl Runtime {
    /// What it takes to run a function in a lane, with its Wasm built in one way.
    pub fn needs(&self, lane: Lane, function: &str, variant: Option<Variant>) -> Vec<Need> {
        let (kind, worker) = match lane {
            Lane::InProcess => (self.loads, None),
            Lane::Served => (Some(self.serves), self.worker.as_deref()),
        };
        let artifact = kind.map(|kind| match (kind, &self.base) {
            (ArtifactKind::Precompiled, _) => Need::precompiled(&self.name, function, variant),
            (ArtifactKind::Image, Some(base)) => Need::image(base, function),
            _ => Need::form(kind, function, variant),
        });
        artifact.into_iter().chain(worker.map(Need::worker)).collect()
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, function, engine, base, variant } = self;
        write!(f, "{kind}")?;
        let variant = variant.map(|variant| variant.to_string());
        let parts = [function.as_ref(), engine.as_ref(), base.as_ref(), variant.as_ref()];
        parts.into_iter().flatten().try_for_each(|part| write!(f, " {part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;

    fn show(runtime: &Runtime, lane: Lane, variant: Option<Variant>) -> Vec<String> {
        runtime.needs(lane, "json", variant).iter().map(Need::to_string).collect()
    }

    #[test]
    fn a_runtime_needs_what_it_loads_and_what_its_workers_are_given() {
        let aot = Runtime::plain("fast", "crate", Mode::Aot, "1", ArtifactKind::Precompiled);
        let aot = Runtime { worker: Some("fast-lean".into()), ..aot };
        assert_eq!(show(&aot, Lane::InProcess, None), ["precompiled json fast"]);
        let served = ["precompiled json fast", "worker fast-lean"];
        assert_eq!(show(&aot, Lane::Served, None), served);
        assert_eq!(show(&aot, Lane::Served, Some(Variant::DEFAULT)), served);
        let variant = Variant { simd: true, ..Variant::DEFAULT };
        let expected = format!("precompiled json fast {variant}");
        assert_eq!(show(&aot, Lane::InProcess, Some(variant)), [expected]);
        let boxed = Runtime {
            loads: None,
            serves: ArtifactKind::Image,
            base: Some("debian".into()),
            ..Runtime::plain("metal", "crate", Mode::Native, "1", ArtifactKind::NativeExe)
        };
        assert_eq!(show(&boxed, Lane::Served, None), ["image json debian"]);
        assert!(boxed.needs(Lane::InProcess, "json", None).is_empty());
        // Native code has no variants.
        let native = Runtime::plain("metal", "crate", Mode::Native, "1", ArtifactKind::NativeLib);
        assert_eq!(show(&native, Lane::InProcess, Some(variant)), ["native-lib json"]);
    }
}
