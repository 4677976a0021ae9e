//! Bases: what images are built upon, each made once and kept.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use lumos_record::{ArtifactKind, Image, place};
use lumos_workloads::sha256_hex;
use serde::{Deserialize, Serialize};

use super::apt::{self, Apt};
use super::layer::{self, Entry, Layer};
use super::{debian, distroless};
use crate::scope::Scope;
use crate::targets::Arch;

/// What an image is built upon.
#[derive(Debug)]
pub struct Base {
    /// Its name, which is the tag of the native images upon it.
    pub name: &'static str,
    /// What native images upon it hold: a static program where there is no C library.
    pub holds: ArtifactKind,
    /// Its layer, none where the base has none; else why it cannot be had, and the remedy.
    pub layer: Result<Option<Finished>, String>,
}

impl Base {
    /// The base that is none.
    pub const fn scratch() -> Self {
        Self { name: Image::SCRATCH, holds: ArtifactKind::NativeExe, layer: Ok(None) }
    }
}

/// The layer of a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// What it is called, and its size.
    pub layer: Layer,
    /// The versions of what it holds.
    pub contents: String,
    /// The file that keeps it.
    #[serde(skip)]
    pub file: PathBuf,
}

/// What a base is to hold.
#[derive(Debug, Default)]
pub struct Collected {
    /// Its files.
    pub entries: Vec<Entry>,
    /// The versions of what they belong to.
    pub contents: String,
}

/// How a base is made.
struct Recipe {
    name: &'static str,
    /// Raised when the recipe changes: what it made before is then stale.
    version: u32,
    check: fn(Arch) -> Result<()>,
    collect: fn(&Apt, &Path) -> Result<Collected>,
}

const RECIPES: [Recipe; 2] = [
    Recipe {
        name: "distroless",
        version: 1,
        check: distroless::check,
        collect: distroless::collect,
    },
    Recipe { name: "debian", version: 1, check: debian::check, collect: debian::collect },
];

/// Which bases are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Make {
    /// None: those that are kept serve.
    Nothing,
    /// Those that are not kept.
    Missing,
    /// All, anew.
    All,
}

/// All bases for an architecture, smallest first. Those of the scope, where there is one, are made
/// and kept in `folder`, as long as they are not kept there or with `force`; `at` is told of each.
///
/// # Errors
/// When the folder cannot be used. A base that cannot be made is no error: it says why.
pub fn ready(
    folder: &Path,
    arch: Arch,
    scope: Option<&Scope>,
    force: bool,
    at: &mut dyn FnMut(&str),
) -> Result<Vec<Base>> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    remove_all(folder, apt::DRAFT, None)?;
    let apt = Apt::find(folder, arch);
    let mut bases = vec![Base::scratch()];
    for recipe in RECIPES {
        let make = match (scope.is_some_and(|scope| scope.has_base(recipe.name)), force) {
            (false, _) => Make::Nothing,
            (true, false) => Make::Missing,
            (true, true) => Make::All,
        };
        let layer = match &apt {
            Ok(apt) => prepare(&recipe, apt, folder, make, at),
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        bases.push(Base {
            name: recipe.name,
            holds: ArtifactKind::NativeExeDynamic,
            layer: layer.map(Some).map_err(|error| format!("{error:#}")),
        });
    }
    Ok(bases)
}

fn prepare(
    recipe: &Recipe,
    apt: &Apt,
    folder: &Path,
    make: Make,
    at: &mut dyn FnMut(&str),
) -> Result<Finished> {
    let inputs = [&recipe.version.to_string(), apt.arch.name(), &apt.mirror, &apt.suite];
    let key = sha256_hex(inputs.join(" ").as_bytes());
    let kind = format!("{}-{}-", recipe.name, apt.arch);
    let stem = format!("{kind}{}", &key[..16]);
    let (about, file) = ["json", "tar.gz"].map(|end| folder.join(format!("{stem}.{end}"))).into();
    if make != Make::All
        && let Some(kept) = read(&about, &file)
    {
        return Ok(kept);
    }
    if make == Make::Nothing {
        bail!("it was not asked for");
    }
    (recipe.check)(apt.arch)?;
    at(&format!("base {} for {}", recipe.name, apt.arch));
    let draft = apt::draft(folder)?;
    let Collected { entries, contents } = (recipe.collect)(apt, draft.path())?;
    let unfinished = draft.path().join("layer");
    let output = File::create(&unfinished).with_context(|| unfinished.display().to_string())?;
    let layer = layer::write(entries, BufWriter::new(output))?;
    remove_all(folder, &kind, Some(&stem))?;
    fs::rename(&unfinished, &file).with_context(|| file.display().to_string())?;
    let finished = Finished { layer, contents, file };
    // Last, since it vouches for the layer.
    place(&about, &serde_json::to_vec_pretty(&finished)?)?;
    Ok(finished)
}

/// A base that was made before, if both of its files are there.
fn read(about: &Path, file: &Path) -> Option<Finished> {
    let kept: Finished = serde_json::from_slice(&fs::read(about).ok()?).ok()?;
    let is_whole = fs::metadata(file).ok()?.len() == kept.layer.compressed_bytes;
    is_whole.then(|| Finished { file: file.to_owned(), ..kept })
}

/// Removes what has a name that begins with `prefix`, but for that which begins with `but`.
fn remove_all(folder: &Path, prefix: &str, but: Option<&str>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(prefix) || but.is_some_and(|but| name.starts_with(but)) {
            continue;
        }
        let path = entry.path();
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::layer::Content;
    use super::*;

    fn collect(_: &Apt, folder: &Path) -> Result<Collected> {
        let file = folder.join("version");
        fs::write(&file, "1")?;
        let entries = vec![Entry::new("version", Content::File(file))];
        Ok(Collected { entries, contents: "version 1".to_owned() })
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_base_is_made_once_until_its_recipe_changes() {
        let folder = tempfile::tempdir().unwrap();
        let apt = Apt::fake(folder.path());
        let mut made = 0;
        let mut prepare = |version: u32, anew: bool| {
            let recipe = Recipe { name: "small", version, check: |_| Ok(()), collect };
            let at = &mut |_: &str| made += 1;
            let make = if anew { Make::All } else { Make::Missing };
            let base = prepare(&recipe, &apt, folder.path(), make, at).unwrap();
            (base, made, names(folder.path()))
        };
        let (first, made, files) = prepare(1, false);
        assert_eq!((made, files.len(), first.contents.as_str()), (1, 2, "version 1"));
        assert_eq!(prepare(1, false), (first.clone(), 1, files.clone()));
        assert_eq!(prepare(1, true), (first.clone(), 2, files.clone()));
        let (second, made, others) = prepare(2, false);
        assert_eq!((made, others.len(), &second.layer), (3, 2, &first.layer));
        assert_ne!(others, files);
        fs::write(&second.file, "cut short").unwrap();
        assert_eq!(prepare(2, false), (second, 4, others));
    }

    #[test]
    fn what_cannot_be_made_says_why_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let apt = Apt::fake(folder.path());
        let recipe = Recipe { name: "small", version: 1, check: |_| bail!("be root"), collect };
        let make = |make| prepare(&recipe, &apt, folder.path(), make, &mut |_| panic!("it begins"));
        let unable = make(Make::Missing);
        assert_eq!(unable.unwrap_err().to_string(), "be root");
        assert_eq!(make(Make::Nothing).unwrap_err().to_string(), "it was not asked for");
        let collect = |_: &Apt, _: &Path| bail!("no network");
        let recipe = Recipe { name: "small", version: 1, check: |_| Ok(()), collect };
        let failed = prepare(&recipe, &apt, folder.path(), Make::Missing, &mut |_| {});
        assert_eq!(failed.unwrap_err().to_string(), "no network");
        assert!(names(folder.path()).is_empty());
    }
}
