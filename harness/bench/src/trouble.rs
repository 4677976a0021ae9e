//! Why a case has no samples.

/// Why something was not done; a plain `String` that becomes one is a failure's cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It was not run: this node or this build cannot. With the reason, and what would change it.
    Skip(String),
    /// It was run, or should have been, and went wrong.
    Failure(String),
}

impl From<String> for Trouble {
    fn from(cause: String) -> Self {
        Self::Failure(cause)
    }
}
