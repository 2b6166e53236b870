//! What PlatformIO's packages say of themselves (PlatformIO documentation, "platform.json" and "package.json").

use std::collections::BTreeMap;

use serde::Deserialize;

use super::BoardError;

/// The framework that Arduino's cores are.
const ARDUINO: &str = "arduino";
/// What such a framework's packages are called.
const FRAMEWORK: &str = "framework-arduino";

/// `platform.json`, as far as it says which packages a framework is of.
#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    frameworks: BTreeMap<String, Framework>,
    #[serde(default)]
    packages: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Framework {
    package: Option<String>,
}

/// `package.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct PackageManifest {
    /// Its name; empty where it does not say.
    #[serde(default)]
    pub name: String,
    /// Its version, likewise.
    #[serde(default)]
    pub version: String,
}

impl PackageManifest {
    /// Reads `package.json`; of what is none nothing is known.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// The packages that may be a platform's Arduino core, by its `platform.json`: the one that it names first. Which of them a board
/// is of, a platform's own program says, which is not run: boards tell as well.
pub fn arduino_packages(text: &str) -> Result<Vec<String>, BoardError> {
    let platform: Platform = serde_json::from_str(text)
        .map_err(|error| BoardError::Syntax { line: error.line(), why: error.to_string() })?;
    let first = platform.frameworks.get(ARDUINO).and_then(|framework| framework.package.clone());
    let mut all: Vec<_> = first.into_iter().collect();
    let others = platform.packages.into_keys().filter(|name| name.starts_with(FRAMEWORK));
    for other in others {
        if !all.contains(&other) {
            all.push(other);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cores_of_a_platform() {
        let text = r#"{"name": "acmearm", "frameworks": {"arduino": {"package": "framework-arduino-acme", "script": "x.py"},
            "zephyr": {"package": "framework-zephyr"}}, "packages": {"toolchain-arm": {"type": "toolchain"},
            "framework-arduino-other": {"optional": true}, "framework-arduino-acme": {}, "framework-zephyr": {}}}"#;
        assert_eq!(arduino_packages(text).unwrap(), ["framework-arduino-acme", "framework-arduino-other"]);
        assert_eq!(arduino_packages("{}").unwrap(), Vec::<String>::new());
        assert!(matches!(arduino_packages("{\n"), Err(BoardError::Syntax { line: 2, .. })));
    }

    #[test]
    fn what_a_package_is_called() {
        let manifest = PackageManifest::parse(
            r#"{"name": "toolchain-arm", "version": "1.2.3", "system": ["linux_x86_64"]}"#,
        );
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("toolchain-arm", "1.2.3"));
        assert_eq!(PackageManifest::parse("no JSON"), PackageManifest::default());
    }
}
