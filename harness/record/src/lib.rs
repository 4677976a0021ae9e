//! The vocabulary of Lumos and the schema of everything that it writes.
//!
//! Types here are plain data. Times are integers in nanoseconds, sizes are
//! integers in bytes, and the unit is the last word of a field's name.

mod artifact;
mod layout;
mod lock;
mod need;
mod node;
mod output;
mod place;
pub mod protocol;
mod pull;
mod record;
mod run;
mod setting;
pub mod suite;
mod text;
mod variant;
mod vocabulary;

pub use artifact::{
    Artifact, ArtifactKind, ArtifactManifest, Compilation, Image, Mode, Runtime, Toolchain,
};
pub use layout::{Layout, NotAWorkspace};
pub use lock::Measuring;
pub use need::Need;
pub use node::Node;
pub use output::while_somebody_reads;
pub use place::{draft_of, place};
pub use protocol::{Emulator, Event, Precision, Selection};
pub use pull::{Pull, PullCheck};
pub use record::{
    Breakdown, ChainFacts, Counted, CpuTime, Failure, Finished, Ledger, PhaseSpan,
    PrecisionReached, Process, Record, SandboxFacts, Skip, TimedCalls, Weather, WorkerUse,
};
pub use run::{ReadRunError, Revision, Round, Run, RunManifest, RunWriter};
pub use setting::{Setting, parse_asked, parse_bytes, parse_cpus, parse_stack, show_bytes};
pub use suite::Suite;
pub use text::{from_json, shown};
pub use variant::Variant;
pub use vocabulary::{Case, Lane, Phase, Profile, StateBackend, UnknownName};

/// The version of the schema in this crate: raised when a reader of older files would go wrong.
pub const SCHEMA_VERSION: u32 = 1;
