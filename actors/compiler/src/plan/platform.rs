//! Which packages a vendor's boards are built with.

use super::bare::BareBoard;
use crate::BuildError;
use crate::properties::{Fqbn, PropertiesError, UnknownBoard};

/// A vendor's boards of one architecture: which packages they are built with. The boards themselves are the core's.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Platform {
    /// As in `VENDOR:ARCHITECTURE:BOARD`.
    pub vendor: &'static str,
    /// Likewise.
    pub architecture: &'static str,
    /// The package that has the tools.
    pub toolchain: &'static str,
    /// The package that has the boards.
    pub core: &'static str,
    /// Below the core package's prefix, and where systems keep it.
    pub folder: &'static str,
    /// Below the toolchain's prefix, and where systems keep it: the C library's headers, which know the chips.
    pub chips: &'static str,
    /// Before the names of its tools.
    pub prefix: &'static str,
}

pub(crate) const PLATFORMS: &[Platform] = &[Platform {
    vendor: "arduino",
    architecture: "avr",
    toolchain: "avr-gcc",
    core: "arduino-avr",
    folder: "usr/share/arduino/hardware/arduino/avr",
    chips: "usr/lib/avr/include",
    prefix: "avr-",
}];

impl Platform {
    /// The platform of a board.
    pub fn of(fqbn: &str) -> Result<&'static Self, BuildError> {
        let Fqbn { vendor, architecture, .. } = Fqbn::parse(fqbn)?;
        let same = |platform: &&Self| platform.vendor == vendor && platform.architecture == architecture;
        PLATFORMS.iter().find(same).ok_or_else(|| {
            let names: Vec<_> = PLATFORMS
                .iter()
                .map(|platform| format!("{}:{}", platform.vendor, platform.architecture))
                .collect();
            PropertiesError::Unknown(UnknownBoard {
                what: "core",
                name: format!("{vendor}:{architecture}"),
                place: "those that farmhand knows".into(),
                nearest: names,
            })
            .into()
        })
    }

    /// All packages that its boards are built and flashed with.
    #[must_use]
    pub fn packages(&self) -> [&'static str; 2] {
        [self.toolchain, self.core]
    }
}

/// The packages that a board's programs are built with, and, where they are of a core, flashed with; less a C library
/// that not every program asks for.
pub fn packages_of(board: &str) -> Result<Vec<&'static str>, BuildError> {
    Ok(match BareBoard::of(board)? {
        Some(bare) => vec![bare.compiler.package],
        None => Platform::of(board)?.packages().to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use farmhand_api::Problem;

    use super::*;

    #[test]
    fn a_board_with_a_core_and_one_without() {
        assert_eq!(packages_of("arduino:avr:uno").unwrap(), ["avr-gcc", "arduino-avr"]);
        assert_eq!(packages_of("qemu:riscv64-virt").unwrap(), ["riscv-gcc"]);
        assert!(packages_of("qemu:none").is_err());
    }

    #[test]
    fn an_unknown_core_names_those_known() {
        let problem = Problem::from(Platform::of("espressif:esp32:dev").unwrap_err());
        assert!(problem.help[0].contains("arduino:avr"), "{problem:?}");
    }
}
