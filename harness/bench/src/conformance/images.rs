//! Images that differ from those that were built, as a test needs them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lumos_workloads::sha256_hex;
use serde_json::{Value, json};

/// An image whose description can be changed before it is written anew.
#[derive(Debug, Clone)]
pub struct Altered {
    manifest: Value,
    config: Value,
    blobs: PathBuf,
    /// What it runs.
    pub entrypoint: Vec<String>,
    /// What it is for.
    pub architecture: String,
    /// Its layers' descriptors in the manifest, the lowest first.
    pub layers: Vec<Value>,
}

impl Altered {
    /// Takes the image whose manifest is at `path`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let read = |path: &Path| -> Result<Value> {
            let text = fs::read(path).with_context(|| path.display().to_string())?;
            serde_json::from_slice(&text).with_context(|| path.display().to_string())
        };
        let manifest = read(path)?;
        let blobs = path.parent().context("a manifest lies among blobs")?.to_owned();
        let config = read(&blobs.join(digest(&manifest["config"])))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let words = config["config"]["Entrypoint"].as_array().cloned().unwrap_or_default();
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        Ok(Self {
            entrypoint: words.iter().map(text).collect(),
            architecture: text(&config["architecture"]),
            layers,
            manifest,
            config,
            blobs,
        })
    }

    /// Writes the image's blobs to `folder`, and returns the path of its manifest.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(mut self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder)?;
        for layer in &self.layers {
            let name = digest(layer);
            // A copy: a test may spoil it.
            fs::copy(self.blobs.join(&name), folder.join(&name)).context(name)?;
        }
        self.config["architecture"] = json!(self.architecture);
        self.config["config"]["Entrypoint"] = json!(self.entrypoint);
        let config = serde_json::to_vec(&self.config)?;
        let sha256 = sha256_hex(&config);
        fs::write(folder.join(&sha256), &config)?;
        self.manifest["config"]["digest"] = json!(format!("sha256:{sha256}"));
        self.manifest["config"]["size"] = json!(config.len());
        self.manifest["layers"] = json!(self.layers);
        let manifest = serde_json::to_vec(&self.manifest)?;
        let path = folder.join(sha256_hex(&manifest));
        fs::write(&path, &manifest)?;
        Ok(path)
    }
}

/// The digest of a descriptor, without the name of its algorithm.
fn digest(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    digest.rsplit(':').next().unwrap_or_default().to_owned()
}
