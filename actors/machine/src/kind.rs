//! The machines there are.

/// What QEMU is told for a kind of machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name in farmhand, behind `qemu:`.
    pub name: &'static str,
    /// The program that emulates it.
    pub program: &'static str,
    /// The package that has it.
    pub package: &'static str,
    /// Its name in QEMU (`-M help`).
    machine: &'static str,
    /// How the image is given (QEMU, "Invocation"): `-kernel` takes an ELF to where it belongs, and begins at its entry.
    image: &'static str,
    /// What else is said.
    more: &'static [&'static str],
    /// Bytes of its memory, all kinds of it together.
    pub memory_bytes: u64,
    /// `e_machine` of its programs (System V ABI, and the processors' supplements).
    pub elf: u16,
}

/// All of them. Sources: QEMU's manual, "System Emulator Targets", and `-M help` of 7.2.
const KINDS: &[Kind] = &[
    Kind {
        name: "riscv32-virt",
        program: "qemu-system-riscv32",
        package: "qemu-misc",
        machine: "virt",
        image: "-kernel",
        // No firmware of QEMU's own: the program is the first that runs, at 0x80000000.
        more: &["-bios", "none", "-m", "64"],
        memory_bytes: 64 << 20,
        elf: 243,
    },
    Kind {
        name: "riscv64-virt",
        program: "qemu-system-riscv64",
        package: "qemu-misc",
        machine: "virt",
        image: "-kernel",
        more: &["-bios", "none", "-m", "64"],
        memory_bytes: 64 << 20,
        elf: 243,
    },
    Kind {
        name: "netduinoplus2",
        program: "qemu-system-arm",
        package: "qemu-arm",
        machine: "netduinoplus2",
        image: "-kernel",
        more: &[],
        memory_bytes: (1024 + 192) << 10,
        elf: 40,
    },
    Kind {
        name: "mps2-an385",
        program: "qemu-system-arm",
        package: "qemu-arm",
        machine: "mps2-an385",
        image: "-kernel",
        more: &[],
        memory_bytes: (4 + 4 + 16) << 20,
        elf: 40,
    },
    // No self-programming, so no loader: a program of its own, from reset.
    Kind {
        name: "uno",
        program: "qemu-system-avr",
        package: "qemu-misc",
        machine: "uno",
        image: "-bios",
        more: &[],
        memory_bytes: (32 + 2) << 10,
        elf: 83,
    },
];

/// All of them.
#[must_use]
pub fn kinds() -> &'static [Kind] {
    KINDS
}

impl Kind {
    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// What QEMU is told of the machine, with this program in it.
    pub(crate) fn arguments<'a>(&'a self, program: &'a str) -> Vec<&'a str> {
        let mut words = vec!["-M", self.machine, self.image, program];
        words.extend(self.more);
        words
    }
}
