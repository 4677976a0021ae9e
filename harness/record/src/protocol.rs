//! What `cargo xtask`, the conductor of a run and its measuring processes say to each other:
//! environment variables, what is to be run, and what has happened.
//!
//! Both sides are built from one commit, so nothing here has a version.

use std::fmt;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::text::{self, shown};
use crate::{Case, Profile, Round, Setting, Suite};

/// The names of environment variables. Turns have theirs in `lumos-turns`, and what a function is
/// told of its state is the function's.
pub mod variable {
    /// The checkout that is measured, where that is another than the one that the program was
    /// started in.
    pub const ROOT: &str = "LUMOS_ROOT";
    /// A [`Selection`](super::Selection), as JSON.
    pub const SELECTION: &str = "LUMOS_SELECT";
    /// What the user typed: a list of words, as JSON.
    pub const COMMAND_LINE: &str = "LUMOS_COMMAND_LINE";
    /// Set where the artifacts are built already.
    pub const ARTIFACTS_READY: &str = "LUMOS_ARTIFACTS_READY";
    /// What all rounds of a run have in common.
    pub const SESSION: &str = "LUMOS_SESSION";
    /// The bench targets of all crates, as JSON: packages and their programs. Without it, a
    /// process conducts the runtimes of its own crate.
    pub const PROGRAMS: &str = "LUMOS_PROGRAMS";
    /// Where [`Event`](super::Event)s are sent.
    pub const EVENTS: &str = "LUMOS_EVENTS";
    /// Asks a bench target for nothing but to remove what processes that are no more have left.
    pub const TIDY: &str = "LUMOS_TIDY";
    /// From the conductor to a measuring process: the folder of the run.
    pub const RUN: &str = "LUMOS_RUN";
    /// From the conductor to a measuring process: which runtime it measures, as JSON.
    pub const PART: &str = "LUMOS_PART";
    /// From the conductor to a measuring process: the folder for sockets.
    pub const SOCKETS: &str = "LUMOS_SOCKETS";
    /// From the conductor to a measuring process: the file of the deadline that both share.
    pub const WATCH: &str = "LUMOS_WATCH";
    /// Asks a bench target to count instructions, as JSON.
    pub const COUNT: &str = "LUMOS_COUNT";
    /// Has tests take every function where a sample of them may stand for all.
    pub const TEST_FULL: &str = "LUMOS_TEST_FULL";
}

/// The value of a variable that holds JSON; none where it is not set.
///
/// # Errors
/// When it is set to something else; the message names the variable.
pub fn read_variable<T: DeserializeOwned>(
    name: &'static str,
) -> Result<Option<T>, MalformedVariable> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    let malformed = |reason: String| MalformedVariable { name, reason };
    let text = value.to_str().ok_or_else(|| malformed("it is no UTF-8".to_owned()))?;
    serde_json::from_str(text).map(Some).map_err(|error| malformed(error.to_string()))
}

/// A variable with a value that nobody can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedVariable {
    name: &'static str,
    reason: String,
}

impl fmt::Display for MalformedVariable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.reason)
    }
}

impl std::error::Error for MalformedVariable {}

/// Which cases to run, and how: [`variable::SELECTION`]. The default is everything in the default
/// profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// The profile.
    pub profile: Profile,
    /// The seed that goes into the run's manifest.
    pub seed: u64,
    /// Which round this is, for the run's manifest; none where all is measured once.
    pub round: Option<Round>,
    /// How many rounds there are; 0 means the default.
    pub rounds: u32,
    /// Globs over suites; empty means all.
    pub suites: Vec<String>,
    /// Globs over functions.
    pub functions: Vec<String>,
    /// Globs over runtimes, with their sandbox in the served lane.
    pub runtimes: Vec<String>,
    /// Globs over payload ids.
    pub payloads: Vec<String>,
    /// What workers are given and find, one series each; empty means the default.
    pub settings: Vec<Setting>,
    /// Print the cases, one JSON object a line, and do nothing else.
    pub list: bool,
    /// Run every case once and check it, without timing it.
    pub verify: bool,
    /// Only the first payload of each function, which is the least work.
    pub first_payload: bool,
    /// How long one invocation may take, in milliseconds; 0 means the default.
    pub invocation_timeout_ms: u64,
    /// The most memory that a function may use, in bytes; 0 means the default.
    pub memory_limit_bytes: u64,
    /// How precisely figures are to be known.
    pub precision: Precision,
    /// Run the workers of another architecture through an emulator; only the served lane can.
    pub emulator: Option<Emulator>,
}

/// How precisely figures are to be known when all cases have had their rounds: those that are not
/// have more, as long as there is time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// As the profile has it, for 15 % of the time that the rounds have taken.
    #[default]
    Usual,
    /// Within so many thousandths, for as long as the rounds have taken.
    WithinPermille(u32),
    /// No case has more rounds than were asked for.
    Off,
}

/// What runs another architecture's programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emulator {
    /// The architecture.
    pub arch: String,
    /// The program, which takes another and its arguments.
    pub program: PathBuf,
    /// What the emulated processor offers beyond what all of its architecture have, as far as it
    /// is known.
    pub features: Vec<String>,
    /// Why the kernel runs no such programs by itself, as containers need it, if it does not.
    pub lacks: Option<String>,
}

impl Selection {
    /// How long one invocation may take where nothing else is asked for.
    const DEFAULT_LIMIT_MS: u64 = 60_000;

    /// Reads the selection from the environment.
    ///
    /// # Errors
    /// When the variable is set to something else than a selection.
    pub fn from_environment() -> Result<Self, MalformedVariable> {
        Ok(read_variable(variable::SELECTION)?.unwrap_or_default())
    }

    /// How long one invocation may take.
    pub fn invocation_timeout(&self) -> Duration {
        Duration::from_millis(match self.invocation_timeout_ms {
            0 => Self::DEFAULT_LIMIT_MS,
            limit => limit,
        })
    }

    /// How many rounds there are.
    pub fn rounds(&self) -> u32 {
        match self.rounds {
            // What is only verified is the same in each.
            _ if self.verify => 1,
            0 => Round::USUAL,
            rounds => rounds,
        }
    }

    /// How far an interval may reach from its figure, in thousandths of it, and the share of the
    /// rounds' time that more of them may take; none where nobody goes on.
    pub fn precision(&self) -> Option<(u32, f64)> {
        /// The share where nobody has asked.
        const USUAL_SHARE: f64 = 0.15;
        // What is emulated, or tried once, says nothing of a time.
        if self.verify || self.emulator.is_some() {
            return None;
        }
        match (self.precision, self.profile) {
            (Precision::Off, _) => None,
            (Precision::WithinPermille(permille), _) => Some((permille, 1.0)),
            (Precision::Usual, Profile::Quick) => Some((100, USUAL_SHARE)),
            (Precision::Usual, Profile::Standard) => Some((50, USUAL_SHARE)),
            (Precision::Usual, Profile::Full) => Some((30, USUAL_SHARE)),
        }
    }

    /// Whether a suite is a part of what is to run; one that is measured on request has to be
    /// named, by more than a glob that happens to match.
    pub fn asks_for(&self, suite: Suite) -> bool {
        let is_named = self.suites.iter().any(|glob| glob == suite.name());
        !suite.spec().on_request || self.profile == Profile::Full || is_named
    }

    /// The settings to measure, one at least.
    pub fn settings(&self) -> Vec<Setting> {
        match self.settings.is_empty() {
            true => vec![Setting::default()],
            false => self.settings.clone(),
        }
    }
}

/// Something that has happened in a run, as it is shown while it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A round begins.
    Round {
        /// Its number, counted from 1.
        number: u32,
        /// How many there are, as far as it is known.
        of: u32,
    },
    /// A row begins: what is measured in turns.
    Row {
        /// Its number within the round, counted from 1.
        number: usize,
        /// How many rows the round has.
        of: usize,
        /// Its suite and function.
        name: String,
    },
    /// A case went wrong; the others go on.
    Failed {
        /// The case.
        case: Case,
        /// Why.
        #[serde(serialize_with = "text::write", deserialize_with = "text::read")]
        cause: String,
    },
    /// A case is not run.
    Skipped {
        /// The case.
        case: Case,
        /// Why.
        #[serde(serialize_with = "text::write", deserialize_with = "text::read")]
        reason: String,
    },
    /// Something else that whoever waits should know.
    Notice {
        /// A line.
        text: String,
    },
    /// A process ends because of this.
    Error {
        /// A line.
        message: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Round { number, of } => write!(formatter, "round {number} of {of}"),
            Self::Row { number, of, name } => write!(formatter, "row {number} of {of}: {name}"),
            Self::Failed { case, cause } => write!(formatter, "FAILED {case}: {}", shown(cause)),
            Self::Skipped { case, reason } => {
                write!(formatter, "skipped {case}: {}", shown(reason))
            }
            Self::Notice { text } => formatter.write_str(text),
            Self::Error { message } => write!(formatter, "error: {message}"),
        }
    }
}

impl Event {
    /// Tells what has happened: a line on standard error, and the event itself to whoever listens.
    pub fn tell(&self) {
        eprintln!("{self}");
        let Ok(name) = std::env::var(variable::EVENTS) else { return };
        // Whoever listened may be gone; the records have all that counts.
        let _ = self.send(&name);
    }

    fn send(&self, name: &str) -> std::io::Result<()> {
        /// How long to wait for one who listens and is busy: a terminal may stand still.
        const PATIENCE: Duration = Duration::from_secs(1);
        let address = SocketAddr::from_abstract_name(name)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.send_to_addr(&serde_json::to_vec(self)?, &address).map(drop)
    }
}

/// Hears the events of the processes that are given its name in [`variable::EVENTS`].
#[derive(Debug)]
pub struct Events {
    socket: UnixDatagram,
    name: String,
}

impl Events {
    /// The most that an event takes, in bytes. Of a longer one nothing is shown; standard error
    /// and the records have it.
    const MOST_BYTES: usize = 1 << 18;

    /// Listens. An abstract name leaves no file behind, however this process ends.
    ///
    /// # Errors
    /// When there can be no socket.
    pub fn listen() -> std::io::Result<Self> {
        static LISTENING: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = LISTENING.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("lumos-{}-events-{number}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
        Ok(Self { socket, name })
    }

    /// The value of [`variable::EVENTS`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the next event; none where there was none in that time, or something that is none.
    ///
    /// # Errors
    /// When the socket is of no use any more.
    pub fn next(&self, patience: Duration) -> std::io::Result<Option<Event>> {
        self.socket.set_read_timeout(Some(patience))?;
        let mut bytes = vec![0; Self::MOST_BYTES];
        match self.socket.recv(&mut bytes) {
            Ok(length) => Ok(serde_json::from_slice(&bytes[..length]).ok()),
            Err(error) => match error.kind() {
                std::io::ErrorKind::WouldBlock
                | std::io::ErrorKind::TimedOut
                | std::io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        Case {
            suite: Suite::Call,
            function: "json".to_owned(),
            runtime: "fake".to_owned(),
            payload: "1".to_owned(),
            setting: Setting::default(),
        }
    }

    #[test]
    fn a_suite_on_request_has_to_be_named() {
        let asks = |profile, suites: &[&str]| {
            let suites = suites.iter().map(|&glob| glob.to_owned()).collect();
            let selection = Selection { profile, suites, ..Selection::default() };
            (selection.asks_for(Suite::Pull), selection.asks_for(Suite::Warm))
        };
        assert_eq!(asks(Profile::Standard, &[]), (false, true));
        assert_eq!(asks(Profile::Standard, &["*"]), (false, true));
        assert_eq!(asks(Profile::Quick, &["pull"]), (true, true));
        assert_eq!(asks(Profile::Full, &[]), (true, true));
    }

    #[test]
    fn a_selection_reads_back_and_nothing_else_does() {
        let selection = Selection {
            suites: vec!["call".to_owned()],
            precision: Precision::WithinPermille(50),
            ..Selection::default()
        };
        let json = serde_json::to_string(&selection).unwrap();
        assert_eq!(serde_json::from_str::<Selection>(&json).unwrap(), selection);
        assert!(serde_json::from_str::<Selection>("{\"engines\": []}").is_err());
    }

    #[test]
    fn events_are_heard_in_their_order() {
        let events = Events::listen().unwrap();
        let told = [
            Event::Round { number: 1, of: 5 },
            Event::Failed { case: case(), cause: "a\n\u{1b}[2Jb".to_owned() },
        ];
        let cause = "a; \\u{1b}[2Jb".to_owned();
        let heard = [told[0].clone(), Event::Failed { case: case(), cause }];
        for event in &told {
            event.send(events.name()).unwrap();
        }
        UnixDatagram::unbound()
            .unwrap()
            .send_to_addr(b"none", &SocketAddr::from_abstract_name(events.name()).unwrap())
            .unwrap();
        let next = || events.next(Duration::from_millis(1)).unwrap();
        assert_eq!([next(), next()], heard.map(Some));
        assert_eq!([next(), next()], [None, None]);
        assert!(told[0].send("lumos-nobody-listens").is_err());
    }
}
