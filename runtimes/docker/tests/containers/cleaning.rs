//! What removes everything of the project from the engine.

use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use lumos_bench::conformance::alone;
use lumos_bench::conformance::checkout::wait_until;
use lumos_docker::{Engine, Kept};
use lumos_record::Suite;

use crate::{checkout, run, selection, with_engine};

/// The tests.
pub fn trials() -> Vec<Trial> {
    vec![
        alone("cleaning::without_an_engine", without_an_engine),
        // Alone, since it takes the images of the other tests with it; those that come after it
        // build them again.
        with_engine("cleaning::everything_goes", everything_goes),
    ]
}

fn clean(variables: &[(&str, &str)]) -> Result<(Output, String)> {
    let program = env!("CARGO_BIN_EXE_lumos-docker-clean");
    let output = Command::new(program).envs(variables.iter().copied()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{output:?}");
    Ok((output, text))
}

fn without_an_engine() -> Result<()> {
    let (output, text) = clean(&[("DOCKER_HOST", "unix:///no/such/socket")])?;
    ensure!(text.contains("no containers and images are removed: DOCKER_HOST is"), "{text}");
    ensure!(text.lines().count() == 1 && output.stderr.is_empty(), "{output:?}");
    Ok(())
}

/// Also the container of a run that goes on.
fn everything_goes() -> Result<()> {
    let checkout = checkout(&["never-connects"])?;
    checkout.save_manifest()?;
    let engine = Engine::connect().map_err(anyhow::Error::msg)?;
    let child = checkout.start(&selection(&[Suite::ColdStart]), &[])?;
    // While the engine builds the image, it has a container of its own making.
    let worker = || -> Result<Option<Kept>> {
        Ok(engine.containers()?.into_iter().find(|container| container.name == container.run))
    };
    wait_until("there is a worker", || Ok(worker()?.is_some()))?;
    let container = worker()?.context("it has gone")?;
    let (_, text) = clean(&[])?;
    checkout.wait(child)?;
    ensure!(text.contains(&format!("removed the container {}\n", container.name)), "{text}");
    ensure!(text.contains("removed the image lumos/function:"), "{text}");
    ensure!(engine.containers()?.is_empty() && engine.images()?.is_empty(), "something is left");
    let (_, text) = clean(&[])?;
    ensure!(text == "the container engine holds nothing of Lumos\n", "{text}");
    // The next run builds what it needs.
    run(&checkout, &selection(&[Suite::ColdStart]))?;
    checkout.nothing_is_left()
}
