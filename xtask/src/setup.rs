//! `cargo xtask setup`: installs what building for Wasm and building images takes, and names each
//! thing.

use anyhow::Result;
use lumos_build::{setup, targets};

/// Installs what is missing, from rustup where that works and from Debian's packages where it
/// does not.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Install Docker's engine too, which is Debian's package docker.io
    #[arg(long)]
    with_docker: bool,
    /// Install what building and testing for other architectures takes: x86_64, aarch64 or all
    #[arg(long, value_name = "ARCHITECTURE", default_value = "host")]
    target: String,
}

/// Runs the command.
///
/// # Errors
/// When something is missing that cannot be installed; the message holds the remedy.
pub fn run(arguments: &Arguments) -> Result<()> {
    let architectures = targets::architectures(&arguments.target)?;
    let guests = setup::ensure(&architectures)?;
    // Everything but one base of images, some variants of a build, state in Redis, and the counts
    // of machine code works without.
    for optional in [setup::debootstrap(), setup::wasm_opt(), setup::redis(), setup::valgrind()] {
        if let Err(reason) = optional {
            eprintln!("note: {reason:#}");
        }
    }
    for &arch in architectures.iter().filter(|&&arch| !arch.is_host()) {
        setup::emulator(arch)?;
    }
    if arguments.with_docker {
        setup::docker()?;
    }
    println!("Ready: {}", guests.record);
    Ok(())
}
