//! The machines there are.

use std::fmt;

use crate::snapshot::Role;

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
    /// What it begins with.
    begins: Begins,
    /// What else is said.
    more: &'static [&'static str],
    /// Bytes of its memory, all kinds of it together.
    pub memory_bytes: u64,
    /// Whether the system runs it instead of QEMU, which is to be proven here before it is relied on.
    accelerated: bool,
    /// What its programs are for.
    pub elf: Elf,
}

/// What an ELF file is for, by its header (System V ABI, "ELF Header").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elf {
    /// The bits of an address: `EI_CLASS`. One number of a processor stands for RISC-V of 32 bits and of 64.
    pub bits: u8,
    /// Which processor: `e_machine` (the processors' supplements).
    pub machine: u16,
}

impl fmt::Display for Elf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ELF of {} bits, machine {}", self.bits, self.machine)
    }
}

/// What a machine begins with.
#[derive(Debug, PartialEq, Eq)]
enum Begins {
    /// A program of its own, given so (QEMU, "Invocation"): `-kernel` takes an ELF to where it belongs, and begins at its entry.
    Program(&'static str),
    /// A Linux kernel, what that unpacks into memory, and a disk; with these words for the kernel.
    Linux(&'static str),
}

/// A guest's agent listens here, below the machine's folder.
pub(crate) const AGENT: &str = "agent";
/// The devices of a Linux guest: a way to its agent, a disk, numbers for its kernel's generator.
const LINUX: &[&str] = &[
    "-device",
    "virtio-serial-pci",
    "-chardev",
    "socket,id=agent,path=agent,server=on,wait=off",
    "-device",
    "virtserialport,chardev=agent,name=farmhand.agent",
    "-drive",
    // A disk here that is full is the guest's own error, and not a machine that stands still.
    "file=disk,if=none,id=disk,format=qcow2,werror=report,rerror=report",
    "-device",
    "virtio-blk-pci,drive=disk",
    "-device",
    "virtio-rng-pci",
];

/// All of them. Sources: QEMU's manual, "System Emulator Targets", and `-M help` of 7.2.
const KINDS: &[Kind] = &[
    Kind {
        name: "riscv32-virt",
        program: "qemu-system-riscv32",
        package: "qemu-misc",
        machine: "virt",
        accelerated: false,
        begins: Begins::Program("-kernel"),
        // No firmware of QEMU's own: the program is the first that runs, at 0x80000000.
        more: &["-bios", "none", "-m", "64"],
        memory_bytes: 64 << 20,
        elf: Elf { bits: 32, machine: 243 },
    },
    Kind {
        name: "riscv64-virt",
        program: "qemu-system-riscv64",
        package: "qemu-misc",
        machine: "virt",
        accelerated: false,
        begins: Begins::Program("-kernel"),
        more: &["-bios", "none", "-m", "64"],
        memory_bytes: 64 << 20,
        elf: Elf { bits: 64, machine: 243 },
    },
    Kind {
        name: "netduinoplus2",
        program: "qemu-system-arm",
        package: "qemu-arm",
        machine: "netduinoplus2",
        accelerated: false,
        begins: Begins::Program("-kernel"),
        more: &[],
        memory_bytes: (1024 + 192) << 10,
        elf: Elf { bits: 32, machine: 40 },
    },
    Kind {
        name: "mps2-an385",
        program: "qemu-system-arm",
        package: "qemu-arm",
        machine: "mps2-an385",
        accelerated: false,
        begins: Begins::Program("-kernel"),
        more: &[],
        memory_bytes: (4 + 4 + 16) << 20,
        elf: Elf { bits: 32, machine: 40 },
    },
    Kind {
        name: "mps2-an500",
        program: "qemu-system-arm",
        package: "qemu-arm",
        machine: "mps2-an500",
        accelerated: false,
        begins: Begins::Program("-kernel"),
        more: &[],
        memory_bytes: (4 + 4 + 16) << 20,
        elf: Elf { bits: 32, machine: 40 },
    },
    // No self-programming, so no loader: a program of its own, from reset.
    Kind {
        name: "uno",
        program: "qemu-system-avr",
        package: "qemu-misc",
        machine: "uno",
        accelerated: false,
        begins: Begins::Program("-bios"),
        more: &[],
        memory_bytes: (32 + 2) << 10,
        elf: Elf { bits: 32, machine: 83 },
    },
    Kind {
        name: "linux-x86_64",
        program: "qemu-system-x86_64",
        package: "qemu-x86",
        machine: "q35",
        accelerated: false,
        // A panic is a reset, and not a machine that stands still.
        begins: Begins::Linux("console=ttyS0 quiet panic=-1 rdinit=/init"),
        // rdtscp: Rust programs that read the time stamp counter (every x86-64 of the last fifteen years has it).
        more: &["-accel", "tcg", "-cpu", "qemu64,+rdtscp", "-m", "256"],
        memory_bytes: 256 << 20,
        elf: Elf { bits: 64, machine: 62 },
    },
    Kind {
        name: "linux-x86_64-kvm",
        program: "qemu-system-x86_64",
        package: "qemu-x86",
        machine: "q35",
        accelerated: true,
        begins: Begins::Linux("console=ttyS0 quiet panic=-1 rdinit=/init"),
        more: &["-accel", "kvm", "-cpu", "host", "-m", "256"],
        memory_bytes: 256 << 20,
        elf: Elf { bits: 64, machine: 62 },
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

    /// Whether it is a Linux guest: what is run on it is told to its agent, and is not what it begins with.
    #[must_use]
    pub fn is_linux(&self) -> bool {
        matches!(self.begins, Begins::Linux(_))
    }

    /// Whether it runs by the system's virtualisation.
    #[must_use]
    pub fn is_accelerated(&self) -> bool {
        self.accelerated
    }

    /// The files that it begins with.
    #[must_use]
    pub fn files(&self) -> &'static [Role] {
        match self.begins {
            Begins::Program(_) => &[Role::Program],
            Begins::Linux(_) => &[Role::Kernel, Role::Initrd, Role::Disk],
        }
    }

    /// What QEMU is told of the machine; its files are below the folder that it runs in.
    pub(crate) fn arguments(&self) -> Vec<&'static str> {
        let mut words = vec!["-M", self.machine];
        match self.begins {
            Begins::Program(word) => words.extend([word, Role::Program.file()]),
            Begins::Linux(said) => {
                words.extend([
                    "-kernel",
                    Role::Kernel.file(),
                    "-initrd",
                    Role::Initrd.file(),
                    "-append",
                    said,
                ]);
                words.extend(LINUX);
            }
        }
        words.extend(self.more);
        words
    }
}
