//! What of everything a build is to make.

use std::collections::BTreeSet;

use lumos_record::{ArtifactKind, Image, Need, Variant};

use crate::runtimes::{RuntimeCrate, WorkerDeclaration};

/// What of everything a build is to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What is needed, and what that is made from; none means everything.
    needs: Option<BTreeSet<Need>>,
    /// With everything, Wasm in every way that the suite `variants` compares.
    variants: bool,
    /// With everything, the functions that have forms which stand for those of all; none means
    /// all functions.
    sample: Option<BTreeSet<String>>,
}

impl Scope {
    /// Everything that some suite measures; with `variants`, all ways to build Wasm among it.
    pub const fn everything(variants: bool) -> Self {
        Self { needs: None, variants, sample: None }
    }

    /// What the tests take: everything, but programs for images upon a base and WASI commands of
    /// these functions alone. They are what other forms are, linked in another way.
    pub fn tests(sample: impl IntoIterator<Item = String>) -> Self {
        Self { sample: Some(sample.into_iter().collect()), ..Self::everything(false) }
    }

    /// What is needed, and nothing else.
    pub fn of(needs: impl IntoIterator<Item = Need>) -> Self {
        let mut all = BTreeSet::new();
        for need in needs {
            if let (Some(function), Some(kind)) = (&need.function, made_from(&need)) {
                all.insert(Need::form(kind, function, need.variant));
            }
            all.insert(need);
        }
        Self { needs: Some(all), ..Self::everything(false) }
    }

    /// Whether nothing is to be made.
    pub fn is_nothing(&self) -> bool {
        self.needs.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// Whether a form of a function is to be made that its source is compiled to.
    pub fn has_form(&self, kind: ArtifactKind, function: &str, variant: Option<Variant>) -> bool {
        self.needs.as_ref().map_or_else(
            || self.is_sampled(kind, function) && self.has_variant(variant),
            |needs| needs.contains(&Need::form(kind, function, variant)),
        )
    }

    /// Whether a function is to be compiled ahead of time for an engine.
    pub fn has_precompiled(&self, engine: &str, function: &str, variant: Option<Variant>) -> bool {
        self.needs.as_ref().map_or_else(
            || self.has_variant(variant),
            |needs| needs.contains(&Need::precompiled(engine, function, variant)),
        )
    }

    /// Whether Wasm that is built in a way is a part of everything.
    pub fn has_variant(&self, variant: Option<Variant>) -> bool {
        self.variants || variant.is_none_or(|variant| variant == Variant::DEFAULT)
    }

    /// Whether a form is to be made of a function, where not every function has it.
    fn is_sampled(&self, kind: ArtifactKind, function: &str) -> bool {
        let is_of_few = matches!(kind, ArtifactKind::NativeExeDynamic | ArtifactKind::WasmCommand);
        let sample = self.sample.as_ref().filter(|_| is_of_few);
        sample.is_none_or(|sample| sample.contains(function))
    }

    /// Whether images upon a base are to be made, of any function.
    pub fn has_base(&self, base: &str) -> bool {
        let is_upon = |need: &Need| need.base.as_deref() == Some(base);
        self.needs.as_ref().is_none_or(|needs| needs.iter().any(is_upon))
    }

    /// Whether the image of a function is to be made upon a base. Images of what is no program
    /// have no base, and are made where a function gets any: their sizes are compared.
    pub fn has_image(&self, base: &str, function: &str, is_program: bool) -> bool {
        let Some(needs) = &self.needs else {
            let holds = made_from(&Need::image(base, function));
            return !is_program || holds.is_none_or(|kind| self.is_sampled(kind, function));
        };
        if is_program {
            return needs.contains(&Need::image(base, function));
        }
        let is_own = |need: &Need| need.function.as_deref() == Some(function);
        needs.iter().any(|need| need.base.is_some() && is_own(need))
    }

    /// Whether a worker of a crate hosts something that is needed.
    pub fn has_worker(&self, found: &RuntimeCrate, worker: &WorkerDeclaration) -> bool {
        let hosts =
            || found.runtimes.iter().any(|runtime| runtime.worker.as_ref() == Some(&worker.name));
        self.needs.as_ref().map_or_else(hosts, |needs| needs.contains(&Need::worker(&worker.name)))
    }

    /// Whether something is to be compiled ahead of time for an engine.
    pub fn has_engine(&self, engine: &str) -> bool {
        let is_for = |need: &Need| {
            need.kind == ArtifactKind::Precompiled && need.engine.as_deref() == Some(engine)
        };
        self.needs.as_ref().is_none_or(|needs| needs.iter().any(is_for))
    }

    /// Whether Wasm is to be built in more than one way.
    pub fn has_variants(&self) -> bool {
        let is_variant = |need: &Need| need.variant.is_some();
        self.needs.as_ref().map_or(self.variants, |needs| needs.iter().any(is_variant))
    }
}

/// The form of a function that something is made from.
fn made_from(need: &Need) -> Option<ArtifactKind> {
    match (need.kind, need.base.as_deref()) {
        (ArtifactKind::Precompiled, _) => Some(ArtifactKind::Wasm),
        (ArtifactKind::Image, Some(Image::SCRATCH)) => Some(ArtifactKind::NativeExe),
        (ArtifactKind::Image, Some(_)) => Some(ArtifactKind::NativeExeDynamic),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_brings_what_it_is_made_from_and_nothing_else() {
        let scope = Scope::of([
            Need::precompiled("fast", "json", None),
            Need::image("debian", "noop"),
            Need::worker("fast-lean"),
        ]);
        let forms = [
            ArtifactKind::NativeExe,
            ArtifactKind::NativeExeDynamic,
            ArtifactKind::NativeLib,
            ArtifactKind::Wasm,
            ArtifactKind::WasmCommand,
        ];
        let of = |function: &str| -> Vec<ArtifactKind> {
            forms.into_iter().filter(|&kind| scope.has_form(kind, function, None)).collect()
        };
        assert_eq!(of("json"), [ArtifactKind::Wasm]);
        assert_eq!(of("noop"), [ArtifactKind::NativeExeDynamic]);
        assert!(of("echo").is_empty());
        assert!(scope.has_precompiled("fast", "json", None));
        assert!(!scope.has_precompiled("fast", "noop", None));
        assert!(!scope.has_precompiled("slow", "json", None));
        assert_eq!(["slow", "fast"].map(|engine| scope.has_engine(engine)), [false, true]);
        assert_eq!(["scratch", "debian"].map(|base| scope.has_base(base)), [false, true]);
        assert!(
            scope.has_image("debian", "noop", true) && !scope.has_image("debian", "json", true)
        );
        // Wasm that nothing is compared with in an image needs none.
        assert!(!scope.has_image("scratch", "json", false));
        assert!(!scope.has_variants());
    }

    #[test]
    fn everything_has_no_variants_unless_they_are_asked_for() {
        let variant = Some(Variant { simd: true, ..Variant::DEFAULT });
        for has_variants in [false, true] {
            let scope = Scope::everything(has_variants);
            assert!(scope.has_form(ArtifactKind::Wasm, "json", None));
            assert!(scope.has_form(ArtifactKind::WasmCommand, "json", None));
            assert_eq!(scope.has_form(ArtifactKind::Wasm, "json", variant), has_variants);
            assert_eq!(scope.has_precompiled("fast", "json", variant), has_variants);
            assert!(scope.has_base("debian") && scope.has_engine("fast"));
        }
    }

    #[test]
    fn tests_take_some_forms_of_a_sample_alone() {
        let scope = Scope::tests(["noop".to_owned()]);
        for (function, is_sampled) in [("noop", true), ("json", false)] {
            for kind in [ArtifactKind::NativeExeDynamic, ArtifactKind::WasmCommand] {
                assert_eq!(scope.has_form(kind, function, None), is_sampled, "{function} {kind}");
            }
            for kind in [ArtifactKind::NativeExe, ArtifactKind::NativeLib, ArtifactKind::Wasm] {
                assert!(scope.has_form(kind, function, None));
            }
            let images = ["scratch", "debian"].map(|base| scope.has_image(base, function, true));
            assert_eq!(images, [true, is_sampled]);
            assert!(scope.has_image("scratch", function, false));
        }
    }
}
