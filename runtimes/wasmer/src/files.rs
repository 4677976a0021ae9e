//! The files of one directory of the node, for functions that keep their state there.
//!
//! wasmer-wasix has such a file system too. It works on threads of a tokio runtime, and where it is
//! compiled in, every function's environment takes one, those without files among them.

use std::fmt;
use std::fs::{self, File, OpenOptions as FileOptions};
use std::future::ready;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};
use wasmer_wasix::virtual_fs::{
    DirEntry, FileOpener, FileSystem, FileType, FsError, Metadata, OpenOptions, OpenOptionsConfig,
    ReadDir, Result, VirtualFile,
};

/// What the trait calls a future in a box.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A directory as the whole of what a function sees.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The files in `root`, which must be a directory.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(root: &Path) -> io::Result<Self> {
        match fs::metadata(root)?.is_dir() {
            true => Ok(Self { root: root.to_owned() }),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The node's path of a function's; no path leads out of the directory.
    fn path(&self, path: &Path) -> Result<PathBuf> {
        let mut found = self.root.clone();
        for component in path.components() {
            match component {
                Component::Normal(name) => found.push(name),
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return Err(FsError::InvalidInput),
            }
        }
        Ok(found)
    }
}

fn metadata(found: &fs::Metadata) -> Metadata {
    let ft = FileType { dir: found.is_dir(), file: found.is_file(), ..FileType::default() };
    Metadata {
        ft,
        accessed: nanoseconds(found.accessed()),
        created: nanoseconds(found.created()),
        modified: nanoseconds(found.modified()),
        len: found.len(),
    }
}

/// Nanoseconds since 1970; 0 where the time is not known.
fn nanoseconds(time: io::Result<SystemTime>) -> u64 {
    let since = time.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos() as u64)
}

impl FileSystem for Directory {
    fn readlink(&self, _path: &Path) -> Result<PathBuf> {
        Err(FsError::InvalidInput)
    }

    fn read_dir(&self, path: &Path) -> Result<ReadDir> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path(path)?)? {
            let entry = entry?;
            let metadata = entry.metadata().map(|found| metadata(&found));
            entries.push(DirEntry {
                path: path.join(entry.file_name()),
                metadata: metadata.map_err(FsError::from),
            });
        }
        Ok(ReadDir::new(entries))
    }

    fn create_dir(&self, path: &Path) -> Result<()> {
        Ok(fs::create_dir(self.path(path)?)?)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        Ok(fs::remove_dir(self.path(path)?)?)
    }

    fn rename<'a>(&'a self, from: &'a Path, to: &'a Path) -> Boxed<'a, Result<()>> {
        let paths = self.path(from).and_then(|from| Ok((from, self.path(to)?)));
        let renamed = paths.and_then(|(from, to)| Ok(fs::rename(from, to)?));
        Box::pin(ready(renamed))
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        Ok(metadata(&fs::metadata(self.path(path)?)?))
    }

    fn symlink_metadata(&self, path: &Path) -> Result<Metadata> {
        Ok(metadata(&fs::symlink_metadata(self.path(path)?)?))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        Ok(fs::remove_file(self.path(path)?)?)
    }

    fn new_open_options(&self) -> OpenOptions<'_> {
        OpenOptions::new(self)
    }
}

impl FileOpener for Directory {
    fn open(
        &self,
        path: &Path,
        how: &OpenOptionsConfig,
    ) -> Result<Box<dyn VirtualFile + Send + Sync + 'static>> {
        let path = self.path(path)?;
        let mut options = FileOptions::new();
        options.read(how.read).write(how.write).append(how.append).truncate(how.truncate);
        options.create(how.create).create_new(how.create_new);
        let file = options.open(&path)?;
        Ok(Box::new(Opened { file, path, sought: None }))
    }
}

/// An open file, whose operations are done when they are asked for.
struct Opened {
    file: File,
    path: PathBuf,
    /// What the last seek came to.
    sought: Option<io::Result<u64>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl VirtualFile for Opened {
    fn last_accessed(&self) -> u64 {
        self.file.metadata().map_or(0, |found| nanoseconds(found.accessed()))
    }

    fn last_modified(&self) -> u64 {
        self.file.metadata().map_or(0, |found| nanoseconds(found.modified()))
    }

    fn created_time(&self) -> u64 {
        self.file.metadata().map_or(0, |found| nanoseconds(found.created()))
    }

    fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |found| found.len())
    }

    fn set_len(&mut self, bytes: u64) -> Result<()> {
        Ok(self.file.set_len(bytes)?)
    }

    fn unlink(&mut self) -> Result<()> {
        Ok(fs::remove_file(&self.path)?)
    }

    fn poll_read_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let place = (&self.file).stream_position()?;
        let left = self.size().saturating_sub(place);
        Poll::Ready(Ok(usize::try_from(left).unwrap_or(usize::MAX)))
    }

    fn poll_write_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(64 << 10))
    }
}

impl AsyncRead for Opened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.file.read(into.initialize_unfilled())?;
        into.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Opened {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.file.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncSeek for Opened {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        self.sought = Some(self.file.seek(to));
        Ok(())
    }

    fn poll_complete(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(self.sought.take().unwrap_or_else(|| self.file.stream_position()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        assert_eq!(directory.path(Path::new("/a/./b")).unwrap(), folder.path().join("a/b"));
        assert_eq!(directory.path(Path::new("/../etc")), Err(FsError::InvalidInput));
        assert!(directory.metadata(Path::new("/")).unwrap().is_dir());
        assert_eq!(directory.remove_file(Path::new("/none")), Err(FsError::EntryNotFound));
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(Directory::open(&file).is_err());
    }
}
