//! What can be wrong with a workload's file.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A place in a text file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in the line, counted from 1.
    pub column: usize,
}

impl Position {
    /// The place of the byte at `offset`; the end of the text when it is beyond that.
    fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
    }
}

/// Why workloads cannot be read or blessed.
#[derive(Debug)]
pub enum Error {
    /// A file or a folder cannot be read or written.
    Io {
        /// The file or the folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder holds no workloads.
    NoWorkloads(PathBuf),
    /// A file does not hold a workload.
    Invalid {
        /// The file.
        file: PathBuf,
        /// Where in the file, when it can be said.
        position: Option<Position>,
        /// What is wrong, with the name of the field.
        message: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NoWorkloads(folder) => {
                write!(f, "{}: no file `<function>.toml` in this folder", folder.display())
            }
            Self::Invalid { file, position: Some(Position { line, column }), message } => {
                write!(f, "{}:{line}:{column}: {message}", file.display())
            }
            Self::Invalid { file, position: None, message } => {
                write!(f, "{}: {message}", file.display())
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::NoWorkloads(_) | Self::Invalid { .. } => None,
        }
    }
}

impl Error {
    /// For `map_err`: an error of reading or writing `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// What is wrong at a span of a file, before anyone knows which file that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) span: Option<Range<usize>>,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span: Some(span), message: message.into() }
    }

    /// Says in which file, with that text, the problem is.
    pub(crate) fn in_file(self, file: &Path, text: &str) -> Error {
        Error::Invalid {
            file: file.to_owned(),
            position: self.span.map(|span| Position::of(text, span.start)),
            message: self.message,
        }
    }

    /// A problem that the TOML parser or the types found in `text`.
    ///
    /// A message about a value does not always name the field; the line does.
    pub(crate) fn from_toml(error: &toml::de::Error, text: &str) -> Self {
        let line = error.span().and_then(|span| {
            let number = Position::of(text, span.start).line;
            text.lines().nth(number - 1).map(str::trim).filter(|line| !line.is_empty())
        });
        let message = match line {
            Some(line) => format!("{} (in: {line})", error.message()),
            None => error.message().to_owned(),
        };
        Self { span: error.span(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        let text = "a\nüb\n";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 1 });
        assert_eq!(Position::of(text, 4), Position { line: 2, column: 2 });
        assert_eq!(Position::of(text, 5), Position { line: 2, column: 3 });
        assert_eq!(Position::of(text, 99), Position { line: 3, column: 1 });
    }
}
