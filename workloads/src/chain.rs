//! Chains of functions: each works on what the one before it answered.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::Spanned;

use crate::error::Problem;
use crate::workload::{Digests, check_name, distinct_payloads};
use crate::{Error, Request, Workload, wire};

/// Functions that pass on what they answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// What it is called, and what its first function is asked: as of a function. The digest of a
    /// payload's response is that of the last step; all of them are in
    /// [`crate::Payload::step_sha256`].
    pub workload: Workload,
    /// The steps, in the order in which they run: one at least.
    pub steps: Vec<Step>,
}

/// A function of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What the chain calls it.
    pub name: String,
    /// The function.
    pub function: String,
    /// What stands before the response of the step before, to make a request: empty of the first.
    pub header: Request,
    /// The key under which a function that keeps state leaves what the step before answered.
    pub key: Option<String>,
}

impl Chain {
    /// The longest chain that a file may describe.
    pub const MOST_STEPS: usize = 16;

    /// Reads every file of a folder; none where there is no such folder.
    pub(crate) fn read_all(
        folder: &Path,
        functions: &[Workload],
        digests: Digests,
    ) -> Result<Vec<Self>, Error> {
        let mut chains = Vec::new();
        if !folder.is_dir() {
            return Ok(chains);
        }
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            let file = entry.map_err(Error::io(folder))?.path();
            if file.extension().is_some_and(|extension| extension == "toml") {
                let text = fs::read_to_string(&file).map_err(Error::io(&file))?;
                let chain = Self::parse(&file, &text, functions, digests);
                chains.push(chain.map_err(|problem| problem.in_file(&file, &text))?);
            }
        }
        chains.sort_by(|a, b| a.workload.function.cmp(&b.workload.function));
        Ok(chains)
    }

    fn parse(
        file: &Path,
        text: &str,
        functions: &[Workload],
        digests: Digests,
    ) -> Result<Self, Problem> {
        let wire: wire::Chain =
            toml::from_str(text).map_err(|error| Problem::from_toml(&error, text))?;
        check_name("chain", file, &wire.chain)?;
        let name = wire.chain.get_ref();
        if functions.iter().any(|known| known.function == *name) {
            let message = format!("`chain` is `{name}`, which is a function's name");
            return Err(Problem::new(wire.chain.span(), message));
        }
        let steps = order(&wire.first, wire.step, functions)?;
        let spans: Vec<_> = wire.payload.iter().map(Spanned::span).collect();
        let mut payloads = distinct_payloads(wire.payload, false)?;
        for payload in payloads.iter_mut().filter(|payload| payload.step_sha256.is_empty()) {
            // A chain of one step may have its digest without brackets.
            let digest = Some(payload.response_sha256.clone());
            payload.step_sha256.extend(digest.filter(|digest| !digest.is_empty()));
        }
        for (payload, span) in payloads.iter().zip(spans) {
            let found = payload.step_sha256.len();
            if digests == Digests::Required {
                payload.check_digests(span.clone())?;
                if found != steps.len() {
                    let message = format!(
                        "payload `{}`: `response_sha256` has {found} digests, and the chain {} \
                         steps; `cargo xtask bless {name}` writes them",
                        payload.id,
                        steps.len()
                    );
                    return Err(Problem::new(span, message));
                }
            }
        }
        let workload = Workload {
            function: wire.chain.into_inner(),
            summary: wire.summary.into_inner(),
            fixture: false,
            keeps_state: false,
            is_command: false,
            proposals: Vec::new(),
            memory_bytes: 0,
            malformed: None,
            payloads,
            file: file.to_owned(),
        };
        Ok(Self { workload, steps })
    }

    /// Whether a chain of so many steps leaves state.
    pub fn keeps_state(&self, steps: usize) -> bool {
        self.steps.iter().take(steps).any(|step| step.key.is_some())
    }

    /// Whether all steps are the same function without a header, so that what a step more costs
    /// is the same for each.
    pub fn is_uniform(&self) -> bool {
        self.steps.iter().all(|step| {
            step.function == self.steps[0].function
                && step.header == Request::Empty
                && step.key.is_none()
        })
    }
}

/// Follows the steps from the first.
fn order(
    first: &Spanned<String>,
    mut left: BTreeMap<String, wire::Step>,
    functions: &[Workload],
) -> Result<Vec<Step>, Problem> {
    let known: Vec<String> = left.keys().cloned().collect();
    let mut steps: Vec<Step> = Vec::new();
    let mut next = Some(first.clone());
    while let Some(name) = next {
        let span = name.span();
        let name = name.into_inner();
        let Some(step) = left.remove(&name) else {
            let message = match steps.iter().position(|step| step.name == name) {
                Some(start) => {
                    let circle = steps[start..].iter().map(|step| step.name.as_str());
                    let circle: Vec<&str> = circle.chain([name.as_str()]).collect();
                    format!("the chain forms a cycle: {}", circle.join(" -> "))
                }
                None => format!("there is no step `{name}`: there are {}", known.join(", ")),
            };
            return Err(Problem::new(span, message));
        };
        let wire::Step { function, header, key, then } = step;
        let found = functions.iter().find(|known| known.function == *function.get_ref());
        let Some(workload) = found.filter(|workload| !workload.fixture) else {
            let known: Vec<&str> = functions
                .iter()
                .filter(|workload| !workload.fixture)
                .map(|workload| workload.function.as_str())
                .collect();
            let message = format!(
                "step `{name}` names the unknown function `{}`: known are {}",
                function.get_ref(),
                known.join(", ")
            );
            return Err(Problem::new(function.span(), message));
        };
        if workload.keeps_state != key.is_some() {
            let message = match workload.keeps_state {
                true => format!("step `{name}` has no `key`, under which its function puts state"),
                false => format!("step `{name}` has a `key`, and its function keeps no state"),
            };
            return Err(Problem::new(function.span(), message));
        }
        if steps.is_empty() && header.is_some() {
            let message =
                format!("step `{name}` is the first: its `header` belongs to the request");
            return Err(Problem::new(function.span(), message));
        }
        let header = header.map(Request::try_from).transpose();
        let header = header.map_err(|message| {
            Problem::new(function.span(), format!("step `{name}`: `header`: {message}"))
        })?;
        steps.push(Step {
            name,
            function: function.into_inner(),
            header: header.unwrap_or(Request::Empty),
            key,
        });
        next = then;
    }
    if let Some((name, step)) = left.first_key_value() {
        let message = format!("step `{name}` is never reached from `{}`", first.get_ref());
        return Err(Problem::new(step.function.span(), message));
    }
    if steps.len() > Chain::MOST_STEPS {
        let message = format!("{} steps, and {} are possible", steps.len(), Chain::MOST_STEPS);
        return Err(Problem::new(first.span(), message));
    }
    Ok(steps)
}
