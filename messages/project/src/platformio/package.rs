//! What PlatformIO's packages say of themselves (PlatformIO documentation, "platform.json" and "package.json").

use std::collections::BTreeMap;

use serde::Deserialize;

use super::BoardError;

/// The framework that Arduino's cores are.
const ARDUINO: &str = "arduino";
/// What such a framework's packages are called.
const FRAMEWORK: &str = "framework-arduino";

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    frameworks: BTreeMap<String, Framework>,
    #[serde(default)]
    packages: BTreeMap<String, Package>,
}

#[derive(Deserialize)]
struct Framework {
    package: Option<String>,
}

#[derive(Deserialize)]
struct Package {
    version: Option<String>,
    #[serde(default)]
    optional: bool,
}

/// `platform.json`, as far as it says what a board is built with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlatformManifest {
    /// Its name; empty where it does not say.
    pub name: String,
    /// Its version, likewise.
    pub version: String,
    /// The packages that may be its Arduino core, the one that it names first. Which of them a board is of, a platform's own
    /// program says, which is not run: boards tell as well.
    pub arduino: Vec<String>,
    /// All others, those that it always needs first: the name, and which versions will do.
    pub tools: Vec<(String, Option<String>)>,
    /// Which versions of its Arduino cores will do.
    pub requirements: BTreeMap<String, String>,
}

impl PlatformManifest {
    /// Reads `platform.json`.
    pub fn parse(text: &str) -> Result<Self, BoardError> {
        let platform: Platform = serde_json::from_str(text)
            .map_err(|error| BoardError::Syntax { line: error.line(), why: error.to_string() })?;
        let first = platform.frameworks.get(ARDUINO).and_then(|framework| framework.package.clone());
        let is_core = |name: &String| name.starts_with(FRAMEWORK) || Some(name) == first.as_ref();
        let (cores, others): (Vec<_>, Vec<_>) =
            platform.packages.into_iter().partition(|(name, _)| is_core(name));
        let mut tools: Vec<_> =
            others.into_iter().map(|(name, package)| (package.optional, (name, package.version))).collect();
        tools.sort_by_key(|(optional, _)| *optional);
        let mut arduino: Vec<_> = first.into_iter().collect();
        for (name, _) in &cores {
            if !arduino.contains(name) {
                arduino.push(name.clone());
            }
        }
        Ok(Self {
            name: platform.name,
            version: platform.version,
            arduino,
            tools: tools.into_iter().map(|(_, tool)| tool).collect(),
            requirements: cores
                .into_iter()
                .filter_map(|(name, package)| Some((name, package.version?)))
                .collect(),
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_platform_is_made_of() {
        let text = r#"{"name": "acmearm", "version": "3.1.0", "frameworks": {"arduino": {"package": "framework-arduino-acme",
            "script": "x.py"}, "zephyr": {"package": "framework-zephyr"}}, "packages": {
            "a-tool": {"optional": true}, "toolchain-arm": {"type": "toolchain", "version": "~1.2"},
            "framework-arduino-acme": {"version": "^4"}, "framework-arduino-other": {}}}"#;
        let platform = PlatformManifest::parse(text).unwrap();
        assert_eq!((platform.name.as_str(), platform.version.as_str()), ("acmearm", "3.1.0"));
        assert_eq!(platform.arduino, ["framework-arduino-acme", "framework-arduino-other"]);
        let tool = |name: &str, version: Option<&str>| (name.to_owned(), version.map(str::to_owned));
        assert_eq!(platform.tools, [tool("toolchain-arm", Some("~1.2")), tool("a-tool", None)]);
        let wanted = BTreeMap::from([("framework-arduino-acme".to_owned(), "^4".to_owned())]);
        assert_eq!(platform.requirements, wanted);
        assert_eq!(PlatformManifest::parse("{}").unwrap(), PlatformManifest::default());
        assert!(matches!(PlatformManifest::parse("{\n"), Err(BoardError::Syntax { line: 2, .. })));
    }

    #[test]
    fn what_a_package_is_called() {
        let text = r#"{"name": "toolchain-arm", "version": "1.2.3", "system": ["linux_x86_64"]}"#;
        let manifest = PackageManifest::parse(text);
        assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("toolchain-arm", "1.2.3"));
        assert_eq!(PackageManifest::parse("no JSON"), PackageManifest::default());
    }
}
