//! Where the values are.

use std::fmt;
use std::path::PathBuf;

use lumos_abi::Error;

/// The environment variable that says where a function's values are.
pub const VARIABLE: &str = "LUMOS_STATE";

/// What the variable says to Wasm whose host holds the connection.
pub const HOST: &str = "host";

/// What values are kept in; written as `directory:<path>`, `redis:<socket>` or `host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// A directory with a file for each key.
    Directory(PathBuf),
    /// A Redis that listens on a Unix socket.
    #[cfg(unix)]
    Redis(PathBuf),
    /// Whatever the host has.
    #[cfg(not(unix))]
    Host,
}

impl Backend {
    /// What the environment says.
    ///
    /// # Errors
    /// When it says nothing, or something else.
    pub fn of_environment() -> Result<Self, Error> {
        let text = std::env::var(VARIABLE).map_err(|_| {
            Error(format!("the function was given no state: {VARIABLE} is not set"))
        })?;
        text.parse()
    }
}

impl std::str::FromStr for Backend {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            Some(("directory", path)) if !path.is_empty() => Ok(Self::Directory(path.into())),
            #[cfg(unix)]
            Some(("redis", socket)) if !socket.is_empty() => Ok(Self::Redis(socket.into())),
            #[cfg(not(unix))]
            None if text == HOST => Ok(Self::Host),
            _ => Err(Error(format!("{VARIABLE} is `{text}`, which names no state"))),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "directory:{}", path.display()),
            #[cfg(unix)]
            Self::Redis(socket) => write!(f, "redis:{}", socket.display()),
            #[cfg(not(unix))]
            Self::Host => f.write_str(HOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_reads_back_what_it_writes() {
        for text in ["directory:/a/b", "redis:/run/redis.sock"] {
            assert_eq!(text.parse::<Backend>().unwrap().to_string(), text);
        }
        for text in ["", "directory:", "redis", "memcached:/x", "host"] {
            let message = text.parse::<Backend>().unwrap_err().0;
            assert!(message.ends_with("which names no state"), "{message}");
        }
    }
}
