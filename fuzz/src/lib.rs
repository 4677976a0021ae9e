//! What the targets share: several files in one input, and a folder to put them in.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// What stands before the name of a file, at the beginning of a line.
const MARK: &str = "=== ";

/// The files that an input holds: each begins with a line `=== name`, and goes on to the next.
pub fn files(data: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (name, after) = split_line(rest.strip_prefix(MARK.as_bytes())?);
        let end = (0..after.len())
            .find(|&at| {
                (at == 0 || after[at - 1] == b'\n') && after[at..].starts_with(MARK.as_bytes())
            })
            .unwrap_or(after.len());
        rest = &after[end..];
        Some((str::from_utf8(name).unwrap_or_default(), &after[..end]))
    })
}

fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// A folder in memory, where there is one: a disk would be what is measured.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    TempDir::new_in(place).expect("a folder for temporary files")
}

/// Writes those of an input's files that have one of these names.
pub fn write(folder: &Path, data: &[u8], names: &[&str]) {
    for (name, text) in files(data).filter(|(name, _)| names.contains(name)) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder)).expect("a folder of a file");
        fs::write(path, text).expect("a file of the input");
    }
}

/// Fails where a text that somebody reads would say something to a terminal.
///
/// # Panics
/// When it does.
pub fn assert_shown(text: &str, what: &str) {
    let said = text.chars().find(|c| c.is_control() && !['\n', '\t'].contains(c));
    assert!(said.is_none(), "{what} holds {said:?}");
}
