//! Layers: files as a compressed tar archive, the same bytes for the same files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// What is at a path of a layer. A layer has no devices, and no hard links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A folder; what it holds are entries of their own.
    Folder,
    /// A file of these bytes.
    Bytes(Vec<u8>),
    /// A file with the bytes of this one.
    File(PathBuf),
    /// A link to this path.
    Symlink(PathBuf),
}

/// A path of a layer, and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The path, without a leading slash.
    pub path: PathBuf,
    /// The permissions.
    pub mode: u32,
    /// The numbers of the user and of the group.
    pub owner: (u64, u64),
    /// What is there.
    pub content: Content,
}

impl Entry {
    /// An entry that belongs to root, with the permissions that are usual for what it is.
    pub fn new(path: impl Into<PathBuf>, content: Content) -> Self {
        let mode = match content {
            Content::Folder => 0o755,
            Content::Bytes(_) | Content::File(_) => 0o644,
            Content::Symlink(_) => 0o777,
        };
        Self { path: path.into(), mode, owner: (0, 0), content }
    }

    /// The same entry, with other permissions.
    pub fn with_mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }
}

/// The folders that a container needs to be there: a root file system that is mounted
/// read-only cannot be given them later.
pub fn mount_points() -> Vec<Entry> {
    let mut entries: Vec<Entry> = ["dev", "proc", "run", "sys"]
        .map(|folder| Entry::new(folder, Content::Folder))
        .into_iter()
        .collect();
    entries.push(Entry::new("tmp", Content::Folder).with_mode(0o1777));
    entries
}

/// A layer that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// SHA-256 of the tar archive, in hexadecimal: what it is called when it is unpacked.
    pub diff_id: String,
    /// SHA-256 of the compressed archive, in hexadecimal: what it is called as a blob.
    pub digest: String,
    /// The bytes of the tar archive.
    pub bytes: u64,
    /// The bytes of the compressed archive.
    pub compressed_bytes: u64,
}

/// Writes entries as a layer. Neither their order nor the time matters to what is written.
///
/// # Errors
/// When two entries have the same path, a file cannot be read, or `output` not be written.
pub fn write(mut entries: Vec<Entry>, output: impl Write) -> Result<Layer> {
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    if let Some([entry, _]) = entries.array_windows().find(|[one, next]| one.path == next.path) {
        bail!("{} is in the layer twice", entry.path.display());
    }
    // The header of gzip that this makes holds no time and no name.
    let encoder = GzEncoder::new(Hashed::new(output), Compression::default());
    let mut archive = Builder::new(Hashed::new(encoder));
    for entry in &entries {
        append(&mut archive, entry).with_context(|| format!("layer: {}", entry.path.display()))?;
    }
    let (encoder, diff_id, bytes) = archive.into_inner()?.finish();
    let (mut output, digest, compressed_bytes) = encoder.finish()?.finish();
    output.flush()?;
    Ok(Layer { diff_id, digest, bytes, compressed_bytes })
}

fn append(archive: &mut Builder<impl Write>, entry: &Entry) -> io::Result<()> {
    // The header's time is 0, and it has no names of users.
    let mut header = Header::new_gnu();
    header.set_size(0);
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0);
    header.set_gid(entry.owner.1);
    match &entry.content {
        Content::Folder => {
            header.set_entry_type(EntryType::Directory);
            // A folder's name ends with a slash.
            archive.append_data(&mut header, entry.path.join(""), io::empty())
        }
        Content::Bytes(bytes) => {
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, &entry.path, bytes.as_slice())
        }
        Content::File(path) => {
            let file = File::open(path)?;
            let bytes = file.metadata()?.len();
            header.set_size(bytes);
            archive.append_data(&mut header, &entry.path, file.take(bytes))
        }
        Content::Symlink(target) => {
            header.set_entry_type(EntryType::Symlink);
            archive.append_link(&mut header, &entry.path, target)
        }
    }
}

/// Counts and hashes what passes through.
struct Hashed<W> {
    inner: W,
    digest: Sha256,
    bytes: u64,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self { inner, digest: Sha256::new(), bytes: 0 }
    }

    fn finish(self) -> (W, String, u64) {
        let digest = self.digest.finalize();
        (self.inner, digest.iter().map(|byte| format!("{byte:02x}")).collect(), self.bytes)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buffer)?;
        self.digest.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use flate2::read::GzDecoder;
    use lumos_workloads::sha256_hex;

    use super::*;

    /// One entry of every sort, whose file is in `folder` and was changed `age` ago.
    fn entries(folder: &Path, age: Duration) -> Vec<Entry> {
        let file = folder.join("on-disk");
        fs::write(&file, "from a file").unwrap();
        let time = SystemTime::now() - age;
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        let long = format!("folder/{}", "long/".repeat(40));
        let mut entries = mount_points();
        entries.extend([
            Entry::new("folder", Content::Folder),
            Entry::new("folder/file", Content::File(file)).with_mode(0o755),
            Entry::new("folder-like", Content::Bytes(b"bytes".to_vec())),
            Entry::new(long, Content::Bytes(Vec::new())),
            Entry::new("link", Content::Symlink("folder/file".into())),
        ]);
        entries
    }

    fn written(entries: Vec<Entry>) -> (Layer, Vec<u8>) {
        let mut blob = Vec::new();
        (write(entries, &mut blob).unwrap(), blob)
    }

    #[test]
    fn the_same_files_are_the_same_bytes() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = written(entries(one.path(), Duration::from_secs(0)));
        let mut turned = entries(other.path(), Duration::from_secs(100_000));
        turned.reverse();
        assert_eq!(written(turned), first);
    }

    #[test]
    fn a_layer_is_what_it_says_and_holds_what_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let (layer, blob) = written(entries(folder.path(), Duration::ZERO));
        assert_eq!(layer.digest, sha256_hex(&blob));
        assert_eq!(layer.compressed_bytes, blob.len() as u64);
        let mut archive = Vec::new();
        GzDecoder::new(blob.as_slice()).read_to_end(&mut archive).unwrap();
        assert_eq!(layer.diff_id, sha256_hex(&archive));
        assert_eq!(layer.bytes, archive.len() as u64);
        let mut names = Vec::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap()), (0, 0));
            assert_eq!(header.username().unwrap(), Some(""));
            let name = entry.path().unwrap().display().to_string();
            match name.as_str() {
                "tmp/" => assert_eq!(header.mode().unwrap(), 0o1777),
                "link" => assert_eq!(entry.link_name_bytes().unwrap(), b"folder/file".as_slice()),
                "folder/file" => {
                    assert_eq!(header.mode().unwrap(), 0o755);
                    let mut text = String::new();
                    entry.read_to_string(&mut text).unwrap();
                    assert_eq!(text, "from a file");
                }
                _ => {}
            }
            names.push(name);
        }
        assert_eq!(names.len(), 10);
        assert_eq!(names[1], "folder/");
        assert!(names[3].len() > 200, "{names:?}");
        assert_eq!(names[4], "folder-like");
    }

    #[test]
    fn a_path_has_one_entry() {
        let twice = ["a", "a"].map(|path| Entry::new(path, Content::Folder));
        let error = write(twice.into(), io::sink()).unwrap_err();
        assert!(error.to_string().contains("a is in the layer twice"), "{error}");
    }
}
