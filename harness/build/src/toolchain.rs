//! The compilers of the guests: from rustup where it has the Wasm target, else from Debian.
//!
//! Native and Wasm artifacts always come from one of them together: what differs between them
//! is then the target alone.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use lumos_record::Toolchain;

use crate::process;
use crate::targets::{Arch, Platform};

/// The Wasm target.
pub const WASM: &str = "wasm32-wasip1";

/// The environment variable that chooses a provider: `rustup` or `debian`.
pub const VARIABLE: &str = "LUMOS_GUEST_TOOLCHAIN";

/// Who provides the compilers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// The active toolchain of rustup, with a precompiled standard library per target.
    Rustup,
    /// Debian's rustc, which builds the standard library from its source for every target.
    Debian,
}

impl Provider {
    /// The provider that the environment asks for.
    ///
    /// # Errors
    /// When it asks for one that does not exist.
    pub fn chosen() -> Result<Option<Self>> {
        match std::env::var(VARIABLE).ok().as_deref() {
            None | Some("") => Ok(None),
            Some("rustup") => Ok(Some(Self::Rustup)),
            Some("debian") => Ok(Some(Self::Debian)),
            Some(other) => bail!("{VARIABLE}={other}: known are rustup, debian"),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Rustup => "rustup",
            Self::Debian => "debian",
        }
    }

    fn rustc(self) -> PathBuf {
        match self {
            Self::Rustup => "rustc".into(),
            Self::Debian => "/usr/bin/rustc".into(),
        }
    }

    /// The folder of the compiler's own files.
    pub fn sysroot(self) -> Option<PathBuf> {
        let mut command = Command::new(self.rustc());
        process::try_output(command.args(["--print", "sysroot"])).map(PathBuf::from)
    }

    /// What keeps the provider from building for Wasm and for `architectures`; empty when nothing
    /// does.
    pub fn lacks(self, architectures: &[Arch]) -> Vec<String> {
        let Some(sysroot) = self.sysroot() else {
            return vec![self.rustc().display().to_string()];
        };
        let library = |target: &str| sysroot.join("lib/rustlib").join(target).join("lib");
        let target = library(WASM);
        let needed: Vec<PathBuf> = match self {
            Self::Rustup => {
                let native = architectures.iter().map(|arch| library(&arch.triple()));
                native.chain([target]).collect()
            }
            Self::Debian => {
                let start_files = debian_start_files(&target).map(|(file, _)| file);
                let library = sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml");
                let linker = Path::new("/usr/bin").join(DEBIAN_LINKER);
                start_files.into_iter().chain([library, linker, "/usr/bin/cargo".into()]).collect()
            }
        };
        let absent = needed.into_iter().filter(|path| !path.exists());
        absent.map(|path| path.display().to_string()).collect()
    }
}

const DEBIAN_LINKER: &str = "wasm-ld-19";

/// The packages that the Debian provider is made of.
pub const DEBIAN_PACKAGES: [&str; 5] =
    ["rustc-web", "cargo-web", "rust-web-src", "wasi-libc", "lld-19"];

/// Where rustc looks for the files that a WASI program starts with, and where Debian's
/// `wasi-libc` puts them; `target` is the target's `lib` folder in the sysroot.
pub fn debian_start_files(target: &Path) -> [(PathBuf, PathBuf); 3] {
    let installed = Path::new("/usr/lib/wasm32-wasi");
    ["crt1-command.o", "crt1-reactor.o", "libc.a"]
        .map(|name| (target.join("self-contained").join(name), installed.join(name)))
}

/// A provider that has everything it needs.
#[derive(Debug, Clone)]
pub struct Guests {
    provider: Provider,
    /// What the manifest says of it.
    pub record: Toolchain,
    /// The host's target triple.
    pub host: String,
}

impl Guests {
    /// Finds a provider that builds for Wasm and `architectures`: the chosen one, else rustup, else
    /// Debian.
    ///
    /// # Errors
    /// When the environment asks for a provider that does not exist.
    pub fn find(architectures: &[Arch]) -> Result<Option<Self>> {
        let candidates = match Provider::chosen()? {
            Some(provider) => vec![provider],
            None => vec![Provider::Rustup, Provider::Debian],
        };
        let complete =
            candidates.into_iter().find(|provider| provider.lacks(architectures).is_empty());
        complete.map(Self::describe).transpose()
    }

    fn describe(provider: Provider) -> Result<Self> {
        let version = process::output(Command::new(provider.rustc()).arg("-vV"))?;
        let field = |name: &str| {
            let value = version.lines().find_map(|line| line.strip_prefix(name));
            value.unwrap_or_default().trim().to_owned()
        };
        let record = Toolchain {
            provider: provider.name().to_owned(),
            rustc: version.lines().next().unwrap_or_default().to_owned(),
            llvm: field("LLVM version:"),
        };
        Ok(Self { provider, record, host: field("host:") })
    }

    /// `cargo <verb>` for Wasm, with the compiler's `flags`.
    pub fn cargo_for_wasm(&self, verb: &str, flags: &[String]) -> Command {
        let mut command = self.cargo(verb, WASM, flags, "std,panic_abort");
        if self.provider == Provider::Debian {
            command.env("CARGO_TARGET_WASM32_WASIP1_LINKER", DEBIAN_LINKER);
        }
        command
    }

    /// `cargo <verb>` for a platform, with the compiler's `flags`.
    pub fn cargo_for(&self, verb: &str, platform: Platform, flags: &[String]) -> Command {
        let target = platform.arch.triple();
        let mut command = self.cargo(verb, &target, flags, "std,panic_abort,panic_unwind");
        platform.set_linker(&mut command);
        command
    }

    /// `cargo <verb>` for `target`; where its standard library has to be built, of these crates.
    fn cargo(&self, verb: &str, target: &str, flags: &[String], library: &str) -> Command {
        let mut command = match self.provider {
            Provider::Rustup => process::cargo(),
            Provider::Debian => Command::new("/usr/bin/cargo"),
        };
        // Whatever the surrounding cargo set for itself must not leak into this build.
        command.env_remove("RUSTFLAGS").env_remove("RUSTC");
        command.args([verb, "--release", "--locked", "--target", target]);
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        if self.provider == Provider::Debian {
            command.env("RUSTC", self.provider.rustc());
            command.env("RUSTC_BOOTSTRAP", "1");
            command.args(["-Z", &format!("build-std={library}")]);
        }
        command
    }

    /// What makes a reactor of a library: the start file that exports `_initialize`. Without
    /// it the linker gives every export a prologue and an epilogue, at the cost of each call.
    ///
    /// # Errors
    /// When the compiler does not say where its files are.
    pub fn reactor_arguments(&self) -> Result<Vec<OsString>> {
        let sysroot = self.provider.sysroot().context("rustc does not tell its sysroot")?;
        let start_file =
            sysroot.join("lib/rustlib").join(WASM).join("lib/self-contained/crt1-reactor.o");
        let mut argument = OsString::from("-Clink-arg=");
        argument.push(start_file);
        Ok(vec![argument, "-Clink-arg=--export=_initialize".into()])
    }
}
