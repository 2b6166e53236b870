//! The packages that farmhand describes: what each takes from Debian's archive, and what it leaves out.
//!
//! A description names roots; apt computes the closure of their dependencies for the release at hand, for the names
//! of libraries differ between releases. What it leaves out is pruned with everything that only it would bring.

use farmhand_messages::packages::PackageKind;

/// A package, as data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Description {
    /// Its name in farmhand.
    pub(crate) name: &'static str,
    /// What it is.
    pub(crate) kind: PackageKind,
    /// Debian packages that are taken, with their closure. The first gives the version.
    pub(crate) roots: &'static [&'static str],
    /// Debian packages that are not followed (one `*` stands for any text), and why.
    pub(crate) without: &'static [(&'static str, &'static str)],
    /// Files that must exist afterwards; a path's component may hold one `*`.
    pub(crate) must_exist: &'static [&'static str],
    /// Programs for the PATH of a machine that has no apt.
    pub(crate) programs: &'static [&'static str],
}

const HOST_C: (&str, &str) = ("libc6", "a program must run with the C library of its host's loader");
const HOST_GCC: (&str, &str) = ("libgcc-s1", "every host has it, and it belongs to the host's C library");
const HOST_CXX: (&str, &str) = ("libstdc++6", "apt itself needs it, so the host has it");
const GCC_BASE: (&str, &str) = ("gcc-*-base", "documentation");
/// Of each emulator.
const QEMU_WITHOUT: &[(&str, &str)] = &[
    HOST_C,
    HOST_GCC,
    HOST_CXX,
    GCC_BASE,
    ("adduser", "for a service that is not started here"),
    ("iso-codes", "names of languages, for players of media"),
    ("debconf", "nothing is configured here"),
];

/// All of them.
pub(crate) const CATALOGUE: &[Description] = &[
    Description {
        name: "avr-gcc",
        kind: PackageKind::Toolchain,
        roots: &["gcc-avr", "binutils-avr", "avr-libc"],
        without: &[HOST_C, HOST_GCC, HOST_CXX, GCC_BASE],
        must_exist: &[
            "usr/bin/avr-gcc",
            "usr/bin/avr-g++",
            "usr/bin/avr-ar",
            "usr/bin/avr-objcopy",
            "usr/lib/gcc/avr/*/cc1",
            "usr/lib/gcc/avr/*/cc1plus",
            "usr/lib/avr/include/avr/io.h",
        ],
        programs: &["avr-gcc", "avr-g++", "avr-ar", "avr-objcopy", "avr-size"],
    },
    Description {
        name: "arduino-avr",
        kind: PackageKind::Framework,
        roots: &["arduino-core-avr"],
        without: &[
            ("gcc-avr", "the toolchain is a package of its own"),
            ("binutils-avr", "the toolchain is a package of its own"),
            ("avr-libc", "the toolchain is a package of its own"),
        ],
        must_exist: &[
            "usr/share/arduino/hardware/arduino/avr/boards.txt",
            "usr/share/arduino/hardware/arduino/avr/platform.txt",
            "usr/share/arduino/hardware/arduino/avr/cores/arduino/Arduino.h",
            "usr/share/arduino/hardware/arduino/avr/bootloaders/optiboot/optiboot_atmega328.hex",
        ],
        programs: &[],
    },
    Description {
        name: "arduino-mighty-1284p",
        kind: PackageKind::Framework,
        roots: &["arduino-mighty-1284p"],
        without: &[("arduino", "an editor, and a core that is a package of its own")],
        must_exist: &["usr/share/arduino/hardware/mighty-1284p/boards.txt"],
        programs: &[],
    },
    // Sketches to try a build with; the editor is left.
    Description {
        name: "arduino-examples",
        kind: PackageKind::Library,
        roots: &["arduino"],
        without: &[
            ("lib*", "the editor is not run"),
            ("default-jre", "the editor is not run"),
            ("openjdk-*", "the editor is not run"),
            ("dpkg-dev", "the editor is not run"),
            ("arduino-builder", "a builder of its own"),
            ("arduino-core-avr", "the core is a package of its own"),
            ("avrdude", "a package of its own"),
        ],
        must_exist: &["usr/share/doc/arduino/examples/01.Basics/Blink/Blink.ino"],
        programs: &[],
    },
    // Arduino's own builder: what a build is compared with.
    Description {
        name: "arduino-builder",
        kind: PackageKind::Tool,
        roots: &["arduino-builder"],
        without: &[HOST_C],
        must_exist: &["usr/bin/arduino-builder", "usr/bin/arduino-ctags"],
        programs: &["arduino-builder", "arduino-ctags"],
    },
    Description {
        name: "riscv-gcc",
        kind: PackageKind::Toolchain,
        roots: &["gcc-riscv64-unknown-elf", "binutils-riscv64-unknown-elf"],
        without: &[HOST_C, HOST_GCC, HOST_CXX, GCC_BASE],
        must_exist: &[
            "usr/bin/riscv64-unknown-elf-gcc",
            "usr/bin/riscv64-unknown-elf-g++",
            "usr/bin/riscv64-unknown-elf-ld",
            "usr/lib/gcc/riscv64-unknown-elf/*/cc1",
            "usr/lib/gcc/riscv64-unknown-elf/*/rv32imac/ilp32/libgcc.a",
            "usr/lib/gcc/riscv64-unknown-elf/*/rv64imac/lp64/libgcc.a",
        ],
        programs: &["riscv64-unknown-elf-gcc", "riscv64-unknown-elf-g++", "riscv64-unknown-elf-ld"],
    },
    // Five times the compiler (1 GB in its prefix), and a program of one's own start-up code need not have it.
    Description {
        name: "riscv-picolibc",
        kind: PackageKind::Toolchain,
        roots: &["picolibc-riscv64-unknown-elf"],
        without: &[("gcc-riscv64-unknown-elf", "the toolchain is a package of its own")],
        must_exist: &[
            "usr/lib/picolibc/riscv64-unknown-elf/picolibc.specs",
            "usr/lib/picolibc/riscv64-unknown-elf/include/stdio.h",
            "usr/lib/picolibc/riscv64-unknown-elf/lib/rv32imac/ilp32/libc.a",
            "usr/lib/picolibc/riscv64-unknown-elf/lib/rv64imac/lp64/libc.a",
        ],
        programs: &[],
    },
    // newlib, which is larger than the compiler, is left: a program of one's own start-up code need not have it.
    Description {
        name: "arm-gcc",
        kind: PackageKind::Toolchain,
        roots: &["gcc-arm-none-eabi", "binutils-arm-none-eabi"],
        without: &[HOST_C, HOST_GCC, HOST_CXX, GCC_BASE],
        must_exist: &[
            "usr/bin/arm-none-eabi-gcc",
            "usr/bin/arm-none-eabi-g++",
            "usr/bin/arm-none-eabi-ld",
            "usr/lib/gcc/arm-none-eabi/*/cc1",
            "usr/lib/gcc/arm-none-eabi/*/thumb/v7-m/nofp/libgcc.a",
        ],
        programs: &["arm-none-eabi-gcc", "arm-none-eabi-g++", "arm-none-eabi-ld"],
    },
    Description {
        name: "arm-picolibc",
        kind: PackageKind::Toolchain,
        roots: &["picolibc-arm-none-eabi"],
        without: &[("gcc-arm-none-eabi", "the toolchain is a package of its own")],
        must_exist: &[
            "usr/lib/picolibc/arm-none-eabi/picolibc.specs",
            "usr/lib/picolibc/arm-none-eabi/include/stdio.h",
            "usr/lib/picolibc/arm-none-eabi/lib/thumb/v7-m/nofp/libc.a",
            "usr/lib/picolibc/arm-none-eabi/lib/thumb/v7e-m+fp/hard/libc.a",
        ],
        programs: &[],
    },
    // With archives for each processor, and for many that no board here has (370 MB in its prefix).
    Description {
        name: "arm-newlib",
        kind: PackageKind::Toolchain,
        roots: &["libnewlib-arm-none-eabi", "libnewlib-dev"],
        without: &[("gcc-arm-none-eabi", "the toolchain is a package of its own")],
        must_exist: &[
            "usr/lib/arm-none-eabi/newlib/nosys.specs",
            "usr/include/newlib/stdio.h",
            "usr/lib/arm-none-eabi/newlib/thumb/v7-m/nofp/libc.a",
            "usr/lib/arm-none-eabi/newlib/thumb/v7e-m+fp/hard/libc.a",
        ],
        programs: &[],
    },
    Description {
        name: "lx106-gcc",
        kind: PackageKind::Toolchain,
        roots: &["gcc-xtensa-lx106", "binutils-xtensa-lx106"],
        without: &[HOST_C, HOST_GCC, HOST_CXX, GCC_BASE],
        must_exist: &[
            "usr/bin/xtensa-lx106-elf-gcc",
            "usr/bin/xtensa-lx106-elf-g++",
            "usr/bin/xtensa-lx106-elf-ld",
            "usr/lib/gcc/xtensa-lx106-elf/*/cc1",
            "usr/lib/gcc/xtensa-lx106-elf/*/libgcc.a",
        ],
        programs: &["xtensa-lx106-elf-gcc", "xtensa-lx106-elf-g++", "xtensa-lx106-elf-ld"],
    },
    Description {
        name: "simavr",
        kind: PackageKind::Emulator,
        roots: &["libsimavr-dev"],
        without: &[
            HOST_C,
            HOST_GCC,
            HOST_CXX,
            GCC_BASE,
            ("libsimavrparts1", "boards' displays: a GL stack and LLVM, ten times the rest"),
            ("libelf-dev", "headers of a library that we link by its soname"),
        ],
        must_exist: &["usr/include/simavr/sim_avr.h", "usr/lib/*/libsimavr.so.*", "usr/lib/*/libelf.so.1"],
        programs: &[],
    },
    Description {
        name: "avrdude",
        kind: PackageKind::Tool,
        roots: &["avrdude"],
        without: &[HOST_C, HOST_GCC, HOST_CXX, GCC_BASE],
        must_exist: &["usr/bin/avrdude", "etc/avrdude.conf"],
        programs: &["avrdude"],
    },
    Description {
        name: "make",
        kind: PackageKind::Tool,
        roots: &["make"],
        without: &[HOST_C, HOST_GCC, GCC_BASE],
        must_exist: &["usr/bin/make"],
        programs: &["make"],
    },
    Description {
        name: "qemu-x86",
        kind: PackageKind::Emulator,
        roots: &["qemu-system-x86"],
        without: QEMU_WITHOUT,
        must_exist: &[
            "usr/bin/qemu-system-x86_64",
            "usr/share/qemu/kvmvapic.bin",
            "usr/share/seabios/bios-256k.bin",
            "usr/lib/*/libusbredirparser.so.1",
        ],
        programs: &["qemu-system-x86_64"],
    },
    Description {
        name: "qemu-arm",
        kind: PackageKind::Emulator,
        roots: &["qemu-system-arm"],
        without: QEMU_WITHOUT,
        must_exist: &["usr/bin/qemu-system-arm"],
        programs: &["qemu-system-arm"],
    },
    Description {
        name: "qemu-misc",
        kind: PackageKind::Emulator,
        roots: &["qemu-system-misc"],
        without: QEMU_WITHOUT,
        must_exist: &[
            "usr/bin/qemu-system-riscv32",
            "usr/bin/qemu-system-riscv64",
            "usr/bin/qemu-system-avr",
        ],
        programs: &["qemu-system-riscv32", "qemu-system-riscv64", "qemu-system-avr"],
    },
    Description {
        name: "fastboot",
        kind: PackageKind::Tool,
        roots: &["fastboot"],
        without: &[HOST_C, HOST_GCC, HOST_CXX, GCC_BASE],
        must_exist: &["usr/bin/fastboot"],
        programs: &["fastboot"],
    },
    Description {
        name: "qemu-img",
        kind: PackageKind::Tool,
        roots: &["qemu-utils"],
        without: QEMU_WITHOUT,
        must_exist: &["usr/bin/qemu-img"],
        programs: &["qemu-img"],
    },
    Description {
        name: "linux-guest",
        kind: PackageKind::Emulator,
        roots: &["linux-image-cloud-amd64", "busybox-static"],
        without: &[
            HOST_C,
            HOST_GCC,
            GCC_BASE,
            ("coreutils", "busybox has its programs"),
            ("debconf", "nothing is configured here"),
            ("initramfs-tools*", "a guest's file system is written by farmhand"),
            ("kmod", "busybox loads modules"),
            ("linux-base", "for booting what is installed"),
        ],
        // Where busybox lies differs between releases.
        must_exist: &["boot/vmlinuz-*"],
        programs: &[],
    },
    Description {
        name: "usb-bench",
        kind: PackageKind::Emulator,
        roots: &["linux-image-amd64", "udev", "busybox-static", "fastboot"],
        without: &[
            HOST_C,
            HOST_GCC,
            GCC_BASE,
            ("adduser", "a guest has its accounts from the bench"),
            ("coreutils", "busybox has its programs"),
            ("debconf", "nothing is configured here"),
            ("initramfs-tools*", "the bench writes a guest's file system itself"),
            ("linux-base", "for booting what is installed"),
        ],
        // Where udev and busybox lie differs between releases.
        must_exist: &["boot/vmlinuz-*", "usr/bin/fastboot"],
        programs: &[],
    },
];

/// The description of that name.
pub(crate) fn described(name: &str) -> Option<&'static Description> {
    CATALOGUE.iter().find(|description| description.name == name)
}

/// The names of the packages that farmhand describes.
pub fn names() -> impl Iterator<Item = &'static str> {
    CATALOGUE.iter().map(|description| description.name).chain([crate::offers::CLANG])
}

/// Farther apart than this (0 to 1, Jaro-Winkler), a name was not meant.
const NEAR: f64 = 0.7;

/// The name that was meant, perhaps.
pub(crate) fn nearest(name: &str) -> Option<String> {
    names()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(near, _)| *near >= NEAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known.to_owned())
}

/// Whether `text` is what `pattern` says, where one `*` stands for any text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("gcc-*-base", "gcc-12-base"));
        assert!(!matches("gcc-*-base", "gcc-base"));
        assert!(!matches("gcc-*-base", "gcc-12-base-x"));
        assert!(matches("libelf.so.1", "libelf.so.1"));
        assert!(!matches("libc6", "libc6-dev"));
    }

    #[test]
    fn a_slip_is_understood() {
        assert_eq!(nearest("avrgcc").as_deref(), Some("avr-gcc"));
        assert_eq!(nearest("simavrr").as_deref(), Some("simavr"));
        assert_eq!(nearest("qqq"), None);
    }

    #[test]
    fn descriptions_can_be_used() {
        for description in CATALOGUE {
            assert!(!description.roots.is_empty(), "{}", description.name);
            assert!(!description.must_exist.is_empty(), "{}", description.name);
            for (_, why) in description.without {
                assert!(!why.is_empty(), "{}", description.name);
            }
        }
        let mut all: Vec<_> = names().collect();
        all.dedup();
        assert_eq!(all.len(), CATALOGUE.len() + 1);
    }
}
