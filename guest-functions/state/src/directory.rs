//! Values in a directory: a file for each key.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lumos_abi::Error;

/// A directory of values.
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Nothing is opened: every use names its file.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match fs::read(self.path.join(key)) {
            Ok(value) => Ok(Some(value)),
            // A directory that is not there has no values, which is not what a caller means.
            Err(error) if error.kind() == ErrorKind::NotFound && self.path.is_dir() => Ok(None),
            Err(error) => {
                Err(Error(format!("the state's directory cannot be read: {}", why(&error))))
            }
        }
    }

    /// Written beside the old value and put in its place: a reader sees the one or the other.
    /// The disk is not waited for, as Redis does not wait for it here.
    pub(crate) fn put(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        let draft = self.path.join(format!(".{key}"));
        fs::write(&draft, value).and_then(|()| fs::rename(&draft, self.path.join(key))).map_err(
            |error| Error(format!("the state's directory cannot be written: {}", why(&error))),
        )
    }
}

/// The kind of an error, whose words are the same on every target; its number is not.
fn why(error: &std::io::Error) -> String {
    error.kind().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("lumos-state-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn what_is_put_is_got() {
        let path = folder("put");
        let directory = Directory::new(&path);
        assert_eq!(directory.get("a"), Ok(None));
        for value in [&b"one"[..], b"", &[0xff; 100_000]] {
            directory.put("a", value).unwrap();
            assert_eq!(directory.get("a").unwrap().as_deref(), Some(value));
        }
        let files: Vec<_> = fs::read_dir(&path).unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let directory = Directory::new(Path::new("/nonexistent/state"));
        let message = directory.get("a").unwrap_err().0;
        assert_eq!(message, "the state's directory cannot be read: entity not found");
        let message = directory.put("a", b"x").unwrap_err().0;
        assert_eq!(message, "the state's directory cannot be written: entity not found");
    }
}
