//! What a case is measured under: limits, the state of the page cache, how its Wasm was built, and
//! how much of a chain runs.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{StateBackend, Suite, Variant};

/// What a worker may use, what it finds, and how its function was built: drivers of its times,
/// so a part of the case.
///
/// Written as `cpus=0.5,memory=128MiB,drop-caches`, each part where it is not the default;
/// the default, written as nothing, is no limit of processors, the harness's own limits of memory
/// and of the stack, a warm page cache, and Wasm as it is built for all suites but `variants`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Setting {
    /// Thousandths of a processor that a worker may use; none means all.
    pub cpus_milli: Option<u32>,
    /// The most memory that a worker may use.
    pub memory_bytes: Option<u64>,
    /// The most stack that a function may use, on any engine.
    pub stack_bytes: Option<u32>,
    /// Whether the page cache is dropped before each cold start.
    pub drops_caches: bool,
    /// How the function's Wasm was built; the suite `variants` names each way, the default too.
    pub variant: Option<Variant>,
    /// Where the function's state is; none where it keeps none.
    pub state: Option<StateBackend>,
    /// How many steps of a chain run, the first ones; none where there is no chain.
    pub steps: Option<u8>,
}

impl Setting {
    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a worker is confined to a cgroup with limits.
    pub fn has_limits(&self) -> bool {
        self.cpus_milli.is_some() || self.memory_bytes.is_some()
    }

    /// Whether a suite can tell it from others: limits are a worker's, and only a cold start reads
    /// what may be in the page cache.
    pub fn is_felt_in(&self, suite: Suite) -> bool {
        let limits = !(self.has_limits() || self.stack_bytes.is_some()) || suite.has_workers();
        let caches = !self.drops_caches || suite.spec().reads_page_cache;
        limits && caches
    }

    /// This setting with what another one asks for.
    pub fn with(self, other: Self) -> Self {
        Self {
            cpus_milli: other.cpus_milli.or(self.cpus_milli),
            memory_bytes: other.memory_bytes.or(self.memory_bytes),
            stack_bytes: other.stack_bytes.or(self.stack_bytes),
            drops_caches: self.drops_caches || other.drops_caches,
            variant: other.variant.or(self.variant),
            state: other.state.or(self.state),
            steps: other.steps.or(self.steps),
        }
    }
}

/// Reads a setting that anybody may ask for: how Wasm is built, where state is, and how far a chain
/// runs follow from the suite and the function.
///
/// # Errors
/// A sentence that holds what it cannot be.
pub fn parse_asked(text: &str) -> Result<Setting, String> {
    let setting: Setting = text.parse()?;
    let Setting { variant, state, steps, .. } = setting;
    match variant.is_some() || state.is_some() || steps.is_some() || setting.is_default() {
        true => Err(format!("`{text}` is no setting to ask for, such as drop-caches or cpus=0.5")),
        false => Ok(setting),
    }
}

/// Reads a number of processors, such as `0.5`, in thousandths.
///
/// # Errors
/// A sentence that holds the text.
pub fn parse_cpus(text: &str) -> Result<u32, String> {
    let number: f64 =
        text.parse().map_err(|_| format!("`{text}` is not a number of processors such as 0.5"))?;
    // The kernel hands out no less than a hundredth.
    if !(0.01..=4096.0).contains(&number) {
        return Err(format!("`{text}` processors: from 0.01 to 4096 are possible"));
    }
    Ok((number * 1000.0).round() as u32)
}

/// Reads a size, such as `128MiB`: a whole number, and KiB, MiB or GiB.
///
/// # Errors
/// A sentence that holds the text.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size such as 128MiB");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match &text[digits..] {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

/// Reads a size of a stack, such as `16MiB`.
///
/// # Errors
/// A sentence that holds the text.
pub fn parse_stack(text: &str) -> Result<u32, String> {
    /// What every engine can have.
    const POSSIBLE: RangeInclusive<u32> = 64 << 10..=64 << 20;
    let bytes = u32::try_from(parse_bytes(text)?).ok();
    bytes
        .filter(|bytes| POSSIBLE.contains(bytes))
        .ok_or_else(|| format!("`{text}` of stack: from 64KiB to 64MiB are possible"))
}

/// A size as [`parse_bytes`] reads it, in the largest unit that divides it.
pub fn show_bytes(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ => format!("{}KiB", bytes.div_ceil(1 << 10)),
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = self.cpus_milli.map(|milli| format!("cpus={}", f64::from(milli) / 1000.0));
        let memory = self.memory_bytes.map(|bytes| format!("memory={}", show_bytes(bytes)));
        let stack = self.stack_bytes.map(|bytes| format!("stack={}", show_bytes(bytes.into())));
        let caches = self.drops_caches.then(|| Self::DROP_CACHES.to_owned());
        let variant = self.variant.map(|variant| format!("variant={variant}"));
        let state = self.state.map(|backend| format!("state={backend}"));
        let steps = self.steps.map(|steps| format!("steps={steps}"));
        let parts: Vec<String> =
            [cpus, memory, stack, caches, variant, state, steps].into_iter().flatten().collect();
        f.write_str(&parts.join(","))
    }
}

impl Setting {
    const DROP_CACHES: &str = "drop-caches";
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut setting = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("cpus", cpus)) => setting.cpus_milli = Some(parse_cpus(cpus)?),
                Some(("memory", bytes)) => setting.memory_bytes = Some(parse_bytes(bytes)?),
                Some(("stack", bytes)) => setting.stack_bytes = Some(parse_stack(bytes)?),
                Some(("variant", variant)) => setting.variant = Some(variant.parse()?),
                Some(("state", backend)) => {
                    setting.state =
                        Some(backend.parse::<StateBackend>().map_err(|e| e.to_string())?);
                }
                Some(("steps", steps)) => {
                    let number = steps.parse().ok().filter(|&steps| steps > 0);
                    setting.steps =
                        Some(number.ok_or_else(|| format!("`{steps}` is no number of steps"))?);
                }
                None if part == Self::DROP_CACHES => setting.drops_caches = true,
                _ => return Err(format!("unknown part `{part}` of the setting `{text}`")),
            }
        }
        Ok(setting)
    }
}

impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_reads_back_what_it_writes() {
        for text in [
            "",
            "cpus=0.5",
            "cpus=2,memory=1GiB,stack=16MiB,drop-caches",
            "variant=Os+simd",
            "state=redis,steps=3",
        ] {
            let setting: Setting = text.parse().unwrap();
            assert_eq!(setting.to_string(), text);
        }
        assert!("".parse::<Setting>().unwrap().is_default());
    }

    #[test]
    fn a_setting_is_asked_for_and_joined_with_another() {
        let limits = parse_asked("cpus=0.5,memory=64MiB").unwrap();
        let both = limits.with(parse_asked("drop-caches,cpus=1").unwrap());
        assert_eq!(both.to_string(), "cpus=1,memory=64MiB,drop-caches");
        assert!(both.is_felt_in(Suite::ColdStart) && !both.is_felt_in(Suite::Warm));
        assert!(limits.is_felt_in(Suite::Warm) && !limits.is_felt_in(Suite::Call));
        let stack = parse_asked("stack=2MiB").unwrap();
        assert!(stack.is_felt_in(Suite::Warm) && !stack.is_felt_in(Suite::Fresh));
        for text in ["", "state=redis", "drop-caches,steps=2"] {
            assert!(parse_asked(text).unwrap_err().contains("no setting to ask for"), "{text}");
        }
    }

    #[test]
    fn nonsense_is_named() {
        for (text, part) in [
            ("cpus=many", "`many`"),
            ("cpus=0", "0.01"),
            ("cpus=-1", "`-1`"),
            ("memory=12", "`12`"),
            ("memory=0MiB", "`0MiB`"),
            ("stack=1KiB", "64KiB"),
            ("stack=1GiB", "64MiB"),
            ("memory=99999999999999GiB", "99999999999999GiB"),
            ("warp", "unknown part `warp`"),
            ("variant=O9", "unknown variant `O9`"),
            ("steps=0", "`0` is no number of steps"),
            ("state=cloud", "unknown state `cloud`"),
        ] {
            let message = text.parse::<Setting>().unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
