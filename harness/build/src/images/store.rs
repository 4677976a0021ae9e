//! The OCI image layout that holds every image: blobs under their digests, and an index.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lumos_record::place;
use lumos_workloads::sha256_hex;
use oci_spec::image::{
    ANNOTATION_REF_NAME, Config, ConfigBuilder, Descriptor, Digest, ImageConfiguration,
    ImageConfigurationBuilder, ImageIndex, ImageIndexBuilder, ImageManifest, ImageManifestBuilder,
    MediaType, OciLayoutBuilder, Platform, PlatformBuilder, RootFsBuilder, SCHEMA_VERSION,
};

use super::layer::{self, Entry, Layer};

/// Where blobs are in the layout; a blob's name is its SHA-256.
pub const BLOBS: &str = "blobs/sha256";

/// The file that lists the images.
pub const INDEX: &str = "index.json";

/// A folder with images.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the layout in a folder, and begins one where there is none. Blobs that are not what
    /// they are called, such as drafts of a build that was interrupted, are removed.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn open(folder: &Path) -> Result<Self> {
        let store = Self { folder: folder.to_owned() };
        let blobs = folder.join(BLOBS);
        fs::create_dir_all(&blobs).with_context(|| blobs.display().to_string())?;
        let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
        place(&folder.join("oci-layout"), &serde_json::to_vec(&layout)?)?;
        store.retain(|name, path| fs::read(path).is_ok_and(|bytes| sha256_hex(&bytes) == name))?;
        Ok(store)
    }

    /// Removes the blobs that are not worth keeping.
    fn retain(&self, keep: impl Fn(&str, &Path) -> bool) -> Result<()> {
        let blobs = self.folder.join(BLOBS);
        for blob in fs::read_dir(&blobs).with_context(|| blobs.display().to_string())?.flatten() {
            let path = blob.path();
            if !keep(&blob.file_name().to_string_lossy(), &path) {
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.folder.join(BLOBS).join(digest)
    }

    /// Writes entries as a layer.
    ///
    /// # Errors
    /// As [`layer::write`].
    pub fn add_layer(&self, entries: Vec<Entry>) -> Result<Layer> {
        let draft = self.blob("draft");
        let file = File::create(&draft).with_context(|| draft.display().to_string())?;
        let layer = layer::write(entries, BufWriter::new(file))?;
        let blob = self.blob(&layer.digest);
        fs::rename(&draft, &blob).with_context(|| blob.display().to_string())?;
        Ok(layer)
    }

    /// Takes a layer over that is kept in a file.
    ///
    /// # Errors
    /// When it can be neither linked nor copied.
    pub fn take_layer(&self, layer: &Layer, file: &Path) -> Result<()> {
        let blob = self.blob(&layer.digest);
        if blob.exists() {
            return Ok(());
        }
        let draft = self.blob("draft");
        let _ = fs::remove_file(&draft);
        // The file is on the same disk as a rule, and then takes no room twice.
        if fs::hard_link(file, &draft).is_err() {
            fs::copy(file, &draft).with_context(|| file.display().to_string())?;
        }
        let bytes = fs::read(&draft).with_context(|| draft.display().to_string())?;
        ensure!(
            sha256_hex(&bytes) == layer.digest,
            "{} is not what was built: remove it, and build again",
            file.display()
        );
        fs::rename(&draft, &blob).with_context(|| blob.display().to_string())
    }

    /// Writes an image of layers, the lowest first; returns the digest of its manifest.
    ///
    /// # Errors
    /// When a blob cannot be written.
    pub fn add_image(
        &self,
        platform: &Platform,
        entry_point: Option<&str>,
        layers: &[&Layer],
    ) -> Result<String> {
        let diff_ids: Vec<String> = layers.iter().map(|layer| prefixed(&layer.diff_id)).collect();
        let config = match entry_point {
            Some(program) => ConfigBuilder::default().entrypoint([program.to_owned()]).build()?,
            None => Config::default(),
        };
        let configuration = ImageConfigurationBuilder::default()
            // The time of the build would make another image of the same files.
            .created("1970-01-01T00:00:00Z")
            .architecture(platform.architecture().clone())
            .os(platform.os().clone())
            .config(config)
            .rootfs(RootFsBuilder::default().diff_ids(diff_ids).build()?)
            .build()?;
        let layers: Result<Vec<Descriptor>> = layers
            .iter()
            .map(|layer| {
                descriptor(MediaType::ImageLayerGzip, &layer.digest, layer.compressed_bytes)
            })
            .collect();
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(self.add(MediaType::ImageConfig, &serde_json::to_vec(&configuration)?)?)
            .layers(layers?)
            .build()?;
        let manifest = self.add(MediaType::ImageManifest, &serde_json::to_vec(&manifest)?)?;
        Ok(manifest.digest().digest().to_owned())
    }

    fn add(&self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        let digest = sha256_hex(bytes);
        place(&self.blob(&digest), bytes)?;
        descriptor(media_type, &digest, bytes.len() as u64)
    }

    /// Whether every blob of an image is there.
    pub fn is_complete(&self, manifest: &str) -> bool {
        ImageManifest::from_file(self.blob(manifest)).is_ok_and(|manifest| {
            parts(&manifest).all(|part| self.blob(part.digest().digest()).exists())
        })
    }

    /// Writes the index of the images, given as names and digests, and removes the blobs that
    /// none of them is made of. Images of one name are for several platforms, and get an index of
    /// their own.
    ///
    /// # Errors
    /// When an image cannot be read, or the index not be written.
    pub fn finish(&self, images: &[(String, String)]) -> Result<()> {
        let mut used = BTreeSet::new();
        let mut named: Vec<(&str, Vec<Descriptor>)> = Vec::new();
        for (name, digest) in images {
            let descriptor = self.describe(digest, &mut used)?;
            match named.iter_mut().find(|(known, _)| known == name) {
                Some((_, platforms)) => platforms.push(descriptor),
                None => named.push((name, vec![descriptor])),
            }
        }
        let mut descriptors = Vec::new();
        for (name, mut platforms) in named {
            let mut image = match platforms.len() {
                1 => platforms.remove(0),
                _ => {
                    let index = self.add(MediaType::ImageIndex, &index(platforms)?)?;
                    used.insert(index.digest().digest().to_owned());
                    index
                }
            };
            let annotations = HashMap::from([(ANNOTATION_REF_NAME.to_owned(), name.to_owned())]);
            image.set_annotations(Some(annotations));
            descriptors.push(image);
        }
        place(&self.folder.join(INDEX), &index(descriptors)?)?;
        self.retain(|name, _| used.contains(name))
    }

    /// The entry of an image in an index; the blobs that it is made of are added to `used`.
    fn describe(&self, digest: &str, used: &mut BTreeSet<String>) -> Result<Descriptor> {
        let path = self.blob(digest);
        let manifest =
            ImageManifest::from_file(&path).with_context(|| path.display().to_string())?;
        let config = self.blob(manifest.config().digest().digest());
        let config =
            ImageConfiguration::from_file(&config).with_context(|| config.display().to_string())?;
        let bytes = fs::metadata(&path).with_context(|| path.display().to_string())?.len();
        let mut image = descriptor(MediaType::ImageManifest, digest, bytes)?;
        image.set_platform(Some(
            PlatformBuilder::default()
                .architecture(config.architecture().clone())
                .os(config.os().clone())
                .build()?,
        ));
        used.insert(digest.to_owned());
        used.extend(parts(&manifest).map(|part| part.digest().digest().to_owned()));
        Ok(image)
    }
}

/// An index of images, as it is written.
fn index(manifests: Vec<Descriptor>) -> Result<Vec<u8>> {
    let index: ImageIndex = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()?;
    Ok(serde_json::to_vec(&index)?)
}

/// The bytes of all blobs of a layout together: images share theirs.
///
/// # Errors
/// When the layout cannot be read.
pub fn blob_bytes(folder: &Path) -> Result<u64> {
    let blobs = folder.join(BLOBS);
    let blobs = fs::read_dir(&blobs).with_context(|| blobs.display().to_string())?;
    Ok(blobs.flatten().filter_map(|blob| Some(blob.metadata().ok()?.len())).sum())
}

/// The blobs that a manifest names.
fn parts(manifest: &ImageManifest) -> impl Iterator<Item = &Descriptor> {
    std::iter::once(manifest.config()).chain(manifest.layers())
}

fn prefixed(digest: &str) -> String {
    format!("sha256:{digest}")
}

fn descriptor(media_type: MediaType, digest: &str, bytes: u64) -> Result<Descriptor> {
    Ok(Descriptor::new(media_type, bytes, Digest::try_from(prefixed(digest))?))
}
