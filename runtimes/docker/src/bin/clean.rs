//! Removes every container and image of the project from the container engine, whoever made it.

use std::process::ExitCode;

use lumos_docker::{Engine, EngineError};

fn main() -> ExitCode {
    let engine = match Engine::connect() {
        Ok(engine) => engine,
        // What does not run holds nothing that could be removed.
        Err(reason) => {
            println!("no containers and images are removed: {reason}");
            return ExitCode::SUCCESS;
        }
    };
    match clean(&engine) {
        Ok(0) => println!("the container engine holds nothing of Lumos"),
        Ok(_) => {}
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Removes containers before the images that they are made of; returns how many of both.
fn clean(engine: &Engine) -> Result<usize, EngineError> {
    let containers = engine.containers()?;
    for container in &containers {
        engine.remove_container(&container.id)?;
        println!("removed the container {}", container.name);
    }
    let images = engine.images()?;
    for image in &images {
        engine.remove_image(&image.id)?;
        println!("removed the image {}", image.name);
    }
    Ok(containers.len() + images.len())
}
