//! What the packages that farmhand describes offer to builds. A build asks for an offer, and not for a package: one that
//! its project declares, and that offers the same, is taken first.
//!
//! | offer | what it is |
//! |---|---|
//! | `cc:TARGET`, `c++:TARGET` | compilers of that target, as GCC calls it: `avr`, `arm-none-eabi` |
//! | `core:VENDOR:ARCHITECTURE` | an Arduino core |
//! | `libc:NAME:TARGET` | a C library for such a compiler |
//! | `clang` | clang, for any target |

use std::collections::{BTreeMap, BTreeSet};

use farmhand_messages::installer::PackageWish;
use farmhand_messages::packages::{PackageKind, PackageOrigin, PackageSpec};

use crate::apt::Sha256;
use crate::catalogue::{Description, described};

/// Clang, with a linker and the sources of what compilers call, for all targets: the Zig project's, as PyPI has it.
pub(crate) const CLANG: &str = "clang";
const ZIGLANG: (&str, &str) = ("ziglang", "0.14.1");
/// Of its wheel for Linux on x86-64 (PyPI). For others pip has its index's word.
const ZIGLANG_X86_64: &str = "6eb9d4d759b292c83810dbee2e9e8e3fbfbf01d864e6e9811bae711fd74e1c2f";

/// A package of farmhand's own that does not come from Debian's archive, where that is what is wished for.
pub(crate) fn not_debians(wish: &PackageWish) -> Option<PackageSpec> {
    match wish {
        PackageWish::Named(name) | PackageWish::Offering(name) if name == CLANG => {}
        _ => return None,
    }
    let known = cfg!(all(target_os = "linux", target_arch = "x86_64")).then_some(ZIGLANG_X86_64);
    let (project, version) = ZIGLANG;
    Some(PackageSpec {
        name: CLANG.into(),
        version: Some(version.into()),
        kind: PackageKind::Toolchain,
        origin: PackageOrigin::Pip {
            project: project.into(),
            version: version.into(),
            sha256: known.and_then(Sha256::from_hex).map(|hash| hash.0),
        },
        strip: false,
        offers: BTreeSet::from([CLANG.to_owned()]),
        environment: BTreeMap::new(),
        needed_as: None,
        locked: None,
    })
}

/// Which package offers what.
const OFFERS: &[(&str, &[&str])] = &[
    ("avr-gcc", &["cc:avr", "c++:avr", "libc:avr-libc:avr"]),
    ("arduino-avr", &["core:arduino:avr"]),
    ("arduino-mighty-1284p", &["core:mighty-1284p:avr"]),
    ("riscv-gcc", &["cc:riscv64-unknown-elf", "c++:riscv64-unknown-elf"]),
    ("riscv-picolibc", &["libc:picolibc:riscv64-unknown-elf"]),
    ("arm-gcc", &["cc:arm-none-eabi", "c++:arm-none-eabi"]),
    ("arm-picolibc", &["libc:picolibc:arm-none-eabi"]),
    ("arm-newlib", &["libc:newlib:arm-none-eabi"]),
    ("lx106-gcc", &["cc:xtensa-lx106-elf", "c++:xtensa-lx106-elf"]),
];

/// The package that offers it.
pub(crate) fn offering(offer: &str) -> Option<&'static Description> {
    let (name, _) = OFFERS.iter().find(|(_, offers)| offers.contains(&offer))?;
    described(name)
}

/// What a package that farmhand describes offers to builds.
#[must_use]
pub fn offers_of(name: &str) -> &'static [&'static str] {
    OFFERS.iter().find(|(known, _)| *known == name).map_or(&[], |(_, offers)| offers)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_offer_is_of_one_package_that_is_described() {
        let mut all = BTreeSet::new();
        for (name, offers) in OFFERS {
            assert!(described(name).is_some(), "{name}");
            for offer in *offers {
                assert!(all.insert(offer), "{offer} twice");
                assert_eq!(offering(offer).unwrap().name, *name);
            }
        }
        assert!(offering("cc:avr").is_some() && offering("cc:none").is_none());
    }
}
