//! The container engine, over its API: every call waits for its answer, and none for ever.

use std::collections::HashMap;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerState, ImageInspect, SystemInfo};
use bollard::query_parameters::{
    BuildImageOptions, CreateContainerOptionsBuilder, ListContainersOptionsBuilder,
    ListImagesOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder,
};
use futures_util::StreamExt as _;
use lumos_bench::sandbox::Name;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::place::{EngineError, GREETING, Place, find};

/// The label of every container and image of the project; its value is a [`Name`].
pub const RUN: &str = "lumos.run";

/// The label of an image: the digest of the manifest that it was built from.
pub const DIGEST: &str = "lumos.digest";

/// What the engine calls what images are built upon, but for their digests.
pub const BASE: &str = "lumos/base";

/// How long a busy engine may take for one call.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to build an image.
const BUILD: Duration = Duration::from_secs(300);

/// How long looking for leftovers may take, which every run does before its first case.
const GLANCE: Duration = Duration::from_millis(1500);

/// How much of a worker's complaints a message repeats.
const COMPLAINT_BYTES: usize = 2000;

/// A container engine that has answered once.
#[derive(Debug)]
pub struct Engine {
    runtime: Runtime,
    docker: Docker,
    place: Place,
}

/// What a container came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Its status: of a signal, 128 more than the signal's number.
    pub status: i64,
    /// Whether the kernel ended it for its memory.
    pub is_out_of_memory: bool,
}

/// Something of the project's in the engine's keeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What the engine calls it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Who made it: the value of the label [`RUN`].
    pub run: String,
}

impl Engine {
    /// Connects to the engine that `DOCKER_HOST` names, or else to this node's own: Docker, or
    /// Podman where Docker does not answer.
    ///
    /// # Errors
    /// A sentence that says what is in the way, and how to remove it.
    pub fn connect() -> Result<Self, String> {
        let runtime = new_runtime().map_err(|error| error.to_string())?;
        let (docker, place) = runtime.block_on(find())?;
        Ok(Self { runtime, docker, place })
    }

    /// The same engine for another thread.
    ///
    /// # Errors
    /// When this process has no descriptors left.
    pub fn for_another_thread(&self) -> io::Result<Self> {
        let (docker, place) = (self.docker.clone(), self.place.clone());
        Ok(Self { runtime: new_runtime()?, docker, place })
    }

    fn call<T>(
        &self,
        patience: Duration,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, EngineError> {
        // The limit needs the runtime's clock, and so is set inside.
        self.runtime.block_on(async {
            match timeout(patience, answer).await {
                Ok(answer) => answer.map_err(|error| self.place.explain(&error)),
                Err(_) => Err(self.place.silence(patience)),
            }
        })
    }

    /// What the engine says of itself.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn info(&self) -> Result<SystemInfo, EngineError> {
        self.call(PATIENCE, self.docker.info())
    }

    /// Looks at an image; none if there is none of that name.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn image(&self, name: &str) -> Result<Option<ImageInspect>, EngineError> {
        match self.call(PATIENCE, self.docker.inspect_image(name)) {
            Ok(image) => Ok(Some(image)),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Builds an image from a tar file with a Dockerfile.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn build(&self, options: BuildImageOptions, context: Vec<u8>) -> Result<(), EngineError> {
        let context = bollard::body_full(context.into());
        let steps = self.docker.build_image(options, None, Some(context));
        self.call(BUILD, async {
            let mut steps = Box::pin(steps);
            while let Some(step) = steps.next().await {
                step?;
            }
            Ok(())
        })
    }

    /// Makes a container, and returns its id.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, EngineError> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made = self.call(PATIENCE, self.docker.create_container(Some(options), body))?;
        Ok(made.id)
    }

    /// Starts a container's program.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn start(&self, id: &str) -> Result<(), EngineError> {
        self.call(PATIENCE, self.docker.start_container(id, None))
    }

    /// The state of a container, and the labels that it carries.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn container(
        &self,
        id: &str,
    ) -> Result<(ContainerState, HashMap<String, String>), EngineError> {
        let found = self.call(PATIENCE, self.docker.inspect_container(id, None))?;
        let labels = found.config.and_then(|config| config.labels);
        Ok((found.state.unwrap_or_default(), labels.unwrap_or_default()))
    }

    /// Waits until a container does not run; returns whether that came to pass in time.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn wait(&self, id: &str, patience: Duration) -> Result<bool, EngineError> {
        // The condition by default is `not-running`. To wait for the next end, as another does,
        // would be to wait for ever where the end was before.
        let mut ends = Box::pin(self.docker.wait_container(id, None));
        self.runtime.block_on(async {
            match timeout(patience, ends.next()).await {
                // A status that is not zero is an error to the library.
                Ok(Some(Ok(_) | Err(Error::DockerContainerWaitError { .. }))) => Ok(true),
                Ok(Some(Err(error))) => Err(self.place.explain(&error)),
                Ok(None) => {
                    Err(self.place.explain(&io::Error::from(ErrorKind::UnexpectedEof).into()))
                }
                Err(_) => Ok(false),
            }
        })
    }

    /// How a container ended, which is ended by force after `patience`.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn end(&self, id: &str, patience: Duration) -> Result<End, EngineError> {
        if !self.wait(id, patience)? {
            match self.call(PATIENCE, self.docker.kill_container(id, None)) {
                // It may have ended just now.
                Ok(()) | Err(EngineError::Refused(..)) => {}
                Err(error) => return Err(error),
            }
            if !self.wait(id, PATIENCE)? {
                return Err(self.place.silence(PATIENCE));
            }
        }
        let (state, _) = self.container(id)?;
        Ok(End {
            status: state.exit_code.unwrap_or_default(),
            is_out_of_memory: state.oom_killed.unwrap_or_default(),
        })
    }

    /// What a container's program wrote to standard error, in one line.
    pub fn complaints(&self, id: &str) -> String {
        let options = LogsOptionsBuilder::new().stderr(true).build();
        let mut lines = Box::pin(self.docker.logs(id, Some(options)));
        let mut text = Vec::new();
        // A complaint that cannot be read is no reason to fail once more.
        let _ = self.call(GREETING, async {
            while text.len() < COMPLAINT_BYTES
                && let Some(line) = lines.next().await
            {
                text.extend_from_slice(&line?.into_bytes());
            }
            Ok(())
        });
        text.truncate(COMPLAINT_BYTES);
        String::from_utf8_lossy(&text).trim().replace('\n', "; ")
    }

    /// Removes a container, also one that runs.
    ///
    /// # Errors
    /// See [`EngineError`]; that it is gone already is none.
    pub fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        absence_is_fine(self.call(PATIENCE, remove_container(&self.docker, id)))
    }

    /// Removes an image with all of its names.
    ///
    /// # Errors
    /// See [`EngineError`]; that it is gone already is none.
    pub fn remove_image(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        let removal = self.docker.remove_image(id, Some(options), None);
        absence_is_fine(self.call(PATIENCE, removal).map(drop))
    }

    /// All containers of the project, whoever made them.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn containers(&self) -> Result<Vec<Kept>, EngineError> {
        self.call(PATIENCE, list_containers(&self.docker))
    }

    /// All images of the project, whoever made them: what others are built upon comes last, since
    /// it cannot be removed before them.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn images(&self) -> Result<Vec<Kept>, EngineError> {
        let options = ListImagesOptionsBuilder::new().filters(&labelled()).build();
        let images = self.call(PATIENCE, self.docker.list_images(Some(options)))?;
        let kept = images.into_iter().map(|mut image| Kept {
            name: image.repo_tags.first().unwrap_or(&image.id).clone(),
            run: image.labels.remove(RUN).unwrap_or_default(),
            id: image.id,
        });
        let mut kept: Vec<Kept> = kept.collect();
        kept.sort_by_key(|image| image.name.contains(BASE));
        Ok(kept)
    }
}

/// Removes the containers of processes that are no more, and returns their names. Does nothing
/// where no engine answers.
pub fn remove_leftovers() -> Vec<String> {
    let mut removed = Vec::new();
    let Ok(runtime) = new_runtime() else { return removed };
    // What takes too long is met again by the next run.
    let _ = runtime.block_on(async {
        timeout(GLANCE, async {
            let Ok((docker, _)) = find().await else { return };
            for kept in list_containers(&docker).await.unwrap_or_default() {
                if Name::is_leftover(&kept.run) && remove_container(&docker, &kept.id).await.is_ok()
                {
                    removed.push(kept.name);
                }
            }
        })
        .await
    });
    removed
}

fn new_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn labelled() -> HashMap<&'static str, Vec<&'static str>> {
    HashMap::from([("label", vec![RUN])])
}

async fn list_containers(docker: &Docker) -> Result<Vec<Kept>, Error> {
    let options = ListContainersOptionsBuilder::new().all(true).filters(&labelled()).build();
    let containers = docker.list_containers(Some(options)).await?;
    Ok(containers
        .into_iter()
        .map(|container| {
            let id = container.id.unwrap_or_default();
            let name = container.names.into_iter().flatten().next();
            Kept {
                name: name.map_or_else(|| id.clone(), |name| name.trim_matches('/').to_owned()),
                run: container.labels.and_then(|mut labels| labels.remove(RUN)).unwrap_or_default(),
                id,
            }
        })
        .collect())
}

async fn remove_container(docker: &Docker, id: &str) -> Result<(), Error> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    docker.remove_container(id, Some(options)).await
}

fn absence_is_fine(removal: Result<(), EngineError>) -> Result<(), EngineError> {
    match removal {
        // A removal that somebody else has begun is as good as one's own.
        Err(error) if error.is_absence() || error.is_conflict() => Ok(()),
        other => other,
    }
}
