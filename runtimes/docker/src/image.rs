//! The images of functions, in the engine's own keeping.

use anyhow::Result;
use bollard::models::ImageInspect;
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder};
use lumos_bench::image::{Image, Layer};
use lumos_bench::sandbox::{Name, Trouble};

use crate::engine::{BASE, DIGEST, Engine, RUN};
use crate::place::EngineError;

/// What the engine calls an image: by as much of its digest as tells it from all others.
pub fn tag(image: &Image) -> String {
    let name = if image.entrypoint.is_empty() { BASE } else { "lumos/function" };
    let digits = image.digest.get(..16).unwrap_or(&image.digest);
    format!("{name}:{digits}")
}

/// What an image is built upon, as an image of its own that nothing runs in: the engine unpacks it
/// once for all functions. None where the image has a single layer.
fn base(image: &Image) -> Option<Image> {
    let (_, below) = image.layers.split_last()?;
    let digest = below.last()?.digest.clone();
    let architecture = image.architecture.clone();
    Some(Image { digest, layers: below.to_vec(), entrypoint: Vec::new(), architecture })
}

/// Makes sure that the engine has an image, and returns the engine's id of it.
///
/// # Errors
/// When the engine does not answer, or the image cannot be built.
pub fn ensure_built(engine: &Engine, image: &Image) -> Result<String, Trouble> {
    let tag = tag(image);
    if let Some(found) = engine.image(&tag).map_err(unready)?
        && is_built_from(&found, image)
        && let Some(id) = found.id
    {
        return Ok(id);
    }
    if let Some(base) = base(image) {
        ensure_built(engine, &base)?;
    }
    let context = context(image).map_err(|error| Trouble::Failure(format!("{error:#}")))?;
    engine.build(options(&tag, &image.architecture), context).map_err(|error| match error {
        EngineError::Refused(_, message) => Trouble::Failure(explain_build(&message)),
        unreachable => unready(unreachable),
    })?;
    let built = engine.image(&tag).map_err(unready)?.unwrap_or_default();
    match built.id {
        // The engine's builder has been seen to take another architecture's image for this one.
        Some(id) if built.architecture.as_ref() == Some(&image.architecture) => Ok(id),
        _ => Err(Trouble::Failure(format!(
            "the container engine built an image for {} instead of {}; \
             `cargo xtask clean --containers` removes what misleads it",
            built.architecture.as_deref().unwrap_or("nothing"),
            image.architecture
        ))),
    }
}

/// An engine that does not answer is missing from the node; what it refuses is a failure.
pub fn unready(error: EngineError) -> Trouble {
    match error {
        EngineError::Unreachable(reason) => Trouble::Skip(reason),
        EngineError::Refused(..) => Trouble::Failure(format!("the container engine says: {error}")),
    }
}

fn is_built_from(found: &ImageInspect, image: &Image) -> bool {
    let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
    let digest = labels.and_then(|labels| labels.get(DIGEST));
    digest == Some(&image.digest) && found.architecture.as_ref() == Some(&image.architecture)
}

fn options(tag: &str, architecture: &str) -> BuildImageOptions {
    BuildImageOptionsBuilder::new()
        .platform(&format!("linux/{architecture}"))
        .dockerfile("Dockerfile")
        .t(tag)
        .nocache(true)
        .rm(true)
        .forcerm(true)
        .networkmode("none")
        .build()
}

fn explain_build(message: &str) -> String {
    let remedy = match message.contains("no space left") {
        true => "; make room on the disk that the engine keeps its images on",
        false => "",
    };
    format!("the container engine could not build the image: {}{remedy}", message.trim())
}

/// A tar file with the layer that an image adds to its base, and a Dockerfile that does so. No time
/// is in it, so that the same image makes the same file.
///
/// # Errors
/// When a layer is not what was built.
fn context(image: &Image) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, contents: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(&mut header, name, contents)
    };
    add("Dockerfile", dockerfile(image)?.as_bytes())?;
    if let Some(layer) = image.layers.last() {
        add(&file(layer), &layer.read()?)?;
    }
    Ok(archive.into_inner()?)
}

fn file(layer: &Layer) -> String {
    format!("{}.tar.gz", layer.digest)
}

/// What to build. The labels come first, so that whatever an interrupted build leaves has them;
/// but for another architecture they come second: engines have been seen to forget what is built
/// for until there is a layer.
fn dockerfile(image: &Image) -> Result<String> {
    let labels = format!("LABEL {RUN}={} {DIGEST}={}\n", Name::next(), image.digest);
    let own = image.layers.last().map(|layer| format!("ADD {} /\n", file(layer)));
    let mut steps: Vec<String> = own.into_iter().collect();
    let is_own = image.architecture == Image::architecture_of(std::env::consts::ARCH);
    steps.insert(usize::from(!is_own).min(steps.len()), labels);
    let from = base(image).map_or("scratch".to_owned(), |base| tag(&base));
    let mut text = format!("FROM {from}\n{}", steps.concat());
    if !image.entrypoint.is_empty() {
        text += &format!("ENTRYPOINT {}\n", serde_json::to_string(&image.entrypoint)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use std::fs;

    use sha2::{Digest as _, Sha256};

    use super::*;

    fn image(layers: Vec<Layer>) -> Image {
        Image {
            digest: "0123456789abcdef0123".to_owned(),
            layers,
            entrypoint: vec!["/function".to_owned(), "a \"b\"".to_owned()],
            architecture: "amd64".to_owned(),
        }
    }

    #[test]
    fn a_tag_is_short_and_names_the_project() {
        assert_eq!(tag(&image(Vec::new())), "lumos/function:0123456789abcdef");
    }

    #[test]
    fn the_context_holds_all_that_is_built() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        fs::write(&path, b"layer").unwrap();
        let digest: String =
            Sha256::digest(b"layer").iter().map(|byte| format!("{byte:02x}")).collect();
        let layer = Layer { digest: digest.clone(), path, compressed_bytes: 5 };
        let bytes = context(&image(vec![layer.clone()])).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut files = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        });
        let (name, dockerfile) = files.next().unwrap();
        assert_eq!(name, "Dockerfile");
        assert!(dockerfile.starts_with("FROM scratch\nLABEL lumos.run=lumos-"), "{dockerfile}");
        let rest = format!("ADD {digest}.tar.gz /\nENTRYPOINT [\"/function\",\"a \\\"b\\\"\"]\n");
        assert!(dockerfile.ends_with(&rest), "{dockerfile}");
        assert_eq!(files.next().unwrap(), (format!("{digest}.tar.gz"), "layer".to_owned()));
        let altered = Layer { digest: "0".repeat(64), ..layer };
        let message = context(&image(vec![altered])).unwrap_err().to_string();
        assert!(message.contains("not what was built"), "{message}");
    }

    #[test]
    fn what_is_below_is_an_image_of_its_own() {
        let layer = |digest: &str| Layer {
            digest: digest.to_owned(),
            path: digest.into(),
            compressed_bytes: 5,
        };
        let based = image(vec![layer("below"), layer("above")]);
        let text = dockerfile(&based).unwrap();
        assert!(text.starts_with("FROM lumos/base:below\nLABEL "), "{text}");
        assert!(text.contains("ADD above") && !text.contains("ADD below"), "{text}");
        let text = dockerfile(&base(&based).unwrap()).unwrap();
        assert!(text.starts_with("FROM scratch\n") && text.contains("ADD below"), "{text}");
        assert!(!text.contains("ENTRYPOINT"), "{text}");
        assert!(base(&image(vec![layer("alone")])).is_none());
    }

    #[test]
    fn a_full_disk_has_a_remedy() {
        assert!(explain_build("write: no space left on device").contains("make room"));
        assert!(!explain_build("no such file").contains("make room"));
    }
}
