//! Workloads that have been read and checked.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use lumos_record::{Case, Need, Profile, Runtime};
use toml::Spanned;

use crate::digest::is_sha256_hex;
use crate::error::Problem;
use crate::{Chain, Error, Request, wire};

/// The workloads of all functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workloads {
    /// One per function, sorted by name.
    pub functions: Vec<Workload>,
    /// Chains of them, sorted by name: one per file of the folder `chains`.
    pub chains: Vec<Chain>,
}

/// What one function runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The function's name, which is also the file's.
    pub function: String,
    /// What the function does, in a sentence without a full stop.
    pub summary: String,
    /// Whether the function is for tests only and never benchmarked.
    pub fixture: bool,
    /// Whether the function keeps state: only suites that give it some can measure it.
    pub keeps_state: bool,
    /// Whether it is a WASI command, built elsewhere: the payloads are its standard input, and no
    /// digest of a response need be known.
    pub is_command: bool,
    /// The proposals for WebAssembly that it uses, of those that some runtime lacks; none of a
    /// function, which every runtime runs.
    pub proposals: Vec<String>,
    /// The memory that it has from its start, as far as that is known; 0 of a function.
    pub memory_bytes: u64,
    /// A request that it refuses; none where it takes any.
    pub malformed: Option<Malformed>,
    /// The payloads, in the order of the file: the least work first.
    pub payloads: Vec<Payload>,
    /// The file that says so.
    pub file: PathBuf,
}

/// A value of a function's state, by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The key.
    pub key: String,
    /// What the function finds; none where it finds nothing.
    pub before: Option<Request>,
    /// What it leaves; none where that is what it found.
    pub after: Option<Request>,
}

impl Value {
    /// What the function leaves under the key; none where nothing is said of it.
    pub fn left(&self) -> Option<&Request> {
        self.after.as_ref().or(self.before.as_ref())
    }
}

/// A request that a function refuses on every runtime with the same message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// How the request is made.
    pub request: Request,
    /// What the function says to it.
    pub message: String,
}

/// A request and the response that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Its name among the function's payloads, such as `64KiB`.
    pub id: String,
    /// The smallest profile that measures it; none where only sweeps do.
    pub profile: Option<Profile>,
    /// Whether it is one of the sizes of the suites that sweep over them.
    pub sweep: bool,
    /// How the request is made.
    pub request: Request,
    /// The value that the function works on, where it keeps state.
    pub value: Option<Value>,
    /// The SHA-256 of the request; empty where a fixture or a draft has none.
    pub request_sha256: String,
    /// The SHA-256 of the response; empty where a fixture or a draft has none.
    pub response_sha256: String,
    /// Of a chain's payload, the SHA-256 of each step's response; empty of a function's.
    pub step_sha256: Vec<String>,
}

/// Whether a payload may be without its digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digests {
    Required,
    Optional,
}

impl Workloads {
    /// Reads every `<function>.toml` in a folder.
    ///
    /// # Errors
    /// When the folder or a file cannot be read, when there is no such file, or when one
    /// does not hold a workload: the error names the file, the place and the field.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        Self::read_all(directory, Digests::Required)
    }

    /// Reads as [`Workloads::read`] does, but lets digests be missing: to find them.
    ///
    /// # Errors
    /// Those of [`Workloads::read`], except for missing digests.
    pub fn read_drafts(directory: &Path) -> Result<Self, Error> {
        Self::read_all(directory, Digests::Optional)
    }

    /// The chain of that name; nothing when there is none.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.workload.function == name)
    }

    /// The workload of a function; nothing when there is none of that name.
    pub fn function(&self, name: &str) -> Option<&Workload> {
        self.functions.iter().find(|workload| workload.function == name)
    }

    /// The workloads that are measured: all but fixtures.
    pub fn benchmarked(&self) -> impl Iterator<Item = &Workload> {
        self.functions.iter().filter(|workload| !workload.fixture)
    }

    /// What a case takes, of a runtime that is the case's.
    pub fn needs(&self, case: &Case, runtime: &Runtime) -> Vec<Need> {
        let of_function =
            |function: &str| runtime.needs(case.suite.lane(), function, case.setting.variant);
        match self.chain(&case.function).filter(|_| case.suite.is_chain()) {
            Some(chain) => {
                let count = case.setting.steps.map_or(chain.steps.len(), usize::from);
                let steps = chain.steps.iter().take(count);
                steps.flat_map(|step| of_function(&step.function)).collect()
            }
            None => of_function(&case.function),
        }
    }

    fn read_all(directory: &Path, digests: Digests) -> Result<Self, Error> {
        let mut functions = Vec::new();
        for entry in fs::read_dir(directory).map_err(Error::io(directory))? {
            let path = entry.map_err(Error::io(directory))?.path();
            if is_workload_file(&path) {
                functions.push(Workload::read(&path, digests)?);
            }
        }
        if functions.is_empty() {
            return Err(Error::NoWorkloads(directory.to_owned()));
        }
        functions.sort_by(|a, b| a.function.cmp(&b.function));
        let chains = Chain::read_all(&directory.join(CHAINS), &functions, digests)?;
        Ok(Self { functions, chains })
    }
}

/// The folder of chains, beside the functions' files.
const CHAINS: &str = "chains";

/// This crate's manifest lies in the same folder, and is no workload.
fn is_workload_file(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("toml"))
        && path.file_name() != Some(OsStr::new("Cargo.toml"))
}

impl Workload {
    /// Whether it is one of the functions that stand for all where a test takes only some: those
    /// that the profile `quick` measures, and fixtures.
    pub fn is_sample(&self) -> bool {
        let is_quick = |payload: &Payload| payload.profile == Some(Profile::Quick);
        self.fixture || self.payloads.iter().any(is_quick)
    }

    /// The payload of that id; nothing when there is none.
    pub fn payload(&self, id: &str) -> Option<&Payload> {
        self.payloads.iter().find(|payload| payload.id == id)
    }

    fn read(file: &Path, digests: Digests) -> Result<Self, Error> {
        let text = fs::read_to_string(file).map_err(Error::io(file))?;
        let workload = Self::parse(file, &text, digests);
        workload.map_err(|problem| problem.in_file(file, &text))
    }

    fn parse(file: &Path, text: &str, digests: Digests) -> Result<Self, Problem> {
        let wire: wire::Workload =
            toml::from_str(text).map_err(|error| Problem::from_toml(&error, text))?;
        check_name("function", file, &wire.function)?;
        let spans: Vec<Range<usize>> = wire.payload.iter().map(Spanned::span).collect();
        let workload = Self { file: file.to_owned(), ..Self::try_from(wire)? };
        if digests == Digests::Required && !workload.fixture && !workload.is_command {
            for (payload, span) in workload.payloads.iter().zip(spans) {
                payload.check_digests(span)?;
            }
        }
        Ok(workload)
    }
}

impl Payload {
    /// Makes the request: the same bytes on every machine.
    pub fn generate(&self) -> Vec<u8> {
        self.request.generate()
    }

    /// Checks that no digest is missing from the payload at `span`.
    pub(crate) fn check_digests(&self, span: Range<usize>) -> Result<(), Problem> {
        let digests =
            [("request_sha256", &self.request_sha256), ("response_sha256", &self.response_sha256)];
        match digests.into_iter().find(|(_, digest)| digest.is_empty()) {
            Some((field, _)) => Err(Problem::new(
                span,
                format!(
                    "payload `{}`: missing field `{field}`; `cargo xtask bless` writes it",
                    self.id
                ),
            )),
            None => Ok(()),
        }
    }
}

/// Checks all that can be checked without the file's name.
impl TryFrom<wire::Workload> for Workload {
    type Error = Problem;

    fn try_from(wire: wire::Workload) -> Result<Self, Problem> {
        if wire.summary.get_ref().trim().is_empty() {
            return Err(Problem::new(wire.summary.span(), "`summary` is empty"));
        }
        if wire.payload.is_empty() {
            return Err(Problem { span: None, message: "no `[[payload]]`".to_owned() });
        }
        let payloads = distinct_payloads(wire.payload, wire.state)?;
        if let Some(payload) = payloads.iter().find(|payload| !payload.step_sha256.is_empty()) {
            let message = format!(
                "payload `{}`: `response_sha256` is a list, which only chains have",
                payload.id
            );
            return Err(Problem { span: None, message });
        }
        Ok(Self {
            function: wire.function.into_inner(),
            summary: wire.summary.into_inner(),
            fixture: wire.fixture,
            keeps_state: wire.state,
            is_command: wire.command,
            proposals: wire.proposals,
            memory_bytes: wire.memory_bytes,
            malformed: wire.malformed.map(malformed).transpose()?,
            payloads,
            file: PathBuf::new(),
        })
    }
}

fn value(wire: Spanned<wire::Value>) -> Result<Value, Problem> {
    let span = wire.span();
    let wire::Value { key, before, after } = wire.into_inner();
    let request = |request: Option<wire::Request>| {
        let request = request.map(Request::try_from).transpose();
        request.map_err(|message| Problem::new(span.clone(), format!("`state`: {message}")))
    };
    Ok(Value { key, before: request(before)?, after: request(after)? })
}

fn malformed(wire: Spanned<wire::Malformed>) -> Result<Malformed, Problem> {
    let span = wire.span();
    let wire::Malformed { request, message } = wire.into_inner();
    let request = Request::try_from(request)
        .map_err(|message| Problem::new(span, format!("`malformed`: {message}")))?;
    Ok(Malformed { request, message })
}

/// Checks each payload, and that no two have the same id or make the same request.
pub(crate) fn distinct_payloads(
    wire: Vec<Spanned<wire::Payload>>,
    keeps_state: bool,
) -> Result<Vec<Payload>, Problem> {
    let mut payloads: Vec<Payload> = Vec::new();
    let mut requests: BTreeMap<String, String> = BTreeMap::new();
    for payload in wire {
        let span = payload.get_ref().id.span();
        let payload = Payload::try_from(payload.into_inner())?;
        if payload.value.is_some() != keeps_state {
            let message = match keeps_state {
                true => {
                    format!("payload `{}` has no `state`, which the function keeps", payload.id)
                }
                false => format!(
                    "payload `{}`: `state` is of a function with `state = true`",
                    payload.id
                ),
            };
            return Err(Problem::new(span, message));
        }
        let Payload { id, request, request_sha256, .. } = &payload;
        if payloads.iter().any(|other| other.id == *id) {
            return Err(Problem::new(span, format!("`id` names `{id}` a second time")));
        }
        let same = payloads.iter().find(|other| other.request == *request);
        let same = same.map(|other| &other.id).or_else(|| requests.get(request_sha256));
        if let Some(other) = same {
            let message = format!("payload `{id}`: its `request` is the same as that of `{other}`");
            return Err(Problem::new(span, message));
        }
        if !request_sha256.is_empty() {
            requests.insert(request_sha256.clone(), id.clone());
        }
        payloads.push(payload);
    }
    Ok(payloads)
}

impl TryFrom<wire::Payload> for Payload {
    type Error = Problem;

    fn try_from(wire: wire::Payload) -> Result<Self, Problem> {
        check_id(&wire.id)?;
        if wire.profile.is_none() && !wire.sweep {
            let message =
                format!("payload `{}` has neither `profile` nor `sweep`", *wire.id.get_ref());
            return Err(Problem::new(wire.id.span(), message));
        }
        let profile = wire.profile.map(|profile| {
            profile
                .get_ref()
                .parse()
                .map_err(|error| Problem::new(profile.span(), format!("`profile` is an {error}")))
        });
        let value = wire.state.map(value).transpose()?;
        let (is_of_chain, step_sha256) = response_digests(wire.response_sha256)?;
        let span = wire.request.span();
        let request = Request::try_from(wire.request.into_inner())
            .map_err(|message| Problem::new(span, format!("`request`: {message}")))?;
        Ok(Self {
            id: wire.id.into_inner(),
            profile: profile.transpose()?,
            sweep: wire.sweep,
            request,
            value,
            request_sha256: checked_digest("request_sha256", wire.request_sha256)?,
            response_sha256: step_sha256.last().cloned().unwrap_or_default(),
            step_sha256: if is_of_chain { step_sha256 } else { Vec::new() },
        })
    }
}

/// Whether there is a list of digests, as a chain has it, and the digests.
fn response_digests(
    digests: Option<Spanned<wire::Digests>>,
) -> Result<(bool, Vec<String>), Problem> {
    const FIELD: &str = "response_sha256";
    let Some(digests) = digests else { return Ok((false, Vec::new())) };
    let span = digests.span();
    let check = |digest: String| checked_digest(FIELD, Some(Spanned::new(span.clone(), digest)));
    Ok(match digests.into_inner() {
        wire::Digests::One(digest) => (false, vec![check(digest)?]),
        wire::Digests::OfSteps(all) => {
            (true, all.into_iter().map(check).collect::<Result<_, _>>()?)
        }
    })
}

/// The digest as text; empty when it is missing.
fn checked_digest(field: &str, digest: Option<Spanned<String>>) -> Result<String, Problem> {
    let Some(digest) = digest else { return Ok(String::new()) };
    let span = digest.span();
    let digest = digest.into_inner();
    if digest.is_empty() || is_sha256_hex(&digest) {
        return Ok(digest);
    }
    let message = format!("`{field}` is `{digest}`, not 64 lower-case hexadecimal digits");
    Err(Problem::new(span, message))
}

/// Ids are parts of paths and of Criterion's ids.
fn check_id(id: &Spanned<String>) -> Result<(), Problem> {
    let text = id.get_ref();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    // Without a letter or a digit, `-` would read as "no payload" and `..` as a folder.
    if text.chars().all(allowed) && text.contains(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    let message = format!(
        "`id` is `{text}`: it must have a letter or a digit, and nothing but letters, digits, \
         `.`, `_` and `-`, all ASCII"
    );
    Err(Problem::new(id.span(), message))
}

/// A function or a chain is found by its file's name, so both must agree; `field` says which.
pub(crate) fn check_name(field: &str, file: &Path, named: &Spanned<String>) -> Result<(), Problem> {
    let name = named.get_ref();
    if file.file_stem() != Some(OsStr::new(name)) {
        let message = format!("`{field}` is `{name}`, but the file's name says otherwise");
        return Err(Problem::new(named.span(), message));
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(allowed) {
        let message = format!(
            "`{field}` is `{name}`: it must begin with a lower-case letter and hold nothing \
             but those, digits and `-`"
        );
        return Err(Problem::new(named.span(), message));
    }
    Ok(())
}
