//! One measurement at a time in a checkout.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};

use crate::{Event, Layout};

/// Keeps other measurements in a checkout waiting, as long as it lives; the kernel ends it with the
/// process.
#[derive(Debug)]
pub struct Measuring {
    _file: File,
}

impl Measuring {
    /// Waits until nobody else measures in a checkout, and says for whom; `what` is told to those
    /// who come later.
    ///
    /// # Errors
    /// When the lock's file cannot be written.
    pub fn begin(layout: &Layout, what: &str) -> io::Result<Self> {
        let folder = layout.lumos();
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("measuring.lock");
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Whoever holds it may be about to say who it is.
                let _ = file.read_to_string(&mut holder);
                let text = format!(
                    "another measurement is under way in this checkout, and this one waits for \
                     its end, since two at once would spoil each other's figures: {holder}"
                );
                Event::Notice { text }.tell();
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "`{what}` (process {})", std::process::id())?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_second_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path().to_owned());
        let first = Measuring::begin(&layout, "first").unwrap();
        let (sender, receiver) = mpsc::channel();
        let second = std::thread::spawn(move || {
            let held = Measuring::begin(&layout, "second").unwrap();
            sender.send(()).unwrap();
            held
        });
        assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err());
        drop(first);
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(second.join().unwrap());
        let path = folder.path().join("target/lumos/measuring.lock");
        assert!(std::fs::read_to_string(path).unwrap().starts_with("`second` (process "));
    }
}
