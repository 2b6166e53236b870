//! Whether a library is for a program's framework.

use farmhand_project::LibraryManifest;

/// How libraries are told apart by what they say they are for (PlatformIO documentation, "Library Compatibility Mode"). By platform
/// they are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compatibility {
    /// Any will do.
    Off,
    /// One that says which frameworks it is for is left out where the program has none of these.
    Soft {
        /// The program's framework is Arduino's; it has none otherwise.
        arduino: bool,
    },
}

impl Compatibility {
    /// Whether a library counts. What it says of this itself is what holds.
    pub(crate) fn takes(self, library: &LibraryManifest) -> bool {
        let is_for = |framework: &str| library.frameworks.iter().any(|it| it == framework);
        match self {
            Self::Off => true,
            Self::Soft { .. } if matches!(library.compat_mode.as_deref(), Some("off" | "0")) => true,
            Self::Soft { arduino } => library.frameworks.is_empty() || (arduino && is_for("arduino")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_framework() {
        let library = |json: &str| LibraryManifest::from_json(json).unwrap();
        let takes = |json: &str| {
            let modes = [
                Compatibility::Off,
                Compatibility::Soft { arduino: true },
                Compatibility::Soft { arduino: false },
            ];
            modes.map(|mode| mode.takes(&library(json)))
        };
        assert_eq!(takes("{}"), [true; 3]);
        assert_eq!(takes(r#"{"frameworks": "*"}"#), [true; 3]);
        assert_eq!(takes(r#"{"frameworks": "arduino, espidf"}"#), [true, true, false]);
        assert_eq!(takes(r#"{"frameworks": ["espidf"]}"#), [true, false, false]);
        for mode in [r#""off""#, r#""OFF""#, "0"] {
            let json = format!(r#"{{"frameworks": "espidf", "build": {{"libCompatMode": {mode}}}}}"#);
            assert_eq!(takes(&json), [true; 3], "{json}");
        }
        let of_arduino = LibraryManifest::from_properties("name=One\n");
        assert!(Compatibility::Soft { arduino: true }.takes(&of_arduino));
        assert!(!Compatibility::Soft { arduino: false }.takes(&of_arduino));
    }
}
