//! How a function's Wasm is built: what optimises it, and which instructions it may use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A way to build a function's Wasm, written as `O3`, `Os+simd` or `O3+simd+wasm-opt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Variant {
    /// Whether the compiler optimises for size (`opt-level` is `s`), or for speed (it is 3).
    pub for_size: bool,
    /// Whether the compiler may use the instructions of `simd128`.
    pub simd: bool,
    /// Whether Binaryen's `wasm-opt` optimises what the compiler made, for the same aim.
    pub wasm_opt: bool,
}

impl Variant {
    /// All of them, those for speed first.
    pub const ALL: [Self; 8] = {
        let mut all = [Self { for_size: false, simd: false, wasm_opt: false }; 8];
        let mut index = 0;
        while index < all.len() {
            all[index] =
                Self { for_size: index & 4 != 0, simd: index & 2 != 0, wasm_opt: index & 1 != 0 };
            index += 1;
        }
        all
    };

    /// What every suite but `variants` measures; the reasons for the choice are in
    /// METHODOLOGY.md.
    pub const DEFAULT: Self = Self { for_size: false, simd: false, wasm_opt: false };

    /// The compiler's optimisation level.
    pub const fn opt_level(self) -> &'static str {
        if self.for_size { "s" } else { "3" }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let simd = if self.simd { "+simd" } else { "" };
        let wasm_opt = if self.wasm_opt { "+wasm-opt" } else { "" };
        write!(f, "O{}{simd}{wasm_opt}", self.opt_level())
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|variant| variant.to_string() == text).ok_or_else(|| {
            let known = Self::ALL.map(|variant| variant.to_string());
            format!("unknown variant `{text}`: known are {}", known.join(", "))
        })
    }
}

impl Serialize for Variant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Variant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_reads_back_what_it_writes() {
        for variant in Variant::ALL {
            assert_eq!(variant.to_string().parse(), Ok(variant));
        }
        assert_eq!("O3+simd".parse(), Ok(Variant { simd: true, ..Variant::ALL[0] }));
        assert!("O2".parse::<Variant>().unwrap_err().contains("known are O3, O3+wasm-opt"));
    }

    #[test]
    fn variants_are_told_apart_and_sorted_as_listed() {
        assert!(Variant::ALL.is_sorted_by(|a, b| a < b));
        assert!(Variant::ALL.contains(&Variant::DEFAULT));
    }
}
