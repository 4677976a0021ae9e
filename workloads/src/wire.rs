//! What a workload's file looks like, before anything is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workload {
    pub(crate) function: Spanned<String>,
    pub(crate) summary: Spanned<String>,
    #[serde(default)]
    pub(crate) fixture: bool,
    pub(crate) malformed: Option<Spanned<Malformed>>,
    #[serde(default)]
    pub(crate) state: bool,
    #[serde(default)]
    pub(crate) command: bool,
    #[serde(default)]
    pub(crate) proposals: Vec<String>,
    #[serde(default)]
    pub(crate) memory_bytes: u64,
    #[serde(default)]
    pub(crate) payload: Vec<Spanned<Payload>>,
}

/// A file of the folder `chains`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chain {
    pub(crate) chain: Spanned<String>,
    pub(crate) summary: Spanned<String>,
    pub(crate) first: Spanned<String>,
    #[serde(default)]
    pub(crate) step: BTreeMap<String, Step>,
    #[serde(default)]
    pub(crate) payload: Vec<Spanned<Payload>>,
}

/// One `[step.<name>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    pub(crate) function: Spanned<String>,
    pub(crate) header: Option<Request>,
    pub(crate) key: Option<String>,
    pub(crate) then: Option<Spanned<String>>,
}

/// The digest of a function's response, or those of the steps of a chain.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Digests {
    One(String),
    OfSteps(Vec<String>),
}

/// One `[[payload]]`. The digests may be missing: where they may not, the check says so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload {
    pub(crate) id: Spanned<String>,
    pub(crate) profile: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) sweep: bool,
    pub(crate) request: Spanned<Request>,
    pub(crate) state: Option<Spanned<Value>>,
    pub(crate) request_sha256: Option<Spanned<String>>,
    pub(crate) response_sha256: Option<Spanned<Digests>>,
}

/// A request that the function refuses, and the message with which it does.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Malformed {
    pub(crate) request: Request,
    pub(crate) message: String,
}

/// A value that a function finds, or leaves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Value {
    pub(crate) key: String,
    pub(crate) before: Option<Request>,
    pub(crate) after: Option<Request>,
}

/// A generator and its parameters.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    // With braces: of a variant without any, serde would accept unknown fields.
    Empty {},
    Command {
        #[serde(default)]
        exit: i32,
        stdin: Option<PathBuf>,
    },
    Literal {
        text: String,
    },
    Bytes {
        #[serde(default)]
        header: String,
        bytes: u32,
        seed: u64,
    },
    Text {
        #[serde(default)]
        header: String,
        bytes: u32,
        seed: u64,
    },
    Sealed {
        bytes: u32,
        seed: u64,
    },
    Orders {
        bytes: u32,
        seed: u64,
    },
    Photo {
        header: String,
        width: u32,
        height: u32,
        seed: u64,
    },
}
