//! Names that every other crate uses: suites, lanes, phases, profiles, cases.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Setting, Suite};

/// A name that is not part of the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    /// What was named, such as "suite".
    pub what: &'static str,
    /// The name as it was given.
    pub name: String,
    /// Every name that would have been right.
    pub known: Vec<&'static str>,
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, name, known } = self;
        write!(f, "unknown {what} `{name}`: known are {}", known.join(", "))
    }
}

impl std::error::Error for UnknownName {}

/// Implements what the enums of the vocabulary share: `ALL`, `name`, `Display` and `FromStr`.
macro_rules! names {
    ($type:ident, $what:literal, { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// Every value, in the order of the vocabulary.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name as it stands in ids and files.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|value| value.name() == name).ok_or_else(|| {
                    UnknownName {
                        what: $what,
                        name: name.to_owned(),
                        known: Self::ALL.iter().map(|value| value.name()).collect(),
                    }
                })
            }
        }
    };
}
pub(crate) use names;

/// Where a result was measured. Results of different lanes never share a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// The engine's cost alone, inside the measuring process.
    InProcess,
    /// What a platform sees: a socket and a process or container boundary.
    Served,
}

names!(Lane, "lane", { InProcess => "in-process", Served => "served" });

/// An interval of an invocation's life; the variants are in the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The sandbox is made, until the kernel runs the worker's program.
    Create,
    /// A container is told to run the program. For a process: the program's own start, until
    /// the worker's first statement.
    Start,
    /// In a container: the program's own start, until the worker's first statement.
    Ready,
    /// The engine is set up.
    Engine,
    /// The artifact is parsed, compiled or mapped.
    Load,
    /// Imports are resolved.
    Link,
    /// What the host holds for an instance is set up: its store, and its state of WASI.
    Environment,
    /// The instance is made and its initialiser runs.
    Instantiate,
    /// The worker announces itself and answers its first request.
    FirstCall,
    /// A later invocation.
    Call,
    /// The worker is ended and what it held is released.
    Teardown,
}

names!(Phase, "phase", {
    Create => "create",
    Start => "start",
    Ready => "ready",
    Engine => "engine",
    Load => "load",
    Link => "link",
    Environment => "environment",
    Instantiate => "instantiate",
    FirstCall => "first-call",
    Call => "call",
    Teardown => "teardown",
});

/// Where a function's state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateBackend {
    /// In a directory of the node: native code reads and writes it, and so does Wasm through WASI.
    Directory,
    /// In a Redis of the node: native code is connected to it, and Wasm asks its host, which is.
    Redis,
}

names!(StateBackend, "state", { Directory => "directory", Redis => "redis" });

/// How much a run measures.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// One payload per function and few samples: minutes.
    #[default]
    Quick,
    /// A representative choice within a fixed time.
    Standard,
    /// Every payload of every function.
    Full,
}

names!(Profile, "profile", { Quick => "quick", Standard => "standard", Full => "full" });

/// What one estimate is of: a suite, a function, a runtime, a payload and a setting.
///
/// The payload of suites that take none is `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Case {
    /// The suite.
    pub suite: Suite,
    /// The function's name.
    pub function: String,
    /// The runtime: an engine (in-process lane), or an engine in a sandbox (served lane).
    pub runtime: String,
    /// The payload's id, such as `64KiB`, or `-`.
    pub payload: String,
    /// What the worker was given, and found.
    #[serde(default, skip_serializing_if = "Setting::is_default")]
    pub setting: Setting,
}

impl Case {
    /// The payload's id in suites that take no payload.
    pub const NO_PAYLOAD: &str = "-";

    /// The Criterion group: `<suite>/<function>`.
    pub fn group(&self) -> String {
        format!("{}/{}", self.suite, self.function)
    }

    /// The payload and, after an `@`, the setting where that is not the default: what remains
    /// of the id below its group and runtime.
    pub fn input(&self) -> String {
        match self.setting.is_default() {
            true => self.payload.clone(),
            false => format!("{}@{}", self.payload, self.setting),
        }
    }
}

/// The full id: `<suite>/<function>/<runtime>/<payload>[@<setting>]`, as Criterion prints it.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suite, function, runtime, .. } = self;
        write!(f, "{suite}/{function}/{runtime}/{}", self.input())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_serde_writes() {
        fn check<T>(all: &[T])
        where
            T: Serialize
                + FromStr<Err = UnknownName>
                + Copy
                + PartialEq
                + fmt::Debug
                + fmt::Display,
        {
            for value in all {
                let json = serde_json::to_string(value).unwrap();
                assert_eq!(json, format!("\"{value}\""));
                assert_eq!(value.to_string().parse::<T>().unwrap(), *value);
            }
        }
        check(Suite::ALL);
        check(Lane::ALL);
        check(Phase::ALL);
        check(Profile::ALL);
        check(crate::ArtifactKind::ALL);
        check(crate::Mode::ALL);
        check(StateBackend::ALL);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = "warmth".parse::<Suite>().unwrap_err().to_string();
        assert!(message.contains("unknown suite `warmth`"), "{message}");
        assert!(message.contains("cold_start, warm, load"), "{message}");
    }

    #[test]
    fn phases_are_ordered_as_they_happen() {
        assert!(Phase::ALL.is_sorted());
    }
}
