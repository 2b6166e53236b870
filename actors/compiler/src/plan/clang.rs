//! Clang, as the Zig project packs it: one program that is a compiler, a linker, and what makes the functions that compilers
//! call (`compiler_rt`). It needs no GCC beside it, and has the C libraries' archives by their places.

use std::path::{Path, PathBuf};

use farmhand_messages::installer::Installed;
use farmhand_records::v1::CLibrary;

use super::bare::BareBoard;
use super::{Action, Kind, Layout};
use crate::BuildError;
use crate::cache::ObjectStore;

/// Where the program lies in the package, whoever packed it.
const PLACES: &[&str] = &["ziglang/zig", "zig", "bin/zig"];
/// What compilers call.
const RUNTIME: &str = "compiler_rt.a";
/// What is not called is not linked. Who knows what `memcpy` does would make it call itself.
const RUNTIME_FLAGS: &[&str] =
    &["-fstrip", "-ffunction-sections", "-fdata-sections", "-fno-unwind-tables", "-fno-builtin"];
/// In a project's flags: floating point in registers.
const HARD: &str = "-mfloat-abi=hard";

/// The program.
#[derive(Debug, Clone)]
pub(crate) struct Clang {
    pub(crate) program: PathBuf,
    /// Its own headers, and the sources of its library.
    lib: PathBuf,
}

/// What it calls a board's processor.
#[derive(Debug)]
struct Target {
    board: &'static str,
    /// As a compiler.
    clang: &'static str,
    /// As a builder of its library: target and processor; with floating point in registers, `hf` behind the target.
    zig: (&'static str, &'static str),
    /// The folder of libraries' archives that are for it, as GCC's multilibs are called; and where the flag stands before it, with
    /// floating point in registers.
    archives: &'static [(&'static str, &'static str)],
}

const SOFT_V7EM: (&str, &str) = ("", "thumb/v7e-m/nofp");
const TARGETS: &[Target] = &[
    Target {
        board: "qemu:mps2-an385",
        clang: "arm-none-eabi",
        zig: ("thumb-freestanding-eabi", "cortex_m3"),
        archives: &[("", "thumb/v7-m/nofp")],
    },
    Target {
        board: "qemu:netduinoplus2",
        clang: "arm-none-eabi",
        zig: ("thumb-freestanding-eabi", "cortex_m4"),
        archives: &[("-mfpu=fpv4-sp-d16", "thumb/v7e-m+fp/hard"), SOFT_V7EM],
    },
    Target {
        board: "qemu:mps2-an500",
        clang: "arm-none-eabi",
        zig: ("thumb-freestanding-eabi", "cortex_m7"),
        archives: &[
            ("-mfpu=fpv5-sp-d16", "thumb/v7e-m+fp/hard"),
            ("-mfpu=fpv5-d16", "thumb/v7e-m+dp/hard"),
            SOFT_V7EM,
        ],
    },
    Target {
        board: "qemu:riscv32-virt",
        clang: "riscv32-unknown-elf",
        zig: ("riscv32-freestanding", "generic_rv32+m+a+c"),
        archives: &[("", "rv32imac/ilp32")],
    },
    Target {
        board: "qemu:riscv64-virt",
        clang: "riscv64-unknown-elf",
        zig: ("riscv64-freestanding", "generic_rv64+m+a+c"),
        archives: &[("", "rv64imac/lp64")],
    },
];

impl Target {
    fn of(board: &BareBoard) -> Result<&'static Self, BuildError> {
        TARGETS.iter().find(|target| target.board == board.name).ok_or_else(|| no_clang(board.name))
    }
}

/// What is told of a board that clang makes no code for.
pub(crate) fn no_clang(board: &str) -> BuildError {
    BuildError::Missing {
        what: format!("clang for {board}"),
        help: "leave out `toolchain = \"clang\"`: farmhand's GCC makes code for it".into(),
    }
}

/// A C library, by its archives.
#[derive(Debug, Clone)]
pub(crate) struct Archives {
    include: PathBuf,
    /// Below it are folders for each kind of processor.
    folder: PathBuf,
    names: &'static [&'static str],
}

impl Archives {
    /// Where a package of Debian's has it, for a compiler whose programs' names begin so.
    pub(crate) fn of(library: CLibrary, prefix: &Path, programs: &str) -> Self {
        let target = programs.trim_end_matches('-');
        match library {
            CLibrary::Picolibc => Self {
                include: prefix.join("usr/lib/picolibc").join(target).join("include"),
                folder: prefix.join("usr/lib/picolibc").join(target).join("lib"),
                names: &["libc.a"],
            },
            CLibrary::Newlib => Self {
                include: prefix.join("usr/include/newlib"),
                folder: prefix.join("usr/lib").join(target).join("newlib"),
                names: &["libm.a", "libc.a", "libnosys.a"],
            },
        }
    }
}

impl Clang {
    /// The program in its package.
    pub(crate) fn of(package: &Installed) -> Result<Self, BuildError> {
        let program = PLACES.iter().map(|place| package.prefix.join(place)).find(|path| path.is_file());
        let program = program.ok_or_else(|| BuildError::NotOffered {
            package: package.name.clone(),
            offer: "clang".into(),
            what: PLACES.join(" or "),
        })?;
        let lib = program.parent().unwrap_or(&package.prefix).join("lib");
        Ok(Self { program, lib })
    }

    /// Where it keeps what it makes of its own sources for this machine.
    pub(crate) fn cache(package: &Installed, objects: &ObjectStore) -> PathBuf {
        objects.place("zig", &package.hash)
    }

    /// What a compile for a board begins with.
    pub(crate) fn compile(
        &self,
        board: &BareBoard,
        library: Option<&Archives>,
    ) -> Result<Vec<String>, BuildError> {
        let target = Target::of(board)?;
        let mut args = vec!["clang".to_owned(), format!("--target={}", target.clang)];
        args.extend(["-resource-dir".into(), self.lib.display().to_string()]);
        if let Some(library) = library {
            args.extend(["-isystem".into(), library.include.display().to_string()]);
            // There is one thread: what is its own lies at a place that the linker knows.
            args.push("-ftls-model=local-exec".into());
        }
        Ok(args)
    }

    /// Makes the functions that compilers call: division, floating point without a unit for it.
    pub(crate) fn runtime(
        &self,
        board: &BareBoard,
        layout: &Layout,
        flags: &[String],
    ) -> Result<Action, BuildError> {
        let (target, cpu) = Target::of(board)?.zig;
        let hard = if flags.iter().any(|flag| flag == HARD) { "hf" } else { "" };
        let source = self.lib.join("compiler_rt.zig");
        let output = layout.build.join("obj").join(RUNTIME);
        let cache = layout.shown(&layout.build.join("zig"));
        let mut args: Vec<String> =
            ["build-lib", "-O", "ReleaseSmall", "--name", "compiler_rt"].map(str::to_owned).to_vec();
        args.extend(RUNTIME_FLAGS.iter().map(|&flag| flag.to_owned()));
        args.extend(["-target".into(), format!("{target}{hard}"), format!("-mcpu={cpu}")]);
        if target.starts_with("riscv") {
            args.push("-mcmodel=medany".into());
        }
        args.extend(["--cache-dir".into(), cache.clone(), "--global-cache-dir".into(), cache]);
        args.push(source.display().to_string());
        args.push(format!("-femit-bin={}", layout.shown(&output)));
        Ok(Action {
            kind: Kind::Archive,
            what: RUNTIME.into(),
            program: self.program.clone(),
            args,
            sources: vec![source],
            from: Vec::new(),
            output,
            depfile: None,
            sees_project: false,
            // Ten seconds: as long as anything, once.
            cost: 100_000,
        })
    }

    /// The linker's arguments. `flags` are as a compiler driver takes them.
    pub(crate) fn link(
        &self,
        board: &BareBoard,
        library: Option<&Archives>,
        objects: &[String],
        flags: &[String],
    ) -> Result<Vec<String>, BuildError> {
        let mut args: Vec<String> = ["ld.lld", "-static", "--gc-sections"].map(str::to_owned).to_vec();
        args.extend(linker_flags(flags));
        args.extend(objects.iter().cloned());
        if let Some(library) = library {
            let folder = library.folder.join(archives(Target::of(board)?, flags)?);
            args.push(format!("-L{}", folder.display()));
            // They call each other, and what compilers call; what both have is the C library's.
            let runtime = args.iter().rposition(|arg| arg.ends_with(RUNTIME)).map(|at| args.remove(at));
            args.push("--start-group".into());
            args.extend(library.names.iter().map(|name| folder.join(name).display().to_string()));
            args.extend(runtime);
            args.push("--end-group".into());
        }
        Ok(args)
    }
}

/// The folder of archives for these flags.
fn archives(target: &Target, flags: &[String]) -> Result<&'static str, BuildError> {
    let hard = flags.iter().any(|flag| flag == HARD);
    let fits = |fpu: &str| if fpu.is_empty() { !hard } else { hard && flags.iter().any(|flag| flag == fpu) };
    let found = target.archives.iter().find(|(fpu, _)| fits(fpu)).map(|(_, folder)| *folder);
    found.ok_or_else(|| BuildError::Missing {
        what: format!("a C library for {} with this floating point unit", target.board),
        help: "say `-mfpu=` at the link too, or leave out `-mfloat-abi=hard`".into(),
    })
}

/// What of a driver's flags is for the linker, in its own words.
fn linker_flags(flags: &[String]) -> Vec<String> {
    let not_its = ["-m", "-f", "-O", "-g", "-no", "-W", "-std=", "--specs="];
    let mut args = Vec::new();
    for flag in flags {
        match flag.strip_prefix("-Wl,") {
            Some(words) => args.extend(words.split(',').map(str::to_owned)),
            None if not_its.iter().any(|way| flag.starts_with(way)) => {}
            None => args.push(flag.clone()),
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_linker_is_told_what_is_its_own() {
        let flags =
            words("-Ta.ld -Wl,-Map,a.map -mfloat-abi=hard -mfpu=fpv4-sp-d16 -nostdlib -Os -lm -Lx -u reset");
        assert_eq!(linker_flags(&flags), words("-Ta.ld -Map a.map -lm -Lx -u reset"));
    }

    #[test]
    fn archives_are_for_the_unit_that_there_is() {
        let of = |board: &str, flags: &str| {
            let target = TARGETS.iter().find(|target| target.board == board).unwrap();
            archives(target, &words(flags)).ok()
        };
        let m4 = "qemu:netduinoplus2";
        assert_eq!(of(m4, "-Os"), Some("thumb/v7e-m/nofp"));
        assert_eq!(of(m4, "-mfloat-abi=hard -mfpu=fpv4-sp-d16"), Some("thumb/v7e-m+fp/hard"));
        assert_eq!(of(m4, "-mfloat-abi=hard"), None);
        assert_eq!(of("qemu:mps2-an500", "-mfloat-abi=hard -mfpu=fpv5-d16"), Some("thumb/v7e-m+dp/hard"));
        assert_eq!(of("qemu:riscv64-virt", ""), Some("rv64imac/lp64"));
    }
}
