//! Whether a library is for a program's framework and platform.

use farmhand_project::LibraryManifest;
use farmhand_records::v1::{EnvironmentSource, LIB_COMPAT};

/// How libraries are told apart by what they say they are for (PlatformIO documentation, "Library Compatibility Mode").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Any will do.
    Off,
    /// One that says which frameworks it is for is left out where the program has none of these.
    Soft,
    /// Likewise, and of platforms.
    Strict,
}

impl Mode {
    /// By its word or its number; what is neither is what PlatformIO does where nobody says anything.
    fn of(word: &str) -> Self {
        match word {
            "off" | "0" => Self::Off,
            "strict" | "2" => Self::Strict,
            _ => Self::Soft,
        }
    }
}

/// What a library has to be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compatibility {
    /// Where a library says nothing of it itself.
    mode: Mode,
    /// The program's framework is Arduino's; it has none otherwise.
    arduino: bool,
    /// PlatformIO's name of the program's platform, where it is known.
    platform: Option<String>,
}

impl Compatibility {
    /// Where nobody tells libraries apart.
    pub(crate) const OFF: Self = Self { mode: Mode::Off, arduino: true, platform: None };

    /// As an environment has it.
    pub(crate) fn of(of: &EnvironmentSource) -> Self {
        let said = of.board.iter().find(|(key, _)| key == LIB_COMPAT).map_or("", |(_, value)| value.as_str());
        let (mode, platform) = said.split_once(' ').unwrap_or((said, ""));
        let platform = Some(platform.to_owned()).filter(|platform| !platform.is_empty());
        Self { mode: Mode::of(mode), arduino: of.arduino, platform }
    }

    /// Whether a library counts. What it says of this itself is what holds.
    pub(crate) fn takes(&self, library: &LibraryManifest) -> bool {
        let mode = library.compat_mode.as_deref().map_or(self.mode, Mode::of);
        let is_framework = || {
            let is_arduinos = library.frameworks.iter().any(|it| it == "arduino");
            library.frameworks.is_empty() || (self.arduino && is_arduinos)
        };
        let is_platform = || {
            let is_it = |platform| library.platforms.is_empty() || library.platforms.contains(platform);
            self.platform.as_ref().is_none_or(is_it)
        };
        match mode {
            Mode::Off => true,
            Mode::Soft => is_framework(),
            Mode::Strict => is_framework() && is_platform(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(modes: &[Compatibility], json: &str) -> Vec<bool> {
        let library = LibraryManifest::from_json(json).unwrap();
        modes.iter().map(|mode| mode.takes(&library)).collect()
    }

    fn one(mode: Mode, arduino: bool) -> Compatibility {
        Compatibility { mode, arduino, platform: Some("espressif8266".into()) }
    }

    #[test]
    fn by_framework() {
        let modes = [one(Mode::Off, true), one(Mode::Soft, true), one(Mode::Soft, false)];
        let takes = |json: &str| takes(&modes, json);
        assert_eq!(takes("{}"), [true; 3]);
        assert_eq!(takes(r#"{"frameworks": "*"}"#), [true; 3]);
        assert_eq!(takes(r#"{"frameworks": "Arduino, espidf"}"#), [true, true, false]);
        assert_eq!(takes(r#"{"frameworks": ["espidf"]}"#), [true, false, false]);
        for mode in [r#""off""#, r#""OFF""#, "0"] {
            let json = format!(r#"{{"frameworks": "espidf", "build": {{"libCompatMode": {mode}}}}}"#);
            assert_eq!(takes(&json), [true; 3], "{json}");
        }
        let json = r#"{"frameworks": "espidf", "build": {"libCompatMode": "soft"}}"#;
        assert_eq!(takes(json), [false; 3], "it holds against the project's off");
        let of_arduino = LibraryManifest::from_properties("name=One\n");
        assert!(modes[1].takes(&of_arduino));
        assert!(!modes[2].takes(&of_arduino));
    }

    #[test]
    fn by_platform() {
        let modes = [one(Mode::Off, true), one(Mode::Soft, true), one(Mode::Strict, true)];
        let takes = |json: &str| takes(&modes, json);
        for (platforms, strict) in [
            (r#""*""#, true),
            (r#"["espressif32", "espressif8266"]"#, true),
            (r#""espressif""#, true),
            (r#""atmelavr, espressif32""#, false),
        ] {
            assert_eq!(
                takes(&format!(r#"{{"platforms": {platforms}}}"#)),
                [true, true, strict],
                "{platforms}"
            );
        }
        // A library that tells itself apart from its sister.
        for mode in [r#""strict""#, "2"] {
            let json = format!(r#"{{"platforms": "espressif32", "build": {{"libCompatMode": {mode}}}}}"#);
            assert_eq!(takes(&json), [false; 3], "{json}");
        }
        for (architectures, strict) in
            [("esp8266,avr", true), ("avr", false), ("avr,*", true), ("other", true)]
        {
            let library = LibraryManifest::from_properties(&format!("architectures={architectures}\n"));
            assert_eq!(modes[2].takes(&library), strict, "{architectures}");
        }
        let unknown = Compatibility { platform: None, ..one(Mode::Strict, true) };
        assert!(unknown.takes(&LibraryManifest::from_json(r#"{"platforms": "atmelavr"}"#).unwrap()));
    }
}
