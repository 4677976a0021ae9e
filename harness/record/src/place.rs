//! Files that are there as a whole or not at all.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::DeserializeOwned;

/// Writes a file as a whole or not at all, and leaves one alone that is the same.
///
/// # Errors
/// When it cannot be written; the message names the file.
pub fn place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let draft = draft_of(path);
    let placed = fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, path));
    if placed.is_err() {
        // Such as where the disk is full.
        let _ = fs::remove_file(&draft);
    }
    placed.map_err(|error| named(path, &error))
}

/// An error with the path that it is about.
pub(crate) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Reads a file of JSON, as [`from_json`](crate::from_json) does.
///
/// # Errors
/// When it is absent, or holds something else; the message names the file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let text = fs::read(path).map_err(|error| named(path, &error))?;
    let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    crate::from_json(&text).map_err(|error| named(path, &malformed(error)))
}

/// Where a file is written before it is put into its place.
pub fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".draft");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_placed_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        // A folder is where the file should be.
        let path = folder.path().join("file");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
        let message = place(&path, b"bytes").unwrap_err().to_string();
        assert!(message.starts_with(path.to_str().unwrap()), "{message}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
