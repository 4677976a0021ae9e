//! The architectures that artifacts are built for, and how much of a processor code may use.

use std::fmt;
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::process;

/// An architecture that functions, workers and images are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The name that targets begin with.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The architecture of this program.
    ///
    /// # Errors
    /// When artifacts are built for no such architecture.
    pub fn host() -> Result<Self> {
        std::env::consts::ARCH.parse().map_err(anyhow::Error::msg)
    }

    /// Whether it is that of this program.
    pub fn is_host(self) -> bool {
        self.name() == std::env::consts::ARCH
    }

    /// The Rust target of its programs.
    pub fn triple(self) -> String {
        format!("{}-unknown-linux-gnu", self.name())
    }

    /// What Debian calls it, and container engines too.
    pub const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The C compiler that links its programs on another architecture.
    pub fn cross_compiler(self) -> String {
        format!("{}-linux-gnu-gcc", self.name())
    }

    /// The packages of Debian that bring the compiler and the C library for it.
    pub fn cross_packages(self) -> [String; 2] {
        let compiler = format!("gcc-{}-linux-gnu", self.name().replace('_', "-"));
        [compiler, format!("libc6-dev-{}-cross", self.debian())]
    }

    /// The program that runs its programs on another architecture, linked statically so that it
    /// needs no file of the system that it runs.
    pub fn emulator(self) -> String {
        format!("qemu-{}-static", self.name())
    }

    /// What a cross build for it is compiled for where nothing else is asked for: what every
    /// server of the last ten years offers.
    fn cross_isa(self) -> CpuLevel {
        CpuLevel::Named(match self {
            Self::X86_64 => &ISAS[0],
            Self::Aarch64 => &ISAS[2],
        })
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|arch| arch.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name);
            format!("unknown architecture `{name}`: known are {}", known.join(", "))
        })
    }
}

/// A level of a processor's architecture that code may rely on.
#[derive(Debug, PartialEq, Eq)]
pub struct Level {
    /// Its name.
    pub name: &'static str,
    /// The architecture.
    arch: Arch,
    /// What rustc's `target-cpu` calls it.
    target_cpu: &'static str,
    /// The features beyond those of every processor of the architecture, by rustc's names.
    features: &'static [&'static str],
}

/// The levels that can be named. Those of x86-64 are defined in its System V ABI; `lahf` and
/// `xsave` of theirs are for no compiler here to use.
static ISAS: [Level; 3] = [
    Level {
        name: "x86-64-v2",
        arch: Arch::X86_64,
        target_cpu: "x86-64-v2",
        features: &["sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cmpxchg16b"],
    },
    Level {
        name: "x86-64-v3",
        arch: Arch::X86_64,
        target_cpu: "x86-64-v3",
        features: &[
            "sse3",
            "ssse3",
            "sse4.1",
            "sse4.2",
            "popcnt",
            "cmpxchg16b",
            "avx",
            "avx2",
            "fma",
            "bmi1",
            "bmi2",
            "lzcnt",
            "f16c",
            "movbe",
        ],
    },
    Level { name: "armv8-a", arch: Arch::Aarch64, target_cpu: "generic", features: &[] },
];

/// What code may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuLevel {
    /// All that the processor which builds has to offer.
    Native,
    /// A level that is named.
    Named(&'static Level),
}

impl CpuLevel {
    fn arch(self) -> Option<Arch> {
        match self {
            Self::Native => None,
            Self::Named(level) => Some(level.arch),
        }
    }
}

impl fmt::Display for CpuLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Named(level) => level.name,
        })
    }
}

impl FromStr for CpuLevel {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if name == "native" {
            return Ok(Self::Native);
        }
        ISAS.iter().find(|level| level.name == name).map(Self::Named).ok_or_else(|| {
            let known: Vec<&str> = ISAS.iter().map(|level| level.name).collect();
            format!("unknown instruction set `{name}`: known are native, {}", known.join(", "))
        })
    }
}

/// What programs and machine code are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// The architecture.
    pub arch: Arch,
    /// What was asked for; none leaves compilers to their defaults, on the host alone: guests get
    /// what every processor of the architecture has, as whoever ships them must, and engines use
    /// what the host's processor offers, as they do when they compile on it.
    isa: Option<CpuLevel>,
}

impl Platform {
    /// Builds for the host, as a plain build does.
    ///
    /// # Errors
    /// As [`Arch::host`].
    pub fn host() -> Result<Self> {
        Ok(Self { arch: Arch::host()?, isa: None })
    }

    /// The platforms of `architectures`, at the levels of `isas` where one is for them.
    ///
    /// # Errors
    /// When a level is for none of them, or `native` for none that this host is of.
    pub fn all(architectures: &[Arch], isas: &[CpuLevel]) -> Result<Vec<Self>> {
        let host = Arch::host()?;
        for isa in isas {
            let arch = isa.arch().unwrap_or(host);
            if !architectures.contains(&arch) {
                bail!("--isa {isa} is for {arch}, which is not built: add `--target {arch}`");
            }
            let same = isas.iter().filter(|other| other.arch().unwrap_or(host) == arch);
            if same.count() > 1 {
                bail!("--isa {isa}: {arch} is built once, so name one instruction set for it");
            }
        }
        let platforms = architectures.iter().map(|&arch| {
            let mut asked = isas.iter().copied();
            let asked = asked.find(|isa| isa.arch().unwrap_or(host) == arch);
            let isa = if arch == host { asked } else { Some(asked.unwrap_or(arch.cross_isa())) };
            Self { arch, isa }
        });
        Ok(platforms.collect())
    }

    /// Whether its programs run here without an emulator.
    pub fn is_host(self) -> bool {
        self.arch.is_host()
    }

    /// rustc's flags for guests.
    pub fn guest_flags(self) -> Vec<String> {
        match self.isa {
            None => Vec::new(),
            Some(CpuLevel::Native) => vec!["-Ctarget-cpu=native".to_owned()],
            Some(CpuLevel::Named(level)) => vec![format!("-Ctarget-cpu={}", level.target_cpu)],
        }
    }

    /// What engines compile for, in the words of a worker's `precompile`.
    pub fn engine_target(self) -> String {
        match self.isa {
            None | Some(CpuLevel::Native) => "host".to_owned(),
            Some(CpuLevel::Named(level)) => {
                let features = level.features.iter().map(|feature| format!("+{feature}"));
                [self.arch.triple()].into_iter().chain(features).collect()
            }
        }
    }

    /// How the manifest calls what engines compile for.
    pub fn engine_flag(self) -> String {
        format!("isa={}", self.isa.unwrap_or(CpuLevel::Native))
    }

    /// What tells the processor from another, where code may use all that it offers: such code is
    /// stale on another processor. `engine` asks for what engines compile, and not for guests.
    ///
    /// # Errors
    /// When rustc does not tell.
    pub fn processor(self, engine: bool) -> Result<String> {
        match self.isa {
            Some(CpuLevel::Native) => {}
            None if engine => {}
            _ => return Ok(String::new()),
        }
        process::output(process::rustc().args(["--print", "cfg", "-Ctarget-cpu=native"]))
    }

    /// The features that its code may use beyond those of every processor of its architecture,
    /// where that is for a processor that is named.
    pub fn features(self) -> &'static [&'static str] {
        match self.isa {
            Some(CpuLevel::Named(level)) => level.features,
            _ => &[],
        }
    }

    /// What is added to the name of an artifact that is missing: nothing for the host.
    pub fn suffix(self) -> String {
        if self.is_host() { String::new() } else { format!(" for {}", self.arch) }
    }

    /// Tells cargo and C compilers how to build for it, where that is not the host.
    pub fn set_linker(self, command: &mut Command) {
        if self.is_host() {
            return;
        }
        let triple = self.arch.triple();
        let upper = triple.to_uppercase().replace('-', "_");
        let compiler = self.arch.cross_compiler();
        command.env(format!("CARGO_TARGET_{upper}_LINKER"), &compiler);
        command.env(format!("CC_{}", triple.replace('-', "_")), compiler);
    }
}

/// The architectures of an argument `--target`: `host`, one by its name, or `all`.
///
/// # Errors
/// When the name is none of these, or this host is of none of them.
pub fn architectures(name: &str) -> Result<Vec<Arch>> {
    match name {
        "host" => Ok(vec![Arch::host()?]),
        "all" => Ok(Arch::ALL.to_vec()),
        _ => {
            let arch = name.parse::<Arch>().map_err(|error| {
                anyhow::anyhow!("{error}, beside `host` for this one and `all`")
            })?;
            Ok(vec![arch])
        }
    }
}

/// The emulator of an architecture on this node.
///
/// # Errors
/// When it is not installed, with the remedy.
pub fn emulator(arch: Arch) -> Result<std::path::PathBuf> {
    process::find(arch.emulator()).with_context(|| {
        format!("there is no {}: `cargo xtask setup --target {arch}` installs it", arch.emulator())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_left_to_the_compilers_and_others_have_a_level() {
        let host = Platform::host().unwrap();
        assert!(host.guest_flags().is_empty());
        assert_eq!((host.engine_target().as_str(), host.suffix().as_str()), ("host", ""));
        assert_eq!(host.engine_flag(), "isa=native");
        for platform in Platform::all(&Arch::ALL, &[]).unwrap() {
            assert_eq!(platform.is_host(), platform.guest_flags().is_empty());
            assert_eq!(platform.engine_target() == "host", platform.is_host());
        }
    }

    #[test]
    fn a_level_goes_to_guests_and_engines_alike() {
        let platform = |name: &str| {
            let isa: CpuLevel = name.parse().unwrap();
            let arch = isa.arch().unwrap();
            Platform::all(&[arch], &[isa]).unwrap()[0]
        };
        let v2 = platform("x86-64-v2");
        assert_eq!(v2.guest_flags(), ["-Ctarget-cpu=x86-64-v2"]);
        let target = v2.engine_target();
        assert!(target.starts_with("x86_64-unknown-linux-gnu+sse3+"), "{target}");
        assert_eq!(platform("armv8-a").engine_target(), "aarch64-unknown-linux-gnu");
    }

    #[test]
    fn names_that_do_not_exist_or_do_not_fit_are_told() {
        assert!(architectures("mips").unwrap_err().to_string().contains("x86_64, aarch64"));
        assert!("x86-64-v9".parse::<CpuLevel>().unwrap_err().contains("x86-64-v3, armv8-a"));
        let error = Platform::all(&[Arch::Aarch64], &["x86-64-v3".parse().unwrap()]);
        assert!(error.unwrap_err().to_string().contains("--target x86_64"));
    }

    #[test]
    fn every_level_is_what_rustc_calls_so() {
        // `avx` and the rest are in the table because rustc's own level has them.
        for level in &ISAS {
            let mut command = process::rustc();
            let target = level.arch.triple();
            command.args(["--print", "cfg", "--target", &target]);
            command.arg(format!("-Ctarget-cpu={}", level.target_cpu));
            let cfg = process::output(&mut command).unwrap();
            for feature in level.features {
                assert!(cfg.contains(&format!("target_feature=\"{feature}\"")), "{feature}: {cfg}");
            }
        }
    }
}
