//! The suites: one table that says all there is to know of each before it is measured.
//!
//! Whatever differs from suite to suite is a field here, so that a new suite is a row, and its
//! driver in `lumos-bench`. Nothing else asks which suite it is, but what is about one suite alone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::vocabulary::names;
use crate::{Lane, UnknownName};

/// What there is to know of a suite.
#[derive(Debug)]
pub struct Spec {
    /// Where it is measured.
    pub lane: Lane,
    /// What it times, in words for somebody who has not read the methodology.
    pub times: &'static str,
    /// What is measured.
    pub unit: Unit,
    /// Which payloads it asks.
    pub payloads: Payloads,
    /// Which functions it asks.
    pub functions: Functions,
    /// Whether it runs WASI commands too, which serve one request in their life.
    pub runs_commands: bool,
    /// What it does with workers.
    pub workers: Workers,
    /// Whether what is in the page cache matters to it.
    pub reads_page_cache: bool,
    /// Whether it compares ways to build the Wasm, each a setting of its own.
    pub compares_variants: bool,
    /// Whether it is measured only where somebody asks for it by name, or for everything: it takes
    /// long, and not every runtime has a part in it.
    pub on_request: bool,
    /// Whether it measures the runtimes alone that declare it.
    pub only_where_declared: bool,
    /// How its figures are shown.
    pub shown: Shown,
}

/// What a suite's figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Times, in nanoseconds.
    Nanoseconds,
    /// Instructions.
    Instructions,
}

/// Which payloads a suite asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payloads {
    /// None: what it times does not depend on one.
    None,
    /// Those of the profile.
    OfProfile,
    /// Those that a function has for sweeps over sizes.
    ForSweeps,
}

/// Which functions a suite asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Functions {
    /// Those that keep no state.
    Stateless,
    /// Those that keep state.
    Stateful,
    /// Both.
    All,
    /// Chains of functions, at each of their lengths.
    Chains,
}

impl Functions {
    /// Whether a function is among them that keeps state, or that keeps none.
    pub const fn have(self, keeps_state: bool) -> bool {
        match self {
            Self::Stateless => !keeps_state,
            Self::Stateful => keeps_state,
            Self::All => true,
            Self::Chains => false,
        }
    }
}

/// What a suite does with workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// It launches none.
    None,
    /// It launches some, and what they use is not recorded.
    Unrecorded,
    /// It launches some, and records what they use.
    Recorded,
}

/// How a suite's figures are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// In a table with ratios to native code.
    WithRatios,
    /// In a table without: there is nothing to compare with, for this reason.
    WithoutRatios(&'static str),
    /// In a section of its own alone.
    InOwnSection,
}

/// Makes the suites of their table.
macro_rules! suites {
    ($($(#[$doc:meta])+ $suite:ident = $name:literal { $($spec:tt)+ })+) => {
        /// What is timed: a Criterion group per function.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum Suite {
            $($(#[$doc])+ $suite,)+
        }

        names!(Suite, "suite", { $($suite => $name),+ });

        impl Suite {
            /// What there is to know of it.
            pub const fn spec(self) -> &'static Spec {
                match self {
                    $(Self::$suite => &Spec { $($spec)+ },)+
                }
            }
        }
    };
}

suites! {
    /// A fresh worker, from its creation to its first response.
    ColdStart = "cold_start" {
        lane: Lane::Served,
        times: "a fresh worker, from its creation to its first response",
        unit: Unit::Nanoseconds,
        payloads: Payloads::OfProfile,
        functions: Functions::Stateless,
        runs_commands: true,
        workers: Workers::Recorded,
        reads_page_cache: true,
        compares_variants: false,
        on_request: false,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// One invocation of a worker that has answered before.
    Warm = "warm" {
        lane: Lane::Served,
        times: "one request to a worker that has answered before",
        unit: Unit::Nanoseconds,
        payloads: Payloads::OfProfile,
        functions: Functions::Stateless,
        runs_commands: false,
        workers: Workers::Recorded,
        reads_page_cache: false,
        compares_variants: false,
        on_request: false,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// Reading an artifact into an engine: parse, compile or map.
    Load = "load" {
        lane: Lane::InProcess,
        times: "reading an artifact into an engine: parse, compile or map",
        unit: Unit::Nanoseconds,
        payloads: Payloads::None,
        functions: Functions::Stateless,
        runs_commands: false,
        workers: Workers::None,
        reads_page_cache: false,
        compares_variants: false,
        on_request: false,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// A new instance of a loaded and linked module.
    Instantiate = "instantiate" {
        lane: Lane::InProcess,
        times: "a new instance of a loaded module",
        unit: Unit::Nanoseconds,
        payloads: Payloads::None,
        functions: Functions::Stateless,
        runs_commands: false,
        workers: Workers::None,
        reads_page_cache: false,
        compares_variants: false,
        on_request: false,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// A new instance and one call, as platforms with an instance per request serve.
    Fresh = "fresh" {
        lane: Lane::InProcess,
        times: "a new instance and one call, as with an instance per request",
        unit: Unit::Nanoseconds,
        payloads: Payloads::OfProfile,
        functions: Functions::Stateless,
        runs_commands: true,
        workers: Workers::None,
        reads_page_cache: false,
        compares_variants: false,
        on_request: false,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// One call of an instance that has answered before.
    Call = "call" {
        lane: Lane::InProcess,
        times: "one call of an instance that has answered before",
        unit: Unit::Nanoseconds,
        payloads: Payloads::OfProfile,
        functions: Functions::Stateless,
        runs_commands: false,
        workers: Workers::None,
        reads_page_cache: false,
        compares_variants: false,
        on_request: false,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// An image's compressed layers, unpacked into an empty folder.
    Pull = "pull" {
        lane: Lane::Served,
        times: "unpacking the compressed layers of an image into an empty folder",
        unit: Unit::Nanoseconds,
        payloads: Payloads::None,
        functions: Functions::Stateless,
        runs_commands: false,
        workers: Workers::None,
        reads_page_cache: false,
        compares_variants: false,
        on_request: true,
        only_where_declared: true,
        shown: Shown::WithoutRatios("a native process has nothing to unpack"),
    }
    /// One call, as in `call`, of the same function built in different ways.
    Variants = "variants" {
        lane: Lane::InProcess,
        times: "one call, as in the suite call, of the same function built in different ways",
        unit: Unit::Nanoseconds,
        payloads: Payloads::OfProfile,
        functions: Functions::Stateless,
        runs_commands: false,
        workers: Workers::None,
        reads_page_cache: false,
        compares_variants: true,
        on_request: true,
        only_where_declared: false,
        shown: Shown::InOwnSection,
    }
    /// A fresh worker, and later invocations of it, taken apart: what the cold start, the request
    /// and the response, and the work itself take.
    Breakdown = "breakdown" {
        lane: Lane::Served,
        times: "a fresh worker that takes no timings, from its creation to its first response; \
                where that time goes has a section of its own",
        unit: Unit::Nanoseconds,
        payloads: Payloads::OfProfile,
        functions: Functions::All,
        runs_commands: false,
        // A sample of it is two workers, of which one does more.
        workers: Workers::Unrecorded,
        reads_page_cache: false,
        compares_variants: false,
        on_request: true,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// One call, as in `call`, with requests from few bytes to many.
    Serialization = "serialization" {
        lane: Lane::InProcess,
        times: "one call, as in the suite call, with requests from few bytes to many",
        unit: Unit::Nanoseconds,
        payloads: Payloads::ForSweeps,
        functions: Functions::Stateless,
        runs_commands: false,
        workers: Workers::None,
        reads_page_cache: false,
        compares_variants: false,
        on_request: true,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// One invocation, as in `warm`, with requests from few bytes to many.
    SerializationServed = "serialization_served" {
        lane: Lane::Served,
        times: "one request, as in the suite warm, with requests from few bytes to many",
        unit: Unit::Nanoseconds,
        payloads: Payloads::ForSweeps,
        functions: Functions::Stateless,
        runs_commands: false,
        workers: Workers::Recorded,
        reads_page_cache: false,
        compares_variants: false,
        on_request: true,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// One invocation, as in `warm`, of a function that gets or puts state.
    Retrieval = "retrieval" {
        lane: Lane::Served,
        times: "one request, as in the suite warm, to a function that gets or puts state",
        unit: Unit::Nanoseconds,
        payloads: Payloads::OfProfile,
        functions: Functions::Stateful,
        runs_commands: false,
        workers: Workers::Recorded,
        reads_page_cache: false,
        compares_variants: false,
        on_request: true,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// One request through a chain of workers that have answered before, each of which works on
    /// the response of the one before it.
    Chain = "chain" {
        lane: Lane::Served,
        times: "one request through a chain of workers that have answered before; the steps are a \
                part of the setting",
        unit: Unit::Nanoseconds,
        payloads: Payloads::OfProfile,
        functions: Functions::Chains,
        runs_commands: false,
        workers: Workers::Recorded,
        reads_page_cache: false,
        compares_variants: false,
        on_request: true,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// The same through a chain of instances: a response is copied from one instance's memory to
    /// the next one's.
    ChainLocal = "chain_local" {
        lane: Lane::InProcess,
        times: "one request through a chain of instances, from one's memory to the next one's",
        unit: Unit::Nanoseconds,
        payloads: Payloads::OfProfile,
        functions: Functions::Chains,
        runs_commands: false,
        workers: Workers::None,
        reads_page_cache: false,
        compares_variants: false,
        on_request: true,
        only_where_declared: false,
        shown: Shown::WithRatios,
    }
    /// The instructions of one call, counted instead of timed.
    Counts = "counts" {
        lane: Lane::InProcess,
        times: "the instructions of one call of an instance that has answered before",
        unit: Unit::Instructions,
        payloads: Payloads::OfProfile,
        functions: Functions::Stateless,
        runs_commands: false,
        workers: Workers::None,
        reads_page_cache: false,
        compares_variants: false,
        on_request: true,
        only_where_declared: false,
        shown: Shown::InOwnSection,
    }
}

impl Suite {
    /// The lane that the suite is measured in.
    pub const fn lane(self) -> Lane {
        self.spec().lane
    }

    /// Whether the suite's cost depends on the payload.
    pub fn takes_payload(self) -> bool {
        self.spec().payloads != Payloads::None
    }

    /// Whether the suite launches workers, whose limits matter to it.
    pub fn has_workers(self) -> bool {
        self.spec().workers != Workers::None
    }

    /// Whether the suite measures chains of functions, at each of their lengths.
    pub fn is_chain(self) -> bool {
        self.spec().functions == Functions::Chains
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_no_row_by_itself_is_on_request() {
        for suite in Suite::ALL.iter().map(|suite| suite.spec()) {
            let is_special = suite.functions != Functions::Stateless
                || suite.payloads == Payloads::ForSweeps
                || suite.compares_variants
                || suite.unit == Unit::Instructions;
            assert!(suite.on_request || !is_special, "{suite:?}");
            // A sentence that goes on after the name.
            assert!(!suite.times.ends_with('.') && suite.times.len() > 20, "{suite:?}");
        }
    }

    #[test]
    fn what_runs_commands_is_timed_from_a_command_s_beginning() {
        let runs: Vec<&str> = Suite::ALL
            .iter()
            .filter(|suite| suite.spec().runs_commands)
            .map(|suite| suite.name())
            .collect();
        assert_eq!(runs, ["cold_start", "fresh"]);
    }
}
