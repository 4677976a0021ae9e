//! What workers write to standard error, read only when one has failed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// A file that all workers of a sandbox complain to, one after the other.
#[derive(Debug)]
pub struct Complaints(File);

impl Complaints {
    /// Makes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn in_file(path: &Path) -> io::Result<Self> {
        let options = File::options().create(true).truncate(true).read(true).write(true).clone();
        options.open(path).map(Self)
    }

    /// What the next worker is to write to.
    ///
    /// # Errors
    /// When this process has no descriptors left.
    pub fn writer(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// What happened, how the worker ended, and its complaints, which are then forgotten.
    pub fn describe(&self, what: &str, end: &str) -> String {
        let complaints = self.take();
        let separator = if complaints.is_empty() { "" } else { ": " };
        format!("{what} ({end}){separator}{complaints}")
    }

    fn take(&self) -> String {
        let mut file = &self.0;
        let mut text = String::new();
        // A complaint that cannot be read is no reason to fail once more.
        let _ =
            file.seek(SeekFrom::Start(0)).and_then(|_| file.take(2000).read_to_string(&mut text));
        self.forget();
        text.trim().replace('\n', "; ")
    }

    /// Forgets what was written.
    pub fn forget(&self) {
        let mut file = &self.0;
        let _ = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
    }
}
