//! Boards without a core: a machine of QEMU's that runs a program as it is linked. What is known of each is which
//! compiler makes code for it, and what that is told; where its memory lies is the project's linker script's to say.

use farmhand_records::v1::CLibrary;

use crate::BuildError;
use crate::properties::{PropertiesError, UnknownBoard};

/// Such boards begin so: QEMU's machines, and chips that nothing here runs.
const PREFIXES: [&str; 2] = ["qemu:", "bare:"];

/// A board without a core.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BareBoard {
    /// As in `board = "..."`: `qemu:` and the machine, `bare:` and the chip.
    pub(crate) name: &'static str,
    pub(crate) compiler: &'static BareCompiler,
    /// Which instructions there are, and how functions are called: for compiles.
    pub(crate) compile_flags: &'static [&'static str],
    /// The same, in the words by which the compiler's libraries are found: for the link.
    pub(crate) link_flags: &'static [&'static str],
}

/// A compiler for boards without a core.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BareCompiler {
    /// The package that has it.
    pub(crate) package: &'static str,
    /// Before the names of its programs.
    pub(crate) prefix: &'static str,
    /// C libraries, for programs that ask for one.
    pub(crate) libraries: &'static [BareLibrary],
}

/// A C library that says itself, in a file of specs, how it is linked with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BareLibrary {
    /// Which.
    pub(crate) kind: CLibrary,
    /// Below its package's prefix, and where systems keep it.
    pub(crate) specs: &'static str,
}

impl BareLibrary {
    /// As builds ask for it.
    pub(crate) fn offer(&self, compiler: &BareCompiler) -> String {
        let name = name_of(self.kind);
        format!("libc:{name}:{}", compiler.prefix.trim_end_matches('-'))
    }
}

/// As people call it.
pub(crate) fn name_of(library: CLibrary) -> &'static str {
    match library {
        CLibrary::Picolibc => "picolibc",
        CLibrary::Newlib => "newlib",
    }
}

/// Debian's compiler for both widths.
static RISCV: BareCompiler = BareCompiler {
    package: "riscv-gcc",
    prefix: "riscv64-unknown-elf-",
    libraries: &[BareLibrary {
        kind: CLibrary::Picolibc,
        specs: "usr/lib/picolibc/riscv64-unknown-elf/picolibc.specs",
    }],
};
static ARM: BareCompiler = BareCompiler {
    package: "arm-gcc",
    prefix: "arm-none-eabi-",
    libraries: &[
        BareLibrary { kind: CLibrary::Picolibc, specs: "usr/lib/picolibc/arm-none-eabi/picolibc.specs" },
        // What the program asks of its system is refused, where the program does not do it itself.
        BareLibrary { kind: CLibrary::Newlib, specs: "usr/lib/arm-none-eabi/newlib/nosys.specs" },
    ],
};
/// Debian's compiler for the processor of the ESP8266. It has no C library there: the vendor's brings one.
static LX106: BareCompiler =
    BareCompiler { package: "lx106-gcc", prefix: "xtensa-lx106-elf-", libraries: &[] };

/// `virt` has QEMU's CPUs `rv32` and `rv64` unless told otherwise: RV32GC and RV64GC (QEMU, "virt Generic Virtual
/// Platform"; `target/riscv/cpu.c`). Its floating point unit is off until start-up code turns it on (privileged
/// architecture, `mstatus.FS`), so code is made without. Instructions for control registers and `fence.i` are
/// extensions of their own since ISA 2.1 (gcc 12's default); the compiler's libraries are named without them. RAM is
/// at 0x80000000, out of the reach of `medlow` on 64 bits (RISC-V ELF psABI, "Code models").
///
/// Cortex-M3, M4 and M7 run Thumb only (QEMU, "Arm MPS2 and MPS3 boards", "Netduino boards"); the floating point units of the M4 and the
/// M7 are off after a reset too (ARMv7-M, `CPACR`): who turns it on says so by flags, at the link too.
///
/// `bare:` are chips that no machine here runs: their programs are compiled and linked.
static BOARDS: &[BareBoard] = &[
    BareBoard {
        name: "qemu:riscv32-virt",
        compiler: &RISCV,
        compile_flags: &["-march=rv32imac_zicsr_zifencei", "-mabi=ilp32", "-mcmodel=medany"],
        link_flags: &["-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany"],
    },
    BareBoard {
        name: "qemu:riscv64-virt",
        compiler: &RISCV,
        compile_flags: &["-march=rv64imac_zicsr_zifencei", "-mabi=lp64", "-mcmodel=medany"],
        link_flags: &["-march=rv64imac", "-mabi=lp64", "-mcmodel=medany"],
    },
    BareBoard {
        name: "qemu:netduinoplus2",
        compiler: &ARM,
        compile_flags: &["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft"],
        link_flags: &["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft"],
    },
    BareBoard {
        name: "qemu:mps2-an385",
        compiler: &ARM,
        compile_flags: &["-mcpu=cortex-m3", "-mthumb", "-mfloat-abi=soft"],
        link_flags: &["-mcpu=cortex-m3", "-mthumb", "-mfloat-abi=soft"],
    },
    BareBoard {
        name: "qemu:mps2-an500",
        compiler: &ARM,
        compile_flags: &["-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=soft"],
        link_flags: &["-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=soft"],
    },
    // Code may lie out of a call's reach, in flash (Xtensa options of GCC, "-mlongcalls"); literals lie among it.
    BareBoard {
        name: "bare:esp8266",
        compiler: &LX106,
        compile_flags: &["-mlongcalls", "-mtext-section-literals"],
        link_flags: &[],
    },
];

/// Headers that only a C library has (C17, clause 7 less clause 4's freestanding ones; POSIX's commonest).
const HOSTED: &[&str] = &[
    "assert.h",
    "complex.h",
    "ctype.h",
    "errno.h",
    "fenv.h",
    "inttypes.h",
    "locale.h",
    "malloc.h",
    "math.h",
    "setjmp.h",
    "signal.h",
    "stdio.h",
    "stdlib.h",
    "string.h",
    "strings.h",
    "tgmath.h",
    "threads.h",
    "time.h",
    "uchar.h",
    "unistd.h",
    "wchar.h",
    "wctype.h",
];

impl BareBoard {
    /// The board of that name; `None` where it is one with a core.
    pub(crate) fn of(board: &str) -> Result<Option<&'static Self>, BuildError> {
        if !PREFIXES.iter().any(|prefix| board.starts_with(prefix)) {
            return Ok(None);
        }
        let known = BOARDS.iter().find(|known| known.name == board);
        known.map(Some).ok_or_else(|| {
            PropertiesError::Unknown(UnknownBoard {
                what: "board",
                name: board.to_owned(),
                place: "those without a core that farmhand builds for".into(),
                nearest: BOARDS.iter().map(|known| known.name.to_owned()).collect(),
            })
            .into()
        })
    }
}

/// Whether a header is one that only a C library has.
pub(crate) fn is_hosted(header: &str) -> bool {
    HOSTED.contains(&header) || header.starts_with("sys/")
}

#[cfg(test)]
mod tests {
    use farmhand_api::{Problem, ProblemClass};

    use super::*;

    #[test]
    fn a_board_is_known_by_its_whole_name() {
        assert_eq!(BareBoard::of("qemu:riscv32-virt").unwrap(), Some(&BOARDS[0]));
        assert_eq!(BareBoard::of("arduino:avr:uno").unwrap(), None);
        let problem = Problem::from(BareBoard::of("qemu:riscv32").unwrap_err());
        assert_eq!(problem.class, ProblemClass::Configuration);
        assert!(problem.help[0].contains("qemu:riscv32-virt"), "{problem:?}");
    }

    #[test]
    fn what_a_compiler_brings_itself_needs_no_library() {
        assert!(!is_hosted("stdint.h") && !is_hosted("uart.h") && !is_hosted("my/string.h"));
        assert!(is_hosted("string.h") && is_hosted("sys/types.h"));
    }
}
