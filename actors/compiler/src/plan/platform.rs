//! Which packages a vendor's boards are built with.

use super::bare::BareBoard;
use super::tools::NATIVE;
use crate::BuildError;
use crate::cores::Places;
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
    /// The platform whose recipes and cores it refers to: vendor, architecture.
    pub refers_to: Option<(&'static str, &'static str)>,
}

pub(crate) const PLATFORMS: &[Platform] = &[
    Platform {
        vendor: "arduino",
        architecture: "avr",
        toolchain: "avr-gcc",
        core: "arduino-avr",
        folder: "usr/share/arduino/hardware/arduino/avr",
        chips: "usr/lib/avr/include",
        prefix: "avr-",
        refers_to: None,
    },
    // Of Arduino 1.0: boards and variants, and nothing of its own beside.
    Platform {
        vendor: "mighty-1284p",
        architecture: "avr",
        toolchain: "avr-gcc",
        core: "arduino-mighty-1284p",
        folder: "usr/share/arduino/hardware/mighty-1284p",
        chips: "usr/lib/avr/include",
        prefix: "avr-",
        refers_to: Some(("arduino", "avr")),
    },
];

impl Platform {
    /// The platform of a board.
    pub fn of(fqbn: &str) -> Result<&'static Self, BuildError> {
        let Fqbn { vendor, architecture, .. } = Fqbn::parse(fqbn)?;
        Self::known(vendor, architecture).ok_or_else(|| {
            let places = Places::here();
            let ours =
                PLATFORMS.iter().map(|platform| format!("{}:{}", platform.vendor, platform.architecture));
            let theirs = places.iter().flat_map(Places::cores).map(|core| core.name());
            let mut nearest: Vec<_> = ours.chain(theirs).collect();
            nearest.sort();
            nearest.dedup();
            let place = match places {
                None => "those that farmhand knows".into(),
                Some(Places { data, user, platformio }) => format!(
                    "those that farmhand knows, and not in {}{} or {}",
                    data.join("packages").display(),
                    platformio.map(|of| format!(", {}", of.packages.display())).unwrap_or_default(),
                    user.join("hardware").display()
                ),
            };
            let name = format!("{vendor}:{architecture}");
            PropertiesError::Unknown(UnknownBoard { what: "core", name, place, nearest }).into()
        })
    }

    /// The platform of these, where farmhand knows it.
    pub(crate) fn known(vendor: &str, architecture: &str) -> Option<&'static Self> {
        PLATFORMS.iter().find(|other| other.vendor == vendor && other.architecture == architecture)
    }

    /// The platform that it refers to.
    #[must_use]
    pub fn referenced(&self) -> Option<&'static Self> {
        let (vendor, architecture) = self.refers_to?;
        Self::known(vendor, architecture)
    }

    /// All packages that its boards are built and flashed with.
    #[must_use]
    pub fn packages(&self) -> Vec<&'static str> {
        [self.toolchain, self.core].into_iter().chain(self.referenced().map(|other| other.core)).collect()
    }
}

/// The packages that a board's programs are built with, and, where they are of a core, flashed with; less a C library
/// that not every program asks for.
pub fn packages_of(board: &str) -> Result<Vec<&'static str>, BuildError> {
    if board == NATIVE {
        return Ok(Vec::new());
    }
    Ok(match BareBoard::of(board)? {
        Some(bare) => vec![bare.compiler.package],
        None => Platform::of(board)?.packages(),
    })
}

#[cfg(test)]
mod tests {
    use farmhand_api::Problem;

    use super::*;

    #[test]
    fn a_board_with_a_core_and_one_without() {
        assert_eq!(packages_of("arduino:avr:uno").unwrap(), ["avr-gcc", "arduino-avr"]);
        let mighty = ["avr-gcc", "arduino-mighty-1284p", "arduino-avr"];
        assert_eq!(packages_of("mighty-1284p:avr:mighty").unwrap(), mighty);
        assert_eq!(packages_of("qemu:riscv64-virt").unwrap(), ["riscv-gcc"]);
        assert!(packages_of("qemu:none").is_err());
    }

    #[test]
    fn an_unknown_core_names_those_known() {
        let problem = Problem::from(Platform::of("espressif:esp32:dev").unwrap_err());
        assert!(problem.help[0].contains("arduino:avr"), "{problem:?}");
    }
}
