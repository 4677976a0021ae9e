//! A sandbox without a harness around it, between whose calls the engine's state can be changed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bollard::models::{ContainerCreateBody, HostConfig};
use libtest_mimic::Trial;
use lumos_bench::conformance::checkout::Checkout;
use lumos_bench::sandbox::{Name, SandboxContext, SocketDirectory, Trouble, WorkerSpec};
use lumos_bench::{Checked, Limits, Sandbox as _};
use lumos_docker::{DIGEST, Docker, Engine, RUN};

use crate::with_engine;
use lumos_bench::conformance::program::Image;

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        with_engine("alone::an_image_is_built_once", an_image_is_built_once),
        with_engine("alone::an_image_that_was_removed", an_image_that_was_removed),
        with_engine("alone::a_tag_on_another_image", a_tag_on_another_image),
        with_engine("alone::images_that_cannot_run", images_that_cannot_run),
        with_engine("alone::a_name_that_is_taken", a_name_that_is_taken),
    ]
}

/// A sandbox and what it runs.
struct Alone {
    engine: Engine,
    docker: Docker,
    worker_spec: WorkerSpec,
    blobs: PathBuf,
    _sockets: SocketDirectory,
    _checkout: Checkout,
}

impl Alone {
    fn new(image: &Image) -> Result<Self> {
        let checkout = Checkout::new()?;
        let blobs = checkout.layout().artifacts().join("images");
        let manifest = image.write(&blobs)?;
        // SAFETY: written just now, by this test.
        let program = unsafe { Checked::assume(manifest) };
        let worker_spec = WorkerSpec { program, engine: None, artifact: None, state: None };
        let sockets = SocketDirectory::create()?;
        let timeout = Duration::from_secs(5);
        let layout = checkout.layout();
        let folder = sockets.path();
        let context = SandboxContext { sockets: folder, timeout, layout: &layout, emulator: None };
        let docker = Docker::new(&context)?;
        let engine = Engine::connect().map_err(anyhow::Error::msg)?;
        Ok(Self { engine, docker, worker_spec, blobs, _sockets: sockets, _checkout: checkout })
    }

    fn honest() -> Result<Self> {
        Self::new(&Image::of_way("honest")?)
    }

    fn prepare(&self) -> Result<()> {
        self.docker.prepare(&self.worker_spec).map_err(|unready| anyhow::anyhow!("{unready:?}"))
    }

    fn answers(&self) -> Result<()> {
        let mut worker = self.docker.launch(&self.worker_spec, &Limits::default())?;
        let mut response = Vec::new();
        let outcome = self.docker.invoke(&mut worker, b"one", &mut response);
        let teardown = self.docker.teardown(worker);
        outcome?;
        ensure!(response == b"one", "{response:?}");
        ensure!(teardown.trouble.is_none(), "{teardown:?}");
        Ok(())
    }

    fn fails(&self, words: &str) -> Result<()> {
        match self.docker.launch(&self.worker_spec, &Limits::default()) {
            Ok(worker) => bail!("it was launched: {}", self.docker.autopsy(worker)),
            Err(error) if error.0.contains(words) => Ok(()),
            Err(error) => bail!("{error}"),
        }
    }

    /// What the engine calls the image.
    fn tag(&self) -> Result<String> {
        let image = lumos_bench::image::Image::read(self.worker_spec.program.path())?;
        Ok(format!("lumos/function:{}", &image.digest[..16]))
    }
}

fn an_image_is_built_once() -> Result<()> {
    let alone = Alone::honest()?;
    alone.fails("was not prepared")?;
    alone.prepare()?;
    let id = |image: Option<bollard::models::ImageInspect>| image.and_then(|image| image.id);
    let first = id(alone.engine.image(&alone.tag()?)?);
    alone.prepare()?;
    ensure!(first.is_some() && first == id(alone.engine.image(&alone.tag()?)?), "built again");
    alone.answers()
}

/// Between two calls of the harness: the case fails with a message, and the next one builds.
fn an_image_that_was_removed() -> Result<()> {
    let alone = Alone::honest()?;
    alone.prepare()?;
    alone.engine.remove_image(&alone.tag()?)?;
    alone.fails("was removed from the container engine")?;
    alone.prepare()?;
    alone.answers()
}

/// A tag proves nothing of what it is on.
fn a_tag_on_another_image() -> Result<()> {
    let alone = Alone::honest()?;
    let mut context = tar::Builder::new(Vec::new());
    let text = format!("FROM scratch\nLABEL {RUN}={} {DIGEST}=another\n", Name::next());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    context.append_data(&mut header, "Dockerfile", text.as_bytes())?;
    let options = bollard::query_parameters::BuildImageOptionsBuilder::new().t(&alone.tag()?);
    alone.engine.build(options.build(), context.into_inner()?)?;
    alone.prepare()?;
    alone.answers()
}

fn images_that_cannot_run() -> Result<()> {
    let refused = |image: &Image, words: &str| -> Result<()> {
        let alone = Alone::new(image)?;
        match alone.docker.prepare(&alone.worker_spec) {
            Err(Trouble::Failure(cause)) if cause.contains(words) => Ok(()),
            other => bail!("{other:?} instead of `{words}`"),
        }
    };
    let honest = || Image::of_way("honest");
    refused(&Image { architecture: "riscv64".to_owned(), ..honest()? }, "riscv64")?;
    refused(&Image { entrypoint: Vec::new(), ..honest()? }, "no entry point")?;
    let absent = Alone::new(&Image { entrypoint: vec!["/absent".to_owned()], ..honest()? })?;
    absent.prepare()?;
    absent.fails("the container did not start")?;
    absent.fails("its program is /absent")?;
    let altered = Alone::honest()?;
    for blob in std::fs::read_dir(&altered.blobs)?.flatten() {
        if blob.metadata()?.len() > 1 << 16 {
            std::fs::write(blob.path(), "altered")?;
        }
    }
    match altered.docker.prepare(&altered.worker_spec) {
        Err(Trouble::Failure(cause)) if cause.contains("is not what was built") => Ok(()),
        other => bail!("{other:?}"),
    }
}

/// A container that an earlier process of the same number left has to go; others stay.
fn a_name_that_is_taken() -> Result<()> {
    let alone = Alone::honest()?;
    alone.prepare()?;
    let image = alone.engine.image(&alone.tag()?)?.and_then(|image| image.id);
    let take = |labels: &[(&str, &str)], way: Option<&str>| -> Result<String> {
        // The name that comes after this one.
        let name = Name::next();
        let (process, count) = name.rsplit_once('-').unwrap_or_default();
        let name = format!("{process}-{}", count.parse::<u32>()? + 1);
        let labels = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let body = ContainerCreateBody {
            image: image.clone(),
            labels: Some(labels.collect()),
            entrypoint: way.map(|way| Image::of_way(way).map(|i| i.entrypoint)).transpose()?,
            cmd: Some(vec!["--connect".to_owned(), "/nowhere".to_owned()]),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        Ok(alone.engine.create(&name, body)?)
    };
    take(&[(RUN, "lumos-4294967295-0")], None)?;
    alone.answers()?;
    let running = take(&[(RUN, "lumos-4294967295-0")], Some("never-connects"))?;
    alone.engine.start(&running)?;
    alone.fails("is called lumos-")?;
    alone.engine.remove_container(&running)?;
    // An image's labels are its containers' as well, unless they have their own.
    let foreign = take(&[(RUN, "")], None)?;
    let outcome = alone.fails("is not a worker");
    alone.engine.remove_container(&foreign)?;
    outcome
}
