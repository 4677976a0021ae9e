//! Container images, as `cargo xtask build` leaves them in one OCI image layout.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use lumos_record::shown;
use lumos_workloads::sha256_hex;
use oci_spec::image::{ImageConfiguration, ImageManifest};
use tar::EntryType;

/// An image whose manifest was read, and whose layers are files.
#[derive(Debug, Clone)]
pub struct Image {
    /// The digest of its manifest, in hexadecimal: it vouches for everything in the image.
    pub digest: String,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// The program that it runs, and that program's first arguments; empty if it names none.
    pub entrypoint: Vec<String>,
    /// The architecture that it is for, as container engines call it: `amd64`, `arm64`.
    pub architecture: String,
}

/// A gzip-compressed tar file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its digest, in hexadecimal.
    pub digest: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size, compressed.
    pub compressed_bytes: u64,
}

impl Image {
    /// Reads the image whose manifest is the blob at `path`. The configuration is compared with
    /// its digest; layers are when they are unpacked.
    ///
    /// # Errors
    /// When a blob is absent, malformed or altered; the message names it.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        let manifest = ImageManifest::from_reader(text.as_slice())
            .with_context(|| format!("{}: not the manifest of an image", path.display()))?;
        let blobs = path.parent().context("a manifest lies among the blobs of its layout")?;
        let config_path = blobs.join(manifest.config().digest().digest());
        let config = fs::read(&config_path).with_context(|| config_path.display().to_string())?;
        ensure!(
            sha256_hex(&config) == manifest.config().digest().digest(),
            "{} is not what was built; `cargo xtask build` builds it again",
            config_path.display()
        );
        let config = ImageConfiguration::from_reader(config.as_slice())
            .with_context(|| config_path.display().to_string())?;
        let process = config.config().as_ref();
        let entrypoint = process.and_then(|process| process.entrypoint().clone());
        let layers = manifest.layers().iter().map(|layer| Layer {
            digest: layer.digest().digest().to_owned(),
            path: blobs.join(layer.digest().digest()),
            compressed_bytes: layer.size(),
        });
        Ok(Self {
            digest: sha256_hex(&text),
            layers: layers.collect(),
            entrypoint: entrypoint.unwrap_or_default(),
            architecture: config.architecture().to_string(),
        })
    }

    /// An architecture, as images name it.
    pub fn architecture_of(arch: &str) -> &str {
        match arch {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    }

    /// Checks that the image runs where programs for `arch` do.
    ///
    /// # Errors
    /// A sentence with both architectures, or one that says that there is nothing to run.
    pub fn check_runnable(&self, arch: &str) -> Result<(), String> {
        let wanted = Self::architecture_of(arch);
        if self.architecture != wanted {
            return Err(format!(
                "the image is for {}, and this node runs {wanted}; `cargo xtask build` builds one \
                 for it",
                self.architecture,
            ));
        }
        match self.entrypoint.is_empty() {
            true => Err("the image has no entry point; `cargo xtask build` builds one".to_owned()),
            false => Ok(()),
        }
    }
}

impl Layer {
    /// Reads the layer as it is, compressed.
    ///
    /// # Errors
    /// When it is not what was built; the message names the file.
    pub fn read(&self) -> Result<Vec<u8>> {
        let bytes = fs::read(&self.path).with_context(|| self.path.display().to_string())?;
        ensure!(
            sha256_hex(&bytes) == self.digest,
            "{} is not what was built; `cargo xtask build` builds it again",
            self.path.display()
        );
        Ok(bytes)
    }

    /// Unpacks the layer over whatever is in `folder`. Owners are kept where root unpacks.
    ///
    /// # Errors
    /// When the layer is not what was built, or the disk is full; the message names the file.
    pub fn unpack(&self, folder: &Path) -> Result<()> {
        let unpack = || unpack(&self.read()?, folder);
        unpack().with_context(|| {
            format!("cannot unpack {} into {}", self.path.display(), folder.display())
        })
    }
}

/// The permissions that run a program as its owner: nobody here gains any.
const SET_ID: u32 = 0o6000;

/// Unpacks a gzip-compressed tar file: folders, files and links below `folder`, and nothing else.
fn unpack(layer: &[u8], folder: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(Bounded::new(layer));
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(false);
    archive.set_mask(SET_ID);
    // SAFETY: the call cannot fail.
    archive.set_preserve_ownerships(unsafe { libc::geteuid() } == 0);
    archive.set_overwrite(true);
    // Folders that a layer only implies have the usual permissions, whatever mask the user has.
    // SAFETY: the call cannot fail.
    let mask = unsafe { libc::umask(0o022) };
    let unpacked = unpack_all(&mut archive, folder);
    // SAFETY: as above.
    unsafe { libc::umask(mask) };
    unpacked
}

fn unpack_all(archive: &mut tar::Archive<impl Read>, folder: &Path) -> Result<()> {
    let folder = &folder.canonicalize()?;
    let unpack = |entry: &mut tar::Entry<'_, _>| -> Result<()> {
        // What leads out through a link is an error of the archive's own.
        let is_inside = entry.unpack_in(folder).map_err(explain)?;
        ensure!(is_inside, "{} leads out of the layer", shown(&entry.path()?.to_string_lossy()));
        Ok(())
    };
    let mut folders = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry.map_err(explain)?;
        match entry.header().entry_type() {
            // The permissions of a folder may be such that nothing could be put there any more.
            EntryType::Directory => folders.push(entry),
            EntryType::Regular | EntryType::Continuous | EntryType::Link | EntryType::Symlink => {
                unpack(&mut entry)?;
            }
            // Of the next entry, or of all.
            EntryType::XHeader | EntryType::XGlobalHeader => {}
            other => {
                let path = shown(&entry.path()?.to_string_lossy());
                bail!("{path}: a layer holds files, folders and links, and no {other:?}");
            }
        }
    }
    folders.sort_by(|one, other| other.path_bytes().cmp(&one.path_bytes()));
    folders.iter_mut().try_for_each(unpack)
}

/// The bytes of a compressed layer, as long as they are not far more than a layer has.
struct Bounded<'l> {
    bytes: GzDecoder<&'l [u8]>,
    left: u64,
}

impl<'l> Bounded<'l> {
    /// So much a layer may have unpacked, however small it is.
    const LEAST_BYTES: u64 = 64 << 20;
    /// How many times its size a larger one may have: programs and text have 2 to 10 times.
    const MOST_TIMES: u64 = 100;

    fn new(layer: &'l [u8]) -> Self {
        let most = (layer.len() as u64).saturating_mul(Self::MOST_TIMES).max(Self::LEAST_BYTES);
        Self { bytes: GzDecoder::new(layer), left: most }
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(format!(
                "the layer unpacks to more than {} times its size: that is no layer of a function",
                Self::MOST_TIMES
            ))
        })?;
        Ok(count)
    }
}

/// Adds a remedy to what a full disk looks like.
fn explain(error: io::Error) -> anyhow::Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        let full = inner.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        });
        if full {
            return anyhow::Error::new(error)
                .context("the disk is full: make room, or point CARGO_TARGET_DIR elsewhere");
        }
        cause = inner.source();
    }
    error.into()
}

/// Root file systems, unpacked once and shared by all runs; whoever needs one first unpacks it.
#[derive(Debug, Clone)]
pub struct RootFileSystems {
    folder: PathBuf,
}

impl RootFileSystems {
    /// Keeps them in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where the files of an image are. Layers below the last are unpacked once for all images
    /// that share them, and linked: so images share them in the page cache too, as they do in a
    /// container engine.
    ///
    /// # Errors
    /// When a layer is not what was built, or the disk is full. Nothing half unpacked is left.
    pub fn get(&self, image: &Image) -> Result<PathBuf> {
        let wanted = self.folder.join(&image.digest);
        if wanted.is_dir() {
            return Ok(wanted);
        }
        fs::create_dir_all(&self.folder).with_context(|| self.folder.display().to_string())?;
        // Two processes would unpack into one folder.
        let lock = File::create(self.folder.join("lock"))?;
        lock.lock().context("the lock of the unpacked images")?;
        if wanted.is_dir() {
            return Ok(wanted);
        }
        let draft = Draft::new(self.folder.join(format!("{}.draft", image.digest)))?;
        if let Some((last, below)) = image.layers.split_last() {
            for layer in below {
                link_tree(&self.layer(layer)?, &draft.0)?;
            }
            last.unpack(&draft.0)?;
        }
        draft.keep(&wanted)?;
        Ok(wanted)
    }

    fn layer(&self, layer: &Layer) -> Result<PathBuf> {
        let wanted = self.folder.join(format!("layer-{}", layer.digest));
        if !wanted.is_dir() {
            let draft = Draft::new(wanted.with_extension("draft"))?;
            layer.unpack(&draft.0)?;
            draft.keep(&wanted)?;
        }
        Ok(wanted)
    }

    /// Removes what belongs to no image of `digests`, or was left half unpacked.
    pub fn keep_only(&self, digests: &[&str]) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("layer-") && name != "lock" && !digests.contains(&name.as_str()) {
                // Whatever cannot be removed now is met again.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// A folder that is removed unless it is kept.
struct Draft(PathBuf);

impl Draft {
    fn new(path: PathBuf) -> Result<Self> {
        let _ = fs::remove_dir_all(&path);
        let create = || -> io::Result<()> {
            fs::create_dir_all(&path)?;
            // It becomes the root of file systems, whatever mask the user has.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        };
        create().with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    fn keep(self, path: &Path) -> Result<()> {
        fs::rename(&self.0, path).with_context(|| path.display().to_string())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After it was kept, there is nothing to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies folders and symbolic links, and links files.
fn link_tree(from: &Path, to: &Path) -> Result<()> {
    let link = || -> io::Result<()> {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !target.is_dir() {
                    fs::create_dir(&target)?;
                    fs::set_permissions(&target, entry.metadata()?.permissions())?;
                }
                link_tree(&source, &target).map_err(io::Error::other)?;
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
            } else {
                fs::hard_link(&source, &target)?;
            }
        }
        Ok(())
    };
    link().map_err(explain).with_context(|| to.display().to_string())
}

#[cfg(test)]
mod tests;
